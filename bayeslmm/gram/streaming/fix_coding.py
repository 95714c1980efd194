"""Between the two passes over batches: the coding of rows from what the first one collected."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayeslmm.arguments import label
from bayeslmm.design.columns.memory import restore, store
from bayeslmm.design.factors.arms import UNTOLD, Arms
from bayeslmm.design.factors.structured_columns import ON_AN_AXIS
from bayeslmm.design.state import ColumnState, DesignState
from bayeslmm.errors import DataError, DataWarning, FormulaError, nearest, warn
from bayeslmm.formula.tokens import quote
from bayeslmm.gram.streaming.second_pass import BatchCoding, columns_by_factor, one_row
from bayeslmm.gram.streaming.stateful_calls import stateful_calls, stateless_calls
from bayeslmm.names import check_coefficients
from bayeslmm.tables.levels import LevelSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.design.factors.columns import FactorColumns
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.gram.streaming.stateful_calls import StatefulCall
    from bayeslmm.tables.levels import Combinations

    Labels = NDArray[np.str_]


class FirstPass(Protocol):
    """What the first pass over all batches has collected; the fields are those of `Reading`."""

    @property
    def formula(self) -> MixedFormula:
        """The model."""
        ...

    @property
    def terms(self) -> ModelTerms:
        """The formula's terms, and those of sigma's."""
        ...

    @property
    def weights(self) -> str | None:
        """The column of weights."""
        ...

    @property
    def sigma(self) -> str | None:
        """Formula of log(sigma)."""
        ...

    @property
    def se(self) -> str | None:
        """The column of known standard errors."""
        ...

    @property
    def missing(self) -> str:
        """What becomes of rows that lack a value."""
        ...

    @property
    def n_rows(self) -> int:
        """Rows read."""
        ...

    @property
    def n(self) -> int:
        """Rows that lack nothing."""
        ...

    @property
    def lacking(self) -> Mapping[str, int]:
        """Rows that lack a value, by column."""
        ...

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each column."""
        ...

    @property
    def levels(self) -> Mapping[str, LevelSet]:
        """Values of the columns that serve as labels."""
        ...

    @property
    def combinations(self) -> Mapping[str, Combinations]:
        """Combinations of levels, by grouping factor."""
        ...

    @property
    def statistics(self) -> Mapping[str, ColumnScale | LevelSet]:
        """What stateful calls estimate their parameters from, by their text."""
        ...


def order_levels(
    terms: ModelTerms, reading: FirstPass, given: Mapping[str, Any] | None
) -> dict[str, Labels]:
    """Return the ordered levels of every factor and of every column that holds labels.

    Parameters
    ----------
    terms : ModelTerms
        The formula.
    reading : Reading
        Of all batches, or of one where levels are given.
    given : mapping of str to sequence of str, or None
        Levels by factor and column.

    Returns
    -------
    dict of str to ndarray of str

    Raises
    ------
    DataError
        If a column has one level only, or levels that are needed are not given.
    """
    factors = {term.factor: term.variables for term, _ in terms.random}
    predictors = [name for name in terms.predictors if reading.kinds[name] != "number"]
    if given is not None:
        arms = [term.by for term, _ in terms.random if term.by is not None]
        found = _given_levels(given, [*factors, *predictors, *arms])
    else:
        found = {name: levels.labels() for name, levels in reading.levels.items()}
        for factor, variables in factors.items():
            if len(variables) > 1:
                ordered = [reading.levels[name].labels() for name in variables]
                found[factor] = reading.combinations[factor].ordered(ordered, factor)
    bare = {atom.text for atom in terms.fixed.atoms}
    bare |= {atom.text for _, columns in terms.random for atom in columns.atoms}
    of_sigma = None if terms.residual is None else terms.residual.sigma
    bare |= {atom.text for atom in (() if of_sigma is None else of_sigma.atoms)}
    for name in predictors:
        if len(found[name]) < 2 and quote(name) in bare:
            raise DataError(
                f"Column {name!r} has one level only, {str(found[name][0])!r}: there is nothing "
                "to compare it with."
            )
    return found


def transform_parameters(
    terms: ModelTerms, reading: FirstPass, given: Mapping[str, Any] | None
) -> dict[str, dict[Any, Any]]:
    """Return the parameters of stateful calls from all batches, as `evaluate` keeps them.

    Raises
    ------
    DataError
        If levels are given, and a call has other parameters to be estimated from the rows.
    """
    memory: dict[str, dict[Any, Any]] = {call: {"learnt": True} for call in stateless_calls(terms)}
    for call in stateful_calls(terms):
        column = _bare_column(call, reading)
        if given is not None and call.needs_rows:
            if column not in given:
                raise DataError(
                    f"{call.text} learns from all rows, and levels= asks for one pass over them. "
                    "Give batches that can be read twice (a path, a list, or a function that "
                    "returns them anew) and leave levels= out, or compute the column beforehand."
                )
            labels = np.array([label(value) for value in given[str(column)]], dtype=str)
            memory[call.text] = call.memory(LevelSet("text", labels))
        elif column is not None and reading.kinds[column] != "number":
            memory[call.text] = call.memory(reading.levels[column])
        else:
            memory[call.text] = call.memory(reading.statistics[call.text])
    return memory


def _bare_column(call: StatefulCall, reading: FirstPass) -> str | None:
    """Return the column of ``C(column)``; None for other calls."""
    inside = call.node.args[0]
    if call.function != "C" or not isinstance(inside, ast.Name):
        return None
    return next(name for name in reading.kinds if quote(name) == inside.id)


def _given_levels(given: Mapping[str, Any], needed: list[str]) -> dict[str, Labels]:
    found = {}
    for name in dict.fromkeys(needed):
        if name not in given:
            hint = nearest(name, [str(key) for key in given])
            raise DataError(
                f"levels= leaves out {name!r}, whose levels are needed before rows are read "
                f"once.{hint} Name them too, or leave levels= out to have them read from the rows."
            )
        labels = np.array([label(value) for value in given[name]], dtype=str)
        if len(labels) == 0:
            raise DataError(f"levels= gives no level of {name!r}.")
        if len(np.unique(labels)) < len(labels):
            raise DataError(f"levels= gives some level of {name!r} twice.")
        found[name] = labels
    return found


def fix_coding(reading: FirstPass, levels: Mapping[str, Any] | None = None) -> BatchCoding:
    """Return the coding of all batches from what the first pass collected.

    Parameters
    ----------
    reading : Reading
        Of all batches; with `levels`, of any batch that has complete rows.
    levels : mapping of str to sequence of str, optional
        Levels of every grouping factor, and of every other column that holds labels, where no
        first pass over all rows is made.

    Returns
    -------
    BatchCoding

    Raises
    ------
    DataError
        If no row is complete, a column has only missing values or one level only, or `levels`
        leave something to be estimated from the rows.
    """
    for name, count in reading.lacking.items():
        if reading.n_rows and count == reading.n_rows:
            raise DataError(f"Column {name!r} has only missing values.")
    if reading.n == 0:
        raise DataError(
            "There are no complete rows in any batch."
            if reading.n_rows
            else "There are no rows in any batch."
        )
    terms = reading.terms
    found = order_levels(terms, reading, levels)
    memory = transform_parameters(terms, reading, levels)
    columns = {}
    for name in terms.predictors:
        kind = reading.kinds[name]
        if kind == "number":
            columns[name] = ColumnState("number")
        else:
            label = "boolean" if kind == "boolean" else "label"
            columns[name] = ColumnState(label, tuple(found[name].tolist()))
    if levels is None:
        for name, level_set in reading.levels.items():
            if level_set.unused and name in (*terms.predictors, *terms.grouping):
                total = len(level_set.members)
                warn(
                    f"Dropped {level_set.unused} of {total} categories of {name!r} that no row "
                    "has.",
                    DataWarning,
                )
    _refuse_positions(terms, columns)
    has_sigma = terms.residual is not None and terms.residual.sigma is not None
    coder = one_row(terms, columns, restore(store(memory)))
    coef = coder.column_names(terms.fixed)
    labels = {name: labels.tolist() for name, labels in found.items()}
    varying = columns_by_factor(terms, coder, labels)
    check_coefficients(coef, list(varying))
    state = DesignState(
        formula=str(reading.formula),
        columns=columns,
        transforms=store(memory),
        coef=coef,
        dropped=(),
        terms={name: columns.terms for name, columns in varying.items()},
        levels={term.factor: tuple(found[term.factor].tolist()) for term, _ in terms.random},
        weights=reading.weights,
        sigma=reading.sigma if has_sigma else None,
        se=reading.se,
        arms=_arms(terms, varying, found),
    )
    once = levels is not None
    return BatchCoding(
        state=state,
        kinds=dict(reading.kinds),
        weights=reading.weights,
        missing=reading.missing,
        n_rows=-1 if once else reading.n_rows,
        n=-1 if once else reading.n,
        lacking={} if once else dict(reading.lacking),
    )


def _arms(
    terms: ModelTerms, varying: Mapping[str, FactorColumns], found: Mapping[str, Labels]
) -> dict[str, Arms]:
    """Return the arms of factors that have any; which arm a level is in, its rows will tell."""
    arms = {}
    for term, _ in terms.random:
        if term.by is not None:
            columns, labels = varying[term.factor], tuple(found[term.by].tolist())
            nowhere = (UNTOLD,) * len(found[term.factor])
            arms[term.factor] = Arms(term.by, labels, columns.arms, columns.bases, nowhere)
    return arms


def _refuse_positions(terms: ModelTerms, columns: Mapping[str, ColumnState]) -> None:
    """Raise where a structure of G takes numbers as positions, which all rows together tell."""
    for term, wanted in terms.random:
        if term.structure not in ON_AN_AXIS:
            continue
        read = [name for atom in wanted.atoms for name in atom.variables]
        if any(columns[name].kind == "number" for name in read):
            raise FormulaError(
                f"{term.structure}() takes its positions from the values of {read[0]!r} in all "
                "rows at once, which batches and engines do not have: read the rows into a table.",
                terms.formula.text or str(terms.formula),
                term.span if terms.formula.text else None,
            )
