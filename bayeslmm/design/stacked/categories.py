"""The categories of one response, or counts of each: a row for each but the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.rows import complete_rows
from bayeslmm.design.stacked.assemble import stack_of
from bayeslmm.design.stacked.build import One, finish
from bayeslmm.design.stacked.factors import check_terms, part_blocks
from bayeslmm.design.stacked.layout import Layout
from bayeslmm.errors import ArgumentError, DataError, DataWarning, FormulaError, warn
from bayeslmm.families.binomial import Binomial
from bayeslmm.families.response import COUNTS
from bayeslmm.families.several.softmax import Categorical
from bayeslmm.formula.mixed_formula import StackedFormula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.nodes import Variable
from bayeslmm.relationships.known import read_known, require_used

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.build import Asked, Builder
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.tables.table import Table


def build_categories(
    mixed: MixedFormula, table: Table, family: Family, asked: Asked, build: Builder
) -> Design:
    """Return the design of a categorical or multinomial response.

    Each category but the reference has the columns that the formula names, and a row of each
    observation. Given that an observation is of a category or of the reference, it is of the
    category with the logistic probability of its predictor: that binomial response is the
    category's own design.

    Parameters
    ----------
    mixed : MixedFormula
        Of the categories' column, or of several columns of counts.
    table : Table
        One row per observation.
    family : Family
        Categorical or multinomial.
    asked : Asked
        What is said beside the formula.
    build : callable
        `build_design`, which codes each category by itself.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError, DataError, ArgumentError
        If the response is not of categories, or something is asked that they do not have.
    """
    if asked.trials is not None or asked.residual is not None:
        name = "trials" if asked.trials is not None else "residual"
        raise ArgumentError(
            f"{name}= is not for family={family.name!r}: leave it out. Counts of the categories "
            "add up to their trials."
        )
    formula = mixed if isinstance(mixed, StackedFormula) else StackedFormula.of([mixed], mixed.text)
    check_terms(formula)
    _require_one_side(formula)
    table = _complete(formula, table, asked.missing)
    of_one = isinstance(family, Categorical)
    categories, counts = _one_hot(formula, table) if of_one else _counted(formula, table)
    totals = counts.sum(axis=1)
    one, parts = One(asked, build, read_known(asked.known)), []
    for k in range(1, len(categories)):
        part = formula.parts[0 if of_one else k]
        name = _response(part).name
        numbers = table.with_numbers(name, counts[:, k])
        own = one.design(part, numbers, Binomial(), totals)
        against = counts[own.rows, k] + counts[own.rows, 0]
        data = {column: held for column, held in own.data.items() if column != name}
        parts.append(replace(own, trials=against, data=data))
    require_used(one.known, [t.cov for t in formula.random if t.cov is not None])
    layout = Layout(
        categories[1:], tuple(part.state for part in parts), part_blocks(parts), categories
    )
    stack = replace(stack_of(categories[1:], parts), totals=totals)
    return finish(formula, stack, layout, family=family)


def _require_one_side(formula: StackedFormula) -> None:
    """Raise unless all categories have the same predictors."""
    if len({part.spelt([t.labelled for t in part.random]) for part in formula.parts}) > 1:
        raise FormulaError(
            "Categories have the same predictors, with a coefficient for each category: write "
            "mvbind(a, b, c) ~ x, counts of the reference first.",
            formula.text or str(formula),
        )


def _complete(formula: StackedFormula, table: Table, missing: str) -> Table:
    """Return the rows that lack nothing."""
    terms = [model_terms(part) for part in formula.parts]
    read = dict.fromkeys(
        name
        for one in terms
        for name in (*one.response.variables, *one.predictors, *one.grouping)
        if name in table.names
    )
    lacks = {name: table.missing(name) for name in read}
    keep, notes = complete_rows(lacks, table.n_rows, missing, "", whole=True)
    for note in notes:
        warn(note, DataWarning)
    return table.take(keep)


def _response(part: MixedFormula) -> Variable:
    atom = model_terms(part).response
    if not isinstance(atom, Variable):
        raise FormulaError(
            f"The response {part.response!r} is computed, and categories, or counts of them, are "
            "columns of the table: make the column first.",
            part.text or str(part),
        )
    return atom


def _one_hot(formula: StackedFormula, table: Table) -> tuple[tuple[str, ...], Floats]:
    """Return the categories, and ones where a row is of them, shape (m, K)."""
    if len(formula.parts) > 1:
        raise ArgumentError(
            "family='categorical' is of one column of categories; several columns of counts are "
            "family='multinomial'."
        )
    name = _response(formula.parts[0]).name
    if name not in table.names:
        raise model_terms(formula.parts[0]).error(f"The table has no column {name!r}.", name)
    column = table.column(name, np.ones(table.n_rows, dtype=bool))
    codes, labels = column.levels()
    if len(labels) < 3:
        raise DataError(
            f"The response {name!r} has {len(labels)} categories ({', '.join(labels)}): of two, "
            "family='bernoulli' models the probability of the second."
        )
    if column.kind == "text":
        warn(
            f"The categories of {name!r} are compared with {str(labels[0])!r}, the first in the "
            "alphabet. To compare with another one, order the categories in the table.",
            DataWarning,
        )
    hot = np.asarray(codes[:, None] == np.arange(len(labels)), dtype=np.float64)
    return tuple(map(str, labels)), hot


def _counted(formula: StackedFormula, table: Table) -> tuple[tuple[str, ...], Floats]:
    """Return the categories, and how many each row has of them, shape (m, K)."""
    if len(formula.parts) < 3:
        raise ArgumentError(
            "family='multinomial' is of three columns of counts or more, as in "
            "mvbind(a, b, c) ~ x; of two, family='binomial' takes one and trials= their sum. A "
            "column that names the category of each row is for family='categorical'."
        )
    found = []
    for part in formula.parts:
        name = _response(part).name
        if name not in table.names:
            raise model_terms(part).error(f"The table has no column {name!r}.", name)
        column = table.column(name, np.ones(table.n_rows, dtype=bool))
        if column.kind != "number":
            held = column.instead_of_numbers(table.labels())
            raise DataError(f"The counts in column {name!r} are no numbers: it holds {held}.")
        values = column.array.astype(np.float64)
        COUNTS.check(values, None, name, table.labels(), "multinomial")
        found.append(values)
    counts = np.column_stack(found)
    if not counts.sum(axis=1).all():
        first = table.labels()[int(np.argmin(counts.sum(axis=1)))]
        raise DataError(f"Row {first} has no counts in any category: leave such rows out.")
    return tuple(part.response.strip("`") for part in formula.parts), counts
