"""Posteriors by quadrature: density, draws against a grid and NUTS, and what is recorded."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from scipy import integrate, special, stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, SamplingWarning
from bayeslmm.inference.laplace import find_mode
from bayeslmm.inference.marginal.coordinates import FOLDED
from bayeslmm.inference.nuts.marginal import compiles
from bayeslmm.inference.nuts.nutpie_model import _DENSITY, _DOUBLE
from bayeslmm.inference.quadrature import sample as quadrature_sample
from bayeslmm.inference.quadrature.laplace_error import laplace_error
from bayeslmm.inference.quadrature.nuts import compile_target
from bayeslmm.inference.quadrature.start import starting_points, with_enough_nodes
from bayeslmm.inference.quadrature.target import QuadratureTarget
from bayeslmm.model.model import Model

CASES = {
    "binomial": ("incidence ~ period + (1 | herd)", "cbpp", {"trials": "size"}),
    "poisson": ("y ~ lbase4 + V4 + (V4 | subject)", "epil", {}),
    "negbinomial": ("y ~ lbase4 + V4 + (1 | subject)", "epil", {}),
}


def model_of(family, priors=None):
    formula, table, more = CASES[family]
    design = bl.build_design(formula, bl.load_dataset(table), family=family, **more)
    return Model.of(design, priors).at_means


def target_of(family, n_nodes=15, **more):
    return QuadratureTarget(model_of(family, **more), n_nodes)


def near_start(target, model, seed=1):
    start = starting_points(target, model)
    rng = np.random.default_rng(seed)
    # Small sds: with large ones Poisson levels take more nodes than these tests have.
    return start.points[1] + 0.5 * start.units * rng.normal(size=target.size)


@pytest.mark.parametrize("family", CASES)
def test_the_density_is_prior_times_likelihood(family):
    model = model_of(family)
    target = QuadratureTarget(model, 15)
    x = near_start(target, model)
    values = target.parameters(x)
    priors, a = model.priors, target.n_sds
    expected = sum(p.log_density(v) for p, v in zip(priors.factors[0].sd, values[:a], strict=True))
    expected += sum(c.log_volume(v) for c, v in zip(target.coordinates, x, strict=True))
    rest = [*priors.parameters.values(), *priors.beta]
    at = a + target.n_partials
    expected += sum(p.log_density(v) for p, v in zip(rest, values[at:], strict=True))
    if target.n_partials:
        shape = priors.factors[0].partial_priors[0]
        expected += stats.beta(shape, shape).logpdf((values[a] + 1) / 2) - np.log(2)
    expected += target.likelihood.values(target.given(x[None]))[0]
    assert target.log_density(x[None])[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("family", CASES)
def test_the_gradient_is_that_of_the_density(family):
    model = model_of(family)
    target = QuadratureTarget(model, 21)
    x = near_start(target, model)
    value, gradient = target.log_density_and_gradient(x)
    assert value == pytest.approx(target.log_density(x[None])[0], abs=1e-5)
    step = 1e-4 * starting_points(target, model).units
    moved = x + np.concatenate([np.diag(step), -np.diag(step)])
    # Of many points at once the nodes stand near the modes only, which shows in differences.
    ends = np.reshape([target.log_density_and_gradient(y)[0] for y in moved], (2, -1))
    assert gradient * step == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-4, abs=1e-8)


def test_the_likelihood_of_rows_is_that_of_the_family():
    """One level's integral in plain NumPy, from the design's own columns and the raw beta."""
    model = model_of("binomial")
    target = QuadratureTarget(model, 25)
    x = near_start(target, model)
    values, design = target.parameters(x), model.design.coded_rows
    beta = model.priors.raw_beta(values[1:])
    levels = target.likelihood.by_level(target.given(x[None]))[0]
    for j in (0, 7):
        rows = design.factors[0].index == j
        eta = design.X[rows] @ beta

        def density(u, eta=eta, rows=rows):
            p = special.expit(eta + values[0] * u)
            return stats.binom.pmf(design.y[rows], design.trials[rows], p).prod() * stats.norm.pdf(
                u
            )

        expected, _ = integrate.quad(density, -9, 9, epsabs=0, epsrel=1e-10, limit=200)
        assert levels[j] == pytest.approx(np.log(expected), abs=1e-7)


@pytest.mark.parametrize("family", CASES)
def test_the_compiled_density_is_the_one_in_python(family):
    import ctypes

    model = model_of(family)
    target = QuadratureTarget(model, 9)
    assert compiles(target)
    x = near_start(target, model)
    value, gradient = target.log_density_and_gradient(x)
    compiled = compile_target(target, x, np.ones(target.size))
    out, total = np.empty(target.size), np.empty(1)
    pointers = [array.ctypes.data_as(_DOUBLE) for array in (x, out, total)]
    call = _DENSITY(compiled.compiled_logp_func.address)
    status = call(target.size, *pointers, ctypes.c_void_p(compiled.user_data.ctypes.data))
    assert status == 0
    assert total[0] == pytest.approx(value, abs=1e-8)
    assert out == pytest.approx(gradient, rel=1e-6, abs=1e-6)


def test_nodes_are_enough_two_standard_deviations_away():
    formula = "severe ~ treatment * time + (1 | patientID)"
    design = bl.build_design(formula, bl.load_dataset("toenail"), family="bernoulli")
    model = Model.of(design).at_means
    target = QuadratureTarget(model, 7)
    target, _, error = with_enough_nodes(target, starting_points(target, model))
    assert error.enough
    assert error.n_nodes == target.likelihood.n_nodes >= 31


def test_folded_sds_have_the_same_density():
    model = model_of("binomial")
    target = QuadratureTarget(model, 15)
    folded = target.with_folded([0])
    assert folded.coordinates[0].kind == FOLDED
    assert target.coordinates[0].kind != FOLDED
    x = near_start(target, model)
    y = folded.point(target.parameters(x))
    there, here = folded.log_density(y[None])[0], target.log_density(x[None])[0]
    # Two signs share it, and the logarithm's volume is the sd.
    assert there == pytest.approx(here - x[0] - np.log(2), abs=1e-9)
    y[0] = 0.0
    value, gradient = folded.log_density_and_gradient(y)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.fixture(scope="module")
def herds():
    formula, table, more = CASES["binomial"]
    return bl.fit_bayes(
        formula, bl.load_dataset(table), family="binomial", sampler="quadrature", random_seed=1,
        progressbar=False, **more,
    )  # fmt: skip


def test_a_fit_says_how_exact_it_is(herds):
    about = herds["sample_stats"].attrs
    assert herds.attrs["engine"] == "quadrature"
    assert herds.attrs["exact"].startswith("to quadrature error ")
    assert about["nodes"] == 7
    assert 0.0 < about["node_error"] < 0.01
    assert about["pareto_k"] < 0.7
    assert about["ess_draws"] > 3000
    assert 0.0 < about["log_integral_variance"] < 0.1
    assert 0.0 < about["laplace_bias"] < 0.2
    assert 0.9 < about["effects_acceptance"] <= 1.0
    assert about["effects_steps"] <= 4


def test_the_posterior_of_cbpp_is_the_published_one(herds):
    """Against the trial's long non-centered NUTS (4 x 4,000) with the same priors."""
    posterior = herds["posterior"]
    # Monte Carlo errors of 4,000 draws are 0.016 sds; the numbers are rounded to two digits.
    assert float(posterior["sd_herd"].mean()) == pytest.approx(0.755, abs=0.02)
    assert float(posterior["sd_herd"].std()) == pytest.approx(0.22, abs=0.02)
    assert set(posterior.data_vars) == {"beta", "sd_herd", "b_herd"}
    assert posterior["b_herd"].dims == ("chain", "draw", "herd", "herd_term")


def test_the_posterior_is_that_of_integration_over_everything(herds):
    """Two coordinates on a grid: an intercept and an sd, against weighted draws."""
    table = bl.load_dataset("cbpp")
    fit = bl.fit_bayes(
        "incidence ~ 1 + (1 | herd)", table, family="binomial", trials="size", random_seed=2,
        sampler="quadrature", progressbar=False,
    )  # fmt: skip
    design = bl.build_design("incidence ~ 1 + (1 | herd)", table, family="binomial", trials="size")
    target = QuadratureTarget(Model.of(design), 25)
    sds, intercepts = np.linspace(-2.5, 1.0, 141), np.linspace(-3.2, -1.0, 121)
    points = np.stack(np.meshgrid(sds, intercepts, indexing="ij"), -1).reshape(-1, 2)
    density = target.log_density(points)
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    values = target.parameters(points)
    mean = weights @ values
    spread = np.sqrt(weights @ (values - mean) ** 2)
    posterior = fit["posterior"]
    draws = np.column_stack([posterior[k].to_numpy().ravel() for k in ("sd_herd", "beta")])
    # Four standard errors of 3,000 independent draws.
    assert np.abs((draws.mean(axis=0) - mean) / spread).max() < 4 / np.sqrt(3000)
    assert draws.std(axis=0) == pytest.approx(spread, rel=0.06)


def test_the_same_seed_gives_the_same_draws(herds):
    formula, table, more = CASES["binomial"]
    again = bl.fit_bayes(
        formula, bl.load_dataset(table), family="binomial", sampler="quadrature", random_seed=1,
        progressbar=False, cores=1, **more,
    )  # fmt: skip
    for name in ("beta", "b_herd"):
        assert np.array_equal(again["posterior"][name], herds["posterior"][name])


def test_auto_takes_it_for_one_factor():
    formula, table, more = CASES["binomial"]
    fit = bl.fit_bayes(
        formula, bl.load_dataset(table), family="binomial", draws=250, random_seed=1,
        progressbar=False, effects="moments", **more,
    )  # fmt: skip
    assert fit.attrs["sampler"] == "quadrature"
    assert "quadrature" in fit.attrs["sampler_reason"]
    assert "effects_moments" in fit.children


@pytest.mark.parametrize(
    ("formula", "family", "said"),
    [
        ("y ~ V4 + (1 | subject) + (1 | period)", "poisson", "2 grouping factors"),
        ("y ~ V4 + (1 | subject)", "gaussian", "not Gaussian"),
        ("y ~ V4 + (V4 + lage | subject)", "poisson", "3 columns"),
    ],
)
def test_other_models_are_refused_with_a_way_out(formula, family, said):
    with pytest.raises(ArgumentError, match=said):
        bl.fit_bayes(
            formula, bl.load_dataset("epil"), family=family, sampler="quadrature", progressbar=False
        )


def test_many_parameters_are_sampled_by_nuts(monkeypatch):
    """On the same density, with the effects drawn back as always."""
    monkeypatch.setattr(quadrature_sample, "MOST_COORDINATES", 3)
    formula, table, more = CASES["binomial"]
    with pytest.warns(SamplingWarning, match="sampled by NUTS: 5 parameters are left, too many"):
        fit = bl.fit_bayes(
            formula, bl.load_dataset(table), family="binomial", sampler="quadrature",
            random_seed=1, progressbar=False, draws=500, tune=500, **more,
        )  # fmt: skip
    assert "too many for independent draws" in fit.attrs["sampler_reason"]
    assert fit.attrs["engine"] == "quadrature, nuts"
    assert "quadrature error" in fit.attrs["exact"]
    assert "diverging" in fit["sample_stats"]
    assert fit["sample_stats"].attrs["nodes"] == 7
    assert float(fit["posterior"]["sd_herd"].mean()) == pytest.approx(0.755, abs=0.06)


@pytest.mark.filterwarnings("ignore:These draws should not")
def test_where_the_density_does_not_compile_all_effects_are_sampled(monkeypatch):
    monkeypatch.setattr(quadrature_sample, "MOST_COORDINATES", 3)
    monkeypatch.setattr(quadrature_sample, "compiles", lambda target: False)
    formula, table, more = CASES["binomial"]
    with pytest.warns(SamplingWarning, match="by NUTS, with all effects: 5 parameters are left"):
        fit = bl.fit_bayes(
            formula, bl.load_dataset(table), family="binomial", sampler="quadrature",
            random_seed=1, progressbar=False, draws=50, tune=100, chains=2, **more,
        )  # fmt: skip
    assert fit.attrs["engine"] == "nuts"
    assert "stationary distribution is the posterior" in fit.attrs["exact"]
    assert fit.attrs["sampler"] == "nutpie"


def separated(n=60):
    rng = np.random.default_rng(3)
    x = np.repeat([0.0, 1.0], n // 2)
    return pd.DataFrame(
        {"y": x.astype(int), "x": x, "g": [f"g{k}" for k in rng.integers(0, 10, n)]}
    )


@pytest.mark.parametrize("case", ["separation", "all zeros", "all ones", "one row a level"])
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.BayesLMMWarning")
def test_priors_answer_where_the_data_do_not(case):
    table = separated()
    formula = "y ~ x + (1 | g)"
    if case == "all zeros":
        table["y"] = 0
    elif case == "all ones":
        table["y"] = 1
    elif case == "one row a level":
        table["g"] = [f"g{k}" for k in range(len(table))]
    fit = bl.fit_bayes(
        formula, table, family="bernoulli", sampler="quadrature", draws=250, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    for variable in fit["posterior"].data_vars.values():
        assert np.isfinite(variable).all()


def test_laplace_is_told_to_be_right_where_it_is():
    model = model_of("poisson")
    target = QuadratureTarget(model, 15)
    start = starting_points(target, model)
    peak = find_mode(target, start.points[0], start.units)
    rng = np.random.default_rng(1)
    points = rng.multivariate_normal(peak.point, peak.covariance, 2000)
    found = laplace_error(target, points)
    assert 0.0 < found.log_integral_variance < 0.1
    known = laplace_error(target, points, target.log_density(points))
    assert known.bias == pytest.approx(found.bias, abs=1e-9)
    assert known.log_integral_variance == pytest.approx(found.log_integral_variance, abs=1e-9)
    none = laplace_error(target.with_nodes(1), points)
    assert dataclasses.astuple(none) == (0.0, pytest.approx(0.0, abs=1e-12))


def test_a_level_whose_rows_lie_at_two_far_ends_may_be_at_either():
    """Its effect has a mode at each end, and one between them that comes and goes with the sds."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(12), 10)
    y = 8.0 * rng.normal(size=12)[g] + rng.normal(size=len(g))
    y[:10] = np.where(np.arange(10) < 5, -30.0, 30.0) + rng.normal(size=10)
    table = pd.DataFrame({"g": g, "y": y})
    tree = bl.fit_bayes(
        "y ~ 1 + (1 | g)", table, family="student", draws=250, random_seed=1, progressbar=False
    )
    assert tree.attrs["engine"] == "quadrature"
    # A density that loses a mode jumps: k-hat was 2 and more, and NUTS on it took minutes.
    assert tree["sample_stats"].attrs["pareto_k"] < 0.7
    assert tree["sample_stats"].attrs["node_error"] < 0.01
    posterior = {k: v.to_numpy().reshape(1000, -1) for k, v in tree["posterior"].items()}
    ends, expected = posterior["b_g"][:, 0], 0.0
    u = np.linspace(-45.0, 45.0, 9001)
    for k in range(1000):
        alpha, sd, sigma, nu = (posterior[n][k, 0] for n in ("beta", "sd_g", "sigma", "nu"))
        eta = alpha + u
        log_density = stats.norm.logpdf(u, 0.0, sd)
        log_density += stats.t.logpdf(y[:10, None], nu, eta, sigma).sum(axis=0)
        density = np.exp(log_density - log_density.max())
        expected += density[u > 0.0].sum() / density.sum() / 1000
    assert 0.6 < expected < 0.9
    # Four standard errors of a share of a thousand draws at most.
    assert np.mean(ends > 0.0) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 1000))


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_the_posterior_is_that_of_nuts_with_all_effects(family):
    formula, table, more = CASES[family]
    data = bl.load_dataset(table)
    common = {"family": family, "random_seed": 1, "progressbar": False, **more}
    ours = bl.fit_bayes(formula, data, sampler="quadrature", **common)
    theirs = bl.fit_bayes(formula, data, sampler="nutpie", draws=4000, **common)
    for name, draws in ours["posterior"].data_vars.items():
        other = theirs["posterior"][name]
        mean, spread = other.mean(("chain", "draw")), other.std(("chain", "draw"))
        size = array_stats.ess(other.to_numpy(), chain_axis=0, draw_axis=1)
        # Ours are worth 3,000 and more.
        error = np.sqrt(1.0 / size + 1.0 / 3000.0)
        gap = np.abs(draws.mean(("chain", "draw")) - mean) / spread.where(spread > 0, 1.0)
        # Up to two hundred effects: the largest of so many is 3 to 4 errors off.
        assert float((gap.to_numpy() / np.where(np.isfinite(error), error, 1.0)).max()) < 4.5, name
