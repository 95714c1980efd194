"""`SparsePattern` and `SparseFactor`: Cholesky factors of one pattern, for many sets of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.sparse.factor import factorize_sparse, solve_lower, solve_upper
from bayeslmm.kernels.sparse.inverse import selected_inverse
from bayeslmm.kernels.sparse.ordering import minimum_degree
from bayeslmm.kernels.sparse.symbolic import elimination_tree, factor_pattern

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class SparsePattern:
    """Where a symmetric matrix A and its factor have entries, in an order that leaves few.

    Attributes
    ----------
    order : ndarray, shape (n,)
        Columns of A in the order of their elimination.
    starts, rows : ndarray
        The upper triangle of P A P' by columns.
    places : ndarray, shape (len(rows),)
        Which of A's entries stands there.
    parent, first, below : ndarray
        The pattern of L, see `kernels.sparse.symbolic`.
    """

    order: Ints
    starts: Ints
    rows: Ints
    places: Ints
    parent: Ints
    first: Ints
    below: Ints

    @classmethod
    def of(cls, starts: Ints, rows: Ints, most: int) -> SparsePattern | None:
        """Find an order and the pattern of L.

        Parameters
        ----------
        starts, rows : ndarray of int64
            The pattern of A by columns: both triangles and the whole diagonal, no place twice.
        most : int
            Entries of L below the diagonal that are too many.

        Returns
        -------
        SparsePattern or None
            None where L would have more entries.
        """
        n = len(starts) - 1
        columns = np.repeat(np.arange(n), np.diff(starts))
        beside = rows != columns
        others = np.zeros(n + 1, dtype=np.int64)
        others[1:] = np.cumsum(np.bincount(columns[beside], minlength=n))
        order, _ = minimum_degree(others, rows[beside], most)
        if len(order) < n:
            return None
        place = np.empty(n, dtype=np.int64)
        place[order] = np.arange(n)
        row, column = place[rows], place[columns]
        upper = np.flatnonzero(row <= column)
        upper = upper[np.lexsort((row[upper], column[upper]))]
        ends = np.cumsum(np.bincount(column[upper], minlength=n))
        ordered = np.concatenate([[0], ends]), np.ascontiguousarray(row[upper])
        parent, counts = elimination_tree(*ordered)
        return cls(
            order, *ordered, upper, parent, *factor_pattern(*ordered, parent, counts)
        )  # fmt: skip

    @property
    def operations(self) -> float:
        """Multiplications that a factor takes: the sum of its columns' squared lengths."""
        return float(np.sum(np.diff(self.first).astype(np.float64) ** 2))

    def factorize(self, values: Floats) -> SparseFactor | None:
        """Compute L and D of P A P' = L D L'.

        Parameters
        ----------
        values : ndarray
            A's entries, in the order of its pattern.

        Returns
        -------
        SparseFactor or None
            None where A is not positive definite.
        """
        lower, diagonal = np.empty(len(self.below)), np.empty(len(self.order))
        fine = factorize_sparse(
            self.starts, self.rows, np.ascontiguousarray(values[self.places]), self.parent,
            self.first, self.below, lower, diagonal,
        )  # fmt: skip
        return SparseFactor(self, lower, diagonal) if fine else None

    @cached_property
    def in_factor(self) -> tuple[Ints, Ints]:
        """Places of the upper triangle's entries off the diagonal, and where they are in L."""
        n = len(self.order)
        columns = np.repeat(np.arange(n), np.diff(self.starts))
        off = np.flatnonzero(self.rows < columns)
        filled = np.repeat(np.arange(n), np.diff(self.first))
        keys = filled * n + self.below
        return off, np.searchsorted(keys, self.rows[off] * n + columns[off])


@dataclass(frozen=True, eq=False)
class SparseFactor:
    """P A P' = L D L'.

    Attributes
    ----------
    pattern : SparsePattern
    lower : ndarray
        Entries of L below its unit diagonal.
    diagonal : ndarray, shape (n,)
        D, positive.
    """

    pattern: SparsePattern
    lower: Floats
    diagonal: Floats

    @property
    def log_determinant(self) -> float:
        """log|A|."""
        return float(np.sum(np.log(self.diagonal)))

    def half_solve(self, columns: Floats) -> Floats:
        """Compute D^-1/2 L^-1 P B, whose cross-products are B' A^-1 B, for B of shape (n, m)."""
        out = np.ascontiguousarray(columns[self.pattern.order], dtype=np.float64)
        solve_lower(self.pattern.first, self.pattern.below, self.lower, out)
        return np.asarray(out / np.sqrt(self.diagonal)[:, None])

    def half_solve_transposed(self, columns: Floats) -> Floats:
        """Compute P' L'^-1 D^-1/2 Z: of standard normal Z, draws of N(0, A^-1)."""
        halves = np.ascontiguousarray(columns / np.sqrt(self.diagonal)[:, None])
        solve_upper(self.pattern.first, self.pattern.below, self.lower, halves)
        out = np.empty_like(halves)
        out[self.pattern.order] = halves
        return out

    def solve(self, columns: Floats) -> Floats:
        """Compute A^-1 B, shape (n, m)."""
        return self.half_solve_transposed(self.half_solve(columns))

    def inverse_diagonal(self) -> Floats:
        """Compute the diagonal of A^-1, shape (n,)."""
        out = np.empty_like(self.diagonal)
        out[self.pattern.order] = self._inverse[1]
        return out

    def inverse_on_upper(self) -> Floats:
        """Compute A^-1 where A has entries, for each of the `places` of its upper triangle."""
        pattern = self.pattern
        off_diagonal, on_diagonal = self._inverse
        off, where = pattern.in_factor
        out = on_diagonal[pattern.rows]
        out[off] = off_diagonal[where]
        return out

    @cached_property
    def _inverse(self) -> tuple[Floats, Floats]:
        pattern = self.pattern
        return selected_inverse(pattern.first, pattern.below, self.lower, self.diagonal)
