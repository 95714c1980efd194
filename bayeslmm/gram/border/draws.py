r"""Exact draws of beta and all effects given relative factors, without a dense matrix.

With :math:`\tilde u = L' u` the border's effects given beta and sigma are

.. math:: \tilde u \sim N\big((I - A)^{-1} r, \; \sigma^2 (I - A)^{-1}\big),

the root of whose covariance the Lanczos method multiplies with standard normals; those of the
factor that is eliminated follow from them level by level. Cross-products are all it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.lanczos import inverse_root
from bayeslmm.gram.border.operator import times
from bayeslmm.gram.border.solution import given_border, right_sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Columns, Floats
    from bayeslmm.gram.border.operator import Operator
    from bayeslmm.gram.border.solution import Solution
    from bayeslmm.gram.gram import Gram

# Of the last Lanczos coefficient beside the largest: its square is what covariances are off by,
# and thousands of draws tell them to a hundredth.
_TOLERANCE = 1e-4
_DOUBLE: np.dtype[np.floating] = np.dtype(np.float64)


def draw_beta(
    gram: Gram,
    T: Floats,
    sigma: Floats,
    prior: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> Floats:
    """Draw fixed effects given relative factors, one for each sigma.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r].
    sigma : ndarray, shape (s,)
        Residual standard deviations.
    prior : tuple of ndarray, shapes (p,) and (p, p)
        Mean and precision of beta's normal prior; zero precision is flat.
    rng : numpy.random.Generator
        Draws the normals.

    Returns
    -------
    ndarray, shape (s, p)
    """
    p, (mean, precision) = len(gram.coef), prior
    inverse = np.linalg.inv(gram.scale)
    turned = inverse.T @ precision @ inverse
    pulled = turned @ (gram.scale @ (mean - gram.origin))
    normals, out = rng.standard_normal((len(sigma), p)), np.empty((len(sigma), p))
    for k, own in enumerate(sigma):
        root = np.linalg.cholesky(T[:p, :p] / own**2 + turned)
        half = np.linalg.solve(root, T[:p, p] / own**2 + pulled)
        out[k] = gram.origin + inverse @ np.linalg.solve(root.T, half + normals[k])
    return out


def draw_given_beta(
    operator: Operator,
    solution: Solution,
    factors: Sequence[Floats],
    point: tuple[Floats, Floats],
    rng: np.random.Generator,
    *,
    precision: np.dtype[np.floating] = _DOUBLE,
) -> list[Floats]:
    """Draw all random effects given fixed effects and sigma, one draw for each of them.

    Parameters
    ----------
    operator : Operator
        At the relative factors.
    solution : Solution
        There.
    factors : sequence of ndarray, shapes (q, q)
        Lambda of each factor.
    point : tuple of ndarray, shapes (s, p) and (s,)
        Fixed effects on the original scale, and residual standard deviations.
    rng : numpy.random.Generator
        Draws the normals.
    precision : dtype
        Of what is drawn around the means; single where `Probes.precision` is.

    Returns
    -------
    list of ndarray, shapes (s, m, q)
        In the Gram's order.
    """
    gram, products, (beta, sigma) = operator.gram, operator.products, point
    left = np.vstack([-(gram.scale @ (beta - gram.origin).T), np.ones(len(sigma))])
    border, first = _spread(operator, sigma, rng, precision)
    border += solution.scaled @ left
    own, _ = right_sides(operator)
    first += own @ left
    first = given_border(operator, first, border)
    turned = operator.on_border("lower_inverse", border, transposed=True)
    parts = [turned[products.columns(k)] for k in products.border]
    eliminated = operator.eliminated.lower_inverse
    parts.insert(products.first, times(eliminated, first, transposed=True))
    return [
        _by_draw(u, (len(sigma), products.levels[k], products.widths[k]), lam)
        for k, (u, lam) in enumerate(zip(parts, factors, strict=True))
    ]


def _spread(
    operator: Operator, sigma: Floats, rng: np.random.Generator, precision: np.dtype[np.floating]
) -> tuple[Columns, Columns]:
    """Draw sigma (I - A)^(-1/2) z of the border, and sigma z of the factor that is eliminated."""
    products, scale = operator.products, sigma.astype(precision)
    normals = [
        rng.standard_normal((n, len(sigma)), dtype=precision.type)
        for n in (
            products.n_border,
            products.levels[products.first] * products.widths[products.first],
        )
    ]
    spread, _ = inverse_root(operator, normals[0], _TOLERANCE)
    spread *= scale
    normals[1] *= scale
    return spread, normals[1]


def _by_draw(u: Columns, shape: tuple[int, int, int], lam: Floats) -> Floats:
    """Return effects Lambda u of all levels, draw by draw, from columns, shape (m q, s)."""
    out = np.empty(shape)
    for i in range(len(lam)):
        own = sum(lam[i, j] * u[j :: len(lam)] for j in range(len(lam)) if lam[i, j] or i == j)
        out[:, :, i] = np.asarray(own).T
    return out
