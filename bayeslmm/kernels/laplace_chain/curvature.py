"""The weighted Gaussian model at a point: its curvature H = R'R, and products with R^-1 and R'^-1.

Each of Newton's steps is the fit of a Gaussian model whose rows have the weights w_r and unit
residual variance, so the elimination of the collapsed posterior gives R:

    R = [ U  Y ]    U: the chain's and the border's factor from `factorize`, with their half-solved
        [ 0  L']    columns of X beside them; L L' = X'V^-1 X + S^-1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import inner, inner_fast
from bayeslmm.kernels.draws import solve_together
from bayeslmm.kernels.factorization import factorize
from bayeslmm.kernels.lapack import dense_half_solve
from bayeslmm.kernels.layout import (
    FACTOR,
    PANEL,
    PARENT,
    START,
    TOUCH,
    WIDTH,
    Layout,
)
from bayeslmm.kernels.small_matrices import small_cholesky, small_solve
from bayeslmm.kernels.solve import node_column

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


class Curvature(NamedTuple):
    """R, and what the right-hand side became: the Gaussian N(center, H^-1) of all effects."""

    ok: bool
    logdet: float  # log|H|
    panel: Floats
    border: Floats
    right: Floats
    root: Floats  # (p, p): L
    beta: Floats  # (p,): the fixed effects' center


@inner
def curvature_of(
    ints: Ints, floats: Floats, lam: Floats, prior_mean: Floats, prior_precision: Floats
) -> Curvature:
    """Factor the curvature of a weighted Gaussian model.

    Parameters
    ----------
    ints, floats : ndarray
        The plan, with the weighted cross-products.
    lam : ndarray, shape (n_lambda,)
        Packed factors L of G.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Of the fixed effects.
    """
    ok, logdet, T, panel, border, right = factorize(ints, floats, lam)
    p = len(prior_mean)
    information, side = np.empty((p, p)), np.empty((p, 1))
    for i in range(p):
        side[i, 0] = T[i, p]
        for j in range(p):
            information[i, j] = T[i, j] + prior_precision[i, j]
            side[i, 0] += prior_precision[i, j] * prior_mean[j]
    root, logdet_fixed, rank = small_cholesky(information)
    ok = ok and rank == p
    beta = np.zeros(p)
    if ok:
        solved = small_solve(root, side)
        for i in range(p):
            beta[i] = solved[i, 0]
    total = logdet + logdet_fixed
    return Curvature(ok and not math.isinf(total), total, panel, border, right, root, beta)


@inner
def spread(lay: Layout, curvature: Curvature, eps: Floats) -> Floats:
    """Compute center + R^-1 eps, shape (n_columns + p,): standardised effects u, then beta."""
    p = len(curvature.beta)
    m = len(eps) - p
    out, beta, one = np.empty(len(eps)), np.empty((1, p)), np.ones(1)
    for i in range(p - 1, -1, -1):
        total = eps[m + i]
        for k in range(i + 1, p):
            total -= curvature.root[k, i] * beta[0, k]
        beta[0, i] = total / curvature.root[i, i]
    for i in range(p):
        beta[0, i] += curvature.beta[i]
        out[m + i] = beta[0, i]
    given = eps[:m].reshape(1, m)
    u = solve_together(lay, curvature.panel, curvature.border, curvature.right, beta, one, given)
    for i in range(m):
        out[i] = u[i, 0]
    return out


@inner_fast
def push_up(
    lay: Layout, node: int, panel: Floats, g: Floats, border: Floats, d_beta: Floats
) -> None:
    """Solve with one node's factor, and subtract its share from all that it stands beside."""
    f = lay.nodes[node, FACTOR]
    q, start, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
    t0, t1, p = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH], len(d_beta)
    own = node_column(lay, node)
    for r in range(q):
        row = start + r * ld
        y = g[own + r] / panel[row + r]
        g[own + r] = y
        for c in range(r + 1, q):
            g[own + c] -= panel[row + c] * y
        at, up = row + q, lay.nodes[node, PARENT]
        for k in range(f + 1, lay.n_chain):
            column = node_column(lay, up)
            for c in range(lay.factors[k, WIDTH]):
                g[column + c] -= panel[at + c] * y
            at += lay.factors[k, WIDTH]
            up = lay.nodes[up, PARENT]
        for t in range(t1 - t0):
            border[0, lay.touched[t0 + t]] -= panel[at + t] * y
        end = row + ld - p - 1
        for j in range(p):
            d_beta[j] -= panel[end + j] * y


@inner
def gather(lay: Layout, curvature: Curvature, gradient: Floats) -> Floats:
    """Compute R'^-1 gradient: a gradient in effects carried to eps."""
    p, nb = len(curvature.beta), len(lay.border_factor)
    m = len(gradient) - p
    out, d_beta, border = gradient.copy(), gradient[m:].copy(), np.empty((1, nb))
    first = m - nb
    for i in range(nb):
        border[0, i] = gradient[first + i]
    for node in range(lay.nodes.shape[0] - 1):
        push_up(lay, node, curvature.panel, out, border, d_beta)
    if nb > 0:
        dense_half_solve(curvature.border, border, False)
        for i in range(nb):
            out[first + i] = border[0, i]
            for j in range(p):
                d_beta[j] -= curvature.right[j, i] * border[0, i]
    for i in range(p):
        total = d_beta[i]
        for k in range(i):
            total -= curvature.root[i, k] * out[m + k]
        out[m + i] = total / curvature.root[i, i]
    return out
