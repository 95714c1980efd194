"""The grouping factors of a table's rows, each with the columns of all its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.coding import TRAINING
from bayeslmm.design.factors.arms import UNTOLD, Arms, arms_of_levels
from bayeslmm.design.factors.columns import FactorColumns, part_columns
from bayeslmm.design.factors.structured_columns import structured_columns
from bayeslmm.design.grouping import GroupingFactor, match_levels, read_levels
from bayeslmm.design.rows import NO_LEVEL
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.relationships.known import map_of
from bayeslmm.tables.levels import level_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.coding import TableCoder
    from bayeslmm.design.factors.columns import NamedTerm
    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.relationships.known import Known

_NOTHING: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


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
    by_factor: dict[str, list[tuple[RandomTerm, TermSet]]] = {}
    for term, wanted in coder.terms.random:
        by_factor.setdefault(term.factor, []).append((term, wanted))
    _refuse_two_spellings(coder, [pairs[0][0] for pairs in by_factor.values()])
    return tuple(
        _factor(
            coder,
            pairs,
            None if known is None else known[name],
            relationships,
            (learnt[0].get(name), learnt[1].get(name)),
        )
        for name, pairs in by_factor.items()
    ) + tuple(smooth.factor() for smooth in coder.smooths())


def _factor(
    coder: TableCoder,
    pairs: Sequence[tuple[RandomTerm, TermSet]],
    known: Sequence[str] | None,
    relationships: Known,
    learnt: tuple[Sequence[BlockStructure] | None, Arms | None],
) -> GroupingFactor:
    first, (said, arms) = pairs[0][0], learnt
    _refuse_two_covariances(coder, [term for term, _ in pairs])
    index, levels = read_levels(first.variables, coder.rows.columns)
    n_known = len(levels)
    if known is not None:
        index, levels = match_levels(index, levels, known)
        n_known = len(known)
    by = next((term.by for term, _ in pairs if term.by is not None), None)
    codes, labels = (index, ()) if by is None else _arms_of_rows(coder, by, arms)
    matrices: list[NDArray[np.float64]] = []
    named: list[NamedTerm] = []
    for term, wanted in pairs:
        before = FactorColumns.of(named, labels)
        positions = None if said is None else said[len(before.blocks)].positions
        matrix, names, structure = structured_columns(coder, term, wanted, positions)
        _refuse_repeated(coder, term, names, before.bases)
        named.append((term, names, structure))
        _refuse_repeated(coder, term, FactorColumns.of(named[-1:], labels).terms, before.terms)
        matrices.append(matrix if term.by is None else part_columns(matrix, codes, len(labels)))
    found = FactorColumns.of(named, labels)
    told = None
    if by is not None:
        called, rows = (first.factor, by), (index, codes)
        earlier = () if arms is None else arms.levels
        of_levels = arms_of_levels(called, rows, levels.tolist(), labels, earlier)
        told = Arms(by, tuple(labels), found.arms, found.bases, of_levels)
    latent = None
    if first.cov is not None:
        latent = map_of(relationships[first.cov], levels[:n_known].tolist(), first.factor)
    return GroupingFactor(
        name=first.factor,
        variables=first.variables,
        levels=levels,
        n_known=n_known,
        index=index,
        columns=matrices[0] if len(matrices) == 1 else np.hstack(matrices),
        terms=found.terms,
        blocks=found.blocks,
        structures=found.structures,
        latent=latent,
        arms=told,
    )


def _refuse_two_covariances(coder: TableCoder, terms: Sequence[RandomTerm]) -> None:
    """Raise where terms of one factor have different covariances of its levels."""
    first = terms[0]
    for term in terms:
        if term.cov == first.cov:
            continue
        name = first.variables[0]
        raise FormulaError(
            f"{first.factor!r} stands twice, with different covariances of its levels, and "
            f"results would tell two effects by one name. Copy the column, as in table"
            f"['{name}_2'] = table['{name}'], and write one of the terms of the copy.",
            coder.terms.formula.text or str(term),
            term.span if coder.terms.formula.text else None,
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


def _refuse_repeated(
    coder: TableCoder, term: RandomTerm, names: Sequence[str], earlier: Sequence[str]
) -> None:
    repeated = [name for name in names if name in earlier]
    if repeated:
        hint = " Write 0 + in one of them." if repeated == ["Intercept"] else ""
        raise FormulaError(
            f"The random-effects column {repeated[0]!r} stands twice on {term.factor!r}: the two "
            f"variances cannot be told apart.{hint}",
            coder.terms.formula.text or str(term),
            term.span if coder.terms.formula.text else None,
        )


def _refuse_two_spellings(coder: TableCoder, terms: Sequence[RandomTerm]) -> None:
    seen: dict[frozenset[str], RandomTerm] = {}
    for term in terms:
        other = seen.setdefault(frozenset(term.variables), term)
        if other is not term:
            raise FormulaError(
                f"{other.factor!r} and {term.factor!r} are the same grouping factor: spell it one "
                "way.",
                coder.terms.formula.text or str(term),
                term.span if coder.terms.formula.text else None,
            )
