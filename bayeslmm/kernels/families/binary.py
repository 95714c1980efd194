"""Binomial rows: y successes of m trials; constants of y stand in `rows.constant_at`."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.special import log_normal_cdf, log_rising

# Beyond, exp overflows.
FARTHEST = 700.0
_SMALL = 0.05


@inner_ieee
def logit_row(eta: float, y: float, m: float) -> tuple[float, float, float]:
    """Return y eta - m log(1 + exp(eta)), its slope and minus its second derivative."""
    if eta > 0.0:
        t = math.exp(-eta)
        value, slope = (y - m) * eta - m * math.log1p(t), (y - m) + y * t
    else:
        t = math.exp(eta)
        value, slope = y * eta - m * math.log1p(t), y + (y - m) * t
    return value, slope / (1.0 + t), m * t / ((1.0 + t) * (1.0 + t))


@inner_ieee
def probit_row(eta: float, y: float, m: float) -> tuple[float, float, float]:
    """Return y log Phi(eta) + (m - y) log Phi(-eta), its slope and minus its second derivative."""
    value, slope, curvature = 0.0, 0.0, 0.0
    if y > 0.0:
        log_p, h, rest = log_normal_cdf(eta)
        value, slope, curvature = y * log_p, y * h, y * h * rest
    if m > y:
        log_q, h, rest = log_normal_cdf(-eta)
        value += (m - y) * log_q
        slope -= (m - y) * h
        curvature += (m - y) * h * rest
    return value, slope, curvature


@inner_ieee
def cloglog_parts(eta: float) -> tuple[float, float, float, float]:
    """Return t = exp(eta), log(1 - exp(-t)), g = t / (exp(t) - 1) and t + g - 1."""
    t = math.exp(min(eta, FARTHEST))
    if t < _SMALL:
        square = t * t
        rest = 0.5 * t + square * (1.0 / 12.0 - square * (1.0 / 720.0 - square / 30240.0))
        # log((1 - exp(-t)) / t) is needed where t itself has left the range of numbers.
        log_p = eta if t < 1e-100 else math.log(-math.expm1(-t))
        return t, log_p, 1.0 - t + rest, rest
    g = t / math.expm1(t) if t < FARTHEST else 0.0
    return t, math.log(-math.expm1(-t)), g, t + g - 1.0


@inner_ieee
def cloglog_row(eta: float, y: float, m: float) -> tuple[float, float, float]:
    """Return y log(1 - exp(-t)) - (m - y) t, t = exp(eta), its slope and minus its derivative."""
    t, log_p, g, rest = cloglog_parts(eta)
    failures = (m - y) * t
    return y * log_p - failures, y * g - failures, failures + y * g * rest


@inner_ieee
def log_choose(m: float, y: float) -> float:
    """Compute log(m! / (y! (m - y)!))."""
    few = min(y, m - y)
    if few == 0.0:
        return 0.0
    return log_rising(m - few + 1.0, few) - math.lgamma(few + 1.0)
