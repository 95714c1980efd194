"""Probabilities of categories over a column, stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.average_mean import require_ordered
from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.analysis.prediction.reference_grid import levels
from bayeslmm.analysis.several.probabilities import category_probabilities
from bayeslmm.analysis.several.response_of import layout_of, part_tree
from bayeslmm.errors import ArgumentError, TreeError, names_keywords
from bayeslmm.plots.style import CATEGORIES, style, with_unit
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.record import has_several

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.analysis.prediction.fit_rows import FitRows
    from bayeslmm.arrays import Floats

# Values of a number along the axis; rows over which probabilities are averaged, and draws.
POINTS = 31
MOST_ROWS = 100
MOST_DRAWS = 400
WAY = "It is a column that the formula reads."


@names_keywords
def plot_categories(idata: xr.DataTree, x: str, by: str | None = None, *, ax: Any = None) -> Any:
    """Draw the probability of each category over a column, one above the other.

    What is drawn are posterior means of the population, random effects at zero, averaged over the
    fit's rows (at most a hundred, evenly spaced) with the columns at each value.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes` with ``family="cumulative"``, ``"sratio"``, ``"acat"``,
        ``"categorical"`` or ``"multinomial"``.
    x : str
        The column of the horizontal axis: a number gives areas, labels give bars.
    by : str, optional
        A column of labels, with a panel for each of them.
    ax : matplotlib Axes, or one for each panel, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ArgumentError
        When the family is another one, the formula does not read a column, `by` is one of numbers,
        or `ax` are not as many as panels.
    TreeError
        When `idata` is no tree of this package, or of several responses that are no categories.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_bayes(
    ...     "rating ~ temp + contact + (1 | judge)", bl.load_dataset("wine"), family="cumulative",
    ...     draws=100, random_seed=1,
    ... )
    >>> (axes,) = bl.plot_categories(fit, "temp").axes
    >>> axes.get_xlabel(), axes.get_ylabel(), len(axes.containers)
    ('temp', 'probability of rating', 5)
    >>> [axes.get_title() for axes in bl.plot_categories(fit, "temp", by="contact").axes]
    ['contact: no', 'contact: yes']
    """
    categories, rows = _categories(idata)
    if rows.columns is None:
        raise TreeError("This fit holds no rows to average probabilities over.")
    rows.require_read(x, "x", (), WAY)
    groups = [None] if by is None else _groups(rows, x, by)
    at = levels(rows, x)
    places: Any = range(len(at or ()))
    if at is None:
        own = np.asarray(rows.columns[x], dtype=np.float64)
        at = places = list(np.linspace(own.min(), own.max(), POINTS))
    chosen = np.linspace(0, len(rows.columns[x]) - 1, MOST_ROWS).round().astype(np.intp)
    some = {name: column[np.unique(chosen)] for name, column in rows.columns.items()}
    with style() as plt:
        panels = _panels(plt, ax, len(groups))
        colors: Any = plt.get_cmap("cividis")(np.linspace(0.08, 0.95, len(categories)))
        if has_several(idata) and len(categories) <= len(CATEGORIES):  # without an order
            colors = CATEGORIES[: len(categories)]
        for panel, group in zip(panels, groups, strict=True):
            there = {} if by is None else {by: group}
            shares = np.stack([_shares(idata, some, {x: value, **there}) for value in at])
            _stack(panel, places, shares, dict(zip(categories, colors, strict=True)))
            if places is not at:
                panel.set_xticks(places, list(map(str, at)))
            panel.set_xlabel(with_unit(x, rows.units))
            if by is not None:
                panel.set_title(f"{with_unit(by, rows.units)}: {group}")
        panels[0].set_ylabel(f"probability of {idata.attrs['response']}")
        handles, said = panels[-1].get_legend_handles_labels()
        # In the order in which they are stacked.
        panels[-1].legend(handles[::-1], said[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))
    return panels[0].figure


def _categories(idata: xr.DataTree) -> tuple[Sequence[str], FitRows]:
    """Return the categories of a fit, ordered or not, and its rows."""
    read.require_tree(idata)
    if not has_several(idata):
        return require_ordered(family(idata)).categories, fit_rows(idata)
    layout = layout_of(idata)
    if not layout.categories:
        raise TreeError(
            f"The responses {', '.join(layout.names)} are no categories: plot_effect draws one of "
            f"them, response_of(fit, {layout.names[0]!r})."
        )
    return layout.categories, fit_rows(part_tree(idata, layout, 0, every_row=True))


def _groups(rows: FitRows, x: str, by: str) -> list[Any]:
    """Return the labels that have a panel each."""
    if x == by:
        raise ArgumentError(f"by={by!r} is the column of the axis already; leave it out.")
    rows.require_read(by, "by", (), WAY)
    found = levels(rows, by)
    if found is None:
        raise ArgumentError(
            f"by={by!r} is a column of numbers, which have no panel each: make it x={by!r}."
        )
    return list(found)


def _panels(plt: Any, ax: Any, count: int) -> list[Any]:
    if ax is None:
        width = 6.4 if count == 1 else min(3.0 * count + 1.6, 14.0)
        _, grid = plt.subplots(
            1, count, figsize=(width, 4.4), sharey=True, squeeze=False, layout="constrained"
        )
        return list(grid.ravel())
    panels = list(np.ravel(ax))
    if len(panels) != count:
        raise ArgumentError(f"ax holds {len(panels)} axes; {count} panels need one each.")
    return panels


def _stack(ax: Any, places: Any, shares: Floats, colors: Mapping[str, Any]) -> None:
    """Draw shares, shape (places, categories), as bars at ranks or areas over numbers."""
    upper = np.cumsum(shares, axis=1)
    lower = upper - shares
    bars = isinstance(places, range)
    for k, (category, color) in enumerate(colors.items()):
        if bars:
            ax.bar(places, shares[:, k], 0.7, lower[:, k], color=color, label=category)
        else:
            ax.fill_between(
                places, lower[:, k], upper[:, k], color=color, label=category, linewidth=0
            )
    ax.set_ylim(0.0, 1.0)
    ax.margins(x=0.05 if bars else 0.0)


def _shares(idata: xr.DataTree, rows: dict[str, Any], there: Mapping[str, Any]) -> Floats:
    """Return the posterior means of the categories' probabilities with columns at a value."""
    count = len(next(iter(rows.values())))
    moved = rows | {name: np.full(count, value) for name, value in there.items()}
    chains, draws = read.sample_shape(idata)
    kept = min(draws, -(-MOST_DRAWS // chains))
    found = category_probabilities(idata, moved, random_effects="none", draws=kept)
    return np.asarray(found.mean(("chain", "draw", "obs")).to_numpy())
