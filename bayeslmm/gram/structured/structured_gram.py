r"""W'R^-1 W for any parameters of R: by fixed bases, or by a pass over the rows.

.. math:: W' R^{-1} W = \sum_k c_k(\phi) \, W' P_k W

The W'P_k W are summed over the rows once, and a step then costs their combination
(`StructuredGram`). Where there are more bases than a pass over the rows costs, or than memory
holds, the pass is made at every step instead (`RowGram`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import DataError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.latent import latent_of, require_latent, with_latent_levels
from bayeslmm.gram.strata import laid_out_as
from bayeslmm.gram.structured.flat import blocks_of, places_in_plan, split_flat, with_blocks
from bayeslmm.gram.structured.joined import by_level, place_of, with_joined_levels
from bayeslmm.gram.structured.records import Records
from bayeslmm.gram.sums import _project, reference_columns, to_reference
from bayeslmm.kernels.layout import N_WORKING, SUM_LOG_WEIGHTS
from bayeslmm.kernels.structured.rows import NOWHERE, add_slopes, sum_products

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.elimination_plan import EliminationPlan

# Bases that are kept: 1 GB of numbers.
MOST_NUMBERS = 2**27


@dataclass(frozen=True, eq=False)
class _Combined:
    """What bases and a pass over the rows share: the plan, and numbers in its order.

    Attributes
    ----------
    reference : Gram
        Of the rows without weights: names, coordinates, and which blocks there are.
    """

    reference: Gram

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

    def floats(self, coefficients: Floats, log_determinant: float) -> Floats:
        """Return the plan's floats for one point.

        Parameters
        ----------
        coefficients : ndarray, shape (K,)
            c.
        log_determinant : float
            log|R|.
        """
        raise NotImplementedError

    def gram_of(self, there: Floats, scale: float = 1.0) -> Gram:
        """Return the Gram of rows multiplied by scale R^(-1/2), for all that reads one.

        Parameters
        ----------
        there : ndarray
            The plan's floats for a point, from `floats`.
        scale : float
            The sigma beside weights of scale^2 R^-1.
        """
        blocks = self._blocks_from(there[len(self.head) :] * scale**2)
        log_determinant = -float(there[SUM_LOG_WEIGHTS])
        whole = 2.0 * self.reference.n * math.log(scale) - log_determinant
        return with_blocks(self.reference, blocks, sum_log_weights=whole)

    def _blocks_from(self, values: Floats) -> list[Floats]:
        """Return the blocks of cross-products that a plan's floats, without its head, hold."""
        known = self._places >= 0
        flat = np.zeros(sum(block.size for block in blocks_of(self.reference)))
        flat[self._places[known]] = values[known]
        return split_flat(self.reference, flat)


@dataclass(frozen=True, eq=False)
class StructuredGram(_Combined):
    """Bases of a design's cross-products.

    Attributes
    ----------
    bodies : ndarray, shape (K, number of cross-products)
        W'P_k W, each laid out as `flat.blocks_of` says.
    """

    bodies: Floats

    @classmethod
    def from_design(
        cls,
        design: Design,
        records: Records | Iterable[Records],
        joining: Records | None = None,
    ) -> StructuredGram:
        """Sum the bases over the rows of a design without weights.

        Parameters
        ----------
        design : Design
            Rows with a response.
        records : Records, or several
            Pairs of rows, each of one base. Of several the sums are added up.
        joining : Records, optional
            Where there are several, the pairs of different rows that they join, if any.

        Raises
        ------
        ArgumentError
            If rows of too many levels of one factor hang together.
        """
        reference = Gram.of_levels(design, strata=False)
        whole = records if isinstance(records, Records) else joining
        if whole is not None:
            whole = by_level(whole, design)
            reference = with_joined_levels(reference, design, whole)
        columns = _Columns.of(design, reference)
        several = (by_level(records, design),) if isinstance(records, Records) else records
        bodies: Floats | None = None
        for some in several:
            part = _bodies(columns, some)
            bodies = part if bodies is None else bodies + part
        if bodies is None:
            raise DataError("There are no rows.")
        require_latent(design)
        maps, labels = latent_of(design)
        if not any(maps):
            return cls(reference, bodies)
        each = (with_blocks(reference, split_flat(reference, body), sum_log_weights=0.0)
                for body in bodies)  # fmt: skip
        turned = [_flat(with_latent_levels(gram, maps, labels)) for gram in each]
        return cls(with_latent_levels(reference, maps, labels), np.stack(turned))

    @classmethod
    def of_strata(cls, gram: Gram, order: Ints) -> StructuredGram:
        """Return the bases of residuals with a standard deviation for each stratum.

        Parameters
        ----------
        gram : Gram
            Cross-products with strata.
        order : ndarray of int64
            The stratum of each base.
        """
        if gram.strata is None:
            raise DataError("These cross-products have no strata of the residuals' scale.")
        parts = [laid_out_as(gram, gram.strata.grams[k]) for k in order.tolist()]
        bodies = [np.concatenate([b.ravel() for b in blocks_of(part)]) for part in parts]
        return cls(replace(gram, strata=None), np.stack(bodies))

    @cached_property
    def plan_bodies(self) -> Floats:
        """The bases laid out as the plan's floats, shape (K, n_floats - n_head)."""
        places = self._places
        # Kernels read base after base; where NumPy is left to choose it keeps them side by side.
        return np.ascontiguousarray(np.where(places < 0, 0.0, self.bodies[:, places]))

    def floats(self, coefficients: Floats, log_determinant: float) -> Floats:
        """Return the plan's floats for one point."""
        out = np.concatenate([self.head, coefficients @ self.plan_bodies])
        out[SUM_LOG_WEIGHTS] = -log_determinant
        return out

    def pull_back(self, d_floats: Floats) -> tuple[Floats, float]:
        """Return the gradient in the coefficients and in log|R|, from that in the plan's floats."""
        return self.plan_bodies @ d_floats[len(self.head) :], -float(d_floats[SUM_LOG_WEIGHTS])


@dataclass(frozen=True, eq=False)
class RowGram(_Combined):
    """A design's rows, from which cross-products are summed at every step.

    Attributes
    ----------
    records : Records
        Pairs of rows, each of one base.
    blocks : tuple
        For each block of cross-products the place of each pair in it, and the rows' columns.
    """

    records: Records
    blocks: tuple[_Block, ...]

    @classmethod
    def from_design(cls, design: Design, records: Records) -> RowGram:
        """Lay out the rows of a design without weights; see `StructuredGram.from_design`."""
        records = by_level(records, design)
        reference = with_joined_levels(Gram.from_design(design, strata=False), design, records)
        columns = _Columns.of(design, reference)
        return cls(reference, records, tuple(columns.blocks(records)))

    def floats(self, coefficients: Floats, log_determinant: float) -> Floats:
        """Return the plan's floats for one point, by a pass over the rows."""
        r = self.records
        weight = coefficients[r.base]
        if r.factor is not None:
            weight = weight * r.factor
        sums = [
            sum_products(b.place, r.first, r.second, weight, b.left, b.right, b.n).ravel()
            for b in self.blocks
        ]
        flat = np.concatenate(sums)
        out = np.concatenate([self.head, np.where(self._places < 0, 0.0, flat[self._places])])
        out[SUM_LOG_WEIGHTS] = -log_determinant
        return out

    def pull_back(self, d_floats: Floats) -> tuple[Floats, float]:
        """Return the gradient in the coefficients and in log|R|, from that in the plan's floats."""
        r, places = self.records, self._places
        size = sum(block.size for block in blocks_of(self.reference))
        known = places >= 0
        flat = np.bincount(places[known], d_floats[len(self.head) :][known], minlength=size)
        slopes = np.zeros(len(r.first))
        for block, part in zip(self.blocks, split_flat(self.reference, flat), strict=True):
            gradient = part.reshape(block.n, block.left.shape[1], block.right.shape[1])
            add_slopes(block.place, r.first, r.second, block.left, block.right, gradient, slopes)
        if r.factor is not None:
            slopes *= r.factor
        d_coefficients = np.bincount(r.base, slopes, minlength=r.n_bases)
        return d_coefficients, -float(d_floats[SUM_LOG_WEIGHTS])


def _flat(gram: Gram) -> Floats:
    return np.concatenate([block.ravel() for block in blocks_of(gram)])


def bases_size(design: Design) -> int:
    """Return how many numbers one base has, pairs of crossed factors left out."""
    fixed: int = design.X.shape[1] + 1
    size: int = 0
    for factor in design.factors:
        q: int = factor.columns.shape[1]
        m = len(factor.levels) if factor.latent is None else factor.latent.n_latent
        size += m * q * (q + fixed)
        if factor.latent is not None:
            size += (m * q) ** 2 // 2
    return size + fixed**2


def pass_size(design: Design, n_records: int) -> int:
    """Return how many products a pass over so many pairs of rows takes."""
    columns: int = sum(factor.columns.shape[1] for factor in design.factors)
    width: int = columns + design.X.shape[1] + 1
    return n_records * width**2


def step_size(design: Design, records: Records) -> int:
    """Return how many products a step takes: by bases that memory holds, or by the rows."""
    combining = records.n_bases * bases_size(design)
    passing = pass_size(design, len(records.first))
    return min(combining, passing) if combining <= MOST_NUMBERS else passing


def sum_or_pass(design: Design, records: Records) -> StructuredGram | RowGram:
    """Return bases where a step by them costs no more than a pass over the rows, else the rows.

    Parameters
    ----------
    design : Design
        Rows with a response, without weights.
    records : Records
        Pairs of rows, each of one base.

    Returns
    -------
    StructuredGram or RowGram
    """
    records = by_level(records, design)
    # Latent levels meet in every row: a pass over the rows would turn them at every step.
    latent = any(factor.latent is not None for factor in design.factors)
    if latent or records.n_bases * bases_size(design) <= step_size(design, records):
        return StructuredGram.from_design(design, records)
    return RowGram.from_design(design, records)


@dataclass(frozen=True, eq=False)
class _Block:
    """Where the products of pairs of rows go in one block of cross-products, or `NOWHERE`."""

    place: Ints
    left: Floats
    right: Floats
    n: int


@dataclass(frozen=True, eq=False)
class _Columns:
    """A design's columns in the coordinates of its Gram."""

    design: Design
    reference: Gram
    random: list[Floats]
    fixed: Floats

    @classmethod
    def of(cls, design: Design, reference: Gram) -> _Columns:
        y = design.gaussian_response
        y = y if design.offset is None else y - design.offset
        Xs, scale = reference_columns(design.X, None)
        _, rest = _project(design.X, Xs, y, None, scale)
        random = [
            to_reference(factor.columns, known.scale)
            for factor, known in zip(design.factors, reference.factors, strict=True)
        ]
        return cls(design, reference, random, np.column_stack([Xs, rest]))

    def blocks(self, records: Records) -> list[_Block]:
        """Return where pairs of rows go, block by block in the order of `flat.blocks_of`."""
        a, b, out = records.first, records.second, []
        fixed, random = records.added(self.fixed), [records.added(Z) for Z in self.random]
        levels = [records.of_sums(factor.index) for factor in self.design.factors]
        for factor, index, Z in zip(self.design.factors, levels, random, strict=True):
            m, level = factor.n_indexed, index[a]
            own = np.where(level == index[b], level, NOWHERE)
            out += [_Block(own, Z, Z, m), _Block(level, Z, fixed, m)]
        for pair in self.reference.pairs:
            first, second = levels[pair.first][a], levels[pair.second][b]
            place = place_of(pair, first, second)
            if pair.first == pair.second:  # blocks of two levels stand once, the later one first
                place = np.where(first > second, place, NOWHERE)
            out.append(_Block(place, random[pair.first], random[pair.second], len(pair.rows)))
        out.append(_Block(np.zeros(len(a), np.int64), fixed, fixed, 1))
        return out


def _bodies(columns: _Columns, records: Records) -> Floats:
    K, base = records.n_bases, records.base
    weight = np.empty(0) if records.factor is None else records.factor
    out = []
    for block in columns.blocks(records):
        place = np.where(block.place == NOWHERE, NOWHERE, base * block.n + block.place)
        sums = sum_products(
            place, records.first, records.second, weight, block.left, block.right, K * block.n
        )
        out.append(sums.reshape(K, -1))
    return np.concatenate(out, axis=1)
