"""Compiled densities on top of (T, log|V|): the collapsed density and the profiled criterion.

Everything takes a plan's two flat arrays and packed relative factors (factors in the Gram's order,
q * q entries each, row-major, in the original coordinates) and stays in compiled code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from bayeslmm.kernel_gradient import pull_back
from bayeslmm.kernels import FAST, factorize, open_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LOG_2PI = math.log(2.0 * math.pi)
# Where the plan's floats keep what the densities need: n, sum log w, then R, R^-1, origin, M_k.
HEAD = 2


@njit(cache=True, nogil=True, fastmath=FAST)
def multiply(a: Floats, b: Floats) -> Floats:
    """Multiply two small matrices without BLAS, whose wrappers take long to compile."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


@njit(cache=True, nogil=True)
def small_cholesky(matrix: Floats) -> tuple[Floats, float, int]:
    """Factor a positive semi-definite matrix; return (L, log of non-zero pivots, their number).

    A row that is zero up to rounding (a coefficient with a flat prior) gives a zero column. The
    number is -1 where the matrix has a negative pivot or is not finite.
    """
    p = matrix.shape[0]
    L, logdet, rank = np.zeros((p, p)), 0.0, 0
    for j in range(p):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= L[j, k] * L[j, k]
        if math.isnan(pivot) or math.isinf(pivot) or pivot < -1e-10 * abs(matrix[j, j]):
            return L, logdet, -1
        if pivot <= 1e-14 * matrix[j, j]:
            continue
        logdet += math.log(pivot)
        rank += 1
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, p):
            total = matrix[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            L[i, j] = total / L[j, j]
    return L, logdet, rank


@njit(cache=True, nogil=True)
def small_solve(L: Floats, right: Floats) -> Floats:
    """Solve L L' x = right for a matrix of right-hand sides."""
    out, p = right.copy(), L.shape[0]
    for c in range(out.shape[1]):
        for i in range(p):
            for k in range(i):
                out[i, c] -= L[i, k] * out[k, c]
            out[i, c] /= L[i, i]
        for i in range(p - 1, -1, -1):
            for k in range(i + 1, p):
                out[i, c] -= L[k, i] * out[k, c]
            out[i, c] /= L[i, i]
    return out


@njit(cache=True, nogil=True)
def to_plan(ints: Ints, floats: Floats, packed: Floats, transposed: bool) -> Floats:
    """Multiply each factor's packed matrix by M_k (or M_k') from the left.

    Z Lambda = Zs (M Lambda), so this carries relative factors to the plan's coordinates and,
    transposed, gradients back.
    """
    K, p = ints[0], ints[1] - 1
    out = np.zeros(len(packed))
    start = HEAD + 2 * p * p + p
    for f in range(K):
        q, at = ints[16 + 6 * f + 1], ints[16 + 6 * f + 2]
        for r in range(q):
            for k in range(q):
                entry = start + at + (k * q + r if transposed else r * q + k)
                for c in range(q):
                    out[at + r * q + c] += floats[entry] * packed[at + k * q + c]
    return out


@njit(cache=True, nogil=True)
def prior_in_plan(floats: Floats, p: int, mean: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Carry a normal prior of beta to R (beta - origin): its mean, and its precision."""
    R = floats[HEAD : HEAD + p * p].reshape(p, p)
    inverse = floats[HEAD + p * p : HEAD + 2 * p * p].reshape(p, p)
    origin = floats[HEAD + 2 * p * p : HEAD + 2 * p * p + p]
    shifted = np.empty((p, 1))
    for i in range(p):
        shifted[i, 0] = mean[i] - origin[i]
    turned = multiply(multiply(inverse.T, precision), inverse)
    return multiply(R, shifted), turned


@njit(cache=True, nogil=True)
def fixed_posterior(
    T: Floats, sigma: float, mean: Floats, precision: Floats
) -> tuple[Floats, Floats, Floats, float, int]:
    """Combine T with a normal prior of the fixed effects, all in the plan's coordinates.

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
    P, h = np.empty((p, p)), np.empty((p, 1))
    for i in range(p):
        h[i, 0] = T[i, p] / sigma**2
        for j in range(p):
            P[i, j] = T[i, j] / sigma**2 + precision[i, j]
            h[i, 0] += precision[i, j] * mean[j, 0]
    L, logdet, rank = small_cholesky(P)
    if rank < p:
        return h, P, L, logdet, rank
    return small_solve(L, h), small_solve(L, np.eye(p)), L, logdet, rank


@njit(cache=True, nogil=True)
def collapsed_density(
    ints: Ints,
    floats: Floats,
    lam: Floats,
    sigma: float,
    prior_mean: Floats,
    prior_precision: Floats,
    want_gradient: bool,
) -> tuple[float, Floats, float]:
    """Evaluate log p(y | Lambda, sigma), random and fixed effects integrated out.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    lam : ndarray, shape (n_lambda,)
        Packed relative factors, Lambda_k = L_k / sigma, original coordinates.
    sigma : float
        Residual standard deviation.
    prior_mean : ndarray, shape (p,)
        Prior mean of beta.
    prior_precision : ndarray, shape (p, p)
        Prior precision; zero rows and columns give flat priors, all zero the restricted likelihood.
    want_gradient : bool
        Otherwise the gradients returned are empty and zero.

    Returns
    -------
    log_density : float
        -inf where it cannot be computed.
    d_lambda : ndarray, shape (n_lambda,)
        With respect to every entry of each Lambda at fixed sigma; use the free ones.
    d_sigma : float
        At fixed Lambda.
    """
    lay = open_layout(ints, floats)
    p = ints[1] - 1
    failed = (-math.inf, np.zeros(len(lam)), 0.0)
    inner = to_plan(ints, floats, lam, False)
    ok, logdet, T, panel, border, right = factorize(lay, inner)
    mean, precision = prior_in_plan(floats, p, prior_mean, prior_precision)
    beta, covariance, _, logdet_fixed, rank = fixed_posterior(T, sigma, mean, precision)
    if not ok or rank < p or not sigma > 0.0:
        return failed
    _, logdet_prior, prior_rank = small_cholesky(prior_precision)
    for i in range(p):
        logdet_fixed += 2.0 * math.log(floats[HEAD + i * p + i])
    v = np.ones(p + 1)
    v[:p] = -beta[:, 0]
    square, trace, penalty = quadratic(T, v), 0.0, 0.0
    for i in range(p):
        for j in range(p):
            trace += covariance[i, j] * T[i, j]
            penalty += (beta[i, 0] - mean[i, 0]) * precision[i, j] * (beta[j, 0] - mean[j, 0])
    value = -0.5 * (
        (floats[0] - (p - prior_rank)) * LOG_2PI
        + 2.0 * floats[0] * math.log(sigma)
        - floats[1]
        + logdet
        + logdet_fixed
        - logdet_prior
        + square / sigma**2
        + penalty
    )
    if math.isnan(value) or not want_gradient:
        return (failed[0] if math.isnan(value) else value), failed[1], 0.0
    Tbar = np.outer(v, v)
    Tbar[:p, :p] += covariance
    Tbar *= -0.5 / sigma**2
    gradient = pull_back(lay, inner, panel, border, right, Tbar, -0.5)
    d_sigma = -floats[0] / sigma + (trace + square) / sigma**3
    return value, to_plan(ints, floats, gradient, True), d_sigma


@njit(cache=True, nogil=True, fastmath=FAST)
def quadratic(T: Floats, v: Floats) -> float:
    """Compute v'T v."""
    total = 0.0
    for i in range(len(v)):
        for j in range(len(v)):
            total += v[i] * T[i, j] * v[j]
    return total


@njit(cache=True, nogil=True)
def profiled_criterion(
    ints: Ints, floats: Floats, lam: Floats, restricted: bool, want_gradient: bool
) -> tuple[float, Floats, float]:
    """Evaluate -2 log (restricted) likelihood with beta and sigma profiled out.

    REML: (n - p)(1 + log(2 pi r / (n - p))) + log|V| + log|X'V^-1 X| - sum log w, with
    r = min_beta (y - X beta)'V^-1(y - X beta); ML: n for n - p, and no log|X'V^-1 X|.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    lam : ndarray, shape (n_lambda,)
        Packed relative factors.
    restricted : bool
        REML rather than ML.
    want_gradient : bool
        Otherwise the gradient returned is zero.

    Returns
    -------
    criterion : float
        +inf where it cannot be computed.
    d_lambda : ndarray, shape (n_lambda,)
        With respect to every entry of each Lambda.
    sigma : float
        The profiled residual standard deviation.
    """
    lay = open_layout(ints, floats)
    p = ints[1] - 1
    inner = to_plan(ints, floats, lam, False)
    ok, logdet, T, panel, border, right = factorize(lay, inner)
    flat, zero = np.zeros((p, p)), np.zeros((p, 1))
    beta, covariance, _, logdet_fixed, rank = fixed_posterior(T, 1.0, zero, flat)
    v = np.ones(p + 1)
    square = T[p, p]
    if ok and rank == p:
        v[:p] = -beta[:, 0]
        square = quadratic(T, v)
    if not ok or rank < p or not square > 0.0:
        return math.inf, np.zeros(len(lam)), math.nan
    dof = floats[0] - (p if restricted else 0)
    value = dof * (1.0 + LOG_2PI + math.log(square / dof)) + logdet - floats[1]
    if restricted:
        value += logdet_fixed
        for i in range(p):
            value += 2.0 * math.log(floats[HEAD + i * p + i])
    sigma = math.sqrt(square / dof)
    if not want_gradient:
        return value, np.zeros(len(lam)), sigma
    Tbar = np.outer(v, v) * (dof / square)
    if restricted:
        Tbar[:p, :p] += covariance
    gradient = pull_back(lay, inner, panel, border, right, Tbar, 1.0)
    return value, to_plan(ints, floats, gradient, True), sigma
