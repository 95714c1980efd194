"""What a formula is parsed into: the nodes of its tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bayeslmm.formula.tokens import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.formula.calls import Expression
    from bayeslmm.formula.tokens import Token

# What smooths are called, as in mgcv and brms.
SMOOTH = "s"

type Option = tuple[Token, tuple[Token, ...]]


@dataclass(frozen=True, slots=True)
class Number:
    """``0`` or ``1``: the intercept's switch."""

    value: int
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Variable:
    """A column of the table; where it stands is no part of its value."""

    name: str
    span: tuple[int, int] = field(compare=False)

    @property
    def text(self) -> str:
        """The name as a formula spells it."""
        return quote(self.name)

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns read: this one."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Offset:
    """``offset(...)``: what is inside."""

    inside: Variable | Expression
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Smooth:
    """``s(x, k=20)``: what it is a function of, and its options, their tokens unread."""

    arguments: tuple[Node, ...]
    options: tuple[Option, ...]
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Product:
    """Two parts joined by ``*``, ``:``, ``/`` or ``**``."""

    operator: str
    left: Node
    right: Node
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sum:
    """Parts that are added or taken away."""

    parts: tuple[tuple[str, Node], ...]
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class GroupCall:
    """``gr(g, by=f)`` or ``mm(g1, g2)`` right of a bar; options by name, their tokens unread."""

    name: str
    groups: tuple[Node, ...]
    options: tuple[Option, ...]
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Bars:
    """``(columns | group)``, ``(columns |label| group)`` or ``name(columns | group)``.

    `correlated` is False for ``||``; `structure` is the name before the parentheses, with its
    options.
    """

    columns: Sum
    group: Node
    correlated: bool
    span: tuple[int, int]
    label: str = ""
    structure: Token | None = None
    options: tuple[Option, ...] = ()


type Atom = Variable | Expression
type Node = Number | Variable | Expression | Offset | Smooth | Product | Sum | Bars | GroupCall


def unwrap(node: Node) -> Node:
    """Return what stands inside parentheses around a single part."""
    while isinstance(node, Sum) and len(node.parts) == 1 and node.parts[0][0] == "+":
        node = node.parts[0][1]
    return node


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it, exponents left out."""
    yield node
    match node:
        case Product():
            yield from walk(node.left)
            if node.operator != "**":
                yield from walk(node.right)
        case Sum():
            for _, part in node.parts:
                yield from walk(part)
        case Bars():
            yield from walk(node.columns)
            yield from walk(node.group)
        case Smooth():
            for argument in node.arguments:
                yield from walk(argument)
        case _:
            return
