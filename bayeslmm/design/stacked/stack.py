"""`Stack`: which response and which observation each row of a stacked design is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints


class Part(Protocol):
    """What is asked of a response's own design; see `Design`."""

    @property
    def data(self) -> Mapping[str, NDArray[Any] | pd.Categorical]:
        """The table's columns that it uses."""
        ...


@dataclass(frozen=True, eq=False)
class Stack[Own: Part]:
    """Where the rows of a stacked design come from: row i is row ``row[i]`` of ``parts[part[i]]``.

    Attributes
    ----------
    names : tuple of str
        The responses.
    parts : tuple of Design
        Each response's own design, of the observations that have it.
    part : ndarray of int64, shape (n,)
        Each row's response.
    row : ndarray of int64, shape (n,)
        Its row in that response's design.
    observation : ndarray of int64, shape (n,)
        Its observation, of m.
    positions : ndarray of int64, shape (m,)
        Where the observations stand in the table.
    labels : ndarray, shape (m,)
        Their labels.
    totals : ndarray, shape (m,), or None
        Of categories, how many counts each observation has.
    predictors : mapping of str to ndarray or Categorical, each of length m
        Columns that some response's formula uses, also of observations that lack this response.
    """

    names: tuple[str, ...]
    parts: tuple[Own, ...]
    part: Ints
    row: Ints
    observation: Ints
    positions: Ints
    labels: NDArray[Any]
    totals: Floats | None = None
    predictors: Mapping[str, NDArray[Any] | pd.Categorical] = field(default_factory=dict)

    def rows_of(self, part: int) -> Ints:
        """Return the rows of a response, in the order of its own design."""
        mine = (self.part == part).nonzero()[0]
        return np.asarray(mine[self.row[mine].argsort()], dtype=np.int64)

    def spread(self, part: int, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of a response's rows by observation, NaN where it is lacking."""
        out = np.full(len(self.labels), np.nan)
        out[self.observation[self.rows_of(part)]] = values
        return out

    @cached_property
    def data(self) -> dict[str, NDArray[Any] | pd.Categorical]:
        """The table's columns that any response uses, by observation.

        A response that an observation lacks is NaN, or of whole numbers and booleans zero.
        """
        used: dict[str, list[int]] = {}
        for k, part in enumerate(self.parts):
            for name in part.data:
                used.setdefault(name, []).append(k)
        return {
            name: self.predictors[name] if name in self.predictors else self._together(name, of)
            for name, of in used.items()
        }

    def _together(self, name: str, parts: list[int]) -> NDArray[Any] | pd.Categorical:
        m, columns = len(self.labels), [self.parts[k].data[name] for k in parts]
        places = [self.observation[self.rows_of(k)] for k in parts]
        if isinstance(columns[0], pd.Categorical):
            order = dict.fromkeys(label for one in columns for label in categories_of(one))
            labels = np.full(m, None, dtype=object)
            for at, column in zip(places, columns, strict=True):
                labels[at] = np.asarray(column)
            return pd.Categorical(labels, categories=list(order))
        kind = np.asarray(columns[0]).dtype
        whole = np.full(m, np.nan) if kind.kind == "f" else np.zeros(m, dtype=kind)
        for at, column in zip(places, columns, strict=True):
            whole[at] = column
        return whole


def categories_of(column: NDArray[Any] | pd.Categorical) -> list[str]:
    """Return a column's categories; none of numbers."""
    return [str(label) for label in getattr(column, "categories", ())]
