"""A known covariance of species: that of Brownian motion along a phylogeny."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bayeslmm.errors import ArgumentError, DataError, DataWarning, names_keywords, warn
from bayeslmm.relationships.level_map import LevelMap
from bayeslmm.relationships.matrix import check_labels
from bayeslmm.relationships.newick import NewickTree, read_newick
from bayeslmm.relationships.nodes import NodePrecision
from bayeslmm.relationships.relationship import Relationship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.relationship import Arrays

# Heights of tips that are the same but for the digits that files keep.
_ULTRAMETRIC = 1e-4
# Branches above tips, for each tip, up to which tips are eliminated one by one; and tips from which
# on a triangular root would be large, and paths of branches are few.
_FEWER_BRANCHES, _MANY_TIPS = 0.7, 1000


@dataclass(frozen=True, eq=False)
class Phylogeny(Relationship):
    """A rooted tree with branch lengths, nodes numbered parents first.

    Attributes
    ----------
    parent : ndarray of int64, shape (nodes,)
        Each node's parent, -1 of the root.
    length : ndarray, shape (nodes,)
        Of the branch above each node, in the units of the covariance; zero above the root.
    tip : ndarray of int64, shape (m,)
        The node of each label.
    """

    parent: Ints
    length: Floats
    tip: Ints

    @property
    def kind(self) -> str:
        """``"phylogeny"``."""
        return "phylogeny"

    @cached_property
    def heights(self) -> Floats:
        """Distance of each tip from the root, shape (m,): the diagonal of A."""
        return self._depth[self.tip]

    @cached_property
    def _depth(self) -> Floats:
        depth = np.zeros(len(self.parent))
        for node in range(1, len(depth)):
            depth[node] = depth[self.parent[node]] + self.length[node]
        return depth

    @property
    def mean_diagonal(self) -> float:
        """The mean distance of tips from the root."""
        return float(self.heights.mean())

    def covariance(self) -> Floats:
        """Return A: for each pair of tips the depth of their last common ancestor."""
        return self.covariance_of(self.labels)

    def covariance_of(self, levels: Sequence[str]) -> Floats:
        """Return A of some tips, shape (k, k)."""
        node = self.tip[self.places(levels)]
        first, last = self._runs(node)
        order = np.argsort(first[node], kind="stable")
        sorted_A = np.zeros((len(node), len(node)))
        # Parents come before children, whose clades are parts of theirs.
        for place in np.flatnonzero(last > first):
            run = slice(first[place], last[place])
            sorted_A[run, run] = self._depth[place]
        A = np.empty_like(sorted_A)
        A[np.ix_(order, order)] = sorted_A
        return A

    def level_map(self, levels: Sequence[str]) -> LevelMap:
        """Return T of some tips, from the branches that end in them and those above.

        Trees of many tips to a node have fewer branches above than tips, and what is new in a
        tip's own branch is its alone. Of large trees each tip has a few of the branches above.
        """
        tips = self.tip[self.places(levels)]
        inner = np.flatnonzero(self._above(tips) & (self.length > 0.0))
        if len(inner) > _FEWER_BRANCHES * len(tips) and len(tips) <= _MANY_TIPS:
            return super().level_map(levels)
        compute = partial(self._root_by_branches, tips, inner)
        nodes = self._node_maker(levels)
        return LevelMap(compute, len(tips) + len(inner), n_alone=len(tips), nodes=nodes)

    def _above(self, tips: Ints) -> NDArray[np.bool_]:
        """Return which nodes are above some tips, the root left out."""
        above = np.zeros(len(self.parent), bool)
        for node in self.parent[tips].tolist():
            at = node
            while at > 0 and not above[at]:
                above[at] = True
                at = int(self.parent[at])
        return above

    def nodes_of(self, levels: Sequence[str]) -> NodePrecision:
        """Return tips and the forks above them, each but for its branch like the one above it.

        The ends of a branch without length are one node.
        """
        tips = self.tip[self.places(levels)]
        there = self._above(tips)
        there[tips] = True
        ends = np.flatnonzero(there & (self.length > 0.0))
        node = np.full(len(self.parent), -1, np.int64)  # that of the root, which has no effect
        node[ends] = np.arange(len(ends))
        for at in np.flatnonzero(there & (self.length == 0.0)).tolist():
            node[at] = node[self.parent[at]]
        own, above, weight = node[ends], node[self.parent[ends]], 1.0 / self.length[ends]
        inside = above >= 0
        a, b, w = own[inside], above[inside], weight[inside]
        return NodePrecision(
            len(ends),
            node[tips],
            np.concatenate([own, b, a, b]),
            np.concatenate([own, b, b, a]),
            np.concatenate([weight, w, -w, -w]),
            self._depth[tips],
        )

    def _root_by_branches(self, tips: Ints, inner: Ints) -> csr_array:
        column = np.full(len(self.parent), -1, np.int64)
        column[inner] = np.arange(len(inner))
        rows, branches = [], []
        for k, node in enumerate(self.parent[tips].tolist()):
            at = node
            while at > 0:
                if column[at] >= 0:
                    rows.append(k)
                    branches.append(at)
                at = int(self.parent[at])
        roots = np.sqrt(self.length)
        shape = len(tips), len(inner)
        paths = csr_array((roots[branches], (rows, column[branches])), shape)
        own = np.arange(len(tips))
        alone = csr_array((roots[tips], (own, own)), (len(tips), len(tips)))
        found = csr_array(hstack([alone, paths]))
        found.sort_indices()
        return found

    def _runs(self, tips: Ints) -> tuple[Ints, Ints]:
        """Return, for each node, the run of these tips below it in an order that keeps clades."""
        count = np.zeros(len(self.parent), np.int64)
        count[tips] = 1
        for node in range(len(count) - 1, 0, -1):
            count[self.parent[node]] += count[node]
        first, taken = np.zeros_like(count), np.zeros_like(count)
        for node in range(1, len(count)):
            above = self.parent[node]
            first[node] = first[above] + taken[above]
            taken[above] += count[node]
        return first, first + count

    def arrays(self) -> Arrays:
        """Return the tree."""
        return {"parent": self.parent, "length": self.length, "tip": self.tip}


@names_keywords
def phylogeny(newick: str | os.PathLike[str], *, scale: bool = True) -> Phylogeny:
    r"""Return the covariance of species that Brownian motion along a phylogeny gives.

    .. math:: A_{ij} = t_{ij} / \bar t

    with :math:`t_{ij}` the distance from the root to the last common ancestor of tips i and j, and
    :math:`\bar t` the mean distance from the root to the tips, so that the sd of
    ``(1 | gr(species, cov=A))`` is that of a species, as with R's ``ape::vcv(tree, corr=TRUE)`` of
    an ultrametric tree.

    Parameters
    ----------
    newick : str or path
        A tree with branch lengths in Newick's format, or the path of a file that holds one.
    scale : bool
        Whether to divide by the mean distance; without, G is in the unit of branch lengths.

    Returns
    -------
    Phylogeny
        For ``known={"A": ...}``; its labels are the tips, and may be more than the data have.

    Raises
    ------
    DataError
        If the text is no tree, a branch has no length, a tip stands twice, or two tips are at no
        distance from each other.

    Warns
    -----
    DataWarning
        If the tree is not ultrametric: tips then have different variances.

    References
    ----------
    Felsenstein, J. (1985). Phylogenies and the comparative method. American Naturalist 125, 1-15.
    https://doi.org/10.1086/284325

    Examples
    --------
    >>> A = phylogeny("((lion:1,tiger:1):3,wolf:4);")
    >>> A.labels, A.covariance()
    (('lion', 'tiger', 'wolf'), array([[1.  , 0.75, 0.  ],
           [0.75, 1.  , 0.  ],
           [0.  , 0.  , 1.  ]]))
    """
    if not isinstance(newick, str | os.PathLike):
        raise ArgumentError(
            f"phylogeny takes a tree in Newick's format or a file's path, not a "
            f"{type(newick).__name__}; in R, ape::write.tree(tree, 'tree.nwk') writes one."
        )
    tree = read_newick(_text(newick))
    parent = np.array(tree.parent, np.int64)
    inner = np.zeros(len(parent), bool)
    inner[parent[1:]] = True
    tip = np.flatnonzero(~inner)
    labels = tuple(tree.label[node] for node in tip)
    check_labels(labels, len(labels), "phylogeny")
    length = _lengths(tree, inner)
    found = Phylogeny(labels, parent, length, tip)
    _require_apart(found)
    mean = found.mean_diagonal
    spread = float(np.ptp(found.heights)) / mean
    if spread > _ULTRAMETRIC:
        low, high = labels[int(np.argmin(found.heights))], labels[int(np.argmax(found.heights))]
        warn(
            f"The phylogeny is not ultrametric: its tips are {found.heights.min() / mean:.3g} "
            f"({low!r}) to {found.heights.max() / mean:.3g} ({high!r}) times the mean distance "
            "from the root, and their variances differ as much. Where branch lengths are no "
            "times, make them so, in R by ape::chronos(tree).",
            DataWarning,
        )
    return Phylogeny(labels, parent, length / mean, tip) if scale else found


def _text(newick: str | os.PathLike[str]) -> str:
    """Return the text of a tree, or of the file that a path names."""
    if isinstance(newick, str) and newick.lstrip().startswith(("(", "[", "#")):
        return newick
    try:
        return Path(newick).read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{str(newick)[:80]!r} is no tree in Newick's format, which begins with a "
            f"parenthesis, and no file that can be read: {reason}."
        ) from None


def _lengths(tree: NewickTree, inner: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Return lengths of branches; raise where one has none."""
    for node, length in enumerate(tree.length):
        if node and length is None:
            what = "an inner branch" if inner[node] else f"the branch of {tree.label[node]!r}"
            raise DataError(
                f"In the phylogeny {what} has no length: Brownian motion needs all of them. In R, "
                "ape::compute.brlen(tree) makes some from the tree's shape."
            )
    lengths = np.array([0.0 if length is None else length for length in tree.length])
    lengths[0] = 0.0
    return lengths


def _require_apart(found: Phylogeny) -> None:
    """Raise where tips are at no distance from each other, or from the root."""
    ends = np.zeros(len(found.parent))
    ends[found.tip] = found.length[found.tip]
    if not found.heights.all():
        label = found.labels[int(np.argmin(found.heights))]
        raise DataError(f"The tip {label!r} of the phylogeny is at no distance from its root.")
    above: dict[int, str] = {}
    for label, node in zip(found.labels, found.tip.tolist(), strict=True):
        if found.length[node] > 0.0:
            continue
        at = node
        while at and found.length[at] == 0.0:
            at = int(found.parent[at])
        if at in above:
            raise DataError(
                f"The tips {above[at]!r} and {label!r} of the phylogeny are at no distance from "
                "each other: their effects would be one. Let them be one tip, or give their "
                "branches a length."
            )
        above[at] = label
