"""Compiled gradient of <Tbar, T> and log|V| with respect to every entry of every Lambda.

With R = V^-1 [X y] and U = Q^-1 Lambda'Z'[X y]:

    d<Tbar, T> / d Lambda_k = -2 sum_i (Z_i'R) Tbar U_i'
    d log|V|   / d Lambda_k =  2 sum_i [Z'Z Lambda Q^-1]_ii

Both are computed as written, never through Lambda^-1, and so stay finite at Lambda = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_fast
from bayeslmm.kernels.elimination.solve import node_column
from bayeslmm.kernels.layout import (
    BLOCK,
    COLUMN,
    FACTOR,
    FACTOR_FIRST,
    FACTOR_SECOND,
    FIRST,
    LAMBDA,
    LEVELS,
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
def add_block(
    out: Floats,
    values: Floats,
    at: int,
    ld: int,
    inv: Floats,
    inv_at: int,
    inv_ld: int,
    lam: Floats,
    qa: int,
    qb: int,
    la: int,
    lb: int,
    weight: float,
) -> None:
    """Add weight A Lambda_b S' to the gradient of Lambda_a; A and S are (qa, qb) blocks."""
    for r in range(qa):
        for k in range(qb):
            total = 0.0
            for j in range(qb):
                total += values[at + r * ld + j] * lam[lb + j * qb + k]
            for s in range(qa):
                out[la + r * qa + s] += weight * total * inv[inv_at + s * inv_ld + k]


@inner_fast
def add_block_transposed(
    out: Floats,
    values: Floats,
    at: int,
    ld: int,
    inv: Floats,
    inv_at: int,
    inv_ld: int,
    lam: Floats,
    qa: int,
    qb: int,
    la: int,
    lb: int,
    weight: float,
) -> None:
    """Add weight A' Lambda_a S to the gradient of Lambda_b."""
    for k in range(qa):
        for r in range(qb):
            total = 0.0
            for j in range(qa):
                total += values[at + j * ld + r] * lam[la + j * qa + k]
            for s in range(qb):
                out[lb + r * qb + s] += weight * total * inv[inv_at + k * inv_ld + s]


@inner_fast
def add_logdet_gradient(
    lay: Layout, lam: Floats, inverse: Floats, border: Floats, weight: float, out: Floats
) -> None:
    """Add weight * d log|V| / d Lambda to `out` (packed like `lam`)."""
    twice, flat = 2.0 * weight, border.ravel()
    for node in range(lay.nodes.shape[0] - 1):
        f = lay.nodes[node, FACTOR]
        q, at, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
        lf = lay.factors[f, LAMBDA]
        add_block(out, lay.panels, at, ld, inverse, at, ld, lam, q, q, lf, lf, twice)
        at += q
        t, g = lay.nodes[node, TOUCH], f + 1
        while g < lay.n_chain or t < lay.nodes[node + 1, TOUCH]:
            above = g < lay.n_chain
            h = g if above else lay.border_factor[lay.touched[t]]
            qh, lh = lay.factors[h, WIDTH], lay.factors[h, LAMBDA]
            add_block(out, lay.panels, at, ld, inverse, at, ld, lam, q, qh, lf, lh, twice)
            add_block_transposed(
                out, lay.panels, at, ld, inverse, at, ld, lam, q, qh, lf, lh, twice
            )
            at += qh
            g, t = (g + 1, t) if above else (g, t + qh)
    nb = border.shape[0]
    for n in range(lay.pairs.shape[0]):
        i, j, f, h, at = lay.pairs[n]
        qf, qh = lay.factors[f, WIDTH], lay.factors[h, WIDTH]
        lf, lh = lay.factors[f, LAMBDA], lay.factors[h, LAMBDA]
        spot = i * nb + j
        add_block(out, lay.blocks, at, qh, flat, spot, nb, lam, qf, qh, lf, lh, twice)
        if i != j:
            add_block_transposed(
                out, lay.blocks, at, qh, flat, spot, nb, lam, qf, qh, lf, lh, twice
            )


@inner_fast
def subtract_product(
    target: Floats,
    to: int,
    values: Floats,
    at: int,
    ld: int,
    rows: int,
    cols: int,
    source: Floats,
    of: int,
    transposed: bool,
) -> None:
    """Subtract A (or A') times some rows of `source` from rows of `target`; A is (rows, cols)."""
    for r in range(rows):
        for k in range(cols):
            value = values[at + r * ld + k]
            row, other = (to + k, of + r) if transposed else (to + r, of + k)
            for c in range(source.shape[1]):
                target[row, c] -= value * source[other, c]


@inner_fast
def residual_products(lay: Layout, scaled: Floats) -> Floats:
    """Compute Z'R = Z'[X y] - Z'Z Lambda U from `scaled` = Lambda U, both (n_columns, w)."""
    nb, w = len(lay.border_factor), lay.cross.shape[0]
    first = scaled.shape[0] - nb
    out = np.empty(scaled.shape)
    for i in range(nb):
        for c in range(w):
            out[first + i, c] = lay.border_fixed[i, c]
    for node in range(lay.nodes.shape[0] - 1):
        q, ld = lay.factors[lay.nodes[node, FACTOR], WIDTH], lay.nodes[node, PANEL]
        column = node_column(lay, node)
        for r in range(q):
            end = lay.nodes[node, START] + (r + 1) * ld
            for c in range(w):
                out[column + r, c] = lay.panels[end - w + c]
    for node in range(lay.nodes.shape[0] - 1):
        f = lay.nodes[node, FACTOR]
        q, at, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
        own = node_column(lay, node)
        subtract_product(out, own, lay.panels, at, ld, q, q, scaled, own, False)
        at += q
        up = lay.nodes[node, PARENT]
        for g in range(f + 1, lay.n_chain):
            qg, column = lay.factors[g, WIDTH], node_column(lay, up)
            subtract_product(out, own, lay.panels, at, ld, q, qg, scaled, column, False)
            subtract_product(out, column, lay.panels, at, ld, q, qg, scaled, own, True)
            at += qg
            up = lay.nodes[up, PARENT]
        for t in range(lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]):
            column = first + lay.touched[t]
            subtract_product(out, own, lay.panels, at, ld, q, 1, scaled, column, False)
            subtract_product(out, column, lay.panels, at, ld, q, 1, scaled, own, True)
            at += 1
    for n in range(lay.pairs.shape[0]):
        i, j = first + lay.pairs[n, FIRST], first + lay.pairs[n, SECOND]
        qi = lay.factors[lay.pairs[n, FACTOR_FIRST], WIDTH]
        qj = lay.factors[lay.pairs[n, FACTOR_SECOND], WIDTH]
        at = lay.pairs[n, BLOCK]
        subtract_product(out, i, lay.blocks, at, qj, qi, qj, scaled, j, False)
        if i != j:
            subtract_product(out, j, lay.blocks, at, qj, qi, qj, scaled, i, True)
    return out


@inner_fast
def scale_rows(lay: Layout, joint: Floats, lam: Floats) -> Floats:
    """Multiply each level's rows of `joint` by its Lambda."""
    out = np.zeros(joint.shape)
    for f in range(lay.factors.shape[0]):
        q, at, column = lay.factors[f, WIDTH], lay.factors[f, LAMBDA], lay.factors[f, COLUMN]
        for i in range(lay.factors[f, LEVELS]):
            for r in range(q):
                for k in range(q):
                    factor = lam[at + r * q + k]
                    for c in range(joint.shape[1]):
                        out[column + i * q + r, c] += factor * joint[column + i * q + k, c]
    return out


@inner_fast
def add_reduced_gradient(
    lay: Layout, products: Floats, joint: Floats, Tbar: Floats, out: Floats
) -> None:
    """Add d<Tbar, T> / d Lambda to `out`, given Z'R and U."""
    w = joint.shape[1]
    turned = np.empty(w)
    for f in range(lay.factors.shape[0]):
        q, at, column = lay.factors[f, WIDTH], lay.factors[f, LAMBDA], lay.factors[f, COLUMN]
        for row in range(column, column + q * lay.factors[f, LEVELS]):
            first = row - (row - column) % q
            for c in range(w):
                turned[c] = 0.0
                for d in range(w):
                    turned[c] += products[row, d] * Tbar[d, c]
            for s in range(q):
                total = 0.0
                for c in range(w):
                    total += turned[c] * joint[first + s, c]
                out[at + (row - first) * q + s] -= 2.0 * total
