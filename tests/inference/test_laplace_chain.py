"""The Laplace chain: exact where closed forms exist, equal to other engines, and what it tells."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from numba import njit
from scipy import stats

import bayeslmm as bl
from bayeslmm.gram.gram import gram_of
from bayeslmm.inference.importance.proposal import Mixture, SplitT
from bayeslmm.inference.laplace import find_mode
from bayeslmm.inference.laplace_chain import chains
from bayeslmm.inference.laplace_chain.adaptation import Trajectory, adapted_proposal
from bayeslmm.inference.laplace_chain.chains import run_chains
from bayeslmm.inference.laplace_chain.latent import LatentModel, elimination_plan
from bayeslmm.inference.laplace_chain.proposal import laplace_stage
from bayeslmm.inference.laplace_chain.random_walk import walk_arrays
from bayeslmm.inference.laplace_chain.sample import LaplaceChain, latent_model
from bayeslmm.inference.laplace_chain.target import LaplaceTarget
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.kernels.laplace_chain import walk
from bayeslmm.model.model import Model
from bayeslmm.model.priors.fixed_effects import normal_prior
from bayeslmm.resources import single_blas_thread

FIT = {"sampler": "laplace_chain", "progressbar": False, "cores": 2}


def crossed_table(seed=1, subjects=20, items=8, sd=(1.0, 0.7)):
    rng = np.random.default_rng(seed)
    s, i = (a.ravel() for a in np.meshgrid(np.arange(subjects), np.arange(items), indexing="ij"))
    x = rng.normal(size=len(s))
    eta = 0.3 + 0.6 * x + rng.normal(0, sd[0], subjects)[s] + rng.normal(0, sd[1], items)[i]
    y = (rng.random(len(s)) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "s": s, "i": i, "count": rng.poisson(np.exp(eta / 2))})


@pytest.fixture(scope="module")
def table():
    return crossed_table()


@pytest.fixture(scope="module")
def fit(table):
    return bl.fit_bayes("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli", random_seed=3,
                        draws=400, **FIT)  # fmt: skip


def gaussian_target(formula="Reaction ~ Days + (Days | Subject)"):
    """The Laplace target of a Gaussian response, for which it is exact, and the collapsed one."""
    design = bl.build_design(formula, bl.load_dataset("sleepstudy"))
    priors = bl.resolve_priors(design)
    latent = LatentModel.of(design, elimination_plan(design), normal_prior(priors))
    return LaplaceTarget(latent, priors, [("sigma", priors.sigma)], 2), MarginalTarget(
        gram_of(design), priors
    )


def test_a_gaussian_responses_laplace_marginal_is_the_collapsed_posterior():
    target, exact = gaussian_target()
    points = np.array([3.2, 1.7, 0.1, 3.2]) + 0.5 * np.random.default_rng(1).normal(size=(30, 4))
    np.testing.assert_allclose(target.log_density(points), exact.log_density(points), rtol=1e-10)
    value, gradient = target.log_density_and_gradient(points[0])
    expected, slope = exact.log_density_and_gradient(points[0])
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    # Central differences over 1e-3 of a function of order 1 in each coordinate.
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-4)


def test_on_a_gaussian_response_every_trajectory_is_accepted_and_the_posterior_is_the_exact_one():
    target, exact = gaussian_target()
    with single_blas_thread():
        stage = laplace_stage(target, np.random.default_rng(1))
    found = run_chains(stage, 2, 1000, threads=2, seed=1)
    np.testing.assert_allclose(found.log_ratio, 0.0, atol=1e-8)
    np.testing.assert_allclose(found.acceptance_eps, 1.0, atol=1e-8)
    points = found.points.reshape(-1, target.size)
    reference = stage.found  # weighted points of the very same density
    mean = reference.weights @ reference.points
    sd = np.sqrt(reference.weights @ np.square(reference.points - mean))
    # 2,000 draws of which a half are accepted proposals, and 500 points: 5 standard errors.
    np.testing.assert_allclose(points.mean(axis=0), mean, atol=0.25 * sd.max())
    assert exact.size == target.size


def test_draws_are_that_many_sweeps_apart_as_move_theta(monkeypatch):
    target, _ = gaussian_target()
    with single_blas_thread():
        stage = laplace_stage(target, np.random.default_rng(1))
    apart = []
    for moved in (0.01, 1.5):
        monkeypatch.setattr(chains, "_MOVED", moved)
        found = run_chains(stage, 2, 300, threads=2, seed=1)
        assert found.points.shape == (2, 300, target.size)
        assert found.effects.shape[:2] == (2, 300)
        assert found.sweeps == 1 or found.sweeps * found.accepted_theta.mean() > 1.2
        apart.append(np.mean(np.diff(found.points[..., 0], axis=1) != 0.0))
    # A half of the proposals are taken: of one after the other fewer are all refused.
    assert apart[0] < 0.75
    assert apart[1] > 0.85


def test_the_bent_scales_keep_density_and_mode():
    target, _ = gaussian_target()
    with single_blas_thread():
        stage = laplace_stage(target, np.random.default_rng(1))
        plain = LaplaceTarget(target.latent, target.priors, [("sigma", target.priors.sigma)])
        peak = mode_of(plain)
        settled = plain.settled(peak.point)
        bent, there = settled.bent(peak)
    np.testing.assert_allclose(bent.parameters(there.point), settled.parameters(peak.point))
    assert bent.log_density(there.point[None])[0] == pytest.approx(peak.height, rel=1e-9)
    numeric = np.linalg.inv(there.covariance)
    h, one = 0.02, np.eye(4)
    for i in range(4):
        for j in range(4):
            corners = [
                there.point + h * (a * one[i] + b * one[j]) for a in (1, -1) for b in (1, -1)
            ]
            f = bent.log_density(np.array(corners))
            second = -(f[0] - f[1] - f[2] + f[3]) / (4 * h * h)
            assert second == pytest.approx(numeric[i, j], abs=0.02 * np.abs(numeric).max())
    assert stage.found.usable


def test_scales_are_bent_however_correlated_the_parameters_are():
    target, _ = gaussian_target()
    peak = mode_of(target)
    close = np.full((target.size, target.size), 0.99) + 0.01 * np.eye(target.size)
    tight = dataclasses.replace(peak, covariance=0.1 * close)
    _, there = target.bent(tight)
    left, whole = np.linalg.inv(there.covariance), np.linalg.inv(tight.covariance)
    share = np.linalg.eigvals(np.linalg.solve(whole, left)).real
    # At the mode each direction keeps a fifth of its curvature, and none gains any.
    assert 0.2 < share.min() < share.max() < 1.0 + 1e-9


def mode_of(target):
    return find_mode(target, target.first_point(), np.ones(target.size))


def test_the_walk_knows_the_priors_the_proposals_and_the_starts(table):
    design = bl.build_design("count ~ x + (x | s) + (1 | i)", table, family="negbinomial")
    model = Model.of(design).at_means
    parameters = [("shape", model.priors.parameters["shape"])]
    target = LaplaceTarget(latent_model(model), model.priors, parameters)
    point = np.array([-0.5, 0.2, -1.0, 0.4, 0.7])
    part = SplitT(point - 0.1, np.eye(5) + 0.1, np.full(5, 0.5), np.full(5, 1.5), 4.0)
    proposal = Mixture((part, part.widened(3.0, 2.0)), np.array([0.3, 0.7]))
    arrays = walk_arrays(target, proposal)
    lam, phi = np.empty(5), np.empty(1)
    entry = compiled_walk()
    log_prior, log_proposal, start = entry(arrays, point, lam, phi)
    assert log_prior == pytest.approx(target.log_prior(point[None])[0], rel=1e-12)
    assert log_proposal == pytest.approx(proposal.log_density(point[None])[0], rel=1e-12)
    np.testing.assert_allclose(lam, target.packed(point[None])[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(phi, target.phi(point[None])[0], rtol=1e-12)
    np.testing.assert_allclose(start, target.reference.starts(point[None])[0], atol=1e-14)


def compiled_walk():
    @njit
    def call(arrays, point, lam, phi):
        value = walk.theta_at(arrays, point, lam, phi)
        return value, walk.log_proposal(arrays, point), walk.start_at(arrays, point)

    return call


def test_trajectories_turn_by_a_quarter_in_as_many_steps_as_their_acceptance_asks():
    for acceptance in (0.999, 0.9, 0.5, 0.01):
        new = Trajectory(4).adapted(acceptance)
        assert new.size * new.steps == pytest.approx(np.pi / 2)
    assert [Trajectory(4).adapted(a).steps for a in (1.0, 0.9, 0.1, 0.0)] == [3, 4, 7, 7]


def test_adapted_proposals_go_where_the_chains_have_been():
    found = run_stage().found
    rng = np.random.default_rng(2)
    seen = found.proposal.draw(300, rng) + 2.0
    new = adapted_proposal(found, seen)
    at = seen.mean(axis=0, keepdims=True)
    assert new.log_density(at) > found.proposal.log_density(at) + 1.0
    assert new.shares.sum() == pytest.approx(1.0)
    assert adapted_proposal(found, np.repeat(seen[:3], 50, axis=0)) is found.proposal


def run_stage():
    target, _ = gaussian_target("Reaction ~ Days + (1 | Subject)")
    with single_blas_thread():
        return laplace_stage(target, np.random.default_rng(1))


def test_the_tree_says_what_was_done(fit):
    assert fit.attrs["engine"] == fit.attrs["sampler"] == "laplace_chain"
    assert "stationary distribution is the posterior" in fit.attrs["exact"]
    told = fit["sample_stats"]
    assert {"lp", "log_ratio", "acceptance_theta", "acceptance_eps"} <= set(told.data_vars)
    assert 0.4 < told.attrs["acceptance_theta"] <= 1.0
    assert 0.8 < told.attrs["acceptance_eps"] <= 1.0
    assert 0.0 < told.attrs["log_ratio_variance"] < 5.0
    assert 0.0 < told.attrs["laplace_bias"] < 2.0
    assert fit["posterior"].sizes["s"] == 20
    assert np.isfinite(fit["posterior"]["b_i"]).all()


def test_draws_are_the_seeds_and_not_the_threads(table, fit):
    again = bl.fit_bayes("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli", random_seed=3,
                         draws=400, **(FIT | {"cores": 1}))  # fmt: skip
    # The same but for rounding: sums in BLAS depend on where arrays lie, which threads change: by
    # 1e-10 at most, while a decision that it turned would move draws by their own size.
    for name, values in fit["posterior"].data_vars.items():
        np.testing.assert_allclose(values, again["posterior"][name], rtol=1e-7, atol=1e-9)


ONE_FACTOR = [
    ("count ~ x + (x | s)", "poisson", ("corr_s",)),
    ("hurdle ~ x + (1 | s)", "hurdle_poisson", ("hu",)),
    ("hurdle ~ x + (1 | s)", "hurdle_gamma", ("hu", "shape")),
    ("hurdle ~ x + (1 | s)", "hurdle_lognormal", ("hu", "sigma")),
    ("hurdle ~ x + (1 | s)", "zero_inflated_poisson", ("zi",)),
    ("share ~ x + (1 | s)", "beta", ("phi",)),
]


@pytest.mark.parametrize(("model", "family", "more"), ONE_FACTOR)
def test_one_factor_has_the_posterior_of_quadrature(table, model, family, more):
    zero = np.random.default_rng(3).random(len(table)) < 0.3
    counts = table.assign(share=lambda t: (t["count"] + 0.5) / (t["count"].max() + 1.0),
                          hurdle=np.where(zero, 0, 1 + table["count"]))  # fmt: skip
    how = {"family": family, "progressbar": False, "random_seed": 5, "draws": 800}
    chain = bl.fit_bayes(model, counts, **(how | FIT))
    exact = bl.fit_bayes(model, counts, sampler="quadrature", **how)
    for name in ("beta", "sd_s", *more):
        one = chain["posterior"][name].to_numpy().reshape(3200, -1)
        other = exact["posterior"][name].to_numpy().reshape(3200, -1)
        # Effective sizes of 600 and more each, and five standard errors.
        error = 5.0 * other.std(axis=0) * np.sqrt(1 / 600 + 1 / 2000)
        assert (np.abs(one.mean(axis=0) - other.mean(axis=0)) <= error + 1e-12).all(), name
        # Standard deviations err by 1 / sqrt(2 n), more where tails are long.
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.25, atol=1e-12)


def test_effects_can_be_kept_as_moments(table, fit):
    how = {"family": "bernoulli", "random_seed": 3, "draws": 400, "effects": "moments"}
    moments = bl.fit_bayes("y ~ x + (1 | s) + (1 | i)", table, **how, **FIT)["effects_moments"]
    full = fit["posterior"]["b_s"].mean(("chain", "draw")).to_numpy().ravel()
    kept = next(v for n, v in moments.data_vars.items() if v.size == 20 and "mean" in n)
    np.testing.assert_allclose(kept.to_numpy().ravel(), full, atol=1e-10)


def test_auto_takes_the_chain_for_crossed_factors(table):
    settings = SamplerSettings()
    crossed = Model.of(bl.build_design("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli"))
    assert LaplaceChain().suits(crossed, settings)[0]
    heavy = Model.of(bl.build_design("x ~ 1 + (1 | s) + (1 | i)", table, family="student"))
    suits, why = LaplaceChain().suits(heavy, settings)
    assert not suits
    assert "outlier" in why
    for asked in ({"target_accept": 0.95}, {"parametrization": "noncentered"}):
        suits, why = LaplaceChain().suits(crossed, SamplerSettings(**asked))
        assert not suits
        assert why
    gaussian = Model.of(bl.build_design("x ~ 1 + (1 | s) + (1 | i)", table))
    assert LaplaceChain().suits(gaussian, settings) == (False, "")  # others have reasons to give


def test_auto_takes_the_chain_where_each_level_has_one_explanation(table):
    some = table.assign(count=1 + table["count"], share=0.1 + 0.8 * table["y"])
    none = some.assign(count=np.where(some["s"] == 3, 0, some["count"]))

    def suits(formula, data, family):
        design = bl.build_design(formula, data, family=family)
        return LaplaceChain().suits(Model.of(design), SamplerSettings())

    assert suits("share ~ x + (1 | s) + (1 | i)", some, "beta")[0]
    for family in ("zero_inflated_poisson", "zero_inflated_negbinomial"):
        assert suits("count ~ x + (1 | s) + (1 | i)", some, family)[0]
        fits, why = suits("count ~ x + (1 | s) + (1 | i)", none, family)
        assert not fits
        assert "all rows of '3' of 's' are zeros" in why
    # Beyond a hurdle zeros tell nothing of the effects.
    assert suits("count ~ x + (1 | s) + (1 | i)", none, "hurdle_negbinomial")[0]


def test_what_the_chain_cannot_do_is_refused_with_a_way_out(table):
    with pytest.raises(bl.ArgumentError, match=r"closed form.*sampler='auto'"):
        bl.fit_bayes("x ~ 1 + (1 | s) + (1 | i)", table, **FIT)
    with pytest.raises(bl.ArgumentError, match=r"prior of 'x' is .*must be normal.*'nutpie'"):
        bl.fit_bayes("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli",
                     priors={"x": "StudentT(3, 0, 1)"}, **FIT)  # fmt: skip
    with pytest.raises(bl.ArgumentError, match="form of its own"):
        bl.fit_bayes("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli",
                     parametrization="centered", **FIT)  # fmt: skip


PRIORS = {
    "Intercept": "Normal(0, 1)", "x": "Normal(0, 1)",
    "sd_s": "Gamma(9, 3)", "sd_i": "Exponential(1)",
}  # fmt: skip


def simulated(seed):
    """Binary responses of 40 by 4 crossed levels, of a model that is drawn from the priors.

    With four rows a level and sds around 3 Laplace's approximation is far off.
    """
    rng = np.random.default_rng([11, seed])
    truth = {"beta": rng.normal(size=2), "sd_s": rng.gamma(9, 1 / 3), "sd_i": rng.exponential()}
    s, i = (a.ravel() for a in np.meshgrid(np.arange(40), np.arange(4), indexing="ij"))
    x = rng.normal(size=len(s))
    x -= x.mean()
    b, c = truth["sd_s"] * rng.normal(size=40), truth["sd_i"] * rng.normal(size=4)
    eta = truth["beta"][0] + truth["beta"][1] * x + b[s] + c[i]
    y = (rng.random(len(s)) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "s": s, "i": i}), truth


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform_and_those_of_laplaces_draws_are_not():
    ranks, wrong = [], []
    for seed in range(150):
        table, truth = simulated(seed)
        design = bl.build_design("y ~ x + (1 | s) + (1 | i)", table, family="bernoulli")
        model = Model.of(design, PRIORS).at_means
        target = LaplaceTarget(latent_model(model), model.priors, [])
        with single_blas_thread():
            stage = laplace_stage(target, np.random.default_rng(seed))
        found = run_chains(stage, 2, 500, threads=2, seed=seed)
        exact = stage.target.parameters(found.points.reshape(-1, 2))[::10]
        slope = stage.target.latent.fixed_effects(found.effects.reshape(1000, -1))[::10, 1]
        ranks.append([*(exact < [truth["sd_s"], truth["sd_i"]]).mean(axis=0),
                      (slope < truth["beta"][1]).mean()])  # fmt: skip
        # The correction switched off: Laplace's own draws.
        laplace = stage.target.parameters(stage.points)
        wrong.append((laplace[:, 0] < truth["sd_s"]).mean())
    for column in np.array(ranks).T:
        assert stats.kstest(column, "uniform").pvalue > 0.001
    assert stats.kstest(wrong, "uniform").pvalue < 0.001


MODELS = [
    ("y ~ x + (1 | s) + (1 | i)", "bernoulli"),
    ("count ~ x + (1 + x | s) + (1 | i)", "poisson"),
    ("count ~ x + (1 | i / half)", "negbinomial"),
    ("count ~ x + (1 | s) + (1 | i)", "hurdle_negbinomial"),
    ("share ~ x + (x | s) + (1 | i)", "beta"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("formula", "family"), MODELS)
def test_the_posterior_is_that_of_long_nuts(formula, family):
    table = crossed_table(seed=4, subjects=30).assign(
        half=lambda t: t.s // 15, share=lambda t: (t["count"] + 0.5) / (t["count"].max() + 1.0)
    )
    how = {"family": family, "random_seed": 6, "progressbar": False}
    chain = bl.fit_bayes(formula, table, sampler="laplace_chain", draws=2000, **how)["posterior"]
    nuts = bl.fit_bayes(formula, table, sampler="nutpie", draws=4000, target_accept=0.95, **how)
    for name, one in chain.data_vars.items():
        other = nuts["posterior"][name]
        for a, b in zip(
            *(v.to_numpy().reshape(*v.shape[:2], -1).T for v in (one, other)), strict=True
        ):
            if a.std() == 0.0:
                continue  # a correlation matrix's diagonal
            error = [
                v.std() / np.sqrt(array_stats.ess(v.T, chain_axis=0, draw_axis=1)) for v in (a, b)
            ]
            assert abs(a.mean() - b.mean()) < 4.5 * np.hypot(*error), name
