"""The units that a fit was told of its columns and response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr


def column_units(idata: xr.DataTree) -> dict[str, str]:
    """Return the units of the columns and of the response, as far as the fit was told them.

    Examples
    --------
    >>> column_units(idata)  # of a table without any
    {}
    """
    if read.from_cross_products(idata):
        return {}
    held = [read.group(idata, name).data_vars for name in ("constant_data", "observed_data")]
    return {
        str(array.attrs.get("column", key)): str(array.attrs["unit"])
        for variables in held
        for key, array in variables.items()
        if "unit" in array.attrs
    }
