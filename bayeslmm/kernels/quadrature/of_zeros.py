"""Levels of zeros alone, where zeros are of two kinds: a fixed grid over their effect.

Such a level has up to two modes, "its mean is small" and "its zeros are of their own", and
shoulders where there is no second mode. Its density is never sharp: each row gives a factor between
pi and 1 that changes over a unit of eta.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.quadrature.nodes import density_at_nodes, log_integral
from bayeslmm.kernels.quadrature.rows import AWAY, AWAY_2, LOG_DENSITY, U_2, U, Y
from bayeslmm.kernels.quadrature.sums import set_eta

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Prior standard deviations to either side: the mass beyond is 2e-9. The trapezoid rule's error is
# that of a normal density at an eighth of its standard deviation, but for a step of the rows'.
ZERO_POINTS, _REACH = 97, 6.0
_STEP = 2.0 * _REACH / (ZERO_POINTS - 1)
_LOG_WEIGHT = math.log(_STEP) - 0.5 * math.log(2.0 * math.pi)


@inner_ieee
def zeros_alone(table: Floats, lo: int, hi: int) -> bool:
    """Return whether a level has rows, all of them zero."""
    total = 0.0
    for r in range(lo, hi):
        total += table[Y, r]
    return hi > lo and total == 0.0


@inner_ieee
def integrate_zeros(
    code: int, phi: Floats, table: Floats, grid: Floats, z: Floats, lo: int, hi: int
) -> tuple[float, float]:
    """Evaluate a level's density on the grid, and integrate it; as `nodes.integrate_level`."""
    set_eta(1, table, lo, hi, 0.0, 0.0)
    for k in range(ZERO_POINTS):
        at = _STEP * k - _REACH
        grid[AWAY, k], grid[U, k] = at, at
        grid[AWAY_2, k], grid[U_2, k] = 0.0, 0.0
        grid[LOG_DENSITY, k] = _LOG_WEIGHT - 0.5 * at * at
    total = density_at_nodes(code, phi, 1, table, grid, z, lo, hi, False)
    return log_integral(1, z, grid, (1.0, 0.0, 1.0), total), total
