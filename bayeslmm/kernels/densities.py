"""Compiled densities on top of (T, log|V|): the collapsed density and the profiled criteria.

Everything takes a plan's two flat arrays and packed relative factors (factors in the Gram's order,
q * q entries each, row-major, in the original coordinates) and stays in compiled code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.elimination.factorization import factorize, linked_entry, pull_back
from bayeslmm.kernels.layout import LAMBDA, WIDTH, Working, open_working
from bayeslmm.kernels.small_matrices import (
    add_outer,
    multiply,
    quadratic,
    small_cholesky,
    small_solve,
    transposed_multiply,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


DENSITY, REML, ML, ML_AT_SIGMA, ML_AT_COEFFICIENT = range(5)
LOG_2PI = math.log(2.0 * math.pi)


@inner
def to_working(working: Working, packed: Floats, transposed: bool) -> Floats:
    """Multiply each factor's packed matrix by M_k (or M_k') from the left.

    Z Lambda = Zs (M Lambda), so this carries relative factors to the working coordinates and,
    transposed, gradients back.
    """
    out = np.zeros(len(packed))
    for f in range(len(working.factors)):
        q, at = working.factors[f, WIDTH], working.factors[f, LAMBDA]
        for r in range(q):
            for k in range(q):
                entry = working.M[at + (k * q + r if transposed else r * q + k)]
                for c in range(q):
                    out[at + r * q + c] += entry * packed[at + k * q + c]
    return out


@inner
def prior_in_working(working: Working, mean: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Carry a normal prior of beta to R (beta - origin): its mean, and its precision."""
    p = len(mean)
    shifted = np.empty((p, 1))
    for i in range(p):
        shifted[i, 0] = mean[i] - working.origin[i]
    inverse = working.R_inverse
    return multiply(working.R, shifted), multiply(transposed_multiply(inverse, precision), inverse)


@inner
def fixed_in_working(working: Working, beta: Floats) -> Floats:
    """Carry beta to the working coordinates, R (beta - origin); shape (p,)."""
    p = len(beta)
    out = np.zeros(p)
    for i in range(p):
        for j in range(i, p):
            out[i] += working.R[i, j] * (beta[j] - working.origin[j])
    return out


@inner
def fixed_posterior(
    T: Floats, sigma: float, mean: Floats, precision: Floats
) -> tuple[Floats, Floats, Floats, float, int]:
    """Combine T with a normal prior of the fixed effects, all in the working coordinates.

    Returns
    -------
    estimate : ndarray, shape (p, 1)
        Conditional mean.
    covariance : ndarray, shape (p, p)
        Conditional covariance.
    L : ndarray, shape (p, p)
        Cholesky factor of the conditional precision.
    logdet : float
        Of the conditional precision.
    rank : int
        Below p where the precision is singular.
    """
    p = T.shape[0] - 1
    P, h, unit = np.empty((p, p)), np.empty((p, 1)), np.zeros((p, p))
    for i in range(p):
        unit[i, i] = 1.0
        h[i, 0] = T[i, p] / sigma**2
        for j in range(p):
            P[i, j] = T[i, j] / sigma**2 + precision[i, j]
            h[i, 0] += precision[i, j] * mean[j, 0]
    L, logdet, rank = small_cholesky(P)
    if rank < p:
        return h, P, L, logdet, rank
    return small_solve(L, h), small_solve(L, unit), L, logdet, rank


@inner
def density_of_reduced(
    working: Working, T: Floats, logdet: float, sigma: float, mean: Floats, precision: Floats
) -> tuple[float, Floats, float]:
    """Finish log p(y | Lambda, sigma) from T and log|V|; return it, its d/dT and d/dsigma."""
    p, n = T.shape[0] - 1, working.n
    Tbar = np.zeros((p + 1, p + 1))
    inner_mean, inner_precision = prior_in_working(working, mean, precision)
    beta, covariance, _, logdet_fixed, rank = fixed_posterior(T, sigma, inner_mean, inner_precision)
    _, logdet_prior, prior_rank = small_cholesky(precision)
    if rank < p or not sigma > 0.0:
        return -math.inf, Tbar, 0.0
    v = residual_direction(beta)
    square, trace, penalty = quadratic(T, v), 0.0, 0.0
    for i in range(p):
        logdet_fixed += 2.0 * math.log(working.R[i, i])
        for j in range(p):
            trace += covariance[i, j] * T[i, j]
            shift = (beta[i, 0] - inner_mean[i, 0]) * (beta[j, 0] - inner_mean[j, 0])
            penalty += inner_precision[i, j] * shift
            Tbar[i, j] = -0.5 * covariance[i, j] / sigma**2
    add_outer(Tbar, v, -0.5 / sigma**2)
    value = -0.5 * (
        (n - p + prior_rank) * LOG_2PI
        + 2.0 * n * math.log(sigma)
        - working.sum_log_weights
        + logdet
        + logdet_fixed
        - logdet_prior
        + square / sigma**2
        + penalty
    )
    return value, Tbar, -n / sigma + (trace + square) / sigma**3


@inner
def log_density_at(working: Working, logdet: float, sigma: float, square: float) -> float:
    """Compute log N(y; X beta, sigma^2 V) from `square` = (y - X beta)' V^-1 (y - X beta)."""
    n = working.n
    return -0.5 * (
        n * LOG_2PI
        + 2.0 * n * math.log(sigma)
        - working.sum_log_weights
        + logdet
        + square / sigma**2
    )


@inner
def profiled_deviance(
    working: Working, logdet: float, square: float, dof: float
) -> tuple[float, float]:
    """Compute -2 log N(y; X beta, sigma^2 V) at sigma^2 = square / dof, and that sigma.

    With fewer degrees of freedom than rows, it is the part of REML's criterion without beta's.
    """
    value = dof * (1.0 + LOG_2PI + math.log(square / dof)) + logdet - working.sum_log_weights
    return value, math.sqrt(square / dof)


@inner
def density_given_fixed(
    working: Working, T: Floats, logdet: float, sigma: float, beta: Floats, d_beta: Floats
) -> tuple[float, Floats, float]:
    """Finish log p(y | beta, Lambda, sigma) as `density_of_reduced` does; add d/dbeta to d_beta."""
    p, R = T.shape[0] - 1, working.R
    Tbar = np.zeros((p + 1, p + 1))
    v = residual_direction(fixed_in_working(working, beta).reshape(p, 1))
    square = quadratic(T, v)
    for i in range(p):
        slope = 0.0
        for j in range(p + 1):
            slope += T[i, j] * v[j]
        for j in range(i, p):
            d_beta[j] += R[i, j] * slope / sigma**2
    add_outer(Tbar, v, -0.5 / sigma**2)
    value = log_density_at(working, logdet, sigma, square)
    return value, Tbar, -working.n / sigma + square / sigma**3


@inner
def criterion_of_reduced(
    working: Working, T: Floats, logdet: float, restricted: bool
) -> tuple[float, Floats, float]:
    """Finish the profiled criterion from T and log|V|; return it, its d/dT and sigma."""
    p = T.shape[0] - 1
    Tbar = np.zeros((p + 1, p + 1))
    beta, covariance, _, logdet_fixed, rank = fixed_posterior(
        T, 1.0, np.zeros((p, 1)), np.zeros((p, p))
    )
    if rank < p:
        return math.inf, Tbar, math.nan
    v = residual_direction(beta)
    square = quadratic(T, v)
    dof = working.n - (p if restricted else 0)
    if not square > 0.0:
        return math.inf, Tbar, math.nan
    value, sigma = profiled_deviance(working, logdet, square, dof)
    if restricted:
        value += logdet_fixed
        for i in range(p):
            value += 2.0 * math.log(working.R[i, i])
            for j in range(p):
                Tbar[i, j] = covariance[i, j]
    add_outer(Tbar, v, dof / square)
    return value, Tbar, sigma


@inner
def deviance_of_reduced(
    working: Working, T: Floats, logdet: float, kind: int, at: float, direction: Floats
) -> tuple[float, Floats, float]:
    """Finish the ML criterion with sigma, or one linear combination of beta, held at a value.

    `ML_AT_SIGMA` returns the derivative in sigma last, `ML_AT_COEFFICIENT` the profiled sigma.
    """
    p, n = T.shape[0] - 1, working.n
    Tbar = np.zeros((p + 1, p + 1))
    beta, covariance, _, _, rank = fixed_posterior(T, 1.0, np.zeros((p, 1)), np.zeros((p, p)))
    if rank < p:
        return math.inf, Tbar, math.nan
    if kind == ML_AT_COEFFICIENT:
        turned, miss, spread = np.zeros(p), at, 0.0
        for i in range(p):
            miss -= direction[i] * working.origin[i]
            for j in range(p):
                turned[i] += working.R_inverse[j, i] * direction[j]
        for i in range(p):
            miss -= turned[i] * beta[i, 0]
            for j in range(p):
                spread += turned[i] * covariance[i, j] * turned[j]
        for i in range(p):
            for j in range(p):
                beta[i, 0] += covariance[i, j] * turned[j] * miss / spread
    v = residual_direction(beta)
    square = quadratic(T, v)
    if not square > 0.0:
        return math.inf, Tbar, math.nan
    if kind == ML_AT_SIGMA:
        add_outer(Tbar, v, 1.0 / at**2)
        value = -2.0 * log_density_at(working, logdet, at, square)
        return value, Tbar, 2.0 * n / at - 2.0 * square / at**3
    add_outer(Tbar, v, n / square)
    value, sigma = profiled_deviance(working, logdet, square, n)
    return value, Tbar, sigma


@inner
def residual_direction(beta: Floats) -> Floats:
    """Stack (-beta, 1): what turns [X y] into y - X beta."""
    v = np.ones(len(beta) + 1)
    for i in range(len(beta)):
        v[i] = -beta[i, 0]
    return v


@linked_entry
def evaluate(
    ints: Ints,
    floats: Floats,
    lam: Floats,
    sigma: float,
    prior_mean: Floats,
    prior_precision: Floats,
    kind: int,
    want_gradient: bool,
) -> tuple[float, Floats, float]:
    """Evaluate the collapsed density, or the criterion with beta and sigma profiled out.

    The three kinds share one function because most of the machine code, and of the time to
    compile it, is the elimination and its gradient.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    lam : ndarray, shape (n_lambda,)
        Packed relative factors, Lambda_k = L_k / sigma, in the original coordinates.
    sigma : float
        Residual standard deviation; not used by the profiled criteria. Under `ML_AT_COEFFICIENT`
        the value at which ``prior_mean @ beta`` is held.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Normal prior of beta; not used by the criteria. Zero rows and columns of the precision are
        flat priors; all zero gives the restricted likelihood.
    kind : int
        `DENSITY`; the criterion -2 log-likelihood with beta and sigma profiled out: `REML`, `ML`;
        or the latter with something held: `ML_AT_SIGMA`, `ML_AT_COEFFICIENT`.
    want_gradient : bool
        Otherwise the gradient returned is zero.

    Returns
    -------
    value : float
        log p(y | Lambda, sigma), -inf where it cannot be computed; or the criterion, then +inf.
    d_lambda : ndarray, shape (n_lambda,)
        With respect to every entry of each Lambda at fixed sigma; use the free ones.
    extra : float
        The derivative in sigma at fixed Lambda where sigma is given; else the profiled sigma.
    """
    working = open_working(ints, floats)
    scaled = to_working(working, lam, False)
    ok, logdet, T, panel, border, right = factorize(ints, floats, scaled)
    zero = np.zeros(len(lam))
    if not ok:
        return (-math.inf if kind == DENSITY else math.inf), zero, math.nan
    if kind == DENSITY:
        value, Tbar, extra = density_of_reduced(
            working, T, logdet, sigma, prior_mean, prior_precision
        )
    elif kind in (REML, ML):
        value, Tbar, extra = criterion_of_reduced(working, T, logdet, kind == REML)
    else:
        value, Tbar, extra = deviance_of_reduced(working, T, logdet, kind, sigma, prior_mean)
    if math.isnan(value):
        value = -math.inf if kind == DENSITY else math.inf
    if math.isinf(value) or not want_gradient:
        return value, zero, extra
    weight = -0.5 if kind == DENSITY else 1.0
    gradient = pull_back(ints, floats, scaled, panel, border, right, Tbar, weight)
    return value, to_working(working, gradient, True), extra
