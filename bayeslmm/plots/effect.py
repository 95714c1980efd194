"""The expected response over a covariate or a factor, by another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm.analysis.prediction.cell_estimates import cell_estimates
from bayeslmm.analysis.prediction.fit_rows import Fit, FitRows, fit_rows
from bayeslmm.analysis.prediction.reference_grid import levels, places, reference_grid
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.plots.style import (
    CATEGORIES,
    DATA,
    GRID,
    LEVEL,
    legend_above,
    mean_words,
    name_categories,
    responses_seen,
    scatter_seen,
    style,
    with_unit,
)
from bayeslmm.results.diagnostics import CI_KIND, check_interval
from bayeslmm.results.family import is_additive, observed_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.estimated.estimates import Estimates
    from bayeslmm.analysis.prediction.reference_grid import ReferenceGrid
    from bayeslmm.analysis.prediction.response_scale import ScaleName
    from bayeslmm.arrays import Floats

POINTS = 61  # a curve over the width of a page
BANDS = (0.5, 0.8, 0.95)
WAY = "Here the population is drawn; plot_levels draws the groups."


@dataclass(frozen=True, eq=False, slots=True)
class _Effect:
    """What is drawn: one curve, or one row of points, for each category."""

    rows: FitRows
    x: str
    by: str | None
    at_x: list[Any]
    categories: list[Any]
    centre: Floats
    limits: list[tuple[Floats, Floats]]
    runs: bool

    def color(self, place: int) -> str:
        return CATEGORIES[place % len(CATEGORIES)] if self.by else LEVEL


@names_keywords
def plot_effect(
    fit: Fit,
    x: str,
    *,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    average: Literal["balanced", "rows"] = "balanced",
    scale: ScaleName = "response",
    data: Any = None,
    probs: Sequence[float] = BANDS,
    ci_kind: str = CI_KIND,
    points: bool = True,
    ax: Any = None,
) -> Any:
    """Draw the expected response over a column, one line for each category of another.

    What is drawn are the means of `marginal_means`: of the population, random effects at zero.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    x : str
        The column of the horizontal axis: a number gives lines with bands, labels give points
        with intervals.
    by : str, optional
        The column whose levels are told apart by colour; of a number, name values by `at`.
    at, average, scale, data
        As in `marginal_means`; `at` may hold the values of `x`, too. On the scale of the link
        there are no data to draw.
    probs : sequence of float
        Probabilities of the bands.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density bands of a posterior; a REML fit has Wald's.
    points : bool
        Whether to draw the data behind, where the fit holds rows; of a binomial response shares
        of the trials.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ArgumentError, DataError, TreeError
        As in `marginal_means`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> axes = bl.plot_effect(idata, "x").axes[0]
    >>> axes.get_xlabel(), axes.get_ylabel(), axes.get_title()
    ('x', 'expected y', 'the population; bands: 50, 80, 95 %')
    """
    if not isinstance(probs, Sequence | np.ndarray):
        raise ArgumentError(f"probs is a list of probabilities; it was {probs!r}.")
    for prob in probs:
        check_interval(prob, ci_kind)
    if not len(probs):
        raise ArgumentError("probs names no probability; give one such as 0.95.")
    if not isinstance(at, Mapping | None):
        raise ArgumentError(f"at maps columns to values, as {{'x': [0, 1]}} does; it was {at!r}.")
    effect, words = _effect(
        fit, x, by, at=dict(at or {}), average=average, data=data, ci=(sorted(probs), ci_kind),
        scale=scale,
    )  # fmt: skip
    with style() as plt:
        if ax is None:
            _, ax = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
        ax.grid(color=GRID, linewidth=0.6, axis="both" if effect.runs else "y")
        # Of the link there may be none: log(0), say.
        own_scale = scale == "response" or is_additive(effect.rows.family)
        if points and own_scale and effect.rows.y is not None:
            y = observed_means(fit, effect.rows.y)
            _draw_data(ax, effect, y, responses_seen(fit, len(y)))
        (_draw_lines if effect.runs else _draw_points)(ax, effect)
        units = effect.rows.units
        ax.set_xlabel(with_unit(x, units))
        ax.set_ylabel(mean_words(effect.rows.family, effect.rows.response, units, scale))
        if scale == "response":
            name_categories(ax.yaxis, effect.rows.family)
        what = "bands" if effect.runs else "intervals"
        shown = ", ".join(f"{100 * prob:g}" for prob in sorted(probs))
        kind = "" if ci_kind == "eti" else f" {ci_kind.upper()}"
        said = f"{words}; {what}: {shown} %{kind}"
        if by is None:
            ax.set_title(said)
        else:
            legend_above(ax, _handles(effect), said)
    return ax.figure


def _effect(
    fit: Fit,
    x: str,
    by: str | None,
    *,
    at: dict[str, Any],
    average: str,
    data: Any,
    ci: tuple[Sequence[float], str],
    scale: str,
) -> tuple[_Effect, str]:
    own = fit_rows(fit)
    rows = own.with_rows(data)
    if isinstance(x, str) and isinstance(by, str) and x == by:
        raise ArgumentError(f"by={by!r} is the column of the axis already; leave it out.")
    for argument, column in (("x", x), ("by", by)):
        if column is not None:
            if not isinstance(column, str):
                raise ArgumentError(f"{argument} is the name of a column; it was {column!r}.")
            rows.require_read(column, argument, (), WAY)
    runs = levels(rows, x) is None
    if runs and x not in at and rows.columns is not None and x in rows.columns:
        values = np.asarray(rows.columns[x], dtype=np.float64)
        at[x] = np.linspace(values.min(), values.max(), POINTS)
    grid = reference_grid(rows, [x] if by is None else [by, x], at, average, way=WAY)
    if by is not None and len(grid.focal[by]) > len(CATEGORIES):
        raise ArgumentError(
            f"{by!r} has {len(grid.focal[by])} levels, more than colours can tell apart: choose "
            f"some of them, as in at={{{by!r}: {grid.focal[by][:2]}}}."
        )
    found = cell_estimates(fit, own, grid, scale)
    categories = [None] if by is None else grid.focal[by]
    shape = (len(categories), len(grid.focal[x]))
    effect = _Effect(
        rows=own,
        x=x,
        by=by,
        at_x=grid.focal[x],
        categories=categories,
        centre=found.centre.reshape(shape),
        limits=_limits(found, ci, shape),
        runs=runs,
    )
    return effect, _setting(rows, grid, at, average)


def _limits(
    found: Estimates, ci: tuple[Sequence[float], str], shape: tuple[int, int]
) -> list[tuple[Floats, Floats]]:
    """Return the bounds for each probability, the narrowest first."""
    bounds = (found.interval(prob, ci[1]) for prob in ci[0])
    return [(low.reshape(shape), high.reshape(shape)) for low, high in bounds]


def _setting(rows: FitRows, grid: ReferenceGrid, at: Mapping[str, Any], average: str) -> str:
    """Say at what the other columns are."""
    if not grid.others:
        return "the population"
    if average == "rows":
        over = [name for name in grid.others if name not in at]
        said = [f"averaged over the rows' {', '.join(over)}"] if over else []
    else:
        factors = [n for n in grid.others if n not in at and levels(rows, n) is not None]
        numbers = [n for n in grid.others if n not in at and n not in factors]
        said = [f"averaged over {', '.join(factors)}"] if factors else []
        said += [f"{name} = {float(grid.others[name][0]):.3g}" for name in numbers]
    for name in grid.others:
        if name in at:
            values = np.atleast_1d(np.asarray(at[name], dtype=object))
            said.append(f"{name} = {', '.join(map(str, values))}")
    return f"the population, {', '.join(said)}"


def _draw_lines(ax: Any, effect: _Effect) -> None:
    for place in range(len(effect.categories)):
        color = effect.color(place)
        for low, high in effect.limits:
            ax.fill_between(
                effect.at_x, low[place], high[place], color=color, alpha=0.2, linewidth=0, zorder=3
            )
        ax.plot(effect.at_x, effect.centre[place], color=color, linewidth=1.8, zorder=4)


def _draw_points(ax: Any, effect: _Effect) -> None:
    widths = np.linspace(6.0, 1.2, len(effect.limits)) if len(effect.limits) > 1 else [1.8]
    for place in range(len(effect.categories)):
        color = effect.color(place)
        at = np.arange(len(effect.at_x)) + _shift(effect, place)
        for (low, high), width in zip(effect.limits, widths, strict=True):
            ax.vlines(at, low[place], high[place], color=color, linewidth=width, zorder=3)
        ax.scatter(at, effect.centre[place], s=22, color=color, edgecolor="white", zorder=4)
    ax.set_xticks(np.arange(len(effect.at_x)), list(map(str, effect.at_x)))
    ax.set_xlim(-0.6, len(effect.at_x) - 0.4)


def _shift(effect: _Effect, place: int) -> float:
    """Return how far beside its tick a category stands."""
    count = len(effect.categories)
    return 0.6 * ((place + 0.5) / count - 0.5)


def _draw_data(ax: Any, effect: _Effect, y: Floats, seen: NDArray[np.bool_]) -> None:
    columns = effect.rows.columns or {}
    if effect.x not in columns or (effect.by is not None and effect.by not in columns):
        return
    n = len(y)
    options = {
        "s": float(np.clip(6000 / n, 2.5, 12)),
        "alpha": float(np.clip(900 / n, 0.08, 0.45)),
        "linewidth": 0,
        "rasterized": n > 5000,
    }
    category = np.zeros(n, dtype=np.intp)
    if effect.by is not None:
        category = places(columns[effect.by], effect.categories)
    if effect.runs:
        across = np.asarray(columns[effect.x], dtype=np.float64)
    else:
        tick = places(columns[effect.x], effect.at_x)
        shifts = np.array([*(_shift(effect, k) for k in range(len(effect.categories))), 0.0])
        across = tick + shifts[category] + np.random.default_rng(0).uniform(-0.06, 0.06, n)
        category = np.where(tick < 0, -2, category)
    for place in np.unique(category[category > -2]):
        color = effect.color(int(place)) if effect.by and place >= 0 else DATA
        here = category == place
        scatter_seen(ax, across[here], y[here], seen[here], color, **options)


def _handles(effect: _Effect) -> list[Any]:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    label = with_unit(str(effect.by), effect.rows.units)
    return [
        Line2D([], [], color=effect.color(place), linewidth=2.4, label=f"{label}: {category}")
        for place, category in enumerate(effect.categories)
    ]
