"""One level's mode and integral as a C function: what all quadrature kernels call, compiled once.

Numba would otherwise compile it anew into each of them (see decision 0005).
"""

from __future__ import annotations

from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

import llvmlite.binding as llvm
from numba import carray, types

from bayeslmm.kernels.compiler.guard import compile_c
from bayeslmm.kernels.compiler.jit import entry, inner_ieee, stamp
from bayeslmm.kernels.quadrature.mode import MODE_WIDTH, MOST_MODES, find_mode, level_density
from bayeslmm.kernels.quadrature.nodes import integrate_level
from bayeslmm.kernels.quadrature.rows import GRID, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats

# What `solve_level` is to do.
ROW_BY_ROW, QUICKLY, DENSITY_ONLY = range(3)
# What it fills: the mode, the root's entries, the sum of the nodes' densities, and all modes of t
# responses.
MODE, MODE_2, ROOT, ROOT_BELOW, ROOT_2, TOTAL, MODES = range(7)
SOLVED = MODES + MOST_MODES * MODE_WIDTH
_REALS = types.CPointer(types.float64)
_N_INTEGERS, _N_REALS, _N_ARRAYS = 9, 3, 6


@stamp
def _level_c(
    code: int,
    q: int,
    n: int,
    n_nodes: int,
    n_side: int,
    n_phi: int,
    lo: int,
    hi: int,
    task: int,
    u: float,
    v: float,
    tolerance: float,
    phi_: Any,
    table_: Any,
    grid_: Any,
    z_: Any,
    log_weight_: Any,
    solved_: Any,
) -> float:
    phi, solved = carray(phi_, (n_phi,)), carray(solved_, (SOLVED,))
    table, grid = carray(table_, (TABLE, n)), carray(grid_, (GRID, n_nodes))
    z, log_weight = carray(z_, (n_side,)), carray(log_weight_, (n_side,))
    if task == DENSITY_ONLY:
        return level_density(code, phi, q, table, lo, hi, u, v)
    found = solved[MODES:].reshape((MOST_MODES, MODE_WIDTH))
    u, v, root = find_mode(code, phi, q, table, lo, hi, u, v, tolerance, found)
    value, total = integrate_level(
        code, phi, q, table, grid, z, log_weight, lo, hi, u, v, root, task == QUICKLY
    )
    solved[MODE], solved[MODE_2], solved[TOTAL] = u, v, total
    solved[ROOT], solved[ROOT_BELOW], solved[ROOT_2] = root
    return value


_SYMBOL = f"bayeslmm_{_level_c.__qualname__.replace('-', '_')}"
_NUMBERS = (*[types.int64] * _N_INTEGERS, *[types.float64] * _N_REALS)
_level = types.ExternalFunction(_SYMBOL, types.float64(*_NUMBERS, *[types.voidptr] * _N_ARRAYS))
# The C function lives as long as this does; one thread at a time links it.
_linked: list[Any] = []
_LINKING = RLock()


def link_level() -> None:
    """Compile the function, or load it from Numba's cache, and give it its name."""
    with _LINKING:
        if not _linked:
            compiled = compile_c(types.float64(*_NUMBERS, *[_REALS] * _N_ARRAYS), _level_c)
            llvm.add_symbol(_SYMBOL, compiled.address)
            _linked.append(compiled)


def level_entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls and that calls `solve_level`."""
    compiled = entry(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        link_level()
        return compiled(*arguments)

    call.__qualname__ = function.__name__
    return cast("F", call)


@inner_ieee
def solve_level(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    log_weight: Floats,
    lo: int,
    hi: int,
    u: float,
    v: float,
    tolerance: float,
    task: int,
    solved: Floats,
) -> float:
    """Find a level's mode from (u, v), and integrate around it; or evaluate its density there.

    Parameters
    ----------
    code, phi, q, table, lo, hi, u, v, tolerance
        As in `mode.climb`.
    grid, z, log_weight
        As in `nodes.integrate_level`.
    task : int
        `QUICKLY` or `ROW_BY_ROW`, to the same result; or `DENSITY_ONLY`.
    solved : ndarray, shape (SOLVED,)
        Filled.

    Returns
    -------
    float
        Log of the level's integral, without its constant; or of its density at (u, v).
    """
    value: float = _level(
        code,
        q,
        table.shape[1],
        grid.shape[1],
        len(z),
        len(phi),
        lo,
        hi,
        task,
        u,
        v,
        tolerance,
        phi.ctypes,
        table.ctypes,
        grid.ctypes,
        z.ctypes,
        log_weight.ctypes,
        solved.ctypes,
    )
    return value
