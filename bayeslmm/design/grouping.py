"""Grouping factors: levels, each row's level, and the columns that vary over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csc_array

from bayeslmm.design.text import Described, factor_line, listed
from bayeslmm.errors import ArgumentError, DataError, FormulaError
from bayeslmm.formula.calls import STRUCTURES
from bayeslmm.tables.levels import level_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.factors.arms import Arms
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.relationships.level_map import LevelMap
    from bayeslmm.tables.column import Column


@dataclass(frozen=True, slots=True)
class BlockStructure:
    """What is said of the covariance of a block's columns.

    Attributes
    ----------
    kind : str
        ``"us"``, or a name as in `RandomTerm.structure`.
    positions : tuple of float
        Of ``"ar1"``, ``"hetar1"`` and ``"ou"``: each column's place, ascending.
    """

    kind: str = "us"
    positions: tuple[float, ...] = ()

    @classmethod
    def of_plain(cls, kind: str, positions: Sequence[float]) -> BlockStructure:
        """Return what stands in JSON as text and numbers.

        Raises
        ------
        TypeError
            If it is something else.
        """
        numbers = tuple(map(float, positions))
        ascending = all(math.isfinite(b) and a < b for a, b in pairwise(numbers))
        if kind not in STRUCTURES or not ascending:
            raise TypeError(f"{kind!r} at {numbers} is no structure")
        return cls(kind, numbers)


@dataclass(frozen=True, eq=False, repr=False)
class GroupingFactor(Described):
    """The levels of one grouping factor and the columns whose effects vary over them.

    All random-effects terms on the same factor are gathered here; `blocks` says which columns
    share a correlation matrix.

    Attributes
    ----------
    name : str
        ``"Subject"``, or ``"a:b"`` for combinations.
    variables : tuple of str
        The table's columns that define the factor.
    levels : ndarray of str, shape (m,)
        Labels, in the order of a categorical's categories, else sorted. On new rows, labels that
        the training rows did not have follow the known ones.
    n_known : int
        How many of `levels` the training rows had; ``m`` on the training rows themselves.
    index : ndarray of int64, shape (n,)
        Each row's level; where rows have several, each row's combination of levels and weights,
        the effects of which are those of `latent`.
    columns : ndarray of float64, shape (n, q)
        The random-effect columns.
    terms : tuple of str, length q
        Their names, e.g. ``("Intercept", "Days")``.
    blocks : tuple of tuple of int
        A partition of ``range(q)`` into runs: columns of a block are correlated with each other
        and with no other.
    structures : tuple of BlockStructure
        What is said of each block's covariance; none where nothing is said of any.
    latent : LevelMap or None
        T, where the effects of the levels are T v of independent latent ones, or, of
        ``mm(g1, g2)``, those of rows are T b of independent levels' b; None where rows have one
        level each, and levels are independent.
    arms : Arms or None
        Which levels have which columns, where that differs by ``gr(g, by=arm)``.
    labels : tuple of str
        Each block's label, as of ``(1 |p| g)``: blocks of several responses that share one are
        correlated. Empty where a block has none.
    """

    name: str
    variables: tuple[str, ...]
    levels: NDArray[np.str_]
    n_known: int
    index: NDArray[np.int64]
    columns: NDArray[np.float64]
    terms: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    structures: tuple[BlockStructure, ...] = ()
    latent: LevelMap | None = None
    arms: Arms | None = None
    labels: tuple[str, ...] = ()

    @property
    def scaled_columns(self) -> NDArray[np.float64]:
        """The columns times the sd of each row's effect in units of G's: Var(z'u) = z_s'G z_s."""
        if self.latent is None:
            return self.columns
        return np.asarray(self.columns * np.sqrt(self.latent.variances)[self.index, None])

    def shared(self, rows: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float64]:
        """Return the covariance, in units of G, of the effects of all pairs of some rows.

        Parameters
        ----------
        rows : ndarray of int or slice
            Which rows; all if not given.

        Returns
        -------
        ndarray, shape (rows, rows)
            Ones for rows of one level, else zeros; or what the known covariance says.
        """
        level = self.index[rows]
        if self.latent is None:
            return np.asarray(level[:, None] == level, dtype=np.float64)
        return self.latent.shared(level)

    @property
    def has_members(self) -> bool:
        """Whether `levels` are members, several of which a row may have, as in ``mm(g1, g2)``."""
        return self.latent is not None and self.latent.tells_latent

    @property
    def n_indexed(self) -> int:
        """How many different effects rows may have: those that `index` numbers."""
        if self.latent is None or not self.latent.tells_latent:
            return len(self.levels)
        return int(self.latent.matrix.shape[0])

    def indexed(self, effects: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the effects that `index` numbers, of those of `levels`.

        Parameters
        ----------
        effects : ndarray, shape (..., m, q)
            Of the levels, as results tell them.

        Returns
        -------
        ndarray, shape (..., n_indexed, q)
            The same but where rows have several levels.
        """
        if self.latent is None or not self.latent.tells_latent:
            return effects
        return self.latent.of_rows(effects)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many rows have each level, or a share in it, shape (m,)."""
        if not self.has_members:
            return np.bincount(self.index, minlength=len(self.levels))
        return np.array([len(rows) for rows in self.rows_by_level()], dtype=np.int64)

    def require_one_level(self, what: str) -> None:
        """Raise where rows have several levels.

        Parameters
        ----------
        what : str
            What parts rows by their levels, for the message.

        Raises
        ------
        ArgumentError
            Naming the factor.
        """
        if self.has_members:
            raise ArgumentError(
                f"{what} parts rows by their levels, and a row has several of {self.name!r}: ask "
                "about a factor of which it has one, or about single rows."
            )

    def rows_by_level(self) -> list[NDArray[np.intp]]:
        """Return the rows that have each level, or a share in it."""
        if self.latent is None or not self.latent.tells_latent:
            order = np.argsort(self.index, kind="stable")
            counts = np.bincount(self.index, minlength=len(self.levels))
            return np.split(order, np.cumsum(counts)[:-1])
        of_rows = csc_array(self.latent.matrix[self.index])
        return np.split(of_rows.indices.astype(np.intp), of_rows.indptr[1:-1])

    def _lines(self) -> list[str]:
        return [f"Grouping factor {factor_line(self)}", f"levels: {listed(self.levels.tolist())}"]


def read_levels(
    variables: Sequence[str], columns: Mapping[str, Column]
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Return the combinations of some columns that occur, and which each row has.

    Parameters
    ----------
    variables : sequence of str
        The columns; levels are ordered by the first, then by the second, and so on.
    columns : mapping of str to Column
        Their values.

    Returns
    -------
    index : ndarray of int64, shape (n,)
    levels : ndarray of str, shape (m,)
        ``"A:a"`` for combinations.

    Raises
    ------
    DataError
        If a column cannot be a grouping factor, or two levels would have the same label.
    """
    index, levels = level_codes(columns[variables[0]])
    for name in variables[1:]:
        inner, inner_levels = level_codes(columns[name])
        combined = index * len(inner_levels) + inner
        index, distinct = pd.factorize(combined, sort=True)
        outer_of, inner_of = np.divmod(distinct, len(inner_levels))
        joined = [f"{a}:{b}" for a, b in zip(levels[outer_of], inner_levels[inner_of], strict=True)]
        levels = np.array(joined, dtype=str)
    if len(variables) > 1 and len(np.unique(levels)) < len(levels):
        raise DataError(
            f"Two different levels of {':'.join(variables)} would have the same label, because a "
            "label holds ':'. Rename the labels."
        )
    return index.astype(np.int64, copy=False), levels


def match_levels(
    index: NDArray[np.int64], levels: NDArray[np.str_], known: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Return levels renumbered so that the known ones come first, in their order.

    Examples
    --------
    >>> match_levels(np.array([0, 1]), np.array(["c", "b"]), ["a", "b"])
    (array([2, 1]), array(['a', 'b', 'c'], dtype='<U1'))
    """
    position = pd.Index(np.asarray(known, dtype=object)).get_indexer(levels.astype(object))
    new = np.flatnonzero(position < 0)
    position[new] = len(known) + np.arange(len(new))
    together = np.concatenate([np.asarray(known, dtype=str), levels[new]])
    return position.astype(np.int64)[index], together


def refuse_two_covariances(text: str, terms: Sequence[RandomTerm]) -> None:
    """Raise where terms of one factor have different covariances of its levels."""
    first = terms[0]
    for term in terms:
        if term.cov == first.cov:
            continue
        name = first.variables[0]
        raise FormulaError(
            f"{first.factor!r} stands twice, with different covariances of its levels, and "
            f"results would tell two effects by one name. Copy the column, as in table"
            f"['{name}_2'] = table['{name}'], and write one of the terms of the copy.",
            text or str(term),
            term.span if text else None,
        )


def refuse_repeated(
    text: str, term: RandomTerm, names: Sequence[str], earlier: Sequence[str]
) -> None:
    """Raise where two terms give one factor the same column."""
    repeated = [name for name in names if name in earlier]
    if repeated:
        hint = " Write 0 + in one of them." if repeated == ["Intercept"] else ""
        raise FormulaError(
            f"The random-effects column {repeated[0]!r} stands twice on {term.factor!r}: the two "
            f"variances cannot be told apart.{hint}",
            text or str(term),
            term.span if text else None,
        )


def refuse_two_spellings(text: str, terms: Sequence[RandomTerm]) -> None:
    """Raise where two factors have the same variables in another order."""
    seen: dict[tuple[bool, frozenset[str]], RandomTerm] = {}
    for term in terms:
        other = seen.setdefault((term.several, frozenset(term.variables)), term)
        if other is not term:
            raise FormulaError(
                f"{other.factor!r} and {term.factor!r} are the same grouping factor: spell it one "
                "way.",
                text or str(term),
                term.span if text else None,
            )
