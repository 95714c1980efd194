"""`Relationship`: a known covariance of levels, up to the variance that a model estimates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky

from bayeslmm.errors import DataError, nearest
from bayeslmm.relationships.level_map import LevelMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.relationships.nodes import NodePrecision

    Arrays = dict[str, NDArray[np.float64] | NDArray[np.int64] | NDArray[np.str_]]


@dataclass(frozen=True, eq=False)
class Relationship:
    r"""The covariance A of levels' effects, in units of G.

    .. math:: \operatorname{Cov}(b_i, b_j) = A_{ij} G

    for the effects :math:`b_i` of level i. What a member holds of A (a matrix, a tree, a pedigree)
    goes through `arrays` into files and back.

    Attributes
    ----------
    labels : tuple of str
        The levels that A is of: those of the data among them, and perhaps others.
    """

    labels: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What A is told by, e.g. ``"covariance"``."""
        raise NotImplementedError

    def covariance(self) -> Floats:
        """Return A of all labels, shape (m, m)."""
        raise NotImplementedError

    def covariance_of(self, levels: Sequence[str]) -> Floats:
        """Return A of some levels, shape (k, k)."""
        places = self.places(levels)
        return np.ascontiguousarray(self.covariance()[np.ix_(places, places)])

    @property
    def mean_diagonal(self) -> float:
        """The mean of A's diagonal: where it is 1, the sd of G is that of a level's effect."""
        return float(np.mean(np.diag(self.covariance())))

    def level_map(self, levels: Sequence[str]) -> LevelMap:
        """Return T of some levels, a root of A: lower triangular if nothing else is known of A."""
        own = tuple(levels)
        return LevelMap(partial(_root, self, own), len(own), nodes=self._node_maker(own))

    def nodes_of(self, levels: Sequence[str]) -> NodePrecision | None:
        """Return A of some levels by nodes with a sparse precision; None where there are none."""
        del levels
        return None

    def _node_maker(self, levels: Sequence[str]) -> Callable[[], NodePrecision | None]:
        """Return what gives the nodes of some levels once they are needed."""
        return partial(self.nodes_of, tuple(levels))

    def arrays(self) -> Arrays:
        """Return everything that A follows from, beside the labels."""
        raise NotImplementedError

    @cached_property
    def _place(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels)}

    def __contains__(self, label: object) -> bool:
        return label in self._place

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Relationship) and self.fingerprint == other.fingerprint
        return same or self is other

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __len__(self) -> int:
        """Count the labels."""
        return len(self.labels)

    def places(self, levels: Sequence[str]) -> NDArray[np.intp]:
        """Return where levels stand among the labels.

        Raises
        ------
        DataError
            Naming levels that A is not of.
        """
        if lacking := [label for label in levels if label not in self._place]:
            raise DataError(self.lacks(lacking))
        return np.array([self._place[label] for label in levels], dtype=np.intp)

    def lacks(self, levels: Sequence[str]) -> str:
        """Say that A does not hold some levels, for messages."""
        shown = ", ".join(map(repr, levels[:5]))
        more = f" and {len(levels) - 5} more" if len(levels) > 5 else ""
        return (
            f"The known {self.kind} holds {len(self.labels):,} levels, and {shown}{more} "
            f"{'are' if len(levels) > 1 else 'is'} not among them."
            f"{nearest(levels[0], self.labels[:1000])}"
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of labels and numbers: 64 hexadecimal digits of SHA-256."""
        digest = hashlib.sha256("\x1f".join((self.kind, *self.labels)).encode())
        for name, array in self.arrays().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _root(relationship: Relationship, levels: tuple[str, ...]) -> Floats:
    return np.ascontiguousarray(cholesky(relationship.covariance_of(levels), lower=True))
