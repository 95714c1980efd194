"""What a fit recorded of itself in its tree's root attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


def recorded(idata: xr.DataTree, attribute: str) -> dict[str, Any]:
    """Return what a root attribute holds as JSON; nothing of a tree that has none.

    Examples
    --------
    >>> recorded(idata, "settings")
    {'tune': 10}
    """
    text = idata.attrs.get(attribute)
    found = json.loads(text) if isinstance(text, str) and text else {}
    return found if isinstance(found, dict) else {}
