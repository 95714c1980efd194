"""The criteria of `kernels.densities.evaluate` by a sparse factor of all effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.solution import slopes_of_T
from bayeslmm.gram.border.sparse.density import At, density_sparsely
from bayeslmm.gram.border.sparse_factor import pattern_of, solve_effects, sparse_effects
from bayeslmm.kernels.densities import DENSITY, ML_AT_COEFFICIENT, ML_AT_SIGMA, REML

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


def criterion_sparsely(
    gram: Gram,
    lams: Sequence[Floats],
    kind: int,
    held: tuple[float, Floats],
    *,
    gradient: bool = True,
) -> tuple[float, Floats, float]:
    """Compute one of the criteria of `densities.evaluate`, which know no prior of beta.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    kind : int
        `DENSITY`, `REML`, `ML`, `ML_AT_SIGMA` or `ML_AT_COEFFICIENT`.
    held : tuple of float and ndarray, shape (p,)
        Sigma, where it is held; or the value of the combination of beta that is, and its weights.
    gradient : bool
        Whether to compute it; zero otherwise.

    Returns
    -------
    value, d_packed, extra : float, ndarray, float
        As `densities.evaluate` gives them.
    """
    if kind == DENSITY:
        p = len(gram.coef)
        at = At(lams, held[0], None, np.zeros(p), np.zeros((p, p)))
        value, slopes = density_sparsely(gram, at, gradient=gradient)
        return value, _packed(slopes.lams), slopes.sigma
    effects, nothing = sparse_effects(gram), _packed([np.zeros(lam.shape) for lam in lams])
    F = [of.scale @ lam for of, lam in zip(gram.factors, lams, strict=True)]
    factor = effects.factorize(pattern_of(effects), F)
    if factor is None:
        return np.inf, nothing, np.nan
    T, joint = solve_effects(effects, factor, F, gram.cross)
    value, Tbar, extra = _finish(gram, T, effects.log_determinant(factor), kind, held)
    if not gradient or not np.isfinite(value):
        return value, nothing, extra
    left = effects.fixed - effects.multiply(effects.turned(F, joint))
    ends = effects.starts[1:-1]
    of_T = slopes_of_T(Tbar, np.split(left, ends), np.split(joint, ends), [len(own) for own in F])
    of_logdet = effects.logdet_slopes(F, factor)
    parts = zip(gram.factors, of_T, of_logdet, strict=True)
    return value, _packed([of.scale.T @ (a + b) for of, a, b in parts]), extra


def _packed(parts: list[Floats]) -> Floats:
    return np.concatenate([np.zeros(0), *(part.ravel() for part in parts)])


def _finish(
    gram: Gram, T: Floats, logdet: float, kind: int, held: tuple[float, Floats]
) -> tuple[float, Floats, float]:
    """Finish a criterion from T and log|V|: it, its derivative in T, and what is told besides."""
    p, n = len(gram.coef), gram.power
    at, direction = held
    covariance = np.linalg.inv(T[:p, :p]) if p else np.zeros((0, 0))
    moved = covariance @ T[:p, p]
    if kind == ML_AT_COEFFICIENT:
        turned = np.linalg.solve(gram.scale.T, direction)
        miss = at - direction @ gram.origin - turned @ moved
        moved = moved + covariance @ turned * (miss / (turned @ covariance @ turned))
    v = np.append(-moved, 1.0)
    square, outer = float(v @ T @ v), np.outer(v, v)
    if not square > 0.0:
        return np.inf, np.zeros_like(T), np.nan
    if kind == ML_AT_SIGMA:
        value = n * np.log(2.0 * np.pi * at**2) + logdet - gram.sum_log_weights + square / at**2
        return float(value), outer / at**2, float(2.0 * n / at - 2.0 * square / at**3)
    dof = n - (p if kind == REML else 0)
    value = dof * (1.0 + np.log(2.0 * np.pi * square / dof)) + logdet - gram.sum_log_weights
    Tbar = outer * (dof / square)
    if kind == REML:
        Tbar[:p, :p] += covariance
        value -= np.linalg.slogdet(covariance)[1] - 2.0 * np.linalg.slogdet(gram.scale)[1]
    return float(value), Tbar, float(np.sqrt(square / dof))
