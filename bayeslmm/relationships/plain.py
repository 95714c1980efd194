"""Relationships in JSON's types and as named arrays: how they travel in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import DataError
from bayeslmm.relationships.matrix import CovarianceMatrix
from bayeslmm.relationships.pedigree import Pedigree
from bayeslmm.relationships.phylogeny import Phylogeny
from bayeslmm.relationships.precision import PrecisionMatrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.relationships.relationship import Relationship

_KINDS: dict[str, type[Relationship]] = {
    "covariance": CovarianceMatrix,
    "precision": PrecisionMatrix,
    "phylogeny": Phylogeny,
    "pedigree": Pedigree,
}


def to_plain(relationship: Relationship) -> dict[str, Any]:
    """Return a relationship in JSON's types; numbers survive to the last bit.

    Examples
    --------
    >>> from bayeslmm.relationships.matrix import known_covariance
    >>> A = known_covariance([[1.0, 0.5], [0.5, 1.0]], ["a", "b"])
    >>> of_plain(to_plain(A)) == A
    True
    """
    arrays = {name: array.tolist() for name, array in relationship.arrays().items()}
    return {"kind": relationship.kind, "labels": list(relationship.labels), "arrays": arrays}


def of_plain(content: Mapping[str, Any]) -> Relationship:
    """Return what `to_plain` was given.

    Raises
    ------
    DataError
        If it is of no relationship.
    """
    try:
        arrays = {str(name): np.array(values) for name, values in content["arrays"].items()}
        return of_arrays(content["kind"], content["labels"], arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"This is no known covariance: {error!r}.") from None


def all_of_plain(
    content: Mapping[str, Any], given: Mapping[str, Relationship]
) -> dict[str, Relationship]:
    """Return what `to_plain` was given, by name; of those written by fingerprint the given ones.

    Raises
    ------
    DataError
        If one that is written by its fingerprint is not among the given ones, or is another.
    """
    out = {}
    for name, written in content.items():
        if not isinstance(written, str):
            out[name] = of_plain(written)
            continue
        found = given.get(name)
        if found is None or found.fingerprint != written:
            what = "lacks" if found is None else "was written with another matrix as"
            raise DataError(f"The design's state {what} the known covariance {name!r}.")
        out[name] = found
    return out


def of_arrays(kind: str, labels: Any, arrays: Mapping[str, NDArray[Any]]) -> Relationship:
    """Return the relationship that has these `Relationship.arrays`."""
    return _KINDS[kind](tuple(map(str, labels)), **arrays)
