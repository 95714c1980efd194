"""One column of a table, checked: numbers, booleans, or labels and their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from bayeslmm.arguments import label
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    ordered : bool
        Whether it says that their order means something.
    """

    name: str
    kind: str
    array: NDArray[Any]
    labels: NDArray[np.str_] | None = None
    n_unused: int = 0
    declared: NDArray[np.str_] | None = None
    ordered: bool = False

    def native(self) -> NDArray[Any] | pd.Categorical:
        """Return the column as an array of numbers or booleans, or as a pandas categorical."""
        if self.labels is None:
            return self.array
        return categorical(self.array, self.labels)

    def instead_of_numbers(self, rows: NDArray[Any]) -> str:
        """Return what the column holds that is not a number; `rows` are the rows' labels."""
        if self.labels is None:
            return _PLURAL[self.kind]
        return what_text(self.array, self.labels, rows)

    def levels(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """Return codes and labels as a grouping factor or a categorical predictor needs them."""
        if self.labels is not None:
            return self.array, self.labels
        if self.kind == "boolean":
            return encode(self.array.astype(np.int64), np.array(["False", "True"]))
        codes, distinct = pd.factorize(self.array, sort=True)
        return codes.astype(np.int64), np.array([label(value) for value in distinct], dtype=str)


def read_column(name: str, series: Any, rows: NDArray[np.int64]) -> Column:
    """Return a narwhals series without missing values as a column.

    Parameters
    ----------
    name : str
        Its name.
    series : narwhals.Series
        Its values.
    rows : ndarray of int64
        Their positions in the table, for messages.

    Returns
    -------
    Column

    Raises
    ------
    DataError
        If it holds something that is neither a number nor a label.
    """
    dtype = series.dtype
    if isinstance(dtype, nw.Int128 | nw.UInt128):
        series, dtype = _narrow(name, series), nw.Int64()
    if isinstance(dtype, nw.Struct | nw.List | nw.Array):
        raise DataError(
            f"Column {name!r} holds several values in each row ({dtype}); columns are numbers, "
            "booleans, text or categories: take one field of it."
        )
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
        return _category(name, series, rows)
    if isinstance(dtype, (nw.String, nw.Categorical)):
        # A polars Categorical has no order of its own: its categories are shared by all columns.
        return _text(name, series.cast(nw.String), rows)
    if dtype.is_temporal():
        raise DataError(f"Column {name!r} holds {_TEMPORAL}.")
    return _object(name, series, rows)


def _narrow(name: str, series: Any) -> Any:
    """Return whole numbers of 128 bits, which NumPy lacks, as such of 64 bits."""
    try:
        return series.cast(nw.Int64)
    except Exception:  # noqa: BLE001 - each engine has an exception of its own
        raise _beyond_64_bits(name) from None


def _beyond_64_bits(name: str) -> DataError:
    return DataError(
        f"Column {name!r} holds whole numbers beyond 64 bits: make labels of them (text), or "
        "floats."
    )


def _refuse_null_characters(name: str, labels: Iterable[str]) -> None:
    """Raise for labels that end in a null character, which arrays of text would cut off."""
    for text in labels:
        if "\0" in text:
            raise DataError(
                f"Column {name!r} holds the label {text!r} with a null character in it; remove "
                "that from the labels."
            )


def _refuse_empty_labels(
    name: str, codes: NDArray[Any], labels: NDArray[np.str_], rows: NDArray[np.int64]
) -> None:
    """Raise for a label of nothing or blanks, which is a missing value that does not say so."""
    for code, text in enumerate(labels):
        if text.strip():
            continue
        where = np.flatnonzero(codes == code)
        raise DataError(
            f"Column {name!r} holds the empty label {str(text)!r} in {len(where)} of {len(codes)} "
            f"rows; the first is row {rows[where[0]]} (counted from 0). Make it a missing value "
            "(None), or give those rows a label."
        )


def _refuse_text_among_numbers(name: str, values: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Raise, with the first row, for a column of numbers in which some values are text."""
    text = np.array([isinstance(value, str) for value in values], dtype=bool)
    numbers = np.array([isinstance(value, int | float | np.number) for value in values], dtype=bool)
    if text.any() and numbers.any() and (text | numbers).all():
        first = int(np.argmax(text))
        raise DataError(
            f"Column {name!r} holds numbers, and text in {int(text.sum())} of {len(values)} rows; "
            f"the first is row {rows[first]} (counted from 0), with {values[first]!r}. Make it a "
            "number, or a missing value (None)."
        )


def _category(name: str, series: Any, rows: NDArray[np.int64]) -> Column:
    if isinstance(series.dtype, nw.Enum) and series.implementation.is_polars():
        declared = pd.Categorical(series.cast(nw.String).to_numpy(), series.dtype.categories)
    elif series.implementation.is_pyarrow():  # narwhals would make text of a dictionary array
        declared = series.to_native().unify_dictionaries().to_pandas().array
    else:
        declared = series.to_pandas().array
    texts = [label(value) for value in declared.categories]
    _refuse_null_characters(name, texts)
    labels = np.array(texts, dtype=str)
    if len(set(labels)) < len(labels):
        raise DataError(f"Two categories of {name!r} read the same as text; rename one.")
    codes, used = encode(np.asarray(declared.codes, dtype=np.int64), labels)
    _refuse_empty_labels(name, codes, used, rows)
    # An Enum of polars has no other order than that of its categories.
    ordered = isinstance(series.dtype, nw.Enum) or bool(declared.ordered)
    return Column(name, "category", codes, used, len(labels) - len(used), labels, ordered)


def _text(name: str, series: Any, rows: NDArray[np.int64]) -> Column:
    native = series.to_native() if series.implementation.is_pandas() else series.to_numpy()
    codes, distinct = pd.factorize(native)
    _refuse_null_characters(name, distinct)
    labels = np.asarray(distinct, dtype=str)
    _refuse_empty_labels(name, codes, labels, rows)
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Column(name, "text", rank[codes], labels[order])


def _object(name: str, series: Any, rows: NDArray[np.int64]) -> Column:
    """Return a column of Python objects by what they are."""
    values = np.asarray(series.to_numpy())
    kind = "complex" if values.dtype.kind == "c" else pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return _text(
            name, nw.from_native(pd.Series(values), series_only=True).cast(nw.String), rows
        )
    if kind == "boolean":
        return Column(name, "boolean", values.astype(bool))
    if kind == "integer":
        try:
            return Column(name, "number", values.astype(np.int64))
        except OverflowError:
            raise _beyond_64_bits(name) from None
    if kind in {"floating", "mixed-integer-float", "decimal"}:
        return Column(name, "number", values.astype(np.float64))
    what = {
        "complex": "complex numbers",
        "datetime": _TEMPORAL,
        "datetime64": _TEMPORAL,
        "date": _TEMPORAL,
        "timedelta": _TEMPORAL,
    }
    _refuse_text_among_numbers(name, values, rows)
    example = type(values[0]).__name__ if len(values) else kind
    raise DataError(
        f"Column {name!r} holds {what.get(kind, f'values such as {example}')}; "
        "columns are numbers, booleans, text or categories."
    )


def what_text(codes: NDArray[Any], labels: Any, rows: NDArray[Any]) -> str:
    """Return what a column of labels holds instead of numbers, with the first cell that is none.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Of each row's label.
    labels : sequence of str
        They.
    rows : ndarray, shape (n,)
        The rows' labels in the table.

    Examples
    --------
    >>> what_text(np.array([0, 0, 1]), ["2.5", "n/a"], np.array([10, 11, 12]))
    "numbers, and text in 1 of 3 rows: 'n/a' in row 12"
    >>> what_text(np.array([0, 1]), ["low", "high"], np.array(["a", "b"]))
    "text: 'low' in row 'a'"
    """
    is_number = readable(labels)
    words = np.flatnonzero(~is_number[codes])
    first = int(words[0]) if len(words) else 0
    cell = f"{str(labels[codes[first]])!r} in row {rows[first : first + 1].tolist()[0]!r}"
    if not len(words):
        return f"numbers written as text, such as {cell}"
    some = f"numbers, and text in {len(words)} of {len(codes)} rows"
    return f"{'text' if len(words) == len(codes) else some}: {cell}"


def readable(labels: Any) -> NDArray[np.bool_]:
    """Return which labels are numbers written as text.

    Examples
    --------
    >>> readable(["1", "2.5", "two"]).tolist()
    [True, True, False]
    """
    texts = pd.Series(np.asarray(labels, dtype=object))
    return np.asarray(pd.to_numeric(texts, errors="coerce").notna(), dtype=bool)


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


def changed_kind(name: str, kind: str, now: str) -> DataError:
    """Return an error: a column is of one kind in some batches and of another in others."""
    return DataError(
        f"Column {name!r} holds {_PLURAL[kind]} in one batch of rows and {_PLURAL[now]} in "
        "another. Read it as one type throughout (dtype= of a CSV reader, a schema for Arrow)."
    )


_PLURAL = {"number": "numbers", "boolean": "booleans", "text": "text", "category": "categories"}
