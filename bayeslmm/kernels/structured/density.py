"""The collapsed density of a model whose cross-products depend on parameters, compiled.

R is in the cross-products and its determinant in the plan's ``SUM_LOG_WEIGHTS`` = -log|R|, so
that sigma is 1 and relative factors are the random effects' own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.densities import (
    DENSITY,
    ML,
    ML_AT_SIGMA,
    REML,
    criterion_of_reduced,
    density_given_fixed,
    density_of_reduced,
    deviance_of_reduced,
    to_working,
)
from bayeslmm.kernels.elimination.factorization import factorize, linked_entry
from bayeslmm.kernels.elimination.gradient import (
    add_logdet_gradient,
    add_reduced_gradient,
    residual_products,
    scale_rows,
)
from bayeslmm.kernels.elimination.solve import joint_modes, selected_inverse
from bayeslmm.kernels.layout import SUM_LOG_WEIGHTS, Working, open_layout, open_working
from bayeslmm.kernels.structured.products import fill_products

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@inner
def finish(
    working: Working,
    T: Floats,
    logdet: float,
    beta: Floats,
    mean: Floats,
    precision: Floats,
    kind: int,
    d_beta: Floats,
) -> tuple[float, Floats, float]:
    """Finish a density or criterion from T and log|V|; return it, its d/dT and what is profiled."""
    if kind in (REML, ML):
        return criterion_of_reduced(working, T, logdet, kind == REML)
    if kind == ML_AT_SIGMA:
        return deviance_of_reduced(working, T, logdet, kind, 1.0, mean)
    if len(beta) > 0:
        return density_given_fixed(working, T, logdet, 1.0, beta, d_beta)
    return density_of_reduced(working, T, logdet, 1.0, mean, precision)


@linked_entry
def structured_density(
    ints: Ints,
    floats: Floats,
    lam: Floats,
    beta: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
    kind: int,
) -> tuple[float, Floats, Floats, Floats, float]:
    """Evaluate log p(y | L, R), or -2 log-likelihood, with its gradient in L and W'R^-1 W.

    Parameters
    ----------
    ints, floats : ndarray
        A plan's arrays, with W'R^-1 W for cross-products and -log|R| for the sum of log w.
    lam : ndarray, shape (n_lambda,)
        Packed factors L_k of G_k (of G_k / sigma^2 where sigma is profiled), in the original
        coordinates.
    beta : ndarray, shape (p,) or (0,)
        Fixed effects; empty where they are integrated out.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Their normal prior, where they are integrated out; a precision of zero is flat, and gives
        the restricted likelihood.
    kind : int
        `DENSITY`; -2 log-likelihood with beta at its best, R as it stands: `ML_AT_SIGMA`; or with
        a scale of R profiled as well: `REML`, `ML`.

    Returns
    -------
    value : float
        -inf (a density) or +inf (a criterion) where it cannot be computed.
    d_lam : ndarray, shape (n_lambda,)
        In every entry of every L.
    d_floats : ndarray, like `floats`
        In every cross-product, and in the sum of log w; zero in the rest of the plan's head.
    d_beta : ndarray, like `beta`
    extra : float
        The profiled scale of `REML` and `ML`; else of no meaning.
    """
    working = open_working(ints, floats)
    scaled = to_working(working, lam, False)
    ok, logdet, T, panel, border, right = factorize(ints, floats, scaled)
    d_lam, d_floats, d_beta = np.zeros(len(lam)), np.zeros(len(floats)), np.zeros(len(beta))
    worst = -math.inf if kind == DENSITY else math.inf
    if not ok:
        return worst, d_lam, d_floats, d_beta, math.nan
    value, Tbar, extra = finish(working, T, logdet, beta, prior_mean, prior_precision, kind, d_beta)
    if math.isnan(value) or math.isinf(value):
        return worst, d_lam, d_floats, d_beta, extra
    weight = -0.5 if kind == DENSITY else 1.0
    lay, out = open_layout(ints, floats), open_layout(ints, d_floats)
    joint = joint_modes(lay, panel, border, right)
    moved = scale_rows(lay, joint, scaled)
    gradient = np.zeros(len(lam))
    add_reduced_gradient(lay, residual_products(lay, moved), joint, Tbar, gradient)
    inverse = selected_inverse(lay, panel, border)
    add_logdet_gradient(lay, scaled, inverse, border, weight, gradient)
    fill_products(lay, out, scaled, moved, Tbar, inverse, border, weight)
    d_floats[SUM_LOG_WEIGHTS] = -weight
    return value, to_working(working, gradient, True), d_floats, d_beta, extra


@linked_entry
def structured_values(
    ints: Ints,
    head: Floats,
    bodies: Floats,
    coefficients: Floats,
    logdets: Floats,
    lams: Floats,
    betas: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> Floats:
    """Evaluate log p(y | L, R) at many points.

    Parameters
    ----------
    ints : ndarray
        A plan's integers.
    head : ndarray
        The plan's floats up to the cross-products.
    bodies : ndarray, shape (K, n_floats - n_head)
        Cross-products of each base, laid out as the plan's floats.
    coefficients : ndarray, shape (s, K)
        What multiplies the bases.
    logdets : ndarray, shape (s,)
        log|R|.
    lams : ndarray, shape (s, n_lambda)
        Packed factors L_k.
    betas : ndarray, shape (s, p) or (s, 0)
        Fixed effects, where they are not integrated out.
    prior_mean, prior_precision : ndarray
        As in `structured_density`.

    Returns
    -------
    ndarray, shape (s,)
        -inf where it cannot be computed.
    """
    n_head = len(head)
    there, values = np.empty(n_head + bodies.shape[1]), np.empty(len(lams))
    # A loop: an array assigned to another's part brings two seconds of error messages with it.
    for j in range(n_head):
        there[j] = head[j]
    nothing = np.zeros(betas.shape[1])
    for s in range(len(lams)):
        there[n_head:] = 0.0
        for k in range(bodies.shape[0]):
            c = coefficients[s, k]
            for j in range(bodies.shape[1]):
                there[n_head + j] += c * bodies[k, j]
        there[SUM_LOG_WEIGHTS] = -logdets[s]
        working = open_working(ints, there)
        ok, logdet, T, _, _, _ = factorize(ints, there, to_working(working, lams[s], False))
        values[s] = -math.inf
        if ok:
            value, _, _ = finish(
                working, T, logdet, betas[s], prior_mean, prior_precision, DENSITY, nothing
            )
            values[s] = -math.inf if math.isnan(value) else value
    return values
