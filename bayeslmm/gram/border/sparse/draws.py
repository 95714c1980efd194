"""Exact draws of beta and all effects given relative factors, by a sparse Cholesky factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.gram.border.draws import draw_beta
from bayeslmm.gram.border.sparse_factor import factored, half_of_fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


class SparseDraws(NamedTuple):
    """Draws at one relative factor."""

    beta: Floats  # (s, p)
    effects: list[Floats]  # (s, m, q) of each factor, by the rows' levels
    logdet: float  # log|V| there
    cross: Floats  # T there, (p + 1, p + 1)


def draw_sparsely(
    gram: Gram,
    lams: Sequence[Floats],
    sigma: Floats,
    rng: np.random.Generator,
    *,
    prior: tuple[Floats, Floats],
    beta: Floats | None = None,
) -> SparseDraws:
    r"""Draw fixed and random effects given relative factors, one draw for each sigma.

    .. math:: v \mid \beta, \sigma \sim
              N\big(Q^{-1} F' Z' (r - X_s \delta),\; \sigma^2 Q^{-1}\big), \qquad b = \Lambda v

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (q, q)
        Lambda of each factor.
    sigma : ndarray, shape (s,)
        Residual standard deviations.
    rng : numpy.random.Generator
        Draws the normals.
    prior : tuple of ndarray, shapes (p,) and (p, p)
        Mean and precision of beta's normal prior; zero precision is flat.
    beta : ndarray, shape (s, p), optional
        Fixed effects on the original scale, where they are known already.

    Returns
    -------
    SparseDraws

    Raises
    ------
    NumericalError
        If Q cannot be factored.
    """
    effects, F, factor = factored(gram, lams)
    half = half_of_fixed(effects, factor, F)
    T = gram.cross - half.T @ half
    if beta is None:
        beta = draw_beta(gram, T, sigma, prior, rng)
    left = np.vstack([-(gram.scale @ (beta - gram.origin).T), np.ones(len(sigma))])
    columns = half @ left + sigma * rng.standard_normal((len(half), len(sigma)))
    v = factor.half_solve_transposed(columns)
    drawn = [
        np.ascontiguousarray(np.moveaxis(effects.of_levels(k, v), 2, 0) @ lam.T)
        for k, lam in enumerate(lams)
    ]
    return SparseDraws(beta, drawn, effects.log_determinant(factor), T)
