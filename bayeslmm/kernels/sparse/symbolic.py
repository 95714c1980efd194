"""Elimination tree and pattern of L, from the pattern of A alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Ints


@entry
def elimination_tree(starts: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Find each column's parent in the elimination tree, and how many entries L has below it.

    Parameters
    ----------
    starts : ndarray, shape (n + 1,)
        Where each column of A begins.
    rows : ndarray, shape (nnz,)
        Rows of its entries; those below the diagonal are not looked at.

    Returns
    -------
    parent : ndarray, shape (n,)
        The row of the first entry of L below the diagonal; -1 where there is none.
    counts : ndarray, shape (n,)
        Entries of L below the diagonal, column by column.

    References
    ----------
    Davis (2005). Algorithm 849: a concise sparse Cholesky factorization package. ACM Transactions
    on Mathematical Software 31(4):587-591. doi:10.1145/1114268.1114277
    """
    n = len(starts) - 1
    parent, counts, flag = np.full(n, -1), np.zeros(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        flag[k] = k
        for at in range(starts[k], starts[k + 1]):
            i = rows[at]
            # Row k of L has an entry in every column between i and k on the way to the root.
            while i < k and flag[i] != k:
                if parent[i] == -1:
                    parent[i] = k
                counts[i] += 1
                flag[i] = k
                i = parent[i]
    return parent, counts


@entry
def factor_pattern(starts: Ints, rows: Ints, parent: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Return where L has entries: each column's first place, and rows in ascending order.

    Parameters
    ----------
    starts, rows : ndarray
        As in `elimination_tree`.
    parent, counts : ndarray, shape (n,)
        From `elimination_tree`.

    Returns
    -------
    first : ndarray, shape (n + 1,)
    below : ndarray, shape (sum of counts,)
        Rows of the entries below the diagonal.
    """
    n = len(parent)
    first, flag = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
    for j in range(n):
        first[j + 1] = first[j] + counts[j]
    below, filled = np.empty(first[n], np.int64), first[:-1].copy()
    for k in range(n):
        flag[k] = k
        for at in range(starts[k], starts[k + 1]):
            i = rows[at]
            while i < k and flag[i] != k:
                below[filled[i]] = k
                filled[i] += 1
                flag[i] = k
                i = parent[i]
    return first, below
