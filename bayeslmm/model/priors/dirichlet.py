"""Priors of thresholds: a Dirichlet distribution of the categories' probabilities, as sticks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import PriorError
from bayeslmm.families.ordinal.sticks import STICK, THRESHOLD, cut_labels, shapes
from bayeslmm.model.priors.prior import Prior

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.families.family import Family

_DIRICHLET = re.compile(r"\s*Dirichlet\s*\(\s*(?:a\s*=\s*)?\[?([^()\[\]]*)\]?\s*\)\s*")


def with_sticks(family: Family, chosen: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return priors by key with that of ``threshold`` spelt as those of its sticks.

    Parameters
    ----------
    family : Family
        Of ordered categories; of others nothing is changed.
    chosen : mapping
        What a user gives: ``{"threshold": "Dirichlet(2)"}``, with one number, or one for each
        category.

    Returns
    -------
    dict

    Raises
    ------
    PriorError
        If it is another distribution, or has another number of categories.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> three = bl.Cumulative(categories=("low", "some", "high"))
    >>> chosen = with_sticks(three, {"threshold": "Dirichlet(2)"})
    >>> {key: str(prior) for key, prior in chosen.items()}
    {'stick[low|some]': 'Beta(alpha=2, beta=4)', 'stick[some|high]': 'Beta(alpha=2, beta=2)'}
    """
    if not family.response.ordered or THRESHOLD not in chosen:
        return dict(chosen)
    categories = getattr(family, "categories", ())
    concentration = _concentration(chosen[THRESHOLD], len(categories))
    pairs = zip(cut_labels(categories), shapes(concentration), strict=True)
    sticks = {f"{STICK}[{label}]": Prior.of("Beta", alpha=a, beta=b) for label, (a, b) in pairs}
    rest = {key: value for key, value in chosen.items() if key != THRESHOLD}
    return {**sticks, **rest}


def _concentration(given: object, count: int) -> list[float]:
    found = _DIRICHLET.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise PriorError(
            f"The prior of {THRESHOLD!r} is 'Dirichlet(1)', on the probabilities of the categories "
            f"at the predictors' means, and not {given!r}: give it one number or one for each "
            f"category, or {STICK!r} a distribution between 0 and 1."
        )
    try:
        numbers = [float(number) for number in found[1].split(",")]
    except ValueError:
        numbers = []
    numbers = numbers * count if len(numbers) == 1 else numbers
    if len(numbers) != count or not all(0.0 < number < float("inf") for number in numbers):
        raise PriorError(
            f"priors[{THRESHOLD!r}]: Dirichlet takes one positive number, or {count}, one for each "
            f"category; it was {given!r}."
        )
    return numbers
