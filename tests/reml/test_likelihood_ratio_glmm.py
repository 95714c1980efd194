"""Likelihood-ratio tests of fits by `fit_ml`: R's anova of glmer's, and reasons where none is."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, NumericalWarning, SingularFitWarning

HERDS = {"family": "binomial", "trials": "size"}
SEIZURES = "y ~ lbase4 * trt + lage + V4 + (1 | subject)"


@pytest.fixture(scope="module")
def cbpp():
    return bl.load_dataset("cbpp")


@pytest.fixture(scope="module")
def herds(cbpp):
    return bl.fit_ml("incidence ~ period + (1 | herd)", cbpp, **HERDS)


@pytest.fixture(scope="module")
def seizures():
    families = ("poisson", "negbinomial")
    table = bl.load_dataset("epil")
    return [bl.fit_ml(SEIZURES, table, family=f, approximation="laplace") for f in families]


def counts(seed=1):
    rng = np.random.default_rng(seed)
    g, h, x = np.repeat(np.arange(30), 8), np.tile(np.arange(8), 30), rng.normal(size=240)
    y = rng.poisson(np.exp(1.0 + 0.3 * x + 0.5 * rng.normal(size=30)[g]))
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str), "t": y + 1})


def test_two_families_are_tested_as_by_glmer_and_glmmtmb(seizures):
    # Log-likelihoods of lme4 (-665.4744 where its iterations go on, see `pirls`) and glmmTMB.
    table = bl.likelihood_ratio_test(*seizures)
    row = table.iloc[1]
    assert row["chisq"] == pytest.approx(2 * (665.4744261 - 624.9571193), abs=1e-5)
    assert row["df"] == 1
    assert [label.rpartition(", ")[2] for label in table.index] == ["poisson", "negbinomial"]
    assert table.attrs["note"].startswith("In the smaller model one over shape")


@pytest.mark.parametrize("smaller", ["incidence ~ 1 + (1 | herd)", "incidence ~ period"])
def test_it_is_twice_the_difference_in_either_order(cbpp, herds, smaller):
    small = bl.fit_ml(smaller, cbpp, **HERDS)
    for pair in ((small, herds), (herds, small)):
        table = bl.likelihood_ratio_test(*pair)
        row = table.iloc[1]
        assert table.index.tolist() == [small.formula, herds.formula]
        assert row["chisq"] == 2.0 * (herds.log_likelihood - small.log_likelihood)
        assert row["df"] == herds.n_parameters - small.n_parameters
        assert 0.0 < row["p_value"] < 1e-3
        assert ("random effects" in table.attrs["note"]) == ("herd" not in smaller)


def test_rows_in_another_order_are_the_same_rows(cbpp, herds):
    shuffled = cbpp.sample(frac=1.0, random_state=1)
    small = bl.fit_ml("incidence ~ 1 + (1 | herd)", shuffled, **HERDS)
    assert bl.likelihood_ratio_test(small, herds).iloc[1]["df"] == 3


def test_a_negative_binomial_without_overdispersion_is_no_better_than_a_poisson():
    rng = np.random.default_rng(2)
    table = counts().assign(y=rng.binomial(40, 0.25, 240))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        warnings.simplefilter("ignore", SingularFitWarning)
        pair = [bl.fit_ml("y ~ x + (1 | g)", table, family=f) for f in ("poisson", "negbinomial")]
    # With shape at its ceiling the likelihood is lower than the Poisson's, which is its limit.
    assert np.isinf(pair[1].shape)
    assert pair[1].criterion > pair[0].criterion
    row = bl.likelihood_ratio_test(*pair).iloc[1]
    assert (row["chisq"], row["df"], row["p_value"]) == (0.0, 1.0, 1.0)


def test_gaussian_fits_are_tested_as_those_of_fit_reml():
    data = bl.load_dataset("sleepstudy")
    formulas = ("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)")
    by_ml = bl.likelihood_ratio_test(*(bl.fit_ml(f, data) for f in formulas))
    by_reml = bl.likelihood_ratio_test(*(bl.fit_reml(f, data, method="ML") for f in formulas))
    pd.testing.assert_frame_equal(by_ml, by_reml)
    logs = [bl.fit_ml(f, data, family="lognormal") for f in formulas]
    with pytest.raises(ArgumentError, match=r"family gaussian \(identity\), the larger one of log"):
        bl.likelihood_ratio_test(bl.fit_ml(formulas[0], data), logs[1])
    assert bl.likelihood_ratio_test(*logs).iloc[1]["df"] == 2


def test_a_gaussian_model_is_within_a_student_t():
    data = bl.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    small, large = bl.fit_ml(formula, data), bl.fit_ml(formula, data, family="student")
    row = bl.likelihood_ratio_test(large, small).iloc[1]
    assert row["df"] == 1
    assert row["chisq"] > 10.0


REFUSED = {
    "another formula": (("y ~ x + (1 | g)", {}), ("y ~ 1 + (x | g)", {}), "lacks 'x'"),
    "other families": (
        ("y ~ x + (1 | g)", {}), ("t ~ x + (1 | g)", {"family": "gamma"}), "different responses",
    ),
    "the larger family is the smaller model's": (
        ("y ~ 1 + (1 | g)", {"family": "negbinomial"}),
        ("y ~ x + (x | g)", {}),
        "negbinomial (log), the larger one of poisson (log)",
    ),
    "another approximation": (
        ("y ~ x + (1 | g)", {}), ("y ~ x + (1 | g) + (1 | h)", {}), "approximation='laplace'",
    ),
    "fewer rows": (
        ("y ~ 1 + (1 | g)", {"data": counts()[:-1]}), ("y ~ x + (1 | g)", {}), "239 and 240 rows",
    ),
    "other rows": (
        ("y ~ 1 + (1 | g)", {"data": counts(5)}), ("y ~ x + (1 | g)", {}), "different rows",
    ),
    "another offset": (
        ("y ~ 1 + offset(x) + (1 | g)", {}), ("y ~ x + (1 | g)", {}), "different rows",
    ),
    "as many": (("y ~ 1 + (1 | g)", {}), ("y ~ 1 + (1 | h)", {}), "neither is nested"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_with_the_reason(case):
    *sides, words = REFUSED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        warnings.simplefilter("ignore", NumericalWarning)
        pair = [
            bl.fit_ml(formula, **({"data": counts(), "family": "poisson"} | how))
            for formula, how in sides
        ]
    with pytest.raises(ArgumentError, match=re.escape(words)):
        bl.likelihood_ratio_test(*pair)


def test_the_way_out_of_two_approximations_exists():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        small, large = (
            bl.fit_ml(f, counts(), family="poisson", approximation="laplace")
            for f in ("y ~ x + (1 | g)", "y ~ x + (1 | g) + (1 | h)")
        )
    assert bl.likelihood_ratio_test(small, large).iloc[1]["df"] == 1


def test_fits_by_the_two_verbs_are_not_mixed(herds):
    data = bl.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    with pytest.raises(ArgumentError, match="fit both by"):
        bl.likelihood_ratio_test(bl.fit_reml(formula, data, method="ML"), bl.fit_ml(formula, data))
    with pytest.raises(ArgumentError, match="needed"):
        bl.likelihood_ratio_test(herds, "a fit")


def test_the_text_says_where_a_standard_error_of_an_sd_says_little():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 10)
    y = rng.poisson(np.exp(0.5 + 0.2 * rng.normal(size=12)[g]))
    fit = bl.fit_ml("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="poisson")
    sd, error = fit.estimates.loc["sd_g[Intercept]"]
    assert 0.0 < sd < 2.0 * error
    assert "Within two standard errors of zero: sd_g[Intercept]." in repr(fit)
    assert "likelihood_ratio_test" in fit._repr_html_()


def test_the_text_is_silent_where_it_says_much(herds):
    assert "standard errors of zero" not in repr(herds)
