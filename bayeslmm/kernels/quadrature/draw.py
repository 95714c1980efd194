"""Effects drawn back level by level, given everything else: independence Metropolis.

Effects of one column are proposed from the density itself, interpolated linearly between nodes;
those of two from a t distribution at the level's mode. Levels of t responses may have several
modes: there proposals come from a t at each, and some from the whole width of the effects' prior.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.codes import STUDENT
from bayeslmm.kernels.quadrature.level import (
    DENSITY_ONLY,
    MODES,
    QUICKLY,
    SOLVED,
    level_entry,
    solve_level,
)
from bayeslmm.kernels.quadrature.mode import (
    FOUND_BELOW,
    FOUND_HEIGHT,
    FOUND_ROOT,
    FOUND_ROOT_2,
    FOUND_U,
    FOUND_V,
    MODE_WIDTH,
    MOST_MODES,
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
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule

# Degrees of freedom of t proposals; even, so that chi-square needs logarithms only.
_FREEDOM = 6.0
# Share and spread of proposals from everywhere, where there may be several modes.
_ELSEWHERE, _WIDTH = 0.1, 1.5
_LEAST_SHARE = 0.1
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
def _log_at(q: int, mode: Floats, u: float, v: float) -> float:
    """Evaluate the log-density of a t at one mode."""
    # The distance is that of root' (effects - mode).
    away = v - mode[FOUND_V]
    one = mode[FOUND_ROOT] * (u - mode[FOUND_U]) + mode[FOUND_BELOW] * away
    two, volume = mode[FOUND_ROOT_2] * away, mode[FOUND_ROOT]
    if q == 2:
        volume *= mode[FOUND_ROOT_2]
    return _log_t(q, one * one + two * two, volume)


@inner_ieee
def _fill_shares(q: int, modes: Floats, shares: Floats) -> None:
    """Fill each mode's share of the proposals: its mass by curvature, and a tenth at least."""
    top, total = -math.inf, 0.0
    for k in range(len(modes)):
        top = max(top, modes[k, FOUND_HEIGHT])
    for k in range(len(modes)):
        shares[k] = 0.0
        if modes[k, FOUND_HEIGHT] > -math.inf:
            volume = modes[k, FOUND_ROOT] * (modes[k, FOUND_ROOT_2] if q == 2 else 1.0)
            shares[k] = math.exp(modes[k, FOUND_HEIGHT] - top) / volume
            total += shares[k]
    again = 0.0
    for k in range(len(modes)):
        if shares[k] > 0.0:
            shares[k] = max(shares[k] / total, _LEAST_SHARE)
            again += shares[k]
    for k in range(len(modes)):
        shares[k] *= (1.0 - _ELSEWHERE) / again


@inner_ieee
def _propose_at_modes(q: int, modes: Floats, shares: Floats) -> tuple[float, float, float]:
    """Draw from a t at one of the modes, or from everywhere; return the mixture's log-density."""
    aim, place = _uniform(), -1
    for k in range(len(modes)):
        if aim > 0.0 and shares[k] > 0.0:
            aim -= shares[k]
            if aim <= 0.0:
                place = k
    one, two = _draw_t(q)
    if place < 0:
        u, v = _WIDTH * one, _WIDTH * two
    else:
        v = two / modes[place, FOUND_ROOT_2]
        u = (one - modes[place, FOUND_BELOW] * v) / modes[place, FOUND_ROOT]
        u, v = u + modes[place, FOUND_U], v + modes[place, FOUND_V]
    density = _ELSEWHERE * math.exp(_log_t(q, (u * u + v * v) / _WIDTH**2, _WIDTH ** (-q)))
    for k in range(len(modes)):
        if shares[k] > 0.0:
            density += shares[k] * math.exp(_log_at(q, modes[k], u, v))
    return u, v, math.log(density)


@inner_ieee
def _propose(
    q: int, grid: Floats, masses: Floats, modes: Floats, shares: Floats, several: bool
) -> tuple[float, float, float]:
    """Draw effects, and return them with the log-density that they were drawn from."""
    if several:
        return _propose_at_modes(q, modes, shares)
    if q == 1:
        u = _draw_interpolated(grid, masses)
        return u, 0.0, _log_interpolated(grid, masses, u)
    mode = modes[0]
    one, two = _draw_t(2)
    v = two / mode[FOUND_ROOT_2]
    u = mode[FOUND_U] + (one - mode[FOUND_BELOW] * v) / mode[FOUND_ROOT]
    v += mode[FOUND_V]
    return u, v, _log_at(2, mode, u, v)


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
    masses, shares = np.zeros(grid.shape[1] + 1), np.empty(MOST_MODES)
    modes_found = solved[MODES:].reshape((MOST_MODES, MODE_WIDTH))
    several = code == STUDENT
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
            if several:
                _fill_shares(q, modes_found, shares)
            elif q == 1:
                _fill_masses(grid, masses)
            else:
                # A single mode is what was solved for, in the same order.
                modes_found[0, :FOUND_HEIGHT] = solved[:FOUND_HEIGHT]
            here = -math.inf
            for step in range(steps[j] + 1):
                one, two, log_proposal = _propose(q, grid, masses, modes_found, shares, several)
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
