"""The tree of a formula multiplied out into terms; the algebra itself is formulaic's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.nodes import Atom, Node, Number, Product, Sum, Variable, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TERMS = 2000


@dataclass(frozen=True, slots=True)
class TermSet:
    """The right-hand side of one model matrix; ``str()`` of it is its canonical text.

    Attributes
    ----------
    intercept : bool
        Whether a column of ones comes first.
    terms : tuple of tuple of Variable or Expression
        Products of columns and calls.
    """

    intercept: bool
    terms: tuple[tuple[Atom, ...], ...]

    @property
    def atoms(self) -> Iterator[Atom]:
        """Every column and call, with repetitions."""
        return (atom for term in self.terms for atom in term)

    def __str__(self) -> str:
        written = [":".join(atom.text for atom in term) for term in self.terms]
        return " + ".join(["1" if self.intercept else "0", *written])


def expand(side: Sum, text: str) -> TermSet:
    """Return a sum multiplied out into an intercept and terms, ordered as R orders them.

    Parameters
    ----------
    side : Sum
        Without bars or offsets.
    text : str
        The whole formula, for messages.

    Returns
    -------
    TermSet
        Main effects before interactions.

    Raises
    ------
    FormulaError
        Where 0 or 1 stands inside a product, or the formula explodes.

    Examples
    --------
    >>> from bayeslmm.formula.grammar import parse_side
    >>> from bayeslmm.formula.tokens import tokenize
    >>> side = parse_side(tokenize("0 + a * b"), "0 + a * b")
    >>> print(expand(side, "0 + a * b"))
    0 + a + b + a:b
    """
    from formulaic.parser import DefaultFormulaParser  # noqa: PLC0415 - slow to import

    if _count(side, text) > MAX_TERMS:
        raise FormulaError(f"This multiplies out to more than {MAX_TERMS} terms.", text, side.span)
    atoms: dict[str, Atom] = {}
    placeholders: dict[str, str] = {}
    for node in walk(side):
        if isinstance(node, (Variable, Expression)):
            placeholder = placeholders.setdefault(node.text, f"a{len(placeholders)}")
            atoms.setdefault(placeholder, node)
    # Placeholders, so that no name and no call needs quoting in formulaic's own syntax.
    rendered = f"1 {_render(side, placeholders)}"
    found = DefaultFormulaParser(include_intercept=False).get_terms(rendered)
    products = [tuple(str(factor) for factor in term.factors) for term in found]
    ordered = sorted((p for p in products if p != ("1",)), key=len)
    return TermSet(
        intercept=("1",) in products,
        terms=tuple(tuple(atoms[name] for name in product) for product in ordered),
    )


def _render(node: Node, placeholders: dict[str, str]) -> str:
    match node:
        case Number():
            return str(node.value)
        case Variable() | Expression():
            return placeholders[node.text]
        case Product(operator="**", right=Number(value=exponent)):
            # Repeated crossing is the power and stays polynomial where formulaic's is not.
            base = _render(node.left, placeholders)
            atoms = {n.text for n in walk(node.left) if isinstance(n, (Variable, Expression))}
            return "(" + " * ".join([f"({base})"] * min(exponent, len(atoms))) + ")"
        case Product():
            left, right = _render(node.left, placeholders), _render(node.right, placeholders)
            return f"({left}) {node.operator} ({right})"
        case Sum():
            return " ".join(_signed(sign, part, placeholders) for sign, part in node.parts)
        case _:
            raise AssertionError(node)


def _signed(sign: str, part: Node, placeholders: dict[str, str]) -> str:
    if isinstance(part, Number):  # adding 0 takes 1 away
        return "+ 1" if (sign == "+") == (part.value == 1) else "- 1"
    return f"{sign} ({_render(part, placeholders)})"


def _count(node: Node, text: str) -> int:
    """Compute an upper bound of the number of terms; raise for numbers inside products."""
    match node:
        case Product(operator="**", right=Number(value=exponent)):
            _refuse_numbers(node.left, text)
            base = _count(node.left, text)
            return min(int((base + 1) ** min(exponent, 12, base)), MAX_TERMS * 10)
        case Product():
            _refuse_numbers(node.left, text)
            _refuse_numbers(node.right, text)
            left, right = _count(node.left, text), _count(node.right, text)
            return left * right if node.operator == ":" else left + right + left * right
        case Sum():
            return sum(_count(part, text) for _, part in node.parts)
        case _:
            return 1


def _refuse_numbers(node: Node, text: str) -> None:
    for inner in walk(node):
        if isinstance(inner, Number):
            raise FormulaError(
                f"{inner.value} switches the intercept and cannot be part of a product.",
                text,
                inner.span,
            )
