"""Censored data beside what a fit expects: the share that lies above each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import CensoredData, ecdf

from bayeslmm.plots.style import GRID, LEVEL, POPULATION

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

POINTS = 200
MOST_CURVES = 50
# Steps to self-consistent shares, and by how much the last one moves any of them.
_STEPS, _STILL = 5000, 1e-7


def draw_survival(ax: Any, y: Floats, ends: Floats, replicated: Floats, label: str) -> None:
    r"""Draw the share of rows above each value, of the data and of whole simulated responses.

    .. math:: \hat S(t) = \prod_{t_k \le t} (1 - d_k / n_k)

    of the data (Kaplan-Meier), in which d events happen at t among n that were watched until then;
    of rows that are censored otherwise, too, the `shares_above` that are most likely.

    Parameters
    ----------
    ax : matplotlib Axes
    y, ends : ndarray, shape (n,)
        Responses, and the other ends of where they lie: equal where a response was seen.
    replicated : ndarray, shape (replication, n)
        Whole responses simulated from the fit.
    label : str
        The response.

    References
    ----------
    Kaplan & Meier (1958), Journal of the American Statistical Association 53(282):457-481,
    doi 10.1080/01621459.1958.10501452.
    """
    seen = ends == y
    known = np.concatenate([y, ends[np.isfinite(ends)]])
    values = np.linspace(float(known.min()), float(known.max()), POINTS)
    step = -(-len(replicated) // MOST_CURVES)
    for k, one in enumerate(replicated[::step]):
        above = np.mean(one[:, None] > values, axis=0)
        name = None if k else "simulated from the fit"
        ax.plot(values, above, color=LEVEL, linewidth=0.8, alpha=0.35, label=name)
    if np.all(seen | np.isposinf(ends)):
        above = ecdf(CensoredData(uncensored=y[seen], right=y[~seen])).sf.evaluate(values)
    else:
        above = shares_above(y, ends, values)
    ax.step(values, above, where="post", color=POPULATION, linewidth=2.0, label="data")
    ax.grid(color=GRID, linewidth=0.6)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel(label)
    ax.set_ylabel("share above it")
    ax.legend(loc="upper right")


def shares_above(y: Floats, ends: Floats, values: Floats) -> Floats:
    r"""Compute the most likely share of responses above values, of rows censored in any way.

    .. math:: p_j = \frac{1}{n} \sum_i \frac{1\{t_j \in I_i\} p_j}{\sum_{t_k \in I_i} p_k}

    at all ends t of the intervals I in which responses lie, and at infinity. Where an interval
    leaves open where within it a share is, it is at the upper end.

    Parameters
    ----------
    y, ends : ndarray, shape (n,)
        As in `draw_survival`.
    values : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m,)

    References
    ----------
    Turnbull (1976). The empirical distribution function with arbitrarily grouped, censored and
    truncated data. Journal of the Royal Statistical Society B 38(3):290-295.
    doi:10.1111/j.2517-6161.1976.tb01597.x

    Examples
    --------
    >>> y, ends = np.array([1.0, 2.0, 2.0, 3.0]), np.array([-np.inf, 2.0, np.inf, 3.0])
    >>> shares_above(y, ends, np.array([0.5, 1.0, 2.0])).round(3)
    array([1.  , 0.75, 0.5 ])
    """
    seen = ends == y
    at = np.unique(np.concatenate([y, ends[np.isfinite(ends)], [np.inf]]))
    lower = np.where(np.isneginf(ends), -np.inf, y)
    upper = np.where(np.isneginf(ends), y, ends)
    first = np.searchsorted(at, lower, side="left") + ~(seen | np.isneginf(ends))
    last = np.searchsorted(at, upper, side="right")
    count = len(at)
    p = np.full(count, 1.0 / count)
    for _ in range(_STEPS):
        below = np.concatenate([[0.0], np.cumsum(p)])
        # What rounding leaves of shares that vanish is no probability.
        each = 1.0 / np.maximum(below[last] - below[first], np.finfo(float).tiny)
        change = np.bincount(first, each, count + 1) - np.bincount(last, each, count + 1)
        before, p = p, p * np.maximum(np.cumsum(change)[:count], 0.0) / len(y)
        if np.abs(p - before).max() < _STILL:
            break
    below = np.concatenate([[0.0], np.cumsum(p)])
    return np.asarray(1.0 - below[np.searchsorted(at, values, side="right")])
