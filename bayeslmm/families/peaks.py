"""Densities of counts and of positive numbers, without the differences of large logarithms.

Loader's (2000, "Fast and accurate computation of binomial probabilities") way: a density at its own
peak, by Stirling's series, and the fall from there, by `log1p` and `expm1`. Plain differences of
``gammaln`` lose nine digits at counts of a million, and all of them in the limit of a negative
binomial whose shape is large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, xlogy

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Five terms of Stirling's series leave 691 / 360360 / x^11, 4e-17 from here on.
_SERIES_FROM = 20.0


def log_peak(x: Floats | float) -> Floats:
    r"""Compute x log x - x - log Gamma(x + 1), the Poisson's log-density at x if x is its mean.

    Parameters
    ----------
    x : ndarray or float
        Not negative; 0 gives 0.

    Returns
    -------
    ndarray
        Of x's shape, about -log(2 pi x) / 2 for large x.

    Examples
    --------
    >>> log_peak(np.array([0.0, 1.0, 1e6])).round(4)
    array([ 0.    , -1.    , -7.8267])
    """
    x = np.asarray(x, dtype=float)
    large = np.maximum(x, _SERIES_FROM)
    square = 1.0 / np.square(large)
    terms = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    series = -0.5 * np.log(2 * np.pi * large) - terms / large
    small = np.minimum(x, _SERIES_FROM)
    return np.where(x < _SERIES_FROM, xlogy(small, small) - small - gammaln(small + 1), series)


def poisson_fall(count: Floats, ahead: Floats) -> Floats:
    """Compute k (a - expm1(a)), from the peak at k to a mean of k exp(a).

    Parameters
    ----------
    count : ndarray
        k, not negative.
    ahead : ndarray
        a = log(mean / k), finite.

    Returns
    -------
    ndarray
        Not positive, of the common shape.
    """
    with np.errstate(over="ignore"):
        return np.asarray(count * (ahead - np.expm1(ahead)))


def binomial_fall(count: Floats | float, rest: Floats | float, up: Floats, down: Floats) -> Floats:
    """Compute k u + r d, from the peak at the share k / (k + r) to the share p.

    Parameters
    ----------
    count, rest : ndarray or float
        k and r, neither negative nor both zero; n is their sum.
    up, down : ndarray
        u = log(p / (k / n)) and d = log((1 - p) / (r / n)).

    Returns
    -------
    ndarray
        Not positive, of the common shape.
    """
    ahead = up - down
    n = count + rest
    # Close to the peak the two terms nearly cancel.
    near = np.clip(ahead, -1.0, 1.0)
    close = count * near - n * np.log1p(count / n * np.expm1(near))
    with np.errstate(over="ignore"):
        return np.where(np.abs(ahead) < 1.0, close, count * up + rest * down)
