"""Cells of a grid of covariates, each the average of the linear predictor over rows."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.arguments import label
from bayeslmm.errors import ArgumentError, DataError, check_choice
from bayeslmm.formula.calls import Expression, function_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.fit_rows import FitRows
    from bayeslmm.arrays import Floats
    from bayeslmm.formula.model_terms import ModelTerms

AVERAGES = ("balanced", "rows")
MOST_VALUES = 12  # of a number that is not told which of its values to take
MOST_COMBINATIONS = 100_000  # of the other factors' levels; beyond, averaging over rows is meant
MOST_ROWS = 200_000  # that are coded at a time


@dataclass(frozen=True, eq=False, slots=True)
class ReferenceGrid:
    """Cells, and the rows over which each of them averages.

    Attributes
    ----------
    focal : dict of str to list
        The values of each focal column; cells are their product, the last running fastest.
    others : dict of str to ndarray, each of length k
        The other columns' values in the k rows that a cell averages over.
    weights : ndarray, shape (k,)
        The rows' shares, summing to one.
    """

    focal: dict[str, list[Any]]
    others: dict[str, NDArray[Any]]
    weights: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each focal column has."""
        return tuple(map(len, self.focal.values()))

    def cells(self) -> list[dict[str, Any]]:
        """Return each cell's values."""
        return [dict(zip(self.focal, cell, strict=True)) for cell in product(*self.focal.values())]

    def tables(self) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
        """Yield runs of cells and their rows, k for each cell, cell by cell."""
        k, cells = len(self.weights), self.cells()
        size = max(1, MOST_ROWS // k)
        for start in range(0, len(cells), size):
            run = cells[start : start + size]
            table = {name: np.tile(column, len(run)) for name, column in self.others.items()}
            for name in self.focal:
                table[name] = np.repeat(as_column([cell[name] for cell in run]), k)
            if not table:  # a constant alone: its rows must be counted by some column
                table = {names.OBS: np.zeros(k * len(run))}
            yield slice(start, start + len(run)), table


def reference_grid(
    rows: FitRows,
    focal: Sequence[str],
    at: Mapping[str, Any] | None,
    average: str,
    included: tuple[str, ...] = (),
    *,
    way: str = "",
) -> ReferenceGrid:
    """Lay out the cells of focal columns, and the rows that each averages over.

    Parameters
    ----------
    rows : FitRows
        The fit, with the rows whose means and frequencies count.
    focal : sequence of str
        The columns of the grid, which the linear predictor reads.
    at : mapping from column to value or values, optional
        Values to take: of a focal column its cells', of another one those to average over.
    average : {"balanced", "rows"}
        Over every combination of the other factors' levels with equal weights, numbers at their
        means; or over the rows.
    included : tuple of str
        Grouping factors whose effects count.
    way : str
        How the caller lets further ones count.

    Returns
    -------
    ReferenceGrid

    Raises
    ------
    ArgumentError
        If a column is unknown, or values must be named.
    DataError
        If the rows lack a value that counts, or hold labels where the fit had numbers.
    """
    check_choice("average", average, AVERAGES)
    if included and average == "balanced":
        raise ArgumentError(
            f"random_effects={list(included)} asks for the effects of known groups, and a balanced "
            "grid has no groups: give average='rows', or random_effects='none' for the population."
        )
    fixed = _listed(at)
    for name in fixed:
        rows.require_read(name, "at", included, way)
    values: dict[str, list[Any]] = {
        name: fixed[name] if name in fixed else _values(rows, name) for name in focal
    }
    kept = rows.terms.only(included)
    others = [
        name
        for name in dict.fromkeys(
            (*kept.predictors, *((*kept.grouping, *kept.shares) if included else ()))
        )
        if name not in values
    ]
    find = _balanced if average == "balanced" else _rows
    columns, weights = find(rows, others, fixed)
    return ReferenceGrid(values, columns, weights)


def levels(rows: FitRows, name: str) -> list[Any] | None:
    """Return a column's levels in the fit's order; None where it is a number.

    They are the fit's, whichever rows count. Of numbers that serve as categories, as in ``C(x)``,
    the values that the fit saw are the levels.
    """
    state = rows.state.columns.get(name)
    if state is not None and state.kind == "boolean":
        return [level == "True" for level in state.levels or ()]
    if state is not None and state.kind == "label":
        return list(state.levels or ())
    if state is not None and name not in categorical_numbers(rows.terms):
        return None
    if rows.columns is not None:
        return list(np.unique(rows.columns[name]).tolist())
    return _coded_values(rows, name) or list(np.unique(_column(rows, name)).tolist())


def _coded_values(rows: FitRows, name: str) -> list[Any]:
    """Return the numbers that a ``C(x)`` learnt, all that is left of them in cross-products."""
    found: set[float] = set()
    for call in _categorical_calls(rows.terms):
        of_column = isinstance(call.tree, ast.Call) and isinstance(call.tree.args[0], ast.Name)
        if of_column and call.variables == (name,):
            found.update(map(float, rows.state.transforms[call.text]["levels"]))
    return sorted(found)


def categorical_numbers(terms: ModelTerms) -> set[str]:
    """Return the columns that stand inside a `C()`, whose mean would be a category of its own."""
    return {name for call in _categorical_calls(terms) for name in call.variables}


def _categorical_calls(terms: ModelTerms) -> list[Expression]:
    sides = (terms.fixed, *(wanted for _, wanted in terms.random))
    return [
        atom
        for side in sides
        for atom in side.atoms
        if isinstance(atom, Expression)
        and any(
            isinstance(node, ast.Call) and function_name(node) == "C"
            for node in ast.walk(atom.tree)
        )
    ]


def as_column(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Return values as a column, labels as text."""
    column = np.asarray(values)
    return column.astype(str) if column.dtype == object else column


def places(column: NDArray[Any], values: Sequence[Any]) -> NDArray[np.intp]:
    """Return where each row's value stands among a grid's, -1 for those that are not there.

    Examples
    --------
    >>> places(np.array([0.0, 4.0, 8.0]), [4, 0])
    array([ 1,  0, -1])
    """
    known = {label(value): place for place, value in enumerate(values)}
    distinct, index = np.unique(column, return_inverse=True)
    found = np.array([known.get(label(value), -1) for value in distinct.tolist()], dtype=np.intp)
    return found[index]


def _values(rows: FitRows, name: str) -> list[Any]:
    known = levels(rows, name)
    if known is not None:
        return known
    found: list[Any] = np.unique(_column(rows, name)).tolist()
    if len(found) > MOST_VALUES:
        raise ArgumentError(
            f"{name!r} is a number with {len(found)} values: name those to look at, as in "
            f"at={{{name!r}: [{found[0]:g}, {found[-1]:g}]}}."
        )
    return found


def _listed(at: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    if at is None:
        return {}
    if not isinstance(at, Mapping):
        raise ArgumentError(f"at is a mapping such as {{'x': [0, 1]}}; it was {at!r}.")
    listed = {
        name: [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
        for name, values in at.items()
    }
    for name, values in listed.items():
        if not values:
            raise ArgumentError(f"at gives {name!r} no value.")
        if any(pd.isna(value) is True for value in values):
            raise ArgumentError(f"at gives {name!r} a missing value: name one that it may take.")
    return listed


def _column(rows: FitRows, name: str) -> NDArray[Any]:
    if rows.counted is None:
        raise ArgumentError(
            f"The fit saw cross-products, which do not say the values of {name!r}: give them, as "
            f"in at={{{name!r}: [0, 1]}}, or rows to take them from, data=."
        )
    if name not in rows.counted:
        raise ArgumentError(f"data has no column {name!r}, whose values are needed.")
    column = rows.counted[name]
    absent = np.asarray(pd.isna(column))
    if absent.any():
        raise DataError(
            f"{int(absent.sum())} of {len(column)} rows of data lack a value of {name!r}, which "
            f"would count; the first is row {int(np.argmax(absent))} (counted from 0). Fill them, "
            "leave these rows out of data, or set the column by at=."
        )
    return column


def _balanced(
    rows: FitRows, others: Sequence[str], fixed: Mapping[str, list[Any]]
) -> tuple[dict[str, NDArray[Any]], Floats]:
    lists = {
        name: fixed[name] if name in fixed else levels(rows, name) or [_mean(rows, name)]
        for name in others
    }
    count = prod(map(len, lists.values()))
    if count > MOST_COMBINATIONS:
        raise ArgumentError(
            f"The other factors ({', '.join(lists)}) have {count} combinations of levels: give "
            "average='rows' to average over those that occur, or set some of them by at=."
        )
    combinations = list(product(*lists.values()))
    columns = {
        name: as_column([one[place] for one in combinations]) for place, name in enumerate(lists)
    }
    return columns, np.full(count, 1.0 / count)


def _mean(rows: FitRows, name: str) -> float:
    column = _column(rows, name)
    try:
        return float(column.astype(np.float64).mean())
    except (TypeError, ValueError):
        raise DataError(
            f"Column {name!r} held numbers in the training rows and does not in data: give its "
            "numbers there, or set the column by at=."
        ) from None


def _rows(
    rows: FitRows, others: Sequence[str], fixed: Mapping[str, list[Any]]
) -> tuple[dict[str, NDArray[Any]], Floats]:
    """Return the distinct rows of the other columns with their frequencies."""
    set_by_caller = {name: fixed[name] for name in others if name in fixed}
    free = [name for name in others if name not in fixed]
    columns: dict[str, NDArray[Any]] = {}
    weights = np.ones(1)
    if free:
        table = pd.DataFrame({name: _column(rows, name) for name in free})
        counts = table.groupby(free, sort=False, dropna=False).size()
        distinct = counts.index.to_frame(index=False)
        columns = {name: as_column(distinct[name].to_numpy()) for name in free}
        weights = counts.to_numpy() / len(table)
    settings = list(product(*set_by_caller.values()))
    k = len(weights)
    repeated = {name: np.tile(column, len(settings)) for name, column in columns.items()}
    for place, name in enumerate(set_by_caller):
        repeated[name] = np.repeat(as_column([one[place] for one in settings]), k)
    return repeated, np.tile(weights, len(settings)) / len(settings)
