"""L and D of P A P' = L D L', row by row, and solutions by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@entry
def factorize_sparse(
    starts: Ints,
    rows: Ints,
    values: Floats,
    parent: Ints,
    first: Ints,
    below: Ints,
    lower: Floats,
    diagonal: Floats,
) -> bool:
    """Fill L and D with A = L D L', L with a unit diagonal; return whether A is positive definite.

    Row k of L solves L[:k, :k] D[:k] l = A[:k, k] along the paths of the elimination tree.

    Parameters
    ----------
    starts, rows, values : ndarray
        A by columns; entries below the diagonal are not looked at, and entries of one place that
        stand several times are added.
    parent, first, below : ndarray
        The pattern of L, see `symbolic`.
    lower : ndarray, shape (len(below),)
        Filled with L's entries below the diagonal.
    diagonal : ndarray, shape (n,)
        Filled with D.

    References
    ----------
    Davis (2005). Algorithm 849: a concise sparse Cholesky factorization package. ACM Transactions
    on Mathematical Software 31(4):587-591. doi:10.1145/1114268.1114277
    """
    n = len(parent)
    filled, flag = first[:-1].copy(), np.empty(n, np.int64)
    path, order, row = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n)
    for k in range(n):
        top, flag[k], pivot = n, k, 0.0
        for at in range(starts[k], starts[k + 1]):
            i = rows[at]
            if i > k:
                continue
            if i == k:
                pivot += values[at]
                continue
            row[i] += values[at]
            length = 0
            while flag[i] != k:
                path[length] = i
                length += 1
                flag[i] = k
                i = parent[i]
            while length > 0:
                top -= 1
                length -= 1
                order[top] = path[length]
        for place in range(top, n):
            i = order[place]
            y, row[i] = row[i], 0.0
            for at in range(first[i], filled[i]):
                row[below[at]] -= lower[at] * y
            l_ki = y / diagonal[i]
            pivot -= l_ki * y
            lower[filled[i]] = l_ki
            filled[i] += 1
        if not pivot > 0.0:
            return False
        diagonal[k] = pivot
    return True


@entry
def solve_lower(first: Ints, below: Ints, lower: Floats, out: Floats) -> None:
    """Replace columns B, shape (n, m), by L^-1 B."""
    for j in range(len(first) - 1):
        for at in range(first[j], first[j + 1]):
            i, entry_ = below[at], lower[at]
            for c in range(out.shape[1]):
                out[i, c] -= entry_ * out[j, c]


@entry
def solve_upper(first: Ints, below: Ints, lower: Floats, out: Floats) -> None:
    """Replace columns B, shape (n, m), by L'^-1 B."""
    for j in range(len(first) - 2, -1, -1):
        for at in range(first[j], first[j + 1]):
            i, entry_ = below[at], lower[at]
            for c in range(out.shape[1]):
                out[j, c] -= entry_ * out[i, c]
