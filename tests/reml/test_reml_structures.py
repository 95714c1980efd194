"""REML and ML of residual structures: against dense normals, other programs, and themselves.

The reference fits are of nlme 3.1-162, glmmTMB 1.1.5 and metafor 3.8-1 under R 4.2.2
(tests/reference/residuals/fits.json, which says what each is of).
"""

import json
import warnings
from functools import cache

import dense
import dense_residuals
import numpy as np
import pandas as pd
import pytest
from reml_reference import FOLDER

import bayeslmm as bl
from bayeslmm.errors import (
    ArgumentError,
    DataError,
    IdentificationWarning,
    SingularFitWarning,
)
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.reml.structured.coordinates import ResidualCoordinates
from bayeslmm.reml.structured.objective import StructuredObjective

REFERENCES = {
    fit["id"]: fit for fit in json.loads((FOLDER / "residuals/fits.json").read_text())["fits"]
}

table = cache(bl.load_dataset)
# As text, so that some of the children are a table without categories that no row has.
ORTHODONT = table("orthodont").astype({"Subject": str})


@cache
def fitted(name):
    reference = REFERENCES[name]
    return bl.fit_reml(
        data=table(reference["data"]), method=reference["method"], **reference["model"]
    )


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


# --- against dense normals


def crossed():
    """Subjects by items, with an arm, a covariate, known errors, times with a gap, lost rows."""
    rng = np.random.default_rng(7)
    n, T = 12, 4
    rows = pd.DataFrame(
        {
            "subject": np.repeat([f"s{k:02d}" for k in range(n)], T),
            "arm": np.repeat(["a", "b"] * (n // 2), T),
            "visit": np.tile(range(1, T + 1), n),
            "time": np.tile([0, 1, 2, 4], n),
            "item": np.tile(["i", "j", "k"], n * T // 3),
        }
    )
    rows["x"] = rng.normal(size=len(rows))
    rows["error"] = rng.uniform(0.5, 2.0, size=len(rows))
    rows["y"] = rng.normal(size=len(rows)) + np.repeat(rng.normal(size=n), T) + 0.3 * rows["x"]
    return rows.drop(index=[2, 9, 10, 23]).reset_index(drop=True)


STRUCTURES = {
    "strata": {"sigma": "~ 0 + arm"},
    "log-linear": {"sigma": "~ 1 + x"},
    "known": {"se": "error"},
    "beside": {"se": "error", "sigma": "~ 1"},
    "strata beside": {"se": "error", "sigma": "~ 0 + arm"},
    "cs": {"residual": "cs(visit | subject)"},
    "csh": {"residual": "csh(visit | subject)"},
    "us": {"residual": "us(visit | subject)"},
    "us by arm": {"residual": "us(visit | arm/subject)"},
    "toep": {"residual": "toep(visit | subject)"},
    "toeph": {"residual": "toeph(visit | subject)"},
    "ad": {"residual": "ad(visit | subject)"},
    "ar1": {"residual": "ar1(time | subject)"},
    "ar1h": {"residual": "ar1h(visit | subject)"},
    "ou": {"residual": "ou(time | subject)"},
    "ar1 and strata": {"residual": "ar1(time | subject)", "sigma": "~ 0 + arm"},
    "ar1 by arm": {"residual": "ar1(time | arm/subject)"},
    "arma": {"residual": "arma(time | subject, p=1, q=1)"},
}
FORMULAS = {
    "none": "y ~ x",
    "slopes": "y ~ x + (x | subject)",
    "nested": "y ~ x + (1 | arm/subject)",
    "crossed": "y ~ x + (1 | subject) + (1 | item)",
}


def objective_of(design, *, restricted):
    structure = structured_residuals(design.residual)
    coordinates = ResidualCoordinates(structure)
    phi = structure.starts(coordinates.default)[0]
    return StructuredObjective(
        products_of(design, structure), coordinates, phi, restricted=restricted
    )


def dense_value(design, objective, x, *, restricted):
    """-2 log-likelihood by n-by-n normals, and V, at the objective's variables."""
    structure = objective.coordinates.structure
    R = dense_residuals.residual_covariance(design, structure, objective.phi(x))
    widths = [len(factor.terms) for factor in design.factors]
    ends = np.cumsum([0, *(q * q for q in widths)])
    packed = objective.packed(x)
    lams = [packed[a : a + q * q].reshape(q, q) for a, q in zip(ends, widths, strict=False)]
    value = dense_residuals.criterion(
        design, lams, R, restricted=restricted, profiled=objective.coordinates.profiled
    )
    return value, dense_residuals.marginal_covariance(design, lams, R)


def dense_slope(design, objective, x, *, restricted):
    """tr(P dV) - y'P dV P y / s^2, with dV by differences of five points: good to 1e-11 of it."""
    V = dense_value(design, objective, x, restricted=restricted)[1]
    X, y = design.X, dense.response(design)
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    rest = P @ y
    rows = len(y) - (X.shape[1] if restricted else 0)
    scale = y @ rest / rows if objective.coordinates.profiled else 1.0
    slopes = []
    for step in 1e-3 * np.eye(len(x)):
        near, far = (
            dense_value(design, objective, x + k * step, restricted=restricted)[1]
            - dense_value(design, objective, x - k * step, restricted=restricted)[1]
            for k in (1, 2)
        )
        dV = (8.0 * near - far) / 12e-3
        slopes.append(np.sum((P if restricted else inverse) * dV) - rest @ dV @ rest / scale)
    return np.array(slopes)


@pytest.mark.parametrize("restricted", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("formula", ["none", "slopes", "crossed"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_criterion_and_gradient_are_those_of_dense_normals(structure, formula, restricted):
    with warnings.catch_warnings():
        # A compound-symmetric matrix holds what an intercept adds: here only values are asked for.
        warnings.simplefilter("ignore", IdentificationWarning)
        design = bl.build_design(FORMULAS[formula], crossed(), **STRUCTURES[structure])
    objective = objective_of(design, restricted=restricted)
    moved = 0.3 * np.random.default_rng(3).normal(size=len(objective.start))
    x = (objective.start + moved) / objective.step
    value, slope = objective(x)
    expected = dense_value(design, objective, x, restricted=restricted)[0]
    assert value == pytest.approx(expected, abs=1e-9 * max(1.0, abs(expected)))
    assert objective(x, gradient=False)[0] == pytest.approx(value, abs=1e-10 * abs(value))
    steep = dense_slope(design, objective, x, restricted=restricted)
    # Differences of V with steps of 1e-3 leave 1e-10 of it, more where it is nearly singular.
    np.testing.assert_allclose(slope, steep, atol=1e-8 * np.abs(steep).max(initial=1.0))


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    ("formula", "structure"),
    [
        ("slopes", "strata"),
        ("crossed", "ar1"),
        ("none", "us"),
        ("nested", "log-linear"),
        ("crossed", "known"),
        ("none", "strata beside"),
    ],
)
def test_a_fit_is_the_dense_normals(formula, structure, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = bl.fit_reml(FORMULAS[formula], crossed(), method=method, **STRUCTURES[structure])
    design, residual = fit.data, fit.residual
    R = dense_residuals.residual_covariance(design, residual.structure, residual.phi)
    L = [fit.scale * lam for lam in fit.factors]
    restricted = method == "REML"
    value = dense_residuals.criterion(design, L, R, restricted=restricted, profiled=False)
    assert fit.criterion == pytest.approx(value, abs=1e-8)
    V = dense_residuals.marginal_covariance(design, L, R)
    information = design.X.T @ np.linalg.solve(V, design.X)
    beta = np.linalg.solve(information, design.X.T @ np.linalg.solve(V, design.y))
    np.testing.assert_allclose(fit.conditional.beta, beta, atol=1e-8)
    np.testing.assert_allclose(fit.vcov, np.linalg.inv(information), rtol=1e-7)
    rest = np.linalg.solve(V, design.y - design.X @ beta)
    effects = dense.effects_covariance(design, L, 1.0)
    pairs = zip(dense.random_columns(design), effects, fit.conditional.modes, strict=True)
    for Z, G, modes in pairs:
        np.testing.assert_allclose(modes.ravel(), G @ Z.T @ rest, atol=1e-8)
    if method == "REML":
        assert bl.check_mode(fit)["is_mode"].all()


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


# --- what a fit tells


def test_a_fit_shows_its_residuals():
    text = repr(fitted("orthodont_unstr_REML"))
    assert "Residuals: us(age | Subject)" in text
    assert "Residual covariance (correlations above)" in text
    assert "0.5682" in text
    text = repr(fitted("ovary_ri_ar1_ML"))
    assert "Residual parameters" in text
    assert "rho_residual" in text
    html = fitted("orthodont_unstr_REML")._repr_html_()
    assert "Residual covariance (correlations above)" in html


def test_sigma_is_told_where_there_is_one():
    assert fitted("orthodont_cs_REML").sigma == pytest.approx(2.28488, abs=1e-4)
    with pytest.raises(ArgumentError, match="no single sigma"):
        _ = fitted("orthodont_varident_REML").sigma
    with pytest.raises(ArgumentError, match="standard errors are known"):
        _ = fitted("bcg_meta_REML").sigma
    assert len(fitted("bcg_meta_REML").residual_parameters) == 0
    assert fitted("bcg_meta_REML").n_parameters == 3
    assert fitted("orthodont_unstr_REML").n_parameters == 14
    plain = bl.fit_reml("distance ~ age + (1 | Subject)", ORTHODONT)
    assert plain.residual_parameters["estimate"].to_dict() == {"sigma": plain.sigma}


def test_residual_covariances_are_refused_where_there_are_none():
    plain = bl.fit_reml("distance ~ age + (1 | Subject)", ORTHODONT)
    for fit in (plain, fitted("orthodont_varident_REML")):
        with pytest.raises(ArgumentError, match="independent"):
            fit.residual_covariance()
    with pytest.raises(ArgumentError, match="no stratum 'Mal'"):
        fitted("orthodont_unstr_REML").residual_covariance("Mal")


def test_wald_limits_are_those_of_the_observed_information():
    fit = fitted("orthodont_cs_REML")
    limits = bl.confidence_intervals(fit, "wald")
    design, structure = fit.data, fit.residual.structure

    def value(at):
        phi = np.array([np.exp(at[0]), np.tanh(at[1])])
        R = dense_residuals.residual_covariance(design, structure, phi)
        return dense_residuals.criterion(design, [], R, restricted=True, profiled=False)

    sigma, rho = fit.residual_parameters["estimate"]
    point, axes = np.array([np.log(sigma), np.arctanh(rho)]), 1e-3 * np.eye(2)
    H = [
        [value(point + a + b) - value(point + a - b) - value(point - a + b) + value(point - a - b)
         for a in axes]
        for b in axes
    ]  # fmt: skip
    half = 1.959964 * np.sqrt(np.diag(2 * np.linalg.inv(np.array(H) / 4e-6)))
    upper, lower = limits.loc["sigma", "upper"], limits.loc["rho_residual", "lower"]
    assert upper == pytest.approx(sigma * np.exp(half[0]), rel=1e-4)
    assert lower == pytest.approx(np.tanh(point[1] - half[1]), rel=1e-4)


def test_profile_limits_are_refused():
    with pytest.raises(ArgumentError, match="give method='wald'"):
        bl.confidence_intervals(fitted("ovary_gls_ar1_REML"))


# --- tests between structures


def test_structures_are_tested_against_each_other():
    cs, us = fitted("orthodont_cs_REML"), fitted("orthodont_unstr_REML")
    table = bl.likelihood_ratio_test(us, cs)
    assert table["chisq"].iloc[1] == pytest.approx(cs.criterion - us.criterion)
    assert table["df"].iloc[1] == 8
    assert "cs(age | Subject)" in table.index[0]
    assert table.attrs["note"] == ""
    plain = bl.fit_reml("distance ~ age*Sex + (1 | Subject)", ORTHODONT)
    strata = bl.likelihood_ratio_test(plain, fitted("orthodont_varident_REML"))
    assert strata["df"].iloc[1] == 1
    assert strata["p_value"].iloc[1] < 1e-4


def test_zero_in_the_smaller_model_is_noted():
    rows = table("bcg")
    known = bl.fit_reml("yi ~ ablat", rows, se="sei")
    beside = bl.fit_reml("yi ~ ablat", rows, se="sei", sigma="~ 1")
    for larger in (beside, fitted("bcg_meta_REML")):
        assert "bound" in bl.likelihood_ratio_test(known, larger).attrs["note"]
    formula = "distance ~ age*Sex"
    plain = bl.fit_reml(formula, ORTHODONT)
    process = bl.fit_reml(formula, ORTHODONT, residual="ou(age | Subject)")
    assert "ranges" in bl.likelihood_ratio_test(plain, process).attrs["note"]


@pytest.mark.parametrize(
    ("small", "large", "nested"),
    [
        ({"residual": "ar1(age | Subject)"}, {"residual": "toep(age | Subject)"}, True),
        ({"residual": "ar1(age | Subject)"}, {"residual": "ar1h(age | Subject)"}, True),
        ({"residual": "toep(age | Subject)"}, {"residual": "toeph(age | Subject)"}, True),
        ({"residual": "cs(age | Subject)"}, {"residual": "csh(age | Subject)"}, True),
        ({"residual": "ar1(age | Subject)"}, {"residual": "csh(age | Subject)"}, False),
        ({"residual": "ad(age | Subject)"}, {"residual": "toeph(age | Subject)"}, False),
        ({"sigma": "~ 0 + Sex"}, {"residual": "cs(age | Sex/Subject)"}, True),
        ({"sigma": "~ age"}, {"sigma": "~ Sex + C(age)"}, True),
        ({"sigma": "~ age"}, {"sigma": "~ Sex + I(age**2)"}, False),
    ],
)
def test_nested_structures_are_told(small, large, nested):
    fits = [bl.fit_reml("distance ~ age*Sex", ORTHODONT, **k) for k in (small, large)]
    assert fits[0].n_parameters != fits[1].n_parameters or not nested
    if nested:
        assert bl.likelihood_ratio_test(*fits)["chisq"].iloc[1] >= 0.0
        return
    with pytest.raises(ArgumentError, match="nested"):
        bl.likelihood_ratio_test(*fits)


def test_other_known_errors_are_not_nested():
    rows = table("bcg")
    known = bl.fit_reml("yi ~ ablat", rows, se="sei")
    with pytest.raises(ArgumentError, match="same known standard errors"):
        bl.likelihood_ratio_test(known, bl.fit_reml("yi ~ ablat", rows))


# --- what takes a fit


def test_residuals_are_scaled_by_their_own_rows():
    fit = fitted("orthodont_varident_REML")
    raw = bl.residuals(fit)
    sd = (
        ORTHODONT["Sex"]
        .astype(str)
        .map(lambda sex: fit.residual_parameters["estimate"][f"sigma_by[{sex}]"])
    )
    np.testing.assert_allclose(bl.residuals(fit, kind="pearson"), raw / sd.to_numpy())
    with pytest.raises(ArgumentError, match="leave data out"):
        bl.residuals(fit, ORTHODONT, kind="pearson")


def test_normalized_residuals_have_lost_their_correlation():
    fit = fitted("orthodont_unstr_REML")
    white = bl.residuals(fit, kind="normalized").to_numpy()
    raw = bl.residuals(fit).to_numpy()
    R = dense_residuals.residual_covariance(fit.data, fit.residual.structure, fit.residual.phi)
    assert white @ white == pytest.approx(raw @ np.linalg.solve(R, raw), rel=1e-9)


def test_replications_have_the_covariance_of_the_residuals():
    fit = fitted("orthodont_unstr_REML")
    drawn = fit.residual.draw(20_000, np.random.default_rng(0))
    some = np.flatnonzero(fit.data.residual.group == 0)
    expected = fit.residual_covariance().to_numpy()
    # 20,000 draws know a covariance of 5 to 0.05.
    np.testing.assert_allclose(np.cov(drawn[:, some].T), expected, atol=0.25)
    bl.plot_check(fit, random_seed=0)


def test_an_update_keeps_the_residuals_unless_told():
    fit = fitted("orthodont_ar1_REML")
    assert bl.update(fit, method="ML").criterion == pytest.approx(
        fitted("orthodont_ar1_ML").criterion, abs=1e-8
    )
    assert bl.update(fit, residual=None).residual is None
    again = bl.update(fit, ". ~ . + (1 | Subject)", residual=None, sigma="~ 0 + Sex")
    assert again.criterion == pytest.approx(fitted("orthodont_varident_REML").criterion, abs=1e-7)
    assert bl.update(fit, data=ORTHODONT.iloc[10:90]).residual.name == "ar1(age | Subject)"
    with pytest.raises(DataError, match="'week' is none of them"):
        bl.update(fit, residual="us(week | Subject)")
    known = bl.update(fitted("bcg_meta_REML"), ". ~ . - (1 | trial)", sigma="~ 1")
    assert known.criterion == pytest.approx(fitted("bcg_meta_REML").criterion, abs=1e-8)
    weighted = bl.update(fit, residual=None, weights=np.ones(108))
    assert weighted.residual is None


@pytest.fixture(scope="module")
def posteriors():
    how = {"sampler": "importance", "draws": 500, "random_seed": 1}
    return {
        name: bl.fit_bayes(data=table(REFERENCES[name]["data"]), **REFERENCES[name]["model"], **how)
        for name in (
            "orthodont_varident_REML",
            "orthodont_disp_REML",
            "orthodont_unstr_REML",
            "sleepstudy_ri_ar1_REML",
            "bcg_meta_REML",
        )
    }


def test_a_posterior_is_compared_with_reml_of_its_residuals(posteriors):
    for name, idata in posteriors.items():
        table = bl.compare_reml(idata)
        fit = fitted(name)
        for parameter, value in fit.residual_parameters["estimate"].items():
            assert table.loc[parameter, "reml"] == pytest.approx(value, rel=1e-4), parameter
        assert np.isfinite(table[["reml", "reml_se", "mean", "prior_pull"]]).all().all()
        assert set(table["verdict"]) <= {"agrees", "as expected"}, name
        # No draw is likelier than the maximum.
        assert table.attrs["deviance"]["least"] > 0.0
        assert table.attrs["deviance"]["expected"] == fit.n_parameters - len(fit.data.coef)


def test_a_comparison_with_residuals_is_drawn(posteriors):
    figure = bl.plot_comparison(posteriors["orthodont_unstr_REML"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:3] == ["fixed effects", "standard deviations", "correlations"]
    labels = " ".join(t.get_text() for axes in figure.axes for t in axes.get_yticklabels())
    assert "corr_residual" in labels or "residual: 8, 10" in labels
