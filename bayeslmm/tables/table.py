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

if TYPE_CHECKING:
    from numpy.typing import NDArray


_TEMPORAL = "dates and times: convert it to a number, such as days since the start"


@dataclass(frozen=True, eq=False)
class Column:
    """The kept rows of one column.

    Attributes
    ----------
    name : str
        The column's name.
    kind : str
        ``"number"``, ``"boolean"``, ``"text"`` (its levels sorted) or ``"category"`` (its levels in
        the categories' order).
    array : ndarray, shape (n,)
        Numbers (float64 or int64) or booleans; for text and categories the codes of the levels.
    labels : ndarray of str, shape (m,), or None
        The levels of text and categories that occur.
    n_unused : int
        Declared categories that no kept row has; they are not among the labels.
    declared : ndarray of str, or None
        All categories in their order, where the column declares them.
    """

    name: str
    kind: str
    array: NDArray[Any]
    labels: NDArray[np.str_] | None = None
    n_unused: int = 0
    declared: NDArray[np.str_] | None = None

    def native(self) -> NDArray[Any] | pd.Categorical:
        """Return the column as an array of numbers or booleans, or as a pandas categorical."""
        if self.labels is None:
            return self.array
        return categorical(self.array, self.labels)

    def levels(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """Return codes and labels as a grouping factor or a categorical predictor needs them."""
        if self.labels is not None:
            return self.array, self.labels
        if self.kind == "boolean":
            return encode(self.array.astype(np.int64), np.array(["False", "True"]))
        codes, distinct = pd.factorize(self.array, sort=True)
        return codes.astype(np.int64), np.array([label(value) for value in distinct], dtype=str)


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
    """

    names: tuple[str, ...]
    n_rows: int
    _series: Mapping[str, Any] = field(repr=False)
    index: pd.Index[Any] | None = None

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
        return _read(name, series)


def read_table(data: Any, *, may_be_empty: bool = False) -> Table:
    """Return a table of any kind, its columns to be read on request.

    Parameters
    ----------
    data : pandas, polars or pyarrow table, or mapping of str to array
        Anything eager that narwhals knows.
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
    return isinstance(nw.from_native(data, pass_through=True), nw.DataFrame)


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
    repeated = [str(name) for name, n in Counter(names).items() if n > 1]
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
    columns = {name: frame.get_column(name) for name in frame.columns if isinstance(name, str)}
    index = data.index if nw.dependencies.is_pandas_dataframe(data) else None
    return Table(tuple(columns), len(frame), columns, index)


def _filtered(series: Any, keep: NDArray[np.bool_]) -> Any:
    if series.implementation.is_pandas_like():  # a mask with an index of its own would be aligned
        return nw.from_native(series.to_native()[keep], series_only=True)
    return series.filter(nw.new_series("keep", keep, nw.Boolean, backend=series.implementation))


def _read(name: str, series: Any) -> Column:
    dtype = series.dtype
    if isinstance(dtype, nw.Boolean):
        return Column(name, "boolean", np.asarray(series.to_numpy(), dtype=bool))
    if dtype.is_numeric():
        values = np.asarray(series.to_numpy())
        if not dtype.is_integer():
            return Column(name, "number", values.astype(np.float64))
        wide = values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max
        return Column(name, "number", values.astype(np.uint64 if wide else np.int64))
    if isinstance(dtype, nw.Enum) or (
        isinstance(dtype, nw.Categorical) and not series.implementation.is_polars()
    ):
        return _category(name, series)
    if isinstance(dtype, (nw.String, nw.Categorical)):
        # A polars Categorical has no order of its own: its categories are shared by all columns.
        return _text(name, series.cast(nw.String))
    if dtype.is_temporal():
        raise DataError(f"Column {name!r} holds {_TEMPORAL}.")
    return _object(name, series)


def _category(name: str, series: Any) -> Column:
    if isinstance(series.dtype, nw.Enum) and series.implementation.is_polars():
        declared = pd.Categorical(series.cast(nw.String).to_numpy(), series.dtype.categories)
    elif series.implementation.is_pyarrow():  # narwhals would make text of a dictionary array
        declared = series.to_native().unify_dictionaries().to_pandas().array
    else:
        declared = series.to_pandas().array
    labels = np.array([label(value) for value in declared.categories], dtype=str)
    if len(set(labels)) < len(labels):
        raise DataError(f"Two categories of {name!r} read the same as text; rename one.")
    codes, used = encode(np.asarray(declared.codes, dtype=np.int64), labels)
    return Column(name, "category", codes, used, len(labels) - len(used), labels)


def _text(name: str, series: Any) -> Column:
    native = series.to_native() if series.implementation.is_pandas() else series.to_numpy()
    codes, distinct = pd.factorize(native)
    labels = np.asarray(distinct, dtype=str)
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Column(name, "text", rank[codes], labels[order])


def _object(name: str, series: Any) -> Column:
    """Return a column of Python objects by what they are."""
    values = np.asarray(series.to_numpy())
    kind = "complex" if values.dtype.kind == "c" else pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return _text(name, nw.from_native(pd.Series(values), series_only=True).cast(nw.String))
    if kind == "boolean":
        return Column(name, "boolean", values.astype(bool))
    if kind == "integer":
        try:
            return Column(name, "number", values.astype(np.int64))
        except OverflowError:
            raise DataError(
                f"Column {name!r} holds whole numbers beyond 64 bits: make labels of them (text), "
                "or floats."
            ) from None
    if kind in {"floating", "mixed-integer-float", "decimal"}:
        return Column(name, "number", values.astype(np.float64))
    what = {
        "complex": "complex numbers",
        "datetime": _TEMPORAL,
        "datetime64": _TEMPORAL,
        "date": _TEMPORAL,
        "timedelta": _TEMPORAL,
        "mixed-integer": "a mixture of numbers and text: convert it to one of them",
    }
    example = type(values[0]).__name__ if len(values) else kind
    raise DataError(
        f"Column {name!r} holds {what.get(kind, f'values such as {example}')}; "
        "columns are numbers, booleans, text or categories."
    )


def categorical(codes: NDArray[Any], labels: Any) -> pd.Categorical:
    """Return a pandas categorical of text labels.

    Examples
    --------
    >>> list(categorical(np.array([1, 0]), ["a", "b"]))
    ['b', 'a']
    """
    names: Any = pd.Index(np.asarray(labels, dtype=object), dtype=object)
    return pd.Categorical.from_codes(codes, categories=names)


def encode(
    codes: NDArray[np.int64], labels: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Return codes and labels with only those labels that occur, in their order.

    Examples
    --------
    >>> encode(np.array([2, 0, 2]), np.array(["a", "b", "c"]))
    (array([1, 0, 1]), array(['a', 'c'], dtype='<U1'))
    """
    used = np.bincount(codes, minlength=len(labels)) > 0
    if used.all():
        return codes, labels
    return (np.cumsum(used) - 1)[codes], labels[used]


def label(value: Any) -> str:
    """Return a value as a level's label: whole numbers without a decimal point.

    Examples
    --------
    >>> label(3.0), label("3"), label(True)
    ('3', '3', 'True')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def changed_kind(name: str, kind: str, now: str) -> DataError:
    """Return an error: a column is of one kind in some batches and of another in others."""
    return DataError(
        f"Column {name!r} holds {_PLURAL[kind]} in one batch of rows and {_PLURAL[now]} in "
        "another. Read it as one type throughout (dtype= of a CSV reader, a schema for Arrow)."
    )


_PLURAL = {"number": "numbers", "boolean": "booleans", "text": "text", "category": "categories"}
