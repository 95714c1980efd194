"""`Layout`: how designs of single responses stand in a stacked one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bayeslmm import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Blocks of a factor's columns, each column as (response, its place in that response's factor).
    type PartBlocks = tuple[tuple[tuple[int, int], ...], ...]


class PartState(Protocol):
    """What is asked of a response's own state; see `DesignState`."""

    @property
    def coef(self) -> tuple[str, ...]:
        """Names of its fixed effects."""
        ...

    @property
    def terms(self) -> Mapping[str, tuple[str, ...]]:
        """Each grouping factor's columns."""
        ...

    def to_json(self, *, levels: bool = True) -> str:
        """Return it as JSON."""
        ...


@dataclass(frozen=True)
class Layout[State: PartState]:
    """What it takes to take a stacked design apart, and to stack new rows.

    Attributes
    ----------
    names : tuple of str
        The responses, or the categories that have a predictor.
    parts : tuple of DesignState
        The state of each one's own design.
    blocks : mapping of str to tuple
        Of each grouping factor the blocks of correlated columns, in order.
    categories : tuple of str
        All categories, the reference first; none of several responses.
    """

    names: tuple[str, ...]
    parts: tuple[State, ...]
    blocks: Mapping[str, PartBlocks]
    categories: tuple[str, ...] = ()

    def coef(self, part: int) -> tuple[str, ...]:
        """Return the names that a response's fixed effects have beside the others'."""
        return tuple(names.of_response(self.names[part], name) for name in self.parts[part].coef)

    @property
    def all_coef(self) -> tuple[str, ...]:
        """Those of all responses, one after the other."""
        return tuple(name for k in range(len(self.parts)) for name in self.coef(k))

    def terms(self, factor: str) -> tuple[str, ...]:
        """Return the names of all columns of a grouping factor."""
        return tuple(
            names.of_response(self.names[part], self.parts[part].terms[factor][column])
            for block in self.blocks[factor]
            for part, column in block
        )

    def places(self, factor: str, part: int) -> tuple[int, ...]:
        """Return where the columns of a response's own factor stand in the factor's columns."""
        flat = [pair for block in self.blocks[factor] for pair in block]
        own = len(self.parts[part].terms.get(factor, ()))
        return tuple(flat.index((part, column)) for column in range(own))

    def plain(self, *, levels: bool) -> dict[str, Any]:
        """Return what stands in JSON beside the parts' states."""
        return {
            "names": self.names,
            "categories": self.categories,
            "parts": [part.to_json(levels=levels) for part in self.parts],
            "blocks": {
                name: [list(block) for block in found] for name, found in self.blocks.items()
            },
        }


def layout_of_plain[State: PartState](
    content: Mapping[str, Any] | None, read: Callable[[str], State]
) -> Layout[State] | None:
    """Return what `Layout.plain` wrote; `read` reads a part's state."""
    if content is None:
        return None
    blocks: dict[str, PartBlocks] = {
        str(name): tuple(tuple((int(p), int(c)) for p, c in block) for block in found)
        for name, found in content["blocks"].items()
    }
    parts = tuple(read(part) for part in content["parts"])
    categories = tuple(map(str, content["categories"]))
    return Layout(tuple(map(str, content["names"])), parts, blocks, categories)
