"""Polynomial interpolation in Chebyshev nodes: smooth functions of one number as sums of few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats

# Points at which the error of an interpolation is measured, for each node.
_FINER = 8


def chebyshev_nodes(count: int) -> Floats:
    """Return the roots of the Chebyshev polynomial of this degree, in (-1, 1), shape (count,)."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)


def lagrange_weights(t: Floats, nodes: Floats) -> Floats:
    """Compute the Lagrange polynomials of Chebyshev nodes at t, shape (len(t), len(nodes)).

    By the barycentric formula, which does not cancel.

    References
    ----------
    Berrut & Trefethen (2004). Barycentric Lagrange interpolation. SIAM Review 46:501-517.
    doi:10.1137/S0036144502417715
    """
    count = len(nodes)
    signs = (-1.0) ** np.arange(count) * np.sin(np.pi * (np.arange(count) + 0.5) / count)
    away = t[:, None] - nodes
    hit = np.abs(away) < 1e-15
    terms = signs / np.where(hit, 1.0, away)
    out = terms / terms.sum(axis=1, keepdims=True)
    rows = hit.any(axis=1)
    out[rows] = hit[rows]
    return out


def enough_nodes(
    functions: Callable[[Floats], Floats], largest: float, most: int
) -> tuple[int, float] | None:
    """Return how many nodes interpolate some functions on [-1, 1], and the error that is left.

    Parameters
    ----------
    functions : callable
        Of points, shape (n,); returns their values, shape (n, k).
    largest : float
        The error that is allowed: of a value v in units of 1 + |v|.
    most : int
        The most nodes that are worth while.

    Returns
    -------
    count : int
    error : float
        Or None where so many nodes do not do.

    Examples
    --------
    >>> enough_nodes(lambda t: np.exp(t)[:, None], 1e-10, 40)[0]
    12
    >>> enough_nodes(lambda t: np.abs(t)[:, None], 1e-10, 40) is None
    True
    """
    t = np.linspace(-1.0, 1.0, _FINER * max(most, 1))
    exact, count = functions(t), 4
    while count <= most:
        nodes = chebyshev_nodes(count)
        difference = np.abs(lagrange_weights(t, nodes) @ functions(nodes) - exact)
        error = float(np.max(difference / (1.0 + np.abs(exact))))
        if error <= largest:
            return count, error
        # Errors fall geometrically: a few nodes too many cost little.
        count += max(2, count // 8)
    return None
