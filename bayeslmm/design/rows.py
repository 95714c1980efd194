"""Which rows and columns of a table a formula uses, checked and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.beside.censoring import WORDS, read_censoring, read_upper
from bayeslmm.design.beside.row_numbers import (
    check_likelihood_weights,
    check_standard_errors,
    check_trials,
    check_weights,
    read_numbers,
)
from bayeslmm.errors import BayesLMMError, DataError, nearest
from bayeslmm.formula.nodes import Variable
from bayeslmm.tables.column import Column, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.tables.table import Table


_TRAINING_ADVICE = "Fill them or leave the rows out of the table, or let missing='drop' do that."
# How a missing value of a grouping column is labelled, where rows may belong to no level.
NO_LEVEL = "(no level)"


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table that a design is made of.

    Attributes
    ----------
    positions : ndarray of int64, shape (n,)
        Where they stand in the table.
    columns : mapping of str to Column
        The columns that the formula uses.
    response_columns : mapping of str to Column
        The columns of the response, for the rows that have one.
    has_response : ndarray of bool, shape (n,)
        Which rows those are.
    weights : ndarray of float64, shape (n,), or None
        Checked weights.
    notes : tuple of str
        What was dropped, to be told as warnings.
    lacking : mapping of str to int
        How many rows of the table lack a value in a column, before any was dropped.
    labels : ndarray, shape (n,)
        The rows' labels in the table's index; their positions where it has none.
    units : mapping of str to str
        The units of the table's columns, as far as it tells them.
    trials : ndarray of float64, shape (n,), or None
        Checked numbers of trials.
    se : ndarray of float64, shape (n,), or None
        Checked standard errors.
    likweights : ndarray of float64, shape (n,), or None
        Checked likelihood weights.
    cens, y2 : ndarray of float64, shape (n,), or None
        How rows are censored, by `censoring.WORDS`, and upper ends of intervals.
    """

    positions: NDArray[np.int64]
    columns: Mapping[str, Column]
    response_columns: Mapping[str, Column]
    has_response: NDArray[np.bool_]
    weights: NDArray[np.float64] | None
    notes: tuple[str, ...]
    lacking: Mapping[str, int]
    labels: NDArray[Any]
    units: Mapping[str, str] = field(default_factory=dict)
    trials: NDArray[np.float64] | None = None
    se: NDArray[np.float64] | None = None
    likweights: NDArray[np.float64] | None = None
    cens: NDArray[np.float64] | None = None
    y2: NDArray[np.float64] | None = None

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.positions)


def read_rows(
    terms: ModelTerms,
    table: Table,
    weights: Any,
    missing: str,
    *,
    need_response: bool | None,
    training: bool = True,
    whole: bool = True,
    no_level: Collection[str] = (),
    trials: Any = None,
    se: Any = None,
    beside: Mapping[str, Any] | None = None,
) -> Rows:
    """Return the rows and columns of a table that a formula uses, checked.

    Parameters
    ----------
    terms : ModelTerms
        What the formula needs.
    table : Table
        Where to find it.
    weights : str, array-like or None
        Weights, or their column.
    missing : {"drop", "raise"}
        What to do with rows that lack a value.
    need_response : bool or None
        Whether rows without a response are of no use; None reads it where it is there, False
        never.
    training : bool
        Whether the rows are to be learnt from: then a wrong name is the formula's fault, and
        categories that no row has are noted.
    whole : bool
        Whether these are all rows: a batch of them may be empty, or lack every value of a column.
    no_level : collection of str
        Grouping columns in which a missing value is the label `NO_LEVEL`.
    trials : str, array-like, int or None
        Numbers of trials, or their column.
    se : str, array-like or None
        Known standard errors, or their column.
    beside : mapping, optional
        What `arguments.RowStatements` says of the rows.

    Returns
    -------
    Rows

    Raises
    ------
    FormulaError
        If the formula names a column that the table lacks.
    DataError
        If columns or weights cannot be used.
    """
    response = terms.response.variables
    there = all(name in table.names for name in response)
    has_column = need_response or (need_response is None and there)
    needed = _unique(
        [
            *(response if need_response else ()),
            *terms.predictors,
            *terms.grouping,
            *terms.shares,
            *terms.correlation_columns,
            *terms.parameter_grouping,
        ]
    )
    for name in needed:
        if name not in table.names:
            raise _no_column(terms, table, name, training=training)
    given = read_numbers("weights", weights, table)
    tried = read_numbers("trials", trials, table)
    errors = read_numbers("se", se, table)
    said = _read_beside(beside or {}, table)
    grouping = {*terms.grouping, *terms.parameter_grouping}
    unlabelled = set(no_level) & grouping - set(terms.predictors)
    lacks = {name: table.missing(name) for name in needed if name not in unlabelled}
    told = {"weights": given, "trials": tried, "se": errors, **said}
    lacks |= {role: np.isnan(values) for role, values in told.items() if values is not None}
    if said["y2"] is not None:
        lacks["y2"] &= said["cens"] == WORDS["interval"]
    advice = "" if training else _new_rows_advice(terms, lacks)
    keep, notes = complete_rows(lacks, table.n_rows, missing, advice, whole=whole)
    lacking = {name: int(mask.sum()) for name, mask in lacks.items()}
    if not keep.any():
        nowhere = np.empty(0, dtype=np.int64)
        return Rows(nowhere, {}, {}, nowhere.astype(bool), None, (), lacking, nowhere)
    columns = {
        name: _labelled(table, name, keep) if name in unlabelled else table.column(name, keep)
        for name in needed
    }
    present = keep.copy() if has_column else np.zeros(table.n_rows, dtype=bool)
    for name in response if has_column and not need_response else ():
        present &= ~table.missing(name)
    response_columns = {name: table.column(name, present) for name in response if has_column}
    if has_column and np.array_equal(present, keep):
        columns = response_columns | columns
    labels = table.labels()[keep]
    if training:
        _refuse_numbers_as_text(terms, columns, labels)
    if training and whole:
        notes += _unused_categories(columns.values())
    return Rows(
        positions=np.flatnonzero(keep),
        columns=columns,
        response_columns=response_columns,
        has_response=present[keep],
        weights=None if given is None else check_weights(given[keep], labels),
        notes=tuple(notes),
        lacking=lacking,
        labels=labels,
        units=table.units,
        trials=None if tried is None else check_trials(tried[keep], labels),
        se=None if errors is None else check_standard_errors(errors[keep], labels),
        **_kept_beside(said, keep, labels),
    )


def _read_beside(said: Mapping[str, Any], table: Table) -> dict[str, NDArray[np.float64] | None]:
    """Return what `arguments.RowStatements` says of all rows, NaN where that is missing."""
    kinds = read_censoring(said.get("cens"), table)
    return {
        "likweights": read_numbers("likweights", said.get("likweights"), table),
        "cens": kinds,
        "y2": read_upper(said.get("y2"), kinds, table),
    }


def _kept_beside(
    said: Mapping[str, NDArray[np.float64] | None], keep: NDArray[np.bool_], labels: NDArray[Any]
) -> dict[str, Any]:
    found = {name: None if values is None else values[keep] for name, values in said.items()}
    if (counted := found["likweights"]) is not None:
        check_likelihood_weights(counted, labels)
    return found


def _no_column(terms: ModelTerms, table: Table, name: str, *, training: bool) -> BayesLMMError:
    hint = nearest(name, table.names) or _odd_header(table)
    if training:
        return terms.error(f"The table has no column {name!r}.{hint}", name)
    return DataError(f"The new rows have no column {name!r}.{hint}")


def _odd_header(table: Table) -> str:
    """Return what the names of columns tell of a file that was not read as it was meant."""
    alone = table.names[0] if len(table.names) == 1 else ""
    for separator, called in ((";", "';'"), ("\t", "tabs"), (",", "','")):
        if separator in alone:
            return (
                f" Its only column is {alone!r}: the file separates columns by {called}. Read it "
                f"with pandas.read_csv(path, sep={separator!r}), or save it with commas."
            )
    if table.names and all(name.isdigit() for name in table.names):
        return (
            f" Its columns are numbered ({', '.join(table.names[:3])}, ...): give them names, as "
            "with table.set_axis(['y', ...], axis=1), or write `0` in backticks."
        )
    return ""


def _labelled(table: Table, name: str, keep: NDArray[np.bool_]) -> Column:
    """Read a grouping column whose missing values are a label of their own."""
    absent = table.missing(name)
    present = keep & ~absent
    codes = np.zeros(0, dtype=np.int64)
    labels = np.empty(0, dtype=str)
    if present.any():
        codes, labels = table.column(name, present).levels()
    whole = np.full(table.n_rows, len(labels), dtype=np.int64)
    whole[present] = codes
    used = [*labels.tolist(), *([NO_LEVEL] if (keep & absent).any() else [])]
    return Column(name, "text", whole[keep], np.array(used, dtype=str))


def _new_rows_advice(terms: ModelTerms, lacks: Mapping[str, NDArray[np.bool_]]) -> str:
    """Say what can be done about missing values where no argument drops rows."""
    absent = [name for name in terms.grouping if name in lacks and lacks[name].any()]
    advice = "Fill them, or leave these rows out of the new rows."
    if absent and absent[0] not in terms.predictors:
        advice += (
            f" A row that belongs to no level of {absent[0]!r} in particular is predicted with "
            "new_levels='population', its effects at zero."
        )
    return advice


def complete_rows(
    lacks: Mapping[str, NDArray[np.bool_]],
    n_rows: int,
    missing: str,
    advice: str,
    *,
    whole: bool,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which rows lack nothing, and a note on those that are dropped.

    Parameters
    ----------
    lacks : mapping of str to ndarray of bool
        Of each column, which rows lack it.
    n_rows : int
        How many rows there are.
    missing : {"drop", "raise"}
        What to do with rows that lack a value.
    advice : str
        What can be done instead of dropping them.
    whole : bool
        Whether these are all rows, and not a batch of them.

    Raises
    ------
    DataError
        If rows lack values and are not to be dropped, or all rows do.
    """
    counts = {name: int(mask.sum()) for name, mask in lacks.items()}
    for name, count in counts.items():
        if count == n_rows and whole:
            raise DataError(f"Column {name!r} has only missing values. {advice}".strip())
    keep = np.ones(n_rows, dtype=bool)
    for mask in lacks.values():
        keep &= ~mask
    n_dropped = n_rows - int(keep.sum())
    if n_dropped == 0:
        return keep, []
    shown = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    if missing == "raise":
        raise DataError(
            f"{n_dropped} of {n_rows} rows lack values: {shown}; the first is row "
            f"{int(np.argmin(keep))} (counted from 0). "
            + (
                advice
                or "Fill them or leave the rows out of the table, or let missing='drop' do that."
            )
        )
    if n_dropped == n_rows and whole:
        raise DataError(f"Every row lacks a value somewhere: {shown}.")
    return keep, [f"Dropped {n_dropped} of {n_rows} rows for missing values: {shown}."]


# So few words in so few cells of a column of numbers are slips, or stand for missing values.
_STRAY_WORDS, _STRAY_SHARE = 3, 0.1


def _refuse_numbers_as_text(
    terms: ModelTerms, columns: Mapping[str, Column], rows: NDArray[Any]
) -> None:
    """Raise for a predictor such as ``["1.5", "2.25"]``: nobody wants a coefficient for each."""
    sides = (terms.fixed, *(wanted for _, wanted in terms.random))
    bare = {atom.name for side in sides for atom in side.atoms if isinstance(atom, Variable)}
    for name in bare:
        column = columns[name]
        if column.kind != "text" or column.labels is None:
            continue
        number = readable(column.labels)
        words = int((~number).sum())
        few = words <= _STRAY_WORDS < number.sum()
        if number.all() or (few and np.mean(~number[column.array]) <= _STRAY_SHARE):
            mend = "Mend it, or make it a missing value (None), and convert" if words else "Convert"
            raise DataError(
                f"Column {name!r} holds {column.instead_of_numbers(rows)}. {mend} the column to "
                f"numbers; or write C({name}) if they are labels."
            )


def _unused_categories(columns: Iterable[Column]) -> list[str]:
    return [
        f"Dropped {column.n_unused} of {column.n_unused + len(column.labels)} categories of "
        f"{column.name!r} that no row has."
        for column in columns
        if column.n_unused and column.labels is not None
    ]


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
