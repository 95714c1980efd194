"""The training rows that a tree holds, as the table that they were; how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


def training_table(idata: xr.DataTree) -> pd.DataFrame:
    """Return the columns that the formula reads, of the rows that were fitted, with their labels.

    Raises
    ------
    TreeError
        If the tree holds no rows.
    """
    table: dict[str, NDArray[Any] | pd.Categorical] = {}
    for key, array in read.group(idata, "constant_data").data_vars.items():
        if "role" in array.attrs:
            continue
        name, values = str(array.attrs.get("column", key)), np.asarray(array.values)
        table[name] = values
        if "categories" in array.attrs:
            # A file gives a list of one as the one.
            order = np.atleast_1d(array.attrs["categories"]).tolist()
            table[name] = pd.Categorical(values.astype(str), categories=order)
    return pd.DataFrame(table, index=read.row_labels(idata))


def n_rows(idata: xr.DataTree) -> int:
    """Return how many rows the model was fitted to."""
    if read.from_cross_products(idata):
        return int(idata.attrs["n_obs"])
    return int(read.group(idata, "observed_data").sizes[names.OBS])
