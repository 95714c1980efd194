"""Pictures of checks: replicated data by group, traces and ranks."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.checks.predictive import Statistic, check_groups, statistic_name
from bayeslmm.analysis.prediction.fit_rows import included
from bayeslmm.errors import names_keywords
from bayeslmm.plots.style import (
    DATA,
    GRID,
    LEVEL,
    POPULATION,
    interval_words,
    style,
    with_unit,
)
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, blocks, interval_names
from bayeslmm.results.units import column_units
from bayeslmm.results.weights import draw_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

MOST_LABELS = 80
MOST_NAMED = 8
LETTERS = 11  # of a title, on an inch


@names_keywords
def plot_ppc_groups(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    statistic: Statistic = "sd",
    random_effects: str | Sequence[str] = "all",
    random_seed: int | None = 0,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    ax: Any = None,
) -> Any:
    """Draw each group's statistic beside its posterior predictive interval.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor, statistic, random_effects, random_seed, ci_prob, ci_kind
        As in `check_groups`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Groups sorted by the observed statistic; those outside their interval are vermilion, and
        named above. Of groups whose own effects are included, the mean lies inside almost for
        certain: the effects were fitted to it, and the picture says so.

    Raises
    ------
    ArgumentError, TreeError
        As in `check_groups`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.plot_ppc_groups(idata,).axes[0].get_ylabel()
    'sd of y'
    """
    table = check_groups(
        idata,
        factor,
        statistic=statistic,
        random_effects=random_effects,
        random_seed=random_seed,
        ci_prob=ci_prob,
        ci_kind=ci_kind,
    ).sort_values("observed", kind="stable")
    low, high = (table[name].to_numpy() for name in interval_names(ci_prob, ci_kind))
    observed = table["observed"].to_numpy()
    outside = (observed < low) | (observed > high)
    m, rank = len(table), np.arange(len(table))
    crowded = m > MOST_LABELS
    with style() as plt:
        if ax is None:
            size = (float(np.clip(0.3 * m + 2, 4.5, 10)), 4.2)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        ax.grid(color=GRID, linewidth=0.6, axis="y")
        ax.vlines(
            rank, low, high, color=LEVEL, alpha=0.15 if m > 400 else 0.35,
            linewidth=float(np.clip(150 / m, 0.6, 4)),
            label=f"predictive {interval_words(ci_prob, ci_kind)}",
        )  # fmt: skip
        dot = 4 if crowded else 14
        ax.scatter(
            rank[~outside], observed[~outside], s=dot, color=DATA, label="observed", zorder=3
        )
        ax.scatter(
            rank[outside], observed[outside], s=dot, color=POPULATION, zorder=4,
            label=f"outside ({int(outside.sum())} of {m})",
        )  # fmt: skip
        if crowded:
            ax.set_xticks([])
        else:
            ax.set_xticks(rank, table["level"], rotation=90 if m > 12 else 0)
            ax.tick_params(axis="x", labelsize=8.5 if m <= 40 else 6.5)
        name, response = statistic_name(statistic), str(idata.attrs["response"])
        group = read.factor(idata, factor).name
        ax.set_ylabel(f"{name} of {with_unit(response, column_units(idata))}")
        ax.set_xlabel(f"{f'{m} levels of ' * crowded}{group}, sorted by their {name}")
        said = _findings(
            table["level"][outside].tolist(), name, own=_has_own(idata, group, random_effects)
        )
        letters = int(LETTERS * ax.figure.get_figwidth())
        ax.set_title("\n".join(fill(line, letters) for line in said))
        for handle in ax.legend(loc="best").legend_handles:
            # In a crowded picture the marks themselves are faint and thin.
            handle.set_alpha(0.7)
            if hasattr(handle, "set_linewidths") and not hasattr(handle, "get_offsets"):
                handle.set_linewidths([2.5])
    return ax.figure


def _has_own(idata: xr.DataTree, group: str, random_effects: str | Sequence[str]) -> bool:
    return group in included(idata, random_effects)


def _findings(outside: Sequence[str], statistic: str, *, own: bool) -> list[str]:
    """Name the groups outside, and say where few could be."""
    named = list(outside)
    shown = ", ".join(named[:MOST_NAMED]) + ", ..." * (len(named) > MOST_NAMED)
    lines = [f"outside: {shown}" if named else "no group outside"]
    if statistic == "mean" and own:
        lines.append("each group's own effect was fitted to its mean: few can lie outside")
    return lines


@names_keywords
def plot_trace(idata: xr.DataTree, **options: Any) -> Any:
    """Draw the traces of the fixed effects, variance components and sigma, by ArviZ.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    **options
        Handed on to `arviz_plots.plot_trace`.

    Returns
    -------
    PlotCollection
        Of draws by importance sampling, which are no chains, the title says how good their weights
        were.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> collection = bl.plot_trace(idata)  # doctest: +SKIP
    """
    from arviz_plots import plot_trace as draw  # noqa: PLC0415 - slow to import

    scalars = _scalars(idata)
    return _told(idata, draw(scalars, **{**_layout(scalars), **options}))


@names_keywords
def plot_rank(idata: xr.DataTree, **options: Any) -> Any:
    """Draw the rank plots of the fixed effects, variance components and sigma, by ArviZ.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    **options
        Handed on to `arviz_plots.plot_rank`.

    Returns
    -------
    PlotCollection
        Lines near zero are good: each chain has its share of every rank. A p-value below 0.05 is
        expected in one panel of twenty. Of importance sampling, see `plot_trace`.

    References
    ----------
    Saeilynoja, Buerkner & Vehtari (2022), Statistics and Computing 32:32,
    doi 10.1007/s11222-022-10090-6.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> collection = bl.plot_rank(idata)  # doctest: +SKIP
    """
    from arviz_plots import plot_rank as draw  # noqa: PLC0415 - slow to import

    scalars = _scalars(idata)
    return _told(idata, draw(scalars, **{**_layout(scalars), **options}))


def _told(idata: xr.DataTree, collection: Any) -> Any:
    """Say above a picture of chains where draws are none; matplotlib's figures only."""
    weights = draw_weights(idata)
    figure = collection.viz["figure"].item()
    if weights is not None and hasattr(figure, "suptitle"):
        figure.suptitle(f"independent draws by importance sampling, no chains: {weights}")
    return collection


def _layout(scalars: xr.DataTree) -> dict[str, Any]:
    """Make room for every panel's title: ArviZ's own grid lets them touch."""
    count = len(scalars["posterior"].data_vars)
    columns = min(count, 3)
    size = (3.6 * columns, 2.3 * -(-count // columns))
    return {
        "backend": "matplotlib",
        "col_wrap": columns,
        "figure_kwargs": {"figsize": size, "figsize_units": "inches", "layout": "constrained"},
    }


def _scalars(idata: xr.DataTree) -> xr.DataTree:
    """Return a tree whose posterior holds each free parameter as a variable of its own."""
    import xarray as xr  # noqa: PLC0415 - slow to import

    variables = {
        label: (("chain", "draw"), values[..., position])
        for _, labels, values in blocks(idata, effects=False)
        for position, label in enumerate(labels)
    }
    posterior = read.group(idata, "posterior")
    coords = {name: posterior[name].to_numpy() for name in ("chain", "draw")}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(variables, coords=coords)})
