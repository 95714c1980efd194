r"""Q = P + F'Z'ZF of all effects by a sparse Cholesky factor, where fill is small.

In chains and nearly nested designs (workers of whom few change firms) an order of minimum degree
leaves a factor with few entries: exact, and without iterations. The effects' own precision P is the
identity, and that of nodes (`relationships.nodes`) where levels are related; with
:math:`\log|V| = \log|Q| - \log|P|` everything else is the same.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_matrix

from bayeslmm.errors import ArgumentError, NumericalError
from bayeslmm.gram.told import Conditional, Solved, conditional_from
from bayeslmm.kernels.sparse.cholesky import SparsePattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.blocks import CrossProducts
    from bayeslmm.gram.gram import Gram
    from bayeslmm.kernels.sparse.cholesky import SparseFactor

# Entries of a factor that are not too many, and multiplications: about a second.
MOST_ENTRIES, MOST_OPERATIONS = 1_000_000, 1e9
# Entries of a factor that is asked for: 2 GB.
_MOST = 200_000_000


class SparseEffects:
    """Cross-products of all random effects in one sparse matrix, block by block.

    Parameters
    ----------
    gram : CrossProducts
        The cross-products; of levels that are nodes with a sparse precision, those of the rows'
        levels.

    Attributes
    ----------
    starts : ndarray of int, shape (number of factors + 1,)
        The first column of each factor.
    """

    def __init__(self, gram: CrossProducts) -> None:
        self._gram = gram
        counts = [len(of.within) if of.nodes is None else of.nodes.count for of in gram.factors]
        widths = [factor.within.shape[1] for factor in gram.factors]
        sizes = [count * q for count, q in zip(counts, widths, strict=True)]
        self.starts = np.cumsum([0, *sizes]).astype(np.int64)
        self._columns = [self._columns_of(k) for k in range(len(sizes))]
        self._meeting = [
            (k, m, *gram.pair_of(k, m).seen_from(k))
            for k in range(len(sizes))
            for m in range(k + 1, len(sizes))
        ]
        n = int(self.starts[-1])
        of_precision, entries = self._precision()
        places = [of_precision, *self._places()]
        keys, found = np.unique(np.concatenate(places), return_inverse=True)
        ends = np.cumsum([len(part) for part in places])
        at_precision, *self._at = np.split(found, ends[:-1])
        self._precision_values = np.bincount(at_precision, entries, len(keys))
        self._row, column = keys % max(n, 1), keys // max(n, 1)
        self._pointers = np.searchsorted(column, np.arange(n + 1)).astype(np.int64)
        self._mirror = np.searchsorted(keys, self._row * n + column)
        ones = [np.eye(q) for q in widths]
        self._pattern: SparsePattern | None = None
        self._raw = csc_matrix((self._values(ones), self._row, self._pointers), shape=(n, n))

    @property
    def by_nodes(self) -> bool:
        """Whether levels of some factor are nodes with a sparse precision."""
        return self._gram.by_nodes

    def _columns_of(self, k: int) -> Ints:
        """Return the columns of each level of a factor, shape (m, q)."""
        m, q, _ = self._gram.factors[k].within.shape
        nodes = self._gram.factors[k].nodes
        place = np.arange(m) if nodes is None else nodes.place
        return np.asarray(self.starts[k] + place[:, None] * q + np.arange(q))

    def _keys(self, rows: Ints, columns: Ints) -> Ints:
        return np.asarray(columns * self.starts[-1] + rows)

    def _precision(self) -> tuple[Ints, Floats]:
        """Return where the effects' own precision has entries: the identity, or that of nodes."""
        keys, values = [np.zeros(0, np.int64)], [np.zeros(0)]
        for k, factor in enumerate(self._gram.factors):
            q, first, end = factor.within.shape[1], *self.starts[k : k + 2]
            if factor.nodes is None:
                at = np.arange(first, end)
                keys.append(self._keys(at, at))
                values.append(np.ones(end - first))
                continue
            for j in range(q):
                rows, cols = (first + of * q + j for of in (factor.nodes.rows, factor.nodes.cols))
                keys.append(self._keys(rows, cols))
                values.append(factor.nodes.values)
        return np.concatenate(keys), np.concatenate(values)

    def _places(self) -> list[Ints]:
        """Return where Z'Z has entries: own blocks, then each pair's, and transposed."""
        found = []
        for at in self._columns:
            shape = (*at.shape, at.shape[1])
            rows, cols = (np.broadcast_to(x, shape) for x in (at[:, :, None], at[:, None, :]))
            found.append(self._keys(rows.ravel(), cols.ravel()))
        for k, m, own, others, values in self._meeting:
            at, to = self._columns[k][own][:, :, None], self._columns[m][others][:, None, :]
            first, second = (np.broadcast_to(x, values.shape).ravel() for x in (at, to))
            found += [self._keys(first, second), self._keys(second, first)]
        return found

    def _values(self, F: Sequence[Floats], *, precision: bool = False) -> Floats:
        """Return entries of F'Z'ZF by columns, and of the effects' precision."""
        out = self._precision_values.copy() if precision else np.zeros(len(self._row))
        at = iter(self._at)
        for factor, own in zip(self._gram.factors, F, strict=True):
            single = len(own) == 1
            blocks = own[0, 0] ** 2 * factor.within if single else own.T @ factor.within @ own
            out[next(at)] += blocks.ravel()
        for k, m, _, _, values in self._meeting:
            flat = (F[k].T @ values @ F[m]).ravel()
            out[next(at)] += flat
            out[next(at)] += flat
        return out

    def pattern(self, most: int = MOST_ENTRIES) -> SparsePattern | None:
        """Find an order and where the factor has entries; None where there are too many."""
        if self._pattern is None:
            self._pattern = SparsePattern.of(self._pointers, self._row, most)
        found = self._pattern
        return found if found is None or len(found.below) <= most else None

    def factorize(self, pattern: SparsePattern, F: Sequence[Floats]) -> SparseFactor | None:
        """Factor Q at F = M Lambda of each factor; None where it is not positive definite."""
        return pattern.factorize(self._values(F, precision=True))

    @cached_property
    def _log_determinant_of_precision(self) -> float:
        if not self.by_nodes:
            return 0.0
        factor = pattern_of(self).factorize(self._precision_values)
        if factor is None:
            raise NumericalError(
                "The precision of a known covariance cannot be factored: its levels are all but "
                "the same. Leave one of two such levels out."
            )
        return factor.log_determinant

    def log_determinant(self, factor: SparseFactor) -> float:
        """Return log|V|: log|Q| less that of the effects' own precision."""
        return factor.log_determinant - self._log_determinant_of_precision

    def multiply(self, columns: Floats) -> Floats:
        """Multiply Z'Z with columns, shape (n, B)."""
        return np.asarray(self._raw @ columns)

    @cached_property
    def fixed(self) -> Floats:
        """Z'[Xs r], shape (n, p + 1)."""
        return self.fixed_of(self._gram)

    def fixed_of(self, gram: CrossProducts) -> Floats:
        """Return Z'[Xs r] of other cross-products of the same levels, shape (n, p + 1)."""
        out = np.zeros((int(self.starts[-1]), len(gram.cross)))
        for at, factor in zip(self._columns, gram.factors, strict=True):
            out[at] = factor.with_fixed
        return out

    def of_levels(self, k: int, columns: Floats) -> Floats:
        """Return the rows of a factor's levels, shape (m, q, B), of columns, shape (n, B)."""
        return np.asarray(columns[self._columns[k]])

    def turned(self, F: Sequence[Floats], columns: Floats, *, transposed: bool = False) -> Floats:
        """Multiply each level's rows of columns, shape (n, B), with F, or with F'."""
        parts = []
        for k, own in enumerate(F):
            rows = columns[self.starts[k] : self.starts[k + 1]]
            if len(own) == 1:
                parts.append(own[0, 0] * rows)
                continue
            levels = rows.reshape(-1, len(own), rows.shape[1])
            parts.append(((own.T if transposed else own) @ levels).reshape(rows.shape))
        return np.concatenate(parts)

    def inverse_blocks(self, factor: SparseFactor) -> tuple[list[Floats], list[Floats]]:
        """Return blocks of Q^-1: each level's own, (m, q, q), and of each pair that shares rows."""
        values, upper = np.empty(len(self._row)), factor.inverse_on_upper()
        values[factor.pattern.places] = upper
        values[self._mirror[factor.pattern.places]] = upper
        n_own = len(self._gram.factors)
        own = [
            values[at].reshape(of.within.shape)
            for at, of in zip(self._at, self._gram.factors, strict=False)
        ]
        pairs = [
            values[at].reshape(meeting[-1].shape)
            for at, meeting in zip(self._at[n_own::2], self._meeting, strict=True)
        ]
        return own, pairs

    def logdet_slopes(self, F: Sequence[Floats], factor: SparseFactor) -> list[Floats]:
        r"""Compute the gradient of log|Q| in each F, :math:`2 \sum_i [Z'Z F Q^{-1}]_{ii}`."""
        own, pairs = self.inverse_blocks(factor)
        slopes = [
            2.0 * np.einsum("mij,jk,mkl->il", of.within, F[k], own[k], optimize=True)
            for k, of in enumerate(self._gram.factors)
        ]
        for (k, m, _, _, values), inverse in zip(self._meeting, pairs, strict=True):
            slopes[k] += 2.0 * np.einsum("nab,bc,ndc->ad", values, F[m], inverse, optimize=True)
            slopes[m] += 2.0 * np.einsum("nab,ac,ncd->bd", values, F[k], inverse, optimize=True)
        return slopes


@lru_cache(maxsize=1)
def sparse_effects(gram: CrossProducts) -> SparseEffects:
    """Lay out the cross-products once for choice, search and moments of one fit."""
    return SparseEffects(gram)


def fill_is_small(gram: CrossProducts) -> bool:
    """Return whether a sparse factor of all effects takes about a second at most.

    Parameters
    ----------
    gram : CrossProducts
        The cross-products.
    """
    # The factor has an entry for each pair of levels that share rows, at least.
    if sum(pair.values.size for pair in gram.pairs) > MOST_ENTRIES:
        return False
    pattern = sparse_effects(gram).pattern()
    return pattern is not None and pattern.operations <= MOST_OPERATIONS


def sparse_work(gram: CrossProducts) -> float:
    """Count the multiplications of a factor; scattered ones take some ten times as long."""
    return 10.0 * pattern_of(sparse_effects(gram)).operations


def half_of_fixed(effects: SparseEffects, factor: SparseFactor, F: Sequence[Floats]) -> Floats:
    """Return H, shape (n, p + 1), with H'H = [Xs r]'Z F Q^-1 F'Z'[Xs r]."""
    return factor.half_solve(effects.turned(F, effects.fixed, transposed=True))


def solve_effects(
    effects: SparseEffects, factor: SparseFactor, F: Sequence[Floats], cross: Floats
) -> tuple[Floats, Floats]:
    """Return T, and Q^-1 F'Z'[Xs r], shape (n, p + 1), from [Xs r]'[Xs r]."""
    half = half_of_fixed(effects, factor, F)
    return cross - half.T @ half, factor.half_solve_transposed(half)


def pattern_of(effects: SparseEffects) -> SparsePattern:
    """Find where the factor of all effects has entries.

    Raises
    ------
    ArgumentError
        If it fills up.
    """
    pattern = effects.pattern(_MOST)
    if pattern is None:
        instead = "dense" if effects.by_nodes else "krylov"
        raise ArgumentError(
            f"border='sparse' would fill a factor of more than {_MOST:,} entries, as where levels "
            f"meet at random: give border={instead!r}, or leave the choice to 'auto'."
        )
    return pattern


def conditional_sparsely(
    gram: Gram,
    lams: Sequence[Floats],
    sigma: float,
    prior: tuple[Floats | None, Floats | None] = (None, None),
) -> Conditional:
    """Compute what `likelihood.conditional` does, by a sparse factor of Q.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    prior : tuple of ndarray, optional
        Precision and mean of beta's normal prior; flat without.

    Returns
    -------
    Conditional
    """
    effects, F, factor = factored(gram, lams)
    T, joint = solve_effects(effects, factor, F, gram.cross)
    own, _ = effects.inverse_blocks(factor)
    of_levels = [effects.of_levels(k, joint).reshape(-1, len(T)) for k in range(len(F))]
    return conditional_from(gram, list(lams), sigma, Solved(T, of_levels, own), prior)


def cross_sparsely(gram: Gram, lams: Sequence[Floats], other: Gram) -> Floats:
    """Compute T of a Gram that differs from another one in its fixed columns alone.

    Parameters
    ----------
    gram : Gram
        The cross-products whose layout is known.
    lams : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    other : Gram
        The one whose T is wanted.
    """
    effects, F, factor = factored(gram, lams)
    half = factor.half_solve(effects.turned(F, effects.fixed_of(other), transposed=True))
    return np.asarray(other.cross - half.T @ half)


def factored(
    gram: Gram, lams: Sequence[Floats]
) -> tuple[SparseEffects, list[Floats], SparseFactor]:
    """Return the effects' layout, M Lambda of each factor, and the factor of Q there.

    Raises
    ------
    NumericalError
        If Q cannot be factored.
    """
    effects = sparse_effects(gram)
    F = [factor.scale @ lam for factor, lam in zip(gram.factors, lams, strict=True)]
    factor = effects.factorize(pattern_of(effects), F)
    if factor is None:
        raise NumericalError(
            "The random effects' precision cannot be factored: a relative factor is too large."
        )
    return effects, F, factor
