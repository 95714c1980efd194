"""Rows at which each level's line is drawn: one covariate runs, the others stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.cell_estimates import cell_estimates
from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.analysis.prediction.reference_grid import categorical_numbers, reference_grid
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.estimated.estimates import Estimates
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor

POINTS = 21  # enough for a curve to look smooth in a small panel


@dataclass(frozen=True, eq=False, slots=True)
class LevelGrid:
    """Grids of rows for every level of a factor.

    Attributes
    ----------
    x : ndarray, shape (m, points)
        The running covariate, over each level's own range.
    rows : dict of ndarray, each of length m * points
        Columns of the levels' rows, level by level.
    mixed : tuple of str
        Columns of labels that differ within levels: the rows have the first of each level.
    """

    x: NDArray[np.float64]
    rows: dict[str, NDArray[Any]]
    mixed: tuple[str, ...] = ()


def predictors(idata: xr.DataTree, design: Design) -> dict[str, NDArray[Any]]:
    """Return the training rows' columns other than response, weights, groups and their arms."""
    grouping = {name for factor in design.factors for name in factor.variables}
    grouping |= {factor.arms.by for factor in design.factors if factor.arms is not None}
    reserved = grouping | {"weights", "offset", str(idata.attrs["response"])}
    return {name: values for name, values in read.columns(idata).items() if name not in reserved}


def is_numeric(values: NDArray[Any]) -> bool:
    """Return whether values are numbers, neither labels nor truth values."""
    return bool(np.issubdtype(values.dtype, np.number))


def running_covariate(
    idata: xr.DataTree, design: Design, factor: GroupingFactor, x: str | None
) -> str | None:
    """Return the covariate of the horizontal axis; None where the model has no numeric one.

    Raises
    ------
    ArgumentError
        When the one asked for is unknown or not numeric.
    """
    candidates = predictors(idata, design)
    numeric = [name for name, values in candidates.items() if is_numeric(values)]
    if x is not None:
        if x not in numeric:
            known = [item.name for item in design.factors]
            way = f" For the levels of {x!r}, write factor={x!r}." if x in known else ""
            msg = (
                f"x={x!r} is no numeric column of the formula.{way or nearest(str(x), numeric)} "
                f"It has: {', '.join(numeric) or 'none'}."
            )
            raise ArgumentError(msg)
        return x
    used = [name for name in numeric if any(name in text for text in (*factor.terms, *design.coef))]
    # A covariate with a random slope is what makes the levels' lines differ in more than height.
    used.sort(key=lambda name: not any(name in term for term in factor.terms))
    return used[0] if used else None


def level_grid(idata: xr.DataTree, factor: GroupingFactor, x: str) -> LevelGrid:
    """Return the rows at which each level's line is drawn."""
    factor.require_one_level("A line for each level")
    columns = read.columns(idata)
    m = len(factor.levels)
    order = np.argsort(factor.index, kind="stable")
    starts = np.searchsorted(factor.index[order], np.arange(m))
    first = order[starts]
    values = np.asarray(columns[x], dtype=np.float64)
    low = np.minimum.reduceat(values[order], starts)
    high = np.maximum.reduceat(values[order], starts)
    xs = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, POINTS)
    counts = np.bincount(factor.index, minlength=m)
    rows: dict[str, NDArray[Any]] = {}
    mixed: list[str] = []
    terms = fit_rows(idata).terms
    categories = categorical_numbers(terms)
    for name, column in columns.items():
        if name == x:
            rows[name] = xs.ravel()
        elif is_numeric(column) and name not in {*categories, *factor.variables}:
            means = np.bincount(factor.index, weights=column.astype(float), minlength=m) / counts
            rows[name] = np.repeat(means, POINTS)
        else:
            rows[name] = np.repeat(column[first], POINTS)
            differs = (column != column[first][factor.index]).any()
            if differs and name in terms.fixed_variables:
                mixed.append(name)
    return LevelGrid(xs, rows, tuple(mixed))


def population_line(
    idata: xr.DataTree, x: str
) -> tuple[NDArray[np.float64], Estimates, tuple[str, ...]]:
    """Return the population's line over the whole range of a covariate, averaged over the rows.

    Parameters
    ----------
    idata : DataTree
        The fit.
    x : str
        The covariate.

    Returns
    -------
    x : ndarray, shape (points,)
    line : Estimates
        The expected response, random effects at zero, the other columns as the rows have them.
    others : tuple of str
        These columns.
    """
    rows = fit_rows(idata)
    column = np.asarray(read.columns(idata)[x], dtype=np.float64)
    xs = np.linspace(column.min(), column.max(), POINTS)
    # A covariate of the random effects alone does not move the population.
    moves = x in rows.terms.fixed_variables
    grid = reference_grid(rows, [x] if moves else [], {x: xs} if moves else None, "rows")
    line = cell_estimates(idata, rows, grid)
    if not moves:
        line = line.combine(np.ones((POINTS, 1)))
    return xs, line, tuple(grid.others)
