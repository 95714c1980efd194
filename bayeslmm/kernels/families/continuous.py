"""Rows of real and positive responses; what does not depend on eta stands in `rows`."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import FARTHEST
from bayeslmm.kernels.families.special import HALF_LOG_2PI, digamma, log_rising

_HUGE = 1e300


@inner_ieee
def gaussian_row(eta: float, y: float, scale: float) -> tuple[float, float, float]:
    """Return -r^2 / 2 with r = (y - eta) / scale, its slope and minus its second derivative."""
    r = (y - eta) / scale
    return -0.5 * r * r, r / scale, 1.0 / (scale * scale)


@inner_ieee
def student_row(eta: float, y: float, scale: float, nu: float) -> tuple[float, float, float]:
    """Return -(nu + 1) log(1 + r^2 / nu) / 2, its slope and its expected information."""
    r = (y - eta) / scale
    value = -0.5 * (nu + 1.0) * math.log1p(r * r / nu)
    slope = (nu + 1.0) * r / ((nu + r * r) * scale)
    return value, slope, (nu + 1.0) / ((nu + 3.0) * scale * scale)


@inner_ieee
def student_constant(scale: float, nu: float) -> float:
    """Compute the log of what a t density is multiplied by."""
    return log_rising(0.5 * nu, 0.5) - 0.5 * math.log(nu * math.pi) - math.log(scale)


@inner_ieee
def student_slopes(eta: float, y: float, scale: float, nu: float) -> tuple[float, float]:
    """Differentiate `student_row` in log scale and in nu."""
    r = (y - eta) / scale
    square = r * r
    by_scale = (nu + 1.0) * square / (nu + square)
    return by_scale, 0.5 * (by_scale / nu - math.log1p(square / nu))


@inner_ieee
def student_constant_slope(nu: float) -> float:
    """Differentiate `student_constant` in nu."""
    return 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - 1.0 / nu)


@inner_ieee
def gaussian_constant(scale: float) -> float:
    """Compute -log(2 pi) / 2 - log scale."""
    return -HALF_LOG_2PI - math.log(scale)


@inner_ieee
def gamma_row(eta: float, y: float, shape: float) -> tuple[float, float, float]:
    """Return -shape (eta + y exp(-eta)), its slope and minus its second derivative."""
    ratio = min(y * math.exp(min(-eta, FARTHEST)), _HUGE)
    return -shape * (eta + ratio), shape * (ratio - 1.0), shape * ratio


@inner_ieee
def gamma_constant(y: float, shape: float) -> float:
    """Compute shape log shape - log Gamma(shape) + (shape - 1) log y."""
    return shape * math.log(shape * y) - math.log(y) - math.lgamma(shape)


@inner_ieee
def gamma_constant_slope(y: float, shape: float) -> float:
    """Differentiate `gamma_constant` in the shape."""
    return math.log(shape * y) + 1.0 - digamma(shape)
