"""Sums over a level's rows: the slopes and curvature of its log-density, and the density itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.by_row import phi_at
from bayeslmm.kernels.families.codes import BINOMIAL_LOGIT, NEGBINOMIAL, POISSON
from bayeslmm.kernels.families.elementary import quick_exp
from bayeslmm.kernels.families.rows import row_at, value_at
from bayeslmm.kernels.quadrature.rows import (
    AT,
    CURVATURE,
    ETA,
    FIRST,
    KNOWN,
    POWER,
    SECOND,
    SLOPE,
    Y,
    part_of,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

    # Both slopes of a sum over rows, and the entries of its negative curvature.
    Sums = tuple[float, float, float, float, float]

# So many factors between 1 and 2 are within the range of numbers.
_MOST_FACTORS = 1000


@inner_ieee_fast
def set_eta(q: int, table: Floats, lo: int, hi: int, u: float, v: float) -> None:
    """Fill eta of a level's rows at standardised effects (u, v)."""
    at, eta, first = (
        part_of(table, AT, lo, hi), part_of(table, ETA, lo, hi), part_of(table, FIRST, lo, hi)
    )  # fmt: skip
    if q == 1:
        for r in range(hi - lo):
            at[r] = eta[r] + first[r] * u
    else:
        second = part_of(table, SECOND, lo, hi)
        for r in range(hi - lo):
            at[r] = eta[r] + first[r] * u + second[r] * v


@inner_ieee
def set_slopes(code: int, phi: Floats, table: Floats, lo: int, hi: int) -> None:
    """Fill slope and curvature of a level's rows at their present eta."""
    for r in range(lo, hi):
        y, known, own = table[Y, r], table[KNOWN, r], phi_at(phi, r)
        _, slope, curvature = row_at(code, table[AT, r], y, known, own)
        table[SLOPE, r], table[CURVATURE, r] = slope, curvature


@inner_ieee_fast
def sum_slopes(q: int, table: Floats, lo: int, hi: int) -> Sums:
    """Sum what stands in the table."""
    g, h, i, j, k = 0.0, 0.0, 0.0, 0.0, 0.0
    slope, curvature = part_of(table, SLOPE, lo, hi), part_of(table, CURVATURE, lo, hi)
    first, second = part_of(table, FIRST, lo, hi), part_of(table, SECOND, lo, hi)
    if q == 1:
        for r in range(hi - lo):
            a = first[r]
            g += slope[r] * a
            i += curvature[r] * a * a
    else:
        for r in range(hi - lo):
            a, b, w = first[r], second[r], curvature[r]
            g += slope[r] * a
            h += slope[r] * b
            i += w * a * a
            j += w * a * b
            k += w * b * b
    return g, h, i, j, k


# The next two write nothing: what is added up of a row need not be kept.


@inner_ieee_fast
def _sum_logits(q: int, table: Floats, shift: float, lo: int, hi: int, u: float, v: float) -> Sums:
    g, h, i, j, k = 0.0, 0.0, 0.0, 0.0, 0.0
    eta, y, power = (
        part_of(table, ETA, lo, hi), part_of(table, Y, lo, hi), part_of(table, POWER, lo, hi)
    )  # fmt: skip
    first, second = part_of(table, FIRST, lo, hi), part_of(table, SECOND, lo, hi)
    if q == 1:
        for r in range(hi - lo):
            a = first[r]
            odds = quick_exp(eta[r] - shift + a * u)
            rest = 1.0 / (1.0 + odds)
            mean = power[r] * (odds * rest)
            g += (y[r] - mean) * a
            i += mean * rest * a * a
    else:
        for r in range(hi - lo):
            a, b = first[r], second[r]
            odds = quick_exp(eta[r] - shift + a * u + b * v)
            rest = 1.0 / (1.0 + odds)
            mean = power[r] * (odds * rest)
            slope, w = y[r] - mean, mean * rest
            g += slope * a
            h += slope * b
            i += w * a * a
            j += w * a * b
            k += w * b * b
    return g, h, i, j, k


@inner_ieee_fast
def _sum_exponentials(q: int, table: Floats, lo: int, hi: int, u: float, v: float) -> Sums:
    g, h, i, j, k = 0.0, 0.0, 0.0, 0.0, 0.0
    eta, y = part_of(table, ETA, lo, hi), part_of(table, Y, lo, hi)
    first, second = part_of(table, FIRST, lo, hi), part_of(table, SECOND, lo, hi)
    if q == 1:
        for r in range(hi - lo):
            a = first[r]
            mean = quick_exp(eta[r] + a * u)
            g += (y[r] - mean) * a
            i += mean * a * a
    else:
        for r in range(hi - lo):
            a, b = first[r], second[r]
            mean = quick_exp(eta[r] + a * u + b * v)
            slope = y[r] - mean
            g += slope * a
            h += slope * b
            i += mean * a * a
            j += mean * a * b
            k += mean * b * b
    return g, h, i, j, k


@inner_ieee
def sums_at(
    code: int, phi: Floats, q: int, table: Floats, lo: int, hi: int, u: float, v: float
) -> Sums:
    """Return slopes of a level's log-density at (u, v), and its negative curvature's entries."""
    if code == BINOMIAL_LOGIT:
        g, h, i, j, k = _sum_logits(q, table, 0.0, lo, hi, u, v)
    elif code == NEGBINOMIAL:
        g, h, i, j, k = _sum_logits(q, table, math.log(phi[0, 0]), lo, hi, u, v)
    elif code == POISSON:
        g, h, i, j, k = _sum_exponentials(q, table, lo, hi, u, v)
    else:
        set_eta(q, table, lo, hi, u, v)
        set_slopes(code, phi, table, lo, hi)
        g, h, i, j, k = sum_slopes(q, table, lo, hi)
    return g - u, h - v, i + 1.0, j, k + 1.0


@inner_ieee_fast
def _logit_density(table: Floats, shift: float, lo: int, hi: int) -> float:
    """Sum y e - m log(1 + exp(e)), e = eta - shift: as a product where all m are one."""
    total, product, others, n = 0.0, 1.0, 0.0, hi - lo
    at, y, power = (
        part_of(table, AT, lo, hi), part_of(table, Y, lo, hi), part_of(table, POWER, lo, hi)
    )  # fmt: skip
    for r in range(n):
        others += abs(power[r] - 1.0)
    if others == 0.0 and n < _MOST_FACTORS:
        for r in range(n):
            e = at[r] - shift
            total += y[r] * e - max(e, 0.0)
            product *= 1.0 + quick_exp(-abs(e))
        return total - math.log(product)
    for r in range(n):
        e = at[r] - shift
        softplus = max(e, 0.0) + math.log1p(quick_exp(-abs(e)))
        total += y[r] * e - power[r] * softplus
    return total


@inner_ieee_fast
def _poisson_density(table: Floats, lo: int, hi: int) -> float:
    total, at, y = 0.0, part_of(table, AT, lo, hi), part_of(table, Y, lo, hi)
    for r in range(hi - lo):
        total += y[r] * at[r] - quick_exp(at[r])
    return total


@inner_ieee
def level_density(
    code: int, phi: Floats, q: int, table: Floats, lo: int, hi: int, u: float, v: float
) -> float:
    """Evaluate log p(y of the level | u, v) - (u^2 + v^2) / 2, up to a constant."""
    total = -0.5 * (u * u + v * v)
    set_eta(q, table, lo, hi, u, v)
    if code == BINOMIAL_LOGIT:
        return total + _logit_density(table, 0.0, lo, hi)
    if code == NEGBINOMIAL:
        return total + _logit_density(table, math.log(phi[0, 0]), lo, hi)
    if code == POISSON:
        return total + _poisson_density(table, lo, hi)
    for r in range(lo, hi):
        total += value_at(code, table[AT, r], table[Y, r], table[KNOWN, r], phi_at(phi, r))
    return total
