"""Discrete data beside what a fit expects: hanging rootograms of counts, calibration of shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.plots.style import DATA, GRID, INK, LEVEL, POPULATION

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

MOST_BARS = 40
GROUPS = 10  # of rows by their predicted probability
BAND = (0.025, 0.975)


def draw_rootogram(ax: Any, y: Floats, replicated: Floats, label: str) -> None:
    """Hang the data's frequencies from those that the fit expects, by their square roots.

    Parameters
    ----------
    ax : matplotlib Axes
    y : ndarray, shape (n,)
        Counts.
    replicated : ndarray, shape (replication, n)
        Counts simulated from the fit.
    label : str
        What is counted.

    References
    ----------
    Kleiber & Zeileis (2016), The American Statistician 70(3):296-303,
    doi 10.1080/00031305.2016.1173590.
    """
    edges, width = _bins(y, replicated)
    observed = np.sqrt(np.histogram(y, edges)[0])
    drawn = np.array([np.histogram(one, edges)[0] for one in replicated])
    expected = np.sqrt(drawn.mean(axis=0))
    # Where a bar of simulated data would end: about zero, as far as chance goes.
    low, high = np.quantile(expected - np.sqrt(drawn), BAND, axis=0)
    foot = expected - observed
    outside = (foot < low) | (foot > high)
    middles = edges[:-1] + 0.5 * width
    ax.grid(color=GRID, linewidth=0.6, axis="y")
    for which, color, name in (
        (~outside, DATA, "data"),
        (outside, POPULATION, "beyond chance"),
    ):
        if which.any():
            ax.bar(
                middles[which], observed[which], 0.8 * width, bottom=foot[which], color=color,
                alpha=0.75, linewidth=0, label=name,
            )  # fmt: skip
    ax.fill_between(
        edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=LEVEL,
        alpha=0.3, linewidth=0, zorder=3, label="95 % of ends by chance",
    )  # fmt: skip
    ax.plot(
        middles, expected, color=LEVEL, marker="o", markersize=3, linewidth=1.6, zorder=4,
        label="expected",
    )  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xlabel(label if width == 1 else f"{label} (bars of {width:g})")
    ax.set_ylabel("root of the number of rows")
    ax.xaxis.get_major_locator().set_params(integer=True)
    foremost = float(expected.max())
    lowest = float(min(foot.min(), low.min()))
    ax.set_ylim(lowest - 0.05 * foremost, 1.3 * foremost)  # room for the legend
    ax.legend(loc="upper right", ncols=2)


def draw_calibration(ax: Any, y: Floats, expected: Floats, replicated: Floats, label: str) -> None:
    """Draw the observed share of ones against the predicted, in groups of rows with like ones.

    Parameters
    ----------
    ax : matplotlib Axes
    y : ndarray, shape (n,)
        Zeros and ones.
    expected : ndarray, shape (n,)
        Predicted probabilities.
    replicated : ndarray, shape (replication, n)
        Zeros and ones simulated from the fit.
    label : str
        The response.

    References
    ----------
    Bröcker & Smith (2007), Weather and Forecasting 22(3):651-661, doi 10.1175/WAF993.1.
    """
    parts = np.array_split(np.argsort(expected, kind="stable"), min(GROUPS, len(y)))
    predicted, observed = (np.array([of[part].mean() for part in parts]) for of in (expected, y))
    simulated = np.stack([replicated[:, part].mean(axis=1) for part in parts])
    low, high = np.quantile(simulated, BAND, axis=1)
    outside = (observed < low) | (observed > high)
    ax.grid(color=GRID, linewidth=0.6)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.vlines(
        predicted, low, high, color=LEVEL, alpha=0.35, linewidth=5,
        label="simulated from the fit (95 %)",
    )  # fmt: skip
    for which, color, name in ((~outside, DATA, "data"), (outside, POPULATION, "data, outside")):
        if which.any():
            ax.scatter(predicted[which], observed[which], s=26, color=color, zorder=4, label=name)
    reach = float(max(predicted.max(), observed.max(), high.max()))
    least = float(min(predicted.min(), observed.min(), low.min()))
    margin = 0.05 * max(reach - least, 0.02)
    ax.set_xlim(least - margin, reach + margin)
    ax.set_ylim(least - margin, reach + margin)
    ax.set_xlabel(f"predicted probability of {label}")
    ax.set_ylabel("observed share")
    ax.legend(loc="upper left")


def _bins(y: Floats, replicated: Floats) -> tuple[Floats, int]:
    """Return edges of bars of whole numbers, as wide as keeps their number small."""
    # Single far replicates, or a far tail of all, would squeeze the data.
    low = min(float(y.min()), float(np.quantile(replicated, 0.005)))
    tail = min(float(np.quantile(replicated, 0.995)), low + 2 * float(y.max() - low))
    high = max(float(y.max()), tail)
    width = max(1, int(np.ceil((high - low + 1) / MOST_BARS)))
    count = int(np.ceil((high - low + 1) / width))
    return low - 0.5 + width * np.arange(count + 1.0), width
