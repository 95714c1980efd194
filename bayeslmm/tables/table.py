"""Any eager table or mapping of columns, read through narwhals one checked column at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from bayeslmm.errors import DataError
from bayeslmm.tables.column import read_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.tables.column import Column


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it was given: its columns' names, and the columns on request.

    Attributes
    ----------
    names : tuple of str
        The columns.
    n_rows : int
        Rows, before any is dropped.
    index : pandas.Index or None
        The rows' labels, of pandas tables and of mappings that hold a pandas Series.
    units : mapping of str to str
        The units of columns, where a pandas table has them in ``attrs["units"]``.
    """

    names: tuple[str, ...]
    n_rows: int
    _series: Mapping[str, Any] = field(repr=False)
    index: pd.Index[Any] | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    def labels(self) -> NDArray[Any]:
        """Return each row's label; its position where files could not hold the labels."""
        found = None if self.index is None else _plain(self.index)
        return np.arange(self.n_rows) if found is None else found

    def values(self, name: str) -> NDArray[Any]:
        """Return a column as it was given."""
        return np.asarray(self._series[name].to_numpy())

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Return which rows have no value (null or NaN) in a column."""
        series = self._series[name]
        absent = series.is_null()
        if series.dtype.is_float():
            absent = absent | series.is_nan().fill_null(value=True)
        return np.asarray(absent.to_numpy(), dtype=bool)

    def take(self, keep: NDArray[np.bool_]) -> Table:
        """Return some of the rows, with their labels or positions."""
        if keep.all():
            return self
        index = pd.Index(np.flatnonzero(keep)) if self.index is None else self.index[keep]
        series = {name: _filtered(column, keep) for name, column in self._series.items()}
        return Table(self.names, int(keep.sum()), series, index, self.units)

    def with_numbers(self, name: str, values: NDArray[Any]) -> Table:
        """Return the table with a column of numbers, in the place of one that has this name."""
        series = {**self._series, name: _series(name, values)}
        return Table(tuple(series), self.n_rows, series, self.index, self.units)

    def column(self, name: str, keep: NDArray[np.bool_]) -> Column:
        """Return the kept rows of a column, none of which is missing.

        Raises
        ------
        DataError
            If the column holds something that is neither a number nor a label.
        """
        series = self._series[name]
        if not keep.all():
            series = _filtered(series, keep)
        return read_column(name, series, np.flatnonzero(keep))


def read_table(data: Any, *, may_be_empty: bool = False) -> Table:
    """Return a table of any kind, its columns to be read on request.

    Parameters
    ----------
    data : pandas, polars or pyarrow table, mapping of str to array, or Table
        Anything eager that narwhals knows; a `Table` is returned as it is.
    may_be_empty : bool
        Whether a table without rows is of use: as a batch among others it is.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If it is no table, is lazy, is empty, or names two columns alike.

    Examples
    --------
    >>> read_table({"x": [1.0, 2.0], "g": ["a", "b"]}).names
    ('x', 'g')
    """
    if isinstance(data, Table):
        return data
    table = _from_mapping(data) if isinstance(data, Mapping) else _from_frame(data)
    if table.n_rows == 0 and not may_be_empty:
        raise DataError("The table is empty: it has no rows.")
    return table


def is_eager(data: Any) -> bool:
    """Return whether something is a table in memory, or a record batch of one.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [1.0, 2.0]})
    >>> is_eager(frame), is_eager(frame["x"]), is_eager([frame])
    (True, False, False)
    """
    if type(data).__name__ == "RecordBatch":  # which narwhals does not know
        return True
    return bool(nw.dependencies.is_into_dataframe(data))  # whatever its columns are called


def _from_mapping(data: Mapping[Any, Any]) -> Table:
    if not data:
        raise DataError("The table is empty: it has no columns.")
    data, index = _aligned(data)
    series = {}
    for name, values in data.items():
        series[str(name)] = _series(str(name), values)
    lengths = {name: len(column) for name, column in series.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"The columns differ in length: {shown}.")
    return Table(tuple(series), next(iter(lengths.values())), series, index)


def _aligned(data: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], pd.Index[Any] | None]:
    """Bring pandas Series onto one index, as a pandas table of them has it."""
    indexed = {name: values for name, values in data.items() if isinstance(values, pd.Series)}
    if not indexed:
        return data, None
    index = next(iter(indexed.values())).index
    if all(values.index.equals(index) for values in indexed.values()):
        return data, index
    try:
        together = pd.DataFrame(indexed)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The columns {', '.join(map(repr, indexed))} are pandas Series whose indexes differ, "
            f"and cannot be aligned: {error}. Give the columns as arrays to take them by position."
        ) from None
    return {**data, **{name: together[name] for name in indexed}}, together.index


def _plain(index: pd.Index[Any]) -> NDArray[Any] | None:
    """Return an index as an array that a file can hold; None where there is none."""
    if isinstance(index, pd.MultiIndex):
        return None
    if index.inferred_type == "string" or (
        isinstance(index, pd.CategoricalIndex) and index.categories.inferred_type == "string"
    ):
        return None if index.hasnans else np.asarray(index, dtype=str)
    values = np.asarray(index)
    return values if values.dtype.kind in "iufM" else None


def _series(name: str, values: Any) -> Any:
    if isinstance(values, (list, tuple)):
        values = pd.Series(list(values))  # NumPy would make the text "nan" of a missing label
    if not isinstance(values, (pd.Series, pd.api.extensions.ExtensionArray)):
        values = np.asarray(values)
        if values.ndim == 0:
            raise DataError(
                f"Column {name!r} is the single value {values.item()!r}: give one for each row, "
                f"[{values.item()!r}] where there is one row."
            )
        if values.ndim != 1:
            raise DataError(f"Column {name!r} has {values.ndim} dimensions instead of 1.")
        if values.dtype.kind in "iufb" and not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
    return nw.from_native(pd.Series(values), series_only=True)


def _from_frame(data: Any) -> Table:
    # Duplicates first: narwhals' own message does not say what to do.
    names: Any = ()
    if nw.dependencies.is_pandas_dataframe(data):
        names = data.columns
    elif nw.dependencies.is_pyarrow_table(data):
        names = data.column_names
    repeated = [name for name, n in Counter(map(str, names)).items() if n > 1]
    if repeated:
        raise DataError(f"The table has more than one column named {', '.join(repeated)}.")
    try:
        frame = nw.from_native(data)
    except TypeError:
        hint = f" Read the file first, as with pandas.read_csv({data!r})." * isinstance(data, str)
        raise DataError(
            "The data must be a pandas, polars or pyarrow table, or a mapping of columns, not "
            f"{type(data).__name__}.{hint}"
        ) from None
    if isinstance(frame, nw.LazyFrame):
        raise DataError(
            "The table is lazy: collect it first. (fit_bayes, fit_reml and gram_from_table take it "
            "as it is, and sum cross-products where its rows are.)"
        )
    columns: dict[str, Any] = {str(name): frame.get_column(name) for name in frame.columns}
    if not nw.dependencies.is_pandas_dataframe(data):
        return Table(tuple(columns), len(frame), columns)
    units = data.attrs.get("units")
    named = units if isinstance(units, Mapping) else {}
    told = {str(name): str(unit) for name, unit in named.items()}
    return Table(tuple(columns), len(frame), columns, data.index, told)


def _filtered(series: Any, keep: NDArray[np.bool_]) -> Any:
    if series.implementation.is_pandas_like():  # a mask with an index of its own would be aligned
        return nw.from_native(series.to_native()[keep], series_only=True)
    return series.filter(nw.new_series("keep", keep, nw.Boolean, backend=series.implementation))
