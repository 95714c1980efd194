"""All levels of one point together: loops over all rows, or all nodes, and not level by level.

For effects of one column that is the same number in a level's rows, as of random intercepts, and
families whose exponentials can be split. Levels may have few rows each: loops over these would
hardly ever be vector instructions, and what they cost beside is most of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.codes import BINOMIAL_LOGIT, NEGBINOMIAL, POISSON
from bayeslmm.kernels.families.elementary import quick_exp, quick_log
from bayeslmm.kernels.quadrature.axes import LARGEST_SHAPE, REACH
from bayeslmm.kernels.quadrature.products import divide_run, multiply_run
from bayeslmm.kernels.quadrature.rows import (
    AT,
    CURVATURE,
    ETA,
    FIRST,
    ODDS,
    POWER,
    SLOPE,
    Y,
    part_of,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.quadrature.rows import LevelRows

# Of each level: its effect, how eta changes with it, the root of its curvature, Newton's last step,
# the squared length of that in the level's standard deviations, and what it multiplies exp(eta) by;
# the sum of y, and whether its powers are all one; the log-density at the middle node, the sum of
# all relative to it, and the log of the integral. LATE is one where these are to be found by other
# means.
(
    EFFECT, CHANGE, LEVEL_ROOT, STEP, LENGTH, GROWTH, Y_SUM, SINGLE, TOP, SUM, INTEGRAL, LATE,
    LEVEL_LINES,
) = range(13)  # fmt: skip
# Of each node of each level: z, the log of its weight, the effect; and as in the grid of one level.
(
    NODE_Z, NODE_WEIGHT, NODE_EFFECT, NODE_FACTOR, NODE_LOG, NODE_PRODUCT, NODE_COMMON,
    NODE_DENSITY, NODE_LINES,
) = range(9)  # fmt: skip
_MOST_PASSES = 8


@inner_ieee
def suits_together(rows: LevelRows) -> bool:
    """Return whether levels can be solved together."""
    if rows.Z.shape[1] != 1:
        return False
    if rows.code not in (BINOMIAL_LOGIT, NEGBINOMIAL, POISSON):
        return False
    runs = 0.0
    for r in range(len(rows.fresh)):
        runs += rows.fresh[r]
    for j in range(len(rows.starts) - 1):
        if rows.starts[j + 1] > rows.starts[j]:
            runs -= 1.0
    return runs == 0.0


@inner_ieee
def open_levels(rows: LevelRows) -> Floats:
    """Return the lines of levels, with what is known of them."""
    J = len(rows.starts) - 1
    levels = np.zeros((LEVEL_LINES, J))
    for j in range(J):
        lo, hi = rows.starts[j], rows.starts[j + 1]
        levels[Y_SUM, j] = np.sum(rows.y[lo:hi])
        single = rows.code == BINOMIAL_LOGIT and np.all(rows.known[lo:hi] == 1.0)
        levels[SINGLE, j] = 1.0 if single else 0.0
    return levels


@inner_ieee
def open_nodes(z: Floats, log_weight: Floats, n_levels: int) -> tuple[Floats, Ints]:
    """Return the lines of nodes, the same for each level, and where each level's begin."""
    K = len(z)
    nodes = np.zeros((NODE_LINES, K * n_levels))
    for j in range(n_levels):
        for k in range(K):
            nodes[NODE_Z, j * K + k], nodes[NODE_WEIGHT, j * K + k] = z[k], log_weight[k]
    return nodes, K * np.arange(n_levels + 1)


@inner_ieee_fast
def _set_odds(shift: float, starts: Ints, table: Floats, levels: Floats) -> None:
    """Fill eta at the effects, and exp(eta - shift)."""
    n = table.shape[1]
    for j in range(len(starts) - 1):
        lo, hi = starts[j], starts[j + 1]
        at, eta, away = part_of(table, AT, lo, hi), part_of(table, ETA, lo, hi), 0.0
        if hi > lo:
            away = levels[CHANGE, j] * levels[EFFECT, j]
        for r in range(hi - lo):
            at[r] = eta[r] + away
    every, odds = part_of(table, AT, 0, n), part_of(table, ODDS, 0, n)
    for r in range(n):
        odds[r] = quick_exp(every[r] - shift)


@inner_ieee_fast
def _set_slopes(code: int, table: Floats) -> None:
    n = table.shape[1]
    slope, curvature = part_of(table, SLOPE, 0, n), part_of(table, CURVATURE, 0, n)
    y, power, odds = (
        part_of(table, Y, 0, n),
        part_of(table, POWER, 0, n),
        part_of(table, ODDS, 0, n),
    )
    if code == POISSON:
        for r in range(n):
            slope[r] = y[r] - odds[r]
            curvature[r] = odds[r]
    else:
        for r in range(n):
            rest = 1.0 / (1.0 + odds[r])
            mean = power[r] * (odds[r] * rest)
            slope[r] = y[r] - mean
            curvature[r] = mean * rest


@inner_ieee_fast
def _step(starts: Ints, table: Floats, levels: Floats) -> None:
    """Take one step of Newton's method in all levels: effects, eta and its exponentials."""
    J = len(starts) - 1
    effect, change = part_of(levels, EFFECT, 0, J), part_of(levels, CHANGE, 0, J)
    root, step = part_of(levels, LEVEL_ROOT, 0, J), part_of(levels, STEP, 0, J)
    length, growth = part_of(levels, LENGTH, 0, J), part_of(levels, GROWTH, 0, J)
    for j in range(J):
        lo, hi, g, h = starts[j], starts[j + 1], 0.0, 0.0
        slope, curvature = part_of(table, SLOPE, lo, hi), part_of(table, CURVATURE, lo, hi)
        for r in range(hi - lo):
            g += slope[r]
            h += curvature[r]
        step[j], root[j] = g, h
    for j in range(J):
        g = step[j] * change[j] - effect[j]
        h = root[j] * change[j] * change[j] + 1.0
        root[j] = math.sqrt(h)
        step[j] = g / h
        length[j] = g * step[j]
        effect[j] += step[j]
    for j in range(J):
        growth[j] = quick_exp(change[j] * step[j])
    for j in range(J):
        lo, hi = starts[j], starts[j + 1]
        at, odds = part_of(table, AT, lo, hi), part_of(table, ODDS, lo, hi)
        more, times = change[j] * step[j], growth[j]
        for r in range(hi - lo):
            at[r] += more
        for r in range(hi - lo):
            odds[r] *= times


@inner_ieee_fast
def _within_reach(table: Floats, most: float, shift: float) -> bool:
    """Return whether no row's eta - shift is far out where nodes move it by `most`; see `axes`."""
    total, n = 0.0, table.shape[1]
    at = part_of(table, AT, 0, n)
    for r in range(n):
        power = (abs(at[r] - shift) + most) * (1.0 / REACH)
        power *= power
        power *= power
        power *= power
        power *= power
        total += power * power
    return total < 1.0


@inner_ieee
def can_split(
    code: int, phi: Floats, table: Floats, levels: Floats, farthest: float
) -> tuple[bool, float]:
    """Return whether exponentials can be split over nodes so far out, and how far eta moves."""
    most, shift = 0.0, math.log(phi[0, 0]) if code == NEGBINOMIAL else 0.0
    for j in range(levels.shape[1]):
        most = max(most, abs(levels[CHANGE, j]) / levels[LEVEL_ROOT, j])
    most *= farthest
    if code == NEGBINOMIAL and not phi[0, 0] <= LARGEST_SHAPE:
        return False, most
    return _within_reach(table, most, shift), most


@inner_ieee
def find_modes_together(
    code: int,
    phi: Floats,
    starts: Ints,
    table: Floats,
    modes: Floats,
    tolerance: float,
    levels: Floats,
) -> None:
    """Find the modes of all levels, but for those that are late.

    Parameters
    ----------
    code, phi
        The family (`rows.level_code`), and its parameters, of all rows or by row.
    starts : ndarray of int64, shape (J + 1,)
        Of the levels' rows.
    table : ndarray
        With predictors and constants set; eta at the modes and its exponentials are filled.
    modes : ndarray, shape (J, 1)
        Where to begin.
    tolerance : float
        Of the last step's squared length, see `mode.climb`.
    levels : ndarray, shape (LEVEL_LINES, J)
        Filled.
    """
    J, shift = len(starts) - 1, math.log(phi[0, 0]) if code == NEGBINOMIAL else 0.0
    for j in range(J):
        levels[EFFECT, j], levels[LATE, j] = modes[j, 0], 0.0
        levels[CHANGE, j] = table[FIRST, starts[j]] if starts[j + 1] > starts[j] else 0.0
    _set_odds(shift, starts, table, levels)
    late = True
    for _ in range(_MOST_PASSES):
        _set_slopes(code, table)
        _step(starts, table, levels)
        late = False
        for j in range(J):
            late = late or not levels[LENGTH, j] <= tolerance
        if not late:
            return
    for j in range(J):
        levels[LATE, j] = 0.0 if levels[LENGTH, j] <= tolerance else 1.0


@inner_ieee_fast
def _set_nodes(
    shift: float, starts: Ints, table: Floats, levels: Floats, nodes: Floats, places: Ints
) -> None:
    """Fill effects at nodes, what of the log-densities is quadratic in them, and factors."""
    for j in range(len(starts) - 1):
        lo, hi, a, b = starts[j], starts[j + 1], places[j], places[j + 1]
        y, at, base = part_of(table, Y, lo, hi), part_of(table, AT, lo, hi), 0.0
        for r in range(hi - lo):
            base += y[r] * at[r]
        base -= shift * levels[Y_SUM, j]
        z, weight = part_of(nodes, NODE_Z, a, b), part_of(nodes, NODE_WEIGHT, a, b)
        effect, density = part_of(nodes, NODE_EFFECT, a, b), part_of(nodes, NODE_LOG, a, b)
        factor, scale = part_of(nodes, NODE_FACTOR, a, b), 1.0 / levels[LEVEL_ROOT, j]
        mode, change = levels[EFFECT, j], levels[CHANGE, j]
        linear = levels[Y_SUM, j] * change
        for k in range(b - a):
            away = z[k] * scale
            effect[k] = mode + away
            factor[k] = change * away
            density[k] = weight[k] - 0.5 * effect[k] * effect[k] + (base + linear * away)
    N = nodes.shape[1]
    every = part_of(nodes, NODE_FACTOR, 0, N)
    product, common = part_of(nodes, NODE_PRODUCT, 0, N), part_of(nodes, NODE_COMMON, 0, N)
    for k in range(N):
        every[k] = quick_exp(every[k])
        product[k] = 1.0
        common[k] = 1.0


@inner_ieee_fast
def _subtract_exponentials(odds: Floats, factor: Floats, log_density: Floats) -> None:
    total = 0.0
    for r in range(len(odds)):
        total += odds[r]
    for k in range(len(factor)):
        log_density[k] -= total * factor[k]


@inner_ieee_fast
def _subtract_logarithms(nodes: Floats, power: float) -> None:
    N = nodes.shape[1]
    density, common = part_of(nodes, NODE_LOG, 0, N), part_of(nodes, NODE_COMMON, 0, N)
    for k in range(N):
        density[k] -= power * quick_log(common[k])


@inner_ieee_fast
def _set_densities(nodes: Floats, levels: Floats, places: Ints) -> None:
    """Fill densities relative to each level's middle node, their sums, and logs of integrals."""
    N, J = nodes.shape[1], levels.shape[1]
    for j in range(J):
        a, b = places[j], places[j + 1]
        log_density, product = part_of(nodes, NODE_LOG, a, b), part_of(nodes, NODE_PRODUCT, a, b)
        density, middle = part_of(nodes, NODE_DENSITY, a, b), (b - a) // 2
        top, first = log_density[middle], product[middle]
        levels[TOP, j], levels[SUM, j] = top, 1.0 / (first * levels[LEVEL_ROOT, j])
        for k in range(b - a):
            log_density[k] -= top
        for k in range(b - a):
            density[k] = first / product[k]
    every, logs = part_of(nodes, NODE_DENSITY, 0, N), part_of(nodes, NODE_LOG, 0, N)
    for k in range(N):
        every[k] *= quick_exp(logs[k])
    for j in range(J):
        total = 0.0
        for k in range(places[j], places[j + 1]):
            total += every[k]
        levels[SUM, j] *= total


@inner_ieee
def set_densities_together(
    code: int,
    phi: Floats,
    starts: Ints,
    table: Floats,
    levels: Floats,
    nodes: Floats,
    places: Ints,
    most: float,
) -> None:
    """Evaluate the density of all levels at their nodes.

    Parameters
    ----------
    code, phi, starts, table, levels
        After `find_modes_together`.
    nodes : ndarray, shape (NODE_LINES, number of nodes)
        With z and log weights set; otherwise filled.
    places : ndarray of int64, shape (J + 1,)
        Where the nodes of each level begin.
    most : float
        From `can_split`.
    """
    shape = phi[0, 0] if code == NEGBINOMIAL else 0.0
    shift = math.log(shape) if code == NEGBINOMIAL else 0.0
    _set_nodes(shift, starts, table, levels, nodes, places)
    slack = most + 0.7
    for j in range(len(starts) - 1):
        lo, hi, a, b = starts[j], starts[j + 1], places[j], places[j + 1]
        odds, at = part_of(table, ODDS, lo, hi), part_of(table, AT, lo, hi)
        factor, log_density = part_of(nodes, NODE_FACTOR, a, b), part_of(nodes, NODE_LOG, a, b)
        if code == POISSON:
            _subtract_exponentials(odds, factor, log_density)
            continue
        product, own = part_of(nodes, NODE_PRODUCT, a, b), part_of(nodes, NODE_DENSITY, a, b)
        if code == NEGBINOMIAL:
            common = part_of(nodes, NODE_COMMON, a, b)
            multiply_run(odds, at, factor, common, log_density, shape, shift, slack, 0.0)
        if levels[SINGLE, j] > 0.0:
            multiply_run(odds, at, factor, product, log_density, 1.0, shift, slack, 0.0)
        else:
            power = part_of(table, Y if code == NEGBINOMIAL else POWER, lo, hi)
            divide_run(odds, at, power, factor, product, log_density, own, shift, slack, 0.0)
    if code == NEGBINOMIAL:
        _subtract_logarithms(nodes, shape)
    _set_densities(nodes, levels, places)


@inner_ieee_fast
def set_integrals(levels: Floats) -> None:
    """Fill the logs of all integrals, without the levels' constants."""
    J = levels.shape[1]
    top, total = part_of(levels, TOP, 0, J), part_of(levels, SUM, 0, J)
    integral = part_of(levels, INTEGRAL, 0, J)
    for j in range(J):
        integral[j] = top[j] + quick_log(total[j])
    for j in range(J):
        # The logarithm takes anything for a number.
        if not (total[j] > 0.0 and math.isfinite(total[j])):
            integral[j] = math.nan
