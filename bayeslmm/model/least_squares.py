"""Least squares on the fixed effects and chosen columns of random effects, from cross-products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg.lapack import dpotrf
from scipy.sparse import bsr_matrix, hstack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram

# Part of a column's squares that is rounding once other columns are taken out.
_DEPENDENT = 1e-12
# What a bound adds to each column's squares, as part of what counts as dependent.
_RIDGE = 1e-2
# Part of the response's squares below which nothing is said of what is left.
_ROUNDING = 1e-10
# Crossed effects that are left dense; more take longer to judge than the refusal is worth.
MOST_DENSE = 1500
# Sizes from which, and parts of nonzeros up to which, sparse products are faster than dense ones.
_LARGE, _SPARSE = 100_000, 0.1


@dataclass(frozen=True)
class Part:
    """Some columns of one factor: Z = Zs @ columns, `terms` their names."""

    factor: int
    terms: tuple[str, ...]
    columns: Floats


def all_parts(gram: Gram) -> tuple[Part, ...]:
    """Return all random-effects columns, one part for each factor."""
    return tuple(Part(k, f.terms, np.eye(len(f.terms))) for k, f in enumerate(gram.factors))


def dense_columns(gram: Gram, parts: tuple[Part, ...]) -> int:
    """Count the columns that are left once the factor with most effects is eliminated.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    parts : tuple of Part
        Columns, at most one part a factor.

    Returns
    -------
    int
        With the fixed effects; `residual_squares` is silent above `MOST_DENSE`.
    """
    first, sizes = _eliminable(gram, parts)
    return sum(sizes) - (0 if first is None else sizes[first]) + len(gram.coef)


def _eliminable(gram: Gram, parts: tuple[Part, ...]) -> tuple[int | None, list[int]]:
    """Return which part has most effects of those whose levels share no rows, and all sizes."""
    sizes = [len(gram.factors[part.factor].within) * len(part.terms) for part in parts]
    apart = [k for k, part in enumerate(parts) if gram.joined(part.factor) is None]
    return max(apart, key=lambda k: sizes[k], default=None), sizes


def _once[T](
    compute: Callable[[Gram, tuple[Part, ...]], T],
) -> Callable[[Gram, tuple[Part, ...]], T]:
    """Remember answers: checks and a search ask the same of a Gram, which never changes."""
    known: WeakKeyDictionary[Gram, dict[tuple[tuple[int, bytes], ...], T]] = WeakKeyDictionary()

    @wraps(compute)
    def answer(gram: Gram, parts: tuple[Part, ...]) -> T:
        answers = known.setdefault(gram, {})
        asked = tuple((part.factor, part.columns.tobytes()) for part in parts)
        if asked not in answers:
            answers[asked] = compute(gram, parts)
        return answers[asked]

    return answer


@_once
def residual_squares(gram: Gram, parts: tuple[Part, ...]) -> tuple[float, int] | None:
    """Compute what least squares on X and some random-effects columns leaves, and their rank.

    The factor with most effects is eliminated level by level; what others, X and the response are
    left with is one dense matrix. Levels that are joined stay in it.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    parts : tuple of Part
        Columns, at most one part a factor.

    Returns
    -------
    squares : float
        Residual sum of squares, weighted.
    rank : int
        Of X and the columns together.

    None where the dense matrix would be too large, or numbers are.
    """
    if dense_columns(gram, parts) > MOST_DENSE:
        return None
    try:
        with np.errstate(all="ignore"):
            products, rank = _eliminated(gram, parts)
            spread, axes = np.linalg.eigh(products[:-1, :-1])
            real = spread > _DEPENDENT * len(spread)
            along = axes[:, real].T @ products[:-1, -1]
            squares = float(products[-1, -1] - np.sum(along**2 / spread[real]))
    except np.linalg.LinAlgError:
        return None
    return squares, rank + int(real.sum())


@_once
def least_squares_left(gram: Gram, parts: tuple[Part, ...]) -> float:
    r"""Compute a number that `residual_squares` are not below, in a tenth of the time.

    With :math:`a_i` the part of the response along the eigenvector of :math:`\lambda_i` that the
    columns' cross-products have, and :math:`\tau` the least eigenvalue that counts,

    .. math:: \sum_{\lambda_i > \tau} \frac{a_i^2}{\lambda_i} \le
        (1 + \delta / \tau) \sum_i \frac{a_i^2}{\lambda_i + \delta},

    whose right side takes one Cholesky factor.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    parts : tuple of Part
        Columns, at most one part a factor.

    Returns
    -------
    float
        Above zero where more than a hundredth of what the largest part leaves is left by all;
        zero where no such number is cheap.
    """
    if dense_columns(gram, parts) > MOST_DENSE:
        return 0.0
    try:
        with np.errstate(all="ignore"):
            products, _ = _eliminated(gram, parts)
    except np.linalg.LinAlgError:
        return 0.0
    total, width = float(products[-1, -1]), len(products) - 1
    products.flat[:: width + 2] += _RIDGE * _DEPENDENT * width
    # The response's own pivot shall be positive whatever is left of it.
    products[-1, -1] = 2.0 * total
    lower, failed = dpotrf(products.T, lower=True, overwrite_a=True, clean=False)
    fitted = float(lower[-1, :-1] @ lower[-1, :-1])
    left = total - (1.0 + _RIDGE) * fitted
    return left if not failed and left > _ROUNDING * gram.cross[-1, -1] else 0.0


def _eliminated(gram: Gram, parts: tuple[Part, ...]) -> tuple[Floats, int]:
    """Compute cross-products of all else, columns of length one, given the largest part; its rank.

    The response is last, and keeps its length.
    """
    first, _ = _eliminable(gram, parts)
    others = [part for k, part in enumerate(parts) if k != first]
    left = _dense(gram, others)
    length = np.sqrt(np.maximum(np.diag(left), 0.0))
    kept = np.zeros(0, bool)
    if first is not None:
        kept = _subtract_part(gram, parts[first], others, left)
    size = np.where(length > 0.0, length, 1.0)
    size[-1] = 1.0
    left /= size
    left /= size[:, None]
    return left, int(kept.sum())


def _subtract_part(gram: Gram, big: Part, others: list[Part], left: Floats) -> NDArray[np.bool_]:
    """Subtract what one part explains from a matrix in place; return which columns are real."""
    factor, C = gram.factors[big.factor], big.columns
    values, vectors = np.linalg.eigh(C.T @ factor.within @ C)
    kept = values > _DEPENDENT * np.maximum(values[:, -1:], 0.0)
    root = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    whiten = np.swapaxes(vectors * root[:, None, :], 1, 2)
    pairs = [_Pairs.of(gram, big, other, whiten) for other in others]
    fixed = (whiten @ (C.T @ factor.with_fixed)).reshape(kept.size, -1)
    _subtract_products(left, pairs, fixed)
    return kept


@dataclass(frozen=True)
class _Pairs:
    """Whitened cross-products with another part: blocks of a matrix of shape (m c, m' c')."""

    own: Ints
    theirs: Ints
    blocks: Floats
    shape: tuple[int, int]

    @classmethod
    def of(cls, gram: Gram, big: Part, other: Part, whiten: Floats) -> _Pairs:
        own, theirs, values = gram.pair_of(big.factor, other.factor).seen_from(big.factor)
        blocks = whiten[own] @ (big.columns.T @ values @ other.columns)
        m, m_other = (len(gram.factors[part.factor].within) for part in (big, other))
        return cls(own, theirs, blocks, (m, m_other))

    def dense(self) -> Floats:
        _, q, width = self.blocks.shape
        out = np.zeros((self.shape[0], q, self.shape[1], width))
        out[self.own, :, self.theirs, :] = self.blocks
        return out.reshape(self.shape[0] * q, -1)

    def sparse(self) -> bsr_matrix:
        _, q, width = self.blocks.shape
        starts = np.searchsorted(self.own, np.arange(self.shape[0] + 1))
        shape = (self.shape[0] * q, self.shape[1] * width)
        return bsr_matrix((self.blocks, self.theirs, starts), shape=shape)


def _subtract_products(left: Floats, pairs: list[_Pairs], fixed: Floats) -> None:
    """Subtract T'T from a matrix in place, T = [pairs, fixed]."""
    cells, width = len(fixed) * len(left), len(left) - fixed.shape[1]
    nonzeros = sum(pair.blocks.size for pair in pairs)
    if not pairs or cells < _LARGE or nonzeros > _SPARSE * cells:
        taken = np.hstack([*(pair.dense() for pair in pairs), fixed])
        left -= taken.T @ taken
        return
    sparse = hstack([pair.sparse() for pair in pairs], format="csr")
    across = sparse.T @ fixed
    left[:width, :width] -= (sparse.T @ sparse).toarray()
    left[:width, width:] -= across
    left[width:, :width] -= across.T
    left[width:, width:] -= fixed.T @ fixed


def _dense(gram: Gram, parts: list[Part]) -> Floats:
    """Compute the cross-products of some parts, X and the response as one matrix."""
    p = len(gram.coef)
    counts = [len(gram.factors[part.factor].within) * len(part.terms) for part in parts]
    starts = np.cumsum([0, *counts])
    out = np.zeros((starts[-1] + p + 1,) * 2)
    out[starts[-1] :, starts[-1] :] = gram.cross
    places = [
        start + np.arange(count).reshape(-1, len(part.terms))
        for start, count, part in zip(starts, counts, parts, strict=False)
    ]
    for part, at in zip(parts, places, strict=True):
        factor, C = gram.factors[part.factor], part.columns
        here, there, within = gram.own_blocks(part.factor)
        out[at[here][:, :, None], at[there][:, None, :]] = C.T @ within @ C
        fixed = (C.T @ factor.with_fixed).reshape(at.size, -1)
        out[at.ravel(), starts[-1] :], out[starts[-1] :, at.ravel()] = fixed, fixed.T
    for a, (part, at) in enumerate(zip(parts, places, strict=True)):
        for other, to in zip(parts[:a], places[:a], strict=True):
            own, theirs, values = gram.pair_of(part.factor, other.factor).seen_from(part.factor)
            blocks = part.columns.T @ values @ other.columns
            rows, cols = at[own][:, :, None], to[theirs][:, None, :]
            out[rows, cols] = blocks
            out[cols, rows] = blocks
    return out
