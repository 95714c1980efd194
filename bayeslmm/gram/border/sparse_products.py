r"""Cross-products of crossed factors as sparse matrices, whatever the relative factors are.

One factor is eliminated level by level; the columns of all others are the border. With K the
cross-products between the two and E those between different levels of the border, everything that
iterations need is K, K', E, and of each pair of levels :math:`K_{ij} \otimes K_{ij}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import bsr_matrix, coo_matrix, csr_matrix, hstack

if TYPE_CHECKING:
    from bayeslmm.arrays import Columns, Floats, Ints
    from bayeslmm.gram.blocks import CrossProducts


@dataclass(frozen=True, eq=False)
class SparseProducts:
    """Cross-products of crossed factors, one of them to be eliminated.

    Attributes
    ----------
    first : int
        Place of the factor that is eliminated.
    border : tuple of int
        Places of the others, in the order of the border's columns.
    widths : tuple of int
        Columns of each factor of the Gram, q.
    levels : tuple of int
        Levels of each, m.
    starts : tuple of int
        For each of `border` the first of its m q columns; last, their number.
    K : csr_matrix, shape (m q, n_border)
        Between the first factor's columns and the border's.
    K_transposed : csr_matrix
    E : csr_matrix, shape (n_border, n_border), or None
        Between columns of different levels of the border; None where there are none.
    """

    first: int
    border: tuple[int, ...]
    widths: tuple[int, ...]
    levels: tuple[int, ...]
    starts: tuple[int, ...]
    K: Any
    K_transposed: Any
    E: Any
    _gram: CrossProducts

    def in_precision(self, name: str, X: Columns) -> Any:
        """Return K, K_transposed or E in the precision of columns that it is multiplied with."""
        return getattr(self, name) if X.dtype == np.float64 else self._single[name]

    @cached_property
    def _single(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in ("K", "K_transposed", "E")}
        return {
            name: csr_matrix(
                (own.data.astype(np.float32), own.indices, own.indptr), shape=own.shape, copy=False
            )
            for name, own in found.items()
            if own is not None
        }

    @property
    def n_border(self) -> int:
        """Number of the border's columns."""
        return self.starts[-1]

    def columns(self, place: int) -> slice:
        """Return which columns of the border are a factor's."""
        at = self.border.index(place)
        return slice(self.starts[at], self.starts[at + 1])

    @cached_property
    def squares(self) -> dict[int, Any]:
        r"""For each border factor the matrix of blocks :math:`K_{ij} \otimes K_{ij}`.

        It carries the entries of symmetric matrices S_j, one a level, to those of
        :math:`\sum_j K_{ij} S_j K_{ij}'`.
        """
        if len(self.border) == 1 and set(self.widths) == {1}:
            (place,) = self.border
            own = self.K
            return {
                place: csr_matrix(
                    (own.data**2, own.indices, own.indptr), shape=own.shape, copy=False
                )
            }
        return {m: _squares(self._gram, self.first, m) for m in self.border}


def sparse_products(gram: CrossProducts) -> SparseProducts:
    """Lay cross-products out for iterations; the factor with most columns is eliminated.

    Parameters
    ----------
    gram : CrossProducts
        Of at least one factor whose levels share no rows.

    Returns
    -------
    SparseProducts
        Zeros are not stored.
    """
    shapes = [factor.within.shape[:2] for factor in gram.factors]
    sizes = [m * q for m, q in shapes]
    apart = [k for k in range(len(sizes)) if gram.joined(k) is None]
    first = max(apart, key=lambda k: sizes[k])
    border = tuple(k for k in range(len(sizes)) if k != first)
    starts = tuple(int(v) for v in np.cumsum([0, *(sizes[k] for k in border)]))
    K = hstack([_pair(gram, first, k) for k in border], format="csr")
    return SparseProducts(
        first=first,
        border=border,
        widths=tuple(q for _, q in shapes),
        levels=tuple(m for m, _ in shapes),
        starts=starts,
        K=K,
        K_transposed=K.T.tocsr(),
        E=_between(gram, border, starts),
        _gram=gram,
    )


def _blocks(rows: Ints, cols: Ints, values: Floats, shape: tuple[int, int]) -> Any:
    """Return a sparse matrix of blocks at places in lexicographic order."""
    _, q, width = values.shape
    pointers = np.searchsorted(rows, np.arange(shape[0] + 1))
    whole = (shape[0] * q, shape[1] * width)
    if q == width == 1:
        return csr_matrix((values.ravel(), cols.astype(np.int32), pointers), shape=whole)
    return bsr_matrix((values, cols, pointers), shape=whole).tocsr()


def _pair(gram: CrossProducts, k: int, m: int) -> Any:
    rows, cols, values = gram.pair_of(k, m).seen_from(k)
    return _blocks(rows, cols, values, (len(gram.factors[k].within), len(gram.factors[m].within)))


def _squares(gram: CrossProducts, k: int, m: int) -> Any:
    rows, cols, values = gram.pair_of(k, m).seen_from(k)
    n, q, width = values.shape
    kron = np.einsum("nab,ncd->nacbd", values, values).reshape(n, q * q, width * width)
    return _blocks(rows, cols, kron, (len(gram.factors[k].within), len(gram.factors[m].within)))


def _between(gram: CrossProducts, border: tuple[int, ...], starts: tuple[int, ...]) -> Any:
    """Return E, both triangles."""
    n, found = starts[-1], []
    for a, k in enumerate(border):
        for b, m in enumerate(border[: a + 1]):
            if k == m:
                joined = gram.joined(k)
                if joined is None:
                    continue
                rows, cols, values = joined.rows, joined.cols, joined.values
            else:
                rows, cols, values = gram.pair_of(k, m).seen_from(k)
            _, q, width = values.shape
            at = np.broadcast_to(starts[a] + rows[:, None, None] * q + np.arange(q)[:, None],
                                 values.shape)  # fmt: skip
            to = np.broadcast_to(starts[b] + cols[:, None, None] * width + np.arange(width),
                                 values.shape)  # fmt: skip
            found.append((at.ravel(), to.ravel(), values.ravel()))
    if not found:
        return None
    at, to, entries = (np.concatenate(part) for part in zip(*found, strict=True))
    lower = coo_matrix((entries, (at, to)), shape=(n, n)).tocsr()
    return (lower + lower.T).tocsr()
