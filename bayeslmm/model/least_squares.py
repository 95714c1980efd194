"""Least squares on the fixed effects and chosen columns of random effects, from cross-products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy.sparse import bsr_matrix

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

# Part of a column's squares that is rounding once other columns are taken out.
_DEPENDENT = 1e-12
# Crossed effects that are left dense; more take longer to judge than the refusal is worth.
MOST_DENSE = 1500

# A check of the model and a search's start ask the same of a Gram, which never changes.
_known: WeakKeyDictionary[Gram, dict[tuple[tuple[int, bytes], ...], tuple[float, int] | None]]
_known = WeakKeyDictionary()


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
    sizes = [len(gram.factors[part.factor].levels) * len(part.terms) for part in parts]
    return sum(sizes) - max(sizes) + len(gram.coef)


def residual_squares(gram: Gram, parts: tuple[Part, ...]) -> tuple[float, int] | None:
    """Compute what least squares on X and some random-effects columns leaves, and their rank.

    The factor with most effects is eliminated level by level; what others, X and the response are
    left with is one dense matrix.

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
    known = _known.setdefault(gram, {})
    asked = tuple((part.factor, part.columns.tobytes()) for part in parts)
    if asked not in known:
        try:
            with np.errstate(all="ignore"):
                known[asked] = _residual_squares(gram, parts)
        except np.linalg.LinAlgError:
            known[asked] = None
    return known[asked]


def _residual_squares(gram: Gram, parts: tuple[Part, ...]) -> tuple[float, int] | None:
    sizes = [len(gram.factors[part.factor].levels) * len(part.terms) for part in parts]
    first = int(np.argmax(sizes))
    others = [part for k, part in enumerate(parts) if k != first]
    if dense_columns(gram, parts) > MOST_DENSE:
        return None
    big = parts[first]
    factor, C = gram.factors[big.factor], big.columns
    values, vectors = np.linalg.eigh(C.T @ factor.within @ C)
    kept = values > _DEPENDENT * np.maximum(values[:, -1:], 0.0)
    root = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    whiten = np.swapaxes(vectors * root[:, None, :], 1, 2)
    columns = [_pair_columns(gram, big, other, whiten) for other in others]
    columns.append((whiten @ (C.T @ factor.with_fixed)).reshape(sizes[first], -1))
    left = _dense(gram, others)
    length = np.sqrt(np.maximum(np.diag(left), 0.0))[:-1]
    taken = np.hstack(columns)
    left -= taken.T @ taken
    size = np.where(length > 0.0, length, 1.0)
    spread, axes = np.linalg.eigh(left[:-1, :-1] / size / size[:, None])
    real = spread > _DEPENDENT * len(spread)
    along = axes[:, real].T @ (left[:-1, -1] / size)
    squares = float(left[-1, -1] - np.sum(along**2 / spread[real]))
    return squares, int(kept.sum() + real.sum())


def _pair_columns(gram: Gram, big: Part, other: Part, whiten: Floats) -> Floats:
    """Compute whitened cross-products of two factors, shape (m c, m' c')."""
    own, theirs, values = gram.pair_of(big.factor, other.factor).seen_from(big.factor)
    blocks = whiten[own] @ (big.columns.T @ values @ other.columns)
    m, m_other = (len(gram.factors[part.factor].levels) for part in (big, other))
    starts = np.searchsorted(own, np.arange(m + 1))
    shape = (m * len(big.terms), m_other * len(other.terms))
    dense: Floats = bsr_matrix((blocks, theirs, starts), shape=shape).toarray()
    return dense


def _dense(gram: Gram, parts: list[Part]) -> Floats:
    """Compute the cross-products of some parts, X and the response as one matrix."""
    p = len(gram.coef)
    counts = [len(gram.factors[part.factor].levels) * len(part.terms) for part in parts]
    starts = np.cumsum([0, *counts])
    out = np.zeros((starts[-1] + p + 1,) * 2)
    out[starts[-1] :, starts[-1] :] = gram.cross
    places = [
        start + np.arange(count).reshape(-1, len(part.terms))
        for start, count, part in zip(starts, counts, parts, strict=False)
    ]
    for part, at in zip(parts, places, strict=True):
        factor, C = gram.factors[part.factor], part.columns
        out[at[:, :, None], at[:, None, :]] = C.T @ factor.within @ C
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
