"""`LevelMap`: effects of levels as combinations of independent latent ones."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.nodes import NodePrecision

    Matrix = Floats | csr_array

# Latent levels that several u have in common, from which on T is not laid out to describe it where
# nodes do so as well.
_MANY = 1000
# Rounding of shares that were scaled to sum one.
_SAME_SHARE = 1e-12


class LevelMap:
    r"""A linear map T from independent latent levels to the effects that rows have.

    .. math:: u = T v, \qquad v_j \sim N(0, G) \text{ independently}

    A row has the effect u of its own `index`, so that all latent levels which T mixes into that
    effect meet in the row.

    Parameters
    ----------
    compute : callable
        () -> T, an ndarray or a scipy.sparse.csr_array of shape (m, M); called when T is first
        needed.
    n_latent : int
        M.
    tells_latent : bool
        Whether results tell v, by the factor's levels; else u.
    n_alone : int
        How many of the first latent levels are each in one u alone, no two of them in the same.
    nodes : callable, optional
        () -> the same covariance of u by nodes; called when it is first needed.

    Examples
    --------
    >>> twice = LevelMap(lambda: np.array([[1.0, 0.0], [2.0, 0.0]]), 2)
    >>> twice.told(np.array([[3.0], [5.0]])).tolist()
    [[3.0], [6.0]]
    """

    def __init__(
        self,
        compute: Callable[[], Matrix],
        n_latent: int,
        *,
        tells_latent: bool = False,
        n_alone: int = 0,
        nodes: Callable[[], NodePrecision | None] | None = None,
    ) -> None:
        self._compute, self._nodes = compute, nodes
        self.n_latent = n_latent
        self.tells_latent = tells_latent
        self.n_alone = n_alone

    @cached_property
    def matrix(self) -> Matrix:
        """T, shape (m, M).

        By one thread: several round otherwise, and the numbers tell data from others.
        """
        with single_blas_thread():
            return self._compute()

    @cached_property
    def nodes(self) -> NodePrecision | None:
        """The covariance of u by the sparse precision of nodes, where there is one."""
        return None if self._nodes is None else self._nodes()

    @property
    def n_shared(self) -> int:
        """How many latent levels may be in several u."""
        return self.n_latent - self.n_alone

    @property
    def _by_nodes(self) -> NodePrecision | None:
        """The nodes, where T has too many columns to be laid out without need."""
        return self.nodes if self.n_shared > _MANY else None

    def numbers(self) -> Iterator[NDArray[Any]]:
        """Iterate over the arrays that tell T, or the nodes, from others, in one order."""
        if self._by_nodes is not None:
            yield from self._by_nodes.arrays()
            return
        found = self.matrix
        if isinstance(found, np.ndarray):
            yield found
        else:
            yield from (np.asarray(part) for part in (found.data, found.indices, found.indptr))

    def agrees(self, other: LevelMap | None) -> bool:
        """Return whether another map says the same of levels in the same order."""
        if other is None or other.n_latent != self.n_latent:
            return False
        if self.tells_latent or other.tells_latent:  # rows' own shares, of labelled latent levels
            alike = self.tells_latent == other.tells_latent
            mine, theirs = csr_array(self.matrix), csr_array(other.matrix)
            same = alike and mine.shape == theirs.shape
            return same and bool(np.abs((mine - theirs).data).max(initial=0.0) <= _SAME_SHARE)
        one, two = self.covariance, other.covariance
        return one.shape == two.shape and bool(np.allclose(one, two, rtol=1e-10, atol=0.0))

    def shared(self, index: NDArray[np.int64]) -> Floats:
        """Return the covariance, in units of G, of the effects u with some numbers."""
        found = self.matrix
        if isinstance(found, np.ndarray):
            return np.asarray(self.covariance[np.ix_(index, index)])
        own = found[index]
        return np.asarray((own @ own.T).toarray())

    @cached_property
    def covariance(self) -> Floats:
        """T T', shape (m, m): the covariance of u in units of G."""
        found = self.matrix @ self.matrix.T
        return found if isinstance(found, np.ndarray) else found.toarray()

    @cached_property
    def variances(self) -> Floats:
        """The diagonal of T T', shape (m,)."""
        if self._by_nodes is not None:
            return self._by_nodes.variances
        return np.asarray((self.matrix * self.matrix).sum(axis=1))

    def of_rows(self, latent: Floats) -> Floats:
        """Return u = T v of draws of v: shapes (..., M, q) and (..., m, q)."""
        lead, (M, q) = latent.shape[:-2], latent.shape[-2:]
        flat = np.moveaxis(latent, -2, 0).reshape(M, -1)
        mixed = np.asarray(self.matrix @ flat).reshape(-1, *lead, q)
        return np.ascontiguousarray(np.moveaxis(mixed, 0, -2))

    def told(self, latent: Floats) -> Floats:
        """Return what results tell of draws of v: v itself, or u."""
        return latent if self.tells_latent else self.of_rows(latent)


def padded_rows(latent: LevelMap) -> tuple[Ints, Floats]:
    """Return the places and values of T's entries, each row filled up with zeros, shape (m, k).

    Where a row has all M entries, or nearly, all have: places are 0, 1, ..., M - 1.

    Examples
    --------
    >>> T = csr_array(np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    >>> places, weights = padded_rows(LevelMap(lambda: T, 4))
    >>> places.tolist(), weights.tolist()
    ([[0, 2], [1, 0]], [[0.5, 0.5], [1.0, 0.0]])
    """
    found = latent.matrix
    if isinstance(found, np.ndarray):
        return np.tile(np.arange(latent.n_latent), (len(found), 1)), found
    counts = np.diff(found.indptr)
    k, m = int(counts.max(initial=1)), found.shape[0]
    if 2 * k > latent.n_latent:
        return np.tile(np.arange(latent.n_latent), (m, 1)), found.toarray()
    row = np.repeat(np.arange(m), counts)
    place = np.arange(len(row)) - np.repeat(found.indptr[:-1], counts)
    places, weights = np.zeros((m, k), np.int64), np.zeros((m, k))
    places[row, place], weights[row, place] = found.indices, found.data
    return places, weights
