"""Factors of latent levels taken apart, where some of the levels share no rows with each other.

Of a pedigree, an animal without progeny has a latent effect that is in its own rows alone: such
levels are eliminated one by one, and only those of parents are a part of the dense border. Both
parts have one G, and in a plan one Lambda.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.blocks import CrossProducts, PairBlocks

if TYPE_CHECKING:
    from bayeslmm.arrays import Ints

type _Run = tuple[int, int, int]


def in_parts(gram: CrossProducts) -> tuple[CrossProducts, tuple[int, ...]]:
    """Return cross-products with the parts of factors in their place, and each part's factor.

    Parameters
    ----------
    gram : CrossProducts
        The cross-products.

    Returns
    -------
    parts : CrossProducts
        The same where no factor has parts.
    home : tuple of int
        The place of each part's factor; the levels of a factor's parts follow each other.
    """
    runs = [run for k in range(len(gram.factors)) for run in _runs(gram, k)]
    home = tuple(k for k, _, _ in runs)
    if len(runs) == len(gram.factors):
        return gram, home
    factors = tuple(
        replace(
            gram.factors[k],
            within=gram.factors[k].within[a:b],
            with_fixed=gram.factors[k].with_fixed[a:b],
        )
        for k, a, b in runs
    )
    pairs = [_between(gram, runs, i, j) for i, j in combinations(range(len(runs)), 2)]
    own = [_inside(gram, runs, i) for i in range(len(runs))]
    joined = [pair for pair in own if pair is not None]
    return replace(gram, factors=factors, pairs=(*pairs, *joined)), home


def _runs(gram: CrossProducts, k: int) -> list[_Run]:
    """Return a factor's place and runs of levels: those that share no rows, and the others."""
    M, latent, joined = len(gram.factors[k].within), gram.factors[k].latent, gram.joined(k)
    alone = 0 if latent is None else latent.n_alone
    if joined is None or not 0 < alone < M or bool(np.any(joined.rows < alone)):
        # The later level of a pair comes first: two of the first levels meet in correlated rows.
        return [(k, 0, M)]
    return [(k, 0, alone), (k, alone, M)]


def _between(gram: CrossProducts, runs: list[_Run], i: int, j: int) -> PairBlocks:
    """Return the cross-products of two parts."""
    (k, a, b), (m, c, d) = runs[i], runs[j]
    if k != m:
        pair = gram.pair_of(k, m)
        rows, cols, values = pair.rows, pair.cols, pair.values
    else:
        found = gram.joined(k)
        assert found is not None  # noqa: S101 - only such factors have parts
        rows, cols, values = found.cols, found.rows, found.values.transpose(0, 2, 1)
    here = _in(rows, a, b) & _in(cols, c, d)
    rows, cols, values = rows[here] - a, cols[here] - c, values[here]
    order = np.lexsort((cols, rows))
    return PairBlocks(i, j, rows[order], cols[order], np.ascontiguousarray(values[order]))


def _inside(gram: CrossProducts, runs: list[_Run], i: int) -> PairBlocks | None:
    """Return the cross-products between levels of one part, None where they share no rows."""
    k, a, b = runs[i]
    joined = gram.joined(k)
    if joined is None or (a == 0 and b < len(gram.factors[k].within)):
        return None
    here = _in(joined.rows, a, b) & _in(joined.cols, a, b)
    return PairBlocks(i, i, joined.rows[here] - a, joined.cols[here] - a, joined.values[here])


def _in(levels: Ints, first: int, last: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((levels >= first) & (levels < last))
