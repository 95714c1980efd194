"""Weights, trials, standard errors and the like of new rows: given, or in the fit's columns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.beside.censoring import WORDS, ends_of, read_censoring, read_upper
from bayeslmm.design.beside.row_numbers import check_likelihood_weights, read_numbers
from bayeslmm.design.state import state_content
from bayeslmm.errors import ArgumentError, DataError, DataWarning, warn
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.residual import has_errors, has_structure
from bayeslmm.results.row_statements import held_column
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from bayeslmm.design.design import Design


def row_weights(idata: xr.DataTree, data: Any, weights: Any) -> Any:
    """Return the weights of new rows: as given, or the column that held the fit's weights.

    Warns
    -----
    DataWarning
        When the fit had weights and the new rows have none.

    Raises
    ------
    ArgumentError
        When they are given, and the fit's residuals have a structure.
    """
    if weights is not None and has_structure(idata):
        raise ArgumentError(
            "weights= and this fit's residual structure both say how residuals spread, and the "
            "structure has it from the rows: leave weights= out."
        )
    if data is None or weights is not None:
        return weights
    column = state_content(str(idata.attrs["design"])).get("weights")
    weighted = not read.from_cross_products(idata) and read.constant(idata, "weights") is not None
    return weights_of(data, column, weighted=weighted)


def row_trials(
    idata: xr.DataTree,
    data: Any,
    trials: Any,
    what: str = "kind='response' draws counts",
    otherwise: str = "; or take kind='mean', the probability of success",
) -> Any:
    """Return the numbers of trials of new rows: as given, or the column that held the fit's.

    Parameters
    ----------
    idata : DataTree
        A result.
    data : table or None
        The rows; the fit's own where None.
    trials : object
        As the caller was given them.
    what : str
        What takes trials.
    otherwise : str
        What does without.

    Raises
    ------
    ArgumentError
        When the fit had trials and the new rows have none.
    """
    if data is None or trials is not None or family(idata).response.known != "trials":
        return trials
    column = state_content(str(idata.attrs["design"])).get("trials")
    if column in read_table(data).names:
        return column
    held = "" if column is None else f", from column {column!r}, which these rows lack"
    raise ArgumentError(
        f"{what}, and the rows of the fit had numbers of trials{held}: give trials=, a column or "
        f"a number{otherwise}."
    )


def row_errors(idata: xr.DataTree, data: Any, se: Any) -> Any:
    """Return the standard errors of new rows: as given, or the column that held the fit's.

    Raises
    ------
    ArgumentError
        When they are given, and the fit had none.
    """
    had = has_errors(idata)
    if se is not None and not had:
        raise ArgumentError(
            "se= gives known standard errors, and the rows of the fit had none: leave it out."
        )
    if data is None or se is not None or not had:
        return se
    column = state_content(str(idata.attrs["design"])).get("se")
    return column if column in read_table(data).names else None


def weights_of(data: Any, column: str | None, *, weighted: bool) -> str | None:
    """Return the column of new rows that held the fit's weights; warn where they lack it."""
    if column in read_table(data).names:
        return column
    if column is not None or weighted:
        held = "" if column is None else f", from column {column!r}, which these rows lack"
        warn(
            f"The rows of the fit had weights{held}: each of these rows counts as of weight 1, "
            "with variance sigma^2. Give weights= to weigh them.",
            DataWarning,
        )
    return None


def with_statements_about(
    design: Design, idata: xr.DataTree, data: Any, given: Mapping[str, Any]
) -> Design:
    """Return a design of other rows with what is said of them: as given, or as the fit's was.

    Parameters
    ----------
    design : Design
        Those rows, with their responses; none was left out.
    idata : DataTree
        The fit.
    data : table
        The rows.
    given : mapping
        `likweights`, `cens` and `y2` as the caller was given them; where None, of the columns that
        held the fit's.

    Raises
    ------
    ArgumentError
        If responses are said to be censored, and the fit's were not.
    DataError
        If the fit's stood in no column, or the rows lack it or values in it.
    """
    censored = design.family.response.known == "ends"
    if not censored and not (given["cens"] is None and given["y2"] is None):
        raise ArgumentError(
            "cens= and y2= are of a fit to censored responses, and this fit had none: leave them "
            "out."
        )
    own: dict[str, Any] = state_content(str(idata.attrs["design"])).get("beside", {})
    rows = not read.from_cross_products(idata)
    had = {
        "likweights": rows and read.constant(idata, "likweights") is not None,
        "cens": censored,
    }
    found = {
        name: held_column(own.get(name), name, had=had[name])
        if given[name] is None
        else given[name]
        for name in had
    }
    table = read_table(data)
    counted = read_numbers("likweights", found["likweights"], table)
    if counted is not None:
        check_likelihood_weights(counted, design.obs)
    kinds = read_censoring(found["cens"], table)
    if kinds is None:
        return replace(design, likweights=counted)
    if np.isnan(kinds).any():
        first = design.obs[int(np.flatnonzero(np.isnan(kinds))[0])]
        raise DataError(f"cens is missing in row {first}: 'none' says that a response was seen.")
    upper = own.get("y2") if given["y2"] is None else given["y2"]
    intervals = bool((kinds == WORDS["interval"]).any())
    ends = ends_of(
        kinds, design.y, read_upper(upper if intervals else None, kinds, table), design.obs
    )
    return replace(design, likweights=counted, ends=ends)
