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


def draw_survival(ax: Any, y: Floats, ends: Floats, replicated: Floats, label: str) -> None:
    r"""Draw the share of rows above each value, of the data and of whole simulated responses.

    .. math:: \hat S(t) = \prod_{t_k \le t} (1 - d_k / n_k)

    of the data (Kaplan-Meier), in which d events happen at t among n that were watched until then;
    of rows known to lie below their value, the same from the other side. Where rows of several
    kinds are censored, those alone are drawn that were seen, of the simulations, too.

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
    values = np.linspace(float(y.min()), float(y.max()), POINTS)
    right = bool(np.all(seen | np.isposinf(ends)))
    left = bool(np.all(seen | np.isneginf(ends)))
    said = "share above it"
    if not (right or left):
        said += f" ({int(seen.sum())} rows that were seen)"
        y, replicated, right = y[seen], replicated[:, seen], True
        seen = seen[seen]
    step = -(-len(replicated) // MOST_CURVES)
    for k, one in enumerate(replicated[::step]):
        above = np.mean(one[:, None] > values, axis=0)
        name = None if k else "simulated from the fit"
        ax.plot(values, above, color=LEVEL, linewidth=0.8, alpha=0.35, label=name)
    sign = 1.0 if right else -1.0
    curve = ecdf(CensoredData(uncensored=sign * y[seen], right=sign * y[~seen]))
    above = curve.sf.evaluate(values) if right else curve.cdf.evaluate(-values)
    ax.step(values, above, where="post", color=POPULATION, linewidth=2.0, label="data")
    ax.grid(color=GRID, linewidth=0.6)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel(label)
    ax.set_ylabel(said)
    ax.legend(loc="upper right")
