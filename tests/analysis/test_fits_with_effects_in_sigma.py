"""New rows, whole likelihoods and refusals of fits with random effects in sigma."""

import numpy as np
import pytest
import structured_twin as twin
import trees
from scipy import stats
from scipy.stats import multivariate_normal

import bayeslmm as bl
from bayeslmm.analysis.checks.likelihood import group_log_likelihood
from bayeslmm.analysis.checks.standardized_effects import LEAST, standardized_effects
from bayeslmm.analysis.sensitivity.power_scaling import log_likelihood
from bayeslmm.errors import ArgumentError, DataError, TreeError

T = trees.STRUCTURED
NAME = "effects in sigma"
# Rounding of ten-by-ten inverses.
EXACT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture(scope="module")
def idata():
    return trees.structured_tree(NAME, chains=4, draws=250)


def flat(array):
    return array.to_numpy().reshape(-1, array.shape[-1])


def white(idata, new, sigma, **options):
    """New observations less their means, in standard deviations of their rows."""
    drawn = flat(bl.predict(idata, new, kind="response", random_seed=2, **options))
    mean = flat(bl.predict(idata, new, kind="link", random_seed=2, **options))
    return (drawn - mean) / sigma


def is_standard_normal(numbers):
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", trees.IN_SIGMA)
def test_likelihoods_are_of_all_rows_together(name):
    idata = trees.structured_tree(name)
    R, eta = twin.covariance(idata, name), twin.eta(idata)
    expected = [multivariate_normal(m, cov).logpdf(T["y"]) for m, cov in zip(eta, R, strict=True)]
    np.testing.assert_allclose(log_likelihood(idata).ravel(), expected, **EXACT)


def test_likelihoods_of_logarithms_have_their_jacobian():
    name = "effects in sigma and ar1"
    idata = trees.structured_tree(name, family="lognormal")
    R, eta, log_y = twin.covariance(idata, name), twin.eta(idata), np.log(T["y"])
    expected = [
        multivariate_normal(m, cov).logpdf(log_y) - log_y.sum()
        for m, cov in zip(eta, R, strict=True)
    ]
    np.testing.assert_allclose(log_likelihood(idata).ravel(), expected, **EXACT)


NEW = {"x": np.array([0.5, 0.5]), "g": np.array(["b", "new"]), "arm": np.array(["v", "w"])}


def typical(idata):
    return twin.sds(idata, "typical", NEW)


def test_new_levels_have_a_typical_sigma(idata):
    known = {**NEW, "g": np.array(["b", "b"])}
    sigma = typical(idata)
    sigma[:, 0] *= np.exp(twin.in_sigma(idata, known)[:, 0])
    is_standard_normal(white(idata, NEW, sigma, new_levels="population"))
    none = white(idata, NEW, typical(idata), random_effects="none")
    is_standard_normal(none)


def test_new_levels_draw_their_sigma_from_its_distribution(idata):
    G = twin._draws(idata, "sd_sigma_g")
    G = G[:, :, None] * twin._draws(idata, "corr_sigma_g") * G[:, None, :]
    z = np.array([1.0, 0.5])
    spread = np.sqrt(np.einsum("i,sij,j->s", z, G, z))
    rest = white(idata, NEW, typical(idata), new_levels="sample")[:, 1]
    # A normal number times the exponential of another one: log|e| has both variances added, and
    # that of a standard normal's logarithm is pi^2 / 8.
    expected = np.pi**2 / 8 + np.mean(spread**2)
    # Of 1,000 draws, whose squares vary more than a normal's.
    assert np.log(np.abs(rest)).var() == pytest.approx(expected, rel=0.25)
    # The same level is the same in any rows.
    other = {k: v[[1, 0, 1]] for k, v in NEW.items()}
    options = {"kind": "response", "new_levels": "sample", "random_seed": 7}
    again = flat(bl.predict(idata, other, **options))
    eta = flat(bl.predict(idata, other, **{**options, "kind": "link"}))
    first, last = np.log(np.abs(again - eta))[:, [0, 2]].T
    assert np.corrcoef(first, last)[0, 1] > 0.1


def test_sigma_can_follow_another_policy_than_the_mean(idata):
    with pytest.raises(DataError, match=r"'sigma_g' has levels that the fit did not see: 'new'"):
        bl.predict(idata, NEW, kind="response", new_levels={"g": "sample", "sigma_g": "error"})
    # What means are made of reads no sigma.
    assert bl.predict(idata, NEW, new_levels="average").shape == (4, 250, 2)
    sigma = typical(idata)
    sigma[:, 0] *= np.exp(twin.in_sigma(idata, {**NEW, "g": np.array(["b", "b"])})[:, 0])
    drawn = white(idata, NEW, sigma, new_levels={"g": "sample", "sigma_g": "population"})
    is_standard_normal(drawn)
    with pytest.raises(ArgumentError, match=r"new_levels names 'sigma_h', .* \(g, sigma_g\)"):
        bl.predict(idata, NEW, new_levels={"sigma_h": "sample"})


def test_effects_in_sigma_are_left_out_by_their_name(idata):
    without = {"x": NEW["x"], "g": np.array(["b", "c"]), "arm": NEW["arm"]}
    drawn = white(idata, without, typical(idata), random_effects=["g"])
    is_standard_normal(drawn)
    with pytest.raises(DataError, match=r"no column 'g'.*'g' and 'sigma_g' out: .*='none'"):
        bl.predict(idata, {"x": [0.0], "arm": ["v"]}, kind="response")
    row = {"x": [0.0], "arm": ["v"]}
    assert bl.predict(idata, row, kind="response", random_effects="none").shape == (4, 250, 1)
    missing = {**NEW, "g": np.array(["b", None], dtype=object)}
    drawn = bl.predict(idata, missing, kind="response", new_levels="population", random_seed=2)
    same = bl.predict(idata, NEW, kind="response", new_levels="population", random_seed=2)
    np.testing.assert_array_equal(drawn, same)


def test_a_factor_of_sigma_alone_is_no_factor_of_the_mean():
    said = {"sigma": "~ 1 + (1 | arm)"}
    values = trees.random_draws("y ~ x + (1 | g)", T, chains=2, draws=30, **said)
    idata = trees.make_tree("y ~ x + (1 | g)", T, values, **said)
    # Of g nothing is in sigma: its levels can be left out, those of arm given.
    found = group_log_likelihood(idata)
    assert (found.integrated, found.conditional) == (("g",), ("sigma_arm",))
    sd, b = twin._draws(idata, "sd_g")[:, 0], twin._draws(idata, "b_sigma_arm")[..., 0]
    labels = idata["posterior"]["sigma_arm"].to_numpy().tolist()
    code = [labels.index(str(a)) for a in T["arm"]]
    sigma = twin._draws(idata, "sigma")[:, None] * np.exp(b[:, code])
    mean = twin._draws(idata, "beta") @ twin.columns(T).T
    rows = np.flatnonzero(T["g"] == "b")
    expected = [
        multivariate_normal(m[rows], np.diag(s[rows] ** 2) + v**2).logpdf(T["y"][rows])
        for m, s, v in zip(mean, sigma, sd, strict=True)
    ]
    np.testing.assert_allclose(found.values[:, 1], expected, **EXACT)
    with pytest.raises(TreeError, match=r"no grouping factor .* Of effects in sigma there are"):
        bl.coefficients(idata, "sigma_arm")
    assert bl.random_effects(idata, "sigma_arm")["level"].tolist() == labels


def test_means_over_groups_of_lognormal_responses_are_refused():
    said = {"sigma": "~ 1 + (1 | g)", "family": "lognormal"}
    values = trees.random_draws("y ~ x + (1 | g)", T, chains=2, draws=30, **said)
    idata = trees.make_tree("y ~ x + (1 | g)", T, values, **said)
    row = {"x": [1.0], "g": ["new"]}
    with pytest.raises(ArgumentError, match=r"over sigmas of groups they have no finite mean"):
        bl.predict(idata, row, new_levels="average")
    eta, sigma = twin._draws(idata, "beta").sum(axis=1), twin._draws(idata, "sigma")
    found = flat(bl.predict(idata, row, new_levels="population"))[:, 0]
    np.testing.assert_allclose(found, np.exp(eta + 0.5 * sigma**2), **EXACT)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (bl.icc, "icc is of groups with one residual variance, .* by 'g'.*r_squared"),
        (bl.design_effect, "design_effect is of groups"),
        (lambda fit: bl.marginal_covariance(fit, level="a"), r"predict\(kind='response'\)"),
        (lambda fit: bl.loo(fit, unit="group"), "leave out single rows, unit='observation'"),
        (bl.refit_reml, "fit_reml takes formulas of sigma without terms in bars"),
        (bl.compare_reml, "fit_reml takes formulas of sigma without terms in bars"),
        (bl.compare_random_effects, "fit_reml takes formulas of sigma without terms"),
        (bl.compare_ml, "fit_reml takes formulas of sigma without terms in bars"),
        (bl.plot_comparison, "fit_reml takes formulas of sigma without terms in bars"),
    ],
)
def test_what_takes_one_residual_variance_is_refused(idata, question, message):
    with pytest.raises(TreeError, match=message):
        question(idata)


def test_standardized_effects_are_those_of_the_draws(idata):
    found = standardized_effects(idata)["g", "x"]
    b, sd = twin._draws(idata, "b_g")[..., 1], twin._draws(idata, "sd_g")[:, 1]
    told = np.mean(sd**2) - b.std(axis=0) ** 2
    kept = told > LEAST * np.mean(sd**2)
    np.testing.assert_allclose(found, b.mean(axis=0)[kept] / np.sqrt(told[kept]), **EXACT)
