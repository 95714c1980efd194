"""The distinct values of a column that serves as labels: read batch by batch, united, ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from bayeslmm.arguments import label
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.tables.column import Column


@dataclass(frozen=True, eq=False)
class LevelSet:
    """The values of a column that occur, with what orders them; ``a | b`` is their union.

    Attributes
    ----------
    kind : str
        ``"number"`` (ordered as numbers), ``"boolean"`` and ``"text"`` (ordered as text), or
        ``"category"`` (in the order of their declaration).
    members : ndarray
        Distinct values; of categories all that were declared, in the order of declaration.
    used : ndarray of bool, or None
        Which of the declared categories occur.

    Examples
    --------
    >>> both = LevelSet("number", np.array([2, 10])) | LevelSet("number", np.array([3.0]))
    >>> both.labels().tolist()
    ['2', '3', '10']
    """

    kind: str
    members: NDArray[Any]
    used: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, column: Column) -> Self:
        """Return the values of a column's kept rows."""
        if column.kind == "category" and column.declared is not None:
            assert column.labels is not None  # noqa: S101 - categories have labels
            return cls("category", column.declared, np.isin(column.declared, column.labels))
        if column.labels is not None:
            return cls("text", column.labels)
        if column.kind == "boolean":
            return cls("boolean", column.levels()[1])
        return cls("number", np.sort(pd.unique(column.array)))

    @classmethod
    def of_value(cls, value: Any) -> Self:
        """Return the values inside ``C()``, as `evaluate` has them."""
        if isinstance(value, pd.Categorical):
            # Labels of an inner column or call; which of them occur is all that is known.
            return cls("text", np.array([str(name) for name in value.categories], dtype=str))
        if value.dtype == bool:
            found = np.unique(value)
            return cls("boolean", np.array(["False", "True"])[found.astype(int)])
        return cls("number", np.sort(pd.unique(value)))

    def __or__(self, other: LevelSet) -> Self:
        """Return the union of two batches' values."""
        if self.kind != other.kind:
            raise DataError(
                f"A column holds {self.kind}s in one batch of rows and {other.kind}s in another."
            )
        if self.kind == "category":
            return self._unite_categories(other)
        if self.members.dtype == other.members.dtype and np.array_equal(
            self.members, other.members
        ):
            return self
        if self.kind == "number":
            return type(self)(self.kind, _unite_numbers(self.members, other.members))
        return type(self)(self.kind, np.union1d(self.members, other.members))

    def _unite_categories(self, other: LevelSet) -> Self:
        known = set(self.members.tolist())
        fresh = [name for name in other.members.tolist() if name not in known]
        declared = np.array([*self.members.tolist(), *fresh], dtype=str)
        used = set(self.labels().tolist()) | set(other.labels().tolist())
        return type(self)(self.kind, declared, np.array([name in used for name in declared]))

    def labels(self) -> NDArray[np.str_]:
        """Return the labels of the values that occur, in order."""
        if self.kind == "number":
            return np.array([label(value) for value in self.members], dtype=str)
        return self.members if self.used is None else self.members[self.used]

    @property
    def unused(self) -> int:
        """How many declared categories no row has."""
        return 0 if self.used is None else int(np.sum(~self.used))

    def to_dict(self) -> dict[str, Any]:
        """Return the set in JSON's types."""
        return {
            "kind": self.kind,
            "dtype": self.members.dtype.str,
            "members": self.members.tolist(),
            "used": None if self.used is None else self.used.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the set that `to_dict` wrote."""
        used = content["used"]
        members = np.array(content["members"], dtype=np.dtype(content["dtype"]))
        return cls(content["kind"], members, None if used is None else np.array(used, dtype=bool))


def _unite_numbers(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    if first.dtype == second.dtype:
        return np.union1d(first, second)
    # Python compares whole numbers with floats exactly; NumPy would round the former.
    together = sorted({*first.tolist(), *second.tolist()})
    if all(float(value).is_integer() for value in together):
        whole = [int(value) for value in together]
        wide = bool(whole) and whole[-1] > np.iinfo(np.int64).max
        return np.array(whole, dtype=np.uint64 if wide else np.int64)
    return np.array(together, dtype=np.float64)


def require_whole(column: Column) -> None:
    """Raise unless the numbers of a column can be levels: measured ones cannot.

    Raises
    ------
    DataError
        If a number is not whole.
    """
    if column.kind == "number" and column.array.dtype.kind == "f":
        whole = np.isfinite(column.array) & (np.floor(column.array) == column.array)
        if not whole.all():
            culprit = column.array[np.flatnonzero(~whole)[0]]
            raise DataError(
                f"The grouping factor {column.name!r} holds the number {float(culprit)!r}: levels "
                "are text, categories, booleans or whole numbers, since equality of measured "
                "numbers means nothing. Round or cut it, or make it text."
            )


def level_codes(column: Column) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Return each row's level of one column, and the levels' labels."""
    require_whole(column)
    codes, labels = column.levels()
    return codes.astype(np.int64, copy=False), labels


@dataclass(frozen=True, eq=False)
class Combinations:
    """Distinct rows of labels; ``a | b`` is their union.

    Attributes
    ----------
    labels : ndarray of str, shape (k, number of columns)
        One row per combination, in no particular order.

    Examples
    --------
    >>> both = Combinations(np.array([["A", "a"]])) | Combinations(np.array([["A", "b"]]))
    >>> both.ordered([np.array(["A"]), np.array(["b", "a"])], "f:g").tolist()
    ['A:b', 'A:a']
    """

    labels: NDArray[np.str_]

    @classmethod
    def of(cls, variables: Sequence[str], columns: Mapping[str, Column]) -> Self:
        """Return the combinations of some columns' levels."""
        coded = [level_codes(columns[name]) for name in variables]
        codes = pd.DataFrame({k: code for k, (code, _) in enumerate(coded)}).drop_duplicates()
        chosen = [levels[codes[k].to_numpy()] for k, (_, levels) in enumerate(coded)]
        return cls(np.column_stack(chosen))

    def __or__(self, other: Combinations) -> Self:
        """Return the union of two batches' combinations."""
        together = pd.DataFrame(np.concatenate([self.labels, other.labels]).astype(object))
        return type(self)(together.drop_duplicates().to_numpy().astype(str))

    def ordered(self, levels: Sequence[NDArray[np.str_]], factor: str) -> NDArray[np.str_]:
        """Return labels such as ``"A:a"``, by the first column's order of levels, then the next.

        Raises
        ------
        DataError
            If two combinations would have the same label.
        """
        ranks = [
            pd.Index(known.astype(object)).get_indexer(self.labels[:, k].astype(object))
            for k, known in enumerate(levels)
        ]
        order = np.lexsort(ranks[::-1])
        joined = np.array([":".join(row) for row in self.labels[order].tolist()], dtype=str)
        if len(np.unique(joined)) < len(joined):
            raise DataError(
                f"Two different levels of {factor} would have the same label, because a label "
                "holds ':'. Rename the labels."
            )
        return joined
