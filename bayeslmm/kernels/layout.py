"""How a Gram stands in the two flat arrays of an `EliminationPlan`: written and read here alone.

A `Layout` and `Working` give names to the stretches of the arrays, so that every model runs the
same machine code: nothing is compiled anew for another number of factors or columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import inner

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


# Columns of `factors`: levels, columns, place in packed Lambda, first node, first column of the
# joint solution, panel width of the ancestors' blocks; and their number.
LEVELS, WIDTH, LAMBDA, NODE, COLUMN, ABOVE, FACTOR_ENTRIES = range(7)
# Columns of `Layout.nodes`: start of the panel, width of the panel, start of the border list,
# parent node (-1: none), factor; and their number.
START, PANEL, TOUCH, PARENT, FACTOR, NODE_ENTRIES = range(6)
# Columns of `Layout.pairs`: border columns (first >= second), factors, start of the block; and
# their number.
FIRST, SECOND, FACTOR_FIRST, FACTOR_SECOND, BLOCK, PAIR_ENTRIES = range(6)
# The integers begin with lengths: of the stretches, and of the floats of `Working`.
N_FACTORS, N_RIGHT, N_CHAIN, N_NODES, N_BORDER, N_PAIRS, N_TOUCHED, N_WORKING, HEADER = range(9)
# The floats begin with the number of rows and the sum of log w; then comes R.
N_ROWS, SUM_LOG_WEIGHTS, SCALES = range(3)


class Layout(NamedTuple):
    """Cross-products in the order of their elimination."""

    factors: Ints  # (K, 6): the chain's factors first, finest first, then the border's
    nodes: Ints  # (N + 1, 5): all levels of the chain; the last row only ends the lists
    touched: Ints  # border columns that each node meets, ascending
    place: Ints  # the place of each touched column in the parent's list
    border_factor: Ints  # (nb,): factor of each border column
    pairs: Ints  # (n_pairs, 5): blocks of the border's own cross-products
    n_chain: int  # number of factors in the chain
    panels: Floats  # cross-products of each node with itself, ancestors, border, [X y]
    border_fixed: Floats  # (nb, w): border columns with [X y]
    blocks: Floats  # values of `pairs`
    cross: Floats  # (w, w): [X y]'[X y]


class Working(NamedTuple):
    """The working coordinates: sqrt(w) X = Xs R, sqrt(w) y = Xs R origin + r, sqrt(w) Z = Zs M.

    Fixed effects are R (beta - origin) there, relative factors M Lambda.
    """

    n: float  # number of rows
    sum_log_weights: float
    R: Floats  # (p, p), upper triangular
    R_inverse: Floats  # (p, p)
    origin: Floats  # (p,)
    M: Floats  # each factor's M, packed like Lambda
    factors: Ints  # as in `Layout`


def pack(layout: Layout, working: Working) -> tuple[Ints, Floats]:
    """Write everything into two flat arrays; `open_layout` and `open_working` read them.

    Parameters
    ----------
    layout, working : Layout, Working
        With the same factors.

    Returns
    -------
    ints, floats : ndarray of int64, ndarray
    """
    scales = (working.R, working.R_inverse, working.origin, working.M)
    header = np.zeros(HEADER, np.int64)
    header[N_FACTORS], header[N_CHAIN] = len(layout.factors), layout.n_chain
    header[N_RIGHT], header[N_BORDER] = len(layout.cross), len(layout.border_factor)
    header[N_NODES], header[N_PAIRS] = len(layout.nodes) - 1, len(layout.pairs)
    header[N_TOUCHED] = len(layout.touched)
    header[N_WORKING] = SCALES + sum(part.size for part in scales)
    head = np.zeros(SCALES)
    head[N_ROWS], head[SUM_LOG_WEIGHTS] = working.n, working.sum_log_weights
    ints = (header, layout.factors, layout.nodes, layout.touched, layout.place,
            layout.border_factor, layout.pairs)  # fmt: skip
    floats = (head, *scales, layout.cross, layout.border_fixed, layout.panels, layout.blocks)
    return np.concatenate([part.ravel() for part in ints]), np.concatenate(
        [part.ravel() for part in floats]
    )


@inner
def factor_table(ints: Ints) -> Ints:
    """Split out the table of factors."""
    K = ints[N_FACTORS]
    return ints[HEADER : HEADER + FACTOR_ENTRIES * K].reshape(K, FACTOR_ENTRIES)


@inner
def open_layout(ints: Ints, floats: Floats) -> Layout:
    """Split a plan's flat arrays into the stretches of a `Layout`."""
    w, n_nodes, nb, n_pairs = ints[N_RIGHT], ints[N_NODES], ints[N_BORDER], ints[N_PAIRS]
    factors = factor_table(ints)
    a = HEADER + factors.size
    nodes = ints[a : a + NODE_ENTRIES * (n_nodes + 1)].reshape(n_nodes + 1, NODE_ENTRIES)
    a += NODE_ENTRIES * (n_nodes + 1)
    touched = ints[a : a + ints[N_TOUCHED]]
    a += ints[N_TOUCHED]
    place = ints[a : a + ints[N_TOUCHED]]
    a += ints[N_TOUCHED]
    border_factor = ints[a : a + nb]
    a += nb
    pairs = ints[a : a + PAIR_ENTRIES * n_pairs].reshape(n_pairs, PAIR_ENTRIES)
    b = ints[N_WORKING]
    cross = floats[b : b + w * w].reshape(w, w)
    b += w * w
    border_fixed = floats[b : b + nb * w].reshape(nb, w)
    b += nb * w
    panels = floats[b : b + nodes[n_nodes, START]]
    b += nodes[n_nodes, START]
    blocks = floats[b:]
    return Layout(
        factors,
        nodes,
        touched,
        place,
        border_factor,
        pairs,
        ints[N_CHAIN],
        panels,
        border_fixed,
        blocks,
        cross,
    )


@inner
def open_working(ints: Ints, floats: Floats) -> Working:
    """Split a plan's flat arrays into what leads from working coordinates to the model's own."""
    p = ints[N_RIGHT] - 1
    a = SCALES + p * p
    b = a + p * p
    return Working(
        floats[N_ROWS],
        floats[SUM_LOG_WEIGHTS],
        floats[SCALES:a].reshape(p, p),
        floats[a:b].reshape(p, p),
        floats[b : b + p],
        floats[b + p : ints[N_WORKING]],
        factor_table(ints),
    )
