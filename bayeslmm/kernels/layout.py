"""How a Gram stands in the two flat arrays of an `EliminationPlan`, and names for their stretches.

A `Layout` gives names to the stretches, so that every model runs the same machine code: nothing is
compiled anew for another number of factors or columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bayeslmm.kernels.jit import inner

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


# Columns of `Layout.factors`: levels, columns, place in packed Lambda, first node, first column of
# the joint solution, panel width of the ancestors' blocks.
LEVELS, WIDTH, LAMBDA, NODE, COLUMN, ABOVE = range(6)
# Columns of `Layout.nodes`: start of the panel, width of the panel, start of the border list,
# parent node (-1: none), factor.
START, PANEL, TOUCH, PARENT, FACTOR = range(5)
# Columns of `Layout.pairs`: border columns (first >= second), factors, start of the block.
FIRST, SECOND, FACTOR_FIRST, FACTOR_SECOND, BLOCK = range(5)


class Layout(NamedTuple):
    """The stretches of a plan's flat arrays, under their names."""

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


@inner
def open_layout(ints: Ints, floats: Floats) -> Layout:
    """Cut a plan's flat arrays into their stretches; the header is written by `build_plan`."""
    K, w, n_nodes, nb, n_pairs, n_touched = ints[0], ints[1], ints[3], ints[4], ints[5], ints[6]
    a = 16
    factors = ints[a : a + 6 * K].reshape(K, 6)
    a += 6 * K
    nodes = ints[a : a + 5 * (n_nodes + 1)].reshape(n_nodes + 1, 5)
    a += 5 * (n_nodes + 1)
    touched = ints[a : a + n_touched]
    a += n_touched
    place = ints[a : a + n_touched]
    a += n_touched
    border_factor = ints[a : a + nb]
    a += nb
    pairs = ints[a : a + 5 * n_pairs].reshape(n_pairs, 5)
    b = ints[8]
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
        ints[2],
        panels,
        border_fixed,
        blocks,
        cross,
    )
