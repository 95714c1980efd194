"""One posterior's draws as another's: importance weights between two sets of priors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.model.priors.priors import Priors


# Beyond this the weighted mean converges too slowly to be of use at any number of draws.
MAX_PARETO_K = 0.7
# The tail is a fifth of the draws, and ArviZ fits it to five numbers at least.
_FEWEST, _TAIL = 25, 5
# Of fewer of the draws a refit makes more, whatever the shape of their weights.
LEAST_SHARE = 0.1


def reweightable(weights: Floats, pareto_k: float) -> bool:
    """Return whether weighted draws are as good as a refit's.

    Parameters
    ----------
    weights : ndarray, shape (s,)
        Adding up to 1.
    pareto_k : float
        k-hat of their tail.

    Returns
    -------
    bool
        Whether k-hat is below min(1 - 1 / log10(s), 0.7), and the weights' effective number,
        1 / sum of squares, at least a tenth of s.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
    25(72):1-58, section 3.2.4 for few draws.

    Examples
    --------
    >>> even = np.full(4000, 1 / 4000)
    >>> reweightable(even, 0.69), reweightable(even[:400] * 10, 0.69), reweightable(even, 0.71)
    (True, False, False)
    """
    enough = 1 / float(np.sum(weights**2)) >= LEAST_SHARE * len(weights)
    return enough and pareto_k < _limit(len(weights))


def _limit(size: int) -> float:
    return min(1 - 1 / math.log10(max(size, 2)), MAX_PARETO_K)


def support_contains(old: Priors, new: Priors) -> bool:
    """Return whether every value that `new` allows is one that `old` could have drawn.

    Where it is not so, no diagnostic can see what the old draws are missing.
    """
    for (_, before), (_, after) in zip(old.entries(), new.entries(), strict=True):
        if before.family == "LKJ":
            continue
        if after.support[0] < before.support[0] or after.support[1] > before.support[1]:
            return False
    return True


def log_ratios(parameters: Mapping[str, Floats], old: Priors, new: Priors) -> Floats:
    """Evaluate log p_new - log p_old of draws of the parameters, shape (chain, draw)."""
    before, after = old.log_densities(parameters), new.log_densities(parameters)
    volume = new.log_volume(parameters) - old.log_volume(parameters)
    return np.asarray(np.sum([after[name] - before[name] for name in before], axis=0) + volume)


def smoothed_weights(log_ratio: Floats) -> tuple[Floats, float]:
    """Smooth importance ratios by Pareto's tail.

    Parameters
    ----------
    log_ratio : ndarray, shape (chain, draw)
        Not normalized.

    Returns
    -------
    weights : ndarray, shape (chain * draw,)
        Adding up to 1.
    pareto_k : float
        k-hat of the tail; below 0.7 the weights can be used. Minus infinity where the largest are
        equal, infinity where there are none, or fewer than 25, which have no tail to speak of.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
    25(72):1-58.

    Examples
    --------
    >>> smoothed_weights(np.zeros((2, 2)))
    (array([0.25, 0.25, 0.25, 0.25]), -inf)
    """
    flat = np.asarray(log_ratio, dtype=np.float64).reshape(-1)
    equal = np.full(len(flat), 1 / len(flat))
    possible = flat > -np.inf
    if np.isnan(flat).any() or not possible.any():
        return equal, np.inf
    if np.ptp(flat[possible]) == 0:
        return possible / possible.sum(), -np.inf
    raw = np.exp(flat - flat[possible].max())
    raw /= raw.sum()
    if possible.sum() < _FEWEST:
        return raw, np.inf
    from arviz_stats.base import (  # type: ignore[attr-defined]  # noqa: PLC0415 - slow to import
        array_stats,
    )

    # Draws that the new priors forbid have no weight, and no place in the tail's shape. ArviZ takes
    # the ratios' negative logarithm, as leave-one-out has it.
    try:
        smoothed, pareto_k = array_stats.psislw(-flat[possible])  # type: ignore[no-untyped-call]
    except ValueError:
        # Equal numbers, as a quantity that only counts has them, are a tail without a shape.
        if np.ptp(np.sort(flat)[-_TAIL:]) > 0:
            raise
        return raw, -np.inf
    weights = np.zeros(len(flat))
    weights[possible] = np.exp(smoothed - np.max(smoothed))
    return weights / weights.sum(), float(pareto_k)


def quantities_pareto_k(
    log_ratio: Floats, weights: Floats, quantities: Mapping[str, Floats]
) -> float:
    """Evaluate the largest k-hat of weight times a quantity's distance from its weighted mean.

    Weights that are harmless by themselves can still leave a mean or an interval's end to a few
    draws, where they are large just where the quantity is. A quantity whose tail is as heavy
    without any weights takes no part: it is the posterior's own, and a refit's too.

    Parameters
    ----------
    log_ratio : ndarray, shape (chain, draw)
        As for `smoothed_weights`.
    weights : ndarray, shape (chain * draw,)
        Its result.
    quantities : mapping of str to ndarray, shape (chain, draw)
        What is to be described.

    Returns
    -------
    float
        Minus infinity where nothing varies.

    Examples
    --------
    >>> quantities_pareto_k(np.zeros((2, 2)), np.full(4, 0.25), {"x": np.ones((2, 2))})
    -inf
    """
    flat = np.asarray(log_ratio, dtype=np.float64).reshape(-1)
    largest = -np.inf
    for draws in quantities.values():
        values = np.asarray(draws, dtype=np.float64).reshape(-1)
        if np.ptp(values) == 0:
            continue
        distance = np.abs(values - weights @ values)
        counts = (flat > -np.inf) & (distance > 0)
        if not counts.any():
            continue
        _, pareto_k = smoothed_weights(flat[counts] + np.log(distance[counts]))
        # Most quantities are found harmless at once, and need no second look.
        if pareto_k < _limit(len(flat)) or _own_pareto_k(values) < _limit(len(flat)):
            largest = max(largest, pareto_k)
    return largest


def _own_pareto_k(values: Floats) -> float:
    distance = np.abs(values - values.mean())
    return smoothed_weights(np.log(distance[distance > 0]))[1]


def resample(
    weights: Floats, rng: np.random.Generator, size: int | None = None
) -> NDArray[np.intp]:
    """Draw `size` positions, or as many as there are weights, by systematic resampling.

    The positions come in order: copies of a draw stand side by side, so that effective sample
    sizes count them as what they are.

    Examples
    --------
    >>> resample(np.array([0.5, 0.0, 0.25, 0.25]), np.random.default_rng(1))
    array([0, 0, 2, 3])
    """
    size = len(weights) if size is None else size
    points = (np.arange(size) + rng.uniform()) / size
    ends = np.cumsum(weights)
    return np.minimum(np.searchsorted(ends / ends[-1], points), len(weights) - 1)


def effective_draws(weights: Floats, size: int) -> float:
    r"""Compute how many independent draws systematically resampled ones are worth.

    Of independent points with weights w, `size` draws S take point i :math:`\lfloor S w_i \rfloor`
    times and once more with probability :math:`f_i = S w_i - \lfloor S w_i \rfloor`, so that a
    mean of them has the variance of

    .. math:: \left( \sum_i w_i^2 + \frac{1}{S^2} \sum_i f_i (1 - f_i) \right)^{-1}

    independent draws: all S where no weight is above 1 / S.

    Parameters
    ----------
    weights : ndarray, shape (s,)
        Adding up to 1.
    size : int
        S.

    Returns
    -------
    float

    References
    ----------
    Douc, R., Cappe, O. & Moulines, E. (2005). Comparison of resampling schemes for particle
    filtering. Proceedings of the 4th International Symposium on Image and Signal Processing and
    Analysis, 64-69. https://doi.org/10.1109/ISPA.2005.195385

    Examples
    --------
    >>> round(effective_draws(np.full(8000, 1 / 8000), 4000))
    4000
    >>> round(effective_draws(np.full(1000, 1 / 1000), 4000))
    1000
    """
    part = np.mod(size * weights, 1.0)
    return float(1.0 / (np.sum(weights**2) + np.sum(part * (1.0 - part)) / size**2))
