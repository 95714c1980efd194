"""The data with each level's line and the population's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.level_grid import (
    LevelGrid,
    level_grid,
    population_line,
    running_covariate,
)
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor, training_design
from bayeslmm.analysis.prediction.predictions import predict_table
from bayeslmm.errors import ArgumentError, check_choice, names_keywords
from bayeslmm.plots.style import (
    DATA,
    GRID,
    LEVEL,
    POPULATION,
    interval_words,
    legend_above,
    panel_grid,
    responses_seen,
    scatter_seen,
    style,
    with_unit,
)
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, interval, interval_names
from bayeslmm.results.family import family, observed_means
from bayeslmm.results.units import column_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.estimated.estimates import Estimates
    from bayeslmm.design.grouping import GroupingFactor

MOST_PANELS = 30
MOST_LABELS = 60
LINE_DRAWS = 100  # draws of each chain behind a line and its band: a pixel is coarser than that
LAYOUTS = ("auto", "panels", "overlay")


@dataclass(frozen=True, eq=False, slots=True)
class _Lines:
    """What the layouts draw: levels' own lines, with bands in panels, and the population's."""

    factor: GroupingFactor
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    seen: NDArray[np.bool_]
    grid: LevelGrid
    means: NDArray[np.float64]
    base: NDArray[np.float64]
    bands: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    population_x: NDArray[np.float64]
    population: Estimates
    others: tuple[str, ...]
    labels: tuple[str, str]
    ci: tuple[float, str]


@names_keywords
def plot_levels(
    idata: xr.DataTree,
    x: str | None = None,
    *,
    factor: str | None = None,
    layout: str = "auto",
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    ax: Any = None,
) -> Any:
    """Draw the data with each level's line and the population's line.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    x : str, optional
        The covariate of the horizontal axis; without it one with a random slope, else the first
        numeric one. In a model without any, the levels stand side by side.
    factor : str, optional
        The grouping factor; may be left out where there is one. Other factors are at zero.
    layout : {"auto", "panels", "overlay"}
        One panel per level (up to 30 levels by default) or all lines in one.
    ci_prob : float
        Probability of the bands: the level's own in panels, the population's in an overlay.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density bands.
    ax : matplotlib Axes, optional
        Where to draw an overlay; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Points are the data, of a binomial response shares of the trials. A level's line is the
        posterior mean of its expected response, the other covariates at their mean (or first
        value) in that level. The population's has random effects at zero: in panels at the same
        values, in an overlay averaged over the rows. The legend says which.

    Raises
    ------
    ArgumentError
        When `x` or `layout` is unknown, or `ax` is given for panels.
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> figure = bl.plot_levels(idata)
    >>> [axes.get_title() for axes in figure.axes if axes.get_visible()]
    ['a', 'b', 'c']
    """
    check_choice("layout", layout, LAYOUTS)
    info = read.factor(idata, factor)
    design = training_design(idata)
    chosen = next(item for item in design.factors if item.name == info.name)
    chosen.require_one_level("plot_levels")
    running = running_covariate(idata, design, chosen, x)
    if running is None:
        return draw_level_means(idata, chosen, (ci_prob, ci_kind), ax)
    panels = layout == "panels" or (
        layout == "auto" and ax is None and len(info.levels) <= MOST_PANELS
    )
    if panels and ax is not None:
        msg = "ax takes an overlay; panels need a figure of their own: leave ax out."
        raise ArgumentError(msg)
    lines = _lines(idata, chosen, running, (ci_prob, ci_kind), bands=panels)
    return _panels(lines) if panels else _overlay(lines, ax)


def _lines(
    idata: xr.DataTree, factor: GroupingFactor, x: str, ci: tuple[float, str], *, bands: bool
) -> _Lines:
    grid = level_grid(idata, factor, x)
    _, total = read.sample_shape(idata)
    own = linear_predictor(idata, grid.rows, random_effects=[factor.name])
    none = linear_predictor(idata, grid.rows, random_effects="none")
    limits = None
    if bands:
        table = predict_table(
            idata, grid.rows, random_effects=[factor.name], draws=min(total, LINE_DRAWS),
            ci_prob=ci[0], ci_kind=ci[1],
        )  # fmt: skip
        low, high = (table[n].to_numpy().reshape(grid.x.shape) for n in interval_names(*ci))
        limits = low, high
    population_x, population, others = population_line(idata, x)
    units = column_units(idata)
    return _Lines(
        factor=factor,
        x=np.asarray(read.columns(idata)[x], dtype=np.float64),
        y=observed_means(idata, read.response(idata)),
        seen=responses_seen(idata, len(read.response(idata))),
        grid=grid,
        means=own.posterior_mean().reshape(grid.x.shape),
        base=none.posterior_mean().reshape(grid.x.shape),
        bands=limits,
        population_x=population_x,
        population=population,
        others=others,
        labels=(with_unit(x, units), _response_words(idata)),
        ci=ci,
    )


def _panels(lines: _Lines) -> Any:
    m = len(lines.factor.levels)
    rows, columns = panel_grid(m)
    low, high = lines.bands or (lines.means, lines.means)
    with style() as plt:
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(min(1.75 * columns + 0.6, 13), min(1.75 * rows + 0.9, 14)),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for level, panel in enumerate(grid.ravel()):
            if level >= m:
                panel.set_visible(False)
                continue
            here = lines.factor.index == level
            x = lines.grid.x[level]
            panel.grid(color=GRID, linewidth=0.6)
            panel.plot(x, lines.base[level], color=POPULATION, linewidth=1.2, linestyle=(0, (4, 2)))
            panel.fill_between(x, low[level], high[level], color=LEVEL, alpha=0.18, linewidth=0)
            panel.plot(x, lines.means[level], color=LEVEL, linewidth=1.6)
            scatter_seen(panel, lines.x[here], lines.y[here], lines.seen[here], DATA, s=9, zorder=3)
            if level + columns >= m:  # nothing below it: shared axes would be told there alone
                panel.tick_params(labelbottom=True)
            panel.set_title(str(lines.factor.levels[level]), pad=3)
        figure.supxlabel(lines.labels[0], fontsize=10)
        figure.supylabel(lines.labels[1], fontsize=10)
        _legend(figure, lines, figure)
    return figure


def _overlay(lines: _Lines, ax: Any) -> Any:
    m, n = len(lines.factor.levels), len(lines.y)
    low, high = lines.population.interval(*lines.ci)
    with style() as plt:
        from matplotlib.collections import LineCollection  # noqa: PLC0415 - slow to import

        if ax is None:
            _, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
        ax.grid(color=GRID, linewidth=0.6)
        scatter_seen(
            ax,
            lines.x,
            lines.y,
            lines.seen,
            DATA,
            s=np.clip(9000 / n, 2.5, 14),
            alpha=float(np.clip(1200 / n, 0.1, 0.6)),
            linewidth=0,
            rasterized=n > 5000,
        )
        segments = np.stack([lines.grid.x, lines.means], axis=-1)
        alpha = float(np.clip(25 / m, 0.015, 0.9))
        ax.add_collection(LineCollection(list(segments), colors=LEVEL, alpha=alpha, linewidths=1.0))
        x = lines.population_x
        ax.fill_between(x, low, high, color=POPULATION, alpha=0.25, linewidth=0, zorder=3)
        ax.plot(x, lines.population.centre, color=POPULATION, linewidth=2.4, zorder=4)
        ax.autoscale_view()
        ax.set_xlabel(lines.labels[0])
        ax.set_ylabel(lines.labels[1])
        _legend(ax.figure, lines, ax)
    return ax.figure


def _legend(figure: Any, lines: _Lines, owner: Any) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import
    from matplotlib.patches import Patch  # noqa: PLC0415

    typical = "population"
    if lines.others and owner is figure:
        shown = [f"first {name}" if name in lines.grid.mixed else name for name in lines.others]
        typical = f"population, at each {lines.factor.name}'s {_shown(shown)}"
    elif lines.others:
        typical = f"population, averaged over {_shown(lines.others)}"
    own = f"each {lines.factor.name}"
    if mixed := lines.grid.mixed:
        own += f", at its first {_shown(mixed)}"
    dashed: Any = (0, (4, 2)) if owner is figure else "-"
    band = LEVEL if owner is figure else POPULATION
    handles = [
        Line2D([], [], color=DATA, marker="o", linestyle="", markersize=4, label="data"),
        Line2D([], [], color=LEVEL, linewidth=1.6, label=own),
        Line2D([], [], color=POPULATION, linewidth=1.8, linestyle=dashed, label=typical),
        Patch(facecolor=band, alpha=0.25, linewidth=0, label=interval_words(*lines.ci)),
    ]
    place = {"loc": "outside upper right"} if owner is figure else {"loc": "best"}
    owner.legend(handles=handles, ncols=len(handles) if owner is figure else 1, **place)


def _response_words(idata: xr.DataTree) -> str:
    """Name the response for an axis; of trials their share."""
    name = str(idata.attrs["response"])
    share = family(idata).response.known == "trials"
    return f"share of {name}" if share else with_unit(name, column_units(idata))


def _shown(columns: Sequence[str]) -> str:
    return " and ".join(columns) if len(columns) < 3 else "the other columns"


MEAN_DRAWS = 250  # draws of each chain: intervals to within a pixel or two


def draw_level_means(
    idata: xr.DataTree, factor: GroupingFactor, ci: tuple[float, str], ax: Any
) -> Any:
    """Draw the data of each level, its expected value with interval, and the population's."""
    y = observed_means(idata, read.response(idata))
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
        scatter_seen(
            ax,
            rank[factor.index] + jitter,
            y,
            responses_seen(idata, len(y)),
            DATA,
            s=float(np.clip(3000 / len(y), 1.5, 12)),
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
        ax.set_ylabel(_response_words(idata))
        _label_levels(ax, factor, order)
        legend_above(ax, _handles(factor, ci))
        ax.margins(y=0.12)
    return ax.figure


def _expected(idata: xr.DataTree, factor: GroupingFactor) -> tuple[Any, Any]:
    """Draws of each level's mean expected value, (m, s), and of the population's, (s,)."""
    _, total = read.sample_shape(idata)
    draws = min(total, MEAN_DRAWS)
    own = linear_predictor(idata, random_effects=[factor.name], draws=draws)
    counts = np.bincount(factor.index, minlength=len(factor.levels))
    sums = np.zeros((len(counts), own.size))
    for rows, values in own.mean_chunks():
        np.add.at(sums, factor.index[rows], values)
    none = linear_predictor(idata, random_effects="none", draws=draws)
    total_mean = sum(values.sum(axis=0) for _, values in none.mean_chunks()) / none.n
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
        Patch(facecolor=POPULATION, alpha=0.25, linewidth=0, label=f"its {interval_words(*ci)}"),
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
