"""Posteriors beside REML: hand-worked tables, verdicts, real fits of real data."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.reml_comparison.compare import compare_reml
from bayeslmm.analysis.reml_comparison.effects import compare_random_effects
from bayeslmm.analysis.reml_comparison.numbers import draw_deviances, fixed_shift, prior_conflicts
from bayeslmm.analysis.reml_comparison.refit import refit_reml
from bayeslmm.analysis.reml_comparison.verdicts import Evidence, judge
from bayeslmm.design.build import build_design
from bayeslmm.errors import TreeError
from bayeslmm.gram.likelihood import conditional, log_density
from bayeslmm.model.priors.resolve import resolve_priors
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.parameters import list_targets

SLEEP = "Reaction ~ Days + (Days | Subject)"
DYE = "Yield ~ 1 + (1 | Batch)"


def around(center, spread, shape=(4, 500), seed=0):
    """Draws with exactly this mean and standard deviation (divisor n - 1)."""
    z = np.random.default_rng(seed).normal(size=(*shape, *np.shape(center)))
    flat = z.reshape(-1, *np.shape(center))
    z = (z - flat.mean(axis=0)) / flat.std(axis=0, ddof=1)
    return np.asarray(center) + np.asarray(spread) * z


def near_reml(dataset="dyestuff", formula=DYE, shifts=None, priors=None):
    """A tree whose draws lie around REML's estimates, shifted by so many of their sds."""
    data, shifts = bl.load_dataset(dataset), shifts or {}
    fit = fit_reml(formula, data)
    (factor,) = fit.gram.factors
    sd = fit.variance_components["sd"].to_numpy()
    modes = fit.random_effects[factor.name].to_numpy()
    parts = {
        "beta": (fit.fixed_effects["estimate"], fit.fixed_effects["std_error"]),
        f"sd_{factor.name}": (sd[:-1], 0.1 * sd[:-1]),
        "sigma": (sd[-1], 0.1 * sd[-1]),
        f"b_{factor.name}": (modes, np.full(modes.shape, 10.0)),
    }
    draws = {
        name: around(np.asarray(at) + shifts.get(name, 0.0) * np.asarray(by), by, seed=k)
        for k, (name, (at, by)) in enumerate(parts.items())
    }
    tree = trees.make_tree(formula, data, draws)
    if priors is not None:
        design = build_design(formula, data)
        tree.attrs["priors"] = resolve_priors(design, priors).to_json()
    return tree, fit


def evidence(**changes):
    base = Evidence(
        kind="sd", reml=2.0, mean=2.0, median=2.0, sd=1.0, mcse=0.01, low=0.5, high=5.0,
        pull=0.0, freedom=5.0, prior="HalfNormal(sigma=5)", group="6 levels of g",
    )  # fmt: skip
    return replace(base, **changes)


def test_differences_are_in_posterior_sds_and_in_monte_carlo_errors():
    tree, fit = near_reml(shifts={"beta": 0.5, "sigma": -1.0})
    table = compare_reml(tree)
    assert list(table.index) == ["Intercept", "sd_Batch[Intercept]", "sigma"]
    np.testing.assert_allclose(table["diff_sd"], [0.5, 0.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(
        table["diff_mcse"], table["diff_sd"] * table["sd"] / table["mcse_mean"], atol=1e-9
    )
    assert table["reml"]["Intercept"] == pytest.approx(1527.5)  # the mean of balanced data
    assert table["reml_se"]["Intercept"] == pytest.approx(fit.fixed_effects["std_error"].iloc[0])
    assert table["verdict"]["Intercept"] == "differs"
    assert table["verdict"]["sd_Batch[Intercept]"] == "agrees"


def test_standard_errors_of_scales_are_those_of_balanced_data():
    table = compare_reml(near_reml()[0])
    # One-way analysis of variance, six batches of five: sigma^2 is MSE on 24 degrees of freedom,
    # and sigma_b^2 = (MSB - MSE) / 5 with MSB on 5.
    sigma2, total = 49.5101**2, 49.5101**2 + 5 * 42.0006**2
    assert table["reml_se"]["sigma"] == pytest.approx(np.sqrt(sigma2 / 48), rel=1e-4)
    spread = np.sqrt(2 * total**2 / 5 + 2 * sigma2**2 / 24) / 5
    assert table["reml_se"]["sd_Batch[Intercept]"] == pytest.approx(
        spread / (2 * 42.0006), rel=1e-4
    )


def test_the_interval_is_the_one_asked_for():
    table = compare_reml(near_reml()[0], ci_prob=0.5, ci_kind="hdi")
    assert {"hdi50_lb", "hdi50_ub"} < set(table.columns)


def test_a_tree_without_priors_has_no_pull_and_says_so():
    table = compare_reml(near_reml(shifts={"beta": 3.0})[0])
    assert table["prior_pull"].isna().all()
    assert "does not hold its priors" in table["reason"]["Intercept"]


def test_the_predicted_pull_on_fixed_effects_is_exact_for_normal_priors():
    data = bl.load_dataset("sleepstudy")
    design, fit = build_design(SLEEP, data), fit_reml(SLEEP, data)
    priors = resolve_priors(design, {"Days": "Normal(0, 2)", "Intercept": "Normal(200, 20)"})
    # The intercept's prior is on the mean at the predictors' means: beta_0 + 4.5 beta_1.
    C = np.array([[1.0, 4.5], [0.0, 1.0]])
    precision = C.T @ np.diag([1 / 400, 1 / 4]) @ C
    exact = conditional(
        fit.gram, fit.factors, fit.sigma, precision, np.linalg.solve(C, [200.0, 0.0])
    )
    pull = fixed_shift(priors, fit)
    # Second differences of a log-density keep some 1e-10 of it.
    np.testing.assert_allclose(fit.conditional.beta + pull, exact.beta, rtol=1e-8)


def test_the_pull_on_a_scale_is_its_covariance_with_the_log_prior():
    tree, _ = near_reml(priors={"sd": "HalfNormal(10)", "sigma": "Uniform(0, 1000)"})
    del tree.attrs["data_fingerprint"]
    table = compare_reml(tree)
    sd = tree["posterior"]["sd_Batch"].to_numpy().ravel()
    beta = tree["posterior"]["beta"].to_numpy().ravel()
    prior = json.loads(tree.attrs["priors"])["beta"][0]["parameters"]
    log_prior = -0.5 * (sd / 10) ** 2
    log_prior -= 0.5 * ((beta - float(prior["mu"])) / float(prior["sigma"])) ** 2
    expected = np.cov(sd, log_prior)[0, 1] / sd.std(ddof=1)
    assert table["prior_pull"]["sd_Batch[Intercept]"] == pytest.approx(expected, rel=1e-6)


def test_priors_that_contradict_the_data_are_named():
    tree, fit = near_reml(shifts={"sd_Batch": -6.0}, priors={"sd": "HalfNormal(2)"})
    table = compare_reml(tree)
    assert table["verdict"]["sd_Batch[Intercept]"] == "prior"
    assert "HalfNormal(sigma=2) puts 99 % below 5.15" in table["reason"]["sd_Batch[Intercept]"]
    design = build_design(DYE, bl.load_dataset("dyestuff"))
    estimate = table["reml"].to_numpy()
    targets = list_targets(fit.gram)
    assert prior_conflicts(resolve_priors(design), fit, targets, estimate) == ["", "", ""]
    far = resolve_priors(design, {"Intercept": "Normal(0, 100)"})
    assert "puts 99 % below 233" in prior_conflicts(far, fit, targets, estimate)[0]


def test_zero_is_no_surprise_to_a_half_normal_prior_but_to_one_away_from_zero():
    data = bl.load_dataset("dyestuff2")
    design = build_design(DYE, data)
    fit = refit_reml(trees.random_tree(DYE, data, draws=10))
    targets, estimate = list_targets(fit.gram), np.array([5.6656, 0.0, 3.7168])
    half = resolve_priors(design, {"sd": "HalfNormal(1)"})
    away = resolve_priors(design, {"sd": "LogNormal(1, 0.2)"})
    assert prior_conflicts(half, fit, targets, estimate)[1] == ""
    assert "puts 99 % above 1.71" in prior_conflicts(away, fit, targets, estimate)[1]


def test_deviances_are_zero_at_reml_and_twice_the_drop_elsewhere():
    tree, fit = near_reml()
    still = trees.constant_draws(
        (2, 8), beta=[1527.5], sigma=fit.sigma, sd_Batch=[fit.sigma * fit.factors[0][0, 0]],
        b_Batch=np.zeros((6, 1)),
    )  # fmt: skip
    at = trees.make_tree(DYE, bl.load_dataset("dyestuff"), still)
    # Two ways to the same constants; rounding of a criterion of 320.
    np.testing.assert_allclose(draw_deviances(at, fit), 0.0, atol=1e-10)
    assert draw_deviances(tree, fit).min() > 0
    still["sigma"] = still["sigma"] * 1.5
    moved = trees.make_tree(DYE, bl.load_dataset("dyestuff"), still)
    expected, _, _ = log_density(fit.gram, [fit.factors[0] / 1.5], 1.5 * fit.sigma)
    np.testing.assert_allclose(
        draw_deviances(moved, fit), 2 * (fit.log_likelihood - expected), rtol=1e-9
    )


def test_a_draw_that_beats_reml_is_reported():
    tree, fit = near_reml()
    stopped = replace(fit, criterion=fit.criterion + 5.0, scale=1.2 * fit.scale)
    words = compare_reml(tree, fit=stopped).attrs["deviance"]["words"]
    assert "stopped early" in words
    assert compare_reml(tree, fit=fit).attrs["deviance"]["least"] > 0


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"mean": 2.13}, "agrees", ""),  # 0.1 + 4 * 0.01
        ({"mean": 2.13, "mcse": 0.2}, "unclear", "Take more draws"),
        ({"mean": 2.9}, "as expected", "6 levels of g: a right-skewed"),
        ({"mean": 2.9, "freedom": 500.0}, "differs", "more than 6 levels of g explain"),
        ({"mean": 2.9, "freedom": 500.0, "pull": 0.8}, "prior", "pull it by +0.8"),
        ({"mean": 2.9, "freedom": 500.0, "pull": -0.8}, "differs", "priors pull by -0.8"),
        ({"mean": 2.9, "freedom": 500.0, "pull": np.nan}, "differs", "does not hold its priors"),
        ({"mean": 4.5, "low": 3.0, "median": 4.4}, "differs", "outside its central 95 %"),
        ({"reml": 0.0, "mean": 1.0, "median": 0.8, "low": 0.03}, "as expected", "boundary, zero"),
        ({"reml": 0.0, "mean": 5.0, "median": 5.0, "low": 3.0}, "differs", "outside"),
        ({"kind": "corr", "reml": np.nan, "mean": 0.0}, "as expected", "undefined"),
        ({"kind": "corr", "reml": -1.0, "mean": -0.3}, "as expected", "-1, at its bound"),
        (
            {"kind": "corr", "reml": 0.7, "mean": 0.3, "sd": 0.3, "low": -0.4, "high": 0.8},
            *("as expected", "draws it towards zero"),
        ),
        (
            {
                "kind": "corr",
                "reml": 0.91,
                "mean": 0.1,
                "sd": 0.4,
                "low": -0.7,
                "high": 0.8,
                "error": 2.9,
            },
            *("as expected", "standard error 2.9, on a scale from -1 to 1: it says almost nothing"),
        ),
        (
            {
                "kind": "corr",
                "reml": 0.91,
                "mean": 0.1,
                "sd": 0.3,
                "low": -0.7,
                "high": 0.8,
                "error": 0.2,
            },
            *("differs", "outside its central 95 %"),
        ),
        ({"kind": "beta", "mean": 2.2}, "differs", "although the priors hardly pull"),
        ({"kind": "beta", "mean": 2.2, "pull": 0.2}, "prior", "pull it by +0.2"),
        ({"kind": "beta", "mean": 2.2, "others": "x"}, "differs", "priors of x contradict"),
        ({"mean": 2.9, "conflict": "It says no"}, "prior", "It says no: the two contradict"),
        ({"mean": 2.9, "sd": 0.0, "mcse": np.nan, "high": 2.9}, "differs", "do not move"),
        ({"mean": np.nan}, "differs", "there is no REML estimate"),
    ],
)
def test_verdicts_know_what_to_expect(changes, verdict, words):
    found, reason = judge(evidence(**changes))
    assert found == verdict
    assert words in reason


def test_random_effects_are_held_against_conditional_modes():
    tree, fit = near_reml(shifts={"b_Batch": 0.2})
    table = compare_random_effects(tree)
    np.testing.assert_allclose(table["reml"], fit.random_effects["Batch"]["Intercept"])
    np.testing.assert_allclose(table["diff_sd"], 0.2, atol=1e-6)
    error = np.sqrt(fit.prediction_error_covariance["Batch"][:, 0, 0])
    np.testing.assert_allclose(table["reml_se"], error)
    np.testing.assert_allclose(table["reliability"], 1 - error**2 / 42.0006**2, rtol=1e-4)
    assert set(table["verdict"]) == {"agrees"}
    moved = compare_random_effects(near_reml(shifts={"b_Batch": 0.6})[0], "Batch")
    assert set(moved["verdict"]) == {"differs"}  # all are well informed here


def test_poorly_informed_effects_may_be_shrunk_differently():
    data = bl.load_dataset("dyestuff2")
    draws = trees.constant_draws((4, 500), beta=[5.67], sigma=3.7, sd_Batch=[1.0])
    draws["b_Batch"] = around(np.linspace(-0.6, 0.6, 6)[:, None], np.ones((6, 1)))
    table = compare_random_effects(trees.make_tree(DYE, data, draws))
    assert (table["reml"] == 0).all()
    assert (table["reliability"] == 0).all()
    assert table["verdict"].tolist() == [
        *("as expected", "as expected", "agrees", "agrees", "as expected", "as expected")
    ]


def test_a_model_without_random_effects_is_compared_but_has_none_to_compare():
    tree = trees.make_tree(
        "y ~ x", trees.TINY, {"beta": around([2.0, 1.0], [0.5, 0.5]), "sigma": around(1.5, 0.2)}
    )
    assert list(compare_reml(tree).index) == ["Intercept", "x", "sigma"]
    with pytest.raises(TreeError, match=r"no random effects.*\(1 \| group\)"):
        compare_random_effects(tree)
    with pytest.raises(TreeError, match="no grouping factor"):
        compare_random_effects(near_reml()[0], "Bach")


def test_a_given_fit_is_not_computed_again(monkeypatch):
    tree, fit = near_reml()
    monkeypatch.setattr("bayeslmm.analysis.reml_comparison.refit.refit_reml", None)
    assert compare_reml(tree, fit=fit).equals(compare_reml(tree, fit=fit))
    assert len(compare_random_effects(tree, fit=fit)) == 6


@pytest.fixture(scope="module")
def sampled():
    """Short fits; a thousand draws of two chains leave a MCSE of some 0.04 sds."""
    made = {}

    def once(dataset, formula, **settings):
        if dataset not in made:
            settings = {"draws": 1000, "tune": 1000, "chains": 2, "random_seed": 3} | settings
            data = bl.load_dataset(dataset)
            made[dataset] = bl.fit_bayes(formula, data, progressbar=False, **settings)
        return made[dataset]

    return once


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_sleepstudy_agrees_where_it_should(sampled):
    tree = sampled("sleepstudy", SLEEP)
    table = compare_reml(tree)
    assert table["verdict"][["Intercept", "Days"]].tolist() == ["agrees", "agrees"]
    assert set(table["verdict"]) <= {"agrees", "as expected"}
    assert (table["prior_pull"].abs() < 0.2).all()  # weak by design
    assert (compare_random_effects(tree)["verdict"] == "agrees").all()
    deviance = table.attrs["deviance"]
    # Chi-square on 4 degrees of freedom has sd 2.8; 500 autocorrelated draws leave its mean 0.3
    # at most, and 18 levels are not infinitely many.
    assert deviance["expected"] == 4
    assert deviance["mean"] == pytest.approx(4, abs=1.2)
    assert deviance["least"] > 0


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_six_levels_put_the_posterior_mean_of_an_sd_above_reml(sampled):
    # The gap is a quarter of a posterior sd: enough draws for 4 MCSEs to be less.
    table = compare_reml(sampled("dyestuff", DYE, draws=4000, chains=4))
    row = table.loc["sd_Batch[Intercept]"]
    assert row["mean"] > row["reml"]
    assert row["verdict"] == "as expected"
    assert "6 levels of Batch" in row["reason"]
    assert table["verdict"]["Intercept"] == "agrees"


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_a_singular_fit_is_compared_without_failing(sampled):
    table = compare_reml(sampled("dyestuff2", DYE))
    assert table.attrs["singular"]
    row = table.loc["sd_Batch[Intercept]"]
    assert row["reml"] == 0
    assert np.isnan(row["reml_se"])
    assert row["verdict"] == "as expected"
    assert "boundary" in row["reason"]
