"""`Dependence`: how fixed-effects columns that were dropped follow from those that stayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Parts of columns, in units of their sizes, that are the same but for rounding.
_SAME = 1e-7


@dataclass(frozen=True, slots=True)
class Dependence:
    """How the columns that were dropped follow from those that stayed.

    Attributes
    ----------
    scale : tuple of float, length p + dropped
        The size of each column, in the order of the formula.
    parts : mapping of int to mapping of int to float
        By each dropped column's place, the places of the columns that it is made of, and how much
        of each.
    """

    scale: tuple[float, ...]
    parts: Mapping[int, Mapping[int, float]]

    @classmethod
    def of_plain(cls, content: Mapping[str, Any], n_columns: int) -> Self:
        """Return what `plain` gave.

        Raises
        ------
        TypeError
            If it is of other columns, or no numbers.
        """
        try:
            scale = tuple(float(size) for size in content["scale"])
            parts = {
                int(place): {int(k): float(part) for k, part in made.items()}
                for place, made in content["parts"].items()
            }
        except ValueError as error:
            raise TypeError(str(error)) from None
        numbers = [*scale, *(part for made in parts.values() for part in made.values())]
        kept = set(range(n_columns)) - set(parts)
        whole = len(scale) == n_columns and set(parts) <= set(range(n_columns))
        if not (whole and all(set(made) <= kept for made in parts.values())):
            raise TypeError("dropped columns are made of others than there are")
        if not (np.isfinite(numbers).all() and min(scale) > 0.0):
            raise TypeError("dropped columns are made of what is no number")
        return cls(scale, parts)

    def plain(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        parts = {str(j): {str(k): v for k, v in made.items()} for j, made in self.parts.items()}
        return {"scale": self.scale, "parts": parts}

    def agrees(self, other: Dependence) -> bool:
        """Return whether other rows' columns follow from each other in the same way."""
        if self.parts.keys() != other.parts.keys() or len(self.scale) != len(other.scale):
            return False
        size = np.array(self.scale)
        difference = (self.rows() - other.rows() * (size / other.scale)[self.kept, None]) / size
        return bool(np.abs(difference).max() <= _SAME)

    @property
    def kept(self) -> list[int]:
        """Places of the columns that stayed."""
        return [j for j in range(len(self.scale)) if j not in self.parts]

    def rows(self) -> NDArray[np.float64]:
        """Return rows that span the design's, shape (p, p + dropped)."""
        kept = self.kept
        rows = np.zeros((len(kept), len(self.scale)))
        rows[np.arange(len(kept)), kept] = 1.0
        for place, made in self.parts.items():
            for k, part in made.items():
                rows[kept.index(k), place] = part
        return np.asarray(rows * np.array(self.scale)[kept, None])
