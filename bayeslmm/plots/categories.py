"""Probabilities of ordered categories over a column, stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.average_mean import require_ordered
from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.analysis.prediction.reference_grid import levels
from bayeslmm.errors import TreeError, names_keywords
from bayeslmm.plots.style import style, with_unit
from bayeslmm.results import read
from bayeslmm.results.family import family

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.arrays import Floats

# Values of a number along the axis; rows over which probabilities are averaged, and draws.
POINTS = 31
MOST_ROWS = 100
MOST_DRAWS = 400
WAY = "It is a column that the formula reads."


@names_keywords
def plot_categories(idata: xr.DataTree, x: str, *, ax: Any = None) -> Any:
    """Draw the probability of each ordered category over a column, one above the other.

    What is drawn are posterior means of the population, random effects at zero, averaged over the
    fit's rows (at most a hundred, evenly spaced) with the column at each value.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes` with ``family="cumulative"``, ``"sratio"`` or ``"acat"``.
    x : str
        The column of the horizontal axis: a number gives areas, labels give bars.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ArgumentError
        When the family is another one, or the formula does not read the column.
    TreeError
        When `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_bayes(
    ...     "rating ~ temp + (1 | judge)", bl.load_dataset("wine"), family="cumulative",
    ...     draws=100, random_seed=1,
    ... )
    >>> (axes,) = bl.plot_categories(fit, "temp").axes
    >>> axes.get_xlabel(), axes.get_ylabel(), len(axes.containers)
    ('temp', 'probability of rating', 5)
    """
    categories = require_ordered(family(idata)).categories
    rows = fit_rows(idata)
    if rows.columns is None:
        raise TreeError("This fit holds no rows to average probabilities over.")
    rows.require_read(x, "x", (), WAY)
    at = levels(rows, x)
    runs = at is None
    if at is None:
        own = np.asarray(rows.columns[x], dtype=np.float64)
        at = list(np.linspace(own.min(), own.max(), POINTS))
    chosen = np.linspace(0, len(rows.columns[x]) - 1, MOST_ROWS).round().astype(np.intp)
    some = {name: column[np.unique(chosen)] for name, column in rows.columns.items()}
    shares = np.stack([_shares(idata, some, x, value) for value in at])
    upper = np.cumsum(shares, axis=1)
    lower = upper - shares
    with style() as plt:
        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
        places = at if runs else np.arange(len(at))
        colors = plt.get_cmap("cividis")(np.linspace(0.08, 0.95, len(categories)))
        for k, (category, color) in enumerate(zip(categories, colors, strict=True)):
            if runs:
                ax.fill_between(
                    places, lower[:, k], upper[:, k], color=color, label=category, linewidth=0
                )
            else:
                ax.bar(places, shares[:, k], 0.7, lower[:, k], color=color, label=category)
        if not runs:
            ax.set_xticks(places, list(map(str, at)))
        ax.set_ylim(0.0, 1.0)
        ax.margins(x=0.0 if runs else 0.05)
        ax.set_xlabel(with_unit(x, rows.units))
        ax.set_ylabel(f"probability of {rows.response}")
        handles, said = ax.get_legend_handles_labels()
        # In the order in which they are stacked.
        ax.legend(handles[::-1], said[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax.figure


def _shares(idata: xr.DataTree, rows: dict[str, Any], x: str, value: Any) -> Floats:
    """Return the posterior means of the categories' probabilities with a column at a value."""
    count = len(next(iter(rows.values())))
    moved = {**rows, x: np.full(count, value)}
    chains, draws = read.sample_shape(idata)
    kept = min(draws, -(-MOST_DRAWS // chains))
    found = predict(idata, moved, kind="probability", random_effects="none", draws=kept)
    return np.asarray(found.mean(("chain", "draw", "obs")).to_numpy())
