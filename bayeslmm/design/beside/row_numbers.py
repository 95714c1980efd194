"""Weights, trials and standard errors: what is known of each row beside its predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.errors import DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.tables.table import Table

# Products of two weighted columns and their squares stay within the range of numbers.
_LARGEST_WEIGHT = 1e60


def read_numbers(
    role: Literal["weights", "trials", "se", "likweights", "y2"], given: Any, table: Table
) -> NDArray[np.float64] | None:
    """Return the weights or trials of all rows of a table, NaN where they are missing.

    Parameters
    ----------
    role : {"weights", "trials", "se", "likweights", "y2"}
        What the numbers are. One number of trials may stand for all rows.
    given : str, array-like, int or None
        The column that holds them, or the numbers; a pandas Series is aligned by its index.
    table : Table
        The table.

    Returns
    -------
    ndarray, shape (rows of the table,), or None

    Raises
    ------
    DataError
        If there is no such column, or what is given are no numbers, one for each row.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _read_column(role, given, table)
    if isinstance(given, bool | np.bool_):
        raise DataError(f"The {role} are {given!r}, which is no number: give a column's name.")
    if isinstance(given, pd.Series) and table.index is not None:
        given = _align(role, given, table.index)
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"The {role} are not numbers{_first_word(given)}.") from None
    if role == "trials" and values.shape == ():
        return check_trials(np.full(table.n_rows, float(values)), table.labels())
    if values.shape != (table.n_rows,):
        raise DataError(f"The {role} have shape {values.shape} for {table.n_rows} rows.")
    return values.copy()


def _read_column(role: str, name: str, table: Table) -> NDArray[np.float64]:
    if name not in table.names:
        hint = nearest(name, table.names)
        raise DataError(f"The table has no column {name!r} for the {role}.{hint}")
    absent = table.missing(name)
    values = np.full(table.n_rows, np.nan)
    if absent.all():  # of no kind, and of no row that the caller would keep
        return values
    column = table.column(name, ~absent)
    if column.kind != "number":
        held = column.instead_of_numbers(table.labels()[~absent])
        raise DataError(f"The {role} in column {name!r} are not numbers: it holds {held}.")
    values[~absent] = column.array
    return values


def _first_word(given: Any) -> str:
    """Say which of the entries that are one for each row is no number."""
    entries = pd.Series(given, dtype=object) if np.ndim(given) == 1 else pd.Series(dtype=object)
    wrong = np.flatnonzero(entries.notna() & pd.to_numeric(entries, errors="coerce").isna())
    if not wrong.size:
        return ""
    place = int(wrong[0])
    return f": {entries.iloc[place]!r} in row {entries.index[place]!r}"


def _align(role: str, given: pd.Series[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    """Return the numbers of the rows with these labels."""
    if given.index.equals(index):
        return given
    lacking = index[~index.isin(given.index)]
    repeated = index.has_duplicates or given.index.has_duplicates
    if repeated or len(lacking):
        why = "labels occur twice" if repeated else f"the label {lacking[0]!r} is not in it"
        raise DataError(
            f"The {role} are a pandas Series whose index is not the table's, and {why}: which "
            "number belongs to which row? Put them in a column of the table and give its name, or "
            f"give {role}.to_numpy() to take them by position."
        )
    return given.reindex(index)


def check_weights(weights: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of rows with these labels; raise unless they can be computed with."""
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if wrong.size:
        raise DataError(
            f"Weights are positive and finite; {wrong.size} are not, the first is "
            f"{weights[wrong[0]]:g} in row {labels[wrong[0]]}. Leave rows without weight out of "
            "the table."
        )
    way = (
        "Divide all of them by their mean: sigma is then the standard deviation of a row of mean "
        "weight."
    )
    _require_in_range("weights", weights, labels, way)
    return weights


def check_likelihood_weights(
    weights: NDArray[np.float64], labels: NDArray[Any]
) -> NDArray[np.float64]:
    """Return how often rows with these labels count; raise unless they are positive."""
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if wrong.size:
        raise DataError(
            f"Likelihood weights (likweights) are positive and finite; {wrong.size} are not, the "
            f"first is {weights[wrong[0]]:g} in row {labels[wrong[0]]}. Leave rows that count for "
            "nothing out of the table."
        )
    _require_in_range("likelihood weights", weights, labels, "Divide all of them by their mean.")
    return weights


def check_trials(trials: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers of trials of rows with these labels; raise unless they are whole, from 1."""
    wrong = np.flatnonzero(~(np.isfinite(trials) & (trials >= 1) & (trials == np.floor(trials))))
    if wrong.size:
        raise DataError(
            f"Trials are whole numbers from 1; {wrong.size} are not, the first is "
            f"{trials[wrong[0]]:g} in row {labels[wrong[0]]}. Leave rows without trials out of the "
            "table."
        )
    return trials


def check_standard_errors(errors: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return known standard errors of rows with these labels; raise unless they are positive."""
    wrong = np.flatnonzero(~(np.isfinite(errors) & (errors > 0)))
    if wrong.size:
        raise DataError(
            f"Standard errors (se) are positive and finite; {wrong.size} are not, the first is "
            f"{errors[wrong[0]]:g} in row {labels[wrong[0]]}. A row that is known exactly, or "
            "not at all, has no place in the table."
        )
    way = "Give response and errors in another unit."
    _require_in_range("standard errors", errors, labels, way)
    return errors


def _require_in_range(
    what: str, values: NDArray[np.float64], labels: NDArray[Any], way: str
) -> None:
    """Raise unless squares and products of positive numbers stay within the range of numbers."""
    far = np.flatnonzero((values > _LARGEST_WEIGHT) | (values < 1.0 / _LARGEST_WEIGHT))
    if far.size:
        raise DataError(
            f"{far.size} {what} are too large or too small to compute with, the first is "
            f"{values[far[0]]:g} in row {labels[far[0]]}. {way}"
        )
