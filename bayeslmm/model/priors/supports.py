"""Which priors suit a parameter: distributions of numbers within its bounds, or LKJ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.errors import PriorError
from bayeslmm.model.priors.prior import LKJ, Prior

if TYPE_CHECKING:
    from bayeslmm.model.residual.entry import Entry


@dataclass(frozen=True)
class Allowed:
    """Where a parameter lies, or that it is a correlation matrix."""

    lower: float = -math.inf
    upper: float = math.inf
    matrix: bool = False


ANY, POSITIVE, MATRIX = Allowed(), Allowed(0.0), Allowed(-1.0, 1.0, matrix=True)


def allowed_of(entry: Entry) -> Allowed:
    """Return where a parameter of a family or a residual structure lies."""
    return MATRIX if entry.is_matrix else Allowed(entry.lower, entry.upper)


def check_support(key: str, prior: Prior, allowed: Allowed) -> Prior:
    """Return the prior; raise unless its support suits its parameter.

    Parameters
    ----------
    key : str
        What the user named the parameter by.
    prior : Prior
        The user's.
    allowed : Allowed
        What it may be.

    Raises
    ------
    PriorError
        With a prior that would do.
    """
    if (prior.family == LKJ) != allowed.matrix:
        wanted = "LKJ, e.g. 'LKJ(2)'" if allowed.matrix else "a distribution of numbers, not LKJ"
        raise PriorError(f"priors[{key!r}] is {prior}; the prior of {key!r} must be {wanted}.")
    if allowed.matrix:
        return prior
    low, high = prior.support
    if allowed.lower == 0.0 and math.isinf(allowed.upper) and low < 0:
        what = "a standard deviation" if key[:2] == "sd" or key == names.SIGMA else "positive"
        raise PriorError(
            f"priors[{key!r}] is {prior}, whose support ({low:g}, {high:g}) includes negative "
            f"values, but {key!r} is {what}. Use a distribution of positive "
            f"numbers, e.g. 'HalfNormal(1)', 'HalfStudentT(3, 1)' or 'Exponential(1)'."
        )
    if low < allowed.lower or high > allowed.upper:
        # Rounded towards each other, so that what is advised is taken.
        inside = math.ceil(1e4 * allowed.lower) / 1e4, math.floor(1e4 * allowed.upper) / 1e4
        raise PriorError(
            f"priors[{key!r}] is {prior}, whose support is ({low:g}, {high:g}), but {key!r} lies "
            f"between {allowed.lower:g} and {allowed.upper:g}. Use a distribution of numbers "
            f"there, e.g. 'Uniform({inside[0]:g}, {inside[1]:g})' or "
            f"'TruncatedNormal(0, 0.5, {inside[0]:g}, {inside[1]:g})'."
        )
    return prior
