"""The mode and curvature of one level's standardised effects, by Newton's method or scoring.

Effects of one column are those of two whose second one is zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.by_row import phi_at
from bayeslmm.kernels.families.codes import NOT_CONCAVE
from bayeslmm.kernels.families.rows import row_at
from bayeslmm.kernels.quadrature.rows import AT, CURVATURE, KNOWN, SLOPE, Y
from bayeslmm.kernels.quadrature.sums import set_eta, sum_slopes, sums_at

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

    # A curvature's Cholesky factor by its entries: the first, the one below, the last.
    Root = tuple[float, float, float]

_MOST_STEPS = 100
# In prior standard deviations of the effects, and longer from afar.
_LONGEST_STEP = 4.0
# A step that overshoots must at least have made the slope this much flatter.
_KEPT_SLOPE = 0.9
# Nodes are spread by the observed curvature, or where rows between which a mode lies take more from
# it than this leaves of the prior's, which is 1, a little less far.
_LEAST_CURVATURE = 0.2
# Roots of modes found to less than this are those at the mode itself.
_EXACT = 1e-6


@inner_ieee
def root_of(first: float, below: float, last: float) -> Root:
    """Factor a positive definite matrix of two rows."""
    one = math.sqrt(first)
    two = below / one
    # A matrix that rounding made singular: the effects' prior alone gives each direction 1.
    return one, two, math.sqrt(max(last - two * two, 1e-12 * last))


@inner_ieee
def climb(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    lo: int,
    hi: int,
    u: float,
    v: float,
    tolerance: float,
) -> tuple[float, float, Root]:
    """Climb from (u, v) to a mode of a level's effects.

    No densities are needed: along a step the slope of a concave function falls, and a step after
    which it is as steep the other way was too long.

    Parameters
    ----------
    code, phi
        The family (`rows.level_code`), and its parameters, of all rows or by row.
    q : int
        Columns.
    table : ndarray
        With predictors set.
    lo, hi : int
        The level's rows.
    u, v : float
        Where to begin.
    tolerance : float
        Of the last step's squared length, in units of the level's own standard deviations.

    Returns
    -------
    u, v : float
        The mode.
    root : tuple of float
        Cholesky factor of the negative curvature, at the last point but one where the tolerance
        is not small.
    """
    step_u, step_v, before_u, before_v, rise = 0.0, 0.0, u, v, 0.0
    root = (1.0, 0.0, 1.0)
    for count in range(_MOST_STEPS):
        g, h, i, j, k = sums_at(code, phi, q, table, lo, hi, u, v)
        along = g * step_u + h * step_v
        if count > 0 and not along > -_KEPT_SLOPE * rise:
            # Back to where a straight slope would be zero, or half way where that is no number.
            share = rise / (rise - along) if math.isfinite(along) else 0.5
            share = min(max(share, 0.05), 0.7)
            rise *= share
            step_u, step_v = share * step_u, share * step_v
            u, v = before_u + step_u, before_v + step_v
            continue
        root = root_of(i, j, k)
        one = g / root[0]
        two = (h - root[1] * one) / root[2]
        step_v = two / root[2]
        step_u = (one - root[1] * step_v) / root[0]
        decrement = one * one + two * two
        length, share = math.sqrt(step_u * step_u + step_v * step_v), 1.0
        longest = _LONGEST_STEP + 0.5 * (abs(u) + abs(v))
        if length > longest:
            share = longest / length
        step_u, step_v, rise = share * step_u, share * step_v, share * decrement
        before_u, before_v = u, v
        u, v = u + step_u, v + step_v
        if not decrement > tolerance:
            break
    if tolerance < _EXACT:
        g, h, i, j, k = sums_at(code, phi, q, table, lo, hi, u, v)
        root = root_of(i, j, k)
    return u, v, root


@inner_ieee
def find_mode(
    code: int,
    phi: Floats,
    q: int,
    table: Floats,
    lo: int,
    hi: int,
    u: float,
    v: float,
    tolerance: float,
) -> tuple[float, float, Root]:
    """Find a level's mode where there is one only; the nodes are to be spread by the root.

    Arguments and results as of `climb`.
    """
    u, v, root = climb(code, phi, q, table, lo, hi, u, v, tolerance)
    if tolerance < _EXACT and code in NOT_CONCAVE:
        # Laplace's approximation takes the observed curvature.
        root = root_at(code, phi, q, table, lo, hi, u, v)
    return u, v, root


@inner_ieee
def root_at(
    code: int, phi: Floats, q: int, table: Floats, lo: int, hi: int, u: float, v: float
) -> Root:
    """Return the root of the observed information, of which no direction has next to none."""
    set_eta(q, table, lo, hi, u, v)
    step = 1e-4
    for r in range(lo, hi):
        # The slopes are exact; their differences are good to 1e-8.
        y, known, own = table[Y, r], table[KNOWN, r], phi_at(phi, r)
        up = row_at(code, table[AT, r] + step, y, known, own)[1]
        down = row_at(code, table[AT, r] - step, y, known, own)[1]
        table[SLOPE, r], table[CURVATURE, r] = 0.0, (down - up) / (2.0 * step)
    _, _, i, j, k = sum_slopes(q, table, lo, hi)
    i, k = i + 1.0, k + 1.0
    least = 0.5 * (i + k) - math.sqrt(0.25 * (i - k) * (i - k) + j * j)
    more = max(_LEAST_CURVATURE - least, 0.0)
    return root_of(i + more, j, k + more)
