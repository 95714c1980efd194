"""The response family of a result tree, and the draws of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.design.state import state_content
from bayeslmm.errors import TreeError
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.registry import bound_family, family_of
from bayeslmm.families.several.stacked import OfResponses
from bayeslmm.results import read
from bayeslmm.results.residual import has_structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family


def family(idata: xr.DataTree) -> Family:
    """Return how the response of a fit is distributed given its linear predictor.

    Trees of fits before there were families are Gaussian.
    """
    read.require_tree(idata)
    content = state_content(str(idata.attrs["design"]))
    if content.get("layout") is not None:
        return _of_several(content)
    member = family_of(
        content.get("family", GAUSSIAN.name), content.get("link", GAUSSIAN.link.name)
    )
    return bound_family(member, content.get("response_levels"), content.get("formulas", {}))


def _of_several(content: Mapping[str, Any]) -> Family:
    """Return the family of several responses, whose rows it does not know, or of categories."""
    layout = content["layout"]
    if layout["categories"]:
        return family_of(content["family"], content["link"])
    if content.get("residual") is not None:
        return GAUSSIAN
    parts = [state_content(part) for part in layout["parts"]]
    members = tuple(
        family_of(part.get("family", GAUSSIAN.name), part.get("link", GAUSSIAN.link.name))
        for part in parts
    )
    return OfResponses(tuple(layout["names"]), members, np.zeros(0, np.int64))


def family_draws(
    idata: xr.DataTree, kept: NDArray[np.intp] | None = None, group_name: str = "posterior"
) -> dict[str, Floats]:
    """Return the draws of the family's parameters by name, chains laid end to end.

    Of shape (s,), or of several numbers (labels, s). Without sigma where a residual structure
    stands in its place.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    kept : ndarray of int, optional
        Which draws of each chain; all if not given.
    group_name : str
        The group to read.
    """
    found: dict[str, Floats] = {}
    for name in own_parameters(idata):
        values = read.draws(idata, name, group_name)
        values = values if kept is None else values[:, kept]
        found[name] = np.moveaxis(values.reshape(-1, *values.shape[2:]), 0, -1)
    return found


def family_blocks(idata: xr.DataTree) -> list[tuple[str, tuple[str, ...], Floats]]:
    """Return each of the family's parameters: its name, labels and draws, (chain, draw, labels).

    Of one number the label is empty.
    """
    own = set(own_parameters(idata))
    found = []
    for parameter in family(idata).parameters:
        if parameter.name in own:
            drawn = read.draws(idata, parameter.name)
            drawn = drawn.reshape(*drawn.shape[:2], -1)
            found.append((parameter.name, parameter.labels or ("",), drawn))
    return found


def labelled(name: str, label: str) -> str:
    """Return what one number of a parameter is called.

    Examples
    --------
    >>> labelled("threshold", "1|2"), labelled("shape", "")
    ('threshold[1|2]', 'shape')
    """
    return f"{name}[{label}]" if label else name


def own_parameters(idata: xr.DataTree) -> list[str]:
    """Return the family's parameters that are one number, of which trees hold the draws.

    Without the sigma that a residual structure replaces, and those that have predictors.
    """
    content = state_content(str(idata.attrs["design"]))
    elsewhere = set(content.get("formulas", ()))
    elsewhere |= {names.SIGMA} if has_structure(idata) else set()
    known = [parameter.name for parameter in family(idata).parameters]
    return [name for name in known if name not in elsewhere]


def is_additive(member: Family) -> bool:
    """Return whether a response is eta + e, with residuals e that do not depend on eta."""
    return member.mean_scale.name == "identity"


def require_additive(idata: xr.DataTree, what: str) -> None:
    """Raise unless a response is eta + e: Gaussian, or with Student's residuals.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    what : str
        What cannot be had otherwise, as the subject of a sentence.

    Raises
    ------
    TreeError
        With the family's name.
    """
    if not is_additive(member := family(idata)):
        raise TreeError(
            f"{what} is for responses that are a linear predictor and a residual, whose variance "
            f"is the same for every mean; the family of this fit is {uncensored(member).name!r}. "
            "icc and r_squared take it, with scale='latent' or 'observation'."
        )


def require_closed_form(idata: xr.DataTree, what: str, instead: str = "") -> None:
    """Raise unless effects given the rest are normal: Gaussian and lognormal responses.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    what : str
        What cannot be had otherwise, as the subject of a sentence.
    instead : str
        What can be had, as a sentence.

    Raises
    ------
    TreeError
        With the family's name.
    """
    if (member := family(idata)).gaussian_scale is None:
        raise TreeError(
            f"{what} is for responses that are Gaussian, also after their logarithm; the family of "
            f"this fit is {uncensored(member).name!r}. {instead}".rstrip()
        )


def observed_means(fit: Any, y: Floats) -> Floats:
    """Return the observed responses in the unit of their means: of binomial ones shares.

    Parameters
    ----------
    fit : xarray.DataTree or other
        A result tree; of other fits, which are Gaussian, the responses are that.
    y : ndarray, shape (n,)
        The responses of its rows.
    """
    if not hasattr(fit, "children"):
        return y
    trials = read.constant(fit, "trials")
    return y if trials is None else y / trials
