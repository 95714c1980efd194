"""What a fit recorded of itself in its tree's root attributes, and how many responses it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bayeslmm.design.state import state_content
from bayeslmm.errors import DataError, TreeError

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


def has_several(idata: xr.DataTree) -> bool:
    """Return whether a fit has several responses, or categories of one.

    Of a design that cannot be read, which is told by who reads all of it, it is not known.
    """
    try:
        return state_content(str(idata.attrs["design"])).get("layout") is not None
    except DataError:
        return False


def refuse_rows_of_several(idata: xr.DataTree) -> None:
    """Raise where a result's rows are of several responses, or of categories.

    Raises
    ------
    TreeError
        With what fits them anew.
    """
    if not has_several(idata):
        return
    layout = state_content(str(idata.attrs["design"]))["layout"]
    kind, labels = "responses", layout["names"]
    also = "fit_reml takes the formula of all, and "
    if layout["categories"]:
        kind, labels, also = "categories", layout["categories"], ""
    raise TreeError(
        f"This fit has the {kind} {', '.join(labels)}, and what is asked would fit or weigh their "
        f"rows anew, which is done for one response alone: {also}fit_bayes fits anew with other "
        "formulas, data or priors."
    )


def require_rows_of_its_own(idata: xr.DataTree) -> None:
    """Raise unless a result's draws were made from the rows of one response, which it holds.

    Raises
    ------
    TreeError
        When they were made from several together, with what to do instead.
    """
    refuse_rows_of_several(idata)
    if "marginal_of" in idata.attrs:
        raise TreeError(
            f"{idata.attrs['response']!r} was taken out of a fit of several responses, and its "
            "draws follow from the rows of all. To fit or weigh its own rows anew would not be "
            "about them: update(fit) of this result fits it by itself."
        )


def require_one_response(idata: xr.DataTree) -> None:
    """Raise unless a result is of one response with one predictor.

    Raises
    ------
    TreeError
        When it has several, or categories, with what to ask instead.
    """
    if not has_several(idata):
        return
    layout = state_content(str(idata.attrs["design"]))["layout"]
    first = layout["names"][0]
    if layout["categories"]:
        raise TreeError(
            f"This fit has the categories {', '.join(layout['categories'])}, each with a predictor "
            "of its own: category_probabilities(fit) tells how probable they are, and "
            f"response_of(fit, {first!r}) is the result of the odds of one of them."
        )
    raise TreeError(
        f"This fit has the responses {', '.join(layout['names'])}: ask it of one of them, "
        f"response_of(fit, {first!r}), which is a result of its own."
    )
