"""Grouping factors of single responses put together: effects of one label are correlated."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.grouping import BlockStructure, GroupingFactor, match_levels
from bayeslmm.errors import FormulaError
from bayeslmm.relationships.known import map_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.layout import Layout, PartBlocks
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.design.state import DesignState
    from bayeslmm.formula.mixed_formula import StackedFormula
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.relationships.known import Known


def part_blocks(parts: Sequence[Design]) -> dict[str, PartBlocks]:
    """Return the blocks of each grouping factor of any response, those of one label together."""
    found: dict[str, list[list[tuple[int, int]]]] = {}
    labels: dict[str, list[str]] = {}
    for k, part in enumerate(parts):
        for factor in part.factors:
            blocks, known = found.setdefault(factor.name, []), labels.setdefault(factor.name, [])
            own = factor.labels or ("",) * len(factor.blocks)
            for block, label in zip(factor.blocks, own, strict=True):
                columns = [(k, column) for column in block]
                if label and label in known:
                    blocks[known.index(label)] += columns
                else:
                    blocks.append(columns)
                    known.append(label)
    return {name: tuple(map(tuple, blocks)) for name, blocks in found.items()}


def check_terms(formula: StackedFormula) -> None:
    """Raise unless terms in bars of several responses can be put together.

    Parameters
    ----------
    formula : StackedFormula
        Of all responses.

    Raises
    ------
    FormulaError
        With the caret under the term that cannot.
    """
    factors: dict[str, str] = {}
    known: dict[str, str | None] = {}
    for part in formula.parts:
        for term in part.random:
            wrong = _of_one_response(term)
            other = factors.setdefault(term.label, term.factor) if term.label else term.factor
            if other != term.factor:
                wrong = (
                    f"The label {term.label!r} stands on {other} and on {term.factor}: effects "
                    "that are correlated have one grouping factor. Give each a label of its own."
                )
            elif known.setdefault(term.factor, term.cov) != term.cov:
                wrong = (
                    f"{term.factor!r} has different covariances of its levels in two responses: "
                    "give one, or copy the column under another name."
                )
            if wrong:
                span = term.span if part.text else None
                raise FormulaError(wrong, part.text or str(part), span)


def _of_one_response(term: RandomTerm) -> str:
    """Say what of a term is of one response only; nothing of a plain one."""
    if term.several:
        what = "mm() gives a row several levels"
    elif term.by is not None:
        what = "gr(by=) gives each arm a G of its own"
    elif term.label and term.structure != "us":
        what = f"The label {term.label!r} correlates effects of responses, as no structure does"
    else:
        return ""
    return (
        f"{what}, and this stands beside several responses or categories: write plain terms "
        "there, (x | g) or (x |p| g)."
    )


def stacked_factors(
    stack: Stack[Design],
    layout: Layout[DesignState],
    known: Mapping[str, Sequence[str]],
    relationships: Known,
) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors of stacked rows.

    Parameters
    ----------
    stack : Stack
        The rows.
    layout : Layout
        Where each response's columns stand.
    known : mapping of str to sequence of str
        The levels that training rows had; others follow them. Empty of training rows themselves.
    relationships : mapping of str to Relationship
        Known covariances of levels, by the names that the formulas have.
    """
    return tuple(
        _factor(name, stack, layout, known.get(name), relationships)
        for name in layout.blocks
        if any(factor.name == name for part in stack.parts for factor in part.factors)
    )


def _factor(
    name: str,
    stack: Stack[Design],
    layout: Layout[DesignState],
    known: Sequence[str] | None,
    relationships: Known,
) -> GroupingFactor:
    own = {
        k: factor
        for k, part in enumerate(stack.parts)
        for factor in part.factors
        if factor.name == name
    }
    first = next(iter(own.values()))
    levels = np.array(list(known or ()), dtype=str)
    index = np.full(len(stack.part), -1)
    columns = np.zeros((len(stack.part), len(layout.terms(name))))
    for k, factor in own.items():
        rows = stack.rows_of(k)
        index[rows], levels = match_levels(factor.index, factor.levels, levels.tolist())
        columns[np.ix_(rows, layout.places(name, k))] = factor.columns
    n_known = len(levels) if known is None else len(known)
    ends = np.cumsum([0, *(len(block) for block in layout.blocks[name])])
    cov = next(t.cov for part in stack.parts for t in part.formula.random if t.factor == name)
    latent = None if cov is None else map_of(relationships[cov], levels[:n_known].tolist(), name)
    return GroupingFactor(
        name=name,
        variables=first.variables,
        levels=levels,
        n_known=n_known,
        index=_of_observations(index, stack.observation),
        columns=columns,
        terms=layout.terms(name),
        blocks=tuple(tuple(range(a, b)) for a, b in pairwise(ends)),
        structures=_structures(own, layout.blocks[name]),
        latent=latent,
    )


def _of_observations(index: Ints, observation: Ints) -> NDArray[np.int64]:
    """Give rows of responses without the factor the level of their observation, else the first.

    Their columns are zero: the level is theirs in name, and keeps nested factors nested.
    """
    of_observation = np.full(int(observation.max(initial=-1)) + 1, -1)
    known = index >= 0
    of_observation[observation[known]] = index[known]
    return np.asarray(np.maximum(of_observation[observation], 0), dtype=np.int64)


def _structures(
    own: Mapping[int, GroupingFactor], blocks: PartBlocks
) -> tuple[BlockStructure, ...]:
    if not any(factor.structures for factor in own.values()):
        return ()
    found = []
    for block in blocks:
        part, column = block[0]
        factor = own[part]
        at = next(k for k, columns in enumerate(factor.blocks) if column in columns)
        found.append(factor.structures[at] if factor.structures else BlockStructure())
    return tuple(found)
