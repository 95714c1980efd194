"""Rows of any family by its code: value, slope and curvature in eta, slopes in phi.

A row's log-density is `row_at` plus `constant_at`, which does not depend on eta: quadrature and
Newton's method add it once and not at every node and step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import entry, inner_ieee
from bayeslmm.kernels.families.binary import cloglog_row, log_choose, logit_row, probit_row
from bayeslmm.kernels.families.censored import censored_gaussian_row, censored_weibull_row
from bayeslmm.kernels.families.codes import (
    BETAS,
    BINOMIAL_CLOGLOG,
    BINOMIAL_LOGIT,
    BINOMIAL_PROBIT,
    CENSORED,
    CENSORED_GAUSSIAN,
    CUMULATIVE_LOGIT,
    EXPONENTIAL,
    GAMMA,
    GAUSSIAN,
    NEGBINOMIAL,
    POISSON,
    STUDENT,
    TIMES,
    WEIBULL,
    ZERO_INFLATED_POISSON,
)
from bayeslmm.kernels.families.continuous import (
    gamma_constant,
    gamma_constant_slope,
    gamma_row,
    gaussian_constant,
    gaussian_row,
    student_constant,
    student_constant_slope,
    student_row,
    student_slopes,
)
from bayeslmm.kernels.families.counts import (
    negbinomial_constant,
    negbinomial_constant_slope,
    negbinomial_row,
    negbinomial_shape_slope,
    poisson_row,
)
from bayeslmm.kernels.families.mixtures import (
    add_mixture_constant_slopes,
    add_mixture_phi_slopes,
    mixture_constant,
    mixture_row,
    mixture_value,
)
from bayeslmm.kernels.families.ordered import add_threshold_slopes, ordered_row
from bayeslmm.kernels.families.proportions import beta_phi_slope, beta_row, beta_value
from bayeslmm.kernels.families.special import digamma
from bayeslmm.kernels.families.times import weibull_row, weibull_shape_slope

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@inner_ieee
def _shape_of(code: int, phi: Floats) -> float:
    """Return the shape of waiting times, 1 of exponential ones."""
    if code == EXPONENTIAL or len(phi) == 0:
        return 1.0
    shape: float = phi[0]
    return shape


@inner_ieee
def _censored_row(
    code: int, eta: float, y: float, known: float, phi: Floats
) -> tuple[float, float, float, float]:
    """Return what `row_at` does of a censored family, and the derivative in its parameter."""
    if code == CENSORED_GAUSSIAN:
        return censored_gaussian_row(eta, y, known, phi[0])
    return censored_weibull_row(eta, y, known, _shape_of(code, phi))


@inner_ieee
def row_at(  # noqa: PLR0911 - one family each
    code: int, eta: float, y: float, known: float, phi: Floats
) -> tuple[float, float, float]:
    """Evaluate the part of log p(y | eta, phi) that depends on eta.

    Parameters
    ----------
    code : int
        One of `codes`.
    eta : float
        The linear predictor; up to 700 either way nothing overflows.
    y : float
        The response; of the lognormal, log y.
    known : float
        Trials of the binomial, weight of the Gaussian and Student; of censored responses the
        other end, see `censored`; otherwise not looked at.
    phi : ndarray
        The family's parameters, in the order of `Family.parameters`.

    Returns
    -------
    value, slope : float
        And its derivative in eta.
    curvature : float
        Minus the second derivative where the family is log-concave, else the expected information,
        of some what stands for it; never negative.
    """
    if code == BINOMIAL_LOGIT:
        return logit_row(eta, y, known)
    if code == POISSON:
        return poisson_row(eta, y)
    if code == NEGBINOMIAL:
        return negbinomial_row(eta, y, phi[0], math.log(phi[0]))
    if code == BINOMIAL_PROBIT:
        return probit_row(eta, y, known)
    if code == BINOMIAL_CLOGLOG:
        return cloglog_row(eta, y, known)
    if code == GAMMA:
        return gamma_row(eta, y, phi[0])
    if code == STUDENT:
        return student_row(eta, y, phi[0] / math.sqrt(known), phi[1])
    if code == GAUSSIAN:
        return gaussian_row(eta, y, phi[0] / math.sqrt(known))
    if code in TIMES:
        return weibull_row(eta, y, _shape_of(code, phi))
    if code in CENSORED:
        value, slope, curvature, _ = _censored_row(code, eta, y, known, phi)
        return value, slope, curvature
    if code >= CUMULATIVE_LOGIT:
        return ordered_row(code, eta, y, phi)
    if code >= ZERO_INFLATED_POISSON:
        return mixture_row(code, eta, y, known, phi)
    return beta_row(code, eta, y, phi[0])


@inner_ieee
def value_at(code: int, eta: float, y: float, known: float, phi: Floats) -> float:
    """Evaluate the value of `row_at` alone."""
    if code in BETAS:
        return beta_value(code, eta, y, phi[0])
    if ZERO_INFLATED_POISSON <= code < CUMULATIVE_LOGIT:
        return mixture_value(code, eta, y, known, phi)
    return row_at(code, eta, y, known, phi)[0]


@inner_ieee
def constant_at(  # noqa: PLR0911 - one family each
    code: int, y: float, known: float, phi: Floats
) -> float:
    """Compute log p(y | eta, phi) less `row_at`; arguments as there."""
    if code in (BINOMIAL_LOGIT, BINOMIAL_PROBIT, BINOMIAL_CLOGLOG):
        return log_choose(known, y)
    if code == POISSON:
        return -math.lgamma(y + 1.0)
    if code == NEGBINOMIAL:
        return negbinomial_constant(y, phi[0])
    if code == GAMMA:
        return gamma_constant(y, phi[0])
    if code == STUDENT:
        return student_constant(phi[0] / math.sqrt(known), phi[1])
    if code == GAUSSIAN:
        return gaussian_constant(phi[0] / math.sqrt(known))
    if code in TIMES:
        return math.log(_shape_of(code, phi)) - math.log(y)
    if code in CENSORED or code >= CUMULATIVE_LOGIT:
        return 0.0
    if code >= ZERO_INFLATED_POISSON:
        return mixture_constant(code, y, known, phi)
    return math.lgamma(phi[0]) - math.log(y) - math.log1p(-y)


@inner_ieee
def add_phi_slopes(
    code: int, eta: float, y: float, known: float, phi: Floats, weight: float, out: Floats
) -> None:
    """Add weight times the derivatives of `row_at` in phi to `out`."""
    if code == NEGBINOMIAL:
        out[0] += weight * negbinomial_shape_slope(eta, y, phi[0], math.log(phi[0]))
    elif code == GAMMA:
        out[0] += weight * gamma_row(eta, y, phi[0])[0] / phi[0]
    elif code == STUDENT:
        by_scale, by_nu = student_slopes(eta, y, phi[0] / math.sqrt(known), phi[1])
        out[0] += weight * by_scale / phi[0]
        out[1] += weight * by_nu
    elif code == GAUSSIAN:
        value, _, _ = gaussian_row(eta, y, phi[0] / math.sqrt(known))
        out[0] -= weight * 2.0 * value / phi[0]
    elif code == WEIBULL:
        out[0] += weight * weibull_shape_slope(eta, y, phi[0])
    elif code in CENSORED:
        if len(phi) > 0:
            out[0] += weight * _censored_row(code, eta, y, known, phi)[3]
    elif code >= CUMULATIVE_LOGIT:
        add_threshold_slopes(code, eta, y, phi, weight, out)
    elif code >= ZERO_INFLATED_POISSON:
        add_mixture_phi_slopes(code, eta, y, known, phi, weight, out)
    elif code in BETAS:
        out[0] += weight * beta_phi_slope(code, eta, y, phi[0])


@inner_ieee
def add_constant_slopes(code: int, y: float, phi: Floats, out: Floats) -> None:
    """Add the derivatives of `constant_at` in phi to `out`."""
    if code == NEGBINOMIAL:
        out[0] += negbinomial_constant_slope(y, phi[0])
    elif code == GAMMA:
        out[0] += gamma_constant_slope(y, phi[0])
    elif code == STUDENT:
        out[0] -= 1.0 / phi[0]
        out[1] += student_constant_slope(phi[1])
    elif code == GAUSSIAN:
        out[0] -= 1.0 / phi[0]
    elif code == WEIBULL:
        out[0] += 1.0 / phi[0]
    elif ZERO_INFLATED_POISSON <= code < CUMULATIVE_LOGIT:
        add_mixture_constant_slopes(code, y, phi, out)
    elif code in BETAS:
        out[0] += digamma(phi[0])


@entry
def rows(
    code: int, eta: Floats, y: Floats, known: Floats, phi: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Evaluate log p(y_i | eta_i, phi) row by row, constants included.

    Parameters
    ----------
    code : int
        One of `codes`.
    eta, y, known : ndarray, shape (n,)
        As in `row_at`.
    phi : ndarray
        The family's parameters.

    Returns
    -------
    value, slope, curvature : ndarray, shape (n,)
        As `row_at` has them, the value with its constant.
    phi_slopes : ndarray, shape (n, len(phi))
        Derivatives of the value in phi.
    """
    n = len(y)
    value, slope, curvature = np.empty(n), np.empty(n), np.empty(n)
    phi_slopes = np.zeros((n, len(phi)))
    for i in range(n):
        part, slope[i], curvature[i] = row_at(code, eta[i], y[i], known[i], phi)
        value[i] = part + constant_at(code, y[i], known[i], phi)
        add_phi_slopes(code, eta[i], y[i], known[i], phi, 1.0, phi_slopes[i])
        add_constant_slopes(code, y[i], phi, phi_slopes[i])
    return value, slope, curvature, phi_slopes
