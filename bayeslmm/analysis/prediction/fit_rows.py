"""How a fit, posterior or REML, codes rows, and the rows that it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.grouping_columns import chosen_effects, chosen_factors
from bayeslmm.analysis.prediction.linear_predictor import design_state
from bayeslmm.design.predictors import parameter_terms
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.families.registry import bound_family, family_of
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import ModelTerms, model_terms
from bayeslmm.formula.sharing import share
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.parameters import modelled
from bayeslmm.results.units import column_units
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family

type Fit = xr.DataTree | REMLFit


@dataclass(frozen=True, eq=False)
class FitRows:
    """How a fit codes rows, and the rows that it was fitted to.

    Attributes
    ----------
    formula, response : str
        As the fit has them.
    state : DesignState
        How rows are coded.
    columns : dict of str to ndarray, or None
        The columns of the rows that the formula uses; None where the fit saw cross-products only.
    y : ndarray, shape (n,), or None
        Their response.
    units : dict of str to str
        Units of columns and response, as far as the table told them.
    given : dict of str to ndarray, or None
        The columns of rows that count instead of the fit's own; None where these do.
    """

    formula: str
    response: str
    state: DesignState
    columns: dict[str, NDArray[Any]] | None
    y: Floats | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    given: dict[str, NDArray[Any]] | None = None

    @property
    def counted(self) -> dict[str, NDArray[Any]] | None:
        """The columns of the rows whose means and frequencies count."""
        return self.columns if self.given is None else self.given

    @cached_property
    def terms(self) -> ModelTerms:
        """The terms of the formula, and of formulas of the family's parameters."""
        others = parameter_terms(self.family, self.state.formulas)
        return share(replace(model_terms(parse_formula(self.formula)), parameters=others))

    @cached_property
    def family(self) -> Family:
        """How the response is distributed given the linear predictor."""
        member = family_of(self.state.family, self.state.link)
        return bound_family(member, self.state.response_levels, self.state.formulas)

    def with_rows(self, data: Any) -> FitRows:
        """Return the same fit, of which a table's rows count; unchanged without one.

        Raises
        ------
        ArgumentError
            If the table has none of the columns.
        """
        if data is None:
            return self
        table, terms = read_table(data), self.terms
        used = {*terms.predictors, *terms.grouping, *terms.shares, *terms.parameter_grouping}
        given = {name: table.values(name) for name in table.names if name in used}
        if not given:
            raise ArgumentError(f"data has none of the columns that {self.formula!r} uses.")
        return replace(self, given=given)

    def require_read(
        self,
        name: str,
        argument: str,
        included: Sequence[str],
        way: str = "Give random_effects='all'.",
    ) -> None:
        """Raise unless the linear predictor, with these factors' effects, reads a column.

        Parameters
        ----------
        name : str
            The column.
        argument : str
            Which of the caller's arguments names it.
        included : sequence of str
            The grouping factors.
        way : str
            How the caller lets random effects count.

        Raises
        ------
        ArgumentError
            Naming the column, and what can be done.
        """
        terms = self.terms
        kept = terms.only(tuple(included)).only_in_parameters(tuple(included))
        grouping = (*kept.grouping, *kept.parameter_grouping)
        reads = (*kept.predictors, *(v for v in grouping if v not in kept.predictors))
        if name in reads:
            return
        if name in terms.response.variables:
            msg = (
                f"{argument} names the response {name!r}, which is what {self.formula!r} predicts."
            )
        elif name in terms.shares:
            msg = (
                f"{argument} names {name!r}, which weighs the levels that a row has: predict rows "
                "with weights of their own."
            )
        elif name in {*terms.predictors, *terms.grouping, *terms.parameter_grouping}:
            msg = (
                f"{argument} names {name!r}, on which predictions depend through random effects "
                f"only, and those of {self._left_out(included)} are left out: every difference "
                f"would be zero. {way}"
            )
        else:
            msg = (
                f"{argument} names {name!r}, which the formula {self.formula!r} does not use."
                f"{nearest(str(name), reads)}"
            )
        raise ArgumentError(msg)

    def _left_out(self, included: Sequence[str]) -> str:
        factors = dict.fromkeys(term.factor for term, _ in self.terms.random)
        for one in self.terms.parameters:
            factors |= {names.in_parameter(one.parameter, f): None for f in one.factors}
        return ", ".join(repr(name) for name in factors if name not in included)


def fit_rows(fit: Fit) -> FitRows:
    """Read a fit.

    Raises
    ------
    TreeError
        If it is neither a result tree nor a REML fit.
    """
    if isinstance(fit, REMLFit):
        held = fit.data
        if not held.has_rows:
            return FitRows(fit.formula, held.response, held.state, None)
        coded = held.coded_rows
        columns = {name: plain(column) for name, column in coded.data.items()}
        return FitRows(fit.formula, held.response, held.state, columns, coded.y, coded.units)
    read.require_tree(fit)
    named = str(fit.attrs["formula"]), str(fit.attrs["response"]), design_state(fit)
    if read.from_cross_products(fit):
        return FitRows(*named, None)
    return FitRows(*named, read.columns(fit), read.response(fit), column_units(fit))


def own_columns(fit: Fit, data: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows' own columns: all of `data`'s, or those of the fit's rows.

    Parameters
    ----------
    fit : DataTree or REMLFit
        The fit.
    data : table or None
        The rows; the fit's own where None.
    table : DataFrame
        What is told of them, under their index, in which rows follow each other.

    Raises
    ------
    ArgumentError
        If a column of what is told has the name of one of theirs.
    """
    if data is None:
        own = fit_rows(fit).columns or {}
    else:
        given = read_table(data)
        own = {name: given.values(name) for name in given.names}
    for name in own:
        if name in table:
            msg = (
                f"The rows have a column {name!r}, as the predictions do; rename it, or leave "
                "columns=True out."
            )
            raise ArgumentError(msg)
    n = len(next(iter(own.values()), ()))
    found = pd.DataFrame({name: np.repeat(values, len(table) // n) for name, values in own.items()})
    return found.set_axis(table.index)


def included(fit: Fit, random_effects: str | Sequence[str]) -> tuple[str, ...]:
    """Return the grouping factors whose effects are asked for, of either kind of fit.

    Raises
    ------
    ArgumentError
        If a factor is unknown.
    """
    if isinstance(fit, REMLFit):
        return chosen_factors(tuple(fit.n_levels), random_effects)
    mean, others = chosen_effects(fit, random_effects)
    # Means depend on those in parameters, residuals' sigma apart.
    return (*mean, *(name for name in others if names.apart(name)[0] in modelled(fit)))


def plain(column: Any) -> NDArray[Any]:
    """Return a design's column as a result tree holds it: labels as text."""
    values = np.asarray(column)
    return values.astype(str) if values.dtype == object else values
