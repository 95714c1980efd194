r"""Cross-products of latent levels, from those of the levels that rows have.

With u = T v the columns of a factor's latent levels are Z T, so that every block follows from the
plain sums,

.. math:: (Z T)'(Z T) = T' (Z'Z) T, \quad (Z T)' Z_m = T' (Z' Z_m), \quad
          (Z T)'[X\ y] = T' Z'[X\ y].

Latent levels meet in rows: they are *joined* (`CrossProducts.joined`), and go to the dense border.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.blocks import CrossProducts, PairBlocks
from bayeslmm.resources import memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.relationships.level_map import LevelMap, Matrix


def with_latent_levels[G: CrossProducts](
    gram: G, maps: Sequence[LevelMap | None], labels: Sequence[NDArray[np.str_]]
) -> G:
    """Return a Gram of latent levels, where factors have any.

    Parameters
    ----------
    gram : Gram
        Of the levels that rows have.
    maps : sequence of LevelMap or None
        T of each factor; None where its levels are latent already.
    labels : sequence of ndarray of str
        Labels of each factor's latent levels.

    Returns
    -------
    Gram
        With a `PairBlocks` of each such factor with itself.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
    >>> known = {"A": ([[1.0, 0.5], [0.5, 1.0]], ["a", "b"])}
    >>> design = build_design("y ~ 1 + (1 | gr(g, cov=A))", table, known=known)
    >>> gram = Gram.from_design(design)  # T = [[1, 0], [0.5, 0.866]], Z'Z = 2 I
    >>> gram.factors[0].within.ravel(), gram.joined(0).values.ravel()
    (array([2.5, 1.5]), array([0.8660254]))
    """
    if not any(maps):
        return gram
    turns = [None if of is None else of.matrix for of in maps]
    factors, joined = [], []
    for k, (factor, of, T) in enumerate(zip(gram.factors, maps, turns, strict=True)):
        if of is None or T is None:
            factors.append(factor)
            continue
        m = len(factor.within)
        own = (*gram.own_blocks(k), (m, m))
        i, j, values = _turned(own, _columns(of), _columns(of))
        at, apart = i == j, i > j
        factors.append(_latent_factor(factor, of, T, labels[k], values[at]))
        joined.append(PairBlocks(k, k, i[apart], j[apart], values[apart]))
    pairs = []
    for k, m in combinations(range(len(factors)), 2):
        pair = gram.pair_of(k, m)
        if turns[k] is not None or turns[m] is not None:
            shape = len(gram.factors[k].within), len(gram.factors[m].within)
            both = _columns(maps[k]), _columns(maps[m])
            found = _turned((pair.rows, pair.cols, pair.values, shape), *both)
            pair = PairBlocks(k, m, *found)
        pairs.append(pair)
    # Levels that correlated residuals join, of factors that stay as they are.
    kept = [pair for pair in gram.pairs if pair.first == pair.second and not maps[pair.first]]
    return replace(gram, factors=tuple(factors), pairs=(*pairs, *kept, *joined))


def latent_of(
    design: Design,
) -> tuple[list[LevelMap | None], list[NDArray[np.str_]]]:
    """Return each factor's map T, if it has one, and the labels of its levels."""
    factors = design.factors
    return [factor.latent for factor in factors], [factor.levels for factor in factors]


type _Blocks = tuple[Ints, Ints, Floats, tuple[int, int]]


def _columns(of: LevelMap | None) -> list[tuple[int, Matrix | None]]:
    """Return T's columns in runs, each with its first: those of levels alone, and the rest dense.

    Where half of the rest is there, dense products are the quicker ones.
    """
    if of is None:
        return [(0, None)]
    T = of.matrix
    if isinstance(T, np.ndarray):
        return [(0, T)]
    rest = csr_array(T[:, of.n_alone :])
    dense = rest.nnz > 0.05 * rest.shape[0] * max(rest.shape[1], 1)
    runs: list[tuple[int, Matrix | None]] = [(of.n_alone, rest.toarray() if dense else rest)]
    return [(0, csr_array(T[:, : of.n_alone])), *runs] if of.n_alone else runs


def _turned(
    blocks: _Blocks, left: list[tuple[int, Matrix | None]], right: list[tuple[int, Matrix | None]]
) -> tuple[Ints, Ints, Floats]:
    """Return the blocks of L' S R that are there, in lexicographic order; None is the identity."""
    parts = []
    for first, L in left:
        for second, R in right:
            i, j, values = _turned_runs(blocks, L, R)
            parts.append((i + first, j + second, values))
    i, j, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], np.ascontiguousarray(values[order])


def _turned_runs(
    blocks: _Blocks, left: Matrix | None, right: Matrix | None
) -> tuple[Ints, Ints, Floats]:
    """Return the blocks of L' S R that are there, in lexicographic order; None is the identity.

    Which are there follows from which entries of L, S and R are zero, not from their values.
    """
    rows, cols, values, shape = blocks
    q, width = values.shape[1:]
    there = _product(_sparse(np.ones(len(rows)), rows, cols, shape), _pattern(left),
                     _pattern(right))  # fmt: skip
    pattern = csr_array(there)
    pattern.sort_indices()
    i = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)).astype(np.int64)
    j = pattern.indices.astype(np.int64)
    out = np.empty((len(i), q, width))
    for a in range(q):
        for b in range(width):
            whole = _product(_sparse(values[:, a, b], rows, cols, shape), left, right)
            dense = whole if isinstance(whole, np.ndarray) else whole.toarray()
            out[:, a, b] = dense[i, j]
    return i, j, out


def _sparse(values: Floats, rows: Ints, cols: Ints, shape: tuple[int, int]) -> csr_array:
    return csr_array((values, (rows, cols)), shape=shape)


def _pattern(matrix: Matrix | None) -> Matrix | None:
    """Return ones where a matrix has entries."""
    if matrix is None:
        return None
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix != 0.0, dtype=np.float64)
    return csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def _product(middle: csr_array, left: Matrix | None, right: Matrix | None) -> Matrix:
    found: Any = middle if right is None else middle @ right
    found = found if left is None else left.T @ found
    return found if isinstance(found, np.ndarray) else csr_array(found)


def _latent_factor(
    factor: GramFactor, of: LevelMap, T: Matrix, labels: NDArray[np.str_], within: Floats
) -> GramFactor:
    m, q, w = factor.with_fixed.shape
    with_fixed = np.asarray(T.T @ factor.with_fixed.reshape(m, q * w)).reshape(-1, q, w)
    return replace(
        factor,
        levels=labels if of.tells_latent else factor.levels,
        within=np.ascontiguousarray(within),
        with_fixed=np.ascontiguousarray(with_fixed),
        counts=_counts(T, factor.counts) if of.tells_latent else factor.counts,
        fixed=None,
        log_weights=None,
        latent=of,
    )


def _counts(T: Matrix, counts: Ints) -> Ints:
    """Count the rows that a latent level has a part in."""
    there: Any = _pattern(T)
    return np.asarray(there.T @ counts).astype(np.int64)


# Columns of a dense border of latent levels: a value takes some ten seconds at so many.
MOST_LATENT = 6000
# What pairs of latent columns take while their cross-products are turned and laid out.
_BYTES_A_PAIR = 80


def require_latent(design: Design) -> None:
    """Raise unless the latent levels of a design fit in memory; nothing is computed yet.

    Parameters
    ----------
    design : Design
        The rows.

    Raises
    ------
    ArgumentError
        If there are too many, with what to do.
    """
    sizes = {
        factor.name: (factor.latent.n_latent - factor.latent.n_alone) * len(factor.terms)
        for factor in design.factors
        if factor.latent is not None
    }
    columns, available = sum(sizes.values()), memory()
    alone = sum(f.latent.n_alone * len(f.terms) for f in design.factors if f.latent is not None)
    needed = _BYTES_A_PAIR * columns * (columns + alone)
    if columns <= MOST_LATENT and (available is None or needed <= available):
        return
    largest = max(sizes, key=sizes.__getitem__)
    raise ArgumentError(
        f"Effects of {sizes[largest]:,} levels (times columns) of {largest!r} hang together: every "
        f"step would factor a dense matrix of {columns:,} columns, at most {MOST_LATENT:,} are "
        f"taken, and it takes {needed:,} bytes of memory to lay them out. Leave rows of some "
        "levels out, or let fewer columns vary over them."
    )
