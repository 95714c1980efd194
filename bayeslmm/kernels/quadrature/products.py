"""Products of 1 + exp(eta) over rows, at all nodes: sums of their logarithms cost no logarithms.

Of rows of equal Z, exp(eta) is a number of the row's own, its odds at the mode, times a factor of
the node's. Arrays of rows and of nodes are handed over each by itself, see `rows.part_of`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.elementary import quick_log, quick_log1p

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Log of what a product may become before its logarithm is taken.
FULL = 600.0
# Rows that are multiplied without looking, at most and at least: these are always below it.
_MOST_ROWS, _FEWEST_ROWS = 112, 7
# Powers have fewer binary digits than this.
_DIGITS = 6


@inner_ieee_fast
def take_logarithm(product: Floats, log_density: Floats, power: float) -> None:
    """Divide the density by a product's power, and begin the product anew."""
    for i in range(len(product)):
        log_density[i] -= power * quick_log(product[i])
        product[i] = 1.0


@inner_ieee_fast
def _largest_logs(at: Floats, shift: float, slack: float) -> float:
    """Sum bounds of log(1 + exp(eta - shift)) at any node."""
    total = 0.0
    for r in range(len(at)):
        total += max(at[r] - shift, 0.0) + slack
    return total


@inner_ieee_fast
def _times_rows(odds: Floats, factor: Floats, product: Floats) -> None:
    """Multiply a product by 1 + odds factor of every row, four at a time."""
    n, N = len(odds), len(product)
    fours = n - n % 4
    for r in range(0, fours, 4):
        a, b, c, d = odds[r], odds[r + 1], odds[r + 2], odds[r + 3]
        for i in range(N):
            f = factor[i]
            product[i] *= ((1.0 + a * f) * (1.0 + b * f)) * ((1.0 + c * f) * (1.0 + d * f))
    for r in range(fours, n):
        a = odds[r]
        for i in range(N):
            product[i] *= 1.0 + a * factor[i]


@inner_ieee
def multiply_run(
    odds: Floats,
    at: Floats,
    factor: Floats,
    product: Floats,
    log_density: Floats,
    power: float,
    shift: float,
    slack: float,
    full: float,
) -> float:
    """Multiply a product by 1 + odds factor of every row; what is full divides as its power.

    Parameters
    ----------
    odds, at : ndarray
        exp(eta - shift) of the rows at the mode, and eta.
    factor, product, log_density : ndarray
        At the nodes.
    power : float
        Of the product.
    shift, slack : float
        No row has more than max(eta - shift, 0) + slack as log(1 + odds factor) at any node.
    full : float
        Bound of the product's logarithm so far.

    Returns
    -------
    float
        The same bound afterwards.
    """
    n, r = len(odds), 0
    while r < n:
        count = min(_MOST_ROWS, n - r)
        top = _largest_logs(at[r : r + count], shift, slack)
        while top > FULL and count > _FEWEST_ROWS:
            count = max(count // 2, _FEWEST_ROWS)
            top = _largest_logs(at[r : r + count], shift, slack)
        if full + top > FULL:
            take_logarithm(product, log_density, power)
            full = 0.0
        _times_rows(odds[r : r + count], factor, product)
        full += top
        r += count
    return full


@inner_ieee_fast
def _times_powers(
    odds: Floats, power: Floats, factor: Floats, product: Floats, own: Floats
) -> None:
    """Multiply the product by (1 + odds factor)^power of every row.

    Powers are whole numbers: squarings, from their highest binary digit to the lowest, are those
    of all rows together.
    """
    n, N, begun = len(odds), len(product), False
    for i in range(N):
        own[i] = 1.0
    for digit in range(_DIGITS - 1, -1, -1):
        if begun:
            for i in range(N):
                own[i] *= own[i]
        for r in range(n):
            if (int(power[r]) >> digit) & 1:
                begun, a = True, odds[r]
                for i in range(N):
                    own[i] *= 1.0 + a * factor[i]
    for i in range(N):
        product[i] *= own[i]


@inner_ieee_fast
def _subtract_power(odds: float, power: float, factor: Floats, log_density: Floats) -> None:
    for i in range(len(factor)):
        log_density[i] -= power * quick_log1p(odds * factor[i])


@inner_ieee
def divide_run(
    odds: Floats,
    at: Floats,
    power: Floats,
    factor: Floats,
    product: Floats,
    log_density: Floats,
    own: Floats,
    shift: float,
    slack: float,
    full: float,
) -> float:
    """Divide the density by (1 + odds factor)^power of every row.

    Parameters and result as of `multiply_run`, with

    power : ndarray
        Of each row.
    own : ndarray
        Overwritten, at the nodes.
    """
    begin, n = 0, len(odds)
    for r in range(n):
        top = power[r] * (max(at[r] - shift, 0.0) + slack)
        # Only whole powers are products.
        if power[r] >= 1 << _DIGITS or top > FULL or power[r] != math.floor(power[r]):
            if r > begin:
                _times_powers(odds[begin:r], power[begin:r], factor, product, own)
            _subtract_power(odds[r], power[r], factor, log_density)
            begin = r + 1
        elif full + top > FULL:
            if r > begin:
                _times_powers(odds[begin:r], power[begin:r], factor, product, own)
            take_logarithm(product, log_density, 1.0)
            begin, full = r, top
        else:
            full += top
    if n > begin:
        _times_powers(odds[begin:n], power[begin:n], factor, product, own)
    return full
