"""Profile intervals against published ones, Wald intervals, and the boundary."""

import numpy as np
import pytest

from bayeslmm.errors import ArgumentError, SingularFitWarning
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.intervals import confidence_intervals
from bayeslmm.reml.parameters import list_targets
from bayeslmm.reml.profile import held_deviance
from bayeslmm.tables.datasets import load_dataset


@pytest.fixture(scope="module")
def sleep():
    return fit_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def machines():
    formula = "score ~ Machine + (Machine | Worker)"
    return fit_reml(formula, load_dataset("machines"), method="ML")


def test_sleepstudy_profile_intervals_are_those_of_the_lme4_paper(sleep):
    # Bates et al. (2015), J. Stat. Softw. 67(1), section 5.1: `confint(fm1)`, to the digits
    # printed there. doi:10.18637/jss.v067.i01
    published = {
        "sd_Subject[Intercept]": (14.381, 37.716),
        "corr_Subject[Intercept, Days]": (-0.482, 0.685),
        "sd_Subject[Days]": (3.801, 8.753),
        "sigma": (22.898, 28.858),
        "Intercept": (237.681, 265.130),
        "Days": (7.359, 13.576),
    }
    table = confidence_intervals(sleep)
    assert set(table.index) == set(published)
    for name, (lower, upper) in published.items():
        # Half a unit of the last printed digit, and what lme4's spline adds.
        assert table.loc[name, "lower"] == pytest.approx(lower, abs=1.5e-3)
        assert table.loc[name, "upper"] == pytest.approx(upper, abs=1.5e-3)


def test_limits_are_where_the_deviance_has_risen_by_the_chi_square_quantile(machines):
    from scipy.optimize import minimize
    from scipy.stats import chi2

    targets = list_targets(machines.gram)
    table = confidence_intervals(machines, ci_prob=0.9)
    for name, target in targets.items():
        function, start, bounds = held_deviance(machines, target)
        for side in ("lower", "upper"):
            value = table.loc[name, side]
            best = min(
                minimize(
                    lambda x, v=value, f=function: f(v, x),
                    start * shrink,
                    jac=True,
                    method="L-BFGS-B",
                    bounds=bounds,
                ).fun
                for shrink in (1.0, 0.8)
            )
            # The square of a root found to 1e-6 of the interval's width.
            assert best - machines.criterion == pytest.approx(chi2.ppf(0.9, 1), abs=1e-3)


def test_the_deviance_at_the_estimates_is_the_minimum_and_its_gradient_is_right(machines):
    from bayeslmm.reml.intervals import _estimates

    targets = list_targets(machines.gram)
    estimate = _estimates(machines, targets)
    for name, target in targets.items():
        function, start, _ = held_deviance(machines, target)
        assert function(estimate[name], start)[0] == pytest.approx(machines.criterion, abs=1e-6)
        x = start * 1.1 + 0.05
        slope = function(estimate[name], x)[1]
        for j, axis in enumerate(1e-5 * np.eye(len(x))):
            ends = [function(estimate[name], x + s * axis)[0] for s in (1.0, -1.0)]
            # Error of a central difference of values near 200.
            assert slope[j] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-4)


def test_wald_intervals_of_fixed_effects_are_normal(sleep):
    table = confidence_intervals(sleep, "wald")
    effects = sleep.fixed_effects
    half = 1.959963984540054 * effects["std_error"]
    assert (table.loc[effects.index, "upper"] - effects["estimate"]).to_numpy() == pytest.approx(
        half.to_numpy()
    )
    # For a balanced random intercept sigma^2 has n - m degrees of freedom of its own, so that
    # Var(log sigma) = 1 / (2 (n - m)).
    fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff"))
    sigma = confidence_intervals(fit, "wald", parameters=["sigma"]).loc["sigma"]
    width = np.log(sigma["upper"] / sigma["estimate"])
    assert width == pytest.approx(1.959963984540054 / np.sqrt(2 * 24), rel=1e-3)


def test_wald_and_profile_are_close_where_the_likelihood_is_nearly_quadratic():
    fit = fit_reml("MathAch ~ cses + (cses || School)", load_dataset("mathachieve"))
    profile, wald = (confidence_intervals(fit, method) for method in ("profile", "wald"))
    names = [name for name in profile.index if name != "sd_School[cses]"]
    width = (profile["upper"] - profile["lower"])[names]
    for side in ("lower", "upper"):
        # 160 schools: the profile of an sd is skewed by some per cent of its width.
        assert np.all(np.abs(profile[side] - wald[side])[names] < 0.1 * width)


def test_a_zero_sd_has_a_profile_from_zero_and_no_wald_interval():
    with pytest.warns(SingularFitWarning):
        fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff2"))
    profile = confidence_intervals(fit)
    assert profile.loc["sd_Batch[Intercept]", "lower"] == 0.0
    assert 1.0 < profile.loc["sd_Batch[Intercept]", "upper"] < 3.0
    wald = confidence_intervals(fit, "wald")
    assert np.isnan(wald.loc["sd_Batch[Intercept]", "lower"])


def test_narrower_probabilities_nest(sleep):
    wide, narrow = (confidence_intervals(sleep, ci_prob=p) for p in (0.95, 0.5))
    assert np.all(wide["lower"] < narrow["lower"])
    assert np.all(narrow["upper"] < wide["upper"])


def test_bad_arguments_are_refused(sleep):
    with pytest.raises(ArgumentError, match="method is 'profile' or 'wald'; it was 'boot'"):
        confidence_intervals(sleep, "boot")
    with pytest.raises(ArgumentError, match=r"ci_prob is a probability.*it was 95"):
        confidence_intervals(sleep, ci_prob=95)
    with pytest.raises(ArgumentError, match=r"no parameter 'Dyas'\. Did you mean 'Days'"):
        confidence_intervals(sleep, parameters=["Dyas"])
