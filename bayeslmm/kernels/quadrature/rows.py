"""What the quadrature kernels read of the rows, and the two arrays that they work in.

Named tuples of arrays are for the doors only: handing one over costs compiled code as much as a
whole level's sums.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import as_pointer, carray, inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.by_row import SAME_IN_ALL, PhiRows, phi_at
from bayeslmm.kernels.families.codes import BINOMIAL_LOGIT, GAMMA, NEGBINOMIAL
from bayeslmm.kernels.families.rows import constant_at

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


class LevelRows(NamedTuple):
    """Rows in the order of their levels, those of equal Z side by side."""

    code: int  # of family and link, `families.codes`
    X: Floats  # (n, p)
    Z: Floats  # (n, q), q = 1 or 2
    y: Floats  # (n,)
    known: Floats  # (n,): trials or weights, else ones
    offset: Floats  # (n,)
    starts: Ints  # (J + 1,): level j has the rows from starts[j] to starts[j + 1]
    fresh: Floats  # (n,): 1 where a level begins or Z differs from the row before, else 0
    phi: PhiRows = SAME_IN_ALL  # how the family's parameters follow from a point's numbers


class Rule(NamedTuple):
    """Nodes z and log w + z^2 / 2 of one dimension, with sum w f(z) ~ E f(N(0, 1))."""

    z: Floats  # (K,), symmetric, K odd
    log_weight: Floats  # (K,)


# The table, (TABLE, n): of each row what is known of it, then what is computed. FIRST and SECOND
# are the columns of Z L; ETA is the fixed part of the linear predictor, and AT all of it at the
# level's present effects; POWER the number of trials, or what stands for it, of the gamma its
# shape; AXIS how eta changes along the axes of the nodes, ODDS the exponential of AT.
(
    Y, KNOWN, FRESH, ETA, FIRST, SECOND, AT, SLOPE, CURVATURE, POWER, AXIS, AXIS_2, ODDS, TABLE,
) = range(14)  # fmt: skip
# The grid, (GRID, N): U and AWAY the effects at the nodes and their distance from the mode;
# LOG_DENSITY, and what the density is to be divided by; exp(a'(u - mode)) of a row, also by axis.
U, U_2, AWAY, AWAY_2, LOG_DENSITY, PRODUCT, COMMON, FACTOR, DENSITY, SIDE, SIDE_2, GRID = range(12)


# Rows whose predictors are computed at a time: what is added up stays in the fastest memory.
_BLOCK = 512


@inner_ieee
def part_of(array: Floats, line: int, lo: int, hi: int) -> Floats:
    """Return array[line, lo:hi] of a table or grid, for loops that are to be vector instructions.

    Of two lines of one array the compiler does not know that writing to one leaves the other
    alone, and computes number by number; two addresses it compares before the loop.
    """
    address = array.ctypes.data + 8 * (array.shape[1] * line + lo)
    part: Floats = carray(as_pointer(address), (hi - lo,), np.float64)
    return part


@inner_ieee
def columns_of(X: Floats) -> Floats:
    """Return X' as an array of its own: columns are read one by one."""
    return np.ascontiguousarray(X.T)


@inner_ieee
def set_table(rows: LevelRows, table: Floats) -> None:
    """Fill what is known of the rows."""
    for r in range(len(rows.y)):
        table[Y, r], table[KNOWN, r], table[FRESH, r] = rows.y[r], rows.known[r], rows.fresh[r]


@inner_ieee_fast
def _add_times(target: Floats, source: Floats, factor: float) -> None:
    for r in range(len(target)):
        target[r] += factor * source[r]


@inner_ieee_fast
def set_predictors(
    columns: Floats, Z: Floats, offset: Floats, L: Floats, beta: Floats, table: Floats
) -> None:
    """Fill X beta + offset and Z L; of X its columns, see `columns_of`."""
    n = len(offset)
    for lo in range(0, n, _BLOCK):
        hi = min(lo + _BLOCK, n)
        eta = part_of(table, ETA, lo, hi)
        for r in range(hi - lo):
            eta[r] = offset[lo + r]
        for c in range(len(beta)):
            _add_times(eta, part_of(columns, c, lo, hi), beta[c])
    first, second = part_of(table, FIRST, 0, n), part_of(table, SECOND, 0, n)
    if Z.shape[1] == 1:
        for r in range(n):
            first[r] = Z[r, 0] * L[0, 0]
    else:
        for r in range(n):
            first[r] = Z[r, 0] * L[0, 0] + Z[r, 1] * L[1, 0]
            second[r] = Z[r, 1] * L[1, 1]


@inner_ieee
def level_code(code: int, phi: Floats) -> int:
    """Return as which family levels are solved.

    Negative binomials whose shapes vary by row are binomials of y + shape trials, at
    eta - log shape; of one shape for all rows some products are those of whole levels.
    """
    return BINOMIAL_LOGIT if code == NEGBINOMIAL and phi.shape[0] > 1 else code


@inner_ieee
def _set_powers(code: int, phi: Floats, table: Floats) -> None:
    n, each = table.shape[1], phi.shape[0] > 1
    power = part_of(table, POWER, 0, n)
    if code in (NEGBINOMIAL, GAMMA):
        shape = phi[0, 0]
        for r in range(n):
            if each:
                shape = phi[r, 0]
            # The negative binomial is a binomial of y + shape trials.
            power[r] = shape if code == GAMMA else table[Y, r] + shape
    else:
        for r in range(n):
            power[r] = table[KNOWN, r]


@inner_ieee
def set_constants(code: int, phi: Floats, starts: Ints, table: Floats, constant: Floats) -> None:
    """Fill what of the rows does not depend on eta: its sum by level, and powers.

    After `set_predictors`: where levels are solved as another family, predictors become its.
    """
    own, each = phi_at(phi, 0), phi.shape[0] > 1
    for j in range(len(starts) - 1):
        total = 0.0
        for r in range(starts[j], starts[j + 1]):
            if each:
                own = phi_at(phi, r)
            total += constant_at(code, table[Y, r], table[KNOWN, r], own)
        constant[j] = total
    _set_powers(code, phi, table)
    if level_code(code, phi) != code:
        for r in range(table.shape[1]):
            table[KNOWN, r] = table[POWER, r]
            table[ETA, r] -= math.log(phi[r, 0])
