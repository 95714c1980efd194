"""The order in which lme4 lists the free entries of theta."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.model.covariance.block_covariance import covariance_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.gram.blocks import GramFactor


def theta_order(formula: str, factors: Sequence[GramFactor]) -> list[tuple[int, tuple[int, ...]]]:
    """Return the sets of correlated columns, one random-effects term each, in lme4's order.

    Terms stand as in the formula unless one has more levels than the term before it; then they are
    sorted by increasing number of levels and reversed, which turns terms with equally many around
    (lme4 1.1-31, ``mkReTrms``: ``rev(order(nl))``).

    Parameters
    ----------
    formula : str
        The model.
    factors : sequence of GramFactor
        Its grouping factors, in the order in which the formula first names them.

    Returns
    -------
    list of (int, tuple of int)
        A factor's place, and the columns of the set.
    """
    places = {factor.name: k for k, factor in enumerate(factors)}
    left = [list(covariance_of(factor).independent) for factor in factors]
    terms = [term for term in parse_formula(formula).random if term.factor in places]
    order = []
    for at, term in enumerate(terms):
        k = places[term.factor]
        later = sum(other.factor == term.factor for other in terms[at + 1 :])
        count = 1 if term.correlated else max(len(left[k]) - later, 1)
        order += [(k, columns) for columns in left[k][:count]]
        del left[k][:count]
    levels = [len(factors[k].levels) for k, _ in order]
    if any(after > before for before, after in pairwise(levels)):
        order = sorted(order, key=lambda item: len(factors[item[0]].levels))[::-1]
    return order
