"""REML and ML of residual structures against other programs, and against themselves.

The reference fits are of nlme 3.1-162, glmmTMB 1.1.5 and metafor 3.8-1 under R 4.2.2
(tests/reference/residuals/fits.json, which says what each is of).
"""

import numpy as np
import pandas as pd
import pytest
from structure_fits import ORTHODONT, REFERENCES, fitted, objective_of, table

import bayeslmm as bl
from bayeslmm.errors import DataError, IdentificationWarning, SingularFitWarning


def expected_parameters(reference):  # noqa: PLR0911 - one answer for each kind
    """What the other program's variance parameters are, called and scaled as ours."""
    found, rows = reference["variance"], table(reference["data"])
    sigma, weights, cor = found.get("sigma"), found.get("var", {}), found.get("cor", {})
    kind = reference["id"].split("_")[1]
    if kind == "varident":
        return {f"sigma_by[{sex}]": sigma * ratio for sex, ratio in weights.items()}
    if kind == "unstr":
        visits = list(weights)
        pairs = [(a, b) for k, a in enumerate(visits) for b in visits[k + 1 :]]
        out = {f"sd_residual[{v}]": sigma * ratio for v, ratio in weights.items()}
        return out | {f"corr_residual[{a}, {b}]": r for (a, b), r in zip(pairs, cor, strict=True)}
    if kind == "cs":
        return {"sigma": sigma, "rho_residual": cor["Rho"]}
    if kind == "varexp":
        power = weights["expon"]
        return {"sigma": sigma * np.exp(power * rows["Time"].mean()), "beta_sigma[Time]": power}
    if kind == "varpower":
        power = weights["power"]
        middle = np.log(rows["pressure"]).mean()
        return {"sigma": sigma * np.exp(power * middle), "beta_sigma[log(pressure)]": power}
    if kind == "disp":  # coefficients of the log variance
        first, second = found["disp"].values()
        middle = (rows["Sex"] == "Female").mean()
        at = np.exp(0.5 * (first + second * middle))
        return {"sigma": at, "beta_sigma[Sex[T.Female]]": 0.5 * second}
    if "Phi" in cor:
        # nlme counts visits, which are two years apart, as one step.
        step = 0.5 if reference["data"] == "orthodont" else 1.0
        return {"sigma": sigma, "rho_residual": cor["Phi"] ** step}
    return {}


def expected_sds(reference):
    groups = reference["variance"].get("G", {})
    if "sd_trial" in reference["variance"]:
        return {"trial": [reference["variance"]["sd_trial"]]}
    return {
        name: np.sqrt(np.diag(group["cov"])) if "cov" in group else np.atleast_1d(group["sd"])
        for name, group in groups.items()
        if name != "Subject" or "toep" not in reference["id"]
    }


references = pytest.mark.parametrize("name", REFERENCES)


@references
def test_the_criterion_is_the_other_programs(name):
    reference, fit = REFERENCES[name], fitted(name)
    expected = reference["minus2"]
    if reference["program"].startswith("metafor"):  # which leaves log|X'X| out of REML
        expected += np.linalg.slogdet(fit.data.X.T @ fit.data.X)[1]
    assert fit.criterion == pytest.approx(expected, abs=1e-5)
    assert fit.converged
    assert not fit.is_singular


@references
def test_fixed_effects_are_the_other_programs(name):
    reference, fit = REFERENCES[name], fitted(name)
    se = np.array(reference["fixed"]["se"])
    own = fit.fixed_effects
    assert np.all(np.abs(own["estimate"] - reference["fixed"]["estimate"]) < 1e-3 * se)
    if reference["program"].startswith("glmmTMB"):
        # Its REML errors are larger by what the variances' uncertainty adds, 4.5 % at most.
        assert np.all(own["std_error"] < 1.001 * se)
        assert np.all(own["std_error"] > 0.95 * se)
        return
    if reference["method"] == "ML" and "G" not in reference["variance"]:
        se = se / np.sqrt(fit.n_obs / (fit.n_obs - len(se)))  # gls() multiplies by it
    # The estimates of the variances agree to 1e-3, and errors follow them.
    assert np.all(np.abs(own["std_error"] - se) < 1e-3 * se)


@references
def test_variance_parameters_are_the_other_programs(name):
    reference, fit = REFERENCES[name], fitted(name)
    own = fit.residual_parameters["estimate"]
    for parameter, value in expected_parameters(reference).items():
        assert own[parameter] == pytest.approx(value, rel=1e-3), parameter
    for factor, sds in expected_sds(reference).items():
        np.testing.assert_allclose(
            np.sqrt(np.diag(fit.covariance[factor])), sds, rtol=1e-3, err_msg=factor
        )


def test_a_moving_average_has_the_other_programs_correlations():
    one, two = REFERENCES["ovary_ma2_ML"]["variance"]["cor"].values()
    R = fitted("ovary_ma2_ML").residual_covariance().to_numpy()
    total = 1 + one**2 + two**2
    expected = [1.0, (one + one * two) / total, two / total, 0.0]
    np.testing.assert_allclose(R[0, :4] / R[0, 0], expected, atol=1e-3)


def test_a_toeplitz_matrix_is_that_of_the_other_program():
    reference = REFERENCES["orthodont_G_toep_REML"]["variance"]["G"]["Subject"]
    R = fitted("orthodont_G_toep_REML").residual_covariance().to_numpy()
    sd = np.sqrt(np.diag(R))
    # It stopped with a gradient of 8e-3, so that its estimates are good to 1 % and no more.
    np.testing.assert_allclose(sd, reference["sd"], rtol=1e-2)
    np.testing.assert_allclose(R / np.outer(sd, sd), reference["corr"], atol=1e-2)


# --- identities


def test_equal_spellings_give_equal_fits():
    formula = "distance ~ age*Sex + (1 | Subject)"
    strata = bl.fit_reml(formula, ORTHODONT, sigma="~ 0 + Sex")
    slope = bl.fit_reml(formula, ORTHODONT, sigma="~ Sex")
    assert slope.criterion == pytest.approx(strata.criterion, abs=1e-8)
    names = ["Intercept", "age", "sd_Subject[Intercept]"]
    one, other = (bl.confidence_intervals(f, "wald", parameters=names) for f in (strata, slope))
    # Second differences of values with steps of 1e-3 keep four to five digits.
    np.testing.assert_allclose(one, other, rtol=1e-3)
    plain = bl.fit_reml(formula, ORTHODONT)
    again = bl.fit_reml(formula, ORTHODONT, sigma="~ 1")
    assert again.residual is None
    assert again.criterion == plain.criterion


def test_a_compound_symmetric_matrix_is_a_random_intercept():
    cs = bl.fit_reml("distance ~ age*Sex", ORTHODONT, residual="cs(age | Subject)")
    ri = bl.fit_reml("distance ~ age*Sex + (1 | Subject)", ORTHODONT)
    assert cs.criterion == pytest.approx(ri.criterion, abs=1e-8)
    between, within = ri.variance_components["variance"]
    known = cs.residual_parameters["estimate"]
    assert known["rho_residual"] == pytest.approx(between / (between + within), rel=1e-5)
    assert known["sigma"] ** 2 == pytest.approx(between + within, rel=1e-5)
    assert cs.n_parameters == ri.n_parameters
    assert cs.aic == pytest.approx(ri.aic, abs=1e-8)
    np.testing.assert_allclose(cs.vcov, ri.vcov, rtol=1e-5)


def test_unstructured_residuals_of_complete_visits_have_the_samples_covariance():
    fit = bl.fit_reml("distance ~ 0 + C(age)", ORTHODONT, residual="us(age | Subject)")
    wide = ORTHODONT.pivot_table(index="Subject", columns="age", values="distance", observed=True)
    np.testing.assert_allclose(fit.residual_covariance(), wide.cov(), rtol=1e-5)
    ml = bl.update(fit, method="ML")
    np.testing.assert_allclose(ml.residual_covariance(), wide.cov() * 26 / 27, rtol=1e-5)


def test_an_arms_own_covariances_are_those_of_its_rows_alone():
    whole = bl.fit_reml("distance ~ 0 + Sex + Sex:age", ORTHODONT, residual="us(age | Sex/Subject)")
    parts = [
        bl.fit_reml("distance ~ age", rows, residual="us(age | Subject)")
        for _, rows in ORTHODONT.astype({"Sex": str}).groupby("Sex")
    ]
    assert whole.criterion == pytest.approx(sum(part.criterion for part in parts), abs=1e-6)
    for sex, part in zip(("Female", "Male"), parts, strict=True):
        np.testing.assert_allclose(
            whole.residual_covariance(sex), part.residual_covariance(), rtol=1e-3
        )


def test_known_errors_beside_a_sigma_are_an_effect_of_each_study():
    rows = table("bcg")
    effect = fitted("bcg_meta_REML")
    sigma = bl.fit_reml("yi ~ ablat", rows, se="sei", sigma="~ 1")
    assert sigma.criterion == pytest.approx(effect.criterion, abs=1e-9)
    assert sigma.sigma == pytest.approx(effect.variance_components["sd"].iloc[0], rel=1e-5)
    np.testing.assert_allclose(sigma.vcov, effect.vcov, rtol=1e-5)


def test_positive_correlations_at_equal_gaps_are_a_process_in_continuous_time():
    formula = "Reaction ~ Days + (1 | Subject)"
    steps = fitted("sleepstudy_ri_ar1_REML")
    process = bl.fit_reml(formula, table("sleepstudy"), residual="ou(Days | Subject)")
    assert process.criterion == pytest.approx(steps.criterion, abs=1e-8)
    for name in ("sigma", "rho_residual"):
        one, other = (f.residual_parameters["estimate"][name] for f in (steps, process))
        assert one == pytest.approx(other, rel=1e-4)


def test_starts_far_from_each_other_find_the_lower_of_two_modes():
    """Random slopes and AR(1) explain the same thing: from one start the search ends 0.4 higher."""
    rows = table("sleepstudy")
    with pytest.warns(SingularFitWarning, match="perfectly correlated"):
        fit = bl.fit_reml(
            "Reaction ~ Days + (Days | Subject)", rows, residual="ar1(Days | Subject)"
        )
    design, residual = fit.data, fit.residual
    assert fit.converged
    for rho in np.linspace(-0.9, 0.95, 38):
        objective = objective_of(design, restricted=True)
        x = objective.start.copy()
        x[-1] = np.arctanh(rho)
        assert objective(x / objective.step)[0] > fit.criterion
    assert residual.structure.size == 2


# --- what lies on a bound, and what has no maximum


def test_a_random_intercept_beside_ar1_can_be_zero():
    rng = np.random.default_rng(5)
    e = rng.normal(size=(15, 8))
    for t in range(1, 8):
        e[:, t] = 0.6 * e[:, t - 1] + 0.8 * e[:, t]
    e -= e.mean(axis=1, keepdims=True)
    rows = pd.DataFrame(
        {
            "y": e.ravel(),
            "t": np.tile(range(8), 15),
            "g": np.repeat([f"g{k}" for k in range(15)], 8),
        }
    )
    with pytest.warns(SingularFitWarning, match="standard deviation of 'Intercept' by 'g' is zero"):
        fit = bl.fit_reml("y ~ 1 + (1 | g)", rows, residual="ar1(t | g)")
    without = bl.fit_reml("y ~ 1", rows, residual="ar1(t | g)")
    assert fit.variance_components["sd"].iloc[0] == 0.0
    assert fit.criterion == pytest.approx(without.criterion, abs=1e-8)
    assert fit.converged
    assert bl.check_mode(fit)["is_mode"].all()


def test_a_sigma_beside_known_errors_can_be_zero():
    rows = table("bcg")
    with pytest.warns(SingularFitWarning, match="sigma is zero"):
        fit = bl.fit_reml("yi ~ ablat", rows.assign(sei=5.0), se="sei", sigma="~ 1")
    assert fit.sigma == 0.0
    known = bl.fit_reml("yi ~ ablat", rows.assign(sei=5.0), se="sei")
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-10)
    assert bl.confidence_intervals(fit, "wald").loc["sigma", ["lower", "upper"]].isna().all()


def test_white_noise_has_no_range():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "y": rng.normal(size=96),
            "t": np.tile(range(8), 12),
            "g": np.repeat(list("abcdefghijkl"), 8),
        }
    )
    rows["y"] -= 0.3 * np.roll(rows["y"], 1)  # neighbours differ by more than chance would have it
    with pytest.warns(SingularFitWarning, match="range_residual is at .*, all but zero"):
        fit = bl.fit_reml("y ~ 1", rows, residual="ou(t | g)")
    assert fit.criterion == pytest.approx(bl.fit_reml("y ~ 1", rows).criterion, abs=1e-6)


def females(values):
    rows = ORTHODONT.copy()
    which = rows["Sex"] == "Female"
    rows.loc[which, "distance"] = values(rows[which])
    return rows


def few(count):
    kept = [f"M{k:02d}" for k in range(1, count + 1)]
    return ORTHODONT[ORTHODONT["Subject"].isin(kept)]


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    ("formula", "rows", "residuals", "said"),
    [
        (
            "distance ~ age*Sex + (1 | Subject)",
            females(lambda rows: 17.0 + 0.5 * rows["age"]),
            {"sigma": "~ 0 + Sex"},
            r"The fixed effects fit the 44 rows of sigma_by\[Female\] exactly",
        ),
        (
            "distance ~ age*Sex + (1 | Subject)",
            females(lambda rows: 0.5 * rows["age"] + rows["Subject"].astype("category").cat.codes),
            {"sigma": "~ 0 + Sex"},
            r"has no maximum: it still grows where sigma_by\[Female\]",
        ),
        (
            "distance ~ age",
            few(3),
            {"residual": "us(age | Subject)"},
            "has no maximum: .* corr_residual .* too few groups",
        ),
        (
            "distance ~ 1",
            ORTHODONT.assign(distance=ORTHODONT["Subject"].astype("category").cat.codes % 7),
            {"residual": "ar1(age | Subject)"},
            "has no maximum: it still grows where rho_residual",
        ),
        (
            "distance ~ 1",
            ORTHODONT.assign(distance=ORTHODONT["Subject"].astype("category").cat.codes % 7),
            {"residual": "cs(age | Subject)"},
            "has no maximum: it still grows where rho_residual",
        ),
    ],
)
def test_a_likelihood_without_a_maximum_is_refused(formula, rows, residuals, said, method):
    with pytest.raises(DataError, match=said):
        bl.fit_reml(formula, rows, method=method, **residuals)


def test_a_stratum_of_one_row_has_a_maximum_by_reml_only():
    rows = ORTHODONT.assign(s=["one"] + ["rest"] * 107)
    formula = "distance ~ age*Sex + (1 | Subject)"
    fit = bl.fit_reml(formula, rows, sigma="~ 0 + s")
    assert fit.converged
    with pytest.raises(DataError, match=r"one row .* method='REML'"):
        bl.fit_reml(formula, rows, sigma="~ 0 + s", method="ML")
    with pytest.raises(DataError, match="leaves nothing from which to estimate it"):
        bl.fit_reml("distance ~ age*Sex", rows, sigma="~ 0 + s")


def test_more_coefficients_than_rows_are_refused():
    with pytest.raises(DataError, match="coefficients"):
        bl.fit_reml("distance ~ age*Sex", ORTHODONT.iloc[[0, 70]], residual="ar1(age | Subject)")


def test_parameters_that_trade_off_are_named():
    formula = "distance ~ age*Sex + (1 | Subject)"
    with pytest.warns(IdentificationWarning, match="holds what") as told:
        fit = bl.fit_reml(formula, ORTHODONT, residual="cs(age | Subject)")
    assert len(told) == 1
    assert fit.criterion == pytest.approx(fitted("orthodont_cs_REML").criterion, abs=1e-7)
    # Of two visits, ante-dependence and a random intercept are two words for one covariance.
    pairs = ORTHODONT[ORTHODONT["age"] < 12]
    with pytest.warns(IdentificationWarning, match="sd_Subject, .* from each other"):
        bl.fit_reml(formula, pairs, residual="ad(age | Subject)")
