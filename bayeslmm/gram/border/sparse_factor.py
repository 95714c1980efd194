r"""Q = I + F'Z'ZF of all effects by a sparse Cholesky factor, where fill is small.

In chains and nearly nested designs (workers of whom few change firms) an order of minimum degree
leaves a factor with few entries: exact, and without iterations.
"""

from __future__ import annotations

from functools import lru_cache
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
        The cross-products.

    Attributes
    ----------
    starts : ndarray of int, shape (number of factors + 1,)
        The first column of each factor.
    """

    def __init__(self, gram: CrossProducts) -> None:
        self._gram = gram
        sizes = [int(np.prod(factor.within.shape[:2])) for factor in gram.factors]
        self.starts = np.cumsum([0, *sizes]).astype(np.int64)
        self._meeting = [
            (k, m, *gram.pair_of(k, m).seen_from(k))
            for k in range(len(sizes))
            for m in range(k + 1, len(sizes))
        ]
        row, column = self._places()
        n = int(self.starts[-1])
        self._order = np.lexsort((row, column))
        self._row, column = row[self._order], column[self._order]
        self._pointers = np.searchsorted(column, np.arange(n + 1)).astype(np.int64)
        keys = column * n + self._row
        self._mirror = np.searchsorted(keys, self._row * n + column)
        ones = [np.eye(factor.within.shape[1]) for factor in gram.factors]
        self._pattern: SparsePattern | None = None
        self._raw = self._matrix(self._values(ones, identity=False))

    def _places(self) -> tuple[Ints, Ints]:
        """Return rows and columns of all entries: own blocks, then each pair's, and transposed."""
        rows, columns = [], []
        for k, factor in enumerate(self._gram.factors):
            m, q, _ = factor.within.shape
            at = self.starts[k] + np.arange(m)[:, None] * q + np.arange(q)
            shape = (m, q, q)
            rows.append(np.broadcast_to(at[:, :, None], shape).ravel())
            columns.append(np.broadcast_to(at[:, None, :], shape).ravel())
        for k, m, own, others, values in self._meeting:
            _, q, width = values.shape
            at = self.starts[k] + own[:, None] * q + np.arange(q)
            to = self.starts[m] + others[:, None] * width + np.arange(width)
            first = np.broadcast_to(at[:, :, None], values.shape).ravel()
            second = np.broadcast_to(to[:, None, :], values.shape).ravel()
            rows += [first, second]
            columns += [second, first]
        return np.concatenate(rows), np.concatenate(columns)

    def _values(self, F: Sequence[Floats], *, identity: bool) -> Floats:
        """Return entries of F'WF, and the identity, in the order of `_places`."""
        parts = []
        for factor, own in zip(self._gram.factors, F, strict=True):
            blocks = own.T @ factor.within @ own
            parts.append((blocks + np.eye(len(own)) if identity else blocks).ravel())
        for k, m, _, _, values in self._meeting:
            flat = (F[k].T @ values @ F[m]).ravel()
            parts += [flat, flat]
        return np.concatenate(parts)

    def _matrix(self, values: Floats) -> csc_matrix:
        n = int(self.starts[-1])
        return csc_matrix((values[self._order], self._row, self._pointers), shape=(n, n))

    def pattern(self, most: int = MOST_ENTRIES) -> SparsePattern | None:
        """Find an order and where the factor has entries; None where there are too many."""
        if self._pattern is None:
            self._pattern = SparsePattern.of(self._pointers, self._row, most)
        found = self._pattern
        return found if found is None or len(found.below) <= most else None

    def factorize(self, pattern: SparsePattern, F: Sequence[Floats]) -> SparseFactor | None:
        """Factor Q at F = M Lambda of each factor; None where it is not positive definite."""
        return pattern.factorize(self._values(F, identity=True)[self._order])

    def multiply(self, columns: Floats) -> Floats:
        """Multiply Z'Z with columns, shape (n, B)."""
        return np.asarray(self._raw @ columns)

    def fixed(self) -> Floats:
        """Return Z'[Xs r], shape (n, p + 1)."""
        w = self._gram.cross.shape[0]
        return np.concatenate([f.with_fixed.reshape(-1, w) for f in self._gram.factors])

    def turned(self, F: Sequence[Floats], columns: Floats, *, transposed: bool = False) -> Floats:
        """Multiply each level's rows of columns, shape (n, B), with F, or with F'."""
        parts = []
        for k, own in enumerate(F):
            rows = columns[self.starts[k] : self.starts[k + 1]]
            levels = rows.reshape(-1, len(own), rows.shape[1])
            parts.append(((own.T if transposed else own) @ levels).reshape(rows.shape))
        return np.concatenate(parts)

    def inverse_blocks(self, factor: SparseFactor) -> tuple[list[Floats], list[Floats]]:
        """Return blocks of Q^-1: each level's own, (m, q, q), and of each pair that shares rows."""
        sorted_values = np.empty(len(self._row))
        upper = factor.inverse_on_upper()
        sorted_values[factor.pattern.places] = upper
        sorted_values[self._mirror[factor.pattern.places]] = upper
        values = np.empty(len(self._row))
        values[self._order] = sorted_values
        own, at = [], 0
        for gram_factor in self._gram.factors:
            shape = gram_factor.within.shape
            own.append(values[at : at + int(np.prod(shape))].reshape(shape))
            at += int(np.prod(shape))
        pairs = []
        for _, _, _, _, blocks in self._meeting:
            pairs.append(values[at : at + blocks.size].reshape(blocks.shape))
            at += 2 * blocks.size
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
    pattern = sparse_effects(gram).pattern()
    return pattern is not None and pattern.operations <= MOST_OPERATIONS


def solve_effects(
    effects: SparseEffects, factor: SparseFactor, F: Sequence[Floats], cross: Floats
) -> tuple[Floats, Floats]:
    """Return T, and Q^-1 F'Z'[Xs r], shape (n, p + 1), from [Xs r]'[Xs r]."""
    half = factor.half_solve(effects.turned(F, effects.fixed(), transposed=True))
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
        raise ArgumentError(
            f"border='sparse' would fill a factor of more than {_MOST:,} entries, as where levels "
            "meet at random: give border='krylov', or leave the choice to 'auto'."
        )
    return pattern


def conditional_sparsely(gram: Gram, lams: Sequence[Floats], sigma: float) -> Conditional:
    """Compute what `likelihood.conditional` does, by a sparse factor of Q.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.

    Returns
    -------
    Conditional
    """
    effects, F, factor = _factored(gram, lams)
    T, joint = solve_effects(effects, factor, F, gram.cross)
    own, _ = effects.inverse_blocks(factor)
    return conditional_from(
        gram, list(lams), sigma, Solved(T, np.split(joint, effects.starts[1:-1]), own)
    )


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
    effects, F, factor = _factored(gram, lams)
    w = other.cross.shape[0]
    fixed = np.concatenate([of.with_fixed.reshape(-1, w) for of in other.factors])
    half = factor.half_solve(effects.turned(F, fixed, transposed=True))
    return np.asarray(other.cross - half.T @ half)


def _factored(
    gram: Gram, lams: Sequence[Floats]
) -> tuple[SparseEffects, list[Floats], SparseFactor]:
    effects = sparse_effects(gram)
    F = [factor.scale @ lam for factor, lam in zip(gram.factors, lams, strict=True)]
    factor = effects.factorize(pattern_of(effects), F)
    if factor is None:
        raise NumericalError(
            "The random effects' precision cannot be factored: a relative factor is too large."
        )
    return effects, F, factor
