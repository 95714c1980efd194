"""The density of one level at its quadrature nodes, with one exponential a row where that is so.

On a tensor grid of nodes around the mode, exp(eta) of a row is its value at the mode times a factor
for each axis, which rows of equal Z share. A sum of logarithms log(1 + exp(eta)) is the logarithm
of a product, and the product of all rows divides the density without any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.codes import (
    BINOMIAL_LOGIT,
    GAMMA,
    NEGBINOMIAL,
    POISSON,
    STUDENT,
)
from bayeslmm.kernels.families.elementary import quick_exp
from bayeslmm.kernels.families.rows import value_at
from bayeslmm.kernels.quadrature.mode import set_eta
from bayeslmm.kernels.quadrature.rows import (
    AT,
    AWAY,
    AWAY_2,
    AXIS,
    AXIS_2,
    COMMON,
    DENSITY,
    FACTOR,
    FIRST,
    FRESH,
    KNOWN,
    LOG_DENSITY,
    ODDS,
    POWER,
    PRODUCT,
    SECOND,
    SIDE,
    SIDE_2,
    U_2,
    U,
    Y,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.mode import Root

# Up to here either way of eta products of exponentials neither overflow nor lose their digits.
_REACH = 80.0
# A product of factors 1 + t has an error of 1e-16, which a larger shape would make one of 1e-11.
_LARGEST_SHAPE = 1e5
# Log of what a product may become before its logarithm is taken.
_FULL = 600.0
_MOST_SQUARINGS = 64.0


@inner_ieee
def set_nodes(
    q: int, z: Floats, log_weight: Floats, u: float, v: float, root: Root, grid: Floats
) -> None:
    """Fill nodes around a mode, and the log weights times the effects' prior there."""
    K, i = len(z), 0
    if q == 1:
        for k in range(K):
            away = z[k] / root[0]
            at = u + away
            grid[AWAY, k], grid[U, k] = away, at
            grid[LOG_DENSITY, k] = log_weight[k] - 0.5 * at * at
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
    table: Floats, z: Floats, root: Root, lo: int, hi: int, sign: float, shift: float
) -> float:
    """Fill changes along the nodes' axes and exp(sign (eta - shift)); return the largest |eta|.

    That of all nodes; SECOND is zero for one column.
    """
    farthest, largest = z[len(z) - 1], 0.0
    one, below, two = 1.0 / root[0], root[1], 1.0 / root[2]
    for r in range(lo, hi):
        first = table[FIRST, r] * one
        second = (table[SECOND, r] - below * first) * two
        table[AXIS, r], table[AXIS_2, r] = first, second
        e = table[AT, r] - shift
        table[ODDS, r] = quick_exp(sign * e)
        largest = max(largest, abs(e) + (abs(first) + abs(second)) * farthest)
    return largest


@inner_ieee_fast
def set_factor(q: int, z: Floats, first: float, second: float, grid: Floats) -> None:
    """Fill exp(a'(node - mode)), of a row with these changes along the axes."""
    K = len(z)
    if q == 1:
        for k in range(K):
            grid[FACTOR, k] = quick_exp(first * z[k])
        return
    for k in range(K):
        grid[SIDE, k] = quick_exp(first * z[k])
        grid[SIDE_2, k] = quick_exp(second * z[k])
    for k in range(K):
        here, at = grid[SIDE, k], k * K
        for m in range(K):
            grid[FACTOR, at + m] = here * grid[SIDE_2, m]


@inner_ieee_fast
def _add_linear(
    q: int, table: Floats, grid: Floats, column: int, scale: float, lo: int, hi: int, base: float
) -> None:
    """Add base plus the sum of scale c_r eta_r at the nodes, c a column of the table."""
    total, first, second = base, 0.0, 0.0
    for r in range(lo, hi):
        weight = scale * table[column, r]
        total += weight * table[AT, r]
        first += weight * table[FIRST, r]
        second += weight * table[SECOND, r]
    for i in range(grid.shape[1]):
        grid[LOG_DENSITY, i] += total + first * grid[AWAY, i]
    if q == 2:
        for i in range(grid.shape[1]):
            grid[LOG_DENSITY, i] += second * grid[AWAY_2, i]


@inner_ieee_fast
def _times(grid: Floats, product: int, start: float) -> None:
    """Multiply a product by 1 + start factor."""
    for i in range(grid.shape[1]):
        grid[product, i] *= 1.0 + start * grid[FACTOR, i]


@inner_ieee_fast
def _times_power(grid: Floats, start: float, power: float) -> None:
    """Multiply the product by (1 + start factor)^power, for whole powers."""
    left = int(power)
    for i in range(grid.shape[1]):
        grid[DENSITY, i] = 1.0 + start * grid[FACTOR, i]
    while left > 0:
        if left % 2 == 1:
            for i in range(grid.shape[1]):
                grid[PRODUCT, i] *= grid[DENSITY, i]
        left //= 2
        if left > 0:
            for i in range(grid.shape[1]):
                grid[DENSITY, i] *= grid[DENSITY, i]


@inner_ieee
def _take_logarithm(grid: Floats, product: int, power: float) -> None:
    """Move a product into the log-density."""
    for i in range(grid.shape[1]):
        grid[LOG_DENSITY, i] -= power * math.log(grid[product, i])
        grid[product, i] = 1.0


@inner_ieee
def _divide_by_power(grid: Floats, start: float, power: float, top: float, full: float) -> float:
    """Divide the density by (1 + start factor)^power; return how full the product is then.

    `top` bounds log(1 + start factor), and `full` that of the product so far.
    """
    if power > _MOST_SQUARINGS or power * top > _FULL:
        for i in range(grid.shape[1]):
            grid[LOG_DENSITY, i] -= power * math.log1p(start * grid[FACTOR, i])
        return full
    if power == 0.0:
        return full
    if full + power * top > _FULL:
        _take_logarithm(grid, PRODUCT, 1.0)
        full = 0.0
    if power == 1.0:
        _times(grid, PRODUCT, start)
    else:
        _times_power(grid, start, power)
    return full + power * top


@inner_ieee
def _add_logits(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
) -> None:
    """Add y eta - m log(1 + exp(eta - shift)) of every row."""
    shape = phi[0] if code == NEGBINOMIAL else 0.0
    shift = math.log(shape) if shape > 0.0 else 0.0
    farthest, base = z[len(z) - 1], 0.0
    if shape > 0.0:
        for r in range(lo, hi):
            base -= table[Y, r] * shift
    _add_linear(q, table, grid, Y, 1.0, lo, hi, base)
    full, common_full = 0.0, 0.0
    for r in range(lo, hi):
        first, second, odds = table[AXIS, r], table[AXIS_2, r], table[ODDS, r]
        if r == lo or table[FRESH, r] > 0.0:
            set_factor(q, z, first, second, grid)
        top = max(table[AT, r] - shift, 0.0) + (abs(first) + abs(second)) * farthest + 0.7
        # Of the negative binomial's power y + shape, the shape is the same for all rows.
        power = table[Y, r] if shape > 0.0 else table[POWER, r]
        full = _divide_by_power(grid, odds, power, top, full)
        if shape > 0.0:
            common_full += top
            if common_full > _FULL:
                _take_logarithm(grid, COMMON, shape)
                common_full = top
            _times(grid, COMMON, odds)
    if shape > 0.0:
        _take_logarithm(grid, COMMON, shape)


@inner_ieee_fast
def _subtract_factor(grid: Floats, total: float) -> None:
    for i in range(grid.shape[1]):
        grid[LOG_DENSITY, i] -= total * grid[FACTOR, i]


@inner_ieee
def _add_exponentials(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
) -> None:
    """Add y eta - exp(eta) of every row, or -shape (eta + y exp(-eta)) of the gamma."""
    sign, total = 1.0, 0.0
    if code == GAMMA:
        sign = -1.0
        # What is known of the rows is ones.
        _add_linear(q, table, grid, KNOWN, -phi[0], lo, hi, 0.0)
    else:
        _add_linear(q, table, grid, Y, 1.0, lo, hi, 0.0)
    for r in range(lo, hi):
        if r == lo or table[FRESH, r] > 0.0:
            if r > lo:
                _subtract_factor(grid, total)
            set_factor(q, z, sign * table[AXIS, r], sign * table[AXIS_2, r], grid)
            total = 0.0
        weight = phi[0] * table[Y, r] if code == GAMMA else 1.0
        total += weight * table[ODDS, r]
    _subtract_factor(grid, total)


@inner_ieee_fast
def _times_square(q: int, grid: Floats, start: float, first: float, second: float) -> None:
    """Multiply the common product by 1 + r^2 of a row's scaled residual at the nodes."""
    if q == 1:
        for i in range(grid.shape[1]):
            r = start - first * grid[AWAY, i]
            grid[COMMON, i] *= 1.0 + r * r
    else:
        for i in range(grid.shape[1]):
            r = start - first * grid[AWAY, i] - second * grid[AWAY_2, i]
            grid[COMMON, i] *= 1.0 + r * r


@inner_ieee
def _add_students(
    phi: Floats, q: int, table: Floats, grid: Floats, z: Floats, lo: int, hi: int
) -> None:
    """Add -(nu + 1) log(1 + r^2 / nu) / 2 of every row."""
    power, full, farthest = 0.5 * (phi[1] + 1.0), 0.0, z[len(z) - 1]
    for r in range(lo, hi):
        unit = math.sqrt(table[KNOWN, r] / phi[1]) / phi[0]
        start = (table[Y, r] - table[AT, r]) * unit
        far = abs(start) + (abs(table[AXIS, r]) + abs(table[AXIS_2, r])) * farthest * unit
        top = math.log1p(far * far)
        full += top
        if full > _FULL:
            _take_logarithm(grid, COMMON, power)
            full = top
        _times_square(q, grid, start, table[FIRST, r] * unit, table[SECOND, r] * unit)
    _take_logarithm(grid, COMMON, power)


@inner_ieee
def _add_rows(code: int, phi: Floats, table: Floats, grid: Floats, lo: int, hi: int) -> None:
    """Add log-densities row by row and node by node: right everywhere, and slow."""
    for i in range(grid.shape[1]):
        total = 0.0
        for r in range(lo, hi):
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            total += value_at(code, e, table[Y, r], table[KNOWN, r], phi)
        grid[LOG_DENSITY, i] += total


@inner_ieee
def factorises(
    code: int, phi: Floats, table: Floats, z: Floats, lo: int, hi: int, root: Root
) -> bool:
    """Return whether a level's exponentials may be split over the nodes; their parts are filled."""
    if code not in (BINOMIAL_LOGIT, NEGBINOMIAL, POISSON, GAMMA):
        return False
    if code == NEGBINOMIAL and phi[0] > _LARGEST_SHAPE:
        return False
    shift = math.log(phi[0]) if code == NEGBINOMIAL else 0.0
    sign = -1.0 if code == GAMMA else 1.0
    return set_axes(table, z, root, lo, hi, sign, shift) <= _REACH


@inner_ieee_fast
def _relative_densities(grid: Floats) -> float:
    """Fill densities relative to the middle node; return their sum."""
    middle, total = grid.shape[1] // 2, 0.0
    top, product = grid[LOG_DENSITY, middle], grid[PRODUCT, middle]
    for i in range(grid.shape[1]):
        density = quick_exp(grid[LOG_DENSITY, i] - top) * (product / grid[PRODUCT, i])
        grid[DENSITY, i] = density
        total += density
    return total


@inner_ieee
def integrate_level(
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
    root: Root,
    quick: bool,
) -> tuple[float, float]:
    """Evaluate a level's density at its nodes, and integrate it.

    Parameters
    ----------
    code, phi, q, table
        With predictors and constants set.
    grid : ndarray
        Filled.
    z, log_weight : ndarray
        See `Rule`.
    lo, hi : int
        The level's rows.
    u, v, root
        From `find_mode`.
    quick : bool
        Whether exponentials may be split where that is safe; the result is the same.

    Returns
    -------
    log_integral : float
        Of p(y | u) N(u; 0, I), without the level's constant.
    total : float
        Sum of the grid's DENSITY, whose entries over it are the nodes' posterior weights.
    """
    set_eta(q, table, lo, hi, u, v)
    set_nodes(q, z, log_weight, u, v, root, grid)
    for i in range(grid.shape[1]):
        grid[PRODUCT, i], grid[COMMON, i] = 1.0, 1.0
    if quick and code == STUDENT:
        set_axes(table, z, root, lo, hi, 1.0, 0.0)
        _add_students(phi, q, table, grid, z, lo, hi)
    elif quick and factorises(code, phi, table, z, lo, hi, root):
        if code in (POISSON, GAMMA):
            _add_exponentials(code, phi, q, table, grid, z, lo, hi)
        else:
            _add_logits(code, phi, q, table, grid, z, lo, hi)
    else:
        _add_rows(code, phi, table, grid, lo, hi)
    total, middle = _relative_densities(grid), grid.shape[1] // 2
    volume = root[0] * (root[2] if q == 2 else 1.0)
    value = grid[LOG_DENSITY, middle] + math.log(total) - math.log(grid[PRODUCT, middle] * volume)
    return value, total
