"""Random-effects terms: what stands in bars, columns left and a grouping factor right."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayeslmm.errors import FormulaError
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.expand import TermSet, expand
from bayeslmm.formula.grammar import (
    Bars,
    Node,
    Number,
    Offset,
    Product,
    Sum,
    Variable,
    walk,
)
from bayeslmm.formula.tokens import quote


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One ``(columns | factor)`` of a formula, nesting already expanded.

    Attributes
    ----------
    columns : str
        Right-hand-side text of the columns in canonical form, e.g. ``"1 + Days"``.
    variables : tuple of str
        The variables whose combinations are the levels: ``("Subject",)``, or ``("a", "b")`` for
        the factor ``a:b``.
    correlated : bool
        False for ``||``: every column then has a variance of its own and no correlations.
    span : tuple of int
        Where the term stands in the formula's text; not part of the value.
    """

    columns: str
    variables: tuple[str, ...]
    correlated: bool = True
    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    @property
    def factor(self) -> str:
        """Name of the grouping factor, e.g. ``"Subject"`` or ``"a:b"``."""
        return ":".join(self.variables)

    def __str__(self) -> str:
        bars = "|" if self.correlated else "||"
        return f"({self.columns} {bars} {':'.join(map(quote, self.variables))})"


def flatten(side: Sum, text: str) -> list[tuple[str, Node]]:
    """Return the parts of a sum and of the sums in parentheses that it adds."""
    parts: list[tuple[str, Node]] = []
    for sign, part in side.parts:
        special = [node for node in walk(part) if isinstance(node, (Bars, Offset))]
        if sign == "+" and isinstance(part, Sum):
            parts.extend(flatten(part, text))
        elif not special:
            parts.append((sign, part))
        elif sign == "-":
            what = "A random-effects term" if isinstance(special[0], Bars) else "An offset"
            raise FormulaError(f"{what} cannot be taken away: leave it out.", text, part.span)
        elif isinstance(part, (Bars, Offset)):
            parts.append((sign, part))
        else:
            what = "A random-effects term" if isinstance(special[0], Bars) else "An offset"
            raise FormulaError(f"{what} can only be added, not multiplied.", text, special[0].span)
    return parts


def columns_of(bars: Bars, text: str) -> TermSet:
    """Return the terms left of a bar."""
    for node in walk(bars.columns):
        if isinstance(node, (Bars, Offset)):
            what = "random-effects term" if isinstance(node, Bars) else "offset"
            raise FormulaError(f"There is no {what} inside bars.", text, node.span)
    columns = expand(Sum(tuple(flatten(bars.columns, text)), bars.columns.span), text)
    if not (columns.intercept or columns.terms):
        raise FormulaError(
            "No column is left to vary: the intercept is taken away and nothing added.",
            text,
            bars.columns.span,
        )
    return columns


def random_terms(bars: Bars, columns: str, text: str) -> list[RandomTerm]:
    terms = [
        RandomTerm(columns, variables, bars.correlated, bars.span)
        for variables in _factors(bars.group, text)
    ]
    for term in terms:
        if len(set(term.variables)) < len(term.variables):
            raise FormulaError(
                f"The grouping factor {term.factor!r} names a column twice.",
                text,
                bars.group.span,
            )
    return terms


def _factors(group: Node, text: str) -> list[tuple[str, ...]]:
    """Return the grouping factors right of a bar, nesting expanded."""
    match group:
        case Variable():
            return [(group.name,)]
        case Product(operator=":"):
            left, right = _factors(group.left, text), _factors(group.right, text)
            if len(left) == len(right) == 1:
                return [(*left[0], *right[0])]
            message = "Nesting inside ':' is ambiguous: write one term for each grouping factor."
        case Product(operator="/"):
            outer = _factors(group.left, text)
            inner = _factors(group.right, text)
            return [*outer, *((*outer[-1], *variables) for variables in inner)]
        case Sum(parts=(("+", only),)):
            return _factors(only, text)
        case Sum():
            message = "One grouping factor to a term: write (1 | a) + (1 | b), or (1 | a:b)."
        case Product(operator="*"):
            message = "Write (1 | a) + (1 | b) + (1 | a:b) for both factors and their combinations."
        case Expression():
            message = "A grouping factor is a column, not a call: make the column first."
        case Number():
            message = "A grouping factor is a column of the table, not a number."
        case _:
            message = "A grouping factor is a column, a:b, or nested a/b."
    raise FormulaError(message, text, group.span)
