"""Rows of waiting times; what does not depend on eta stands in `rows`."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.special import digamma

# exp of it is 1e300, beyond which cumulative hazards are no numbers.
_FARTHEST = 690.0


@inner_ieee
def log_hazard(eta: float, y: float, shape: float) -> float:
    """Compute a = shape log(y / lambda), the logarithm of the cumulative hazard at y."""
    return shape * (math.log(y) - eta + math.lgamma(1.0 + 1.0 / shape))


@inner_ieee
def weibull_row(eta: float, y: float, shape: float) -> tuple[float, float, float]:
    """Return a - exp(a), its slope and minus its second derivative."""
    a = log_hazard(eta, y, shape)
    hazard = math.exp(min(a, _FARTHEST))
    return a - hazard, shape * (hazard - 1.0), shape * shape * hazard


@inner_ieee
def log_hazard_slope(a: float, shape: float) -> float:
    """Differentiate `log_hazard` in the shape, from its value a."""
    return (a - digamma(1.0 + 1.0 / shape)) / shape


@inner_ieee
def weibull_shape_slope(eta: float, y: float, shape: float) -> float:
    """Differentiate the value of `weibull_row` in the shape."""
    a = log_hazard(eta, y, shape)
    return (1.0 - math.exp(min(a, _FARTHEST))) * log_hazard_slope(a, shape)
