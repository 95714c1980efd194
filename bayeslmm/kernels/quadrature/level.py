"""One level's mode and integral as a C function: what all quadrature kernels call, compiled once.

Numba would otherwise compile it anew into each of them (see decision 0005).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.kernels.compiler.jit import (
    as_pointer,
    c_function,
    carray,
    entry_after,
    inner_ieee,
)
from bayeslmm.kernels.compiler.sources import WHOLE
from bayeslmm.kernels.families.codes import STUDENT
from bayeslmm.kernels.quadrature.axes import factorises, farthest_of, set_nodes
from bayeslmm.kernels.quadrature.mode import find_mode
from bayeslmm.kernels.quadrature.nodes import density_at_nodes, integrate_level
from bayeslmm.kernels.quadrature.rows import GRID, TABLE, set_table
from bayeslmm.kernels.quadrature.several import (
    FOUND_U,
    FOUND_V,
    MODE_WIDTH,
    MOST_MODES,
    POINTS,
    find_modes,
    integrate_modes,
    root_in,
)
from bayeslmm.kernels.quadrature.sums import level_density

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule

# What `solve_level` is to do.
ROW_BY_ROW, QUICKLY, DENSITY_ONLY, MORE_NODES = range(4)
# What it fills: the mode, the root's entries, the sum of the nodes' densities, whether exponentials
# were split over them, how far out they stand and how many they are, and all modes of t responses.
MODE, MODE_2, ROOT, ROOT_BELOW, ROOT_2, TOTAL, SPLIT, FARTHEST, COUNT, MODES = range(10)
SOLVED = MODES + MOST_MODES * MODE_WIDTH
# Addresses and sizes of what it works on.
(
    PHI, TABLE_AT, GRID_AT, NODES, WEIGHTS, SOLVED_AT, PHI_ROWS, N_PHI, N_ROWS, N_GRID, N_NODES,
    WORDS,
) = range(12)  # fmt: skip


@inner_ieee
def _at_more_nodes(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    log_weight: Floats,
    lo: int,
    hi: int,
    solved: Floats,
) -> float:
    """Fill the density at other nodes around the mode that was solved for."""
    u, v, farthest = solved[MODE], solved[MODE_2], farthest_of(z)
    root = (solved[ROOT], solved[ROOT_BELOW], solved[ROOT_2])
    set_nodes(q, z, log_weight, u, v, root, grid, 0)
    split = solved[SPLIT] > 0.0
    if split and farthest > solved[FARTHEST]:
        # What was safe for the nodes before may not be so further out.
        split = factorises(code, phi, q, table, farthest, lo, hi, root)
    total: float = density_at_nodes(code, phi, q, table, grid, z, lo, hi, split)
    return total


@c_function(f"bayeslmm_level_{WHOLE}", "d q q q q q d d d q*")
def level_c(
    code: int,
    q: int,
    lo: int,
    hi: int,
    task: int,
    u: float,
    v: float,
    tolerance: float,
    words_: Any,
) -> float:
    """Do what `solve_level` says, on memory that is there."""
    words = carray(words_, (WORDS,))
    phi = carray(as_pointer(words[PHI]), (words[PHI_ROWS], words[N_PHI]), np.float64)
    table = carray(as_pointer(words[TABLE_AT]), (TABLE, words[N_ROWS]), np.float64)
    grid = carray(as_pointer(words[GRID_AT]), (GRID, words[N_GRID]), np.float64)
    z = carray(as_pointer(words[NODES]), (words[N_NODES],), np.float64)
    log_weight = carray(as_pointer(words[WEIGHTS]), (words[N_NODES],), np.float64)
    solved = carray(as_pointer(words[SOLVED_AT]), (SOLVED,), np.float64)
    if task == DENSITY_ONLY:
        return level_density(code, phi, q, table, lo, hi, u, v)
    if task == MORE_NODES:
        return _at_more_nodes(code, phi, q, table, grid, z, log_weight, lo, hi, solved)
    count, found = 1, solved[MODES:].reshape((MOST_MODES, MODE_WIDTH))
    if code == STUDENT:
        scan = carray(as_pointer(words[GRID_AT]), (GRID, POINTS), np.float64)
        count = find_modes(phi, q, table, scan, lo, hi, tolerance, found)
        u, v, root = found[0, FOUND_U], found[0, FOUND_V], root_in(found[0])
    else:
        u, v, root = find_mode(code, phi, q, table, lo, hi, u, v, tolerance)
    # Laplace's approximation is that at the highest mode.
    if count > 1 and len(z) > 1:
        grid = carray(as_pointer(words[GRID_AT]), (GRID, count * words[N_GRID]), np.float64)
        value, total, split = integrate_modes(
            phi, q, table, grid, z, log_weight, lo, hi, found, task == QUICKLY
        )
    else:
        value, total, split = integrate_level(
            code, phi, q, table, grid, z, log_weight, lo, hi, u, v, root, task == QUICKLY
        )
    solved[MODE], solved[MODE_2], solved[TOTAL] = u, v, total
    solved[SPLIT], solved[FARTHEST] = 1.0 if split else 0.0, farthest_of(z)
    solved[COUNT] = grid.shape[1]
    solved[ROOT], solved[ROOT_BELOW], solved[ROOT_2] = root
    return value


@cache
def link_level() -> None:
    """Compile the function, or load it, and give it its name."""
    level_c.link()


def level_entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls and that calls `solve_level`."""
    return entry_after(link_level)(function)


@inner_ieee
def open_work(rows: LevelRows, rule: Rule) -> tuple[Floats, Floats, Floats, Ints]:
    """Return table, grid, what `solve_level` fills, and the words that tell it of all these.

    The arrays are one: the words keep nothing alive, but the table that is used among its calls
    does.
    """
    n, K = len(rows.y), len(rule.z)
    N = K if rows.Z.shape[1] == 1 else K * K
    # Levels of t responses may have nodes around each of several modes, and are scanned for them.
    most = max(MOST_MODES * N, POINTS) if rows.code == STUDENT else N
    own = np.zeros(TABLE * n + GRID * most + SOLVED)
    table = own[: TABLE * n].reshape((TABLE, n))
    grid = own[TABLE * n : TABLE * n + GRID * N].reshape((GRID, N))
    solved = own[TABLE * n + GRID * most :]
    set_table(rows, table)
    words = np.zeros(WORDS, np.int64)
    words[TABLE_AT], words[N_ROWS] = table.ctypes.data, n
    words[SOLVED_AT] = solved.ctypes.data
    set_grid_words(words, grid, rule.z, rule.log_weight)
    return table, grid, solved, words


@inner_ieee
def solved_grid(words: Ints, solved: Floats) -> Floats:
    """Return the grid of all nodes that the last integral was computed from."""
    shape = (GRID, int(solved[COUNT]))
    grid: Floats = carray(as_pointer(words[GRID_AT]), shape, np.float64)
    return grid


@inner_ieee
def set_grid_words(words: Ints, grid: Floats, z: Floats, log_weight: Floats) -> None:
    """Tell `solve_level` of a grid and its nodes."""
    words[GRID_AT], words[N_GRID] = grid.ctypes.data, grid.shape[1]
    words[NODES], words[N_NODES] = z.ctypes.data, len(z)
    words[WEIGHTS] = log_weight.ctypes.data


@inner_ieee
def set_phi_words(words: Ints, phi: Floats) -> None:
    """Tell `solve_level` of the family's parameters, of all rows or by row."""
    words[PHI], words[PHI_ROWS], words[N_PHI] = phi.ctypes.data, phi.shape[0], phi.shape[1]


@inner_ieee
def solve_level(
    code: int,
    q: int,
    words: Ints,
    lo: int,
    hi: int,
    u: float,
    v: float,
    tolerance: float,
    task: int,
) -> float:
    """Find a level's mode from (u, v), and integrate around it; or evaluate its density.

    Parameters
    ----------
    code, q, lo, hi, u, v, tolerance
        As in `mode.climb`.
    words : ndarray of int64
        From `open_work`, with the family's parameters set; the array of what was solved for is
        filled, and of the last two tasks read.
    task : int
        `QUICKLY` or `ROW_BY_ROW`, to the same result; `DENSITY_ONLY`, at (u, v); or `MORE_NODES`,
        which fills the grid at other z around the mode that the last call has found.

    Returns
    -------
    float
        Log of the level's integral, without its constant; of its density at (u, v); or the sum of
        the densities at more nodes.
    """
    value: float = level_c(code, q, lo, hi, task, u, v, tolerance, words.ctypes)
    return value
