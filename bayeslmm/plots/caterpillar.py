"""Random effects with their intervals, sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, names_keywords, nearest
from bayeslmm.names import INTERCEPT
from bayeslmm.plots.style import DATA, INK, LEVEL, interval_words, style
from bayeslmm.results import read as tree
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, interval
from bayeslmm.results.family import family
from bayeslmm.results.parameters import scale_of_effects
from bayeslmm.results.residual import all_factors
from bayeslmm.results.units import column_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.results.factor_info import FactorInfo

MOST_LABELS = 80  # more labels than this cannot be read, so the picture lies down without them
INNER_PROB = 0.5
CHARACTERS = 11  # of a label, to an inch of the figure's width


@names_keywords
def plot_caterpillar(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    terms: Sequence[str] | None = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    axes: Any = None,
) -> Any:
    """Draw the random effects of a factor with their intervals, sorted by their means.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        The grouping factor; may be left out where there is one. Effects in log(sigma) are those
        of ``sigma_<factor>``.
    terms : sequence of str, optional
        Which random-effect columns to draw; all without it. One panel each.
    ci_prob : float
        Probability of the thin intervals; the thick ones hold 50 %.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.
    axes : matplotlib Axes or sequence of them, optional
        Where to draw, one for each term; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Levels whose interval excludes zero are blue, the others grey. An arm's column, of
        ``gr(g, by=arm)``, has the levels of the arm.

    Raises
    ------
    ArgumentError
        When a term is unknown, or `axes` are too few.
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> [axes.get_title() for axes in bl.plot_caterpillar(idata).axes]
    ['Intercept', 'x']
    """
    beside = factor in tree.in_parameters(idata)
    info = all_factors(idata, factor)[0] if beside else tree.factor(idata, factor)
    chosen = _chosen_terms(info, terms)
    values = tree.effect_draws(idata, info)
    flat = values.reshape(-1, *values.shape[2:])
    upright = len(info.levels) <= MOST_LABELS
    with style() as plt:
        figure, panels = _panels(plt, axes, len(chosen), len(info.levels), upright=upright)
        for panel, term in zip(panels, chosen, strict=True):
            place = info.terms.index(term)
            there = np.flatnonzero(info.holds[:, place])
            levels = [info.levels[level] for level in there]
            _draw(panel, flat[:, there, place], levels, (ci_prob, ci_kind), upright=upright)
            panel.set_title(term)
        inner = "50 and " if upright else ""
        words = f"{inner}{interval_words(ci_prob, ci_kind)}{'s' * (ci_kind == 'eti')}"
        scale = scale_of_effects(idata, info.name) if beside else ""
        unit = f", on the scale of {scale}" if scale else _unit(idata, chosen)
        said = f"random effect of {info.name}{unit}"
        fits = len(said) + len(words) + 3 <= CHARACTERS * figure.get_figwidth()
        label = f"{said}{' ' if upright and fits else chr(10)}({words})"
        if axes is None:
            (figure.supxlabel if upright else figure.supylabel)(label, fontsize=10, color=INK)
    return figure


def _unit(idata: xr.DataTree, terms: Sequence[str]) -> str:
    member = family(idata)
    link = member.link if member.response.ordered else member.mean_scale
    if link.name != "identity":
        return f", on the scale of the {link.name}"
    unit = column_units(idata).get(str(idata.attrs["response"]), "1")
    if unit == "1":
        return ""
    return f", {unit}" if list(terms) == [INTERCEPT] else f", {unit} per unit of the column"


def _chosen_terms(info: FactorInfo, terms: Sequence[str] | None) -> list[str]:
    chosen = list(info.terms) if terms is None else as_names("terms", terms)
    for term in chosen:
        if term not in info.terms:
            msg = (
                f"{info.name!r} has no random effect {term!r}.{nearest(term, info.terms)} "
                f"It has: {', '.join(info.terms)}."
            )
            raise ArgumentError(msg)
    return chosen


def _panels(
    plt: Any, axes: Any, count: int, levels: int, *, upright: bool
) -> tuple[Any, list[Any]]:
    if axes is not None:
        panels = [axes] if hasattr(axes, "plot") else list(np.ravel(axes))
        if len(panels) < count:
            msg = f"axes holds {len(panels)} panels; {count} terms need one each."
            raise ArgumentError(msg)
        return panels[0].figure, panels[:count]
    if upright:
        size = (min(3.6 * count + 0.6, 15), np.clip(0.19 * levels + 1.3, 2.4, 13))
        figure, grid = plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained")
    else:
        size = (9.0, min(2.6 * count + 0.4, 14))
        figure, grid = plt.subplots(
            count, 1, figsize=size, squeeze=False, layout="constrained", sharex=True
        )
    return figure, list(grid.ravel())


def _draw(
    panel: Any,
    draws: NDArray[np.float64],
    levels: Sequence[str],
    ci: tuple[float, str],
    *,
    upright: bool,
) -> None:
    means = draws.mean(axis=0)
    order = np.argsort(means, kind="stable")
    low, high = (bound[order] for bound in interval(draws, *ci))
    inner_low, inner_high = (bound[order] for bound in interval(draws, INNER_PROB, ci[1]))
    rank = np.arange(len(order))
    colors = np.where((low > 0) | (high < 0), LEVEL, DATA)
    if upright:
        panel.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        panel.hlines(rank, low, high, colors=colors, linewidth=1.0)
        panel.hlines(rank, inner_low, inner_high, colors=colors, linewidth=2.6)
        panel.scatter(means[order], rank, c=colors, s=14, zorder=3)
        size = 8.5 if len(order) <= 40 else 6
        panel.set_yticks(rank, [levels[position] for position in order], fontsize=size)
        panel.set_ylim(-0.8, len(order) - 0.2)
        panel.tick_params(axis="y", length=0)
        return
    crowded = len(order) > 400
    panel.vlines(rank, low, high, colors=colors, linewidth=0.5, alpha=0.35 if crowded else 0.8)
    panel.plot(rank, means[order], color=INK, linewidth=1.4)
    panel.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    panel.set_xlim(-1, len(order))
    if panel.get_subplotspec() is None or panel.get_subplotspec().is_last_row():
        panel.set_xlabel(f"{len(order)} levels, sorted")
    apart = int((colors == LEVEL).sum())
    panel.annotate(
        f"{apart} intervals exclude zero",
        (0.01, 0.97),
        xycoords="axes fraction",
        va="top",
        color=LEVEL,
        fontsize=9,
    )
