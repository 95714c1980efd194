"""Likelihood-ratio tests: R's anova where it applies, and a reason where it does not."""

import pytest

from bayeslmm.datasets import load_dataset
from bayeslmm.errors import ArgumentError
from bayeslmm.likelihood_ratio import likelihood_ratio_test
from bayeslmm.reml import fit_reml


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
