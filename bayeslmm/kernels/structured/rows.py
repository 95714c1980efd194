"""Compiled sums over pairs of rows, and their transpose: what each pair's weight changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

# The place of pairs that a block leaves out.
NOWHERE = -1


@entry
def sum_products(
    place: Ints, first: Ints, second: Ints, weight: Floats, left: Floats, right: Floats, n: int
) -> Floats:
    """Compute sum of weight left_a right_b' over the pairs (a, b) of each place.

    Parameters
    ----------
    place : ndarray of int64, shape (m,)
        Where each pair's product is added, or `NOWHERE`.
    first, second : ndarray of int64, shape (m,)
        Rows a and b.
    weight : ndarray, shape (m,) or (0,)
        One for each pair; empty for ones.
    left, right : ndarray, shapes (n_rows, q) and (n_rows, w)
        Columns of the rows.
    n : int
        Number of places.

    Returns
    -------
    ndarray, shape (n, q, w)
    """
    values = np.zeros((n, left.shape[1], right.shape[1]))
    weighted = len(weight) > 0
    for k in range(len(place)):
        i, a, b = place[k], first[k], second[k]
        if i == NOWHERE:
            continue
        times = weight[k] if weighted else 1.0
        for r in range(left.shape[1]):
            z = times * left[a, r]
            for c in range(right.shape[1]):
                values[i, r, c] += z * right[b, c]
    return values


@entry
def add_slopes(
    place: Ints,
    first: Ints,
    second: Ints,
    left: Floats,
    right: Floats,
    gradient: Floats,
    out: Floats,
) -> None:
    """Add left_a' G right_b of each pair to `out`, G being the gradient at the pair's place.

    Parameters
    ----------
    place, first, second, left, right
        As in `sum_products`.
    gradient : ndarray, shape (n, q, w)
        In the sums.
    out : ndarray, shape (m,)
        Derivative in each pair's weight.
    """
    for k in range(len(place)):
        i, a, b = place[k], first[k], second[k]
        if i == NOWHERE:
            continue
        total = 0.0
        for r in range(left.shape[1]):
            part = 0.0
            for c in range(right.shape[1]):
                part += gradient[i, r, c] * right[b, c]
            total += left[a, r] * part
        out[k] += total
