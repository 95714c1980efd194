r"""Nodes of a known covariance that no level of the data is at, given those that are.

.. math:: u_r \mid u_d \sim N(-P_{rr}^{-1} P_{rd} u_d,\; P_{rr}^{-1} \otimes G)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_array

from bayeslmm.errors import NumericalError
from bayeslmm.kernels.sparse.cholesky import SparsePattern

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.nodes import NodePrecision

# Entries of a factor: 2 GB.
_MOST = 200_000_000


class UnseenNodes:
    """The distribution of unseen levels' effects given those of seen ones.

    Parameters
    ----------
    nodes : NodePrecision
        Of the seen levels first, then of the unseen ones.
    n_seen : int
        How many levels are seen.
    """

    def __init__(self, nodes: NodePrecision, n_seen: int) -> None:
        n = nodes.count
        P = csc_array((nodes.values, (nodes.rows, nodes.cols)), shape=(n, n))
        P.sum_duplicates()
        seen = nodes.place[:n_seen]
        self.rest: Ints = np.setdiff1d(np.arange(n), seen)
        own = csc_array(P[:, self.rest])
        self._across = own[seen]
        inside = csc_array(own[self.rest])
        inside.sort_indices()
        starts, rows = (np.asarray(of, np.int64) for of in (inside.indptr, inside.indices))
        pattern = SparsePattern.of(starts, rows, _MOST)
        factor = None if pattern is None else pattern.factorize(inside.data)
        if pattern is None or factor is None:
            raise NumericalError(
                "The precision of levels that had no rows cannot be factored: predict them with "
                "new_levels='population'."
            )
        self._factor, self._pattern = factor, pattern
        where = np.full(n, -1, np.int64)
        where[self.rest] = np.arange(len(self.rest))
        self._places = where[nodes.place[n_seen:]]
        self._eliminated = np.empty(len(self.rest), np.int64)  # when each column is
        self._eliminated[pattern.order] = np.arange(len(self.rest))

    def weights(self, levels: Ints) -> Floats:
        """Return of some unseen levels what the seen ones' effects are weighted with, (k, m)."""
        units = np.zeros((len(self.rest), len(levels)))
        units[self._places[levels], np.arange(len(levels))] = 1.0
        return -np.asarray(self._across @ self._factor.solve(units)).T

    def variances(self, levels: Ints) -> Floats:
        """Return their conditional variances in units of G, shape (k,)."""
        return np.asarray(self._factor.inverse_diagonal()[self._places[levels]])

    def needed(self, levels: Ints) -> Ints:
        """Return which columns of `rest` their spread depends on, in the order for `spread`."""
        parent, found = self._pattern.parent, np.zeros(len(self.rest), bool)
        for at in self._eliminated[self._places[levels]].tolist():
            column = at
            while column >= 0 and not found[column]:
                found[column] = True
                column = int(parent[column])
        return np.asarray(self._pattern.order[np.flatnonzero(found)[::-1]])

    def spread(self, levels: Ints, needed: Ints, white: Floats) -> Floats:
        """Turn independent effects of `needed` columns, shape (N, c), into the levels' deviations.

        By L' x = D^-1/2 z, of which an entry depends on those that are eliminated later.
        """
        pattern, factor = self._pattern, self._factor
        x = np.empty_like(white)
        row = np.full(len(self.rest), -1, np.int64)
        for k, column in enumerate(self._eliminated[needed].tolist()):
            inside = slice(pattern.first[column], pattern.first[column + 1])
            x[k] = white[k] / np.sqrt(factor.diagonal[column])
            x[k] -= factor.lower[inside] @ x[row[pattern.below[inside]]]
            row[column] = k
        return np.asarray(x[row[self._eliminated[self._places[levels]]]])
