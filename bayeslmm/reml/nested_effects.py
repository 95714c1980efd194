"""Which covariance of random effects is a special case of which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.names import matching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.design.model_data import FactorData

# A column's indicator of a category, which for a series of positions goes without the ``C``.
_CODED = re.compile(r"\bC\(([^()]*)\)(?=\[)")
_INTERCEPT = "Intercept"
# An indicator of a category where all have one, and not a contrast with another.
_CATEGORY = re.compile(r"([^\[\]:]+)\[(?![TSH]\.)[^\[\]]*\]")
# Correlations that each kind of correlations has for a special case; none at all lie in every kind.
# Columns are the same, and so are their distances, which are equal for "toep".
_CONTAINS: Mapping[str, frozenset[str]] = {
    "cs": frozenset({"cs"}),
    "ar1": frozenset({"ar1", "ou"}),
    "ou": frozenset({"ou"}),
    "toep": frozenset({"toep", "cs", "ar1", "ou"}),
    "diag": frozenset(),
}
# The correlations of each structure, and whether its columns have standard deviations of their own.
_KINDS: Mapping[str, tuple[str, bool]] = {
    "cs": ("cs", True),
    "homcs": ("cs", False),
    "ar1": ("ar1", False),
    "hetar1": ("ar1", True),
    "ou": ("ou", False),
    "toep": ("toep", True),
    "homtoep": ("toep", False),
    "homdiag": ("diag", False),
}


def same_column(name: str, others: Sequence[str]) -> str | None:
    """Return which of some columns is the same; a visit is, as a category or as a position.

    Examples
    --------
    >>> same_column("week[2]", ["C(week)[1]", "C(week)[2]"])
    'C(week)[2]'
    """
    found = matching(name, others)
    if found is not None:
        return found
    bare = [_CODED.sub(r"\1", other) for other in others]
    found = matching(_CODED.sub(r"\1", name), bare)
    return None if found is None else others[bare.index(found)]


def lacking_structures(small: FactorData, large: FactorData) -> list[str]:
    """Describe covariances of one factor's effects that are no special case of the larger model's.

    Parameters
    ----------
    small, large : FactorData
        The same factor in two models; columns that only the smaller one has are told elsewhere.

    Returns
    -------
    list of str
    """
    found = []
    terms = small.terms
    for theirs, columns in covariance_of(large).said:
        there = {same_column(large.terms[j], terms) for j in columns}
        if there == {None}:
            continue
        what = f"{theirs.kind}(... | {large.name})"
        if None in there:
            found.append(f"room within {what} for effects of some of its columns alone")
            continue
        own = {terms.index(str(name)) for name in there}
        if not _is_special(small, own, theirs):
            found.append(f"a covariance that {what} contains")
    return found


def is_whole_of(small: FactorData, large: FactorData) -> int:
    """Return of how many categories' effects an intercept is the bound, perfect correlation.

    Effects of all categories, or positions, that have one standard deviation and correlations of
    one are the same effect: ``(1 | g)`` lies in ``homcs(0 + f | g)``. Zero where it is of none.
    """
    if _INTERCEPT not in small.terms or _INTERCEPT in large.terms:
        return 0
    if small.terms.index(_INTERCEPT) not in covariance_of(small).uncorrelated:
        return 0
    found = (
        len(columns)
        for said, columns in covariance_of(large).said
        if said.kind != "homdiag" and _are_all_categories([large.terms[j] for j in columns])
    )
    return next(found, 0)


def _are_all_categories(terms: Sequence[str]) -> bool:
    found = [_CATEGORY.fullmatch(term) for term in terms]
    stems = {match[1] for match in found if match}
    return all(found) and len(stems) == 1


def is_on_bound_of_ou(small: FactorData, large: FactorData) -> bool:
    """Return whether independent effects are the bound, no correlation, of an ``ou()``."""
    few = covariance_of(small).n_partials < covariance_of(large).n_partials
    return few and any(said.kind == "ou" for said, _ in covariance_of(large).said)


def _is_special(small: FactorData, columns: set[int], theirs: BlockStructure) -> bool:
    correlations, own_sds = _KINDS[theirs.kind]
    covariance = covariance_of(small)
    said = next((said for said, at in covariance.said if set(at) == columns), None)
    if said is None:
        # Independent columns, each with its own standard deviation; or free correlations.
        return own_sds and columns <= set(covariance.uncorrelated)
    kind, sds = _KINDS[said.kind]
    return (own_sds or not sds) and kind in ("diag", *_CONTAINS[correlations])
