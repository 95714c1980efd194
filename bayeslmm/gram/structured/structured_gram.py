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

from bayeslmm.errors import DataError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.structured.flat import places_in_plan, split_flat, with_blocks
from bayeslmm.gram.sums import _project, _sum_pairs, reference_columns, to_reference
from bayeslmm.kernels.layout import N_WORKING, SUM_LOG_WEIGHTS

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
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
        DataError
            If a pair of rows belongs to two levels of a grouping factor.
        """
        reference = Gram.from_design(design)
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
        _require_one_level(factor.name, factor.index[a], factor.index[b])
        m, level = len(factor.levels), factor.index[a]
        left = records.scaled(Z[a])
        for other in (Z[b], right):
            sums = _sum_pairs(base * m + level, left, other, K * m)
            out.append(sums.reshape(K, -1))
    for pair in reference.pairs:
        first, second = design.factors[pair.first], design.factors[pair.second]
        place = _place(pair.rows, pair.cols, first.index[a], second.index[b])
        left = records.scaled(columns[pair.first][a])
        n = len(pair.rows)
        sums = _sum_pairs(base * n + place, left, columns[pair.second][b], K * n)
        out.append(sums.reshape(K, -1))
    out.append(_sum_pairs(base, records.scaled(fixed[a]), right, K).reshape(K, -1))
    return np.concatenate(out, axis=1)


def _fixed_columns(design: Design) -> Floats:
    """Return [Xs r] of the rows, in the coordinates of the Gram of rows without weights."""
    y = design.gaussian_response
    y = y if design.offset is None else y - design.offset
    Xs, scale = reference_columns(design.X, None)
    _, rest = _project(design.X, Xs, y, None, scale)
    return np.column_stack([Xs, rest])


def _place(rows: Ints, cols: Ints, first: Ints, second: Ints) -> Ints:
    """Return the places of pairs of levels in a sorted list of them."""
    width = int(max(cols.max(initial=0), second.max(initial=0))) + 1
    keys, wanted = rows * width + cols, first * width + second
    return np.searchsorted(keys, wanted)


def _require_one_level(name: str, first: Ints, second: Ints) -> None:
    apart = np.flatnonzero(first != second)
    if apart.size:
        raise DataError(
            f"Rows whose residuals are correlated belong to two levels of {name!r}: residuals are "
            "correlated within a level of every grouping factor, so far."
        )
