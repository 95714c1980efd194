"""Trees in Newick's format: text into parents, lengths and labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"\s*(?:(?P<comment>\[[^\]]*\])|(?P<sign>[(),:;])|'(?P<quoted>(?:[^']|'')*)'"
    r"|(?P<plain>[^\s()\[\]':;,]+))"
)


@dataclass(frozen=True)
class NewickTree:
    """A rooted tree; nodes are numbered parents first, the root is 0.

    Attributes
    ----------
    parent : tuple of int
        Each node's parent, -1 of the root.
    length : tuple of float or None
        Of the branch above each node; None where the text has none.
    label : tuple of str
        Empty where a node has none.
    """

    parent: tuple[int, ...]
    length: tuple[float | None, ...]
    label: tuple[str, ...]


def read_newick(text: str) -> NewickTree:
    """Return the tree that a text in Newick's format holds.

    Labels may stand in quotes (a quote inside is doubled), comments in brackets; underscores stay
    as they are.

    Parameters
    ----------
    text : str
        For example ``"((a:1, b:1):2, 'c d':3);"``.

    Returns
    -------
    NewickTree

    Raises
    ------
    DataError
        If it is no such text, with the place where it ends to be one.

    References
    ----------
    Felsenstein, J. (2004). Inferring Phylogenies, chapter 35. Sinauer.

    Examples
    --------
    >>> tree = read_newick("((a:1,b:1):2,'c d':3);")
    >>> tree.parent, tree.length, tree.label
    ((-1, 0, 1, 1, 0), (None, 2.0, 1.0, 1.0, 3.0), ('', '', 'a', 'b', 'c d'))
    """
    if text.lstrip().upper().startswith("#NEXUS"):
        raise DataError(
            "This is a Nexus file, which holds more than a tree: write the tree in Newick's "
            "format, in R as ape::write.tree(tree, 'tree.nwk')."
        )
    return _Reader(text).tree()


class _Reader:
    """Reads one tree, without recursion: trees may be as deep as they have tips."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parent: list[int] = []
        self.length: list[float | None] = []
        self.label: list[str] = []

    def tree(self) -> NewickTree:
        here, ended = self._add(-1), False
        tokens = self._tokens()
        for kind, value, at in tokens:
            if ended:
                raise self._error("holds more than one tree, or something after it", at)
            if kind == "label":
                self._name(here, value, at)
            elif value == "(":
                here = self._open(here, at)
            elif value == ":":
                self.length[here] = self._number(*next(tokens, ("sign", "its end", at)))
            elif value == ";":
                ended = True
            else:
                here = self._step(here, value, at)
        if self.parent[here] >= 0 or len(self.parent) == 1:
            raise self._error("ends before the tree does", len(self.text))
        return NewickTree(tuple(self.parent), tuple(self.length), tuple(self.label))

    def _name(self, here: int, value: str, at: int) -> None:
        if self.label[here] or self.length[here] is not None:
            raise self._error(f"has the label {value!r} in a wrong place", at)
        self.label[here] = value

    def _open(self, here: int, at: int) -> int:
        if self.label[here] or self._has_children(here):
            raise self._error("opens a clade where none can begin", at)
        return self._add(here)

    def _step(self, here: int, sign: str, at: int) -> int:
        """Go on to the next child, or back to the parent."""
        above = self.parent[here]
        if above < 0:
            raise self._error(f"has a {sign!r} outside all clades", at)
        if not self.label[here] and not self._has_children(here):
            raise self._error("has a tip without a label", at)
        return self._add(above) if sign == "," else above

    def _add(self, parent: int) -> int:
        self.parent.append(parent)
        self.length.append(None)
        self.label.append("")
        return len(self.parent) - 1

    def _has_children(self, node: int) -> bool:
        return node + 1 < len(self.parent) and self.parent[node + 1] == node

    def _number(self, kind: str, value: str, at: int) -> float:
        try:
            found = float(value) if kind == "label" else float("nan")
        except ValueError:
            found = float("nan")
        if not 0.0 <= found < float("inf"):
            raise self._error(f"has {value!r} for the length of a branch, zero or more", at)
        return found

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise self._error("cannot be read", at)
            if found["sign"]:
                yield "sign", found["sign"], at
            elif found["quoted"] is not None:
                yield "label", found["quoted"].replace("''", "'"), at
            elif found["plain"]:
                yield "label", found["plain"], at
            at = found.end()

    def _error(self, what: str, at: int) -> DataError:
        around = self.text[max(at - 20, 0) : at + 20].strip()
        return DataError(
            f"The tree in Newick's format {what}, at {around!r} (character {at}): a tree is "
            "written '((a:1,b:1):1,c:2);'."
        )
