"""Fixed effects of a generalised linear model without random effects: where a search begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.ordinal.sticks import THRESHOLD
from bayeslmm.kernels.families.codes import CODES
from bayeslmm.kernels.families.rows import rows

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Parameters

_STEPS = 15
# Linear predictors move by no more in one step: far out, weights vanish.
_LONGEST = 3.0
_ENOUGH = 1e-4


def fit_without_effects(
    design: Design, X: Floats, phi: Parameters, first: Floats, precision: Floats
) -> tuple[Floats, Floats]:
    r"""Fit fixed effects by penalised iteratively reweighted least squares.

    .. math:: (X' W X + P) \, \Delta = X' W (y - \mu) / \mu' - P (\beta - \beta_0)

    Parameters
    ----------
    design : Design
        The data.
    X : ndarray, shape (n, p)
        Its columns, or those less their means.
    phi : mapping
        The family's parameters.
    first : ndarray, shape (p,)
        beta_0: where to begin, and what the penalty draws to.
    precision : ndarray, shape (p,)
        Diagonal of P.

    Returns
    -------
    beta : ndarray, shape (p,)
        A finite point, near the maximum where there is one.
    errors : ndarray, shape (p,)
        Standard errors there.
    """
    family = design.family
    trials = design.trials if design.trials is not None else 1.0
    offset = 0.0 if design.offset is None else design.offset
    scale = uncensored(family).gaussian_scale
    y = design.gaussian_response if scale is not None else design.y
    beta, information = first.copy(), np.diag(precision)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            eta = X @ beta + offset
            if family.response.ordered:
                _, pulls, weights = _rows(design, eta, phi)
                slope, variance, residual = np.ones_like(eta), 1.0 / weights, pulls / weights
            elif scale is None:
                slope = trials * family.mean_slope(eta, phi)
                variance = family.variance(eta, phi, design.known)
                residual = y - trials * family.mean(eta, phi)
            else:
                slope, residual = np.ones_like(eta), y - eta
                variance = np.full_like(eta, np.square(phi["sigma"]))
            variance = np.where(np.isfinite(variance), variance, 1.0)
            weight = np.nan_to_num(slope**2 / variance, posinf=0.0)
            pull = np.nan_to_num(slope * residual / variance, posinf=0.0, neginf=0.0)
            information = (X.T * weight) @ X + np.diag(precision)
            gradient = X.T @ pull - precision * (beta - first)
            step = np.linalg.lstsq(information, gradient, rcond=None)[0]
            longest = np.abs(X @ step).max(initial=0.0)
            step *= min(1.0, _LONGEST / max(longest, 1e-300))
            if not np.isfinite(step).all():
                break
            beta = beta + step
            if longest < _ENOUGH:
                break
        errors = np.sqrt(np.abs(np.diag(np.linalg.pinv(information))))
    return beta, errors


def _rows(design: Design, eta: Floats, phi: Parameters) -> tuple[Floats, Floats, Floats]:
    """Return log-densities of rows of ordered categories, their slopes and curvatures in eta."""
    code, known = CODES[design.family.name, design.family.link.name], np.ones(design.n)
    cuts = for_kernels("thresholds", np.asarray(phi[THRESHOLD]), np.float64, (None,))
    found = rows(code, np.ascontiguousarray(eta), design.y, known, cuts)
    return found[0], found[1], found[2]
