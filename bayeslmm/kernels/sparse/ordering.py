"""An order of elimination that leaves few entries: approximate minimum degree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry, inner

if TYPE_CHECKING:
    from bayeslmm.arrays import Ints

_NOBODY = -1


@inner
def _put(degree: int, i: int, head: Ints, after: Ints, before: Ints) -> None:
    """Put a column into the list of those of a degree."""
    there = head[degree]
    after[i], before[i] = there, _NOBODY
    if there != _NOBODY:
        before[there] = i
    head[degree] = i


@inner
def _take(degree: int, i: int, head: Ints, after: Ints, before: Ints) -> None:
    """Take a column out of the list of those of a degree."""
    if before[i] == _NOBODY:
        head[degree] = after[i]
    else:
        after[before[i]] = after[i]
    if after[i] != _NOBODY:
        before[after[i]] = before[i]


@inner
def _front(
    p: int,
    slots: tuple[Ints, Ints, Ints],
    slot_rows: Ints,
    fronts: tuple[Ints, Ints],
    front_rows: Ints,
    size: int,
    mark: Ints,
) -> int:
    """Append the columns that eliminating p joins; return where they end, or -1 without room.

    They are p's own neighbours and the columns of the fronts that p is in, which it absorbs.
    """
    start, n_columns, n_fronts = slots
    front_start, front_end = fronts
    mark[p] = p
    for at in range(start[p], start[p] + n_columns[p]):
        i = slot_rows[at]
        if mark[i] != p:
            if size == len(front_rows):
                return _NOBODY
            mark[i] = p
            front_rows[size] = i
            size += 1
    for at in range(start[p] + n_columns[p], start[p] + n_columns[p] + n_fronts[p]):
        e = slot_rows[at]
        for place in range(front_start[e], front_end[e]):
            i = front_rows[place]
            # None of them but p is eliminated: that would have absorbed the front.
            if mark[i] != p:
                if size == len(front_rows):
                    return _NOBODY
                mark[i] = p
                front_rows[size] = i
                size += 1
        front_end[e] = front_start[e]
    return size


@inner
def _shorten(
    i: int, p: int, slots: tuple[Ints, Ints, Ints], slot_rows: Ints, fronts: tuple[Ints, Ints],
    mark: Ints,
) -> None:  # fmt: skip
    """Rewrite column i's list once p is eliminated: columns outside p's front, live fronts, p."""
    start, n_columns, n_fronts = slots
    front_start, front_end = fronts
    lo, middle = start[i], start[i] + n_columns[i]
    hi, out = middle + n_fronts[i], lo
    for at in range(lo, middle):
        j = slot_rows[at]
        if mark[j] != p:
            slot_rows[out] = j
            out += 1
    n_columns[i] = out - lo
    for at in range(middle, hi):
        e = slot_rows[at]
        if front_end[e] > front_start[e]:
            slot_rows[out] = e
            out += 1
    # What led to p, p itself or a front that it absorbed, has left room for it.
    slot_rows[out] = p
    n_fronts[i] = out + 1 - lo - n_columns[i]


@inner
def _set_outside(
    p: int,
    lo: int,
    hi: int,
    slots: tuple[Ints, Ints, Ints],
    slot_rows: Ints,
    fronts: tuple[Ints, Ints],
    front_rows: Ints,
    outside: Ints,
    seen: Ints,
) -> None:
    """Count the columns of each front that are not in p's front."""
    start, n_columns, n_fronts = slots
    front_start, front_end = fronts
    for place in range(lo, hi):
        i = front_rows[place]
        first = start[i] + n_columns[i]
        for at in range(first, first + n_fronts[i]):
            e = slot_rows[at]
            if seen[e] != p:
                seen[e] = p
                outside[e] = front_end[e] - front_start[e]
            outside[e] -= 1


@entry
def minimum_degree(starts: Ints, rows: Ints, most: int) -> tuple[Ints, int]:
    """Order columns so that each is eliminated when it has about the fewest neighbours.

    Parameters
    ----------
    starts, rows : ndarray
        The pattern of a symmetric matrix by columns, both triangles, without the diagonal.
    most : int
        Entries of L below the diagonal at which to give up.

    Returns
    -------
    order : ndarray, shape (n,), or shorter
        Columns in the order of their elimination; not all of them where it was given up.
    entries : int
        A bound on the entries of L below the diagonal.

    References
    ----------
    Amestoy, Davis & Duff (1996). An approximate minimum degree ordering algorithm. SIAM Journal on
    Matrix Analysis and Applications 17(4):886-905. doi:10.1137/S0895479894278952
    """
    n = len(starts) - 1
    start, slot_rows = starts[:-1].copy(), rows.copy()
    n_columns, n_fronts = starts[1:] - starts[:-1], np.zeros(n, np.int64)
    slots = (start, n_columns, n_fronts)
    fronts = front_start, front_end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    front_rows, size = np.empty(most, np.int64), 0
    outside = np.zeros(n, np.int64)
    mark, seen = np.full(n, _NOBODY), np.full(n, _NOBODY)
    head, after, before = np.full(n + 1, _NOBODY), np.empty(n, np.int64), np.empty(n, np.int64)
    degree, order, least = n_columns.copy(), np.empty(n, np.int64), 0
    for i in range(n - 1, -1, -1):
        _put(degree[i], i, head, after, before)
    for k in range(n):
        while head[least] == _NOBODY:
            least += 1
        p = head[least]
        _take(degree[p], p, head, after, before)
        hi = _front(p, slots, slot_rows, fronts, front_rows, size, mark)
        if hi < 0:
            return order[:k], most
        order[k] = p
        front_start[p], front_end[p] = size, hi
        for place in range(size, hi):
            _shorten(front_rows[place], p, slots, slot_rows, fronts, mark)
        _set_outside(p, size, hi, slots, slot_rows, fronts, front_rows, outside, seen)
        for place in range(size, hi):
            i = front_rows[place]
            first = start[i] + n_columns[i]
            bound = n_columns[i] + hi - size - 1
            for at in range(first, first + n_fronts[i]):
                if slot_rows[at] != p:
                    bound += outside[slot_rows[at]]
            _take(degree[i], i, head, after, before)
            degree[i] = min(bound, degree[i] + hi - size - 1, n - k - 2)
            _put(degree[i], i, head, after, before)
            least = min(least, degree[i])
        size = hi
    return order, size
