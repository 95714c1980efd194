"""REML and ML with structured random effects: dense normals, other programs, themselves."""

import json
from functools import cache

import dense
import dense_residuals
import numpy as np
import pandas as pd
import pytest
from reml_reference import FOLDER
from structure_fits import objective_of

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, SingularFitWarning
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.kernels.densities import ML, REML
from bayeslmm.reml.search import Objective

SLEEP = bl.load_dataset("sleepstudy")
STRUCTURES = ("cs", "homcs", "ar1", "hetar1", "ou", "toep", "homtoep", "homdiag")
FORMULAS = {
    "alone": "y ~ x + {}(0 + {} | subject)",
    "beside an intercept": "y ~ x + (1 | subject) + {}(0 + {} | subject)",
    "crossed": "y ~ x + {}(0 + {} | subject) + (1 | item)",
    "nested": "y ~ x + (1 | arm) + {}(0 + {} | arm:subject)",
}


def rows():
    """Subjects by visits, two rows each, with items, arms, a gap in time and lost rows."""
    rng = np.random.default_rng(11)
    n, T = 10, 4
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"s{k:02d}" for k in range(n)], 2 * T),
            "arm": np.repeat(["a", "b"] * (n // 2), 2 * T),
            "time": np.tile(np.repeat([0, 1, 2, 4], 2), n),
            "row": np.tile(range(2 * T), n),
            "item": rng.choice(["i", "j", "k"], size=n * 2 * T),
        }
    )
    table["visit"] = table["time"].replace(4, 3)  # without the gap
    table["x"] = rng.normal(size=len(table))
    visits = rng.normal(size=(n, T)).cumsum(axis=1)
    table["y"] = np.repeat(visits.ravel(), 2) + rng.normal(size=len(table)) + 0.3 * table["x"]
    return table.drop(index=[2, 9, 10, 23]).reset_index(drop=True)


def formula(kind, place):
    column = "C(time)" if kind in ("cs", "homcs", "homdiag") else "time"
    column = "visit" if "toep" in kind else column
    return FORMULAS[place].format(kind, column)


def differences(function, at):
    """Central differences with Richardson's correction: good to 1e-9 of smooth functions."""
    out = []
    for step in 1e-3 * np.eye(len(at)):
        near, far = (function(at + k * step) - function(at - k * step) for k in (1, 2))
        out.append((8.0 * near - far) / 12e-3)
    return np.array(out)


@pytest.mark.parametrize("restricted", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("place", FORMULAS)
@pytest.mark.parametrize("kind", STRUCTURES)
def test_criterion_and_gradient_are_those_of_dense_normals(kind, place, restricted):
    design = bl.build_design(formula(kind, place), rows())
    objective = Objective(Gram.from_design(design), REML if restricted else ML)
    rng = np.random.default_rng(3)
    x = (objective.start + 0.3 * rng.normal(size=len(objective.start))) / objective.step
    value, slope = objective(x)
    sigma = objective.sigma
    lams = unpack_factors(objective.gram, objective.relative.packed(objective.step * x))
    expected = dense.criterion(design, lams, sigma, restricted)
    if not restricted:
        # The profiled sigma is the minimum over sigma of the density written out.
        assert expected <= dense.criterion(design, lams, 1.01 * sigma, restricted)
    assert value == pytest.approx(expected, abs=1e-9 * max(1.0, abs(expected)))
    own = differences(lambda at: objective(at, gradient=False)[0], x)
    # Differences of values near 300 with steps of 1e-3 keep 1e-10; the gradient is of order one.
    np.testing.assert_allclose(slope, own, atol=1e-7 * max(1.0, np.abs(own).max()))


@pytest.mark.parametrize("kind", ["ar1", "cs", "homdiag", "toep"])
def test_beside_correlated_residuals_too(kind):
    design = bl.build_design(formula(kind, "crossed"), rows(), residual="ar1(row | subject)")
    objective = objective_of(design, restricted=True)
    rng = np.random.default_rng(4)
    x = (objective.start + 0.3 * rng.normal(size=len(objective.start))) / objective.step
    value, slope = objective(x)
    structure = objective.coordinates.structure
    R = dense_residuals.residual_covariance(design, structure, objective.phi(x))
    lams = unpack_factors(objective.bases.reference, objective.packed(x))
    expected = dense_residuals.criterion(design, lams, R, restricted=True, profiled=True)
    assert value == pytest.approx(expected, abs=1e-9 * max(1.0, abs(expected)))
    own = differences(lambda at: objective(at, gradient=False)[0], x)
    np.testing.assert_allclose(slope, own, atol=1e-7 * max(1.0, np.abs(own).max()))


@pytest.mark.parametrize("kind", STRUCTURES)
def test_variables_are_found_from_factors(kind):
    objective = Objective(Gram.from_design(bl.build_design(formula(kind, "alone"), rows())), REML)
    theta = np.abs(np.random.default_rng(5).normal(size=len(objective.start)))
    packed = objective.relative.packed(theta)
    found = objective.relative.locate(unpack_factors(objective.gram, packed))
    np.testing.assert_allclose(found, theta, rtol=1e-8)


# --- other programs' fits, of glmmTMB 1.1.5 under R 4.2.2 (tests/reference/effects/fits.json)

REFERENCES = {
    fit["id"]: fit for fit in json.loads((FOLDER / "effects/fits.json").read_text())["fits"]
}


@cache
def fitted(formula, method="REML"):
    return bl.fit_reml(formula, SLEEP, method=method)


@pytest.mark.parametrize("name", REFERENCES)
def test_fits_are_the_other_programs(name):
    reference = REFERENCES[name]
    fit = fitted(reference["formula"], reference["method"])
    assert fit.criterion == pytest.approx(reference["minus2"], abs=1e-5)
    assert fit.converged
    assert not fit.is_singular
    assert fit.other_modes.empty
    fixed = reference["fixed"]
    se = np.array(fixed["se"])
    assert np.all(np.abs(fit.fixed_effects["estimate"] - fixed["estimate"]) < 1e-3 * se)
    assert fit.sigma == pytest.approx(reference["sigma"], rel=1e-3)
    sd = np.sqrt(np.diag(fit.covariance["Subject"]))
    np.testing.assert_allclose(sd, reference["sd"], rtol=1e-3)
    if reference["rho"] is not None:
        rho = fit.variance_components["rho"].dropna().iloc[0]
        assert rho == pytest.approx(reference["rho"], rel=1e-3)


AR1 = "Reaction ~ Days + ar1(0 + Days | Subject)"


def test_no_residuals_are_no_mode_beside_ar1():
    """In log(sigma) the likelihood flattens towards zero, where another program has stopped.

    In the variance itself it falls from there: -0.0382 a unit of sigma^2, by the normals written
    out; zero is a place to begin from, and no minimum.
    """
    design = bl.build_design(AR1, SLEEP)
    lag = np.abs(np.subtract.outer(range(10), range(10)))

    def criterion(variance):
        L = np.linalg.cholesky(49.515**2 * 0.79995**lag)
        return dense.criterion(design, [L / np.sqrt(variance)], np.sqrt(variance), restricted=True)

    assert criterion(1e-4) == pytest.approx(1739.206, abs=1e-3)
    assert criterion(1.0) < criterion(1e-4) - 0.03
    objective = Objective(Gram.from_design(design), REML)
    fit = fitted(AR1)
    x = objective.locate([np.linalg.cholesky(49.515**2 * 0.79995**lag) / 0.1])
    assert objective(x, gradient=False)[0] > fit.criterion + 5.0


# --- what a fit says


def test_a_fit_tells_its_few_numbers():
    fit = fitted(AR1)
    assert fit.n_parameters == 5
    table = fit.variance_components
    assert list(table.index) == [("Subject", "Days"), ("Residual", "")]
    assert "Rho" in str(fit)
    assert fit.random_effects["Subject"].shape == (18, 10)
    R = fit.covariance["Subject"].to_numpy()
    sd, rho = table["sd"].iloc[0], table["rho"].iloc[0]
    lag = np.abs(np.subtract.outer(range(10), range(10)))
    np.testing.assert_allclose(R, sd**2 * rho**lag, rtol=1e-9)
    assert bl.check_mode(fit)["is_mode"].all()


def test_wald_intervals_follow_the_criterions_curvature():
    fit = fitted(AR1)
    table = bl.confidence_intervals(fit, "wald", ci_prob=0.6826894921370859)
    assert list(table.index[2:]) == ["sd_Subject[Days]", "rho_Subject", "sigma"]
    design = fit.data
    lag = np.abs(np.subtract.outer(range(10), range(10)))

    def criterion(line):
        sd, rho, sigma = np.exp(line[0]), np.tanh(line[1]), np.exp(line[2])
        L = sd * np.linalg.cholesky(rho**lag) / sigma
        return dense.criterion(design, [L], sigma, restricted=True)

    sd, rho, sigma = table["estimate"].iloc[2:]
    at = np.array([np.log(sd), np.arctanh(rho), np.log(sigma)])
    H = differences(lambda x: differences(criterion, x), at)
    error = np.sqrt(np.diag(2.0 * np.linalg.inv(H)))
    upper = table["upper"].iloc[2:].to_numpy()
    line = np.array([np.log(upper[0]), np.arctanh(upper[1]), np.log(upper[2])])
    # Second differences of values with steps of 1e-3 keep four to five digits.
    np.testing.assert_allclose(line - at, error, rtol=1e-3)


def test_profile_limits_are_refused_by_name():
    with pytest.raises(ArgumentError, match=r"ar1\(... \| Subject\) give method='wald'"):
        bl.confidence_intervals(fitted(AR1))


def test_bounds_of_compound_symmetry_are_its_own():
    fit = bl.fit_reml(formula("cs", "alone"), rows())
    table = bl.confidence_intervals(fit, "wald")
    row = table.loc["rho_subject"]
    assert -1.0 / 3.0 < row["lower"] < row["estimate"] < row["upper"] < 1.0


def test_equal_models_have_equal_fits():
    table = rows()
    two = table[table["time"] < 2]
    free = bl.fit_reml("y ~ x + (0 + C(time) | subject)", two)
    for kind, column in (("cs", "C(time)"), ("hetar1", "time"), ("toep", "time")):
        fit = bl.fit_reml(f"y ~ x + {kind}(0 + {column} | subject)", two)
        assert fit.criterion == pytest.approx(free.criterion, abs=1e-8)
        assert fit.n_parameters == free.n_parameters
    # A positive correlation of all visits is an effect of the subject beside those of its visits.
    one = bl.fit_reml("y ~ x + homcs(0 + C(time) | subject)", table)
    other = bl.fit_reml("y ~ x + (1 | subject) + (1 | subject:time)", table)
    assert one.criterion == pytest.approx(other.criterion, abs=1e-8)
    # The same positions, the same process.
    ar1 = fitted(AR1)
    ou = fitted(AR1.replace("ar1", "ou"))
    assert ou.criterion == pytest.approx(ar1.criterion, abs=1e-8)


def test_variances_without_room_are_singular():
    table = rows()
    rng = np.random.default_rng(2)
    table["y"] = rng.normal(size=len(table))
    table["y"] -= table.groupby(["subject", "time"])["y"].transform("mean")
    with pytest.warns(
        SingularFitWarning, match="standard deviation of 'time' by 'subject' is zero"
    ):
        fit = bl.fit_reml("y ~ x + ar1(0 + time | subject)", table)
    assert fit.is_singular
    plain = bl.fit_reml("y ~ x", table)
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-8)


def test_effects_of_subjects_alone_put_a_correlation_on_its_bound():
    table = rows()
    table["y"] += 5.0 * table["subject"].astype("category").cat.codes
    table["y"] -= table.groupby(["subject", "time"])["y"].transform("mean")
    table["y"] += 3.0 * (table["subject"].astype("category").cat.codes % 4)
    with pytest.warns(SingularFitWarning, match="rho_subject is at its bound 1"):
        fit = bl.fit_reml("y ~ x + ar1(0 + time | subject)", table)
    plain = bl.fit_reml("y ~ x + (1 | subject)", table)
    # Within 2e-7 of the bound of rho, which is a random intercept.
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-3)


def test_what_cannot_be_told_from_residuals_is_refused():
    with pytest.raises(DataError, match=r"'Days' by 'Subject', .* from the residuals"):
        bl.fit_reml("Reaction ~ Days + homtoep(0 + Days | Subject)", SLEEP)


# --- nested models


@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        ("homcs(0 + C(time) | subject)", "cs(0 + C(time) | subject)", 3),
        ("cs(0 + C(time) | subject)", "us(0 + C(time) | subject)", 5),
        ("ar1(0 + time | subject)", "hetar1(0 + time | subject)", 3),
        ("ar1(0 + visit | subject)", "toep(0 + visit | subject)", 5),
        ("homcs(0 + C(visit) | subject)", "toep(0 + visit | subject)", 5),
        ("hetar1(0 + visit | subject)", "(0 + C(visit) | subject)", 5),
        ("diag(0 + C(time) | subject)", "cs(0 + C(time) | subject)", 1),
        ("homdiag(0 + C(time) | subject)", "homcs(0 + C(time) | subject)", 1),
    ],
)
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_structures_are_compared_by_their_own_numbers(small, large, df):
    table = rows()
    one, other = (bl.fit_reml(f"y ~ x + {term}", table) for term in (small, large))
    found = bl.likelihood_ratio_test(one, other)
    assert found["df"].iloc[1] == df
    assert found.attrs["note"] == ""


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_a_covariance_that_has_no_room_is_told():
    table = rows()
    two = [bl.fit_reml(f"y ~ x + {term}", table)
           for term in ("ar1(0 + visit | subject)", "cs(0 + C(visit) | subject)")]  # fmt: skip
    with pytest.raises(
        ArgumentError, match=r"lacks a covariance that cs\(... \| subject\) contains"
    ):
        bl.likelihood_ratio_test(*two)


# --- beside a posterior


@pytest.mark.parametrize("term", ["ar1(0 + time | subject)", "cs(0 + C(time) | subject)"])
def test_a_posterior_is_compared_with_its_fit(term):
    idata = bl.fit_bayes(
        f"y ~ x + {term}",
        rows(),
        parametrization="marginal",
        sampler="importance",
        draws=200,
        random_seed=1,
    )
    table = bl.compare_reml(idata)
    assert "rho_subject" in table.index
    assert table["reml"].notna().all()
    assert table.attrs["deviance"]["least"] > -1e-6


def test_both_modes_are_found_and_told():
    """Alternating visits beside subjects that differ: a correlation of one, or a negative one."""
    rng = np.random.default_rng(1)
    n, T = 6, 6
    e = rng.normal(size=(n, T))
    for k in range(1, T):
        e[:, k] = 0.7 * (e[:, k] - e[:, k - 1])
    y = e + rng.normal(size=n)[:, None] + 0.3 * rng.normal(size=n * T).reshape(n, T)
    table = pd.DataFrame(
        {
            "g": np.repeat([f"s{k}" for k in range(n)], T),
            "t": np.tile(range(T), n),
            "y": y.ravel(),
        }
    )
    with pytest.warns(SingularFitWarning, match="rho_g is at its bound 1"):
        fit = bl.fit_reml("y ~ 1 + ar1(0 + t | g)", table)
    assert len(fit.other_modes) == 1
    other = fit.other_modes.iloc[0]
    assert "another mode" in str(fit)
    assert fit.criterion < other["criterion"]
    assert -0.95 < other["rho_g"] < -0.3
    # It is a minimum of the criterion written out in full, whichever way one steps.
    lag = np.abs(np.subtract.outer(range(T), range(T)))

    def criterion(line):
        L = np.exp(line[0]) * np.linalg.cholesky(np.tanh(line[1]) ** lag)
        return dense.criterion(fit.data, [L / np.exp(line[2])], np.exp(line[2]), restricted=True)

    sd, rho, sigma = other[["sd_g[t]", "rho_g", "sigma"]].to_numpy(float)
    at = np.array([np.log(sd), np.arctanh(rho), np.log(sigma)])
    assert criterion(at) == pytest.approx(other["criterion"], abs=1e-8)
    np.testing.assert_allclose(differences(criterion, at), 0.0, atol=1e-3)
    H = differences(lambda x: differences(criterion, x), at)
    assert np.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0.0
