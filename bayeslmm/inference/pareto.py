r"""Importance weights' tails, smoothed: a generalised Pareto distribution fitted to the largest.

ArviZ has the same numbers; its import would take longer than the weighted draws (`results.mixing`).
With exceedances :math:`x_i` over a cutoff and :math:`\theta = -k / \sigma`, the profile likelihood
has :math:`k(\theta) = \frac{1}{n} \sum_i \log(1 - \theta x_i)`; its mean over a grid of
:math:`\theta` is the estimate.

References
----------
Zhang & Stephens (2009). A new and efficient estimation method for the generalized Pareto
distribution. Technometrics 51(3):316-325. doi:10.1198/tech.2009.08017. Vehtari, Simpson, Gelman,
Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR 25(72):1-58.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# The tail is a fifth of few draws; of more than so many, three times the root of their number.
_MANY = 225
# The paper's grid, and its prior of k: as ten exceedances with k = 1/2 would say.
_GRID, _QUARTILES, _PRIOR_SIZE, _PRIOR_SHAPE = 30, 3, 10, 0.5


def tail_length(count: int) -> int:
    """Return how many of so many weights are the tail.

    Examples
    --------
    >>> tail_length(100), tail_length(4000)
    (20, 189)
    """
    return int(3 * math.sqrt(count)) if count > _MANY else count // 5


def smoothed_tail(log_ratios: Floats) -> tuple[Floats, float]:
    """Replace the largest importance ratios by quantiles of the distribution that fits them.

    Parameters
    ----------
    log_ratios : ndarray, shape (s,)
        Finite, not normalized, 25 or more, whose tail is not of one value only.

    Returns
    -------
    log_weights : ndarray, shape (s,)
        None above the largest ratio; their exponentials add up to 1.
    pareto_k : float
        k-hat; NaN where the tail is not of that kind at all, and nothing is smoothed.

    Examples
    --------
    >>> normal = np.random.default_rng(1).normal(size=4000)
    >>> weights, k = smoothed_tail(normal)
    >>> round(float(np.exp(weights).sum()), 6), k < 0.7
    (1.0, True)
    """
    values = log_ratios - log_ratios.max()
    length = tail_length(len(values))
    order = np.argsort(values)
    tail = order[-length:]
    cutoff = math.exp(values[order[-length - 1]])
    # Ratios that span all that numbers can tell overflow: k is infinite then.
    with np.errstate(all="ignore"):
        pareto_k, scale = _fitted(np.exp(values[tail]) - cutoff)
    if math.isfinite(pareto_k):
        places = np.log1p(-np.arange(0.5, length) / length)
        above = -places if pareto_k == 0 else np.expm1(-pareto_k * places) / pareto_k
        values[tail] = np.minimum(np.log(cutoff + scale * above), 0.0)
    return values - logsumexp(values), pareto_k


def _fitted(exceedances: Floats) -> tuple[float, float]:
    """Return k and sigma of increasing exceedances."""
    count = len(exceedances)
    quartile = exceedances[int(count / 4 + 0.5) - 1]
    if quartile <= exceedances[0]:
        return math.nan, math.nan
    size = _GRID + int(math.sqrt(count))
    theta = 1.0 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    theta = theta / (_QUARTILES * quartile) + 1.0 / exceedances[-1]
    shapes = np.log1p(-theta[:, None] * exceedances).mean(axis=1)
    profile = count * (np.log(-theta / shapes) - shapes - 1.0)
    share = np.exp(profile - logsumexp(profile))
    share[share < 10 * np.finfo(np.float64).eps] = 0.0
    best = float(theta @ share / share.sum())
    shape = float(np.log1p(-best * exceedances).mean())
    regularized = (count * shape + _PRIOR_SIZE * _PRIOR_SHAPE) / (count + _PRIOR_SIZE)
    return (math.inf, math.nan) if math.isnan(shape) else (regularized, -shape / best)
