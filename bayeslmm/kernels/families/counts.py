"""Rows of counts with log links; constants of y stand in `rows.constant_at`."""

from __future__ import annotations

import math

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import FARTHEST, logit_row
from bayeslmm.kernels.families.special import digamma_rising, log_rising, softplus

_LARGE = 16.0


@inner_ieee
def poisson_row(eta: float, y: float) -> tuple[float, float, float]:
    """Return y eta - exp(eta), its slope and minus its second derivative."""
    mu = math.exp(min(eta, FARTHEST))
    return y * eta - mu, y - mu, mu


@inner_ieee
def negbinomial_row(
    eta: float, y: float, shape: float, log_shape: float
) -> tuple[float, float, float]:
    """Return y d - (y + shape) log(1 + exp(d)), d = eta - log shape, and its derivatives.

    So it is a binomial of y + shape trials with logit, and its mean is exp(eta).
    """
    return logit_row(eta - log_shape, y, y + shape)


@inner_ieee
def negbinomial_constant(y: float, shape: float) -> float:
    """Compute log(Gamma(y + shape) / (Gamma(shape) y!))."""
    if y >= _LARGE and y > shape:
        return log_rising(y + 1.0, shape - 1.0) - math.lgamma(shape)
    return log_rising(shape, y) - math.lgamma(y + 1.0)


@inner_ieee
def negbinomial_shape_slope(eta: float, y: float, shape: float, log_shape: float) -> float:
    """Differentiate `negbinomial_row` in the shape."""
    d = eta - log_shape
    # y d - (y + k) softplus(d) with dd/dk = -1/k.
    return -softplus(d) - logit_row(d, y, y + shape)[1] / shape


@inner_ieee
def negbinomial_constant_slope(y: float, shape: float) -> float:
    """Differentiate `negbinomial_constant` in the shape."""
    return digamma_rising(shape, y)
