"""Terms that share correlations: ``(1 |p| g) + (0 + x |p| g)`` is ``(1 + x | g)``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.expand import TermSet
from bayeslmm.formula.random_terms import random_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.formula.nodes import Bars


@dataclass(frozen=True, slots=True)
class Barred:
    """One pair of parentheses with bars, and the columns left of them.

    Attributes
    ----------
    bars : Bars
        As it stands in the formula.
    columns : TermSet
        What varies.
    """

    bars: Bars
    columns: TermSet


def merge_labelled(found: Sequence[Barred], text: str) -> list[Barred]:
    """Return terms with those of one label made one, where the first of them stands.

    A label says that columns are correlated with those of the other terms of that label, as in
    brms; so it is a spelling of the term that has all of these columns.

    Parameters
    ----------
    found : sequence of Barred
        The terms of a formula in its order.
    text : str
        The whole formula, for messages.

    Returns
    -------
    list of Barred

    Raises
    ------
    FormulaError
        If terms of one label are of different grouping factors or structures, or share a column.

    References
    ----------
    Buerkner, P.-C. (2018). Advanced Bayesian multilevel modeling with the R package brms. The R
    Journal 10, 395-411. https://doi.org/10.32614/RJ-2018-017
    """
    merged: list[Barred] = []
    places: dict[str, int] = {}
    for term in found:
        label = term.bars.label
        if not label or label not in places:
            places |= {label: len(merged)} if label else {}
            merged.append(term)
            continue
        first = merged[places[label]]
        _require_same_group(first, term, text)
        merged[places[label]] = replace(first, columns=_together(first, term, text))
    return merged


def _require_same_group(first: Barred, other: Barred, text: str) -> None:
    label = other.bars.label
    if first.bars.structure is not None or other.bars.structure is not None:
        raise FormulaError(
            f"The label {label!r} joins terms into one unstructured G: write the columns of a "
            "structure in one term, without a label.",
            text,
            other.bars.span,
        )
    # Compared as what is read, in which blanks and parentheses do not count.
    if random_terms(first.bars, "1", text) != random_terms(other.bars, "1", text):
        one, two = (text[slice(*term.bars.group.span)] for term in (first, other))
        raise FormulaError(
            f"The label {label!r} stands on {one} and on {two}: terms that share correlations "
            "have one grouping factor. Give each factor a label of its own, or none.",
            text,
            other.bars.span,
        )


def _together(first: Barred, other: Barred, text: str) -> TermSet:
    """Return the columns of two terms as those of one, ordered as `expand` orders them."""
    here, there = first.columns, other.columns
    products = {frozenset(atom.text for atom in term) for term in here.terms}
    twice = [t for t in there.terms if frozenset(atom.text for atom in t) in products]
    if twice or (here.intercept and there.intercept):
        shown = ":".join(atom.text for atom in twice[0]) if twice else "the intercept"
        way = "leave it out of one." if twice else "write 0 + in one of them."
        raise FormulaError(
            f"Two terms of the label {other.bars.label!r} have {shown}: {way}",
            text,
            other.bars.span,
        )
    terms = tuple(sorted((*here.terms, *there.terms), key=len))
    return TermSet(here.intercept or there.intercept, terms)
