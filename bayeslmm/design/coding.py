"""The parts of a design computed from its rows: response, offset, columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.design.beside.censoring import ends_of
from bayeslmm.design.columns.evaluate import boolean_categorical, evaluate, recode
from bayeslmm.design.columns.model_matrix import check_finite, model_matrix, vector
from bayeslmm.design.response import (
    categories_of_numbers,
    ordered_levels,
    require_same_kind,
    require_trials,
    two_levels,
)
from bayeslmm.design.smooths.columns import code_smooth
from bayeslmm.design.state import ColumnState
from bayeslmm.errors import DataError
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.discrimination import DISC
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.registry import bound_family
from bayeslmm.formula.nodes import Variable
from bayeslmm.formula.tokens import quote
from bayeslmm.names import INTERCEPT
from bayeslmm.tables.column import categorical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.rows import Rows
    from bayeslmm.design.smooths.columns import SmoothColumns
    from bayeslmm.families.family import Family
    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.nodes import Atom
    from bayeslmm.tables.column import Column

TRAINING = "the training rows"
_NO_NUMBERS = {
    False: (
        "Convert it to numbers in the table, or choose another response; of two categories, "
        "family='bernoulli' models the probability of the second, of more family='categorical' "
        "that of each, and 'cumulative' of those with an order."
    ),
    True: (
        "family='bernoulli' models the probability of True; for a linear model of it make the "
        "response 0 and 1 in the table."
    ),
}
_KINDS = {"number": "numbers", "boolean": "booleans", "text": "text", "category": "categories"}


class TableCoder:
    """Compute response, offset and model matrices of one table.

    Parameters
    ----------
    terms : ModelTerms
        What the formula names.
    rows : Rows
        The table's rows and columns that the formula uses.
    memory : dict
        What stateful transforms learnt; filled on training rows, used on new ones.
    known : mapping of str to ColumnState, optional
        How the training rows' columns were read; None on the training rows themselves.
    family : Family
        How the response is distributed: it says what a response must be.
    response_levels : tuple of str, optional
        Labels of 0 and 1 in a binary response of the training rows, or of ordered categories;
        None on those themselves.
    """

    def __init__(
        self,
        terms: ModelTerms,
        rows: Rows,
        memory: dict[str, dict[Any, Any]],
        known: Mapping[str, ColumnState] | None = None,
        *,
        family: Family = GAUSSIAN,
        response_levels: tuple[str, ...] | None = None,
    ) -> None:
        self.terms = terms
        self.rows = rows
        self.memory = memory
        self.known = known
        modelled = {one.parameter for one in terms.parameters}
        self.family = bound_family(family, response_levels, modelled)
        if isinstance(family, Ordered) and family.categories and response_levels is None:
            response_levels = family.categories
        self.response_levels = response_levels
        self._inputs = {quote(name): self._input(name) for name in terms.predictors}
        self._values: dict[str, Any] = {}
        self._smooths: tuple[SmoothColumns, ...] | None = None
        self._y: NDArray[np.float64] | None = None

    def column_states(self) -> dict[str, ColumnState]:
        """Return how each predictor was read, for rows to come."""
        states = {}
        for name in self.terms.predictors:
            column = self.rows.columns[name]
            if column.kind == "number":
                states[name] = ColumnState("number")
            elif column.kind == "boolean":
                levels = tuple(boolean_categorical(column.array).categories)
                states[name] = ColumnState("boolean", levels)
            else:
                states[name] = ColumnState("label", tuple(column.levels()[1].tolist()))
        return states

    def fixed(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return X and the names of its columns, those of smooths last."""
        matrix, names = self._matrix(self.terms.fixed, "fixed-effects column")
        if not self.terms.smooths:
            return matrix, names
        smooths = self.smooths()
        return (
            np.hstack([matrix, *(smooth.fixed for smooth in smooths)]),
            (*names, *(name for smooth in smooths for name in smooth.coef)),
        )

    def stands_for(self, column: str) -> bool:
        """Return whether thresholds of the response stand in the place of a column: of ones."""
        return self.family.response.ordered and column == INTERCEPT

    def smooths(self) -> tuple[SmoothColumns, ...]:
        """Return the columns of the smooths."""
        if self._smooths is None:
            self._smooths = tuple(
                code_smooth(
                    term,
                    self._value(x),
                    None if term.by is None else self._value(Variable(term.by, term.span)),
                    self.memory,
                    (self.terms, self.rows),
                )
                for term, x in self.terms.smooths
            )
        return self._smooths

    def random(self, wanted: TermSet) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return the columns of a random-effects term and their names."""
        return self._matrix(wanted, "random-effects column")

    def columns_of_parameter(
        self, wanted: TermSet, parameter: str
    ) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return the columns of a parameter's predictor and their names.

        Discrimination has none of ones: in its place stands the scale of the thresholds.
        """
        matrix, columns = self._matrix(wanted, f"column of {parameter}")
        if parameter == DISC:
            kept = [at for at, name in enumerate(columns) if name != INTERCEPT]
            matrix, columns = matrix[:, kept], tuple(columns[at] for at in kept)
        return matrix, columns

    def response(self) -> NDArray[np.float64]:
        """Return y, NaN where a row has no response."""
        if self._y is None:
            self._y = self._compute_response()
        return self._y

    def ends(self) -> NDArray[np.float64] | None:
        """Return the other ends of censored responses, or None where none is."""
        rows = self.rows
        if rows.cens is None:
            return None
        return ends_of(rows.cens, self.response(), rows.y2, rows.labels)

    def _compute_response(self) -> NDArray[np.float64]:
        rows, atom = self.rows, self.terms.response
        y = np.full(rows.n, np.nan)
        if not rows.response_columns:
            return y
        present = rows.has_response
        if present.any():
            require_trials(self.family, rows.trials)
        value = self._response_value()
        y[present] = vector(value, int(present.sum()), f"The response {atom.text!r}")
        check_finite(y[present, None], [atom.text], rows.positions[present], "response")
        known = rows.trials if self.family.response.known == "trials" else rows.weights
        name = uncensored(self.family).name
        self.family.response.check(y, known, atom.text, rows.labels, name)
        if self.family.response.ordered and present.any():
            self._bind(y)
        return y

    def _bind(self, y: NDArray[np.float64]) -> None:
        """Take note of the categories of an ordered response."""
        self.response_levels = categories_of_numbers(
            y, self.response_levels, self.terms.response.text
        )
        self.family = bound_family(self.family, self.response_levels)

    def _response_value(self) -> Any:
        """Return the response of the rows that have one."""
        rows, atom = self.rows, self.terms.response
        inputs = {}
        binary = self.family.response.binary and isinstance(atom, Variable)
        for name, column in rows.response_columns.items():
            if binary and self.known is not None:
                require_same_kind(column, self.response_levels)
            if column.kind != "number":
                if self.family.response.ordered and isinstance(atom, Variable):
                    coded, self.response_levels = ordered_levels(column, self.response_levels)
                    return coded
                if binary:
                    coded, self.response_levels = two_levels(column, self.response_levels)
                    return coded
                present = rows.labels[rows.has_response]
                raise DataError(
                    f"The response {atom.text!r} is not numeric: column {name!r} holds "
                    f"{column.instead_of_numbers(present)}. {_NO_NUMBERS[column.kind == 'boolean']}"
                )
            inputs[quote(name)] = column.array.astype(np.float64)
        if isinstance(atom, Variable):
            return inputs[atom.text]
        value = evaluate(atom, inputs, self.memory, rows.labels[rows.has_response])
        statement = isinstance(value, pd.Categorical) and set(value.categories) <= {"False", "True"}
        if self.family.response.binary and statement:  # such as I(y > 0)
            return (value == "True").astype(np.float64)
        return value

    def offset(self) -> NDArray[np.float64] | None:
        """Return the sum of the offsets, or None without any."""
        return self.sum_of(self.terms.offsets) if self.terms.offsets else None

    def sum_of(self, offsets: Sequence[Atom]) -> NDArray[np.float64]:
        """Return the sum of some offsets."""
        total = np.zeros(self.rows.n)
        for atom in offsets:
            value = self._value(atom)
            if isinstance(value, pd.Categorical) and isinstance(atom, Variable):
                held = self.rows.columns[atom.name].instead_of_numbers(self.rows.labels)
                raise DataError(f"offset({atom.text}) is not numeric: the column holds {held}.")
            part = vector(value, self.rows.n, f"offset({atom.text})")
            check_finite(part[:, None], [f"offset({atom.text})"], self.rows.positions, "offset")
            total += part
        return total

    def _matrix(self, wanted: TermSet, what: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        values = {atom.text: self._value(atom) for atom in wanted.atoms}
        matrix, columns = model_matrix(wanted, values, self.rows.n)
        check_finite(matrix, columns, self.rows.positions, what)
        return matrix, columns

    def column_names(self, wanted: TermSet) -> tuple[str, ...]:
        """Return the names of a right-hand side's columns, whatever values they take."""
        values = {atom.text: self._value(atom) for atom in wanted.atoms}
        return model_matrix(wanted, values, self.rows.n)[1]

    def _value(self, atom: Atom) -> Any:
        """Compute a column or call once, however many terms hold it."""
        if atom.text not in self._values:
            if isinstance(atom, Variable):
                self._values[atom.text] = self._bare(atom)
            else:
                self._values[atom.text] = evaluate(
                    atom, self._inputs, self.memory, self.rows.labels
                )
        return self._values[atom.text]

    def _bare(self, variable: Variable) -> Any:
        value = self._inputs[variable.text]
        if isinstance(value, np.ndarray) and value.dtype == bool:
            value = boolean_categorical(value)
            if self.known is not None:
                value = recode(value, list(self.known[variable.name].levels or ()), TRAINING)
        if isinstance(value, pd.Categorical) and len(value.categories) < 2:
            raise DataError(
                f"Column {variable.name!r} has one level only, {value.categories[0]!r}: there is "
                "nothing to compare it with."
            )
        return value

    def _input(self, name: str) -> Any:
        """Return a predictor as calls see it: float64, booleans, or a categorical."""
        column = self.rows.columns[name]
        state = None if self.known is None else self.known[name]
        if state is not None and state.kind == "label":
            return self._known_labels(column, state)
        if state is not None and state.kind != column.kind:
            raise DataError(
                f"Column {name!r} held {state.kind}s in the training rows and holds "
                f"{_KINDS[column.kind]} now."
            )
        if column.kind == "number":
            return column.array.astype(np.float64)
        return column.native()

    def _known_labels(self, column: Column, state: ColumnState) -> pd.Categorical:
        codes, labels = column.levels()
        given = categorical(codes, labels)
        try:
            return recode(given, list(state.levels or ()), TRAINING)
        except DataError as error:
            raise DataError(f"Column {column.name!r}: {error}") from None
