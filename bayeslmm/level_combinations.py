"""The combinations of several columns' levels that occur, united batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from bayeslmm.errors import DataError
from bayeslmm.level_set import level_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.table import Column


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
        """Read the combinations of some columns' levels."""
        coded = [level_codes(columns[name]) for name in variables]
        codes = pd.DataFrame({k: code for k, (code, _) in enumerate(coded)}).drop_duplicates()
        chosen = [levels[codes[k].to_numpy()] for k, (_, levels) in enumerate(coded)]
        return cls(np.column_stack(chosen))

    def __or__(self, other: Combinations) -> Self:
        """Unite two batches' combinations."""
        together = pd.DataFrame(np.concatenate([self.labels, other.labels]).astype(object))
        return type(self)(together.drop_duplicates().to_numpy().astype(str))

    def ordered(self, levels: Sequence[NDArray[np.str_]], factor: str) -> NDArray[np.str_]:
        """Give labels such as ``"A:a"``, by the first column's order of levels, then the next.

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
