"""Compiled back-substitution: from a factorization to solutions for every random-effect column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner, inner_fast
from bayeslmm.kernels.elimination.eliminate import border_part, worth_filling
from bayeslmm.kernels.lapack import dense_half_solve, dense_inverse, symmetric_product
from bayeslmm.kernels.layout import (
    ABOVE,
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

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@inner
def node_column(lay: Layout, node: int) -> int:
    """First column of a node in the joint solution."""
    f = lay.nodes[node, FACTOR]
    return int(lay.factors[f, COLUMN] + (node - lay.factors[f, NODE]) * lay.factors[f, WIDTH])


@inner_fast
def subtract_row(joint: Floats, target: int, source: int, factor: float) -> None:
    """Subtract `factor` times one row from another."""
    for c in range(joint.shape[1]):
        joint[target, c] -= factor * joint[source, c]


@inner_fast
def back_substitute(lay: Layout, panel: Floats, joint: Floats) -> None:
    """Solve L' U = Y for the chain, in place, given the border's solution in the last rows.

    Parameters
    ----------
    lay : Layout
        The plan.
    panel : ndarray
        Factors from `factorize`.
    joint : ndarray, shape (n_columns, r)
        Half-solved right-hand sides of the nodes, then the border's full solution.
    """
    border = joint.shape[0] - len(lay.border_factor)
    for node in range(lay.nodes.shape[0] - 2, -1, -1):
        f = lay.nodes[node, FACTOR]
        q, start, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
        own = node_column(lay, node)
        t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
        for r in range(q - 1, -1, -1):
            row = start + r * ld
            for c in range(r + 1, q):
                subtract_row(joint, own + r, own + c, panel[row + c])
            at, up = row + q, lay.nodes[node, PARENT]
            for g in range(f + 1, lay.n_chain):
                column = node_column(lay, up)
                for c in range(lay.factors[g, WIDTH]):
                    subtract_row(joint, own + r, column + c, panel[at + c])
                at += lay.factors[g, WIDTH]
                up = lay.nodes[up, PARENT]
            for t in range(t1 - t0):
                subtract_row(joint, own + r, border + lay.touched[t0 + t], panel[at + t])
            for c in range(joint.shape[1]):
                joint[own + r, c] /= panel[row + r]


@inner
def joint_modes(lay: Layout, panel: Floats, border: Floats, right: Floats) -> Floats:
    """Solve Q U = Lambda'Z'[X y], given the factors and half-solved sides of `factorize`.

    Returns
    -------
    ndarray, shape (n_columns, w)
        U: nodes of the chain first, then the border's columns.
    """
    n_nodes, nb, w = lay.nodes.shape[0] - 1, len(lay.border_factor), lay.cross.shape[0]
    first = node_column(lay, n_nodes) if n_nodes > 0 else 0
    joint = np.empty((first + nb, w))
    for node in range(n_nodes):
        column, ld = node_column(lay, node), lay.nodes[node, PANEL]
        for r in range(lay.factors[lay.nodes[node, FACTOR], WIDTH]):
            end = lay.nodes[node, START] + (r + 1) * ld
            for c in range(w):
                joint[column + r, c] = panel[end - w + c]
    if nb > 0:
        solved = right.copy()
        dense_half_solve(border, solved, True)
        for i in range(nb):
            for c in range(w):
                joint[first + i, c] = solved[c, i]
    back_substitute(lay, panel, joint)
    return joint


@inner_fast
def gather_inverse(
    lay: Layout, node: int, inverse: Floats, border: Floats, place: Ints, local: Floats
) -> None:
    """Copy Q^-1 among a node's ancestors and border columns into `local` (lower triangle)."""
    f = lay.nodes[node, FACTOR]
    t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
    above = lay.factors[f, ABOVE]
    for t in range(t1 - t0):
        place[t] = lay.place[t0 + t]
        row = lay.touched[t0 + t]
        for s in range(t + 1):
            local[above + t, above + s] = border[row, lay.touched[t0 + s]]
    up, at = lay.nodes[node, PARENT], 0
    for g in range(f + 1, lay.n_chain):
        qg, ldg = lay.factors[g, WIDTH], lay.nodes[up, PANEL]
        own = qg + lay.factors[g, ABOVE]
        for a in range(qg):
            row = lay.nodes[up, START] + a * ldg
            for c in range(a, own):
                local[at + c, at + a] = inverse[row + c]
            for t in range(t1 - t0):
                local[above + t, at + a] = inverse[row + own + place[t]]
        for t in range(t1 - t0):
            place[t] = lay.place[lay.nodes[up, TOUCH] + place[t]]
        at += qg
        up = lay.nodes[up, PARENT]


@inner_fast
def invert_node(panel: Floats, inverse: Floats, start: int, ld: int, q: int, n: int) -> None:
    """Write [D^-1 | D^-1 C] from a node's [U | U'^-1 C], for its first q + n columns."""
    for r in range(q):
        for c in range(q + n):
            inverse[start + r * ld + c] = panel[start + r * ld + c] if c >= q else 0.0
    for r in range(q):
        inverse[start + r * ld + r] = 1.0 / panel[start + r * ld + r]
        for i in range(r + 1, q):  # row i of U'^-1
            total = 0.0
            for k in range(r, i):
                total += panel[start + k * ld + i] * inverse[start + k * ld + r]
            inverse[start + i * ld + r] = -total / panel[start + i * ld + i]
    for r in range(q - 1, -1, -1):
        row = start + r * ld
        for k in range(r + 1, q):
            factor = panel[row + k]
            for c in range(q + n):
                inverse[row + c] -= factor * inverse[start + k * ld + c]
        for c in range(q + n):
            inverse[row + c] /= panel[row + r]


@inner_fast
def complete_node(inverse: Floats, start: int, ld: int, q: int, n: int, local: Floats) -> None:
    """Turn [D^-1 | G], G = D^-1 C, into Q^-1's [D^-1 + G S G' | -G S], S = `local`."""
    gain = np.empty((q, n))
    for r in range(q):
        for c in range(n):
            gain[r, c] = inverse[start + r * ld + q + c]
            inverse[start + r * ld + q + c] = 0.0
    for r in range(q):
        row = start + r * ld + q
        for a in range(n):
            for c in range(a):
                inverse[row + c] -= gain[r, a] * local[a, c]
                inverse[row + a] -= gain[r, c] * local[a, c]
            inverse[row + a] -= gain[r, a] * local[a, a]
    for r in range(q):
        for s in range(q):
            total = 0.0
            for a in range(n):
                total += inverse[start + r * ld + q + a] * gain[s, a]
            inverse[start + r * ld + s] -= total


@inner_fast
def complete_densely(lay: Layout, panel: Floats, inverse: Floats, border: Floats) -> None:
    """Do what `invert_node` and `complete_node` do, for a single chain factor at once."""
    q, n_nodes = lay.factors[0, WIDTH], lay.nodes.shape[0] - 1
    w = lay.cross.shape[0]
    for node in range(n_nodes):
        ld = lay.nodes[node, PANEL]
        invert_node(panel, inverse, lay.nodes[node, START], ld, q, ld - q - w)
    gain = border_part(lay, inverse)
    beside = symmetric_product(border, gain)
    for node in range(n_nodes):
        start, ld = lay.nodes[node, START], lay.nodes[node, PANEL]
        t0, t1 = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
        for r in range(q):
            row = start + r * ld
            for s in range(q):
                total = 0.0
                for c in range(gain.shape[1]):
                    total += beside[node * q + r, c] * gain[node * q + s, c]
                inverse[row + s] += total
            for t in range(t1 - t0):
                inverse[row + q + t] = -beside[node * q + r, lay.touched[t0 + t]]


@inner
def selected_inverse(lay: Layout, panel: Floats, border: Floats) -> Floats:
    """Compute Q^-1 on the pattern of the panels; overwrites the border's factor by its inverse.

    Returns
    -------
    ndarray
        In the layout of the panels: each node's own block of Q^-1, and those beside it.
    """
    n_nodes, nb = lay.nodes.shape[0] - 1, len(lay.border_factor)
    inverse = np.empty(len(panel))
    if nb > 0:
        dense_inverse(border)
        complete_blocks(lay, border)
    most = 0
    for node in range(n_nodes):
        most = max(most, lay.nodes[node, PANEL])
    if worth_filling(lay):
        complete_densely(lay, panel, inverse, border)
        return inverse
    local, place = np.empty((most, most)), np.empty(nb, np.int64)
    for node in range(n_nodes - 1, -1, -1):
        f = lay.nodes[node, FACTOR]
        q, start, ld = lay.factors[f, WIDTH], lay.nodes[node, START], lay.nodes[node, PANEL]
        n = ld - q - lay.cross.shape[0]
        invert_node(panel, inverse, start, ld, q, n)
        if n > 0:
            gather_inverse(lay, node, inverse, border, place, local)
            complete_node(inverse, start, ld, q, n, local)
    return inverse


@inner
def complete_blocks(lay: Layout, border: Floats) -> None:
    """Mirror the lower triangle of each level's own block of the border's inverse."""
    i = 0
    while i < border.shape[0]:
        q = lay.factors[lay.border_factor[i], WIDTH]
        for r in range(q):
            for c in range(r):
                border[i + c, i + r] = border[i + r, i + c]
        i += q
