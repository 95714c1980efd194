"""The entries of the inverse that stand where L has entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@entry
def selected_inverse(
    first: Ints, below: Ints, lower: Floats, diagonal: Floats
) -> tuple[Floats, Floats]:
    """Compute A^-1 where L has entries, from A = L D L'.

    By A^-1 = D^-1 L^-1 + (I - L') A^-1, columns from the last to the first: each takes only
    entries of later columns that stand where L has entries, too.

    Parameters
    ----------
    first, below, lower, diagonal : ndarray
        From `factorize_sparse`; each column's rows ascend.

    Returns
    -------
    off_diagonal : ndarray, shape (len(below),)
    on_diagonal : ndarray, shape (n,)

    References
    ----------
    Erisman & Tinney (1975). On computing certain elements of the inverse of a sparse matrix.
    Communications of the ACM 18(3):177-179. doi:10.1145/360680.360704
    """
    n = len(diagonal)
    off, on, column = np.zeros(len(below)), np.empty(n), np.zeros(n)
    for j in range(n - 1, -1, -1):
        lo, hi = first[j], first[j + 1]
        # column = A^-1[below j, below j] L[below j, j], by symmetry from either triangle.
        for a in range(lo, hi):
            i, l_i = below[a], lower[a]
            column[i] += on[i] * l_i
            b = a + 1
            for at in range(first[i], first[i + 1]):
                r = below[at]
                while b < hi and below[b] < r:
                    b += 1
                if b == hi:
                    break
                if below[b] == r:
                    column[r] += off[at] * l_i
                    column[i] += off[at] * lower[b]
        total = 1.0 / diagonal[j]
        for a in range(lo, hi):
            i = below[a]
            off[a] = -column[i]
            total += lower[a] * column[i]
            column[i] = 0.0
        on[j] = total
    return off, on
