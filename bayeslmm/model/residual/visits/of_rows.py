"""The correlation of rows that were observed at few visits, from what their design says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.model.residual.series import times_of
from bayeslmm.model.residual.visits.antedependence import antedependence
from bayeslmm.model.residual.visits.exchangeable import Exchangeable, OneCorrelation
from bayeslmm.model.residual.visits.patterns import PatternCorrelation, blocks_of
from bayeslmm.model.residual.visits.stationary import Arma, Toeplitz
from bayeslmm.model.residual.visits.unstructured import AnyCorrelation

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.formula.residual import Correlation as Spelt
    from bayeslmm.model.residual.correlation import Correlation
    from bayeslmm.model.residual.visits.patterns import Block
    from bayeslmm.model.residual.visits.shape import PositionShape

# What is summed and combined at each step: beyond, memory goes, and time with it.
_MOST_BASES = 10_000


def correlation_of_visits(rows: ResidualRows, spelt: Spelt) -> Correlation:
    """Return the correlation of rows under a structure of visits.

    Parameters
    ----------
    rows : ResidualRows
        Of a design.
    spelt : formula.residual.Correlation
        The structure.

    Raises
    ------
    ArgumentError
        If groups were observed at too many different sets of times.
    """
    arm = np.zeros(rows.n, np.int64) if rows.by is None else rows.by
    if spelt.kind in ("cs", "csh"):
        return _exchangeable(rows, arm)
    time = times_of(rows)
    if spelt.kind in ("ad", "adh"):
        return antedependence(rows, time.astype(np.int64), arm)
    shape = _shape(rows, spelt, time)
    position = np.searchsorted(shape.times, time)
    blocks = blocks_of(rows.group, arm, position, shape.times, shift=shape.stationary)
    _require_few(blocks, shape, spelt)
    return PatternCorrelation((shape,) * max(len(rows.by_labels), 1), rows.by_labels, tuple(blocks))


def _shape(rows: ResidualRows, spelt: Spelt, time: Floats) -> PositionShape:
    if spelt.kind == "us":
        return AnyCorrelation(rows.visits)
    if spelt.kind in ("toep", "toeph"):
        return Toeplitz(rows.visits)
    return Arma(np.unique(time), spelt.options["p"], spelt.options["q"])


def _require_few(blocks: list[Block], shape: PositionShape, spelt: Spelt) -> None:
    """Raise unless the inverses' entries can be summed and combined."""
    n_bases = sum(block.n_bases for block in blocks)
    if n_bases > _MOST_BASES:
        patterns = sum(len(block.at) for block in blocks)
        raise ArgumentError(
            f"{spelt} needs the inverse of the correlations of each set of times that a "
            f"{spelt.group} was observed at: {patterns} sets of {len(shape.times)} times, with "
            f"{n_bases} entries, and at most {_MOST_BASES} are computed at a step. ar1(), ou(), "
            "ar1h(), ad() and cs() take any number of times."
        )


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
