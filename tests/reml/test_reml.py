"""fit_reml: what it promises beyond lme4's figures, and what it refuses."""

import warnings
from dataclasses import replace

import dense
import numpy as np
import pandas as pd
import pytest
from designs import KINDS, random_design, random_factors
from scipy.optimize import minimize

from bayeslmm.errors import (
    ArgumentError,
    DataError,
    DataWarning,
    IdentificationWarning,
    NumericalWarning,
    RankDeficiencyWarning,
    SingularFitWarning,
)
from bayeslmm.gram.gram import Gram
from bayeslmm.kernels.densities import ML, REML
from bayeslmm.reml import search
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.search import Objective, search_criterion
from bayeslmm.tables.datasets import load_dataset

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleepstudy():
    return load_dataset("sleepstudy")


def simulate(kind, seed, scale):
    """A response drawn from the model of a random design."""
    rng = np.random.default_rng(1000 + seed)
    design = random_design(kind, seed, n=90)
    y = design.X @ rng.normal(size=3) + rng.normal(size=90)
    lams = random_factors(design, seed, scale)
    for Z, lam in zip(dense.random_columns(design), lams, strict=True):
        y = y + Z @ (rng.normal(size=(Z.shape[1] // len(lam), len(lam))) @ lam.T).ravel()
    return replace(design, y=y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("seed", "scale"), [(1, 0.0), (2, 0.2), (3, 1.0), (4, 5.0)])
def test_no_other_start_finds_a_lower_criterion(kind, seed, scale):
    gram = Gram.from_design(simulate(kind, seed, scale))
    rng = np.random.default_rng(seed)
    for code in (REML, ML):
        found = search_criterion(gram, restricted=code == REML)
        assert found.converged
        objective = Objective(gram, code)
        for size in (0.1, 1.0, 3.0):
            x = size * rng.normal(size=len(objective.start)) / objective.step
            other = minimize(objective, x, jac=True, method="L-BFGS-B")
            assert found.criterion <= other.fun + 1e-6


def test_a_singular_fit_is_exactly_zero_and_warned_of_once():
    with pytest.warns(SingularFitWarning) as record:
        fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff2"))
    assert len(record) == 1
    message = str(record[0].message)
    assert "the standard deviation of 'Intercept' by 'Batch' is zero" in message
    assert record[0].filename == __file__
    assert fit.theta.tolist() == [0.0]
    assert fit.is_singular
    assert "Singular fit" in repr(fit)


def test_a_perfect_correlation_is_singular_and_named():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 10)
    x = np.tile(np.arange(10.0), 20)
    b = rng.normal(size=20)
    y = b[g] * (3.0 + 0.5 * x) + rng.normal(size=200)
    with pytest.warns(SingularFitWarning, match="'Intercept', 'x' by 'g' are perfectly correlated"):
        fit = fit_reml("y ~ x + (x | g)", {"y": y, "x": x, "g": g.astype(str)})
    assert fit.variance_components.loc[("g", "x"), "corr_Intercept"] == pytest.approx(1.0)


@pytest.mark.parametrize(("shift", "unit"), [(0.0, 1e6), (2000.0, 1.0), (1e6, 1e-3)])
def test_the_scale_of_a_slope_changes_units_only(sleepstudy, shift, unit):
    """Intercepts' sd and correlation refer to Days = 0 and move; slope, sigma and fit do not."""
    plain = fit_reml(SLEEP, sleepstudy)
    data = sleepstudy.assign(Days=shift + unit * sleepstudy["Days"])
    fit = fit_reml(SLEEP, data)
    # |X'V^-1 X| and nothing else carries the unit of Days.
    moved = plain.criterion + 2.0 * np.log(unit)
    assert fit.converged
    assert not fit.is_singular
    # The shifted column itself is rounded in its tenth digit where shift / unit is 1e9.
    assert fit.criterion == pytest.approx(moved, abs=1e-5)
    assert fit.sigma == pytest.approx(plain.sigma, rel=1e-4)
    slope = ("Subject", "Days")
    sd = plain.variance_components.loc[slope, "sd"] / unit
    assert fit.variance_components.loc[slope, "sd"] == pytest.approx(sd, rel=1e-4)
    both = fit.fixed_effects.loc["Days"] * unit, plain.fixed_effects.loc["Days"]
    assert both[0].to_numpy() == pytest.approx(both[1].to_numpy(), rel=1e-5)


def test_a_response_with_a_large_mean_keeps_its_fit(sleepstudy):
    plain = fit_reml(SLEEP, sleepstudy)
    fit = fit_reml(SLEEP, sleepstudy.assign(Reaction=sleepstudy["Reaction"] + 1e8))
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-5)
    assert fit.theta == pytest.approx(plain.theta, rel=1e-4)


def test_slopes_on_unscaled_time_with_a_square_converge():
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(30), 16)
    t = np.tile(np.linspace(1.0, 64.0, 16), 30)
    b = rng.normal(size=(30, 3)) * [3.0, 0.2, 0.004]
    y = 10.0 + b[g, 0] + (0.5 + b[g, 1]) * t + b[g, 2] * t**2 + rng.normal(size=480)
    data = pd.DataFrame({"y": y, "t": t, "g": g.astype(str)})
    fit = fit_reml("y ~ t + I(t**2) + (t + I(t**2) | g)", data)
    assert fit.converged
    sd = fit.variance_components["sd"].to_numpy()
    assert sd[1:] == pytest.approx([0.2, 0.004, 1.0], rel=0.5)  # 30 groups: some 13 % each
    scaled = data.assign(t=(t - 32.5) / 20.0)
    other = fit_reml("y ~ t + I(t**2) + (t + I(t**2) | g)", scaled)
    # t -> (t - 32.5) / 20 multiplies |X| by 20^-3.
    assert fit.criterion == pytest.approx(other.criterion + 6.0 * np.log(20.0), abs=1e-6)


def test_weighted_rows_have_the_dense_criterion_at_the_fit():
    design = random_design("slope", 11, weighted=True, offset=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        for method in ("REML", "ML"):
            fit = fit_reml(design, method=method)
            value = dense.criterion(design, list(fit.factors), fit.sigma, method == "REML")
            assert fit.criterion == pytest.approx(value, abs=1e-9)


def test_an_offset_is_subtracted(sleepstudy):
    plain = fit_reml(
        SLEEP, sleepstudy.assign(Reaction=sleepstudy["Reaction"] - 2.0 * sleepstudy["Days"])
    )
    offset = fit_reml("Reaction ~ Days + offset(2 * Days) + (Days | Subject)", sleepstudy)
    assert offset.criterion == pytest.approx(plain.criterion, abs=1e-9)


def test_missing_rows_are_dropped_as_if_they_had_not_been_there(sleepstudy):
    holes = sleepstudy.copy()
    holes.loc[[3, 50, 51], "Reaction"] = np.nan
    with pytest.warns(DataWarning, match="3"):
        fit = fit_reml(SLEEP, holes)
    assert fit.n_obs == 177
    assert fit.criterion == pytest.approx(fit_reml(SLEEP, holes.dropna()).criterion, abs=1e-9)
    with pytest.raises(DataError, match="Reaction"):
        fit_reml(SLEEP, holes, missing="raise")


def test_frames_and_summaries_have_the_promised_shape(sleepstudy):
    fit = fit_reml(SLEEP, sleepstudy)
    assert fit.n_levels == {"Subject": 18}
    assert fit.n_obs == 180
    assert fit.random_effects["Subject"].shape == (18, 2)
    assert fit.random_effects["Subject"].index[0] == "308"
    assert fit.conditional_covariance["Subject"].shape == (18, 2, 2)
    wider = fit.prediction_error_covariance["Subject"] - fit.conditional_covariance["Subject"]
    assert np.all(np.linalg.eigvalsh(wider) > -1e-9)
    assert fit.theta_names == ["Subject.Intercept", "Subject.Days.Intercept", "Subject.Days"]
    text = repr(fit)
    for part in ("fit by REML", "REML criterion: 1743.6283", "Subject, 18", "36.838"):
        assert part in text
    assert text.index("Random effects") < text.index("Fixed effects")
    html = fit._repr_html_()
    assert "<table" in html
    assert "REML criterion: 1743.6283" in html
    ml = repr(fit_reml(SLEEP, sleepstudy, method="ML"))
    assert "AIC 1763.9" in ml  # lme4: 1763.9
    assert "BIC 1783.1" in ml  # lme4: 1783.1


def test_a_model_without_an_intercept_or_any_fixed_effect_fits(sleepstudy):
    fit = fit_reml("Reaction ~ 0 + (1 | Subject)", sleepstudy, method="ML")
    assert fit.fixed_effects.shape == (0, 2)
    design = random_design("intercept", 3, p=0)
    fit = fit_reml(design, method="ML")
    value = dense.criterion(design, list(fit.factors), fit.sigma, False)
    assert fit.criterion == pytest.approx(value, abs=1e-9)


def test_terms_of_one_factor_and_three_levels_fit(sleepstudy):
    split = fit_reml("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleepstudy)
    double = fit_reml("Reaction ~ Days + (Days || Subject)", sleepstudy)
    assert split.criterion == pytest.approx(double.criterion, abs=1e-9)


def test_an_unknown_method_is_refused(sleepstudy):
    with pytest.raises(ArgumentError, match="method is 'REML' or 'ML'; it was 'reml'"):
        fit_reml(SLEEP, sleepstudy, method="reml")


def small(**columns):
    rng = np.random.default_rng(9)
    base = {"y": rng.normal(size=12), "x": rng.normal(size=12), "g": list("aaabbbcccddd")}
    return base | columns


def test_a_factor_with_one_level_is_refused():
    with pytest.raises(DataError, match="'g' has one level only, 'a'"):
        fit_reml("y ~ x + (1 | g)", small(g=["a"] * 12))


def test_a_level_for_every_row_is_refused():
    with pytest.raises(DataError, match=r"cannot tell .*'Intercept' by 'g' from the residuals'"):
        fit_reml("y ~ x + (1 | g)", small(g=[f"l{i:02d}" for i in range(12)]))


def test_dependent_fixed_effects_are_dropped_by_name_or_refused():
    data = small()
    data["twice"] = 2.0 * np.asarray(data["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        with pytest.warns(RankDeficiencyWarning, match="twice"):
            fit = fit_reml("y ~ x + twice + (1 | g)", data)
        alone = fit_reml("y ~ x + (1 | g)", data)
    assert fit.gram.coef == ("Intercept", "x")
    assert fit.criterion == pytest.approx(alone.criterion, abs=1e-9)
    with pytest.raises(DataError, match="twice"):
        fit_reml("y ~ x + twice + (1 | g)", data, rank_deficient="raise")


@pytest.mark.parametrize("weight", [0.0, -2.0])
def test_weights_that_are_not_positive_are_refused(weight):
    weights = np.ones(12)
    weights[4] = weight
    with pytest.raises(DataError, match=r"[Ww]eight"):
        fit_reml("y ~ x + (1 | g)", small(), weights=weights)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
def test_a_constant_response_is_refused():
    with pytest.raises(DataError, match="'y' is 3 in every row"):
        fit_reml("y ~ x + (1 | g)", small(y=np.full(12, 3.0)))


def test_a_response_that_the_fixed_effects_fit_exactly_is_refused():
    data = small()
    data["y"] = 1.0 + 2.0 * np.asarray(data["x"])
    with pytest.raises(DataError, match="fit the response 'y' exactly"):
        fit_reml("y ~ x + (1 | g)", data)


def test_more_fixed_effects_than_rows_are_refused():
    rng = np.random.default_rng(10)
    design = random_design("intercept", 1, n=12, p=12)
    with pytest.raises(DataError, match="12 rows cannot estimate 12 fixed effects"):
        fit_reml(replace(design, y=rng.normal(size=12)))


def test_the_search_does_not_step_over_the_lower_minimum():
    # Whole Newton steps from the start lead to a minimum that is 1.3 higher (469.958), and
    # "converge" there: the first steps go no further than half of all there is.
    gram = Gram.from_design(simulate("nested_and_crossed", 2020, 5.0))
    found = search_criterion(gram, restricted=False)
    assert found.converged
    assert found.criterion == pytest.approx(468.63105, abs=1e-4)  # all the digits that are known


def test_a_search_that_stops_early_says_so(monkeypatch, sleepstudy):
    monkeypatch.setattr(search, "ACCEPTABLE", -1.0)
    with pytest.warns(NumericalWarning, match="a Newton step would still lower"):
        fit = fit_reml(SLEEP, sleepstudy)
    assert not fit.converged
    assert "Not converged" in repr(fit)


def test_standard_deviations_that_the_data_say_nothing_about_are_named():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(8), 10)
    table = {
        "y": rng.normal(size=8)[g] + rng.normal(size=80),
        "g": [f"g{i}" for i in g],
        "same": [f"s{i}" for i in (g * 3) % 8],  # the same rows under other labels
        "zero": np.zeros(80),
    }
    with pytest.warns(IdentificationWarning, match="'Intercept' by 'g'.*'Intercept' by 'same'"):
        fit_reml("y ~ 1 + (1 | g) + (1 | same)", table)
    with pytest.warns(IdentificationWarning, match="'zero' by 'g'"):
        fit_reml("y ~ 1 + (1 | g) + (0 + zero | g)", table)
