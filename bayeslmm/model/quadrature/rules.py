"""Quadrature rules of one dimension for a standard normal weight, as the kernels read them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from bayeslmm.kernels.quadrature.rows import Rule

# Between nodes so far apart, in a level's standard deviations, a density is interpolated with an
# acceptance of 0.97 and more; so far out there is nothing left of most. With fewer it is 0.95.
_SPACING, _FARTHEST = 0.5, 8.0
_WIDER, _NEARER = 0.75, 6.0


@lru_cache(maxsize=64)
def gauss_hermite(count: int) -> Rule:
    r"""Return Gauss-Hermite nodes of an odd number.

    .. math:: \sum_k w_k f(z_k) = E f(Z), \quad Z \sim N(0, 1)

    exactly for polynomials of degree up to 2 K - 1.

    Parameters
    ----------
    count : int
        K, odd.

    Returns
    -------
    Rule
        Nodes z, and log w + z^2 / 2.

    Examples
    --------
    >>> rule = gauss_hermite(3)
    >>> rule.z.round(3) + 0.0
    array([-1.732,  0.   ,  1.732])
    """
    z, w = (np.asarray(x, np.float64) for x in np.polynomial.hermite_e.hermegauss(count))
    # Symmetric to the last bit, and zero in the middle: the kernels rely on it.
    z = 0.5 * (z - z[::-1])
    with np.errstate(divide="ignore"):
        log_weight = np.log(0.5 * (w + w[::-1])) - 0.5 * math.log(2.0 * math.pi) + 0.5 * z**2
    return Rule(np.ascontiguousarray(z), np.ascontiguousarray(log_weight))


@lru_cache(maxsize=2)
def equally_spaced(*, dear: bool) -> Rule:
    """Return nodes between which densities are interpolated, each with the same log weight.

    Parameters
    ----------
    dear : bool
        Whether a node costs an evaluation of every row: then there are fewer.

    Returns
    -------
    Rule
    """
    spacing, farthest = (_WIDER, _NEARER) if dear else (_SPACING, _FARTHEST)
    count = round(farthest / spacing)
    z = spacing * np.arange(-count, count + 1, dtype=np.float64)
    weight = math.log(spacing) - 0.5 * math.log(2.0 * math.pi)
    return Rule(z, np.full(len(z), weight, np.float64))
