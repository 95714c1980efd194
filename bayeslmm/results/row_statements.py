"""What was said of a fit's rows beside weights and trials: how often they count, and censoring."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayeslmm.design.beside.censoring import statements_of
from bayeslmm.design.state import state_content
from bayeslmm.errors import DataError
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.design.design import Design


def with_row_statements(design: Design, idata: xr.DataTree) -> Design:
    """Return a design of a fit's rows with what was said of them.

    Parameters
    ----------
    design : Design
        Its rows, rebuilt.
    idata : DataTree
        The fit.
    """
    likweights, ends = (read.constant(idata, name) for name in ("likweights", "ends"))
    return replace(design, likweights=likweights, ends=ends)


def row_statements_of(idata: xr.DataTree, data: Any) -> dict[str, Any]:
    """Return the arguments `likweights`, `cens` and `y2` of a fit, for its rows or for others.

    Parameters
    ----------
    idata : DataTree
        The fit.
    data : table or None
        Other rows, of which the columns are named; None for the fit's own, of which the numbers
        are returned.

    Raises
    ------
    DataError
        If there are other rows, and what was said of the fit's stood in no column.
    """
    counted, ends = (
        None if read.from_cross_products(idata) else read.constant(idata, role)
        for role in ("likweights", "ends")
    )
    if data is None:
        said = {} if ends is None else statements_of(read.response(idata), ends)
        found = {**said, "likweights": counted}
        return {name: values for name, values in found.items() if values is not None}
    own: dict[str, Any] = state_content(str(idata.attrs["design"])).get("beside", {})
    for name, values in (("likweights", counted), ("cens", ends)):
        if values is not None:
            held_column(own.get(name), name, had=True)
    return dict(own)


def held_column(column: Any, role: str, *, had: bool) -> str | None:
    """Return the column that a fit's numbers of a role are in, where it had any.

    Raises
    ------
    DataError
        If it had some, and they stood in no column.
    """
    if column is None and had:
        none = " (weights=None for none)" if role == "weights" else ""
        raise DataError(
            f"The fit had {role} that were given by themselves, not as a column: give {role}= "
            f"along with the new data{none}."
        )
    return None if column is None else str(column)
