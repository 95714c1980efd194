"""The order in which random effects are eliminated, and a Gram laid out for compiled code.

Levels of a factor never share rows, so one factor eliminates level by level, unless correlated
residuals join its levels. If it is nested in a second factor, what remains of that one is again
block-diagonal, and so on up the chain; all other factors form the dense border. The plan is two
flat arrays, integers and floats: data, not code, so one compiled function (or one compiled PyMC
model) serves every model and every table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import DataError
from bayeslmm.gram.border.chain import best_chain, by_size
from bayeslmm.gram.parts import in_parts
from bayeslmm.kernels.layout import (
    ABOVE,
    BLOCK,
    COLUMN,
    FACTOR,
    FACTOR_ENTRIES,
    FACTOR_FIRST,
    FACTOR_SECOND,
    FIRST,
    LAMBDA,
    LEVELS,
    NODE,
    NODE_ENTRIES,
    PAIR_ENTRIES,
    PANEL,
    PARENT,
    SECOND,
    START,
    TOUCH,
    WIDTH,
    Layout,
    Working,
    pack,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.blocks import CrossProducts


@dataclass(frozen=True, eq=False)
class EliminationPlan:
    """What compiled functions need to know of a Gram; see `bayeslmm.gram.likelihood`.

    Attributes
    ----------
    ints, floats : ndarray
        The arrays to pass on, from `kernels.layout.pack`.
    order : tuple of int
        Places of the factors in `Gram.factors`: the chain, finest first, then the border.
    n_chain : int
        How many of them form the chain.
    n_border : int
        Columns of the dense border: memory is 8 n_border^2 bytes, time goes with its cube.
    columns : tuple of int
        For each factor of the Gram, the first of its m * q columns in a joint solution.
    part_levels : tuple of int
        Numbers of levels, in the order of `order`: a factor whose levels are in two parts (see
        `bayeslmm.gram.parts`) stands there twice.
    runs : tuple
        For each factor of the Gram, (first column, end) of each of its parts, in level order.
    n_columns : int
        Number of random-effect columns, the sum of m * q.
    n_lambda : int
        Length of packed Lambda: the sum of q * q, factors in the Gram's order, row-major.
    """

    ints: Ints
    floats: Floats
    order: tuple[int, ...]
    n_chain: int
    n_border: int
    columns: tuple[int, ...]
    n_columns: int
    n_lambda: int
    part_levels: tuple[int, ...]
    runs: tuple[tuple[tuple[int, int], ...], ...]

    def places(self, k: int) -> slice | Ints:
        """Return where a factor's columns stand in a joint solution, level by level."""
        runs = self.runs[k]
        if len(runs) == 1:
            return slice(*runs[0])
        return np.concatenate([np.arange(*run) for run in runs])


@dataclass(frozen=True, eq=False)
class _Touches:
    """Border columns that the nodes of one chain factor meet, sorted by node, then column."""

    node: Ints
    column: Ints
    block: Ints  # which pair block holds the column's values, and at which of its columns
    within: Ints
    factor: Ints


def build_plan(gram: CrossProducts) -> EliminationPlan:
    """Return the plan with the smallest border, and the cross-products laid out for it.

    Parameters
    ----------
    gram : CrossProducts
        The cross-products.

    Returns
    -------
    EliminationPlan
        The plan.

    Raises
    ------
    DataError
        If pairs of factors contradict each other, as no sum over rows does.
    """
    whole = gram
    gram, home = in_parts(whole)
    sizes = [f.within.shape[:2] for f in gram.factors]
    chain = best_chain(gram)
    border = [k for k in by_size(gram) if k not in chain]
    order = (*chain, *border)
    start = np.cumsum([0, *(sizes[k][0] * sizes[k][1] for k in order)])
    table = _factor_table(gram, order, len(chain), start)
    table[:, LAMBDA] = _lambda_places(whole)[[home[k] for k in order]]
    first_border = int(start[len(chain)])
    border_start = {k: int(start[i]) - first_border for i, k in enumerate(order) if k in border}
    nodes, touched, place, panels = _chain_panels(gram, chain, border_start)
    pairs, blocks, border_fixed = _border_blocks(gram, order, border_start)
    n_border = int(start[-1]) - first_border
    border_factor = [
        i for i, k in enumerate(order) if k in border for _ in range(sizes[k][0] * sizes[k][1])
    ]
    layout = Layout(
        factors=table,
        nodes=nodes,
        touched=touched,
        place=place,
        border_factor=np.array(border_factor, np.int64),
        pairs=pairs,
        n_chain=len(chain),
        panels=panels,
        border_fixed=border_fixed,
        blocks=blocks,
        cross=gram.cross,
    )
    ints, floats = pack(layout, _working(whole, home, table))
    first = {k: int(at) for k, at in zip(order, start[:-1], strict=True)}
    runs = tuple(
        tuple(
            (first[i], first[i] + sizes[i][0] * sizes[i][1]) for i, k in enumerate(home) if k == own
        )
        for own in range(len(whole.factors))
    )
    return EliminationPlan(
        ints=ints,
        floats=floats,
        order=tuple(home[k] for k in order),
        n_chain=len(chain),
        n_border=n_border,
        columns=tuple(of[0][0] for of in runs),
        n_columns=int(start[-1]),
        n_lambda=int(sum(f.within.shape[1] ** 2 for f in whole.factors)),
        part_levels=tuple(sizes[k][0] for k in order),
        runs=runs,
    )


def _lambda_places(gram: CrossProducts) -> Ints:
    """Return where each factor's Lambda begins in packed ones."""
    sizes = [f.within.shape[1] ** 2 for f in gram.factors]
    return np.cumsum([0, *sizes])[:-1].astype(np.int64)


def _working(gram: CrossProducts, home: tuple[int, ...], factors: Ints) -> Working:
    # Compiled code adds M Lambda up over a factor's parts, which have one Lambda.
    parts = [home.count(k) for k in range(len(gram.factors))]
    scales = [f.scale.ravel() / n for f, n in zip(gram.factors, parts, strict=True)]
    scales.append(np.zeros(0))
    return Working(
        n=gram.power,
        sum_log_weights=gram.sum_log_weights,
        R=gram.scale,
        R_inverse=np.linalg.inv(gram.scale) if len(gram.coef) else gram.scale,
        origin=gram.origin,
        M=np.concatenate(scales),
        factors=factors,
    )


def _factor_table(gram: CrossProducts, order: tuple[int, ...], n_chain: int, start: Ints) -> Ints:
    widths = [f.within.shape[1] for f in gram.factors]
    table = np.zeros((len(order), FACTOR_ENTRIES), np.int64)
    node = 0
    for i, k in enumerate(order):
        m = len(gram.factors[k].within)
        above = sum(widths[j] for j in order[i + 1 : n_chain]) if i < n_chain else 0
        row = table[i]
        row[LEVELS], row[WIDTH] = m, widths[k]
        row[NODE], row[COLUMN], row[ABOVE] = node, start[i], above
        node += m if i < n_chain else 0
    return table


def _touches(gram: CrossProducts, k: int, border_start: dict[int, int]) -> _Touches:
    parts = []
    for m, begin in border_start.items():
        rows, cols, values = gram.pair_of(k, m).seen_from(k)
        q = values.shape[2]
        column = (begin + cols[:, None] * q + np.arange(q)).ravel()
        parts.append(
            np.stack(
                [
                    np.repeat(rows, q),
                    column,
                    np.repeat(np.arange(len(rows)), q),
                    np.tile(np.arange(q), len(rows)),
                    np.full(len(column), m),
                ]
            )
        )
    joint = np.concatenate(parts, axis=1) if parts else np.zeros((5, 0), np.int64)
    if len(parts) > 1:  # one factor's pairs are sorted as they come
        joint = joint[:, np.lexsort((joint[1], joint[0]))]
    return _Touches(*joint)


def _chain_panels(
    gram: CrossProducts, chain: list[int], border_start: dict[int, int]
) -> tuple[Ints, Ints, Ints, Floats]:
    """Return nodes, border lists, their places in the parents' lists, and panel values."""
    sizes = [gram.factors[k].within.shape for k in chain]
    first = np.cumsum([0, *(m for m, _, _ in sizes)])
    touches = [_touches(gram, k, border_start) for k in chain]
    nodes = np.zeros((int(first[-1]) + 1, NODE_ENTRIES), np.int64)
    nodes[-1, PARENT], nodes[-1, FACTOR] = -1, len(chain) - 1
    panels, places, at, n_touched = [], [], 0, 0
    for d, k in enumerate(chain):
        m, q, _ = sizes[d]
        own = nodes[first[d] : first[d + 1]]
        count = np.bincount(touches[d].node, minlength=m)
        beside = sum(width for _, width, _ in sizes[d:]) + gram.cross.shape[0]
        own[:, PANEL] = count + beside
        own[:, START] = at + np.cumsum(q * own[:, PANEL]) - q * own[:, PANEL]
        own[:, TOUCH] = n_touched + np.cumsum(count) - count
        own[:, PARENT], own[:, FACTOR] = -1, d
        if d + 1 < len(chain):
            rows, cols, _ = gram.pair_of(k, chain[d + 1]).seen_from(k)
            own[:, PARENT] = first[d + 1]  # a level without rows has no effect on any parent
            own[rows, PARENT] = first[d + 1] + cols
            parent = own[touches[d].node, PARENT] - first[d + 1]
            places.append(_places(parent, touches[d], touches[d + 1], border_start, gram))
        else:
            places.append(np.zeros(len(touches[d].node), np.int64))
        panels.append(_panel_values(gram, chain[d:], own, touches[d], at))
        at += int(q * own[:, PANEL].sum())
        n_touched += len(touches[d].node)
    nodes[-1, START], nodes[-1, TOUCH] = at, n_touched
    touched = np.concatenate([t.column for t in touches]) if chain else np.zeros(0, np.int64)
    return (
        nodes,
        touched,
        np.concatenate(places) if chain else np.zeros(0, np.int64),
        np.concatenate(panels) if chain else np.zeros(0),
    )


def _places(
    parent: Ints, own: _Touches, above: _Touches, border_start: dict[int, int], gram: CrossProducts
) -> Ints:
    """Return the place of each touched column in the list of the node's parent."""
    n = sum(int(np.prod(gram.factors[m].within.shape[:2])) for m in border_start)
    known, wanted = above.node * n + above.column, parent * n + own.column
    found = np.searchsorted(known, wanted)
    # Compiled code adds at these places without looking.
    if not np.array_equal(
        known[np.minimum(found, len(known) - 1)] if len(known) else known, wanted
    ):
        raise DataError(
            "The cross-products of pairs of factors contradict each other: a level shares rows "
            "with one that its parent shares none with. Sum them again from the rows."
        )
    return found - np.searchsorted(above.node, parent)


def _panel_values(
    gram: CrossProducts, chain: list[int], nodes: Ints, touches: _Touches, at: int
) -> Floats:
    """Return one chain factor's panels: [own | ancestors | border | fixed and response]."""
    factor = gram.factors[chain[0]]
    m, q, _ = factor.within.shape
    w = gram.cross.shape[0]
    starts, widths = nodes[:, START, None], nodes[:, PANEL, None]
    values = np.zeros(int(q * widths.sum()))
    lines = starts - at + np.arange(q) * widths  # (m, q): start of each row
    values[lines[:, :, None] + np.arange(q)] = factor.within
    offset = q
    for other in chain[1:]:
        rows, _, blocks = gram.pair_of(chain[0], other).seen_from(chain[0])
        values[lines[rows][:, :, None] + offset + np.arange(blocks.shape[2])] = blocks
        offset += blocks.shape[2]
    count = np.bincount(touches.node, minlength=m)
    rank = np.arange(len(touches.node)) - (np.cumsum(count) - count)[touches.node]
    for other in np.unique(touches.factor):
        mine = touches.factor == other
        _, _, blocks = gram.pair_of(chain[0], int(other)).seen_from(chain[0])
        spots = lines[touches.node[mine]] + offset + rank[mine][:, None]
        values[spots] = blocks[touches.block[mine], :, touches.within[mine]]
    ends = lines + widths - w
    values[ends[:, :, None] + np.arange(w)] = factor.with_fixed
    return values


def _own_blocks(gram: CrossProducts, k: int) -> tuple[Ints, Ints, Floats]:
    """Return blocks of a factor's levels with themselves, then of levels that are joined."""
    within = gram.factors[k].within
    levels = np.arange(len(within))
    joined = gram.joined(k)
    if joined is None:
        return levels, levels, within
    return (
        np.concatenate([levels, joined.rows]),
        np.concatenate([levels, joined.cols]),
        np.concatenate([within, joined.values]),
    )


def _border_blocks(
    gram: CrossProducts, order: tuple[int, ...], border_start: dict[int, int]
) -> tuple[Ints, Floats, Floats]:
    """Return blocks of the border's own cross-products, later columns first, and its Z'[X y]."""
    table: list[Ints] = []
    blocks: list[Floats] = []
    at = 0
    for k, begin in border_start.items():
        for m, begin_m in border_start.items():
            if begin_m > begin:
                continue
            if k == m:
                rows, cols, values = _own_blocks(gram, k)
            else:
                rows, cols, values = gram.pair_of(k, m).seen_from(k)
            _, qk, qm = values.shape
            part = np.zeros((len(rows), PAIR_ENTRIES), np.int64)
            part[:, FIRST], part[:, SECOND] = begin + rows * qk, begin_m + cols * qm
            part[:, FACTOR_FIRST], part[:, FACTOR_SECOND] = order.index(k), order.index(m)
            part[:, BLOCK] = at + np.arange(len(rows)) * qk * qm
            table.append(part)
            blocks.append(values.ravel())
            at += values.size
    w = gram.cross.shape[0]
    fixed = [gram.factors[k].with_fixed.reshape(-1, w) for k in border_start]
    return (
        np.concatenate(table) if table else np.zeros((0, PAIR_ENTRIES), np.int64),
        np.concatenate(blocks) if blocks else np.zeros(0),
        np.concatenate(fixed) if fixed else np.zeros((0, w)),
    )
