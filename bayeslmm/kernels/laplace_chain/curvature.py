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
from bayeslmm.kernels.elimination.factorization import factorize
from bayeslmm.kernels.lapack import dense_half_solve
from bayeslmm.kernels.layout import (
    COLUMN,
    FACTOR,
    NODE,
    PANEL,
    PARENT,
    START,
    TOUCH,
    WIDTH,
    Layout,
)
from bayeslmm.kernels.small_matrices import small_cholesky, small_solve

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
    p, m = len(curvature.beta), len(eps) - len(curvature.beta)
    out, beta, border = np.empty(len(eps)), np.empty(p), np.empty((1, len(lay.border_factor)))
    for i in range(p - 1, -1, -1):
        total = eps[m + i]
        for k in range(i + 1, p):
            total -= curvature.root[k, i] * beta[k]
        beta[i] = total / curvature.root[i, i]
    for i in range(p):
        beta[i] += curvature.beta[i]
        out[m + i] = beta[i]
    nb = len(lay.border_factor)
    first = m - nb
    if nb > 0:
        for i in range(nb):
            total = curvature.right[p, i] + eps[first + i]
            for j in range(p):
                total -= curvature.right[j, i] * beta[j]
            border[0, i] = total
        dense_half_solve(curvature.border, border, True)
        for i in range(nb):
            out[first + i] = border[0, i]
    solve_down(
        lay.factors, lay.nodes, lay.touched, lay.n_chain, curvature.panel, eps, beta, first, out
    )
    return out


# Below, stretches of the layout are handed over instead of the layout, and loops over nodes stand
# inside: each call with a layout counts the references of ten arrays up and down, which takes
# longer than one node.
@inner_fast
def solve_down(
    factors: Ints,
    nodes: Ints,
    touched: Ints,
    n_chain: int,
    panel: Floats,
    eps: Floats,
    beta: Floats,
    first: int,
    out: Floats,
) -> None:
    """Solve for the nodes' effects, given the border's, which begin at `first`, and beta."""
    p = len(beta)
    for node in range(nodes.shape[0] - 2, -1, -1):
        f, start, ld = nodes[node, FACTOR], nodes[node, START], nodes[node, PANEL]
        q, t0, t1 = factors[f, WIDTH], nodes[node, TOUCH], nodes[node + 1, TOUCH]
        own = factors[f, COLUMN] + (node - factors[f, NODE]) * q
        for r in range(q - 1, -1, -1):
            row = start + r * ld
            last = row + ld - 1
            total = panel[last] + eps[own + r]
            for j in range(p):
                total -= panel[last - p + j] * beta[j]
            for c in range(r + 1, q):
                total -= panel[row + c] * out[own + c]
            at, up = row + q, nodes[node, PARENT]
            for k in range(f + 1, n_chain):
                wide = factors[k, WIDTH]
                column = factors[k, COLUMN] + (up - factors[k, NODE]) * wide
                for c in range(wide):
                    total -= panel[at + c] * out[column + c]
                at += wide
                up = nodes[up, PARENT]
            for t in range(t1 - t0):
                total -= panel[at + t] * out[first + touched[t0 + t]]
            out[own + r] = total / panel[row + r]


@inner_fast
def push_up(
    factors: Ints,
    nodes: Ints,
    touched: Ints,
    n_chain: int,
    panel: Floats,
    g: Floats,
    border: Floats,
    d_beta: Floats,
) -> None:
    """Solve with the nodes' factors, and subtract their shares from all that they stand beside."""
    p = len(d_beta)
    for node in range(nodes.shape[0] - 1):
        f, start, ld = nodes[node, FACTOR], nodes[node, START], nodes[node, PANEL]
        q, t0, t1 = factors[f, WIDTH], nodes[node, TOUCH], nodes[node + 1, TOUCH]
        own = factors[f, COLUMN] + (node - factors[f, NODE]) * q
        for r in range(q):
            row = start + r * ld
            y = g[own + r] / panel[row + r]
            g[own + r] = y
            for c in range(r + 1, q):
                g[own + c] -= panel[row + c] * y
            at, up = row + q, nodes[node, PARENT]
            for k in range(f + 1, n_chain):
                wide = factors[k, WIDTH]
                column = factors[k, COLUMN] + (up - factors[k, NODE]) * wide
                for c in range(wide):
                    g[column + c] -= panel[at + c] * y
                at += wide
                up = nodes[up, PARENT]
            for t in range(t1 - t0):
                border[0, touched[t0 + t]] -= panel[at + t] * y
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
    push_up(lay.factors, lay.nodes, lay.touched, lay.n_chain, curvature.panel, out, border, d_beta)
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
