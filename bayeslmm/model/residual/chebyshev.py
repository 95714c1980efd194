"""Polynomial interpolation in Chebyshev nodes: smooth functions of one number as sums of few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebvander

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats


def interpolation(x: Floats, low: float, high: float, count: int) -> tuple[Floats, Floats]:
    r"""Compute Lagrange polynomials in Chebyshev nodes.

    .. math:: f(x) \approx \sum_j \ell_j(x) f(x_j), \quad
              \ell_j(x) = \frac{2}{J} \sum_{k < J} {}^{\prime} T_k(x_j) T_k(x)

    with half of the first term.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Where to evaluate, between `low` and `high`.
    low, high : float
        Ends of the interval.
    count : int
        J, the number of nodes.

    Returns
    -------
    weights : ndarray, shape (n, J)
        The polynomials at `x`.
    nodes : ndarray, shape (J,)

    References
    ----------
    .. [1] Trefethen (2019). Approximation Theory and Approximation Practice, extended edition,
       chapters 3 and 8. SIAM. doi:10.1137/1.9781611975949

    Examples
    --------
    >>> weights, nodes = interpolation(np.array([0.3, 1.7]), 0.0, 2.0, 12)
    >>> bool(np.allclose(weights @ np.exp(nodes), np.exp([0.3, 1.7]), rtol=1e-11))
    True
    """
    nodes = chebpts1(count)
    half = np.full(count, 2.0 / count)
    half[0] /= 2.0
    inside = np.clip((2.0 * x - low - high) / (high - low), -1.0, 1.0)
    weights = (chebvander(inside, count - 1) * half) @ chebvander(nodes, count - 1).T
    return weights, 0.5 * (low + high + (high - low) * nodes)


def enough_nodes(
    functions: Callable[[Floats], Floats], low: float, high: float, largest: float, most: int
) -> tuple[int, float] | None:
    """Return how many nodes interpolate some functions, and the error that is left.

    Parameters
    ----------
    functions : callable
        Of points, shape (n,); returns their values, shape (n, k).
    low, high : float
        Ends of the interval.
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
    >>> enough_nodes(lambda x: np.exp(x)[:, None], 0.0, 1.0, 1e-10, 40)[0]
    10
    """
    x = np.linspace(low, high, 40 * most)
    exact = functions(x)
    # Errors fall geometrically: steps of some tenths of the count lose little.
    count = 4
    while count <= most:
        weights, nodes = interpolation(x, low, high, count)
        difference = np.abs(weights @ functions(nodes) - exact)
        error = float(np.max(difference / (1.0 + np.abs(exact))))
        if error <= largest:
            return count, error
        count += max(2, count // 8)
    return None
