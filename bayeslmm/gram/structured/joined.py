"""Levels of grouping factors that R^-1 joins, although no single row has both.

Two rows of one residual group that belong to two levels of a factor put a cross-product between
those levels. The factor is no longer eliminated level by level: it goes to the dense border.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.blocks import PairBlocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.gram import Gram
    from bayeslmm.gram.structured.records import Records

# A value and its gradient factor and invert the border: some ten seconds at so many columns.
_LARGEST_BORDER = 6000


def with_joined_levels(gram: Gram, design: Design, records: Records) -> Gram:
    """Return a Gram with (empty) blocks for all pairs of levels that records join.

    Parameters
    ----------
    gram : Gram
        Of the design's rows, as if they were independent.
    design : Design
        The rows.
    records : Records
        Pairs of rows, each in both orders; sums are of rows of one level each.

    Returns
    -------
    Gram
        The same where no record joins rows of different levels. Else a factor some of whose levels
        are joined to each other has a `PairBlocks` with itself, in which the first level is the
        later one.

    Raises
    ------
    ArgumentError
        If such factors have too many levels for a dense border.
    """
    apart = np.flatnonzero(records.first != records.second)
    a, b = records.first[apart], records.second[apart]
    indices = [records.of_sums(factor.index) for factor in design.factors]
    differs = [index[a] != index[b] for index in indices]
    if not any(different.any() for different in differs):
        return gram
    pairs = [
        _extended(pair, indices[pair.first][a], indices[pair.second][b]) for pair in gram.pairs
    ]
    joined = [k for k, different in enumerate(differs) if different.any()]
    for k in joined:
        q = gram.factors[k].within.shape[1]
        none = PairBlocks(k, k, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, q, q)))
        first, second = indices[k][a], indices[k][b]
        later = first > second
        pairs.append(_extended(none, first[later], second[later]))
    out = replace(gram, pairs=tuple(pairs))
    _require_small(out, joined)
    return out


def by_level(records: Records, design: Design) -> Records:
    """Return records whose sums are of rows of one level of each factor."""
    if records.member is None:
        return records
    label = np.zeros(len(records.member), np.int64)
    for factor in design.factors:
        both = label * factor.n_indexed + factor.index
        label = np.unique(both, return_inverse=True)[1].ravel()
    return records.split(label)


def place_of(pair: PairBlocks, first: Ints, second: Ints) -> Ints:
    """Return where pairs of levels stand in blocks that have all of them."""
    width = _width(pair, second)
    return np.searchsorted(pair.rows * width + pair.cols, first * width + second)


def _width(pair: PairBlocks, second: Ints) -> int:
    return int(max(pair.cols.max(initial=0), second.max(initial=0))) + 1


def _extended(pair: PairBlocks, first: Ints, second: Ints) -> PairBlocks:
    """Return blocks with further pairs of levels, whose cross-products are zero."""
    width = _width(pair, second)
    known = pair.rows * width + pair.cols
    keys = np.union1d(known, first * width + second)
    if len(keys) == len(known):
        return pair
    values = np.zeros((len(keys), *pair.values.shape[1:]))
    values[np.searchsorted(keys, known)] = pair.values
    return PairBlocks(pair.first, pair.second, keys // width, keys % width, values)


def _require_small(gram: Gram, joined: Sequence[int]) -> None:
    if gram.plan.n_border <= _LARGEST_BORDER:
        return
    largest = max((gram.factors[k] for k in joined), key=lambda factor: factor.within.size)
    count = len(largest.levels)
    raise ArgumentError(
        f"Residuals are correlated across the {count:,} levels of {largest.name!r}, whose effects "
        f"then hang together: every step would factor a dense matrix of {gram.plan.n_border:,} "
        f"columns, and at most {_LARGEST_BORDER:,} are. Correlate residuals within levels of "
        f"{largest.name!r}, or leave its random effects out."
    )
