"""Rows with zeros of their own, truncated counts, and beta-binomial rows.

As in `rows`, whose other families they are made of: value, slope and curvature in eta, what does
not depend on eta, and slopes in phi. A zero beyond a hurdle does not depend on eta at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import (
    FARTHEST,
    cloglog_parts,
    cloglog_row,
    log_choose,
    logit_row,
    probit_row,
)
from bayeslmm.kernels.families.codes import (
    BETA_BINOMIAL_LOGIT,
    BETA_LOGIT,
    HURDLE_GAMMA,
    HURDLE_LOGNORMAL,
    HURDLE_NEGBINOMIAL,
    HURDLE_POISSON,
    TRUNCATED_NEGBINOMIAL,
    TRUNCATED_POISSON,
    ZERO_INFLATED_BINOMIAL_LOGIT,
    ZERO_INFLATED_BINOMIAL_PROBIT,
    ZERO_INFLATED_NEGBINOMIAL,
    ZERO_INFLATED_POISSON,
)
from bayeslmm.kernels.families.continuous import (
    gamma_constant,
    gamma_constant_slope,
    gamma_row,
    gaussian_constant,
    gaussian_row,
)
from bayeslmm.kernels.families.counts import (
    negbinomial_constant,
    negbinomial_constant_slope,
    negbinomial_row,
    negbinomial_shape_slope,
    poisson_row,
)
from bayeslmm.kernels.families.proportions import mean_parts
from bayeslmm.kernels.families.special import digamma_rising, log_rising, softplus

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

    Row = tuple[float, float, float]

_TINY = 1e-300
# The nearest numbers to 0 and 1 that a share may have.
_CLOSE = 1e-16


@inner_ieee
def _share(value: float) -> float:
    return min(max(value, _TINY), 1.0 - _CLOSE)


@inner_ieee
def _inflated_inner(code: int, eta: float, y: float, known: float, phi: Floats) -> Row:
    """Return the row of what has zeros, too."""
    if code == ZERO_INFLATED_POISSON:
        return poisson_row(eta, y)
    if code == ZERO_INFLATED_NEGBINOMIAL:
        return negbinomial_row(eta, y, phi[0], math.log(phi[0]))
    if code == ZERO_INFLATED_BINOMIAL_LOGIT:
        return logit_row(eta, y, known)
    if code == ZERO_INFLATED_BINOMIAL_PROBIT:
        return probit_row(eta, y, known)
    return cloglog_row(eta, y, known)


@inner_ieee
def _of_its_own(log_zero: float, share: float) -> tuple[float, float]:
    """Return log(odds + p_0), odds = pi / (1 - pi), and the probability that a zero is p_0's."""
    other = math.exp(log_zero)
    total = share / (1.0 - share) + other
    return math.log(total), other / total


@inner_ieee
def _inflated_row(code: int, eta: float, y: float, known: float, phi: Floats, share: float) -> Row:
    value, slope, curvature = _inflated_inner(code, eta, y, known, phi)
    if y > 0.0:
        return value, slope, curvature
    # The information that whether a zero is its own would give, and no less than none.
    total, own = _of_its_own(value, share)
    return total, own * slope, own * curvature


@inner_ieee
def _truncated_poisson_row(eta: float, y: float) -> Row:
    t, log_positive, g, rest = cloglog_parts(eta)
    return y * eta - t - log_positive, y - t - g, max(t - g * rest, 0.0)


@inner_ieee
def _positive_parts(eta: float, shape: float, log_shape: float) -> tuple[float, float, float]:
    """Return log P(z > 0) of a negative binomial, its slope in eta and in the shape."""
    d = eta - log_shape
    log_stop = softplus(d)
    rate = 1.0 / (1.0 + math.exp(-d)) if d > -700.0 else _TINY
    hazard = math.log(max(log_stop, _TINY))
    _, log_positive, g, _ = cloglog_parts(log_shape + hazard)
    ratio = rate / max(log_stop, _TINY)
    return log_positive, g * ratio, g * (1.0 - ratio) / shape


@inner_ieee
def _truncated_negbinomial_row(eta: float, y: float, shape: float) -> Row:
    """Return the row, with the expected information: far up its own has either sign."""
    log_shape = math.log(shape)
    value, slope, _ = negbinomial_row(eta, y, shape, log_shape)
    log_positive, up, _ = _positive_parts(eta, shape, log_shape)
    mu = math.exp(min(eta, 300.0))
    mean = math.exp(min(eta - log_positive, 300.0))
    rest = 1.0 / (1.0 + mu / shape)
    variance = mean * (mu / shape + (1.0 + mu - mean))
    return value - log_positive, slope - up, max(rest * rest * variance, 0.0)


@inner_ieee
def _beta_binomial_row(code: int, eta: float, y: float, n: float, phi: float) -> Row:
    """Return the row, with the information of a quasi-likelihood of the same variance."""
    mu, rest, up, down = mean_parts(BETA_LOGIT + code - BETA_BINOMIAL_LOGIT, eta)
    a, b = max(mu * phi, _TINY), max(rest * phi, _TINY)
    value = log_rising(a, y) + log_rising(b, n - y) - log_rising(phi, n)
    slope = up * a * digamma_rising(a, y) - down * b * digamma_rising(b, n - y)
    return value, slope, n * up * down * (1.0 + phi) / (n + phi)


@inner_ieee
def mixture_row(  # noqa: PLR0911 - one family each
    code: int, eta: float, y: float, known: float, phi: Floats
) -> Row:
    """Evaluate a row as `rows.row_at` does."""
    if code >= BETA_BINOMIAL_LOGIT:
        return _beta_binomial_row(code, eta, y, known, phi[0])
    if code == TRUNCATED_POISSON:
        return _truncated_poisson_row(eta, y)
    if code == TRUNCATED_NEGBINOMIAL:
        return _truncated_negbinomial_row(eta, y, phi[0])
    if code < HURDLE_POISSON:
        share = _share(phi[1] if code == ZERO_INFLATED_NEGBINOMIAL else phi[0])
        return _inflated_row(code, eta, y, known, phi, share)
    if y == 0.0:
        return 0.0, 0.0, 0.0
    if code == HURDLE_POISSON:
        return _truncated_poisson_row(eta, y)
    if code == HURDLE_NEGBINOMIAL:
        return _truncated_negbinomial_row(eta, y, phi[0])
    if code == HURDLE_GAMMA:
        return gamma_row(eta, y, phi[0])
    return gaussian_row(eta, math.log(y), phi[0])


@inner_ieee
def mixture_value(code: int, eta: float, y: float, known: float, phi: Floats) -> float:
    """Evaluate the value of `mixture_row` alone, at half its cost where zeros are of two kinds."""
    if code == ZERO_INFLATED_POISSON:
        log_zero = -math.exp(min(eta, FARTHEST))
        return y * eta + log_zero if y > 0.0 else _of_its_own(log_zero, _share(phi[0]))[0]
    if code == ZERO_INFLATED_NEGBINOMIAL:
        d = eta - math.log(phi[0])
        above = softplus(d)
        if y > 0.0:
            value: float = y * d - (y + phi[0]) * above
            return value
        return _of_its_own(-phi[0] * above, _share(phi[1]))[0]
    return mixture_row(code, eta, y, known, phi)[0]


@inner_ieee
def _inner_constant(code: int, y: float, known: float, phi: Floats) -> float:
    """Compute the constant of a row that is no zero of its own, but for its share."""
    if code >= BETA_BINOMIAL_LOGIT or (ZERO_INFLATED_BINOMIAL_LOGIT <= code < HURDLE_POISSON):
        return log_choose(known, y)
    if code in (ZERO_INFLATED_NEGBINOMIAL, HURDLE_NEGBINOMIAL, TRUNCATED_NEGBINOMIAL):
        return negbinomial_constant(y, phi[0])
    if code == HURDLE_GAMMA:
        return gamma_constant(y, phi[0])
    if code == HURDLE_LOGNORMAL:
        return gaussian_constant(phi[0]) - math.log(y)
    return -math.lgamma(y + 1.0)


@inner_ieee
def mixture_constant(code: int, y: float, known: float, phi: Floats) -> float:
    """Compute log p(y | eta, phi) less `mixture_row`."""
    if code >= TRUNCATED_POISSON:
        return _inner_constant(code, y, known, phi)
    share = _share(phi[len(phi) - 1])
    if code >= HURDLE_POISSON and y == 0.0:
        return math.log(share)
    return math.log1p(-share) + _inner_constant(code, y, known, phi)


@inner_ieee
def _add_zero_slopes(
    code: int, eta: float, known: float, phi: Floats, weight: float, out: Floats
) -> None:
    """Add derivatives of a zero that may be one of its own."""
    last = len(phi) - 1
    share = _share(phi[last])
    _, own = _of_its_own(_inflated_inner(code, eta, 0.0, known, phi)[0], share)
    out[last] += weight * (1.0 - own) / (share * (1.0 - share))
    if code == ZERO_INFLATED_NEGBINOMIAL:
        slope = negbinomial_shape_slope(eta, 0.0, phi[0], math.log(phi[0]))
        out[0] += weight * own * slope


@inner_ieee
def add_mixture_phi_slopes(
    code: int, eta: float, y: float, known: float, phi: Floats, weight: float, out: Floats
) -> None:
    """Add weight times the derivatives of `mixture_row` in phi to `out`."""
    if code >= BETA_BINOMIAL_LOGIT:
        mu, rest, _, _ = mean_parts(BETA_LOGIT + code - BETA_BINOMIAL_LOGIT, eta)
        a, b = max(mu * phi[0], _TINY), max(rest * phi[0], _TINY)
        slope = mu * digamma_rising(a, y) + rest * digamma_rising(b, known - y)
        out[0] += weight * (slope - digamma_rising(phi[0], known))
    elif y == 0.0:
        if code < HURDLE_POISSON:
            _add_zero_slopes(code, eta, known, phi, weight, out)
    elif code in (ZERO_INFLATED_NEGBINOMIAL, HURDLE_NEGBINOMIAL, TRUNCATED_NEGBINOMIAL):
        log_shape = math.log(phi[0])
        slope = negbinomial_shape_slope(eta, y, phi[0], log_shape)
        if code != ZERO_INFLATED_NEGBINOMIAL:
            slope -= _positive_parts(eta, phi[0], log_shape)[2]
        out[0] += weight * slope
    elif code == HURDLE_GAMMA:
        out[0] += weight * gamma_row(eta, y, phi[0])[0] / phi[0]
    elif code == HURDLE_LOGNORMAL:
        out[0] -= weight * 2.0 * gaussian_row(eta, math.log(y), phi[0])[0] / phi[0]


@inner_ieee
def add_mixture_constant_slopes(code: int, y: float, phi: Floats, out: Floats) -> None:
    """Add the derivatives of `mixture_constant` in phi to `out`."""
    if code < TRUNCATED_POISSON:
        last = len(phi) - 1
        share = _share(phi[last])
        if code >= HURDLE_POISSON and y == 0.0:
            out[last] += 1.0 / share
            return
        out[last] -= 1.0 / (1.0 - share)
    if code in (ZERO_INFLATED_NEGBINOMIAL, HURDLE_NEGBINOMIAL, TRUNCATED_NEGBINOMIAL):
        out[0] += negbinomial_constant_slope(y, phi[0])
    elif code == HURDLE_GAMMA:
        out[0] += gamma_constant_slope(y, phi[0])
    elif code == HURDLE_LOGNORMAL:
        out[0] -= 1.0 / phi[0]
