r"""Derivatives of a level's log marginal likelihood from its nodes, by Fisher's identity.

.. math:: d \log p(y_j) / d\beta = E\{ \sum_r l'_r x_r \mid y_j \}, \quad
          d \log p(y_j) / dL = E\{ \sum_r l'_r z_r u' \mid y_j \}

with the expectation over the level's effects u: the nodes' densities over their sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.codes import GAMMA, POISSON
from bayeslmm.kernels.families.rows import add_constant_slopes, add_phi_slopes, row_at
from bayeslmm.kernels.quadrature.nodes import factorises, set_factor
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
    U_2,
    U,
    Y,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.mode import Root

# Nodes with less of the density than this have no say in sums over rows.
_NEGLIGIBLE = 1e-15


@inner_ieee_fast
def _mean_share(q: int, grid: Floats, start: float) -> tuple[float, float, float]:
    """Return means over the nodes of p and p u, p = start factor / (1 + start factor)."""
    first, second, third = 0.0, 0.0, 0.0
    for i in range(grid.shape[1]):
        odds = start * grid[FACTOR, i]
        share = grid[DENSITY, i] * odds / (1.0 + odds)
        first += share
        second += share * grid[U, i]
        if q == 2:
            third += share * grid[U_2, i]
    return first, second, third


@inner_ieee_fast
def _mean_factor(q: int, grid: Floats, start: float) -> tuple[float, float, float]:
    """Return means over the nodes of start factor, and of that times u."""
    first, second, third = 0.0, 0.0, 0.0
    for i in range(grid.shape[1]):
        share = grid[DENSITY, i] * grid[FACTOR, i] * start
        first += share
        second += share * grid[U, i]
        if q == 2:
            third += share * grid[U_2, i]
    return first, second, third


@inner_ieee
def _add_row(
    X: Floats,
    Z: Floats,
    r: int,
    means: tuple[float, float, float],
    d_L: Floats,
    d_beta: Floats,
) -> None:
    """Add a row's part, from the means of l' and l' u."""
    for c in range(X.shape[1]):
        d_beta[c] += means[0] * X[r, c]
    d_L[0, 0] += Z[r, 0] * means[1]
    if Z.shape[1] == 2:
        d_L[1, 0] += Z[r, 1] * means[1]
        d_L[1, 1] += Z[r, 1] * means[2]


@inner_ieee
def _add_quickly(
    code: int,
    phi: Floats,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
    X: Floats,
    Z: Floats,
    d_L: Floats,
    d_beta: Floats,
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
            constant, slope = -phi[0], phi[0] * table[Y, r]
            one, two, three = _mean_factor(q, grid, start)
        elif code == POISSON:
            constant, slope = table[Y, r], -1.0
            one, two, three = _mean_factor(q, grid, start)
        else:
            constant, slope = table[Y, r], -table[POWER, r]
            one, two, three = _mean_share(q, grid, start)
        means = (constant + slope * one, constant * u + slope * two, constant * v + slope * three)
        _add_row(X, Z, r, means, d_L, d_beta)


@inner_ieee
def _add_slowly(
    code: int,
    phi: Floats,
    table: Floats,
    grid: Floats,
    lo: int,
    hi: int,
    X: Floats,
    Z: Floats,
    d_L: Floats,
    d_beta: Floats,
) -> None:
    for r in range(lo, hi):
        first, second, third = 0.0, 0.0, 0.0
        for i in range(grid.shape[1]):
            weight = grid[DENSITY, i]
            if weight < _NEGLIGIBLE:
                continue
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            slope = weight * row_at(code, e, table[Y, r], table[KNOWN, r], phi)[1]
            first += slope
            second += slope * grid[U, i]
            third += slope * grid[U_2, i]
        _add_row(X, Z, r, (first, second, third), d_L, d_beta)


@inner_ieee
def _add_to_phi(
    code: int, phi: Floats, table: Floats, grid: Floats, lo: int, hi: int, d_phi: Floats
) -> None:
    for r in range(lo, hi):
        y, known = table[Y, r], table[KNOWN, r]
        add_constant_slopes(code, y, phi, d_phi)
        for i in range(grid.shape[1]):
            weight = grid[DENSITY, i]
            if weight < _NEGLIGIBLE:
                continue
            e = table[AT, r] + table[FIRST, r] * grid[AWAY, i] + table[SECOND, r] * grid[AWAY_2, i]
            add_phi_slopes(code, e, y, known, phi, weight, d_phi)


@inner_ieee
def add_slopes(
    code: int,
    phi: Floats,
    table: Floats,
    grid: Floats,
    z: Floats,
    lo: int,
    hi: int,
    root: Root,
    total: float,
    X: Floats,
    Z: Floats,
    d_L: Floats,
    d_beta: Floats,
    d_phi: Floats,
) -> None:
    """Add a level's derivatives; right after `integrate_level`, with what that returned.

    Parameters
    ----------
    code, phi, table, grid, z, lo, hi, root
        As there.
    total : float
        Sum of the nodes' densities; they are divided by it.
    X, Z : ndarray
        The rows' columns.
    d_L, d_beta, d_phi : ndarray, shapes (q, q), (p,), (number of parameters,)
        What to add to; of d_L the lower triangle.
    """
    for i in range(grid.shape[1]):
        grid[DENSITY, i] /= total
    if factorises(code, phi, table, z, lo, hi, root):
        _add_quickly(code, phi, table, grid, z, lo, hi, X, Z, d_L, d_beta)
    else:
        _add_slowly(code, phi, table, grid, lo, hi, X, Z, d_L, d_beta)
    if len(d_phi) > 0:
        _add_to_phi(code, phi, table, grid, lo, hi, d_phi)
