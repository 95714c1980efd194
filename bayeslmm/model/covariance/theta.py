"""The order in which lme4 lists the free entries of theta."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.model.covariance.block_covariance import covariance_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.formula.random_terms import RandomTerm
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
        later = sum(_n_sets(o, factors[k]) for o in terms[at + 1 :] if o.factor == term.factor)
        own = _n_sets(term, factors[k])
        count = own if term.correlated else max(len(left[k]) - later, own)
        order += [(k, columns) for columns in left[k][:count]]
        del left[k][:count]
    levels = [len(factors[k].levels) for k, _ in order]
    if any(after > before for before, after in pairwise(levels)):
        order = sorted(order, key=lambda item: len(factors[item[0]].levels))[::-1]
    return order


def _n_sets(term: RandomTerm, factor: GramFactor) -> int:
    """Return how many sets of columns a term has: one, or one for each arm."""
    return 1 if term.by is None or factor.arms is None else len(factor.arms.labels)
