"""The density of one level at its quadrature nodes, with one exponential a row where that is so.

Exponentials are split over the nodes' axes (`axes`). A sum of logarithms log(1 + exp(eta)) is the
logarithm of a product, and the product of all rows divides the density without any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.by_row import phi_at
from bayeslmm.kernels.families.codes import GAMMA, NEGBINOMIAL, POISSON, STUDENT
from bayeslmm.kernels.families.elementary import quick_exp
from bayeslmm.kernels.families.rows import value_at
from bayeslmm.kernels.quadrature.axes import (
    factorises,
    farthest_of,
    set_factor,
    set_nodes,
)
from bayeslmm.kernels.quadrature.products import (
    FULL,
    divide_run,
    multiply_run,
    take_logarithm,
)
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
    Y,
    part_of,
)
from bayeslmm.kernels.quadrature.sums import set_eta

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.mode import Root


@inner_ieee_fast
def _add_linear(
    q: int, table: Floats, grid: Floats, column: int, scale: float, lo: int, hi: int, base: float
) -> None:
    """Add base plus the sum of scale c_r eta_r at the nodes, c a column of the table."""
    total, first, second, N = base, 0.0, 0.0, grid.shape[1]
    weight, at = part_of(table, column, lo, hi), part_of(table, AT, lo, hi)
    column_1, column_2 = part_of(table, FIRST, lo, hi), part_of(table, SECOND, lo, hi)
    for r in range(hi - lo):
        total += scale * weight[r] * at[r]
        first += scale * weight[r] * column_1[r]
        second += scale * weight[r] * column_2[r]
    density, away = part_of(grid, LOG_DENSITY, 0, N), part_of(grid, AWAY, 0, N)
    for i in range(N):
        density[i] += total + first * away[i]
    if q == 2:
        away_2 = part_of(grid, AWAY_2, 0, N)
        for i in range(N):
            density[i] += second * away_2[i]


@inner_ieee_fast
def _distance(numbers: Floats, value: float) -> float:
    """Sum the distances of numbers from one value."""
    total = 0.0
    for r in range(len(numbers)):
        total += abs(numbers[r] - value)
    return total


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
    N, farthest, r = grid.shape[1], farthest_of(z), lo
    density, factor = part_of(grid, LOG_DENSITY, 0, N), part_of(grid, FACTOR, 0, N)
    product, common = part_of(grid, PRODUCT, 0, N), part_of(grid, COMMON, 0, N)
    own, shape, shift = part_of(grid, DENSITY, 0, N), 0.0, 0.0
    if code == NEGBINOMIAL:
        shape, shift = phi[0, 0], math.log(phi[0, 0])
    single = code != NEGBINOMIAL and _distance(part_of(table, POWER, lo, hi), 1.0) == 0.0
    base = -shift * _distance(part_of(table, Y, lo, hi), 0.0)
    _add_linear(q, table, grid, Y, 1.0, lo, hi, base)
    full, common_full = 0.0, 0.0
    while r < hi:
        first, second, end = table[AXIS, r], table[AXIS_2, r], r + 1
        while end < hi and table[FRESH, end] == 0.0:
            end += 1
        set_factor(q, z, first, second, grid)
        slack = (abs(first) + abs(second)) * farthest + 0.7
        odds, at = part_of(table, ODDS, r, end), part_of(table, AT, r, end)
        if single:
            full = multiply_run(odds, at, factor, product, density, 1.0, shift, slack, full)
        else:
            # Of the negative binomial's power y + shape, the shape is the same for all rows.
            power = part_of(table, Y if code == NEGBINOMIAL else POWER, r, end)
            full = divide_run(odds, at, power, factor, product, density, own, shift, slack, full)
        if code == NEGBINOMIAL:
            common_full = multiply_run(
                odds, at, factor, common, density, shape, shift, slack, common_full
            )
        r = end
    if code == NEGBINOMIAL:
        take_logarithm(common, density, shape)


@inner_ieee_fast
def _subtract_factor(grid: Floats, total: float) -> None:
    N = grid.shape[1]
    density, factor = part_of(grid, LOG_DENSITY, 0, N), part_of(grid, FACTOR, 0, N)
    for i in range(N):
        density[i] -= total * factor[i]


@inner_ieee
def _add_exponentials(
    code: int,
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
        _add_linear(q, table, grid, POWER, -1.0, lo, hi, 0.0)
    else:
        _add_linear(q, table, grid, Y, 1.0, lo, hi, 0.0)
    for r in range(lo, hi):
        if r == lo or table[FRESH, r] > 0.0:
            if r > lo:
                _subtract_factor(grid, total)
            set_factor(q, z, sign * table[AXIS, r], sign * table[AXIS_2, r], grid)
            total = 0.0
        weight = table[POWER, r] * table[Y, r] if code == GAMMA else 1.0
        total += weight * table[ODDS, r]
    _subtract_factor(grid, total)


@inner_ieee_fast
def _times_square(q: int, grid: Floats, start: float, first: float, second: float) -> None:
    """Multiply the common product by 1 + r^2 of a row's scaled residual at the nodes."""
    N = grid.shape[1]
    product, away = part_of(grid, COMMON, 0, N), part_of(grid, AWAY, 0, N)
    if q == 1:
        for i in range(N):
            r = start - first * away[i]
            product[i] *= 1.0 + r * r
    else:
        away_2 = part_of(grid, AWAY_2, 0, N)
        for i in range(N):
            r = start - first * away[i] - second * away_2[i]
            product[i] *= 1.0 + r * r


@inner_ieee
def add_students(phi: Floats, q: int, table: Floats, grid: Floats, lo: int, hi: int) -> None:
    """Add -(nu + 1) log(1 + r^2 / nu) / 2 of every row; the common products are to be one."""
    nu, full, N = phi_at(phi, lo)[1], 0.0, grid.shape[1]
    common, density = part_of(grid, COMMON, 0, N), part_of(grid, LOG_DENSITY, 0, N)
    most = farthest_of(part_of(grid, AWAY, 0, N))
    most_2 = farthest_of(part_of(grid, AWAY_2, 0, N)) if q == 2 else 0.0
    for r in range(lo, hi):
        own = phi_at(phi, r)
        if own[1] != nu:
            take_logarithm(common, density, 0.5 * (nu + 1.0))
            nu, full = own[1], 0.0
        unit = math.sqrt(table[KNOWN, r] / nu) / own[0]
        start = (table[Y, r] - table[AT, r]) * unit
        far = abs(start) + (abs(table[FIRST, r]) * most + abs(table[SECOND, r]) * most_2) * unit
        top = math.log1p(far * far)
        full += top
        if full > FULL:
            take_logarithm(common, density, 0.5 * (nu + 1.0))
            full = top
        _times_square(q, grid, start, table[FIRST, r] * unit, table[SECOND, r] * unit)
    take_logarithm(common, density, 0.5 * (nu + 1.0))


@inner_ieee
def _add_rows(code: int, phi: Floats, table: Floats, grid: Floats, lo: int, hi: int) -> None:
    """Add log-densities row by row and node by node: right everywhere, and slow."""
    for i in range(grid.shape[1]):
        total = 0.0
        for r in range(lo, hi):
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            total += value_at(code, e, table[Y, r], table[KNOWN, r], phi_at(phi, r))
        grid[LOG_DENSITY, i] += total


@inner_ieee_fast
def _relative_densities(grid: Floats, middle: int) -> float:
    """Fill densities relative to the middle node; return their sum."""
    N, total = grid.shape[1], 0.0
    top, first = grid[LOG_DENSITY, middle], grid[PRODUCT, middle]
    density, log_density = part_of(grid, DENSITY, 0, N), part_of(grid, LOG_DENSITY, 0, N)
    product = part_of(grid, PRODUCT, 0, N)
    for i in range(N):
        density[i] = quick_exp(log_density[i] - top) * (first / product[i])
        total += density[i]
    return total


@inner_ieee
def middle_of(q: int, z: Floats) -> int:
    """Return the place of the node at the first mode."""
    return (len(z) if q == 1 else len(z) * len(z)) // 2


@inner_ieee
def density_at_nodes(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
    quick: bool,
) -> float:
    """Fill the density at nodes that are set, relative to the first mode's; return its sum.

    Parameters
    ----------
    code, phi, q, table, grid, z, lo, hi
        As in `integrate_level`; the rows' eta at the mode, and where `quick` their axes, are set.
    quick : bool
        Whether exponentials, or squares, are split over the nodes.

    Returns
    -------
    float
    """
    for i in range(grid.shape[1]):
        grid[PRODUCT, i], grid[COMMON, i] = 1.0, 1.0
    if not quick:
        _add_rows(code, phi, table, grid, lo, hi)
    elif code == STUDENT:
        add_students(phi, q, table, grid, lo, hi)
    elif code in (POISSON, GAMMA):
        _add_exponentials(code, q, table, grid, z, lo, hi)
    else:
        _add_logits(code, phi, q, table, grid, z, lo, hi)
    return _relative_densities(grid, middle_of(q, z))


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
) -> tuple[float, float, bool]:
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
    split : bool
        Whether exponentials, or squares, were split.
    """
    set_eta(q, table, lo, hi, u, v)
    set_nodes(q, z, log_weight, u, v, root, grid, 0)
    if code == STUDENT:
        split = quick
    else:
        split = quick and factorises(code, phi, q, table, farthest_of(z), lo, hi, root)
    total = density_at_nodes(code, phi, q, table, grid, z, lo, hi, split)
    return log_integral(q, z, grid, root, total), total, split


@inner_ieee
def log_integral(q: int, z: Floats, grid: Floats, root: Root, total: float) -> float:
    """Return the log of an integral from the densities that have this sum."""
    middle, volume = middle_of(q, z), root[0] * (root[2] if q == 2 else 1.0)
    value: float = grid[LOG_DENSITY, middle] + math.log(total / (grid[PRODUCT, middle] * volume))
    return value
