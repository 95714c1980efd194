"""Levels side by side: the picture of a model without a numeric covariate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.plot_style import DATA, GRID, LEVEL, POPULATION, interval_words, style
from bayeslmm.plots_levels import MOST_LABELS
from bayeslmm.results import read
from bayeslmm.results.diagnostics import interval

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.design.design import GroupingFactor

MEAN_DRAWS = 250  # draws of each chain: intervals to within a pixel or two


def draw_level_means(
    idata: xr.DataTree, factor: GroupingFactor, ci: tuple[float, str], ax: Any
) -> Any:
    """Draw the data of each level, its expected value with interval, and the population's."""
    y = read.response(idata)
    means, population = _expected(idata, factor)
    order = np.argsort(means.mean(axis=1), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    low, high = interval(means.T, *ci)
    band = interval(population, *ci)
    m = len(order)
    with style() as plt:
        if ax is None:
            size = (float(np.clip(0.3 * m + 1.8, 4.5, 12)), 4.4)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        ax.grid(color=GRID, linewidth=0.6, axis="y")
        ax.axhspan(*band, color=POPULATION, alpha=0.18, linewidth=0)
        ax.axhline(population.mean(), color=POPULATION, linewidth=1.4)
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, size=len(y))
        ax.scatter(
            rank[factor.index] + jitter,
            y,
            s=float(np.clip(3000 / len(y), 1.5, 12)),
            color=DATA,
            alpha=float(np.clip(900 / len(y), 0.08, 0.7)),
            linewidth=0,
            rasterized=len(y) > 5000,
        )
        width = 1.8 if m <= MOST_LABELS else 0.6
        ax.vlines(rank, low, high, color=LEVEL, linewidth=width, zorder=3)
        ax.scatter(
            rank,
            means.mean(axis=1),
            s=26 if m <= MOST_LABELS else 3,
            color=LEVEL,
            zorder=4,
        )
        ax.set_xlim(-0.7, m - 0.3)
        ax.set_ylabel(str(idata.attrs["response"]))
        _label_levels(ax, factor, order)
        ax.legend(handles=_handles(factor, ci), loc="upper left", ncols=4)
        ax.margins(y=0.12)
    return ax.figure


def _expected(idata: xr.DataTree, factor: GroupingFactor) -> tuple[Any, Any]:
    """Draws of each level's mean expected value, (m, s), and of the population's, (s,)."""
    _, total = read.sample_shape(idata)
    draws = min(total, MEAN_DRAWS)
    own = linear_predictor(idata, random_effects=[factor.name], draws=draws)
    counts = np.bincount(factor.index, minlength=len(factor.levels))
    sums = np.zeros((len(counts), len(own.sigma)))
    for rows, eta in own.chunks():
        np.add.at(sums, factor.index[rows], eta)
    none = linear_predictor(idata, random_effects="none", draws=draws)
    total_mean = sum(eta.sum(axis=0) for _, eta in none.chunks()) / none.n
    return sums / counts[:, None], total_mean


def _handles(factor: GroupingFactor, ci: tuple[float, str]) -> list[Any]:
    """Make the legend's own marks: those in the picture shrink and fade with the number of rows."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import
    from matplotlib.patches import Patch  # noqa: PLC0415

    return [
        Line2D([], [], color=DATA, marker="o", linestyle="", markersize=4, label="data"),
        Line2D(
            [], [], color=LEVEL, marker="o", markersize=5, linewidth=1.8,
            label=f"each {factor.name}, {interval_words(*ci)}",
        ),
        Line2D([], [], color=POPULATION, linewidth=1.4, label="population"),
        Patch(facecolor=POPULATION, alpha=0.25, linewidth=0, label=interval_words(*ci)),
    ]  # fmt: skip


def _label_levels(ax: Any, factor: GroupingFactor, order: Any) -> None:
    if len(order) > MOST_LABELS:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(order)} levels of {factor.name}, sorted")
        return
    labels = [str(factor.levels[level]) for level in order]
    long = max(map(len, labels)) * len(labels) > 60
    ax.set_xticks(np.arange(len(order)), labels, rotation=90 if long else 0)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel(factor.name)
