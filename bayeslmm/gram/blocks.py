"""The record of a Gram: cross-products of a design's columns, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.design.text import Described, data_lines, factor_line
from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks, Floats, Ints
    from bayeslmm.design.factors.arms import Arms
    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.design.scales import ColumnScale, DataScales
    from bayeslmm.design.state import DesignState
    from bayeslmm.relationships.level_map import LevelMap
    from bayeslmm.relationships.nodes import NodePrecision


@dataclass(frozen=True, eq=False, repr=False)
class GramFactor(Described):
    """One grouping factor's names and cross-products.

    Attributes
    ----------
    name : str
        The factor.
    levels : ndarray of str, shape (m,)
        Its levels.
    terms : tuple of str, length q
        Names of its columns.
    blocks : tuple of tuple of int
        Columns that are correlated with each other.
    structures : tuple of BlockStructure
        What is said of each block's covariance; none where nothing is said of any.
    scale : ndarray, shape (q, q)
        Upper-triangular M with Z = Zs M.
    within : ndarray, shape (m, q, q)
        Zs_i' Zs_i for each level.
    with_fixed : ndarray, shape (m, q, p + 1)
        Zs_i' [Xs r] for each level.
    counts : ndarray of int64, shape (m,)
        Number of rows of each level.
    fixed : ndarray, shape (m, p + 1, p + 1), or None
        [Xs r]_i' [Xs r]_i for each level, which leaving out a level takes; None where they would
        take more than 16 MB.
    log_weights : ndarray, shape (m,), or None
        Sum of log w of each level's rows; None without weights.
    latent : LevelMap or None
        T, where the blocks are of latent levels v and results tell T v (see
        `bayeslmm.gram.latent`).
    arms : Arms or None
        Which levels have which columns, where that differs.
    nodes : NodePrecision or None
        Where the blocks are of the rows' levels, although these are related: the precision of
        nodes, of which the levels are some (see `bayeslmm.gram.border.sparse_factor`).
    """

    name: str
    levels: NDArray[np.str_]
    terms: tuple[str, ...]
    blocks: Blocks
    scale: Floats
    within: Floats
    with_fixed: Floats
    counts: NDArray[np.int64]
    fixed: Floats | None = None
    log_weights: Floats | None = None
    structures: tuple[BlockStructure, ...] = ()
    latent: LevelMap | None = None
    arms: Arms | None = None
    nodes: NodePrecision | None = None

    @property
    def elsewhere(self) -> Mapping[int, ColumnScale]:
        """None: cross-products are of the mean alone."""
        return {}

    def _lines(self) -> list[str]:
        return [f"Cross-products of {factor_line(self)}"]


@dataclass(frozen=True, eq=False)
class PairBlocks:
    """Cross-products of two factors' columns, for the pairs of levels that share rows.

    Where residuals are correlated, or rows have several latent levels, also of a factor with
    itself:
    pairs of its levels that are joined, each once, the later level first.

    Attributes
    ----------
    first, second : int
        The factors' places in `Gram.factors`, first <= second.
    rows, cols : ndarray of int64, shape (n_pairs,)
        Levels of the first and of the second factor, in lexicographic order.
    values : ndarray, shape (n_pairs, q_first, q_second)
        Zs_i' Zs_j.
    """

    first: int
    second: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: Floats

    def seen_from(self, place: int) -> tuple[Ints, Ints, Floats]:
        """Return the pairs with one factor's levels first, whichever way they are stored.

        Parameters
        ----------
        place : int
            One of the two factors' places.

        Returns
        -------
        own, others : ndarray of int64, shape (n_pairs,)
            Levels of this factor and of the other, in lexicographic order.
        values : ndarray, shape (n_pairs, q_own, q_other)
            Their cross-products.
        """
        if place == self.first:
            return self.rows, self.cols, self.values
        order = np.lexsort((self.rows, self.cols))
        return self.cols[order], self.rows[order], self.values[order].transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class Strata:
    r"""Cross-products of the rows of each stratum of the residuals' scale.

    .. math:: W' R^{-1} W = \sum_s \sigma_s^{-2} \, W_s' W_s

    Attributes
    ----------
    names : tuple of str, length r
        Columns of log(sigma); none where standard errors are known.
    cells : ndarray, shape (S, r)
        Values of those columns in each stratum, no two alike.
    grams : tuple of CrossProducts, length S
        Of the strata's rows, of the levels that they have. Where standard errors se are known there
        is one, of rows with weights 1 / se^2.
    sum_of_variances : float
        Sum over all rows of se^2 where standard errors are known, else zero.
    """

    names: tuple[str, ...]
    cells: Floats
    grams: tuple[CrossProducts, ...]
    sum_of_variances: float = 0.0

    @property
    def known(self) -> bool:
        """Whether it is standard errors that are known, and there is no sigma."""
        return not self.names


@dataclass(frozen=True, eq=False, repr=False)
class CrossProducts(Described):
    """The blocks of W'W for W = [Z_1 ... Z_K X y], with rows scaled by sqrt(w).

    They are kept in well-conditioned coordinates, X = Xs R, y = Xs slope + r and Z_k = Zs_k M_k:
    see `bayeslmm.gram.gram`. What is made of one by `dataclasses.replace` is of the same class.

    Attributes
    ----------
    response : str
        Name of the response.
    coef : tuple of str, length p
        Names of the fixed-effect columns.
    factors : tuple of GramFactor
        In the design's order.
    pairs : tuple of PairBlocks
        For each two factors, and for a factor whose levels are joined with itself.
    n : int
        Number of rows.
    sum_log_weights : float
        sum(log w), zero without weights.
    scale : ndarray, shape (p, p)
        Upper-triangular R with X = Xs R.
    slope : ndarray, shape (p,)
        Coefficients of Xs whose fitted values are subtracted from y.
    cross : ndarray, shape (p + 1, p + 1)
        [Xs r]' [Xs r].
    state : DesignState or None
        How the rows were coded, for rows to come.
    scales : DataScales or None
        Means and spreads of the columns, from which default priors are derived.
    strata : Strata or None
        The same of the strata of the residuals' scale; None of independent residuals with one
        sigma.
    likweight : float or None
        What likelihood weights sum to, which stand in the products as weights do; None without.
    """

    response: str
    coef: tuple[str, ...]
    factors: tuple[GramFactor, ...]
    pairs: tuple[PairBlocks, ...]
    n: int
    sum_log_weights: float
    scale: Floats
    slope: Floats
    cross: Floats
    state: DesignState | None = None
    scales: DataScales | None = None
    strata: Strata | None = None
    likweight: float | None = None

    @property
    def power(self) -> float:
        """How many rows the likelihood counts, the power of 1 / sigma: n without likweights."""
        return self.n if self.likweight is None else self.likweight

    def _lines(self) -> list[str]:
        # A part of a sum has no formula yet.
        what = self.response if self.state is None else self.state.formula
        return [f"Cross-products of {what}", *data_lines(self)]

    @cached_property
    def origin(self) -> Floats:
        """Coefficients of X whose fitted values are subtracted from y: R^-1 slope."""
        return solve_triangular(self.scale, self.slope) if len(self.slope) else self.slope

    @property
    def by_nodes(self) -> bool:
        """Whether levels of some factor are nodes with a sparse precision."""
        return any(factor.nodes is not None for factor in self.factors)

    @property
    def n_effects(self) -> int:
        """Number of random-effect columns, the sum of m q."""
        return int(sum(np.prod(factor.within.shape[:2]) for factor in self.factors))

    def pair_of(self, k: int, m: int) -> PairBlocks:
        """Return the cross-products of the factors at two places, given in any order."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {k, m})

    def joined(self, k: int) -> PairBlocks | None:
        """Return the cross-products between levels of one factor, where there are any."""
        return next((pair for pair in self.pairs if pair.first == pair.second == k), None)

    def own_blocks(self, k: int) -> tuple[Ints, Ints, Floats]:
        """Return the cross-products of a factor's columns with themselves, joined levels too.

        Parameters
        ----------
        k : int
            The factor's place.

        Returns
        -------
        rows, cols : ndarray of int64, shape (n_blocks,)
            Levels: each with itself, then joined ones, in both orders.
        values : ndarray, shape (n_blocks, q, q)
        """
        levels, found = np.arange(len(self.factors[k].within)), self.joined(k)
        if found is None:
            return levels, levels, self.factors[k].within
        return (
            np.concatenate([levels, found.rows, found.cols]),
            np.concatenate([levels, found.cols, found.rows]),
            np.concatenate([self.factors[k].within, found.values, found.values.transpose(0, 2, 1)]),
        )

    def require_independent_levels(self, what: str) -> None:
        """Raise where the blocks are of latent levels, which are those of one set of rows.

        Parameters
        ----------
        what : str
            What would be done with them, for the message.

        Raises
        ------
        ArgumentError
            Naming the factor.
        """
        for factor in self.factors:
            if factor.latent is not None:
                raise ArgumentError(
                    f"{what} takes independent levels, and in each row of {factor.name!r} several "
                    "latent ones meet: put the rows together in one table instead."
                )

    def is_nested(self, inner: int, outer: int) -> bool:
        """Return whether every level of one factor occurs with one level of another, and only one.

        Of a factor whose latent levels are in parts, rows may have no level of a part.
        """
        pair, factor = self.pair_of(inner, outer), self.factors[inner]
        own, other = (pair.rows, pair.cols) if pair.first == inner else (pair.cols, pair.rows)
        without = factor.within.any(axis=(1, 2)) | factor.with_fixed.any(axis=(1, 2))
        without[own] = False
        return is_nested(own, other) and not without.any()


def is_nested(inner: NDArray[np.int64], outer: NDArray[np.int64]) -> bool:
    """Return whether every level of one factor occurs with one level of another only.

    Parameters
    ----------
    inner, outer : ndarray of int64, shape (n,)
        The factors' levels in each row, or each pair of levels that share rows.

    Returns
    -------
    bool
        True for a factor inside itself.

    Examples
    --------
    >>> wards, hospitals = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    >>> is_nested(wards, hospitals), is_nested(hospitals, wards)
    (True, False)
    """
    home = np.zeros(np.max(inner, initial=-1) + 1, dtype=np.int64)
    home[inner] = outer
    return np.array_equal(home[inner], outer)
