"""Special functions for compiled code, accurate far out in the tails."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee

ROOT_HALF = math.sqrt(0.5)
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# From here on Stirling's series with five terms, and its derivatives with seven, are exact to
# rounding.
_STIRLING, _ASYMPTOTIC = 16.0, 8.0
# Below this the continued fraction of Mills' ratio needs few terms.
_TAIL, _TERMS = -5.0, 30
# From here on differences of digamma lose digits that three terms of their own series keep.
_LONG = 1e4


@inner_ieee
def digamma(x: float) -> float:
    """Compute d log Gamma(x) / dx for x > 0."""
    total = 0.0
    while x < _ASYMPTOTIC:
        total -= 1.0 / x
        x += 1.0
    f = 1.0 / (x * x)
    series = 1.0 / 132.0 - f * (691.0 / 32760.0 - f / 12.0)
    series = 1.0 / 12.0 - f * (1.0 / 120.0 - f * (1.0 / 252.0 - f * (1.0 / 240.0 - f * series)))
    return total + math.log(x) - 0.5 / x - f * series


@inner_ieee
def scaled_trigamma(x: float) -> float:
    """Compute x^2 d^2 log Gamma(x) / dx^2 for x > 0, which tends to 1 for x to 0."""
    square, total, shifted = x * x, 0.0, x
    while shifted < _ASYMPTOTIC:
        # Written so that the first term is 1 also where x^2 is zero in numbers.
        total += (x / shifted) * (x / shifted)
        shifted += 1.0
    f = 1.0 / (shifted * shifted)
    series = 5.0 / 66.0 - f * (691.0 / 2730.0 - f * 7.0 / 6.0)
    series = 1.0 / 6.0 - f * (1.0 / 30.0 - f * (1.0 / 42.0 - f * (1.0 / 30.0 - f * series)))
    return total + square * (1.0 / shifted + 0.5 * f + f / shifted * series)


@inner_ieee
def stirling_rest(x: float) -> float:
    """Compute log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2 for x of 16 and more."""
    f = 1.0 / (x * x)
    series = 1.0 / 12.0 - f * (1.0 / 360.0 - f * (1.0 / 1260.0 - f * (1.0 / 1680.0 - f / 1188.0)))
    return series / x


@inner_ieee
def log_rising(x: float, by: float) -> float:
    """Compute log Gamma(x + by) - log Gamma(x), also where both are huge."""
    if x < _STIRLING or x + by < _STIRLING:
        return math.lgamma(x + by) - math.lgamma(x)
    rest = stirling_rest(x + by) - stirling_rest(x)
    return (x - 0.5) * math.log1p(by / x) + by * (math.log(x + by) - 1.0) + rest


@inner_ieee
def digamma_rising(x: float, by: float) -> float:
    """Compute the slope of `log_rising` in x, to its last digits also where x is huge."""
    if x < _LONG:
        return digamma(x + by) - digamma(x)
    f, end = by / x, x + by
    # The next term of the series is x^-4 / 30 of this.
    return math.log1p(f) + 0.5 * f / end + f * (x + end) / (12.0 * x * end * end)


@inner_ieee
def softplus(x: float) -> float:
    """Compute log(1 + exp(x))."""
    return x + math.log1p(math.exp(-x)) if x > 0.0 else math.log1p(math.exp(x))


@inner_ieee
def log_normal_cdf(x: float) -> tuple[float, float, float]:
    """Compute log Phi(x), h = phi(x) / Phi(x) and h + x, each without cancellation.

    Far to the left by the continued fraction h = z + 1 / (z + 2 / (z + 3 / ...)) with z = -x.
    """
    if x < _TAIL:
        z = -x
        fraction = z
        for k in range(_TERMS, 1, -1):
            fraction = z + k / fraction
        rest = 1.0 / fraction
        hazard = z + rest
        return -0.5 * x * x - HALF_LOG_2PI - math.log(hazard), hazard, rest
    density = math.exp(-0.5 * x * x - HALF_LOG_2PI)
    if x > 0.0:
        above = 0.5 * math.erfc(x * ROOT_HALF)
        hazard = density / (1.0 - above)
        return math.log1p(-above), hazard, hazard + x
    below = 0.5 * math.erfc(-x * ROOT_HALF)
    hazard = density / below
    return math.log(below), hazard, hazard + x
