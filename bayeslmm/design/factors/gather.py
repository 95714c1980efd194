"""The grouping factors of a table's rows, each with the columns of all its terms."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.design.coding import TRAINING
from bayeslmm.design.factors.arms import UNTOLD, Arms, arms_of_levels
from bayeslmm.design.factors.columns import FactorColumns, part_columns
from bayeslmm.design.factors.memberships import read_members
from bayeslmm.design.factors.structured_columns import structured_columns
from bayeslmm.design.grouping import (
    GroupingFactor,
    match_levels,
    read_levels,
    refuse_repeated,
    refuse_two_covariances,
    refuse_two_spellings,
)
from bayeslmm.design.rows import NO_LEVEL
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.relationships.known import map_of, read_known, require_used
from bayeslmm.tables.levels import level_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.coding import TableCoder
    from bayeslmm.design.factors.columns import NamedTerm
    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.relationships.known import Known, KnownLike
    from bayeslmm.relationships.relationship import Relationship

type Told = tuple[str, Sequence[tuple[RandomTerm, TermSet]], str]
_NOTHING: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


def named_covariances(terms: ModelTerms, given: KnownLike | None) -> dict[str, Relationship]:
    """Return the covariances of levels that are given, which are just those that a formula names.

    Raises
    ------
    FormulaError
        If it names another one.
    ArgumentError
        If it does not name one that is given.
    """
    known, used = read_known(given), []
    for term, _ in terms.random:
        if term.cov is None:
            continue
        if term.cov not in known:
            there = f"known= has: {', '.join(known)}" if known else "there is no known="
            raise FormulaError(
                f"{term.factor!r} has the covariance {term.cov}, and {there}: give "
                f"known={{{term.cov!r}: ...}}, a covariance of its levels.",
                terms.formula.text or str(terms.formula),
                term.span if terms.formula.text else None,
            )
        used.append(term.cov)
    require_used(known, used)
    return known


def gather_factors(
    coder: TableCoder,
    known: Mapping[str, Sequence[str]] | None,
    relationships: Known,
    learnt: tuple[Mapping[str, Sequence[BlockStructure]], Mapping[str, Arms]] = _NOTHING,
) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors, each with the columns of all its terms.

    Parameters
    ----------
    coder : TableCoder
        The table.
    known : mapping of str to sequence of str, or None
        The levels of the training rows; None on the training rows themselves.
    relationships : mapping of str to Relationship
        The known covariances of levels, by the names that the formula has.
    learnt : tuple of mappings
        Of the training rows: what is said of each block of factors that have structures, and the
        arms of factors that have any.

    Returns
    -------
    tuple of GroupingFactor
        In the order in which the formula first names them; then the smooths.

    Raises
    ------
    FormulaError
        If two terms give one factor the same column.
    DataError
        If a column cannot be a grouping factor, or a level is in two arms.
    """
    told = (coder.terms.formula.text, str)
    found = _gather(coder, coder.terms.random, told, known, relationships, learnt=learnt)
    return found + tuple(smooth.factor() for smooth in coder.smooths())


def gather_parameter_factors(
    coder: TableCoder, said: Told, known: Mapping[str, Sequence[str]] | None
) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors of effects in a parameter, named by `names.in_parameter`.

    Parameters and errors are those of `gather_factors`, and `said` is the parameter, the terms in
    bars of its formula, and its text.
    """
    parameter, effects, text = said
    told = (text, partial(names.in_parameter, parameter))
    return _gather(coder, effects, told, known, {}, learnt=_NOTHING)


def _gather(
    coder: TableCoder,
    terms: Sequence[tuple[RandomTerm, TermSet]],
    told: tuple[str, Callable[[str], str]],
    known: Mapping[str, Sequence[str]] | None,
    relationships: Known,
    *,
    learnt: tuple[Mapping[str, Sequence[BlockStructure]], Mapping[str, Arms]],
) -> tuple[GroupingFactor, ...]:
    """Return the factors of some terms; `told` is their formula, and what names its factors."""
    text, name = told
    by_factor: dict[str, list[tuple[RandomTerm, TermSet]]] = {}
    for term, wanted in terms:
        by_factor.setdefault(term.factor, []).append((term, wanted))
    refuse_two_spellings(text, [pairs[0][0] for pairs in by_factor.values()])
    return tuple(
        _factor(
            coder,
            pairs,
            (text, name(factor)),
            None if known is None else known[name(factor)],
            relationships,
            learnt=(learnt[0].get(name(factor)), learnt[1].get(name(factor))),
        )
        for factor, pairs in by_factor.items()
    )


def _factor(
    coder: TableCoder,
    pairs: Sequence[tuple[RandomTerm, TermSet]],
    told: tuple[str, str],
    known: Sequence[str] | None,
    relationships: Known,
    *,
    learnt: tuple[Sequence[BlockStructure] | None, Arms | None],
) -> GroupingFactor:
    """Return one factor; `told` is the formula as it was written, and the factor's name."""
    (text, name), (said, arms), first = told, learnt, pairs[0][0]
    refuse_two_covariances(text, [term for term, _ in pairs])
    latent = None
    if first.several:
        index, levels, latent = read_members(coder.rows, text, [term for term, _ in pairs], known)
    else:
        index, levels = read_levels(first.variables, coder.rows.columns)
        if known is not None:
            index, levels = match_levels(index, levels, known)
    n_known = len(levels if known is None else known)
    by = next((term.by for term, _ in pairs if term.by is not None), None)
    codes, labels = (index, ()) if by is None else _arms_of_rows(coder, by, arms)
    matrices: list[NDArray[np.float64]] = []
    named: list[NamedTerm] = []
    for term, wanted in pairs:
        before = FactorColumns.of(named, labels)
        positions = None if said is None else said[len(before.blocks)].positions
        matrix, columns, structure = structured_columns(coder, term, wanted, positions)
        refuse_repeated(text, term, columns, before.bases)
        named.append((term, columns, structure))
        refuse_repeated(text, term, FactorColumns.of(named[-1:], labels).terms, before.terms)
        matrices.append(matrix if term.by is None else part_columns(matrix, codes, len(labels)))
    found = FactorColumns.of(named, labels)
    own_arms = None
    if by is not None:
        called, rows = (first.factor, by), (index, codes)
        earlier = () if arms is None else arms.levels
        of_levels = arms_of_levels(called, rows, levels.tolist(), labels, earlier)
        own_arms = Arms(by, tuple(labels), found.arms, found.bases, of_levels)
    if first.cov is not None:
        latent = map_of(relationships[first.cov], levels[:n_known].tolist(), first.factor)
    return GroupingFactor(
        name=name,
        variables=first.variables,
        levels=levels,
        n_known=n_known,
        index=index,
        columns=matrices[0] if len(matrices) == 1 else np.hstack(matrices),
        terms=found.terms,
        blocks=found.blocks,
        structures=found.structures,
        latent=latent,
        arms=own_arms,
        labels=found.labels,
    )


def _arms_of_rows(
    coder: TableCoder, by: str, arms: Arms | None
) -> tuple[NDArray[np.int64], Sequence[str]]:
    """Return each row's arm, and the labels of the training rows' arms."""
    codes, labels = level_codes(coder.rows.columns[by])
    if arms is None:
        return codes, labels.tolist()
    place = {label: arm for arm, label in enumerate(arms.labels)} | {NO_LEVEL: UNTOLD}
    new = [label for label in labels.tolist() if label not in place]
    if new:
        raise DataError(
            f"The column {by!r} has the value {new[0]!r}, which {TRAINING} did not have, and "
            f"gr(..., by={by}) has no G for it. There are {', '.join(arms.labels)}."
        )
    return np.array([place[label] for label in labels.tolist()], dtype=np.int64)[codes], arms.labels
