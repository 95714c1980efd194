"""Fixed effects with their intervals, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.estimated.estimates import Drawn, Estimated, Estimates
from bayeslmm.analysis.prediction.fit_rows import Fit, FitRows, fit_rows
from bayeslmm.analysis.prediction.response_scale import exponential_words, exponentials
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, names_keywords, nearest
from bayeslmm.plots.style import GRID, INK, LEVEL, interval_words, mean_words, style
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval
from bayeslmm.results.family import is_additive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats

DOTS = 50  # quantiles of the posterior: each stands for two draws of a hundred
WIDTH = 1 / 60  # of the axis, for a dot
HEIGHT = 0.7  # of a line, for the highest stack
INNER_PROB = 0.5


@names_keywords
def plot_fixed_effects(
    fit: Fit,
    coef: Sequence[str] | None = None,
    *,
    exponentiate: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    dots: bool = True,
    ax: Any = None,
) -> Any:
    """Draw the fixed effects with their intervals.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    coef : sequence of str, optional
        Which of them, in this order; all but the intercept without it.
    exponentiate : bool
        Whether to draw odds ratios, rate ratios and the like, as `fixed_effects` has them, on a
        logarithmic axis.
    ci_prob : float
        Probability of the thin intervals; the thick ones hold 50 %.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals of a posterior; a REML fit has Wald's.
    dots : bool
        Whether to draw a posterior as 50 dots, its quantiles: of a hundred draws each stands for
        two, so that probabilities can be counted.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Units are the response's per unit of the column, or the link's: effects of columns in
        different units do not compare by their length.

    Raises
    ------
    ArgumentError
        When an effect is unknown, or there is none; or when exponentials mean nothing.
    NumericalError
        When exponentials leave the range of numbers.
    TreeError
        When `fit` is neither.

    References
    ----------
    Kay, Kola, Hullman & Munson (2016), Proceedings of CHI, 5092-5103, doi 10.1145/2858036.2858558,
    for the dots.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> [label.get_text() for label in bl.plot_fixed_effects(idata).axes[0].get_yticklabels()]
    ['x']
    """
    check_interval(ci_prob, ci_kind)
    rows = fit_rows(fit)
    chosen = _chosen(rows.state.coef, coef)
    quantity = exponential_words(rows.family)[0] if exponentiate else ""
    plain = _estimates(fit).combine(np.eye(len(rows.state.coef))[[p for p, _ in chosen]])
    found = plain
    if exponentiate and isinstance(plain, Drawn):
        found = Drawn(exponentials(plain.draws, "Leave exponentiate=True out."))
    low, high = found.interval(ci_prob, ci_kind)
    inner_low, inner_high = found.interval(INNER_PROB, ci_kind)
    rank = np.arange(len(chosen), dtype=np.float64)[::-1]
    with_dots = dots and isinstance(found, Drawn)
    with style() as plt:
        if ax is None:
            height = (0.62 if with_dots else 0.36) * len(chosen) + 1.1
            _, ax = plt.subplots(figsize=(7.2, max(height, 2.0)), layout="constrained")
        ax.grid(color=GRID, linewidth=0.6, axis="x")
        if [name for _, name in chosen] != [names.INTERCEPT]:
            ax.axvline(float(exponentiate), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        if exponentiate:
            _log_axis(ax)
        if dots and isinstance(plain, Drawn):
            draws = plain.draws.reshape(-1, len(chosen))
            _draw_dots(ax, draws, rank, exponentiate=exponentiate)
        ax.hlines(rank, low, high, color=INK, linewidth=1.2, zorder=3)
        ax.hlines(rank, inner_low, inner_high, color=INK, linewidth=3.4, zorder=3)
        ax.scatter(found.centre, rank, s=16, color=INK, edgecolor="white", zorder=4)
        ax.set_yticks(rank, [name for _, name in chosen])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(-0.5, len(chosen) - 0.5 + (0.35 if with_dots else 0.0))
        ax.set_xlabel(f"{quantity or _unit(rows)} per unit of the column")
        counted = f"; each dot: 1 of {DOTS} draws" if with_dots else ""
        ax.set_title(f"50 and {interval_words(ci_prob, ci_kind)}s{counted}")
    return ax.figure


def _log_axis(ax: Any) -> None:
    """Make the axis logarithmic, with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415 - slow

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _unit(rows: FitRows) -> str:
    if not is_additive(rows.family):
        return mean_words(rows.family, rows.response, rows.units, "link")
    unit = rows.units.get(rows.response, "1")
    return rows.response if unit == "1" else unit


def _chosen(known: Sequence[str], asked: Sequence[str] | None) -> list[tuple[int, str]]:
    if asked is not None:
        wanted = as_names("coef", asked)
    else:
        wanted = [name for name in known if name != names.INTERCEPT] or list(known)
    if not wanted:
        raise ArgumentError("There is no fixed effect to draw.")
    for name in wanted:
        if name not in known:
            raise ArgumentError(
                f"There is no fixed effect {name!r}.{nearest(name, known)} The model has: "
                f"{', '.join(known)}."
            )
    return [(list(known).index(name), name) for name in wanted]


def _estimates(fit: Fit) -> Estimates:
    if isinstance(fit, REMLFit):
        return Estimated(fit.conditional.beta, fit.conditional.beta_cov)
    return Drawn(read.draws(fit, names.BETA))


def _draw_dots(ax: Any, draws: Floats, rank: Floats, *, exponentiate: bool) -> None:
    quantiles = np.quantile(draws, (np.arange(DOTS) + 0.5) / DOTS, axis=0)
    width = WIDTH * float(np.ptp([*quantiles.ravel(), 0.0])) or 1.0
    stacks = [_stacked(column, width) for column in quantiles.T]
    for (x, height), base in zip(stacks, rank, strict=True):
        step = min(0.09, HEIGHT / (float(height.max()) + 1))
        at = np.exp(x) if exponentiate else x
        ax.scatter(at, base + 0.12 + step * height, s=13, color=LEVEL, alpha=0.75, linewidth=0)


def _stacked(sorted_values: Floats, width: float) -> tuple[Floats, Floats]:
    """Stack values that lie within a dot's width of the first of them (Wilkinson's dot plot)."""
    x, height = np.empty(len(sorted_values)), np.empty(len(sorted_values))
    start = 0
    while start < len(sorted_values):
        end = int(np.searchsorted(sorted_values, sorted_values[start] + width, side="right"))
        x[start:end] = sorted_values[start:end].mean()
        height[start:end] = np.arange(end - start)
        start = end
    return x, height
