r"""Derivatives of a level's log marginal likelihood from its nodes, by Fisher's identity.

.. math:: d \log p(y_j) / d\beta = E\{ \sum_r l'_r x_r \mid y_j \}, \quad
          d \log p(y_j) / dL = E\{ \sum_r l'_r z_r u' \mid y_j \}

with the expectation over the level's effects u: the nodes' densities over their sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.by_row import phi_at
from bayeslmm.kernels.families.codes import GAMMA, POISSON, STUDENT
from bayeslmm.kernels.families.rows import add_constant_slopes, add_phi_slopes, row_at
from bayeslmm.kernels.quadrature.axes import set_factor
from bayeslmm.kernels.quadrature.rows import (
    AT,
    AWAY,
    AWAY_2,
    AXIS,
    AXIS_2,
    DENSITY,
    FACTOR,
    FIRST,
    FRESH,
    KNOWN,
    ODDS,
    POWER,
    SECOND,
    SLOPE,
    U_2,
    U,
    Y,
    level_code,
    part_of,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Nodes with less of the density than this have no say in sums over rows.
_NEGLIGIBLE = 1e-15


@inner_ieee_fast
def _mean_share(q: int, grid: Floats, start: float) -> tuple[float, float, float]:
    """Return means over the nodes of p and p u, p = start factor / (1 + start factor)."""
    first, second, third, N = 0.0, 0.0, 0.0, grid.shape[1]
    factor, density = part_of(grid, FACTOR, 0, N), part_of(grid, DENSITY, 0, N)
    u, v = part_of(grid, U, 0, N), part_of(grid, U_2, 0, N)
    for i in range(N):
        odds = start * factor[i]
        share = density[i] * odds / (1.0 + odds)
        first += share
        second += share * u[i]
        if q == 2:
            third += share * v[i]
    return first, second, third


@inner_ieee_fast
def _mean_factor(q: int, grid: Floats, start: float) -> tuple[float, float, float]:
    """Return means over the nodes of start factor, and of that times u."""
    first, second, third, N = 0.0, 0.0, 0.0, grid.shape[1]
    factor, density = part_of(grid, FACTOR, 0, N), part_of(grid, DENSITY, 0, N)
    u, v = part_of(grid, U, 0, N), part_of(grid, U_2, 0, N)
    for i in range(N):
        share = density[i] * factor[i] * start
        first += share
        second += share * u[i]
        if q == 2:
            third += share * v[i]
    return first, second, third


@inner_ieee
def _add_row(
    table: Floats, Z: Floats, r: int, means: tuple[float, float, float], d_L: Floats
) -> None:
    """Add a row's part to d_L from the means of l' and l' u, and keep that of l'."""
    table[SLOPE, r] = means[0]
    d_L[0, 0] += Z[r, 0] * means[1]
    if Z.shape[1] == 2:
        d_L[1, 0] += Z[r, 1] * means[1]
        d_L[1, 1] += Z[r, 1] * means[2]


@inner_ieee_fast
def set_fixed_slopes(columns: Floats, table: Floats, d_beta: Floats) -> None:
    """Fill X' times the means of l' that all levels' `add_slopes` have kept."""
    n = table.shape[1]
    slope = part_of(table, SLOPE, 0, n)
    for c in range(len(d_beta)):
        total, column = 0.0, part_of(columns, c, 0, n)
        for r in range(n):
            total += column[r] * slope[r]
        d_beta[c] = total


@inner_ieee
def _add_quickly(
    code: int,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
    Z: Floats,
    d_L: Floats,
) -> None:
    q = Z.shape[1]
    u, v = 0.0, 0.0
    for i in range(grid.shape[1]):
        u += grid[DENSITY, i] * grid[U, i]
        v += grid[DENSITY, i] * grid[U_2, i]
    sign = -1.0 if code == GAMMA else 1.0
    for r in range(lo, hi):
        if r == lo or table[FRESH, r] > 0.0:
            set_factor(q, z, sign * table[AXIS, r], sign * table[AXIS_2, r], grid)
        start = table[ODDS, r]
        if code == GAMMA:
            constant, slope = -table[POWER, r], table[POWER, r] * table[Y, r]
            one, two, three = _mean_factor(q, grid, start)
        elif code == POISSON:
            constant, slope = table[Y, r], -1.0
            one, two, three = _mean_factor(q, grid, start)
        else:
            constant, slope = table[Y, r], -table[POWER, r]
            one, two, three = _mean_share(q, grid, start)
        means = (constant + slope * one, constant * u + slope * two, constant * v + slope * three)
        _add_row(table, Z, r, means, d_L)


@inner_ieee
def _add_slowly(
    code: int,
    phi: Floats,
    table: Floats,
    grid: Floats,
    lo: int,
    hi: int,
    Z: Floats,
    d_L: Floats,
) -> None:
    for r in range(lo, hi):
        first, second, third = 0.0, 0.0, 0.0
        y, known, own = table[Y, r], table[KNOWN, r], phi_at(phi, r)
        for i in range(grid.shape[1]):
            weight = grid[DENSITY, i]
            if weight < _NEGLIGIBLE:
                continue
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            slope = weight * row_at(code, e, y, known, own)[1]
            first += slope
            second += slope * grid[U, i]
            third += slope * grid[U_2, i]
        _add_row(table, Z, r, (first, second, third), d_L)


@inner_ieee
def add_slopes(
    code: int,
    phi: Floats,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
    split: bool,
    total: float,
    Z: Floats,
    d_L: Floats,
) -> None:
    """Add a level's derivatives in L, and keep those in eta, after `integrate_level`.

    Parameters
    ----------
    code, phi, table, grid, z, lo, hi
        As there.
    split : bool
        Whether exponentials were split there.
    total : float
        Sum of the nodes' densities; they are divided by it.
    Z : ndarray
        The rows' columns.
    d_L : ndarray, shape (q, q)
        To whose lower triangle to add.
    """
    for i in range(grid.shape[1]):
        grid[DENSITY, i] /= total
    if split and code != STUDENT:
        _add_quickly(code, table, grid, z, lo, hi, Z, d_L)
    else:
        _add_slowly(code, phi, table, grid, lo, hi, Z, d_L)


@inner_ieee
def add_level_phi_slopes(
    family: int, phi: Floats, table: Floats, grid: Floats, lo: int, hi: int, d_phi: Floats
) -> None:
    """Add a level's derivatives in its rows' parameters, after `add_slopes`.

    Parameters
    ----------
    family : int
        Of the rows.
    phi, table, grid, lo, hi
        As there.
    d_phi : ndarray, of phi's shape
        What to add to.
    """
    for r in range(lo, hi):
        y, known, own, out = table[Y, r], table[KNOWN, r], phi_at(phi, r), phi_at(d_phi, r)
        add_constant_slopes(family, y, own, out)
        shift = 0.0 if level_code(family, phi) == family else math.log(own[0])
        for i in range(grid.shape[1]):
            weight = grid[DENSITY, i]
            if weight < _NEGLIGIBLE:
                continue
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            add_phi_slopes(family, e + shift, y, known, own, weight, out)
