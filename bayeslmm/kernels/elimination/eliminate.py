"""Compiled block elimination of Q = I + Lambda' Z'Z Lambda: forward, backward, selected inverse.

The levels of the chain (a factor, one that it is nested in, and so on) are the nodes: each owns a
panel of q rows whose columns are its own block, its ancestors' blocks, the border columns that it
meets, and the w columns of [X y]. Factors outside the chain are the dense border.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner, inner_fast
from bayeslmm.kernels.layout import (
    ABOVE,
    FACTOR,
    LAMBDA,
    PANEL,
    PARENT,
    START,
    TOUCH,
    WIDTH,
    Layout,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@inner_fast
def times_factor(
    source: Floats, target: Floats, start: int, ld: int, rows: int, q: int, lam: Floats, at: int
) -> None:
    """Write target = source Lambda for one (rows, q) block that starts at `start` in both."""
    for r in range(rows):
        row = start + r * ld
        for c in range(q):
            total = 0.0
            for k in range(q):
                total += source[row + k] * lam[at + k * q + c]
            target[row + c] = total


@inner_fast
def factor_times(
    target: Floats, start: int, ld: int, q: int, cols: int, lam: Floats, at: int, scratch: Floats
) -> None:
    """Replace one (q, cols) block by Lambda' times itself; `scratch` holds q numbers."""
    if q == 1:
        for c in range(cols):
            target[start + c] *= lam[at]
        return
    for c in range(cols):
        for k in range(q):
            scratch[k] = target[start + k * ld + c]
        for r in range(q):
            total = 0.0
            for k in range(q):
                total += lam[at + k * q + r] * scratch[k]
            target[start + r * ld + c] = total


@inner_fast
def scale_node(lay: Layout, lam: Floats, node: int, panel: Floats, scratch: Floats) -> None:
    """Write Lambda_i' [Z_i'Z_i Lambda_i | Z_i'Z_j Lambda_j ... | Z_i'[X y]] + [I | 0 | 0]."""
    f = lay.nodes[node, FACTOR]
    q, start, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
    at = start
    for g in range(f, lay.n_chain):
        qg = lay.factors[g, WIDTH]
        times_factor(lay.panels, panel, at, ld, q, qg, lam, lay.factors[g, LAMBDA])
        at += qg
    t = lay.nodes[node, TOUCH]
    while t < lay.nodes[node + 1, TOUCH]:
        g = lay.border_factor[lay.touched[t]]
        qg = lay.factors[g, WIDTH]
        times_factor(lay.panels, panel, at, ld, q, qg, lam, lay.factors[g, LAMBDA])
        at += qg
        t += qg
    for r in range(q):
        for c in range(at - start, ld):
            panel[start + r * ld + c] = lay.panels[start + r * ld + c]
    factor_times(panel, start, ld, q, ld, lam, lay.factors[f, LAMBDA], scratch)
    for r in range(q):
        panel[start + r * ld + r] += 1.0


@inner_fast
def scale_border(lay: Layout, lam: Floats, border: Floats, right: Floats) -> None:
    """Write the border's I + Lambda'Z'Z Lambda (lower triangle) and Lambda'Z'[X y], transposed."""
    for i in range(border.shape[0]):
        for j in range(i):
            border[i, j] = 0.0
        border[i, i] = 1.0
    for n in range(lay.pairs.shape[0]):
        i, j, f, g, at = lay.pairs[n]
        qf, qg = lay.factors[f, WIDTH], lay.factors[g, WIDTH]
        lf, lg = lay.factors[f, LAMBDA], lay.factors[g, LAMBDA]
        for r in range(qf):
            for c in range(min(qg, i + r - j + 1)):
                total = 0.0
                for a in range(qf):
                    for b in range(qg):
                        value = lay.blocks[at + a * qg + b] * lam[lg + b * qg + c]
                        total += lam[lf + a * qf + r] * value
                border[i + r, j + c] += total
    i = 0
    while i < border.shape[0]:
        f = lay.border_factor[i]
        q, lf = lay.factors[f, WIDTH], lay.factors[f, LAMBDA]
        for r in range(q):
            for c in range(right.shape[0]):
                total = 0.0
                for a in range(q):
                    total += lam[lf + a * q + r] * lay.border_fixed[i + a, c]
                right[c, i + r] = total
        i += q


@inner_fast
def factor_node(panel: Floats, start: int, ld: int, q: int) -> float:
    """Replace a node's panel [D | C] by [U | U'^-1 C] with D = U'U, and return log|D|.

    Returns NaN where the block is not positive definite (an overflow, since Q >= I).
    """
    logdet = 0.0
    for r in range(q):
        row = start + r * ld
        for k in range(r):
            upper = panel[start + k * ld + r]
            for c in range(r, ld):
                panel[row + c] -= upper * panel[start + k * ld + c]
        pivot = panel[row + r]
        if not pivot > 0.0 or math.isinf(pivot):
            return math.nan
        logdet += math.log(pivot)
        root = 1.0 / math.sqrt(pivot)
        for c in range(r, ld):
            panel[row + c] *= root
    return logdet


@inner_fast
def update_ancestors(lay: Layout, node: int, panel: Floats, place: Ints) -> None:
    """Subtract Y_j' Y from the panel of each ancestor j; `place` is scratch."""
    f = lay.nodes[node, FACTOR]
    q, start, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
    t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
    w, end = lay.cross.shape[0], q + lay.factors[f, ABOVE]
    for t in range(t1 - t0):
        place[t] = lay.place[t0 + t]
    up, at = lay.nodes[node, PARENT], q
    for g in range(f + 1, lay.n_chain):
        qg, sg, ldg = lay.factors[g, WIDTH], lay.nodes[up, START], lay.nodes[up, PANEL]
        own = qg + lay.factors[g, ABOVE]
        for r in range(q):
            y = start + r * ld
            for a in range(qg):
                v, row = panel[y + at + a], sg + a * ldg
                for c in range(end - at):
                    panel[row + c] -= v * panel[y + at + c]
                for t in range(t1 - t0):
                    panel[row + own + place[t]] -= v * panel[y + end + t]
                for c in range(1, w + 1):
                    panel[row + ldg - c] -= v * panel[y + ld - c]
        for t in range(t1 - t0):
            place[t] = lay.place[lay.nodes[up, TOUCH] + place[t]]
        at += qg
        up = lay.nodes[up, PARENT]


@inner_fast
def update_border(lay: Layout, node: int, panel: Floats, border: Floats) -> None:
    """Subtract a node's Y'Y from the border (lower triangle)."""
    q, ld = lay.factors[lay.nodes[node, FACTOR], WIDTH], lay.nodes[node, PANEL]
    t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
    for r in range(q):
        first = lay.nodes[node, START] + (r + 1) * ld - lay.cross.shape[0] - (t1 - t0)
        for t in range(t1 - t0):
            v, row = panel[first + t], lay.touched[t0 + t]
            for s in range(t + 1):
                border[row, lay.touched[t0 + s]] -= v * panel[first + s]


@inner_fast
def update_right(lay: Layout, node: int, panel: Floats, right: Floats, T: Floats) -> None:
    """Subtract a node's Y'Y from the border's right-hand sides and from T."""
    q, ld, w = lay.factors[lay.nodes[node, FACTOR], WIDTH], lay.nodes[node, PANEL], T.shape[0]
    t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
    for r in range(q):
        fixed = lay.nodes[node, START] + (r + 1) * ld - w
        first = fixed - (t1 - t0)
        for t in range(t1 - t0):
            v, row = panel[first + t], lay.touched[t0 + t]
            for c in range(w):
                right[c, row] -= v * panel[fixed + c]
        for a in range(w):
            for c in range(w):
                T[a, c] -= panel[fixed + a] * panel[fixed + c]


@inner
def worth_filling(lay: Layout) -> bool:
    """Return whether the nodes meet so many border columns that dense algebra is faster.

    BLAS multiplies some sixteen times faster than loops over gathered columns.
    """
    nb, n_nodes, work = len(lay.border_factor), lay.nodes.shape[0] - 1, 0
    for node in range(n_nodes):
        count = lay.nodes[node + 1, TOUCH] - lay.nodes[node, TOUCH]
        work += count * count
    return bool(lay.n_chain == 1 and 16 * work > n_nodes * nb * nb)


@inner
def border_part(lay: Layout, panel: Floats) -> Floats:
    """Spread the border columns of a single chain factor's panels over a dense matrix."""
    w, q, n_nodes = lay.cross.shape[0], lay.factors[0, WIDTH], lay.nodes.shape[0] - 1
    out = np.zeros((n_nodes * q, len(lay.border_factor)))
    for node in range(n_nodes):
        t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
        for r in range(q):
            end = lay.nodes[node, START] + (r + 1) * lay.nodes[node, PANEL] - w - t1
            for t in range(t0, t1):
                out[node * q + r, lay.touched[t]] = panel[end + t]
    return out


@inner_fast
def copy_square(source: Floats, target: Floats) -> None:
    """Copy one small square matrix; Numba's own assignment of arrays takes long to compile."""
    for a in range(source.shape[0]):
        for c in range(source.shape[1]):
            target[a, c] = source[a, c]


@inner_fast
def subtract_square(T: Floats, right: Floats) -> None:
    """Subtract right right' from T."""
    for a in range(T.shape[0]):
        for c in range(a + 1):
            total = 0.0
            for i in range(right.shape[1]):
                total += right[a, i] * right[c, i]
            T[a, c] -= total
            if c < a:
                T[c, a] -= total
