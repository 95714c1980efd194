"""A family, a link and trials for each response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.families.registry import OF_CATEGORIES, family_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.families.family import Family


def families_of(responses: Sequence[str], family: Any, link: Any) -> tuple[Family, ...]:
    """Return the family of each response.

    Parameters
    ----------
    responses : sequence of str
        What they are called.
    family : str, Family, or mapping of str to these
        One for all of them, or one for each.
    link : str, mapping of str to str, or None
        Likewise; the families' own where none is given.

    Raises
    ------
    ArgumentError
        If there is no such family or link, or a mapping names no response or leaves one out.

    Examples
    --------
    >>> [one.name for one in families_of(["y", "n"], {"y": "gaussian", "n": "poisson"}, None)]
    ['gaussian', 'poisson']
    """
    chosen = for_each("family", family, responses)
    if lacking := [name for name in responses if chosen[name] is None]:
        raise ArgumentError(
            f"family= names no family of the response {lacking[0]!r}: give one for each of "
            f"{', '.join(responses)}."
        )
    links = for_each("link", link, responses)
    found = tuple(family_of(chosen[name], links[name]) for name in responses)
    if categories := [one.name for one in found if one.name in OF_CATEGORIES]:
        raise ArgumentError(
            f"family={categories[0]!r} has a predictor for each category, and stands by itself: "
            "fit that response alone."
        )
    return found


def for_each(argument: str, given: Any, responses: Sequence[str]) -> dict[str, Any]:
    """Return what an argument says of each response: the same of all, or what a mapping says.

    Raises
    ------
    ArgumentError
        If a mapping names what is no response.

    Examples
    --------
    >>> for_each("trials", {"y": 20}, ["y", "z"])
    {'y': 20, 'z': None}
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(responses, given)
    for name in given:
        if name not in responses:
            raise ArgumentError(
                f"{argument}= is given of {name!r}, which is no response."
                f"{nearest(str(name), responses)} The responses are {', '.join(responses)}."
            )
    return {name: given.get(name) for name in responses}
