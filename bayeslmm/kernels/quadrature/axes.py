"""Nodes around a level's mode, and exponentials of rows split over the axes that they stand on.

On a tensor grid of nodes around the mode, exp(eta) of a row is its value at the mode times a factor
for each axis, which rows of equal Z share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.codes import BINOMIAL_LOGIT, GAMMA, NEGBINOMIAL, POISSON
from bayeslmm.kernels.families.elementary import quick_exp
from bayeslmm.kernels.quadrature.rows import (
    AT,
    AWAY,
    AWAY_2,
    AXIS,
    AXIS_2,
    FACTOR,
    FIRST,
    LOG_DENSITY,
    ODDS,
    SECOND,
    SIDE,
    SIDE_2,
    U_2,
    U,
    part_of,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.mode import Root

# Up to here either way of eta products of exponentials neither overflow nor lose their digits.
REACH = 80.0
# A product of factors 1 + t has an error of 1e-16, which a larger shape would make one of 1e-11.
LARGEST_SHAPE = 1e5


@inner_ieee
def set_nodes(
    q: int, z: Floats, log_weight: Floats, u: float, v: float, root: Root, grid: Floats, i: int
) -> None:
    """Fill nodes around a mode from column i on, and the log weights times the prior there."""
    K = len(z)
    if q == 1:
        for k in range(K):
            away = z[k] / root[0]
            at = u + away
            # The memory may have been another grid's.
            grid[AWAY_2, i + k], grid[U_2, i + k] = 0.0, 0.0
            grid[AWAY, i + k], grid[U, i + k] = away, at
            grid[LOG_DENSITY, i + k] = log_weight[k] - 0.5 * at * at
        return
    for k in range(K):
        for m in range(K):
            second = z[m] / root[2]
            first = (z[k] - root[1] * second) / root[0]
            one, two = u + first, v + second
            grid[AWAY, i], grid[AWAY_2, i] = first, second
            grid[U, i], grid[U_2, i] = one, two
            weight = log_weight[k] + log_weight[m]
            grid[LOG_DENSITY, i] = weight - 0.5 * (one * one + two * two)
            i += 1


@inner_ieee_fast
def set_axes(
    q: int, table: Floats, root: Root, lo: int, hi: int, sign: float, shift: float
) -> None:
    """Fill changes along the nodes' axes and exp(sign (eta - shift))."""
    axis, first = part_of(table, AXIS, lo, hi), part_of(table, FIRST, lo, hi)
    odds, at = part_of(table, ODDS, lo, hi), part_of(table, AT, lo, hi)
    one, below, two = 1.0 / root[0], root[1], 1.0 / root[2]
    for r in range(hi - lo):
        axis[r] = first[r] * one
        odds[r] = quick_exp(sign * (at[r] - shift))
    # Of one column the second axis stays zero.
    if q == 2:
        axis_2, second = part_of(table, AXIS_2, lo, hi), part_of(table, SECOND, lo, hi)
        for r in range(hi - lo):
            axis_2[r] = (second[r] - below * axis[r]) * two


@inner_ieee_fast
def _within_reach(table: Floats, farthest: float, lo: int, hi: int, shift: float) -> bool:
    """Return whether no row's eta - shift is far out at any node.

    A sum of high powers is below one only where the largest is; unlike a largest number it is
    found by vector instructions.
    """
    total, at = 0.0, part_of(table, AT, lo, hi)
    axis, axis_2 = part_of(table, AXIS, lo, hi), part_of(table, AXIS_2, lo, hi)
    for r in range(hi - lo):
        reach = abs(at[r] - shift) + (abs(axis[r]) + abs(axis_2[r])) * farthest
        power = reach * (1.0 / REACH)
        power *= power
        power *= power
        power *= power
        power *= power
        total += power * power
    return total < 1.0


@inner_ieee
def farthest_of(z: Floats) -> float:
    """Return the largest distance of a rule's nodes from zero."""
    largest = 0.0
    for k in range(len(z)):
        largest = max(largest, abs(z[k]))
    return largest


@inner_ieee
def factorises(
    code: int, phi: Floats, q: int, table: Floats, farthest: float, lo: int, hi: int, root: Root
) -> bool:
    """Return whether a level's exponentials may be split over the nodes; their parts are filled."""
    if code not in (BINOMIAL_LOGIT, NEGBINOMIAL, POISSON, GAMMA):
        return False
    if code == NEGBINOMIAL and phi[0, 0] > LARGEST_SHAPE:
        return False
    shift = math.log(phi[0, 0]) if code == NEGBINOMIAL else 0.0
    set_axes(q, table, root, lo, hi, -1.0 if code == GAMMA else 1.0, shift)
    return _within_reach(table, farthest, lo, hi, shift)


@inner_ieee_fast
def set_factor(q: int, z: Floats, first: float, second: float, grid: Floats) -> None:
    """Fill exp(a'(node - mode)), of a row with these changes along the axes."""
    K = len(z)
    factor = part_of(grid, FACTOR, 0, grid.shape[1])
    if q == 1:
        for k in range(K):
            factor[k] = quick_exp(first * z[k])
        return
    one, two = part_of(grid, SIDE, 0, K), part_of(grid, SIDE_2, 0, K)
    for k in range(K):
        one[k] = quick_exp(first * z[k])
    for k in range(K):
        two[k] = quick_exp(second * z[k])
    for k in range(K):
        here, line = one[k], part_of(grid, FACTOR, k * K, k * K + K)
        for m in range(K):
            line[m] = here * two[m]
