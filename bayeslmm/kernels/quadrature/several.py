r"""Levels of t responses, whose density may have several modes: all of them, and nodes around each.

.. math:: \int h(u) \, du = \sum_k \int h(u) \pi_k(u) \, du, \quad \sum_k \pi_k(u) = 1

with :math:`\pi_k` the share of mode k in a sum of hills, one at each mode and as high and wide as
the density there: each integral has one hill, and nodes of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.by_row import phi_at
from bayeslmm.kernels.families.codes import STUDENT
from bayeslmm.kernels.quadrature.axes import set_nodes
from bayeslmm.kernels.quadrature.mode import climb, root_at
from bayeslmm.kernels.quadrature.nodes import add_students, density_at_nodes, log_integral
from bayeslmm.kernels.quadrature.rows import (
    AWAY,
    AWAY_2,
    COMMON,
    DENSITY,
    ETA,
    FIRST,
    KNOWN,
    LOG_DENSITY,
    SECOND,
    U_2,
    U,
    Y,
)
from bayeslmm.kernels.quadrature.sums import level_density, set_eta

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.mode import Root

# What is kept of each mode that was found.
FOUND_U, FOUND_V, FOUND_ROOT, FOUND_BELOW, FOUND_ROOT_2, FOUND_HEIGHT, MODE_WIDTH = range(7)
MOST_MODES = 6
# Points at which a density is looked at along an axis. A cluster of rows draws from afar: a t falls
# like a power of the distance, and between such points no cluster that counts goes unseen.
POINTS = 32
# Modes are told apart, and the highest is seen, before they are known to the last digit.
_ROUGH = 0.03
# A mode whose share of the mass is e^-20 is left out.
_NEGLIGIBLE = 20.0
# Degrees of freedom of the hills among which a density is shared out.
_FREEDOM = 6.0


@inner_ieee
def root_in(mode: Floats) -> Root:
    """Return the root of a mode that was found."""
    return mode[FOUND_ROOT], mode[FOUND_BELOW], mode[FOUND_ROOT_2]


@inner_ieee
def _volume_of(q: int, mode: Floats) -> float:
    volume: float = mode[FOUND_ROOT] * (mode[FOUND_ROOT_2] if q == 2 else 1.0)
    return volume


@inner_ieee
def _scan(phi: Floats, q: int, axis: int, table: Floats, scan: Floats, lo: int, hi: int) -> None:
    """Fill the density along one axis of the effects, between zero and where rows draw them to.

    Of one column all modes lie there, and none that counts further out than the effects' prior
    allows for what the rows can gain.
    """
    low, high, gain, column = 0.0, 0.0, _NEGLIGIBLE, FIRST if axis == 0 else SECOND
    for r in range(lo, hi):
        away, own = table[Y, r] - table[ETA, r], phi_at(phi, r)
        ratio = away / own[0]
        gain += 0.5 * (own[1] + 1.0) * math.log1p(ratio * ratio * table[KNOWN, r] / own[1])
        if table[column, r] != 0.0:
            u = away / table[column, r]
            low, high = min(low, u), max(high, u)
    reach = math.sqrt(2.0 * gain)
    low, high = max(low, -reach), min(high, reach)
    for i in range(POINTS):
        u = low + i * (high - low) / (POINTS - 1)
        scan[AWAY, i], scan[AWAY_2, i] = (u, 0.0) if axis == 0 else (0.0, u)
        scan[COMMON, i], scan[LOG_DENSITY, i], scan[DENSITY, i] = 1.0, -0.5 * u * u, 1.0
    set_eta(q, table, lo, hi, 0.0, 0.0)
    add_students(phi, q, table, scan, lo, hi)


@inner_ieee
def _next_summit(scan: Floats) -> int:
    """Return the place of the highest point between lower ones, each once; -1 if there is none."""
    best = -1
    for i in range(POINTS):
        here = scan[LOG_DENSITY, i]
        if scan[DENSITY, i] == 0.0 or not math.isfinite(here):
            continue
        if i > 0 and here < scan[LOG_DENSITY, i - 1]:
            continue
        if i < POINTS - 1 and here <= scan[LOG_DENSITY, i + 1]:
            continue
        if best < 0 or here > scan[LOG_DENSITY, best]:
            best = i
    if best >= 0:
        scan[DENSITY, best] = 0.0
    return best


@inner_ieee
def find_modes(
    phi: Floats,
    q: int,
    table: Floats,
    scan: Floats,
    lo: int,
    hi: int,
    tolerance: float,
    found: Floats,
) -> int:
    """Find the modes of a level of t responses, the highest first.

    Searches begin at the summits along each axis, and so do not depend on any search before.

    Parameters
    ----------
    phi, q, table, lo, hi, tolerance
        As of `mode.climb`; only the highest mode is found to less than is needed to tell modes
        apart.
    scan : ndarray, shape (GRID, POINTS)
        To work in.
    found : ndarray, shape (MOST_MODES, MODE_WIDTH)
        Filled (`FOUND_U`, ...), the heights of what is not filled being -inf.

    Returns
    -------
    int
        How many there are.
    """
    count, rough = 0, max(tolerance, _ROUGH)
    for axis in range(q):
        _scan(phi, q, axis, table, scan, lo, hi)
        for _ in range(MOST_MODES // q):
            place, u, v = _next_summit(scan), 0.0, 0.0
            if place >= 0:
                u, v = scan[AWAY, place], scan[AWAY_2, place]
            elif count > 0:
                break
            u, v, _ = climb(STUDENT, phi, q, table, lo, hi, u, v, rough)
            count = _keep_mode(phi, q, table, lo, hi, u, v, found, count)
    count = _sorted_modes(q, found, count)
    if tolerance < _ROUGH:
        u, v, _ = climb(
            STUDENT, phi, q, table, lo, hi, found[0, FOUND_U], found[0, FOUND_V], tolerance
        )
        _keep_mode(phi, q, table, lo, hi, u, v, found, 0)
    return count


@inner_ieee
def _keep_mode(
    phi: Floats,
    q: int,
    table: Floats,
    lo: int,
    hi: int,
    u: float,
    v: float,
    found: Floats,
    count: int,
) -> int:
    """Put down a mode if it is none of those that are there; return how many there are."""
    root = root_at(STUDENT, phi, q, table, lo, hi, u, v)
    for k in range(count):
        across = root[0] * (u - found[k, FOUND_U]) + root[1] * (v - found[k, FOUND_V])
        along = root[2] * (v - found[k, FOUND_V])
        if not across * across + along * along > 1.0:
            return count
    found[count, FOUND_U], found[count, FOUND_V] = u, v
    found[count, FOUND_ROOT], found[count, FOUND_BELOW] = root[0], root[1]
    found[count, FOUND_ROOT_2] = root[2]
    found[count, FOUND_HEIGHT] = level_density(STUDENT, phi, q, table, lo, hi, u, v)
    return count + 1


@inner_ieee
def _sorted_modes(q: int, found: Floats, count: int) -> int:
    """Put the highest mode first and leave out those without mass; return how many are left."""
    best = 0
    for k in range(1, count):
        if found[k, FOUND_HEIGHT] > found[best, FOUND_HEIGHT]:
            best = k
    for m in range(MODE_WIDTH):
        found[0, m], found[best, m] = found[best, m], found[0, m]
    kept, volume = 1, _volume_of(q, found[0])
    for k in range(1, count):
        mass = found[k, FOUND_HEIGHT] - math.log(_volume_of(q, found[k]) / volume)
        if mass > found[0, FOUND_HEIGHT] - _NEGLIGIBLE:
            for m in range(MODE_WIDTH):
                found[kept, m] = found[k, m]
            kept += 1
    for k in range(kept, MOST_MODES):
        found[k, FOUND_HEIGHT] = -math.inf
    return kept


@inner_ieee
def _hill(mode: Floats, top: float, u: float, v: float) -> float:
    """Return a hill as high and wide as the density at a mode, with the tails of a t."""
    away = v - mode[FOUND_V]
    one = mode[FOUND_ROOT] * (u - mode[FOUND_U]) + mode[FOUND_BELOW] * away
    two = mode[FOUND_ROOT_2] * away
    near = 1.0 / (1.0 + (one * one + two * two) / _FREEDOM)
    square = near * near
    height: float = math.exp(mode[FOUND_HEIGHT] - top) * square * square
    return height


@inner_ieee
def integrate_modes(
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    log_weight: Floats,
    lo: int,
    hi: int,
    found: Floats,
    quick: bool,
) -> tuple[float, float, bool]:
    """Evaluate a level's density at nodes around each of several modes, and integrate it.

    Parameters
    ----------
    phi, q, table, z, log_weight, lo, hi, quick
        As in `nodes.integrate_level`.
    grid : ndarray, shape (GRID, number of modes times nodes of one)
        Filled; distances are those from the first mode.
    found : ndarray
        From `find_modes`.

    Returns
    -------
    log_integral, total, split
        As of `nodes.integrate_level`.
    """
    N = len(z) if q == 1 else len(z) * len(z)
    count, first, top = grid.shape[1] // N, found[0], found[0, FOUND_HEIGHT]
    set_eta(q, table, lo, hi, first[FOUND_U], first[FOUND_V])
    for k in range(count):
        mode = found[k]
        u, v = mode[FOUND_U], mode[FOUND_V]
        set_nodes(q, z, log_weight, u, v, root_in(mode), grid, k * N)
        wider = math.log(_volume_of(q, first) / _volume_of(q, mode))
        for i in range(k * N, k * N + N):
            u, v, total = grid[U, i], grid[U_2, i], 0.0
            for other in range(count):
                total += _hill(found[other], top, u, v)
            grid[LOG_DENSITY, i] += wider + math.log(_hill(mode, top, u, v) / total)
            grid[AWAY, i] = u - first[FOUND_U]
            grid[AWAY_2, i] = v - first[FOUND_V]
    total = density_at_nodes(STUDENT, phi, q, table, grid, z, lo, hi, quick)
    return log_integral(q, z, grid, root_in(first), total), total, quick
