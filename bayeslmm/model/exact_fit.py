r"""Responses that the effects fit exactly: no residuals are left, and no likelihood is bounded.

With :math:`r` the rank of :math:`[X\ Z]`, n the number of rows and a response in its span, the
likelihood grows as :math:`\sigma^{-(n - r)}` towards :math:`\sigma = 0`: REML has no maximum, and a
posterior is improper unless the prior of :math:`\sigma` vanishes faster. Where :math:`r = n` every
response is in the span and nothing follows, but the same holds of a subset of the columns whose
rank is below n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.model.least_squares import Part, all_parts, residual_squares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.prior import Prior

# Sums of squares carry some 1e-16 of the total, and a search loses some five digits more: standard
# errors of lines by group are off by 0.4 % where 2e-11 of the total is left, by 5 % at 2e-12.
EXACT = 1e-11


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


def _smaller(gram: Gram, parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    """Iterate over factors, or over the columns of one."""
    if len(parts) > 1:
        yield from ((part,) for part in parts)
    elif parts and len(parts[0].terms) > 1:
        k, scale = parts[0].factor, gram.factors[parts[0].factor].scale
        for j, term in enumerate(parts[0].terms):
            column = scale[:, j : j + 1]
            yield (Part(k, (term,), column / np.sqrt(np.sum(column**2))),)
