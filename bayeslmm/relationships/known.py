"""What ``known=`` maps the names of a formula to, and which levels a factor has of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import ArgumentError, DataError, nearest
from bayeslmm.relationships.matrix import known_covariance
from bayeslmm.relationships.relationship import Relationship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.relationships.level_map import LevelMap

type Known = Mapping[str, Relationship]
# What users give: a relationship, a labelled DataFrame, or a pair of matrix and levels.
type KnownLike = Mapping[str, Any]


def read_known(known: KnownLike | None) -> dict[str, Relationship]:
    """Return known covariances by name.

    Parameters
    ----------
    known : mapping of str to Relationship, DataFrame or (array, levels), optional
        As a user gives it.

    Returns
    -------
    dict of str to Relationship

    Raises
    ------
    ArgumentError
        If it is no mapping.
    DataError
        If a matrix is no covariance; the message names it.
    """
    if known is None:
        return {}
    if not isinstance(known, Mapping):
        raise ArgumentError(
            "known maps the names after cov= in the formula to covariances, as in "
            f"known={{'A': A}}; it was a {type(known).__name__}."
        )
    return {str(name): _read(str(name), given) for name, given in known.items()}


def _read(name: str, given: Any) -> Relationship:
    if isinstance(given, Relationship):
        return given
    try:
        if isinstance(given, tuple) and len(given) == 2:
            return known_covariance(*given)
        return known_covariance(given)
    except DataError as error:
        raise DataError(f"known[{name!r}]: {error}") from None


def require_used(known: Known, used: Sequence[str]) -> None:
    """Raise if a covariance is given that the formula does not name.

    Raises
    ------
    ArgumentError
        Naming it.
    """
    for name in known:
        if name not in used:
            hint = nearest(name, used) if used else ""
            names = ", ".join(used) or "none"
            raise ArgumentError(
                f"known={{{name!r}: ...}} is a covariance that the formula does not name (it "
                f"names: {names}).{hint} Write (1 | gr(g, cov={name})), or leave it out."
            )


def map_of(relationship: Relationship, levels: Sequence[str], factor: str) -> LevelMap:
    """Return the map from independent effects to those of a factor's levels: a root of A.

    Parameters
    ----------
    relationship : Relationship
        A, of these levels and perhaps of others.
    levels : sequence of str
        The factor's, in its order.
    factor : str
        Its name, for messages.

    Returns
    -------
    LevelMap
        T with T T' = A of the levels.

    Raises
    ------
    DataError
        Naming levels that A is not of.
    """
    lacking = [level for level in levels if level not in relationship]
    if lacking:
        raise DataError(
            f"{relationship.lacks(lacking)} They are levels of {factor!r}: leave their rows out, "
            "or give a covariance of all levels."
        )
    return relationship.level_map(levels)
