"""Which rows' responses are known only to lie above, below or between: `cens=` and `y2=`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.beside.row_numbers import read_numbers
from bayeslmm.errors import DataError, DataWarning, nearest, warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.tables.table import Table

# What rows are, by brms's words and numbers; True is brms's right, too.
WORDS = {"left": -1.0, "none": 0.0, "right": 1.0, "interval": 2.0}
# What columns are called that say whether an event was seen, with 1 where it was.
EVENTS = frozenset(
    ("status", "event", "events", "died", "dead", "death", "failed", "failure", "relapse", "delta")
)
_WAY = "It is 'none', 'left', 'right' or 'interval', or 0, -1, 1 or 2; True stands for 'right'."


def read_censoring(given: Any, table: Table) -> Floats | None:
    """Return how each row is censored, as a number of `WORDS`; NaN where that is missing.

    Parameters
    ----------
    given : str, array-like or None
        The column that says it, or one word or number for each row.
    table : Table
        The table.

    Raises
    ------
    DataError
        If there is no such column, or it holds something else.

    Warns
    -----
    DataWarning
        If the column's name speaks of events, which others code as 1.
    """
    if given is None:
        return None
    if isinstance(given, str):
        values = _column(given, table)
    else:
        values = np.asarray(given, dtype=object)
        if values.shape != (table.n_rows,):
            raise DataError(f"cens has shape {values.shape} for {table.n_rows} rows.")
    kinds = np.array([_number(value, row) for row, value in enumerate(values)], dtype=float)
    if isinstance(given, str) and given.casefold() in EVENTS and values.dtype == object:
        _tell_events(given, values, kinds)
    return kinds


def _tell_events(name: str, values: NDArray[Any], kinds: Floats) -> None:
    """Warn that a row is censored where an indicator is 1; words say themselves what they mean."""
    if any(isinstance(value, str) for value in values):
        return
    count = int((kinds == WORDS["right"]).sum())
    warn(
        f"cens={name!r} takes rows for censored where {name} is 1 or True, {count} of "
        f"{len(kinds)}, as brms does; R's Surv() has 1 for an event. If it is 1 for an event here, "
        f"turn it round, table['censored'] = table[{name!r}] == 0, and give cens='censored'; else "
        "rename the column to silence this.",
        DataWarning,
    )


def _column(name: str, table: Table) -> NDArray[Any]:
    if name not in table.names:
        way = "" if name.isidentifier() else " Compute it into a column of the table first."
        hint = nearest(name, table.names)
        raise DataError(f"The table has no column {name!r} for cens.{way or hint}")
    absent = table.missing(name)
    values = np.full(table.n_rows, None, dtype=object)
    if not absent.all():
        column = table.column(name, ~absent)
        if column.kind in {"number", "boolean"}:
            values[~absent] = column.array
        else:
            codes, labels = column.levels()
            values[~absent] = labels[codes]
    return values


def _number(value: Any, row: int) -> float:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return np.nan
    found = WORDS.get(value) if isinstance(value, str) else None
    if found is None and not isinstance(value, str) and float(value) in WORDS.values():
        found = float(value)
    if found is None:
        raise DataError(f"cens is {value!r} in row {row} (counted from 0). {_WAY}")
    return found


def read_upper(given: Any, kinds: Floats | None, table: Table) -> Floats | None:
    """Return upper ends of intervals; NaN where a row is none.

    Raises
    ------
    DataError
        If rows are intervals and there are no upper ends, or there are ends and no intervals.
    """
    intervals = kinds is not None and bool((kinds == WORDS["interval"]).any())
    if given is None:
        if intervals:
            raise DataError(
                "cens says 'interval' (2) of some rows, whose response is their lower end: give "
                "their upper ends as y2=, a column or one number for each row. R's Surv() has 2 "
                "for an event where 1 is censored: write table['status'] == 1."
            )
        return None
    if not intervals:
        raise DataError(
            "y2= holds upper ends of intervals, and cens= says 'interval' of no row: leave y2 out."
        )
    return read_numbers("y2", given, table)


def ends_of(kinds: Floats, y: Floats, upper: Floats | None, labels: NDArray[Any]) -> Floats:
    """Return the other end of where each response lies; see `families.derived.censored`.

    Raises
    ------
    DataError
        If an interval does not end above where it begins.
    """
    ends = np.select([kinds == 0.0, kinds == 1.0, kinds == -1.0], [y, np.inf, -np.inf], np.nan)
    ends = np.where(np.isnan(y), np.nan, ends)
    inside = (kinds == WORDS["interval"]) & ~np.isnan(y)
    if upper is not None:
        ends[inside] = upper[inside]
    wrong = np.flatnonzero(inside & ~(ends > y))
    if wrong.size:
        first = int(wrong[0])
        raise DataError(
            f"The interval of row {labels[first]} begins at {y[first]:g} and ends at "
            f"{ends[first]:g}: y2 lies above the response. A row that was seen has cens 'none'."
        )
    return ends


def statements_of(y: Floats, ends: Floats) -> dict[str, Floats | None]:
    """Return what `cens=` and `y2=` say of rows with these other ends."""
    kinds = np.select([ends == y, np.isposinf(ends), np.isneginf(ends)], [0.0, 1.0, -1.0], 2.0)
    intervals = kinds == WORDS["interval"]
    return {"cens": kinds, "y2": np.where(intervals, ends, y) if intervals.any() else None}
