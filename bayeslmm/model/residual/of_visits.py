"""The correlation of rows that were observed at few visits, from what their design says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.residual.exchangeable import Exchangeable, OneCorrelation
from bayeslmm.model.residual.patterns import PatternCorrelation, blocks_of
from bayeslmm.model.residual.unstructured import AnyCorrelation

if TYPE_CHECKING:
    from bayeslmm.arrays import Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.correlation import Correlation

EXCHANGEABLE = frozenset({"cs", "csh"})
ON_VISITS = EXCHANGEABLE | {"us"}


def correlation_of_visits(rows: ResidualRows, kind: str) -> Correlation:
    """Return the correlation of rows under a structure by patterns of visits.

    Parameters
    ----------
    rows : ResidualRows
        Of a design.
    kind : str
        The structure.
    """
    arm = np.zeros(rows.n, np.int64) if rows.by is None else rows.by
    if kind in EXCHANGEABLE:
        return _exchangeable(rows, arm)
    shape = AnyCorrelation(rows.visits)
    times = shape.times
    position = (
        np.zeros(rows.n, np.int64) if rows.time is None else np.searchsorted(times, rows.time)
    )
    blocks = blocks_of(rows.group, arm, position, times, shift=shape.stationary)
    n_arms = max(len(rows.by_labels), 1)
    return PatternCorrelation((shape,) * n_arms, rows.by_labels, tuple(blocks))


def _exchangeable(rows: ResidualRows, arm: Ints) -> Exchangeable:
    # Which rows of its group a row stands beside does not matter, but how many.
    order = np.lexsort((arm, rows.group))
    starts = np.unique(rows.group[order], return_index=True)[1]
    rank = np.empty(rows.n, np.int64)
    rank[order] = np.arange(rows.n) - np.repeat(starts, np.diff([*starts, rows.n]))
    ranks = np.arange(float(rank.max() + 1))
    blocks = blocks_of(rows.group, arm, rank, ranks, shift=False)
    largest = [
        max(block.at.shape[1] for block in blocks if k in block.arms)
        for k in range(max(len(rows.by_labels), 1))
    ]
    return Exchangeable(tuple(map(OneCorrelation, largest)), rows.by_labels, tuple(blocks))
