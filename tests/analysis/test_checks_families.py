"""Checks of every family: densities of rows and groups, replicates, groups' statistics."""

import warnings

import numpy as np
import pandas as pd
import pytest
import trees
from scipy.integrate import dblquad, quad
from scipy.stats import multivariate_normal, norm

import bayeslmm as bl
from bayeslmm.analysis.checks.group_quadrature import NODES, group_integrals
from bayeslmm.analysis.checks.likelihood import group_log_likelihood
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.errors import ArgumentError, NumericalWarning, TreeError
from bayeslmm.families.registry import FAMILIES
from bayeslmm.results.family import family, family_draws

OTHERS = [name for name in FAMILIES if name != "gaussian"]
EXACT = {"rtol": 1e-10, "atol": 1e-12}
INTERCEPTS = "y ~ x + (1 | g)"


def flat(array):
    return array.to_numpy().reshape(-1, array.sizes["obs"]).T


def known_of(name):
    return trees.TRIALS[:, None] if name in trees.OF_TRIALS else None


@pytest.mark.parametrize("name", FAMILIES)
def test_log_likelihoods_of_rows_are_the_familys(name):
    idata = trees.family_tree(name)
    eta, y = flat(bl.predict(idata, kind="link")), trees.RESPONSES[name][:, None]
    expected = family(idata).log_density(y, eta, family_draws(idata), known_of(name))
    added = bl.add_log_likelihood(idata)["log_likelihood"]["y"]
    np.testing.assert_allclose(flat(added), expected, **EXACT)
    given = bl.log_likelihood(idata, trees.family_data(name))
    np.testing.assert_allclose(flat(given), expected, **EXACT)
    with np.errstate(all="raise"):
        assert np.isfinite(expected).all()


def test_log_likelihoods_of_binomial_rows_take_their_trials():
    idata = trees.family_tree("binomial")
    rows = dict(trees.family_data("binomial"))
    own = bl.log_likelihood(idata, rows)
    del rows["size"]
    np.testing.assert_array_equal(own, bl.log_likelihood(idata, rows, trials=trees.TRIALS))
    with pytest.raises(ArgumentError, match="give trials="):
        bl.log_likelihood(idata, rows)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(trees.ORDERED)))
def test_replicates_have_the_familys_moments(name):
    draws = trees.constant_draws(
        (4, 2500), beta=[0.5, 0.4], sd_g=[1.0], b_g=np.array([[0.3], [-0.3], [0.0]])
    )
    member = FAMILIES[name](None)
    draws |= {p.name: np.full((4, 2500), trees.inside(p, 6.0 if p.name != "sigma" else 0.5))
              for p in member.parameters}  # fmt: skip
    trials = "size" if name in trees.OF_TRIALS else None
    idata = trees.make_tree(INTERCEPTS, trees.family_data(name), draws, family=name, trials=trials)
    found = flat(bl.add_posterior_predictive(idata, random_seed=1)["posterior_predictive"]["y"])
    eta = flat(bl.predict(idata, kind="link"))[:, :1]
    known = known_of(name)
    one = {p.name: float(draws[p.name][0, 0]) for p in member.parameters}
    mean = member.mean(eta, one) * (1.0 if known is None else known)
    variance = member.variance(eta, one, known)
    # Five standard errors of means of 10,000; variances to a tenth, whose own tails are heavier.
    assert np.all(np.abs(found.mean(axis=1) - mean[:, 0]) < 5 * np.sqrt(variance[:, 0] / 10_000))
    np.testing.assert_allclose(found.var(axis=1), variance[:, 0], rtol=0.12)
    table = bl.check_groups(idata, statistic="mean", draws=2500, random_seed=2)
    own = np.array([mean[trees.TINY["g"] == g].mean() for g in "abc"])
    spread = np.array([variance[trees.TINY["g"] == g].sum() ** 0.5 for g in "abc"])
    rows = np.array([2, 4, 3])
    np.testing.assert_array_less(np.abs(table["mean"] - own), 5 * spread / rows / 100)
    y = trees.RESPONSES[name]
    np.testing.assert_allclose(table["observed"], [y[trees.TINY["g"] == g].mean() for g in "abc"])


def log_joint(idata, level, draw):
    """The log-density of a group's rows given its effects (intercept and slope)."""
    name, member = family(idata).name, family(idata)
    rows = trees.TINY["g"] == "abc"[level]
    x, y, known = trees.TINY["x"][rows], trees.RESPONSES[name][rows], known_of(name)
    trials = None if known is None else known[rows, 0]
    eta = flat(bl.predict(idata, kind="link", random_effects="none"))[rows, draw]
    own = {key: values[..., draw] for key, values in family_draws(idata).items()}
    return lambda b0, b1=0.0: member.log_density(y, eta + b0 + b1 * x, own, trials).sum()


def integral(idata, level, draw, digits):
    """The logarithm of SciPy's integral over a normal intercept."""
    sd = float(idata["posterior"]["sd_g"].to_numpy().ravel()[draw])
    joint = log_joint(idata, level, draw)
    total, _ = quad(
        lambda b: np.exp(joint(b)) * norm.pdf(b, scale=sd),
        -12 * sd, 12 * sd, epsabs=0, epsrel=digits, limit=400,
    )  # fmt: skip
    return np.log(total)


@pytest.mark.parametrize("name", OTHERS)
def test_groups_with_one_effect_are_integrated_as_scipy_does(name):
    idata = trees.family_tree(name, formula=INTERCEPTS, chains=1, draws=6)
    density = group_log_likelihood(idata)
    expected = [[integral(idata, level, draw, 1e-10) for level in range(3)] for draw in range(6)]
    # What twice as many nodes change at most.
    np.testing.assert_allclose(np.asarray(density.values), expected, rtol=0, atol=2e-3)
    # A lognormal response is integrated in closed form, on the scale of its logarithm.
    assert density.about.get("node_error", 1.0 * (name != "lognormal")) < 1e-3
    assert density.integrated == ("g",)


@pytest.mark.parametrize("name", ["bernoulli", "poisson", "student"])
def test_more_nodes_reach_eight_digits(name, monkeypatch):
    monkeypatch.setattr("bayeslmm.analysis.checks.group_quadrature.TOLERANCE", 1e-9)
    idata = trees.family_tree(name, formula=INTERCEPTS, chains=1, draws=3)
    density = group_log_likelihood(idata)
    expected = [[integral(idata, level, draw, 1e-12) for level in range(3)] for draw in range(3)]
    np.testing.assert_allclose(np.asarray(density.values), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["binomial", "negbinomial"])
def test_groups_with_two_effects_are_integrated_as_scipy_does(name):
    idata = trees.family_tree(name, chains=1, draws=2)
    found = np.asarray(group_log_likelihood(idata).values)
    posterior = idata["posterior"].isel(chain=0)
    for draw in range(2):
        sd, corr = (posterior[key][draw].to_numpy() for key in ("sd_g", "corr_g"))
        joint, normal = log_joint(idata, 1, draw), multivariate_normal(cov=sd[:, None] * corr * sd)
        total, _ = dblquad(
            lambda b1, b0, joint=joint, normal=normal: np.exp(joint(b0, b1)) * normal.pdf([b0, b1]),
            -7 * sd[0], 7 * sd[0], -7 * sd[1], 7 * sd[1], epsabs=1e-11, epsrel=1e-6,
        )  # fmt: skip
        assert found[draw, 1] == pytest.approx(np.log(total), abs=2e-3)


def test_quadrature_of_gaussian_rows_is_exact():
    idata = trees.random_tree(trees.TINY_FORMULA, trees.TINY, chains=1, draws=20)
    exact = group_log_likelihood(idata)
    index = np.searchsorted(list("abc"), trees.TINY["g"])
    columns = np.column_stack([np.ones(9), trees.TINY["x"]])
    posterior = idata["posterior"].isel(chain=0)
    sd, corr = posterior["sd_g"].to_numpy(), posterior["corr_g"].to_numpy()
    roots = np.linalg.cholesky(sd[:, :, None] * corr * sd[:, None, :])
    predictor = linear_predictor(idata, random_effects="none")
    found = group_integrals(predictor, trees.TINY["y"], index, columns, roots)
    # Curvatures by differences keep some nine digits; the integrand is normal.
    np.testing.assert_allclose(np.asarray(found.values), exact.values, atol=1e-6)
    assert found.nodes == 7


@pytest.mark.parametrize("formula", [INTERCEPTS, trees.TINY_FORMULA])
@pytest.mark.parametrize("name", ["bernoulli", "binomial", "poisson", "negbinomial", "gamma"])
def test_the_compiled_integrals_are_those_of_numpy(name, formula, monkeypatch):
    idata = trees.family_tree(name, formula=formula, chains=1, draws=6)
    monkeypatch.setattr("bayeslmm.analysis.checks.group_quadrature.TOLERANCE", 1e-5)
    monkeypatch.setitem(NODES, 2, (7, 15, 31, 63))
    compiled = group_log_likelihood(idata)
    monkeypatch.setattr("bayeslmm.analysis.checks.likelihood.level_integrals", lambda *_: None)
    plain = group_log_likelihood(idata)
    # Each within 1e-5 of the integral, by what twice as many nodes change.
    np.testing.assert_allclose(np.asarray(compiled.values), plain.values, rtol=0, atol=2e-5)


def test_chunks_of_groups_make_no_difference(monkeypatch):
    monkeypatch.setattr("bayeslmm.analysis.checks.likelihood.level_integrals", lambda *_: None)
    idata = trees.family_tree("poisson", chains=1, draws=6)
    whole = group_log_likelihood(idata)
    monkeypatch.setattr("bayeslmm.analysis.checks.group_quadrature.ENTRIES", 1)
    np.testing.assert_allclose(group_log_likelihood(idata).values, whole.values, rtol=1e-9)


def test_groups_of_binary_rows_with_a_huge_sd_take_more_nodes(monkeypatch):
    draws = trees.random_draws(
        INTERCEPTS, trees.family_data("bernoulli"), draws=5, chains=1, family="bernoulli"
    )
    draws["sd_g"] = 25 * draws["sd_g"]
    idata = trees.make_tree(INTERCEPTS, trees.family_data("bernoulli"), draws, family="bernoulli")
    assert group_log_likelihood(idata).about["nodes"] == 15
    monkeypatch.setitem(NODES, 1, (3, 7))
    with pytest.warns(NumericalWarning, match="not settled: the last doubling, to 7 nodes"):
        group_log_likelihood(idata)


def test_leave_one_out_by_row_and_by_group():
    for name in OTHERS:
        idata = trees.family_tree(name)
        with pytest.warns(NumericalWarning):
            rows = bl.loo(idata)
        assert np.isfinite(rows.elpd)
        with warnings.catch_warnings():
            # Of most families that weights are wild, of hurdles with few rows beyond not.
            warnings.simplefilter("ignore", NumericalWarning)
            groups = bl.loo(idata, unit="group")
        about = groups.elpd_i.attrs
        assert about["integrated"] == "g"
        assert about.get("nodes", 7 if name == "lognormal" else 0) >= 7
        assert np.isfinite(groups.elpd)


def test_integrals_that_quadrature_cannot_take_are_refused_by_name():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "y": rng.integers(0, 2, 24).astype(float),
            "x": rng.normal(size=24),
            "z": rng.normal(size=24),
            "a": np.repeat(list("uvw"), 8),
            "b": np.tile(np.repeat(list("pq"), 4), 3),
            "c": np.tile(list("stst"), 6),
        }
    )
    three = trees.random_tree("y ~ x + (x + z | a)", data, draws=30, family="bernoulli")
    with pytest.raises(TreeError, match="over its 3 random-effect columns; for family 'bernoulli'"):
        bl.loo(three, unit="group")
    nested = trees.random_tree("y ~ x + (1 | a/b)", data, draws=30, family="bernoulli")
    with pytest.raises(TreeError, match="'a:b', which is nested in it"):
        bl.loo(nested, unit="group", factor="a")
    # What stands above, or is crossed, is given, as with Gaussian responses.
    inner = group_log_likelihood(nested, "a:b")
    assert (inner.integrated, inner.conditional) == (("a:b",), ("a",))
    crossed = trees.random_tree("y ~ x + (1 | a) + (1 | c)", data, draws=30, family="bernoulli")
    found = group_log_likelihood(crossed, "c")
    assert (found.integrated, found.conditional) == (("c",), ("a",))


def test_densities_are_compared_with_probabilities_under_a_warning_only():
    counts = trees.family_data("poisson")
    fits = {
        name: trees.random_tree(trees.TINY_FORMULA, counts, chains=2, draws=30, family=name)
        for name in ("poisson", "negbinomial", "gaussian")
    }
    said = "'poisson' (poisson) and 'gaussian' (gaussian): one has probabilities"
    with pytest.warns(NumericalWarning) as caught:
        bl.compare_models(fits)
    assert any(str(one.message).startswith(said) for one in caught)
    del fits["gaussian"]
    with pytest.warns(NumericalWarning) as caught:
        bl.compare_models(fits)
    assert not any("densities" in str(one.message) for one in caught)


def test_models_of_other_trials_do_not_compare():
    data = trees.family_data("binomial")
    options = {"chains": 2, "draws": 30, "family": "binomial"}
    fits = {
        "own": trees.random_tree(trees.TINY_FORMULA, data, trials="size", **options),
        "ten": trees.random_tree(trees.TINY_FORMULA, data, trials=10, **options),
    }
    with pytest.raises(ArgumentError, match="different numbers of trials"):
        bl.compare_models(fits)
