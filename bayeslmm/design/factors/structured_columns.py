"""Columns of random-effects terms whose covariance has a structure, and what it reads of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayeslmm.design.factors.visit_order import require_order, warn_of_gaps
from bayeslmm.design.grouping import BlockStructure
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.nodes import Variable
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.rows import Rows
    from bayeslmm.design.state import DesignState
    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.tables.column import Column

    type Coded = tuple[NDArray[np.float64], tuple[str, ...], BlockStructure]

# Structures that read a number as positions on an axis; of these, those that count whole steps.
ON_AN_AXIS = frozenset({"ar1", "hetar1", "ou", "toep", "homtoep"})
_IN_STEPS = frozenset({"ar1", "hetar1"})
# Whose effects at further positions follow from those that there are.
_FORETOLD = frozenset({"ar1", "ou"})
_BY_LAG = frozenset({"toep", "homtoep"})
# Each level's columns are factored as a dense matrix.
_MOST_POSITIONS = 150


class Coder(Protocol):
    """What codes a table's columns, as `TableCoder` does."""

    rows: Rows
    terms: ModelTerms

    def random(self, wanted: TermSet) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return the columns of a random-effects term and their names."""


def structured_columns(
    coder: Coder, term: RandomTerm, wanted: TermSet, known: Sequence[float] | None
) -> Coded:
    """Return a term's columns, their names, and its structure with the columns' positions.

    Parameters
    ----------
    coder : Coder
        Of the table.
    term : RandomTerm
        With its structure.
    wanted : TermSet
        Its columns.
    known : sequence of float, optional
        Positions in the training rows; None on these themselves.

    Returns
    -------
    columns : ndarray, shape (n, q)
    names : tuple of str, length q
    structure : BlockStructure

    Raises
    ------
    FormulaError
        If a structure that goes by position has not one column.
    DataError
        If the column has no positions, or new rows have others.
    """
    kind = term.structure
    if kind not in ON_AN_AXIS:
        matrix, names = coder.random(wanted)
        return matrix, names, BlockStructure(kind)
    variable = _one_variable(coder, term, wanted)
    column = coder.rows.columns[variable.name]
    training = known is None
    if column.kind == "number":
        values = coder.random(wanted)[0][:, 0]
        if training:
            known = _positions(values, column, term)
        return _indicators(values, known or (), variable, kind)
    if kind == "ou":
        raise DataError(
            f"ou() reads times as numbers, and column {column.name!r} holds {column.kind}: give "
            "the time of each row, or take ar1()."
        )
    if training:
        require_order(column, kind)
        warn_of_gaps(column, kind)
    matrix, names = coder.random(wanted)
    positions = tuple(map(float, range(len(names)))) if known is None else tuple(known)
    return matrix, names, BlockStructure(kind, positions)


def _one_variable(coder: Coder, term: RandomTerm, wanted: TermSet) -> Variable:
    atoms = list(wanted.atoms)
    if len(wanted.terms) != 1 or len(atoms) != 1 or not isinstance(atoms[0], Variable):
        read = [name for atom in atoms for name in atom.variables]
        raise FormulaError(
            f"{term.structure}() goes by the values of one column, without a call around it: "
            f"{term.structure}(0 + {read[0]} | {term.factor}).",
            coder.terms.formula.text or str(term),
            term.span if coder.terms.formula.text else None,
        )
    return atoms[0]


def _positions(values: Floats, column: Column, term: RandomTerm) -> tuple[float, ...]:
    """Return the distinct values of a column of numbers, ascending."""
    kind, name = term.structure, column.name
    found = np.unique(values)
    if kind in _IN_STEPS and (found != np.rint(found)).any():
        strange = float(found[found != np.rint(found)][0])
        raise DataError(
            f"{kind}() counts steps in whole numbers, and column {name!r} holds {strange:g}: "
            f"ou(0 + {name} | {term.factor}) takes any times."
        )
    steps = np.diff(found)
    if kind in _BY_LAG and len(steps) and not np.allclose(steps, steps[0], rtol=1e-9, atol=0.0):
        raise DataError(
            f"{kind}() has a correlation for each number of steps, and the values of {name!r} are "
            f"not equally far apart ({found[0]:g}, {found[1]:g}, ..., {found[-1]:g}): "
            f"ou(0 + {name} | {term.factor}) takes any times."
        )
    if len(found) > _MOST_POSITIONS:
        raise DataError(
            f"{kind}() has an effect for each of {len(found)} values of {name!r}, more than "
            f"{_MOST_POSITIONS}. Round them to fewer, or model residuals in their place: "
            f"residual='{kind.removeprefix('het')}({name} | {term.factor})'."
        )
    return tuple(found.tolist())


def _indicators(values: Floats, known: Sequence[float], variable: Variable, kind: str) -> Coded:
    """Return a column of zeros and ones for each position."""
    place = np.searchsorted(known, values)
    at = np.minimum(place, len(known) - 1)
    strange = np.flatnonzero(np.asarray(known)[at] != values)
    if strange.size:
        raise DataError(
            f"{kind}() has no effect at {variable.name} {values[strange[0]]:g}: no training row "
            f"was there (they were at {', '.join(f'{v:g}' for v in known)}). `predict` and "
            "`predict_table` foretell effects of ar1() and ou() in between and beyond."
            if kind in _FORETOLD
            else f"{kind}() has no effect at {variable.name} {values[strange[0]]:g}: no training "
            f"row was there (they were at {', '.join(f'{v:g}' for v in known)})."
        )
    matrix = np.zeros((len(values), len(known)))
    matrix[np.arange(len(values)), at] = 1.0
    return matrix, column_names(variable.text, known), BlockStructure(kind, tuple(known))


def column_names(text: str, positions: Sequence[float]) -> tuple[str, ...]:
    """Return names of the columns at positions of a variable."""
    short = [f"{value:g}" for value in positions]
    labels = short if len(set(short)) == len(short) else list(map(repr, positions))
    return tuple(f"{text}[{label}]" for label in labels)


def with_positions(state: DesignState, data: Any, factors: Sequence[str]) -> DesignState:
    """Return a state whose ar1() and ou() have columns for the positions of new rows, too.

    Parameters
    ----------
    state : DesignState
        Of a fit.
    data : table
        The new rows.
    factors : sequence of str
        The grouping factors that count.

    Raises
    ------
    DataError
        If ar1() is asked for a position between whole steps.
    """
    structures, terms = dict(state.structures or {}), dict(state.terms)
    table = read_table(data)
    for term, wanted in model_terms(parse_formula(state.formula)).random:
        said = structures.get(term.factor, ())
        atoms = [atom for atom in wanted.atoms if isinstance(atom, Variable)]
        if term.structure not in _FORETOLD or term.factor not in factors or not atoms:
            continue
        name, text = atoms[0].name, atoms[0].text
        if state.columns[name].kind != "number" or name not in table.names:
            continue
        for k, block in enumerate(said):
            own = column_names(text, block.positions)
            if block.kind != term.structure or own[0] not in terms[term.factor]:
                continue
            every = _further(block, np.unique(np.asarray(table.values(name), float)), name)
            at = terms[term.factor].index(own[0])
            listed = terms[term.factor]
            terms[term.factor] = (
                *listed[:at], *column_names(text, every), *listed[at + len(own) :]
            )  # fmt: skip
            said = (*said[:k], BlockStructure(block.kind, every), *said[k + 1 :])
        structures[term.factor] = said
    return replace(state, structures=structures or None, terms=terms)


def _further(block: BlockStructure, values: Floats, name: str) -> tuple[float, ...]:
    values = values[np.isfinite(values)]
    if block.kind in _IN_STEPS and (values != np.rint(values)).any():
        strange = float(values[values != np.rint(values)][0])
        raise DataError(
            f"{block.kind}() counts steps in whole numbers, and new rows have {name} {strange:g}: "
            "an effect between two steps is told by ou() alone."
        )
    return tuple(np.union1d(block.positions, values).tolist())
