"""Rows of which some are known to lie in an interval alone, whole: nothing of them is a constant.

Beside the response y stands its other end: y itself where y was observed, infinity where the
response is only known to be above y, minus infinity where it is at most y, and else a number above
y, where the response lies between y and that number.
"""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import cloglog_row, probit_row
from bayeslmm.kernels.families.continuous import gaussian_constant, gaussian_row
from bayeslmm.kernels.families.special import log_normal_cdf
from bayeslmm.kernels.families.times import (
    log_hazard,
    log_hazard_slope,
    weibull_row,
    weibull_shape_slope,
)


@inner_ieee
def _between(a: float, b: float) -> tuple[float, float, float]:
    """Return log(Phi(b) - Phi(a)) for a < b, phi(a) and phi(b) over the difference."""
    if a > 0.0:
        # The same of the other tail, where neither is close to one.
        low, high = -b, -a
    else:
        low, high = a, b
    log_low, h_low, _ = log_normal_cdf(low)
    log_high, h_high, _ = log_normal_cdf(high)
    less = log_low - log_high
    share = -math.expm1(less)
    of_low, of_high = h_low * math.exp(less) / share, h_high / share
    value = log_high + math.log(share)
    if a > 0.0:
        return value, of_high, of_low
    return value, of_low, of_high


@inner_ieee
def censored_gaussian_row(
    eta: float, y: float, end: float, sigma: float
) -> tuple[float, float, float, float]:
    """Return log p, its slope in eta, minus its second derivative, and its slope in sigma."""
    if end == y:
        part, slope, curvature = gaussian_row(eta, y, sigma)
        value = part + gaussian_constant(sigma)
        return value, slope, curvature, -(2.0 * part + 1.0) / sigma
    z = (eta - y) / sigma
    if math.isinf(end):
        value, slope, curvature = probit_row(z, 1.0 if end > 0.0 else 0.0, 1.0)
        return value, slope / sigma, curvature / (sigma * sigma), -z * slope / sigma
    a, b = -z, (end - eta) / sigma
    value, of_a, of_b = _between(a, b)
    slope, turn = of_a - of_b, b * of_b - a * of_a
    curvature = max(slope * slope + turn, 0.0)
    return value, slope / sigma, curvature / (sigma * sigma), -turn / sigma


@inner_ieee
def censored_weibull_row(
    eta: float, y: float, end: float, shape: float
) -> tuple[float, float, float, float]:
    """Return log p, its slope in eta, minus its second derivative, and its slope in the shape."""
    if end == y:
        value, slope, curvature = weibull_row(eta, y, shape)
        by_shape = weibull_shape_slope(eta, y, shape) + 1.0 / shape
        return value + math.log(shape) - math.log(y), slope, curvature, by_shape
    # log P(Y > y) = -exp(a), and log P(Y <= y) = log(1 - exp(-exp(a))).
    a = log_hazard(eta, y, shape)
    turn = log_hazard_slope(a, shape)
    if math.isinf(end):
        value, slope, curvature = cloglog_row(a, 0.0 if end > 0.0 else 1.0, 1.0)
        return value, -shape * slope, shape * shape * curvature, slope * turn
    # Of an interval, that it outlasts y, and then not the hazard from there to its end.
    length = math.log(end / y)
    growth = math.expm1(shape * length)
    ahead = a + math.log(growth)
    value, slope, curvature = cloglog_row(a, 0.0, 1.0)
    more, steep, bent = cloglog_row(ahead, 1.0, 1.0)
    by_shape = slope * turn + steep * (turn + length * (growth + 1.0) / growth)
    total = shape * shape * (curvature + bent)
    return value + more, -shape * (slope + steep), total, by_shape
