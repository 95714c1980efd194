"""Known covariances of levels, as a result tree keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.design.state import state_content
from bayeslmm.errors import TreeError
from bayeslmm.relationships.plain import of_arrays

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.relationships.relationship import Relationship


def known_covariances(idata: xr.DataTree) -> dict[str, Relationship]:
    """Return the known covariances of levels, by the names that the formula has.

    Raises
    ------
    TreeError
        When the tree has lost one that its formula names.
    """
    written = state_content(str(idata.attrs["design"])).get("known", {})
    held_in = idata.children.get(names.KNOWN)
    groups = {} if held_in is None else dict(held_in.children)
    out = {}
    for name in written:
        if name not in groups:
            raise TreeError(
                f"The tree has no group '{names.KNOWN}/{name}', which holds the covariance of "
                "levels that its formula names. Take the tree that `fit_bayes` returned, whole."
            )
        held = groups[name].to_dataset()
        arrays = {str(key): held[key].to_numpy() for key in held.data_vars}
        out[name] = of_arrays(str(held.attrs["kind"]), arrays.pop("labels"), arrays)
    return out
