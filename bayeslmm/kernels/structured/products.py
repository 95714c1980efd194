r"""Compiled gradient of <Tbar, T> and log|V| in every cross-product of W = [Z X y].

With M = W'R^-1 W, F = [X y], U = Q^-1 Lambda'Z'R^-1 F and K = [-Lambda U; I],

    d<Tbar, T> = <K Tbar K', dM>
    d log|V|   = <Lambda Q^-1 Lambda', d Z'R^-1 Z>

(log|R| apart). Blocks that are stored once and stand twice in M count twice. Nothing is divided by
a factor: all of it is finite at Lambda = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_fast
from bayeslmm.kernels.elimination.solve import node_column
from bayeslmm.kernels.layout import (
    BLOCK,
    FACTOR,
    FACTOR_FIRST,
    FACTOR_SECOND,
    FIRST,
    LAMBDA,
    PANEL,
    PARENT,
    SECOND,
    START,
    TOUCH,
    WIDTH,
    Layout,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@inner_fast
def fill_block(
    out: Floats,
    at: int,
    ld: int,
    left: Floats,
    own: int,
    right: Floats,
    other: int,
    inverse: Floats,
    inverse_at: int,
    inverse_ld: int,
    lam: Floats,
    qa: int,
    qb: int,
    la: int,
    lb: int,
    weight: float,
    times: float,
) -> None:
    """Write times (left_a right_b' + weight Lambda_a S Lambda_b') to a (qa, qb) block of `out`."""
    for r in range(qa):
        for c in range(qb):
            total = 0.0
            for d in range(left.shape[1]):
                total += left[own + r, d] * right[other + c, d]
            for i in range(qa):
                part = 0.0
                for j in range(qb):
                    part += inverse[inverse_at + i * inverse_ld + j] * lam[lb + c * qb + j]
                total += weight * lam[la + r * qa + i] * part
            out[at + r * ld + c] = times * total


@inner_fast
def fill_border(
    lay: Layout,
    out: Layout,
    lam: Floats,
    scaled: Floats,
    turned: Floats,
    Tbar: Floats,
    border: Floats,
    weight: float,
) -> None:
    """Do the part of `fill_products` that no node of the chain takes part in."""
    nb, w = len(lay.border_factor), lay.cross.shape[0]
    first, flat = scaled.shape[0] - nb, border.ravel()
    for a in range(w):
        for c in range(w):
            out.cross[a, c] = Tbar[a, c]
    for i in range(nb):
        for c in range(w):
            out.border_fixed[i, c] = -2.0 * turned[first + i, c]
    for n in range(lay.pairs.shape[0]):
        i, j = lay.pairs[n, FIRST], lay.pairs[n, SECOND]
        a, b = lay.pairs[n, FACTOR_FIRST], lay.pairs[n, FACTOR_SECOND]
        fill_block(
            out.blocks, lay.pairs[n, BLOCK], lay.factors[b, WIDTH], turned, first + i, scaled,
            first + j, flat, i * nb + j, nb, lam, lay.factors[a, WIDTH], lay.factors[b, WIDTH],
            lay.factors[a, LAMBDA], lay.factors[b, LAMBDA], weight, 1.0 if i == j else 2.0,
        )  # fmt: skip


@inner_fast
def fill_nodes(
    lay: Layout,
    out: Layout,
    lam: Floats,
    scaled: Floats,
    turned: Floats,
    inverse: Floats,
    weight: float,
) -> None:
    """Do the part of `fill_products` that stands in the nodes' panels."""
    w, first = lay.cross.shape[0], scaled.shape[0] - len(lay.border_factor)
    for node in range(lay.nodes.shape[0] - 1):
        f = lay.nodes[node, FACTOR]
        q, at, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
        lf, own, end = lay.factors[f, LAMBDA], node_column(lay, node), at + ld - w
        for r in range(q):
            for c in range(w):
                out.panels[end + r * ld + c] = -2.0 * turned[own + r, c]
        fill_block(
            out.panels, at, ld, turned, own, scaled, own, inverse, at, ld, lam,
            q, q, lf, lf, weight, 1.0,
        )  # fmt: skip
        at += q
        up = lay.nodes[node, PARENT]
        for g in range(f + 1, lay.n_chain):
            qg, lg = lay.factors[g, WIDTH], lay.factors[g, LAMBDA]
            fill_block(
                out.panels, at, ld, turned, own, scaled, node_column(lay, up), inverse, at, ld,
                lam, q, qg, lf, lg, weight, 2.0,
            )  # fmt: skip
            at += qg
            up = lay.nodes[up, PARENT]
        t = lay.nodes[node, TOUCH]
        while t < lay.nodes[node + 1, TOUCH]:
            h = lay.border_factor[lay.touched[t]]
            qh, lh = lay.factors[h, WIDTH], lay.factors[h, LAMBDA]
            fill_block(
                out.panels, at, ld, turned, own, scaled, first + lay.touched[t], inverse, at, ld,
                lam, q, qh, lf, lh, weight, 2.0,
            )  # fmt: skip
            at += qh
            t += qh


@inner_fast
def fill_products(
    lay: Layout,
    out: Layout,
    lam: Floats,
    scaled: Floats,
    Tbar: Floats,
    inverse: Floats,
    border: Floats,
    weight: float,
) -> None:
    """Write the gradient of <Tbar, T> + weight log|V| in each cross-product.

    Parameters
    ----------
    lay : Layout
        The plan.
    out : Layout
        Of the same plan; its floats are overwritten by the gradient in them.
    lam : ndarray
        Packed relative factors in the working coordinates.
    scaled : ndarray, shape (n_columns, w)
        Lambda U.
    Tbar : ndarray, shape (w, w)
        Symmetric.
    inverse, border : ndarray
        Q^-1 on the pattern of the panels, and among the border's columns (`selected_inverse`).
    weight : float
        Of the log-determinant.
    """
    turned = np.empty(scaled.shape)
    for row in range(scaled.shape[0]):
        for c in range(len(Tbar)):
            total = 0.0
            for d in range(len(Tbar)):
                total += scaled[row, d] * Tbar[d, c]
            turned[row, c] = total
    fill_border(lay, out, lam, scaled, turned, Tbar, border, weight)
    fill_nodes(lay, out, lam, scaled, turned, inverse, weight)
