"""Effects that predictors share: ``(1 |p| g)`` in the mean and in ``zi="~ (1 |p| g)"``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError

if TYPE_CHECKING:
    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.predictor import PredictorTerms
    from bayeslmm.formula.random_terms import RandomTerm


def share(terms: ModelTerms) -> ModelTerms:
    """Return terms of which those of one label are effects of one factor, in several predictors.

    A label says that columns are correlated with those of the other terms of that label, as in
    brms: of one G, in which a term of the mean's formula has its place.

    Parameters
    ----------
    terms : ModelTerms
        Of all formulas.

    Raises
    ------
    FormulaError
        If terms of one label are of different grouping factors, or of a structured G, or the mean
        has no term of a label that two parameters have.

    References
    ----------
    Buerkner, P.-C. (2018). Advanced Bayesian multilevel modeling with the R package brms. The R
    Journal 10, 395-411. https://doi.org/10.32614/RJ-2018-017
    """
    of_mean = {(term.label, term.factor): term for term, _ in terms.random if term.label}
    labels = {label for label, _ in of_mean}
    seen: dict[str, PredictorTerms] = {}
    used: set[tuple[str, str]] = set()
    found = []
    for one in terms.parameters:
        effects: list[tuple[RandomTerm, TermSet]] = []
        for term, columns in one.effects:
            place = (term.label, term.factor)
            if place in of_mean:
                _require_plain(of_mean[place], terms)
                used.add(place)
                effects.append((replace(term, shared=term.label), columns))
                continue
            if term.label in labels:
                message = (
                    f"The label {term.label!r} stands on another grouping factor in the formula: "
                    "terms that share correlations have one. Give each factor a label of its own, "
                    "or none."
                )
                raise FormulaError(message, one.text, term.span)
            if term.label and seen.setdefault(term.label, one) is not one:
                other = seen[term.label].parameter
                message = (
                    f"The label {term.label!r} stands in {other}= and {one.parameter}=, and not in "
                    f"the formula: give the mean a term of that label, too, as in "
                    f"(1 |{term.label}| {term.factor}), or leave the label out."
                )
                raise FormulaError(message, one.text, term.span)
            effects.append((term, columns))
        found.append(replace(one, effects=tuple(effects)))
    random = tuple(
        (replace(term, shared=term.label) if (term.label, term.factor) in used else term, columns)
        for term, columns in terms.random
    )
    formula = replace(terms.formula, random=tuple(term for term, _ in random))
    return replace(terms, formula=formula, random=random, parameters=tuple(found))


def _require_plain(term: RandomTerm, terms: ModelTerms) -> None:
    plain = replace(term, structure="us", by=None, cov=None, several=False, weights=())
    if plain != term or not term.correlated:
        raise FormulaError(
            f"Effects that share the label {term.label!r} with those in a parameter have a G that "
            f"is unstructured: write (... |{term.label}| {':'.join(term.variables)}).",
            terms.formula.text or str(terms.formula),
            term.span if terms.formula.text else None,
        )
