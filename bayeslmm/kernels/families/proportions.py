"""Beta rows of mean mu and precision phi; what does not depend on eta stands in `rows`."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import cloglog_parts
from bayeslmm.kernels.families.codes import BETA_CLOGLOG, BETA_LOGIT
from bayeslmm.kernels.families.special import digamma, log_normal_cdf, scaled_trigamma

_LEAST = 1e-300
# So that the square of a slope that nobody meets is a number.
_STEEPEST = 1e150


@inner_ieee
def mean_parts(code: int, eta: float) -> tuple[float, float, float, float]:
    """Return mu, 1 - mu, mu' / mu and mu' / (1 - mu), each to full precision."""
    if code == BETA_LOGIT:
        t = math.exp(-abs(eta))
        small, large = t / (1.0 + t), 1.0 / (1.0 + t)
        if eta > 0.0:
            return large, max(small, _LEAST), small, large
        return max(small, _LEAST), large, large, small
    if code == BETA_CLOGLOG:
        t, log_p, g, _ = cloglog_parts(eta)
        return max(math.exp(log_p), _LEAST), max(math.exp(-t), _LEAST), g, min(t, _STEEPEST)
    log_p, h, _ = log_normal_cdf(eta)
    log_q, other, _ = log_normal_cdf(-eta)
    return max(math.exp(log_p), _LEAST), max(math.exp(log_q), _LEAST), h, other


@inner_ieee
def beta_row(code: int, eta: float, y: float, phi: float) -> tuple[float, float, float]:
    """Return a log y + b log(1 - y) - log(Gamma(a) Gamma(b)), slope and expected information.

    a = mu phi, b = (1 - mu) phi.
    """
    mu, rest, up, down = mean_parts(code, eta)
    a, b = mu * phi, rest * phi
    log_y, log_not = math.log(y), math.log1p(-y)
    value = a * log_y + b * log_not - math.lgamma(a) - math.lgamma(b)
    slope = up * a * (log_y - digamma(a)) - down * b * (log_not - digamma(b))
    return value, slope, up * up * scaled_trigamma(a) + down * down * scaled_trigamma(b)


@inner_ieee
def beta_value(code: int, eta: float, y: float, phi: float) -> float:
    """Return the value of `beta_row` alone, at a third of its cost."""
    mu, rest, _, _ = mean_parts(code, eta)
    a, b = mu * phi, rest * phi
    return a * math.log(y) + b * math.log1p(-y) - math.lgamma(a) - math.lgamma(b)


@inner_ieee
def beta_phi_slope(code: int, eta: float, y: float, phi: float) -> float:
    """Differentiate `beta_row` in phi."""
    mu, rest, _, _ = mean_parts(code, eta)
    return mu * (math.log(y) - digamma(mu * phi)) + rest * (math.log1p(-y) - digamma(rest * phi))
