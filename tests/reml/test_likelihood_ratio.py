"""Likelihood-ratio tests: R's anova where it applies, and a reason where it does not."""

import re
import warnings

import numpy as np
import pytest

from bayeslmm.errors import ArgumentError, SingularFitWarning
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.likelihood_ratio import likelihood_ratio_test
from bayeslmm.tables.datasets import load_dataset


@pytest.fixture(scope="module")
def data():
    return load_dataset("sleepstudy")


def fit(data, right, method="ML", response="Reaction"):
    return fit_reml(f"{response} ~ {right}", data, method=method)


def test_sleepstudy_is_r_s_anova(data):
    # anova(fm2, fm1) in lme4: Chisq 0.0639, df 1, p 0.8004 (Bates et al. 2015, section 4.2).
    small, large = fit(data, "Days + (Days || Subject)"), fit(data, "Days + (Days | Subject)")
    for pair in ((small, large), (large, small)):
        row = likelihood_ratio_test(*pair).iloc[1]
        assert row["chisq"] == pytest.approx(0.0639, abs=5e-5)
        assert row["df"] == 1
        assert row["p_value"] == pytest.approx(0.8004, abs=5e-5)
        assert row["aic"] == pytest.approx(1763.94, abs=5e-3)


def test_fixed_effects_are_compared_by_ml_only(data):
    for method in ("ML", "REML"):
        small = fit(data, "1 + (Days | Subject)", method)
        large = fit(data, "Days + (Days | Subject)", method)
        if method == "ML":
            assert likelihood_ratio_test(small, large).iloc[1]["p_value"] < 1e-5
        else:
            with pytest.raises(ArgumentError, match="differ in 'Days'; fit both with method='ML'"):
                likelihood_ratio_test(small, large)


def test_reml_fits_with_the_same_fixed_effects_are_compared(data):
    small = fit(data, "Days + (1 | Subject)", "REML")
    large = fit(data, "Days + (Days | Subject)", "REML")
    row = likelihood_ratio_test(small, large).iloc[1]
    assert row["chisq"] == pytest.approx(1786.4651 - 1743.6283, abs=1e-3)
    assert row["df"] == 2


def test_what_cannot_be_compared_is_refused_with_the_reason(data):
    base = fit(data, "Days + (Days | Subject)")
    with pytest.raises(ArgumentError, match="One fit is by"):
        likelihood_ratio_test(base, fit(data, "Days + (1 | Subject)", "REML"))
    with pytest.raises(ArgumentError, match="The fits use 175 and 180 rows"):
        likelihood_ratio_test(base, fit(data.iloc[:175], "Days + (1 | Subject)"))
    with pytest.raises(ArgumentError, match="different responses"):
        likelihood_ratio_test(base, fit(data, "Days + (1 | Subject)", response="log(Reaction)"))
    other = data.assign(Reaction=data["Reaction"] * 1.01)
    with pytest.raises(ArgumentError, match="different rows"):
        likelihood_ratio_test(base, fit(other, "Days + (1 | Subject)"))
    with pytest.raises(ArgumentError, match="6 parameters, so neither is nested"):
        likelihood_ratio_test(base, base)
    with pytest.raises(ArgumentError, match=r"lacks 'I\(Days \*\* 2\)'"):
        likelihood_ratio_test(fit(data, "I(Days ** 2) + (1 | Subject)"), base)


def nested_pair(small, large):
    rng = np.random.default_rng(5)
    g, k = np.repeat(np.arange(8), 15), rng.integers(0, 6, 120)
    x, f = rng.normal(size=120), np.array(list("abc"))[rng.integers(0, 3, 120)]
    b = rng.normal(size=(8, 2))
    y = 1.0 + x + b[g, 0] + b[g, 1] * x + rng.normal(size=6)[k] + rng.normal(size=120)
    table = {"y": y, "x": x, "f": f, "g": [f"g{i}" for i in g], "k": [f"k{i}" for i in k]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return [fit_reml(formula, table, method="ML") for formula in (small, large)]


@pytest.mark.parametrize(
    ("small", "large", "culprit"),
    [
        ("y ~ x + (0 + x | g)", "y ~ x + (1 | g) + (1 | k)", "the random effect 'x' by 'g'"),
        (
            "y ~ x + (x | g)",
            "y ~ x + (x || g) + (x | k)",
            "the correlation between 'Intercept', 'x' by 'g'",
        ),
    ],
)
def test_random_effects_that_are_not_nested_are_refused_by_name(small, large, culprit):
    with pytest.raises(ArgumentError, match=re.escape(culprit)):
        likelihood_ratio_test(*nested_pair(small, large))


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("y ~ x + (1 | g)", "y ~ x + (x | g)"),
        ("y ~ x + (x || g)", "y ~ x + (x | g)"),
        # Indicators of all categories span the intercept, and are spanned by contrasts with it.
        ("y ~ x + (1 | g)", "y ~ x + (0 + f | g)"),
        ("y ~ x + (0 + f | g)", "y ~ x + (f | g) + (1 | k)"),
    ],
)
def test_random_effects_in_another_coding_are_nested(small, large):
    small, large = nested_pair(small, large)
    table = likelihood_ratio_test(small, large)
    assert table["df"].iloc[1] == large.n_parameters - small.n_parameters > 0


@pytest.fixture(scope="module")
def crossed():
    rng = np.random.default_rng(5)
    a, b, s = (values.ravel() for values in np.meshgrid(range(4), range(4), range(8)))
    effects = rng.normal(size=(8, 4))
    y = (effects[s] * np.c_[np.ones(len(a)), a, b, a * b]).sum(axis=1) + rng.normal(size=len(a))
    f = np.array(list("pqr"))[(a + 2 * b) % 3]
    return {
        "y": y,
        "a": a,
        "b": b,
        "f": f,
        "s": s.astype(str),
        "half": np.array(["lo", "hi"])[a // 2],
    }


@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        ("a:b + (1 | s)", "b*a + (1 | s)", 2),
        ("a + a:f + (1 | s)", "f*a + (1 | s)", 2),
        ("a*b + (1 | s)", "b*a + f + (1 | s)", 2),
        ("a + (1 | s:half)", "a + (1 | half:s) + (1 | s)", 1),
        ("a*b + (0 + a:b | s)", "a*b + (b:a || s)", 1),
    ],
)
def test_the_order_of_a_product_is_no_difference(crossed, small, large, df):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        pair = [fit(crossed, right, response="y") for right in (small, large)]
    assert likelihood_ratio_test(*pair).iloc[1]["df"] == df


def test_the_order_of_a_product_is_no_difference_to_reml(crossed):
    small = fit(crossed, "a*b + (1 | s)", "REML", "y")
    large = fit(crossed, "b*a + (a || s)", "REML", "y")
    assert likelihood_ratio_test(small, large).iloc[1]["df"] == 1


@pytest.mark.parametrize(("structure", "df"), [("homcs", 1), ("cs", 2)])
def test_an_intercept_is_the_bound_of_effects_of_all_categories(structure, df):
    table = load_dataset("sleepstudy")
    table["half"] = np.where(table["Days"] > 4, "late", "early")
    small = fit_reml("Reaction ~ Days + (1 | Subject)", table)
    large = fit_reml(f"Reaction ~ Days + {structure}(0 + half | Subject)", table)
    found = likelihood_ratio_test(small, large)
    assert found["df"].iloc[1] == df
    assert found["p_value"].iloc[1] < 1e-5
    assert "on their bound, one" in found.attrs["note"]
    assert "standard deviations" not in found.attrs["note"]


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_a_deviation_beside_such_effects_is_on_its_bound_too():
    table = load_dataset("sleepstudy")
    table["half"] = np.where(table["Days"] > 4, "late", "early")
    small = fit_reml("Reaction ~ Days + (1 | Subject)", table)
    large = fit_reml("Reaction ~ Days + homcs(0 + half | Subject) + (0 + Days | Subject)", table)
    note = likelihood_ratio_test(small, large).attrs["note"]
    assert "standard deviations of random effects are on their bound, zero" in note
    assert "correlations among random effects are on their bound, one" in note


def test_an_intercept_is_no_bound_of_contrasts():
    table = load_dataset("sleepstudy")
    table["half"] = np.where(table["Days"] > 4, "late", "early")
    small = fit_reml("Reaction ~ Days + (1 | Subject)", table)
    large = fit_reml("Reaction ~ Days + homdiag(0 + half | Subject) + (0 + Days | Subject)", table)
    with pytest.raises(ArgumentError, match="lacks the random effect 'Intercept'"):
        likelihood_ratio_test(small, large)
