"""Effects drawn back level by level, given everything else: independence Metropolis.

Effects of one column are proposed from the density itself, interpolated linearly between nodes;
those of two from a t distribution at the level's mode. Where a level may have several modes, some
proposals come from the whole width of the effects' prior.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.codes import STUDENT
from bayeslmm.kernels.quadrature.level import (
    DENSITY_ONLY,
    MODE,
    MODE_2,
    QUICKLY,
    ROOT,
    ROOT_2,
    ROOT_BELOW,
    SOLVED,
    level_entry,
    solve_level,
)
from bayeslmm.kernels.quadrature.rows import (
    DENSITY,
    U,
    open_grid,
    open_table,
    set_constants,
    set_predictors,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.quadrature.mode import Root
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule

# Degrees of freedom of t proposals; even, so that chi-square needs logarithms only.
_FREEDOM = 6.0
# Share and spread of proposals from everywhere, where there may be several modes.
_ELSEWHERE, _WIDTH = 0.2, 1.5
_TOLERANCE = 1e-2
_TWO_PI = 2.0 * math.pi


@inner_ieee
def _uniform() -> float:
    """Draw from (0, 1]: logarithms of it are numbers."""
    return 1.0 - np.random.random()  # noqa: NPY002 - Numba's own generator, one a thread


@inner_ieee
def _draw_t(q: int) -> tuple[float, float]:
    """Draw from a t distribution of q dimensions."""
    radius = math.sqrt(-2.0 * math.log(_uniform()))
    chi = -2.0 * math.log(_uniform() * _uniform() * _uniform())
    scale, angle = radius * math.sqrt(_FREEDOM / chi), _TWO_PI * _uniform()
    return scale * math.cos(angle), scale * math.sin(angle) if q == 2 else 0.0


@inner_ieee
def _log_t(q: int, square: float, volume: float) -> float:
    """Evaluate the log-density of a t, of a squared distance and a root's determinant."""
    constant = (
        math.lgamma(0.5 * (_FREEDOM + q))
        - math.lgamma(0.5 * _FREEDOM)
        - 0.5 * q * math.log(_FREEDOM * math.pi)
    )
    return constant - 0.5 * (_FREEDOM + q) * math.log1p(square / _FREEDOM) + math.log(volume)


@inner_ieee
def _fill_masses(grid: Floats, masses: Floats) -> float:
    """Fill cumulative masses: left tail, segments between nodes, right tail; return their sum."""
    N = grid.shape[1]
    total: float = grid[DENSITY, 0]
    masses[0] = total
    for i in range(N - 1):
        width = grid[U, i + 1] - grid[U, i]
        total += 0.5 * width * (grid[DENSITY, i] + grid[DENSITY, i + 1])
        masses[i + 1] = total
    total += grid[DENSITY, N - 1]
    masses[N] = total
    return total


@inner_ieee
def _draw_interpolated(grid: Floats, masses: Floats) -> float:
    """Draw from the density between nodes, with tails exp(-distance) beyond them."""
    N = grid.shape[1]
    aim = (1.0 - _uniform()) * masses[N]
    low, high = 0, N
    while low < high:
        middle = (low + high) // 2
        if masses[middle] > aim:
            high = middle
        else:
            low = middle + 1
    at: float = grid[U, max(low - 1, 0)]
    if low == 0:
        return at + math.log(_uniform())
    if low == N:
        return at - math.log(_uniform())
    left, right = grid[DENSITY, low - 1], grid[DENSITY, low]
    width = grid[U, low] - grid[U, low - 1]
    # The share t of the segment with left t + (right - left) t^2 / 2 = what is left of the mass.
    rest = (aim - masses[low - 1]) / width
    bent = math.sqrt(max(left * left + 2.0 * (right - left) * rest, 0.0))
    share = 2.0 * rest / (left + bent) if left + bent > 0.0 else 0.5
    end: float = at + width * min(share, 1.0)
    return end


@inner_ieee
def _log_interpolated(grid: Floats, masses: Floats, u: float) -> float:
    """Evaluate the log of what `_draw_interpolated` draws from."""
    N = grid.shape[1]
    if u <= grid[U, 0]:
        density = grid[DENSITY, 0] * math.exp(u - grid[U, 0])
    elif u >= grid[U, N - 1]:
        density = grid[DENSITY, N - 1] * math.exp(grid[U, N - 1] - u)
    else:
        # Nodes are equally far apart.
        step = (grid[U, N - 1] - grid[U, 0]) / (N - 1)
        i = min(int((u - grid[U, 0]) / step), N - 2)
        share = (u - grid[U, i]) / step
        density = grid[DENSITY, i] + share * (grid[DENSITY, i + 1] - grid[DENSITY, i])
    return math.log(max(density / masses[N], 1e-300))


@inner_ieee
def _log_at_mode(
    q: int, grid: Floats, masses: Floats, u: float, v: float, at: tuple[float, float], root: Root
) -> float:
    """Evaluate the log-density of proposals made at a level's mode."""
    if q == 1:
        return _log_interpolated(grid, masses, u)
    # The distance is that of root' (effects - mode).
    one = root[0] * (u - at[0]) + root[1] * (v - at[1])
    two = root[2] * (v - at[1])
    return _log_t(2, one * one + two * two, root[0] * root[2])


@inner_ieee
def _propose(
    q: int,
    grid: Floats,
    masses: Floats,
    at: tuple[float, float],
    root: Root,
    elsewhere: float,
) -> tuple[float, float, float]:
    """Draw effects, and return them with the log-density that they were drawn from."""
    if elsewhere > 0.0 and _uniform() < elsewhere:
        u, v = _draw_t(q)
        u, v = _WIDTH * u, _WIDTH * v
    elif q == 1:
        u, v = _draw_interpolated(grid, masses), 0.0
    else:
        one, two = _draw_t(2)
        v = two / root[2]
        u, v = at[0] + (one - root[1] * v) / root[0], at[1] + v
    log_density = _log_at_mode(q, grid, masses, u, v, at, root)
    if elsewhere > 0.0:
        wide = _log_t(q, (u * u + v * v) / _WIDTH**2, _WIDTH ** (-q))
        top = max(wide, log_density)
        log_density = top + math.log(
            (1.0 - elsewhere) * math.exp(log_density - top) + elsewhere * math.exp(wide - top)
        )
    return u, v, log_density


@level_entry
def draw_effects(
    rows: LevelRows,
    rule: Rule,
    Ls: Floats,
    betas: Floats,
    phis: Floats,
    modes: Floats,
    steps: Ints,
    seed: int,
    out: Floats,
    accepted: Ints,
) -> None:
    """Draw each level's effects given y, L, beta and phi, for many points one by one.

    Parameters
    ----------
    rows : LevelRows
        The data.
    rule : Rule
        Of one column, equally spaced nodes of constant log weight, between which the density is
        interpolated; of two, one node.
    Ls, betas, phis : ndarray, shapes (s, q, q), (s, p), (s, number of parameters)
        Points.
    modes : ndarray, shape (J, q)
        Where to begin the search for each level's mode.
    steps : ndarray of int64, shape (J,)
        Metropolis steps by level, after a first draw from the proposal.
    seed : int
        Of the calling thread's generator.
    out : ndarray, shape (s, J, q)
        Filled with effects b = L u.
    accepted : ndarray of int64, shape (J,)
        What the numbers of accepted steps are added to.
    """
    np.random.seed(seed)  # noqa: NPY002 - Numba's own
    table, grid, q = open_table(rows), open_grid(rows, rule), rows.Z.shape[1]
    code, starts, z, log_weight = rows.code, rows.starts, rule.z, rule.log_weight
    J = len(starts) - 1
    constant, solved = np.empty(J), np.empty(SOLVED)
    masses = np.zeros(grid.shape[1] + 1)
    elsewhere = _ELSEWHERE if code == STUDENT else 0.0
    for s in range(len(out)):
        phi, L = phis[s], Ls[s]
        set_predictors(rows.X, rows.Z, rows.offset, L, betas[s], table)
        if s == 0 or len(phi) > 0:
            set_constants(code, phi, starts, table, constant)
        for j in range(J):
            lo, hi = starts[j], starts[j + 1]
            u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
            solve_level(
                code, phi, q, table, grid, z, log_weight, lo, hi, u, v, _TOLERANCE, QUICKLY, solved
            )
            at = (solved[MODE], solved[MODE_2])
            root = (solved[ROOT], solved[ROOT_BELOW], solved[ROOT_2])
            if q == 1:
                _fill_masses(grid, masses)
            here = -math.inf
            for step in range(steps[j] + 1):
                one, two, log_proposal = _propose(q, grid, masses, at, root, elsewhere)
                ratio = solve_level(
                    code, phi, q, table, grid, z, log_weight, lo, hi, one, two, 0.0, DENSITY_ONLY,
                    solved,
                ) - log_proposal  # fmt: skip
                if step == 0 or not math.log(_uniform()) > ratio - here:
                    u, v, here = one, two, ratio
                    if step > 0:
                        accepted[j] += 1
            out[s, j, 0] = L[0, 0] * u
            if q == 2:
                out[s, j, 1] = L[1, 0] * u + L[1, 1] * v
