"""Compiled group-by sums of cross-products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@entry
def sum_by_level(index: Ints, Z: Floats, W: Floats, m: int) -> tuple[Floats, Floats]:
    """Compute Z_i'Z_i and Z_i'W over each level's rows.

    Returns
    -------
    within : ndarray, shape (m, q, q)
    with_fixed : ndarray, shape (m, q, w)
    """
    q, w = Z.shape[1], W.shape[1]
    within, with_fixed = np.zeros((m, q, q)), np.zeros((m, q, w))
    for row in range(len(index)):
        i = index[row]
        for r in range(q):
            z = Z[row, r]
            for c in range(r + 1):
                within[i, r, c] += z * Z[row, c]
            for c in range(w):
                with_fixed[i, r, c] += z * W[row, c]
    for i in range(m):
        for r in range(q):
            for c in range(r):
                within[i, c, r] = within[i, r, c]
    return within, with_fixed


@entry
def sum_pairs(place: Ints, first: Floats, second: Floats, n_pairs: int) -> Floats:
    """Compute Z_i'Z_j over the rows of each pair of levels, whose numbers `place` holds.

    Returns
    -------
    ndarray, shape (n_pairs, q_first, q_second)
    """
    values = np.zeros((n_pairs, first.shape[1], second.shape[1]))
    for row in range(len(place)):
        i = place[row]
        for r in range(first.shape[1]):
            for c in range(second.shape[1]):
                values[i, r, c] += first[row, r] * second[row, c]
    return values
