"""Compiled back-substitution: from a factorization to solutions for every random-effect column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.compiled import inner, inner_fast
from bayeslmm.kernels import (
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
from bayeslmm.lapack import dense_half_solve

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


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
