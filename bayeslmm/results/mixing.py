r"""R-hat, effective sample sizes and energies of Markov chains, for all quantities at once.

ArviZ computes the same numbers, one quantity at a time; a fit looks at some fifty of them, and
would wait longer for ArviZ and SciPy's statistics to load than for its draws. With C chains of N
draws, halved each,

.. math:: \hat R = \sqrt{\frac{N - 1}{N} + \frac{\operatorname{var}_c(\bar x_c)}{W}}, \qquad
          S = \frac{C N}{-1 + 2 \sum_k P_k}

of normal scores of the draws' ranks, where W is the variance within chains and :math:`P_k` sums of
two successive autocorrelations, positive and falling.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021). Rank-normalization, folding, and
localization. Bayesian Analysis 16(2):667-718. doi:10.1214/20-BA1221. Geyer (1992). Practical Markov
chain Monte Carlo. Statistical Science 7(4):473-483. doi:10.1214/ss/1177011137.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


def r_hat(draws: Floats) -> Floats:
    """Compute R-hat, the larger one of normal scores of the draws and of the folded draws.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
        Two chains or more of four draws or more.

    Returns
    -------
    ndarray, shape (m,)
        NaN where nothing moves.

    Examples
    --------
    >>> chains = np.random.default_rng(1).normal(size=(4, 1000, 1))
    >>> r_hat(chains).round(3), r_hat(chains + np.arange(4)[:, None, None]).round(1)
    (array([1.002]), array([1.5]))
    """
    halves = _halved(draws)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    bulk, tail = _variance_ratio(_scores(halves)), _variance_ratio(_scores(folded))
    return np.where(tail > bulk, tail, bulk)


def bulk_size(draws: Floats) -> Floats:
    """Compute the effective sample size of the draws' ranks.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
        Chains of four draws or more.

    Returns
    -------
    ndarray, shape (m,)

    Examples
    --------
    >>> chains = np.random.default_rng(1).normal(size=(4, 1000, 1))
    >>> int(bulk_size(chains)[0])
    4039
    """
    return _size(_scores(_halved(draws)))


def tail_size(draws: Floats) -> Floats:
    """Compute the smaller one of the effective sample sizes of the 5 % and 95 % quantiles.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
        Chains of four draws or more.

    Returns
    -------
    ndarray, shape (m,)

    Examples
    --------
    >>> chains = np.random.default_rng(1).normal(size=(4, 1000, 1))
    >>> int(tail_size(chains)[0])
    3404
    """
    ends = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    low, high = (_size(_halved((draws <= end).astype(np.float64))) for end in ends)
    return np.where(high < low, high, low)


def mean_error(draws: Floats) -> Floats:
    """Compute the Monte Carlo standard error of the mean, in the draws' own unit.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
        Chains of four draws or more.

    Returns
    -------
    ndarray, shape (m,)

    Examples
    --------
    >>> chains = np.random.default_rng(1).normal(size=(4, 1000, 1))
    >>> mean_error(chains).round(3)
    array([0.016])
    """
    return np.asarray(draws.std(axis=(0, 1), ddof=1) / np.sqrt(_size(_halved(draws))))


def energy_fraction(energy: Floats) -> Floats:
    """Compute each chain's E-BFMI, the energy's mean squared step over its variance.

    Parameters
    ----------
    energy : ndarray, shape (chain, draw)
        Of NUTS.

    Returns
    -------
    ndarray, shape (chain,)

    References
    ----------
    Betancourt (2016). Diagnosing suboptimal cotangent disintegrations. arXiv:1604.00695.

    Examples
    --------
    >>> energy_fraction(np.array([[0.0, 1.0, 0.0, 1.0]]))
    array([3.])
    """
    steps = np.square(np.diff(energy, axis=1)).mean(axis=1)
    return np.asarray(steps / energy.var(axis=1, ddof=1))


def _halved(draws: Floats) -> Floats:
    """Split chains in halves, as further chains, shape (m, chain, draw): quick to sort."""
    half = draws.shape[1] // 2
    halves = np.concatenate([draws[:, :half], draws[:, -half:]])
    return np.ascontiguousarray(np.moveaxis(halves, -1, 0))


def _scores(draws: Floats) -> Floats:
    """Return normal scores of ranks over all chains; equal draws share their mean rank."""
    count = draws.shape[1] * draws.shape[2]
    flat = draws.reshape(len(draws), count)
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    repeats = ordered[:, 1:] == ordered[:, :-1]
    place = np.arange(count, dtype=np.float64)
    middle = np.broadcast_to(place, flat.shape)
    if repeats.any():
        first = np.where(np.insert(repeats, 0, False, axis=1), 0.0, place)
        last = np.where(np.insert(repeats, count - 1, False, axis=1), count, place)
        middle = np.maximum.accumulate(first, axis=1)
        middle = (middle + np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]) / 2
    rank = np.empty(flat.shape)
    np.put_along_axis(rank, order, middle + 1.0, axis=1)
    return np.asarray(ndtri((rank - 0.375) / (count + 0.25))).reshape(draws.shape)


def _variance_ratio(draws: Floats) -> Floats:
    """Return the root of the pooled over the mean variance within chains, of (m, chain, draw)."""
    count = draws.shape[2]
    between = draws.mean(axis=2).var(axis=1, ddof=1)
    within = draws.var(axis=2, ddof=1).mean(axis=1)
    return np.asarray(np.sqrt((count - 1) / count + between / within))


def _size(draws: Floats) -> Floats:
    """Return the effective sample size of means of (m, chain, draw); all where nothing moves."""
    _, chains, count = draws.shape
    moves = np.ptp(draws, axis=(1, 2)) > 0
    covariance = _autocovariance(draws)
    within = covariance[:, :1] * count / (count - 1)
    total = covariance[:, :1].copy()
    if chains > 1:
        total += draws.mean(axis=2).var(axis=1, ddof=1)[:, None]
    correlation = 1.0 - (within - covariance) / total
    correlation[:, 0] = 1.0
    # Sums of pairs up to the first that is not positive, or the last that is complete: Geyer's
    # initial positive sequence, and the running minimum that makes it fall.
    last = max((count - 3) // 2, 0)
    even, odd = correlation[:, 0 : 2 * last + 1 : 2], correlation[:, 1 : 2 * last + 2 : 2]
    pairs = even + odd
    stops = ~(pairs > 0)
    stops[:, last] = True
    end = stops.argmax(axis=1)
    before = np.arange(last + 1) < end[:, None]
    sums = np.where(before, np.minimum.accumulate(pairs, axis=1), 0.0).sum(axis=1)
    row = np.arange(len(end))
    rest, next_pair = even[row, end], pairs[row, end]
    time = -1.0 + 2.0 * sums + np.where((rest > 0) | (next_pair >= 0), rest, 0.0)
    everything = chains * count
    size = everything / np.maximum(time, 1.0 / np.log10(everything))
    size[np.isnan(correlation[:, 1])] = np.nan
    return np.asarray(np.where(moves, size, everything))


def _autocovariance(draws: Floats) -> Floats:
    """Return autocovariances at every lag, averaged over chains, shape (m, draw)."""
    count = draws.shape[2]
    # Zeros to twice the length keep the ends from meeting; powers of two are quick.
    padded = 1 << (2 * count - 1).bit_length()
    waves = np.fft.rfft(draws - draws.mean(axis=2, keepdims=True), n=padded, axis=2)
    power = (waves.real**2 + waves.imag**2).mean(axis=1)
    return np.asarray(np.fft.irfft(power, n=padded, axis=1)[:, :count] / count)
