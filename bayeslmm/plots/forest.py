"""Studies of a meta-analysis: their own estimates, and those that know of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm.analysis.prediction.fit_rows import Fit, fit_rows
from bayeslmm.analysis.prediction.linear_predictor import check_seed
from bayeslmm.analysis.variance.studies import Interval, Studies, study_estimates
from bayeslmm.errors import ArgumentError, NumericalError, check_choice, names_keywords, nearest
from bayeslmm.plots.style import (
    DATA,
    GRID,
    INK,
    LEVEL,
    POPULATION,
    interval_words,
    legend_above,
    style,
    with_unit,
)
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Floats, Ints

APART = 0.17  # half the distance of a study's two lines


@names_keywords
def plot_forest(
    fit: Fit,
    *,
    labels: Mapping[str, str] | None = None,
    order: Literal["rows", "estimate"] = "rows",
    exponentiate: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    random_seed: int | None = 0,
    ax: Any = None,
) -> Any:
    r"""Draw the studies of a meta-analysis: each one's own estimate, and its effect given all.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml` with known standard errors (``se=``) and a random
        intercept of one grouping factor, the studies.
    labels : mapping of str to str, optional
        What to write for a level of that factor.
    order : {"rows", "estimate"}
        From top to bottom: as the rows name them, or by their own estimates.
    exponentiate : bool
        Whether estimates are logarithms, of risk or odds ratios: the axis then shows ratios.
    ci_prob : float
        Probability of the intervals.
    ci_kind : {"eti", "hdi"}
        Of a posterior's intervals. Those of the raw estimates are normal, as are a REML fit's,
        which hold at its estimated variances.
    random_seed : int, optional
        Seed of new studies.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Grey squares are raw estimates, larger where more precise; blue points are the studies'
        effects X beta + b, drawn towards what is expected of them. Below, the mean of these
        expectations, and a new study among such ones, whose interval has the scatter between
        studies in it.

    Raises
    ------
    ArgumentError
        When the fit has no known standard errors, or not one random intercept; when `labels` names
        a study that there is not.
    NumericalError
        When exponentials leave the range of numbers.
    TreeError
        When `fit` is neither, or holds no draws of the effects.

    References
    ----------
    Higgins, Thompson & Spiegelhalter (2009), Journal of the Royal Statistical Society A
    172(1):137-159, doi 10.1111/j.1467-985X.2008.00552.x, for the new study.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_reml("yi ~ 1 + (1 | trial)", bl.load_dataset("bcg"), se="sei")
    >>> (panel,) = bl.plot_forest(fit, labels={"1": "Aronson 1948"}).axes
    >>> [label.get_text() for label in panel.get_yticklabels()][:2]
    ['Aronson 1948', '2']
    """
    check_interval(ci_prob, ci_kind)
    check_choice("order", order, ("rows", "estimate"))
    studies = study_estimates(fit, ci_prob, ci_kind, check_seed(random_seed))
    named = _named(studies, labels)
    places = np.arange(len(named))
    if order == "estimate":
        places = np.argsort(studies.raw.centre, kind="stable")
    k = len(named)
    rank = np.arange(float(k))
    with style() as plt:
        if ax is None:
            size = (7.4, float(np.clip(0.36 * k + 2.0, 3.0, 16.0)))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        ax.grid(color=GRID, linewidth=0.6, axis="x")
        _draw_raw(ax, _taken(studies.raw, places, exponentiate), rank - APART, studies, places)
        _draw_lines(ax, _taken(studies.shrunken, places, exponentiate), rank + APART, LEVEL)
        only = np.zeros(1, np.int64)
        _draw_mean(ax, _taken(studies.mean, only, exponentiate), k + 0.4)
        new = _taken(studies.new, only, exponentiate)
        ax.hlines(k + 1.2, new.low, new.high, color=POPULATION, linewidth=1.6)
        ax.axhline(k - 0.3, color=GRID, linewidth=1.0)
        ax.axvline(float(exponentiate), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        mean = "mean of such studies" if studies.moderated else "mean"
        texts = [*(named[place] for place in places), mean, "a new study"]
        ax.set_yticks([*rank, k + 0.4, k + 1.2], texts)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(k + 1.7, -0.7)
        _axis(ax, fit, exponentiate=exponentiate)
        legend_above(ax, _legend(), title=interval_words(ci_prob, ci_kind) + "s")
    return ax.figure


def _named(studies: Studies, labels: Mapping[str, str] | None) -> list[str]:
    given = {str(level): str(text) for level, text in (labels or {}).items()}
    for level in given:
        if level not in studies.levels:
            raise ArgumentError(
                f"labels names {level!r}, and {studies.factor!r} has no such level."
                f"{nearest(level, studies.levels)}"
            )
    return [given.get(level, level) for level in studies.levels]


def _taken(found: Interval, places: Ints, exponentiate: bool) -> Interval:
    parts = [part[places] for part in (found.centre, found.low, found.high)]
    if exponentiate:
        with np.errstate(over="ignore"):
            parts = [np.exp(part) for part in parts]
        if not all(np.isfinite(part).all() for part in parts):
            raise NumericalError(
                "Exponentials of these estimates leave the range of numbers: leave "
                "exponentiate=True out."
            )
    return Interval(*parts)


def _draw_raw(ax: Any, raw: Interval, rank: Floats, studies: Studies, places: Ints) -> None:
    width = (studies.raw.high - studies.raw.low)[places]
    ax.hlines(rank, raw.low, raw.high, color=DATA, linewidth=1.0)
    size = 16 + 60 * (width.min() / width) ** 2
    ax.scatter(raw.centre, rank, s=size, marker="s", color=DATA, linewidth=0, zorder=3)


def _draw_lines(ax: Any, found: Interval, rank: Floats, color: str) -> None:
    ax.hlines(rank, found.low, found.high, color=color, linewidth=2.0)
    ax.scatter(found.centre, rank, s=22, color=color, edgecolor="white", zorder=4)


def _draw_mean(ax: Any, mean: Interval, place: float) -> None:
    """Draw the diamond, whose ends are those of the interval."""
    (centre,), (low,), (high,) = mean.centre, mean.low, mean.high
    x, y = [low, centre, high, centre], [place, place - 0.25, place, place + 0.25]
    ax.fill(x, y, color=POPULATION, linewidth=0, zorder=3)
    ax.axvline(centre, color=POPULATION, linewidth=0.8, alpha=0.6, zorder=1)


def _axis(ax: Any, fit: Fit, *, exponentiate: bool) -> None:
    rows = fit_rows(fit)
    if not exponentiate:
        ax.set_xlabel(with_unit(rows.response, rows.units))
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415 - slow

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    unit = rows.units.get(rows.response, "1")
    ax.set_xlabel(unit.removeprefix("log ") if unit.startswith("log ") else f"exp({rows.response})")


def _legend() -> Sequence[Any]:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    return [
        Line2D([], [], color=DATA, marker="s", linewidth=1.0, label="the study alone"),
        Line2D([], [], color=LEVEL, marker="o", linewidth=2.0, label="given all studies"),
        Line2D([], [], color=POPULATION, marker="d", linewidth=1.6, label="mean, and a new study"),
    ]
