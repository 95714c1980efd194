"""Formulas of several responses and a wide table in, a stacked `Design` out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.design.rows import complete_rows
from bayeslmm.design.stacked.assemble import assemble, stack_of
from bayeslmm.design.stacked.factors import check_terms, part_blocks
from bayeslmm.design.stacked.families import families_of, for_each
from bayeslmm.design.stacked.layout import Layout
from bayeslmm.design.stacked.residuals import CORRELATED, check_structure
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, DataError, DataWarning, warn
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.formula.mixed_formula import StackedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.relationships.known import read_known, require_used

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.relationships.known import Known
    from bayeslmm.tables.table import Table

    type Builder = Callable[..., Design]


@dataclass(frozen=True)
class Asked:
    """What is asked of a stacked design beside its formulas; see `build_design`.

    Attributes
    ----------
    family, link, trials
        One for all responses, or a mapping from responses.
    residual : str or None
        Structure of the residuals of an observation's responses.
    known : mapping or None
        Covariances of levels.
    missing, rank_deficient, response : str
        As in `build_design`.
    """

    family: Any
    link: Any
    trials: Any
    residual: str | None
    known: Any
    missing: str
    rank_deficient: str
    response: str


@dataclass(frozen=True)
class One:
    """How the design of one response, or of one category, is built.

    Attributes
    ----------
    asked : Asked
        What is asked.
    build : callable
        `build_design`.
    known : mapping of str to Relationship
        Covariances of levels, of all responses.
    """

    asked: Asked
    build: Builder
    known: Known

    def design(self, part: MixedFormula, table: Table, family: Any, trials: Any) -> Design:
        """Return the design of one formula."""
        used = [term.cov for term in part.random if term.cov is not None]
        return self.build(
            part,
            table,
            family=family,
            trials=trials,
            known={name: self.known[name] for name in used if name in self.known} or None,
            missing=self.asked.missing,
            rank_deficient=self.asked.rank_deficient,
            response=self.asked.response,
        )


def refuse_of_rows(given: Mapping[str, Any]) -> None:
    """Raise where something is given of rows of one response.

    Raises
    ------
    ArgumentError
        Naming it.
    """
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"{name}= is about the rows of one response, and the formula has several: leave "
                "it out, or fit the response by itself."
            )


def build_stack(formula: StackedFormula, table: Table, asked: Asked, build: Builder) -> Design:
    """Return the design of several responses' rows.

    Rows of the table that lack what any formula reads right of the tilde are left out; a row that
    lacks a response is an observation of the others.

    Parameters
    ----------
    formula : StackedFormula
        Of all responses.
    table : Table
        One row per observation.
    asked : Asked
        What is said beside it.
    build : callable
        `build_design`, which codes each response by itself.

    Returns
    -------
    Design
    """
    check_terms(formula)
    called = tuple(part.response.strip("`") for part in formula.parts)
    families = families_of(called, asked.family, asked.link)
    structure = check_structure(asked.residual, families)
    kept = _rows(formula, table, asked)
    trials = for_each("trials", asked.trials, called)
    one = One(asked, build, read_known(asked.known))
    parts = []
    for k, part in enumerate(formula.parts):
        own = one.design(part, table.take(kept[k]), families[k], _some(trials[called[k]], kept[k]))
        parts.append(replace(own, rows=np.flatnonzero(kept[k])[own.rows]))
    require_used(one.known, [t.cov for t in formula.random if t.cov is not None])
    layout = Layout(called, tuple(part.state for part in parts), part_blocks(parts))
    stack = replace(stack_of(called, parts), predictors=_predictors(formula, table, kept))
    return finish(formula, stack, layout, residual=structure)


def restack(
    state: DesignState,
    factors: Sequence[str] | None,
    rebuild: Callable[..., Design],
) -> Design:
    """Return the design of new rows, of which each response is coded by its own state.

    Parameters
    ----------
    state : DesignState
        Of a stacked design.
    factors : sequence of str, or None
        The grouping factors to rebuild; all if None.
    rebuild : callable
        (state of a response, factors=its grouping factors) -> its design of the new rows.
    """
    layout, formula = state.layout, parse_formula(state.formula)
    assert layout is not None  # noqa: S101 - of a stacked design
    parts = [rebuild(part, factors=_own(factors, part)) for part in layout.parts]
    if not isinstance(formula, StackedFormula):
        formula = StackedFormula.of([formula], formula.text)
    return assemble(formula, stack_of(layout.names, parts), state, layout, state.levels)


def _own(factors: Sequence[str] | None, part: DesignState) -> list[str] | None:
    return None if factors is None else [name for name in factors if name in part.terms]


def finish(
    formula: StackedFormula,
    stack: Stack[Design],
    layout: Layout[DesignState],
    *,
    residual: str | None = None,
    family: Family = GAUSSIAN,
) -> Design:
    """Return the design of rows that are stacked, with its state.

    Parameters
    ----------
    formula : StackedFormula
        Of all responses.
    stack : Stack
        Training rows.
    layout : Layout
        Where columns stand.
    residual : str, optional
        Structure of the residuals of Gaussian responses.
    family : Family
        Of categories; that of responses is each one's own.
    """
    state = DesignState(
        formula=str(formula),
        columns={},
        transforms={},
        coef=layout.all_coef,
        dropped=tuple(
            names.of_response(layout.names[k], name)
            for k, part in enumerate(layout.parts)
            for name in part.dropped
        ),
        terms={factor: layout.terms(factor) for factor in layout.blocks},
        levels={},
        family=family.name,
        link=family.link.name,
        residual=residual,
        known={name: known for part in layout.parts for name, known in part.known.items()},
        layout=layout,
    )
    design = assemble(formula, stack, state, layout, {})
    levels = {factor.name: tuple(factor.levels.tolist()) for factor in design.factors}
    of_family = [parameter.name for parameter in design.family.parameters]
    names.check_coefficients(design.coef, list(layout.blocks), of_family)
    _require_pairs(stack.observation, residual)
    return replace(design, _state=replace(state, levels=levels))


def _require_pairs(observation: Ints, structure: str | None) -> None:
    """Raise unless some observation has two responses, where their residuals are correlated."""
    if structure == CORRELATED and np.bincount(observation).max(initial=0) < 2:
        raise DataError(
            "No row has two of the responses, so that nothing tells how their residuals are "
            "correlated: give residual='diag'."
        )


def _rows(formula: StackedFormula, table: Table, asked: Asked) -> list[NDArray[np.bool_]]:
    """Return which rows of the table each response has."""
    whole = np.ones(table.n_rows, dtype=bool)
    if asked.missing == "raise":
        return [whole for _ in formula.parts]
    terms = [model_terms(part) for part in formula.parts]
    read = dict.fromkeys(
        name for one in terms for name in (*one.predictors, *one.grouping) if name in table.names
    )
    complete, notes = complete_rows(
        {name: table.missing(name) for name in read}, table.n_rows, "drop", "", whole=True
    )
    for note in notes:
        warn(note, DataWarning)
    found = []
    for one in terms:
        present = complete.copy()
        for name in one.response.variables:
            if name in table.names:
                present &= ~table.missing(name)
        if not present.any():
            raise DataError(f"No row has the response {one.formula.response!r}.")
        found.append(present)
    if none := int((complete & ~np.any(found, axis=0)).sum()):
        listed = ", ".join(one.formula.response for one in terms)
        warn(f"Dropped {none} of {table.n_rows} rows that have none of {listed}.", DataWarning)
    return found


def _predictors(
    formula: StackedFormula, table: Table, kept: Sequence[NDArray[np.bool_]]
) -> dict[str, Any]:
    """Return the columns right of the tildes, of all observations."""
    some = np.any(kept, axis=0)
    terms = [model_terms(part) for part in formula.parts]
    read = dict.fromkeys(name for one in terms for name in (*one.predictors, *one.grouping))
    return {name: table.column(name, some).native() for name in read}


def _some(given: Any, keep: NDArray[np.bool_]) -> Any:
    """Return what is given of the kept rows, where it is one number of each row."""
    if given is None or isinstance(given, str) or np.ndim(given) == 0:
        return given
    values = np.asarray(given)
    return values[keep] if len(values) == len(keep) else values
