"""REML and ML of residual structures against n-by-n normal densities written out in full."""

import warnings

import dense
import dense_residuals
import numpy as np
import pandas as pd
import pytest
from structure_fits import objective_of

import bayeslmm as bl
from bayeslmm.errors import IdentificationWarning, SingularFitWarning


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
