"""Weights, trials and standard errors of new rows: given, or in the columns of the fit's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.design.state import state_content
from bayeslmm.errors import ArgumentError, DataWarning, warn
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.residual import has_errors, has_structure
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    import xarray as xr


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
