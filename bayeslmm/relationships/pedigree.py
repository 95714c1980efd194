"""A known covariance of animals (or plants): additive relationships from a pedigree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cholesky
from scipy.sparse import csr_array, hstack

from bayeslmm.arguments import label
from bayeslmm.errors import DataError, names_keywords, nearest
from bayeslmm.relationships.level_map import LevelMap
from bayeslmm.relationships.matrix import check_labels
from bayeslmm.relationships.nodes import NodePrecision
from bayeslmm.relationships.relationship import Relationship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.relationship import Arrays

# What stands for a parent that is not known, in programs for pedigrees.
_UNKNOWN = frozenset({"", "0", "NA", "NaN", "nan", "None", "<NA>", "*"})


@dataclass(frozen=True, eq=False)
class Pedigree(Relationship):
    """Parents of animals, those before their progeny.

    Attributes
    ----------
    sire, dam : ndarray of int64, shape (m,)
        Places of each animal's parents among the labels, smaller than its own; -1 where unknown.
    """

    sire: Ints
    dam: Ints

    @property
    def kind(self) -> str:
        """``"pedigree"``."""
        return "pedigree"

    def covariance(self) -> Floats:
        """Return A, additive relationships; one plus inbreeding on the diagonal."""
        return self._tabular(self.sire, self.dam)

    def covariance_of(self, levels: Sequence[str]) -> Floats:
        """Return A of some animals, from these and their ancestors alone."""
        places = self.places(levels)
        wanted = self._with_ancestors(places)
        moved = np.append(np.cumsum(wanted) - 1, -1)
        A = self._tabular(moved[self.sire[wanted]], moved[self.dam[wanted]])
        return np.ascontiguousarray(A[np.ix_(moved[places], moved[places])])

    def level_map(self, levels: Sequence[str]) -> LevelMap:
        """Return T of some animals, from their own and their parents' latent effects.

        An animal's effect is the mean of its parents' and what is sampled anew, so that of animals
        without progeny (among these and their ancestors) the latent one is theirs alone.
        """
        places = self.places(levels)
        wanted = self._with_ancestors(places)
        parents = np.zeros(len(self.labels) + 1, bool)
        parents[self.sire[wanted]] = parents[self.dam[wanted]] = True
        core = np.flatnonzero(parents[:-1] & wanted)
        leaves = np.flatnonzero(~parents[places])
        if not len(leaves) or len(core) >= len(places):
            return super().level_map(levels)
        compute = partial(self._root_by_parents, places, core, leaves)
        count, nodes = len(leaves) + len(core), self._node_maker(levels)
        return LevelMap(compute, count, n_alone=len(leaves), nodes=nodes)

    def nodes_of(self, levels: Sequence[str]) -> NodePrecision:
        """Return animals and their ancestors, each like its parents' mean but for what is new.

        References
        ----------
        Henderson, C. R. (1976). A simple method for computing the inverse of a numerator
        relationship matrix used in prediction of breeding values. Biometrics 32, 69-83.
        https://doi.org/10.2307/2529339
        """
        places = self.places(levels)
        wanted = np.flatnonzero(self._with_ancestors(places))
        moved = np.full(len(self.labels) + 1, -1, np.int64)
        moved[wanted] = np.arange(len(wanted))
        parents = moved[self.sire[wanted]], moved[self.dam[wanted]]
        diagonal, own = _diagonal(*parents)
        # Row j of I - S: one, and minus a half at each parent.
        shares = np.ones(len(wanted))
        at = [(np.arange(len(wanted)), shares), *((parent, -0.5 * shares) for parent in parents)]
        entries = []
        for first, one in at:
            for second, other in at:
                known = (first >= 0) & (second >= 0)
                entries.append((first[known], second[known], (one * other / own)[known]))
        rows, cols, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        return NodePrecision(
            len(wanted), moved[places], rows, cols, values, diagonal[moved[places]]
        )  # fmt: skip

    def _root_by_parents(self, places: Ints, core: Ints, leaves: Ints) -> csr_array:
        """Compute T: leaves' own latent effects first, then those of parents."""
        moved = np.full(len(self.labels) + 1, -1, np.int64)
        moved[core] = np.arange(len(core))
        A = np.zeros((len(core) + 1, len(core) + 1))
        A[:-1, :-1] = self._tabular(moved[self.sire[core]], moved[self.dam[core]])
        root = np.zeros((len(core) + 1, len(core)))
        root[:-1] = cholesky(A[:-1, :-1], lower=True)
        out = np.empty((len(places), len(core)))
        is_core = moved[places] >= 0
        out[is_core] = root[moved[places[is_core]]]
        sires, dams = moved[self.sire[places[leaves]]], moved[self.dam[places[leaves]]]
        out[leaves] = 0.5 * (root[sires] + root[dams])
        # What is left of 1 + F once the parents' mean is taken out.
        own = np.sqrt(1.0 - 0.25 * (A[sires, sires] + A[dams, dams]))
        alone = csr_array((own, (leaves, np.arange(len(leaves)))), (len(places), len(leaves)))
        return csr_array(hstack([alone, csr_array(out)]))

    def _with_ancestors(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        wanted = np.zeros(len(self.labels), bool)
        wanted[places] = True
        for place in range(len(wanted) - 1, -1, -1):
            if wanted[place]:
                for parent in (self.sire[place], self.dam[place]):
                    if parent >= 0:
                        wanted[parent] = True
        return wanted

    @staticmethod
    def _tabular(sire: Ints, dam: Ints) -> Floats:
        """Compute relationships animal by animal, each from its parents'."""
        m = len(sire)
        A = np.zeros((m + 1, m + 1))  # the last one, unknown, is related to nobody
        for place in range(m):
            row = 0.5 * (A[sire[place], :place] + A[dam[place], :place])
            A[place, :place] = A[:place, place] = row
            both = sire[place] >= 0 and dam[place] >= 0
            A[place, place] = 1.0 + (0.5 * A[sire[place], dam[place]] if both else 0.0)
        return A[:m, :m]

    def arrays(self) -> Arrays:
        """Return the parents."""
        return {"sire": self.sire, "dam": self.dam}


@names_keywords
def pedigree(table: Any, *, id: str = "id", sire: str = "sire", dam: str = "dam") -> Pedigree:  # noqa: A002 - the word of pedigrees
    r"""Return the additive relationships of animals from their pedigree.

    .. math:: A_{ij} = \tfrac12 (A_{i, s(j)} + A_{i, d(j)}), \qquad
              A_{jj} = 1 + \tfrac12 A_{s(j), d(j)}

    for an animal j of sire s and dam d, none of whose descendants is i: one plus j's coefficient
    of inbreeding on the diagonal, so that G is the additive variance of animals that are not
    inbred.

    Parameters
    ----------
    table : DataFrame or mapping of str to sequence
        One row for each animal, in any order. Parents that are not known are missing, or ``"0"``,
        ``"NA"``, ``"*"`` or empty; founders have rows of their own.
    id, sire, dam : str
        The columns.

    Returns
    -------
    Pedigree
        For ``known={"A": ...}``; there may be more animals than the data have, such as parents
        without records.

    Raises
    ------
    DataError
        If a column is not there, an animal stands twice, a parent has no row, or an animal is its
        own ancestor; the message names it.

    References
    ----------
    Henderson, C. R. (1976). A simple method for computing the inverse of a numerator relationship
    matrix used in prediction of breeding values. Biometrics 32, 69-83.
    https://doi.org/10.2307/2529339

    Examples
    --------
    >>> A = pedigree({"id": ["calf", "bull", "cow"], "sire": ["bull", None, None],
    ...               "dam": ["cow", None, None]})
    >>> A.labels, A.covariance_of(["calf", "cow"])
    (('bull', 'cow', 'calf'), array([[1. , 0.5],
           [0.5, 1. ]]))
    """
    animals = _column(table, id)
    check_labels(animals, len(animals), "pedigree")
    if unknown := next((name for name in animals if name in _UNKNOWN), None):
        raise DataError(
            f"An animal of the pedigree is called {unknown!r}, which stands for an unknown parent: "
            "leave the row out, or call it otherwise."
        )
    place = {name: k for k, name in enumerate(animals)}
    parents = [_parents(table, column, place, animals) for column in (sire, dam)]
    order = _sorted(np.stack(parents), animals)
    moved = np.empty(len(order) + 1, np.int64)
    moved[order], moved[-1] = np.arange(len(order)), -1
    sires, dams = (moved[of[order]] for of in parents)
    return Pedigree(tuple(animals[k] for k in order), sires, dams)


def _diagonal(sire: Ints, dam: Ints) -> tuple[Floats, Floats]:
    """Compute A's diagonal, and what of it is new in each animal, without A.

    An animal's effect is a sum of what was new in it and in its ancestors, each with its share.

    Parameters
    ----------
    sire, dam : ndarray of int64, shape (m,)
        Parents, smaller than their progeny; -1 where unknown.

    Returns
    -------
    diagonal, own : ndarray, shape (m,)

    References
    ----------
    Quaas, R. L. (1976). Computing the diagonal elements and inverse of a large numerator
    relationship matrix. Biometrics 32, 949-953. https://doi.org/10.2307/2529279
    """
    m = len(sire)
    diagonal, own = np.ones(m), np.ones(m)
    is_parent = np.zeros(m + 1, bool)
    is_parent[sire] = is_parent[dam] = True
    ancestors: dict[int, tuple[Ints, Floats]] = {}
    for k in range(m):
        known = [int(p) for p in (sire[k], dam[k]) if p >= 0]
        own[k] = 1.0 - 0.25 * sum(diagonal[p] for p in known)
        who, share = np.array([k]), np.ones(1)
        if known:
            all_of = np.concatenate([ancestors[p][0] for p in known])
            halves = 0.5 * np.concatenate([ancestors[p][1] for p in known])
            distinct, which = np.unique(all_of, return_inverse=True)
            who = np.append(distinct, k)
            share = np.append(np.bincount(which, halves), 1.0)
        diagonal[k] = float(share**2 @ own[who])
        if is_parent[k]:
            ancestors[k] = who, share
    return diagonal, own


def _column(table: Any, name: str) -> list[str]:
    names = list(table.keys() if hasattr(table, "keys") else getattr(table, "columns", []))
    if name not in names:
        shown = ", ".join(map(str, names[:6])) or "none"
        raise DataError(
            f"The pedigree has no column {name!r} (it has: {shown}).{nearest(name, names)} Say "
            "which columns hold animals and parents: pedigree(table, id=, sire=, dam=)."
        )
    return [_label(value) for value in table[name]]


def _label(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN, whatever holds it
        return ""
    return label(value)  # a column of whole numbers with missing ones holds floats


def _parents(
    table: Any, column: str, place: dict[str, int], animals: list[str]
) -> NDArray[np.int64]:
    found = _column(table, column)
    for name, animal in zip(found, animals, strict=True):
        if name not in _UNKNOWN and name not in place:
            raise DataError(
                f"{name!r} is the {column} of {animal!r} and has no row in the pedigree: add one, "
                f"with its own parents or none.{nearest(name, list(place)[:1000])}"
            )
    return np.array([place.get(name, -1) for name in found], np.int64)


def _sorted(parents: Ints, animals: list[str]) -> NDArray[np.int64]:
    """Return the animals' places, parents before progeny, else as the table has them.

    Raises
    ------
    DataError
        Naming an animal that is its own ancestor.
    """
    depth = np.zeros(parents.shape[1], np.int64)
    for _ in range(parents.shape[1] + 1):
        above = np.where(parents >= 0, depth[parents] + 1, 0).max(axis=0)
        if np.array_equal(above, depth):
            return np.argsort(depth, kind="stable").astype(np.int64)
        depth = above
    # Whoever follows the deepest parents of an animal that never settles comes back to it.
    at, seen = int(np.argmax(depth)), []
    while at not in seen:
        seen.append(at)
        at = max((int(p) for p in parents[:, at] if p >= 0), key=lambda p: depth[p])
    loop = [animals[k] for k in [at, *seen[: seen.index(at) - 1 if seen.index(at) else None : -1]]]
    raise DataError(
        f"{animals[at]!r} is its own ancestor in the pedigree ({' -> '.join(loop)}): correct one "
        "of these parents."
    )
