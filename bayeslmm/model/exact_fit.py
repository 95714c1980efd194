r"""Responses that the effects fit exactly: no residuals are left, and no likelihood is bounded.

With :math:`r` the rank of :math:`[X\ Z]`, n the number of rows and a response in its span, the
likelihood grows as :math:`\sigma^{-(n - r)}` towards :math:`\sigma = 0`: REML has no maximum, and a
posterior is improper unless the prior of :math:`\sigma` vanishes faster. Where :math:`r = n` every
response is in the span and nothing follows, but the same holds of a subset of the columns whose
rank is below n.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError, NumericalWarning, warn
from bayeslmm.model.least_squares import (
    MOST_DENSE,
    Part,
    all_parts,
    dense_columns,
    least_squares_left,
    residual_squares,
)
from bayeslmm.model.priors.prior import Prior

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.design.scales import DataScales
    from bayeslmm.gram.gram import Gram

# Sums of squares carry some 1e-16 of the total, and sums over n rows of one number n 1e-18.
_EXACT, _EXACT_PER_ROW = 1e-13, 1e-17
# A search loses digits besides: standard errors of lines by group are off by 0.1 % where 1e-11 of
# the total is left, by 1 % at 1e-12, by 5 % at 1e-13; those of constants by group by 0.1 % there.
_IMPRECISE = 1e-11
# Choices of effects that are tried, and multiplications that this may take: seconds.
_MOST_CHOICES, _MOST_WORK = 100, 4 * MOST_DENSE**3
# Times the root of n: what part of the response's sd sigma must be for its log-density, of n terms
# eps / sigma^2, to have an error well below one. Posteriors are wrong from a third of this on.
_DIGITS_END = 1e-7
# Points of a search for the mode of sigma.
_GRID = 400


@dataclass(frozen=True)
class _Fitted:
    """Effects that leave, beside X, next to nothing of the response: which share of its squares."""

    parts: tuple[Part, ...]
    rank: int
    share: float
    exact: bool


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

    Warns
    -----
    NumericalWarning
        Where so little is left that results lose digits.

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
    found = _without_residuals(gram, sigma)
    if found is None:
        return
    if found.exact:
        raise DataError(_problem(gram, sigma, found))
    warn(
        f"{_effects(gram, found.parts)} leave only {found.share:.1g} of the sum of squares of the "
        f"response {gram.response!r}, of which sums of squares keep few digits: standard "
        "deviations and standard errors may be off by per cents. A response from which the bulk "
        "of the differences between levels has been subtracted keeps more of them.",
        NumericalWarning,
    )


def no_residuals(gram: Gram, sigma: Prior | None = None) -> str | None:
    """Return what `require_residuals` raises, if anything."""
    found = _without_residuals(gram, sigma)
    return _problem(gram, sigma, found) if found is not None and found.exact else None


def exactly_fitted(gram: Gram) -> tuple[str, int] | None:
    """Return in words which effects fit a response exactly, and n less their rank; or None."""
    found = _without_residuals(gram, None)
    if found is None or not found.exact:
        return None
    return f"{_described(gram, found.parts)} exactly", gram.n - found.rank


def _without_residuals(gram: Gram, sigma: Prior | None) -> _Fitted | None:
    """Return effects that fit a response nearly or exactly, unless a prior replaces residuals."""
    found = None if gram.scales is None else _fitted(gram, gram.scales)
    if found is None or sigma is None:
        return found
    return None if _vanishes(sigma, gram, gram.power - found.rank) else found


def _fitted(gram: Gram, scales: DataScales) -> _Fitted | None:
    n, rank = gram.n, len(gram.coef)
    total = float(gram.cross[rank, rank])
    weight = 1.0 if scales.weights is None else scales.weights.mean
    # What arithmetic leaves of a zero: last digits of the response, and of sums over its rows.
    digit = (16 + np.sqrt(n) / 8) * np.finfo(float).eps * scales.observed.largest
    rounding = n * weight * digit**2
    if total <= rounding:
        return _Fitted((), rank, 0.0, True)
    zero = max(_exact(gram) * total, rounding)
    # Some of the columns leave no less than all.
    if gram.factors and least_squares_left(gram, all_parts(gram)) > max(_IMPRECISE * total, zero):
        return None
    found = _least_left(gram, zero)
    if found is None or found[1] > max(_IMPRECISE * total, zero):
        return None
    parts, squares, rank = found
    return _Fitted(parts, rank, max(squares, 0.0) / total, squares <= zero)


def _exact(gram: Gram) -> float:
    """Compute what part of the total is rounding of sums over rows."""
    return max(_EXACT, _EXACT_PER_ROW * gram.n)


def _size(gram: Gram) -> float:
    """Compute the response's standard deviation, in units of sigma."""
    scales = gram.scales
    if scales is None:
        return 1.0
    return scales.response.scale() * (1.0 if scales.weights is None else scales.weights.mean**0.5)


def _problem(gram: Gram, sigma: Prior | None, found: _Fitted) -> str:
    problem = (
        f"{_described(gram, found.parts)} exactly, as far as sums of squares can tell: no "
        "residuals are left from which to estimate sigma, and the likelihood grows without bound "
        "as sigma goes to zero. Where the response was merged from a table of groups, fit that "
        "table."
    )
    if sigma is None:
        return problem
    power = gram.power - found.rank
    problem += (
        f" Only a prior of sigma that outweighs sigma^-{power:g} where the response still has "
        "digits makes a posterior"
    )
    offered = Prior.parse(f"InverseGamma(3, {_size(gram) / 10:.3g})")
    if not _vanishes(offered, gram, power):
        return f"{problem}; with so many rows no prior on the data's scale does."
    return f"{problem}, such as priors={{'sigma': 'InverseGamma(3, {offered.numbers[1]:.3g})'}}."


def _digits_end(gram: Gram) -> float:
    """Compute the sigma below which sums of squares tell nothing of it."""
    return max(_DIGITS_END * float(np.sqrt(gram.n)), 1e-6) * _size(gram)


def _vanishes(sigma: Prior, gram: Gram, power: float) -> bool:
    """Return whether a prior vanishes faster than sigma^(power - 1) where digits end."""
    near = _digits_end(gram)
    low, high = sigma.log_density(np.array([near, np.e * near]))
    return bool(low == -np.inf or high - low > power - 1)


def mode_without_residuals(gram: Gram, sigma: Prior) -> float:
    r"""Find the mode of log sigma where effects fit exactly: of :math:`p(\sigma) \sigma^{1-(n-r)}`.

    Parameters
    ----------
    gram : Gram
        The cross-products, with scales.
    sigma : Prior
        Of sigma, vanishing at zero.

    Returns
    -------
    float
        To a few per cent; the prior's median where effects do not fit exactly.
    """
    median = float(sigma.quantile(0.5))
    found = None if gram.scales is None else _fitted(gram, gram.scales)
    if found is None:
        return median
    grid = np.geomspace(min(_digits_end(gram), median), median, _GRID)
    height = sigma.log_density(grid) - (gram.power - found.rank - 1) * np.log(grid)
    return float(grid[np.argmax(height)])


def require_sigma(gram: Gram, estimate: float, sigma: Prior | None = None) -> None:
    """Raise where a search for sigma has ended at nothing: combinations of effects fit exactly.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    estimate : float
        Of sigma, by (restricted) maximum likelihood.
    sigma : Prior, optional
        The prior of sigma, for a posterior: nothing is raised where it vanishes at zero.

    Raises
    ------
    DataError
        With what can be done.
    """
    total = float(gram.cross[-1, -1])
    if not estimate**2 * gram.n <= _exact(gram) * total:
        return
    if sigma is None or not _vanishes(sigma, gram, gram.power):
        raise DataError(
            f"The estimate of sigma is {estimate:.1g}, nothing beside the response "
            f"{gram.response!r}: some combination of the effects fits it exactly, no residuals are "
            "left from which to estimate sigma, and the likelihood grows without bound as sigma "
            "goes to zero. Take random effects with fewer columns, or more rows for each level."
        )


def saturated(gram: Gram) -> bool:
    """Return whether effects fit any response exactly, by columns of which some may do alone."""
    parts = all_parts(gram)
    if all(len(part.terms) == 1 for part in parts):
        return False
    if least_squares_left(gram, parts) > 0.0:
        return False
    judged = residual_squares(gram, parts)
    return judged is not None and judged[1] >= gram.n


def _described(gram: Gram, parts: tuple[Part, ...]) -> str:
    if len(parts) == 1 and parts[0].terms == (names.INTERCEPT,):
        return (
            f"The response {gram.response!r} does not vary within the levels of "
            f"{gram.factors[parts[0].factor].name!r}, beyond what the fixed effects fit"
        )
    return f"{_effects(gram, parts)} fit the response {gram.response!r}"


def _effects(gram: Gram, parts: tuple[Part, ...]) -> str:
    effects = " and ".join(
        f"{', '.join(map(repr, part.terms))} by {gram.factors[part.factor].name!r}"
        for part in parts
    )
    return "The fixed effects" + (f" and the random effects {effects}" if parts else "")


def _least_left(gram: Gram, zero: float) -> tuple[tuple[Part, ...], float, int] | None:
    """Return effects of rank below n that leave least, what they leave, and their rank.

    The search ends at the first that leave no more than `zero`.
    """
    best, spent = None, 0
    enough: list[set[tuple[int, str]]] = []
    for parts in islice(_choices(gram), _MOST_CHOICES):
        held = {(part.factor, term) for part in parts for term in part.terms}
        # Some of the columns of a choice that was judged leave no less than all of them.
        if any(held <= larger for larger in enough):
            continue
        width = dense_columns(gram, parts)
        if width > MOST_DENSE or spent > _MOST_WORK:
            continue
        spent += width**3
        judged = residual_squares(gram, parts)
        if judged is None or judged[1] >= gram.n:
            continue
        enough.append(held)
        if best is None or judged[0] < best[1]:
            best = (parts, *judged)
        if judged[0] <= zero:
            break
    return best


def _choices(gram: Gram) -> Iterator[tuple[Part, ...]]:
    """Iterate over all effects, then over one, two, ... factors by all columns or one of each."""
    whole = all_parts(gram)
    if not whole:
        return
    yield whole
    offers = []
    for part in whole:
        columns = gram.factors[part.factor].scale.T[:, :, None]
        named = zip(part.terms, columns, strict=True) if len(part.terms) > 1 else ()
        singles = [Part(part.factor, (term,), c / np.linalg.norm(c)) for term, c in named]
        offers.append([part, *singles])
    for count in range(1, len(offers) + 1):
        for chosen in combinations(offers, count):
            yield from product(*chosen)
