r"""Responses that the effects fit exactly: no residuals are left, and no likelihood is bounded.

With :math:`r` the rank of :math:`[X\ Z]`, n the number of rows and a response in its span, the
likelihood grows as :math:`\sigma^{-(n - r)}` towards :math:`\sigma = 0`: REML has no maximum, and a
posterior is improper unless the prior of :math:`\sigma` vanishes faster. Where :math:`r = n` every
response is in the span and nothing follows, but the same holds of a subset of the columns whose
rank is below n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import bsr_matrix

from bayeslmm import names
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.prior import Prior

# Sums of squares carry some 1e-16 of the total, and a search loses some five digits more: standard
# errors of lines by group are off by 0.4 % where 2e-11 of the total is left, by 5 % at 2e-12.
EXACT = 1e-11
# Part of a column's squares that is rounding once other columns are taken out.
_DEPENDENT = 1e-12
# Crossed effects that are left dense; more take longer to judge than the refusal is worth.
_MOST_DENSE = 1500


@dataclass(frozen=True)
class Part:
    """Some columns of one factor: Z = Zs @ columns, `terms` their names."""

    factor: int
    terms: tuple[str, ...]
    columns: Floats


def require_residuals(gram: Gram, sigma: Prior | None = None) -> None:
    """Raise where some of a model's effects fit the response exactly.

    Parameters
    ----------
    gram : Gram
        The cross-products, with scales.
    sigma : Prior, optional
        The prior of sigma, for a posterior: nothing is raised where it vanishes at zero.

    Raises
    ------
    DataError
        Naming the effects, and what can be done.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 1.0, 4.0, 4.0], "g": ["a", "a", "b", "b"]}
    >>> require_residuals(Gram.from_design(bl.build_design("y ~ 1 + (1 | g)", table)))
    Traceback (most recent call last):
    ...
    bayeslmm.errors.DataError: The response 'y' does not vary within the levels of 'g', ...
    """
    problem = no_residuals(gram, sigma)
    if problem is not None:
        raise DataError(problem)


def no_residuals(gram: Gram, sigma: Prior | None = None) -> str | None:
    """Return what `require_residuals` raises, if anything."""
    scales = gram.scales
    if scales is None:
        return None
    n, rank = gram.n, len(gram.coef)
    total = float(gram.cross[rank, rank])
    weight = 1.0 if scales.weights is None else scales.weights.mean
    # What the fixed effects leave is rounding: some n p eps of the response's own size.
    if np.sqrt(total / n) <= 1e-12 * scales.observed.rms * np.sqrt(weight):
        found = f"The fixed effects fit the response {gram.response!r} exactly"
    else:
        # What the user's own arithmetic leaves of a zero: some last digits of the response.
        digits = n * weight * (16 * np.finfo(float).eps * scales.observed.largest) ** 2
        exact = _exact_part(gram, max(EXACT * total, digits))
        if exact is None:
            return None
        found, rank = _described(gram, exact[0]), exact[1]
    size = scales.response.scale()
    if sigma is not None and _vanishes(sigma, 1e-6 * np.sqrt(weight) * size, n - rank):
        return None
    problem = (
        f"{found}: no residuals are left from which to estimate sigma, and the likelihood grows "
        "without bound as sigma goes to zero. Where the response was merged from a table of "
        "groups, fit that table."
    )
    if sigma is not None:
        problem += (
            " Or give sigma a prior that vanishes at zero, "
            f"priors={{'sigma': 'InverseGamma(3, {np.sqrt(weight) * size / 10:.3g})'}}."
        )
    return problem


def _vanishes(sigma: Prior, near: float, power: int) -> bool:
    """Return whether a prior vanishes faster than sigma^(power - 1) where digits end."""
    low, high = sigma.log_density(np.array([near, np.e * near]))
    return bool(low == -np.inf or high - low > power - 1)


def _described(gram: Gram, parts: tuple[Part, ...]) -> str:
    if len(parts) == 1 and parts[0].terms == (names.INTERCEPT,):
        return (
            f"The response {gram.response!r} does not vary within the levels of "
            f"{gram.factors[parts[0].factor].name!r}, beyond what the fixed effects fit exactly"
        )
    effects = " and ".join(
        f"{', '.join(map(repr, part.terms))} by {gram.factors[part.factor].name!r}"
        for part in parts
    )
    return (
        f"The fixed effects and the random effects {effects} fit the response {gram.response!r} "
        "exactly"
    )


def _exact_part(gram: Gram, zero: float) -> tuple[tuple[Part, ...], int] | None:
    """Return effects of rank below n that leave no more than `zero`, and their rank."""
    waiting = [all_parts(gram)]
    while waiting:
        parts = waiting.pop(0)
        judged = residual_squares(gram, parts) if parts else None
        if judged is None or judged[1] >= gram.n:
            waiting += _smaller(gram, parts)
        elif judged[0] <= zero:
            return parts, judged[1]
    return None


def all_parts(gram: Gram) -> tuple[Part, ...]:
    """Return all random-effects columns, one part for each factor."""
    return tuple(Part(k, f.terms, np.eye(len(f.terms))) for k, f in enumerate(gram.factors))


def _smaller(gram: Gram, parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    """Iterate over factors, or over the columns of one."""
    if len(parts) > 1:
        yield from ((part,) for part in parts)
    elif parts and len(parts[0].terms) > 1:
        k, scale = parts[0].factor, gram.factors[parts[0].factor].scale
        for j, term in enumerate(parts[0].terms):
            column = scale[:, j : j + 1]
            yield (Part(k, (term,), column / np.sqrt(np.sum(column**2))),)


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
    try:
        with np.errstate(all="ignore"):
            return _residual_squares(gram, parts)
    except np.linalg.LinAlgError:
        return None


def _residual_squares(gram: Gram, parts: tuple[Part, ...]) -> tuple[float, int] | None:
    sizes = [len(gram.factors[part.factor].levels) * len(part.terms) for part in parts]
    first = int(np.argmax(sizes))
    others = [part for k, part in enumerate(parts) if k != first]
    if sum(sizes) - sizes[first] + len(gram.coef) > _MOST_DENSE:
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
