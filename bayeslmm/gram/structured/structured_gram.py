r"""`StructuredGram`: W'R^-1 W as a sum of fixed cross-products, for any parameters of R.

.. math:: W' R^{-1} W = \sum_k c_k(\phi) \, W' P_k W

The W'P_k W are summed over the rows once. A step then costs their combination; where there are
more bases than a pass over the rows costs, the pass is made instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.gram import Gram
from bayeslmm.gram.structured.flat import places_in_plan, split_flat, with_blocks
from bayeslmm.gram.structured.joined import place_of, with_joined_levels
from bayeslmm.gram.sums import _project, _sum_pairs, reference_columns, to_reference
from bayeslmm.kernels.layout import N_WORKING, SUM_LOG_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.blocks import PairBlocks
    from bayeslmm.gram.elimination_plan import EliminationPlan
    from bayeslmm.gram.structured.records import Records


@dataclass(frozen=True, eq=False)
class StructuredGram:
    """Bases of a design's cross-products.

    Attributes
    ----------
    reference : Gram
        Of the rows without weights: names, coordinates, and which blocks there are.
    bodies : ndarray, shape (K, number of cross-products)
        W'P_k W, each laid out as `flat.blocks_of` says.
    """

    reference: Gram
    bodies: Floats

    @classmethod
    def from_design(cls, design: Design, records: Records) -> StructuredGram:
        """Sum the bases over the rows of a design without weights.

        Parameters
        ----------
        design : Design
            Rows with a response.
        records : Records
            Pairs of rows, each of one base.

        Raises
        ------
        ArgumentError
            If rows of too many levels of one factor hang together.
        """
        reference = with_joined_levels(Gram.from_design(design), design, records)
        return cls(reference, _bodies(design, reference, records))

    @property
    def plan(self) -> EliminationPlan:
        """The order of elimination; its floats are those of the reference."""
        return self.reference.plan

    @cached_property
    def head(self) -> Floats:
        """The plan's floats up to the cross-products."""
        return self.plan.floats[: int(self.plan.ints[N_WORKING])]

    @cached_property
    def _places(self) -> Ints:
        return places_in_plan(self.reference)

    @cached_property
    def plan_bodies(self) -> Floats:
        """The bases laid out as the plan's floats, shape (K, n_floats - n_head)."""
        places = self._places
        return np.where(places < 0, 0.0, self.bodies[:, places])

    def floats(self, coefficients: Floats, log_determinant: float) -> Floats:
        """Return the plan's floats for one point.

        Parameters
        ----------
        coefficients : ndarray, shape (K,)
            c.
        log_determinant : float
            log|R|.
        """
        out = np.concatenate([self.head, coefficients @ self.plan_bodies])
        out[SUM_LOG_WEIGHTS] = -log_determinant
        return out

    def pull_back(self, d_floats: Floats) -> tuple[Floats, float]:
        """Return the gradient in the coefficients and in log|R|, from that in the plan's floats."""
        return self.plan_bodies @ d_floats[len(self.head) :], -float(d_floats[SUM_LOG_WEIGHTS])

    def at(self, coefficients: Floats, log_determinant: float) -> Gram:
        """Return the Gram of rows scaled by R^(-1/2), of which all that reads a Gram can be asked.

        Parameters
        ----------
        coefficients : ndarray, shape (K,)
            c.
        log_determinant : float
            log|R|.
        """
        flat = coefficients @ self.bodies
        blocks = split_flat(self.reference, flat)
        return with_blocks(self.reference, blocks, sum_log_weights=-log_determinant)


def _bodies(design: Design, reference: Gram, records: Records) -> Floats:
    fixed = _fixed_columns(design)
    columns = [
        to_reference(factor.columns, known.scale)
        for factor, known in zip(design.factors, reference.factors, strict=True)
    ]
    a, b, base, K = records.first, records.second, records.base, records.n_bases
    right = fixed[b]
    out = []
    for factor, Z in zip(design.factors, columns, strict=True):
        m, level = len(factor.levels), factor.index[a]
        left, place = records.scaled(Z[a]), base * m + level
        own = level == factor.index[b]
        within = _sum_pairs(place[own], left[own], Z[b[own]], K * m)
        with_fixed = _sum_pairs(place, left, right, K * m)
        out += [within.reshape(K, -1), with_fixed.reshape(K, -1)]
    for pair in reference.pairs:
        out.append(_pair_bodies(pair, design, columns, records))
    out.append(_sum_pairs(base, records.scaled(fixed[a]), right, K).reshape(K, -1))
    return np.concatenate(out, axis=1)


def _fixed_columns(design: Design) -> Floats:
    """Return [Xs r] of the rows, in the coordinates of the Gram of rows without weights."""
    y = design.gaussian_response
    y = y if design.offset is None else y - design.offset
    Xs, scale = reference_columns(design.X, None)
    _, rest = _project(design.X, Xs, y, None, scale)
    return np.column_stack([Xs, rest])


def _pair_bodies(
    pair: PairBlocks, design: Design, columns: Sequence[Floats], records: Records
) -> Floats:
    first, second = design.factors[pair.first].index, design.factors[pair.second].index
    left, right = records.scaled(columns[pair.first][records.first]), columns[pair.second]
    a, b, base, n = first[records.first], second[records.second], records.base, len(pair.rows)
    if pair.first == pair.second:  # blocks of two levels stand once, the later one first
        some = a > b
        a, b, base, left = a[some], b[some], base[some], left[some]
        right = right[records.second[some]]
    else:
        right = right[records.second]
    place = base * n + place_of(pair, a, b)
    return _sum_pairs(place, left, right, records.n_bases * n).reshape(records.n_bases, -1)
