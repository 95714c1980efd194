"""What priors of families say of means and probabilities, and what hangs on them."""

import numpy as np
import pandas as pd
import pytest
import trees
from scipy.special import expit, logit
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.errors import TreeError

pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
FORMULA = trees.TINY_FORMULA
P = 5.5 / 10  # five ones in nine rows, half a success and half a failure added
START = logit(P)


def how(family, **more):
    return {"family": family, **({"trials": "size"} if family in trees.OF_TRIALS else {}), **more}


def adopted(family, *, formula=FORMULA, priors=None, seed=0, **columns):
    data = trees.family_data(family) | columns
    given = how(family)
    draws = trees.random_draws(formula, data, seed=seed, chains=4, draws=250, **given)
    draws |= {"nu": 4 * draws["nu"]} if "nu" in draws else {}
    return bl.adopt(draws, formula, data, priors=priors, random_seed=1, **given)


def describe(family, **more):
    return bl.describe_priors(FORMULA, trees.family_data(family), **how(family, **more))


def test_priors_of_a_logit_are_described_as_probabilities():
    table = describe("bernoulli")
    assert table.loc["Intercept", "q50"] == pytest.approx(START)
    assert table.loc["Intercept", "response_q50"] == pytest.approx(P)
    edge = START + 2.5 * norm.ppf(0.95)
    assert table.loc["Intercept", "response_q95"] == pytest.approx(expit(edge))
    # A coefficient moves the mean response by its change of the column, from where that stands.
    sd = np.std(trees.TINY["x"], ddof=1)
    x = table.loc["x"]
    assert x["q95"] == pytest.approx(2.5 / sd * norm.ppf(0.95))
    assert x["response_q95"] == pytest.approx(expit(START + 2.5 * norm.ppf(0.95)))
    assert x["response_q5"] == pytest.approx(expit(START - 2.5 * norm.ppf(0.95)))
    assert x["response_q50"] == pytest.approx(P)
    upper = table.loc["sd_g[Intercept]"]
    assert upper["response_q95"] == pytest.approx(expit(START + upper["q95"]))
    assert np.isnan(table.loc["corr_g", "response_q50"])
    shown = table.loc[["Intercept", "x", "sd_g[x]"], ["response_q5", "response_q95"]].to_numpy()
    assert ((shown > 0) & (shown < 1)).all()


def test_priors_of_counts_are_described_as_means_and_the_shape_as_itself():
    table = describe("negbinomial")
    mean = trees.RESPONSES["negbinomial"].mean()
    assert table.loc["Intercept", "response_q50"] == pytest.approx(mean)
    assert table.loc["x", "response_q50"] == pytest.approx(mean)
    assert table.index[-1] == "shape"
    assert table.loc["shape", ["response_q5", "response_q95"]].isna().all()
    assert table.loc["shape", "q50"] > 0


def test_the_lognormals_priors_are_described_as_medians():
    table = describe("lognormal")
    median = np.exp(np.log(trees.TINY["y"]).mean())
    assert table.loc["Intercept", "response_q50"] == pytest.approx(median)
    assert np.isnan(table.loc["sigma", "response_q50"])


def test_student_priors_are_in_the_responses_unit_as_the_gaussians():
    gaussian, student = describe("gaussian"), describe("student")
    pd.testing.assert_frame_equal(student.drop(index="nu"), gaussian)
    assert np.isnan(student.loc["nu", "response_q50"])


def test_coefficients_of_a_model_without_intercept_carry_the_level():
    table = bl.describe_priors("y ~ 0 + g", trees.family_data("bernoulli"), family="bernoulli")
    assert table["response_q50"].tolist() == pytest.approx([P] * 3)


def test_a_tree_and_priors_by_themselves_describe_as_the_formula_does():
    tree = adopted("binomial")
    expected = describe("binomial")
    pd.testing.assert_frame_equal(bl.describe_priors(tree), expected)
    alone = bl.describe_priors(bl.Priors.from_json(tree.attrs["priors"]))
    assert alone["response_q50"].isna().all()
    same = ["distribution", "q5", "q50", "q95", "origin"]
    pd.testing.assert_frame_equal(alone[same], expected[same])


def test_implied_means_are_those_of_the_priors():
    data = trees.family_data("bernoulli")
    priors = {"Intercept": "Normal(0, 1.5)", "beta": "Normal(0, 0.001)", "sd": "HalfNormal(0.001)"}
    tree = bl.sample_prior(
        FORMULA, data, priors=priors, draws=20_000, random_seed=2, family="bernoulli"
    )
    table = bl.implied_priors(tree)
    expected = expit(1.5 * norm.ppf([0.05, 0.25, 0.5, 0.75, 0.95]))
    # Monte Carlo error of these quantiles of 20,000 draws is some 0.004.
    np.testing.assert_allclose(table.loc["mean[typical]"], expected, atol=0.015)
    np.testing.assert_allclose(table.loc["mean[rows]"], expected, atol=0.015)
    assert (table.loc["icc[g]"] < 1e-5).all()


def test_default_priors_leave_much_near_zero_and_one():
    data = trees.family_data("bernoulli")
    tree = bl.sample_prior(FORMULA, data, draws=2000, random_seed=2, family="bernoulli")
    table = bl.implied_priors(tree)
    assert table.loc["mean[rows]", "q5"] < 0.01
    assert table.loc["mean[rows]", "q95"] > 0.99


@pytest.mark.parametrize("family", ["poisson", "negbinomial", "gamma", "beta", "student"])
def test_implied_quantities_are_numbers_for_every_family(family):
    data = trees.family_data(family)
    tree = bl.sample_prior(FORMULA, data, draws=500, random_seed=2, family=family)
    table = bl.implied_priors(tree)
    assert not table.isna().any().any()
    assert ("mean[rows]" in table.index) == (family != "student")
    assert table.loc["icc[g]"].between(0, 1).all()


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning")
@pytest.mark.parametrize("family", ["bernoulli", "binomial", "negbinomial", "beta", "student"])
def test_sensitivity_is_to_the_familys_own_priors(family):
    tree = adopted(family)
    parameters = [p.name for p in bl.build_design(
        FORMULA, trees.family_data(family), **how(family)
    ).family.parameters]  # fmt: skip
    table = bl.prior_sensitivity(tree)
    assert list(table.columns[4:]) == ["beta", "sd_g", "corr_g", *parameters]
    assert set(parameters) <= set(table.index)
    assert ("sigma" in table.index) == (family == "student")
    assert np.isfinite(table.drop(columns="diagnosis").to_numpy(dtype=float)).all()
    for name in parameters:
        alone = bl.prior_sensitivity(tree, groups=[name])
        assert alone[name].loc[name] > 0


@pytest.mark.parametrize("family", ["bernoulli", "binomial", "negbinomial", "student"])
def test_the_likelihood_scaled_has_one_factors_effects_integrated_out(family):
    formula = "y ~ x + (1 | g)"
    tree = adopted(family, formula=formula)
    scaled = bl.sensitivity_tree(tree)["log_likelihood"]["y"].to_numpy().ravel()
    design = bl.build_design(formula, trees.family_data(family), **how(family))
    posterior = tree["posterior"]
    phi = {p.name: posterior[p.name].to_numpy().ravel() for p in design.family.parameters}
    eta = design.X @ posterior["beta"].to_numpy().reshape(-1, 2).T
    sd = posterior["sd_g"].to_numpy().ravel()
    known = None if design.known is None else design.known[:, None]
    points = np.linspace(-8, 8, 400)
    weights = norm.logpdf(points) + np.log(points[1] - points[0])
    total = np.zeros((3, len(points), len(sd)))
    for k, z in enumerate(points):
        rows = design.family.log_density(design.y[:, None], eta + z * sd, phi, known)
        for level in range(3):
            total[level, k] = rows[design.factors[0].index == level].sum(axis=0) + weights[k]
    expected = np.logaddexp.reduce(total, axis=1).sum(axis=0)
    # As many nodes are taken as change a log-density by less than 0.01 in all.
    np.testing.assert_allclose(scaled, expected, atol=0.01)


@pytest.mark.parametrize("family", ["bernoulli", "binomial", "student"])
def test_with_several_factors_it_is_that_of_the_rows_given_the_effects(family):
    tree = adopted(family, formula="y ~ 1 + (1 | g) + (1 | h)", h=list("uvwuvwuvw"))
    scaled = bl.sensitivity_tree(tree)["log_likelihood"]["y"]
    rows = bl.add_log_likelihood(tree)["log_likelihood"]["y"]
    np.testing.assert_allclose(scaled, rows.sum("obs"), rtol=1e-10)
    lacking = tree.copy()
    lacking["posterior"].dataset = tree["posterior"].to_dataset().drop_vars("b_h")
    with pytest.raises(TreeError, match="b_h"):
        bl.prior_sensitivity(lacking)


def test_the_lognormals_likelihood_has_the_effects_integrated_out():
    draws = trees.random_draws(FORMULA, trees.TINY)
    one = bl.adopt(draws, FORMULA, trees.TINY, family="lognormal")
    other = bl.adopt(draws, FORMULA.replace("y", "log(y)"), trees.TINY)
    one, other = (bl.sensitivity_tree(t)["log_likelihood"].to_dataset() for t in (one, other))
    np.testing.assert_allclose(one["y"], other["log(y)"])


def test_the_shift_is_the_covariance_with_the_log_prior():
    tree = adopted("negbinomial")
    log_prior = sum(tree["log_prior"].data_vars.values()).to_numpy().ravel()
    shape = tree["posterior"]["shape"].to_numpy().ravel()
    expected = np.log(2) * np.cov(shape, log_prior)[0, 1] / shape.std(ddof=1)
    assert bl.prior_sensitivity(tree).loc["shape", "shift"] == pytest.approx(expected)
