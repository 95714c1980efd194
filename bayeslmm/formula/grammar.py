"""The grammar of formulas: tokens into a tree, with R's precedences.

The tree exists to find the bars, to point at mistakes, and to be multiplied out (`terms`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError, nearest
from bayeslmm.formula.calls import GROUP_CALLS, STRUCTURES, Expression, read_expression
from bayeslmm.formula.nodes import (
    SMOOTH,
    Bars,
    GroupCall,
    Node,
    Number,
    Offset,
    Product,
    Smooth,
    Sum,
    Variable,
    unwrap,
)
from bayeslmm.formula.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bayeslmm.formula.nodes import Option

_FACTOR_MAKERS = ("factor", "as.factor", "as.character")


def parse_side(tokens: Sequence[Token], text: str) -> Sum:
    """Return the tree of one side of a formula.

    Parameters
    ----------
    tokens : sequence of Token
        All tokens of that side.
    text : str
        The whole formula, for messages.

    Returns
    -------
    Sum

    Raises
    ------
    FormulaError
        At the first token that does not fit.
    """
    parser = _Parser(tokens, text)
    side = parser.sum()
    if not parser.done:
        raise parser.unexpected()
    return side


class _Parser:
    """Recursive descent, one method for each of R's precedences, loosest first."""

    def __init__(self, tokens: Sequence[Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.position = 0

    @property
    def done(self) -> bool:
        return self.position >= len(self.tokens)

    def at(self, *symbols: str) -> bool:
        return not self.done and self.tokens[self.position].is_operator(*symbols)

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def sum(self) -> Sum:
        start = self.position
        parts: list[tuple[str, Node]] = []
        while not parts or self.at("+", "-"):
            sign = "+"
            while self.at("+", "-"):  # `x + -1` is R's way to write `x - 1`
                sign = sign if self.take().value == "+" else {"+": "-", "-": "+"}[sign]
            parts.append((sign, self.product()))
        return Sum(tuple(parts), self._span_from(start))

    def product(self) -> Node:
        return self._left_to_right({"*": "*", "/": "/"}, self.nested)

    def nested(self) -> Node:
        return self._left_to_right({"%in%": ":"}, self.interaction)

    def interaction(self) -> Node:
        return self._left_to_right({":": ":"}, self.power)

    def _left_to_right(self, operators: dict[str, str], operand: Callable[[], Node]) -> Node:
        start = self.position
        node = operand()
        while self.at(*operators):
            operator = operators[self.take().value]
            node = Product(operator, node, operand(), self._span_from(start))
        return node

    def power(self) -> Node:
        start = self.position
        base = self.atom()
        if not self.at("^", "**"):
            return base
        self.take()
        if self.done or not self.tokens[self.position].value.isdigit():
            raise self._error_here(
                "A power of terms needs a whole number, as in (a + b)^2; for a power of a column "
                "write I(x^2)."
            )
        exponent = self.take()
        value = min(int(exponent.value[:6]), 10**6)
        if value < 1:
            raise FormulaError("A power of terms is 1 or more.", self.text, exponent.span)
        if value > 1 and isinstance(base, (Variable, Expression)):
            raise FormulaError(
                f"Between terms ^ and ** cross them, so that this is {base.text} itself; for a "
                f"power of the column write I({base.text}^{value}).",
                self.text,
                self._span_from(start),
            )
        return Product("**", base, Number(value, exponent.span), self._span_from(start))

    def atom(self) -> Node:
        if self.done:
            raise self._ended()
        token = self.tokens[self.position]
        if token.is_operator("("):
            return self.parenthesis()
        if token.kind == "number":
            return self._number()
        if token.kind == "name":
            follower = self.tokens[self.position + 1 : self.position + 2]
            if follower and follower[0].is_operator("("):
                return self.call()
            self.take()
            return Variable(token.value, token.span)
        raise self.unexpected()

    def _number(self) -> Number:
        token = self.take()
        if token.value not in {"0", "1"}:
            raise FormulaError(
                "Only 0 and 1 may stand alone: they switch the intercept. Arithmetic goes inside "
                "I(), as in I(2 * x); a known part of the response inside offset().",
                self.text,
                token.span,
            )
        return Number(int(token.value), token.span)

    def parenthesis(self) -> Node:
        start = self.position
        self.take()
        if self.at(")"):
            self.take()
            raise FormulaError("Empty parentheses.", self.text, self._span_from(start))
        if self.at("|", "||"):
            raise self._error_here(
                "Nothing stands before the bar; write (1 | g) for a random intercept."
            )
        inside = self.sum()
        if not self.at("|", "||"):
            self._expect_closing()
            return inside
        return self._bars(inside, start, None)

    def _bars(self, inside: Sum, start: int, structure: Token | None) -> Bars:
        """Return a term in bars, from its first bar on."""
        correlated = self.take().value == "|"
        label = self._label() if correlated else ""
        if self.at(")"):
            raise self._error_here("Nothing stands after the bar: name the grouping factor.")
        self._refuse_call_as_group()
        group = self._group()
        if self.at("|", "||"):
            raise self._error_here(
                "A second bar: a random-effects term has one, as in (1 + x | g), or a label "
                "between two, as in (1 |p| g)."
            )
        options = self._options() if structure is not None else ()
        self._expect_closing()
        return Bars(inside, group, correlated, self._span_from(start), label, structure, options)

    def _label(self) -> str:
        here = self.tokens[self.position : self.position + 3]
        if len(here) < 3 or here[0].kind != "name" or not here[1].is_operator("|"):
            return ""
        if here[2].is_operator(")"):  # (1 | g |)
            return ""
        self.position += 2
        return here[0].value

    def _group(self) -> Node:
        start = self.position
        here = self.tokens[start : start + 2]
        if here[0].value not in GROUP_CALLS or not here[1].is_operator("("):
            return unwrap(self.sum())
        self.position += 2
        groups = [unwrap(self.sum())]
        while self.at(",") and not self._at_option():
            self.take()
            groups.append(unwrap(self.sum()))
        options = self._options()
        self._expect_closing()
        return GroupCall(here[0].value, tuple(groups), options, self._span_from(start))

    def _at_option(self) -> bool:
        """Return whether a comma is followed by ``name=``."""
        here = self.tokens[self.position + 1 : self.position + 3]
        return len(here) == 2 and here[0].kind == "name" and here[1].is_operator("=")

    def _options(self) -> tuple[Option, ...]:
        """Return what follows commas as ``name=value``, each value's tokens as they stand."""
        options = []
        while self.at(","):
            self.take()
            if self.done or self.tokens[self.position].kind != "name":
                raise self.unexpected()
            name = self.take()
            if not self.at("="):
                raise self._error_here(f"An option has a value: {name.value}=...")
            self.take()
            first, depth = self.position, 0
            while not self.done and not (depth == 0 and self.at(",", ")")):
                token = self.take()
                depth += token.is_operator("(", "[") - token.is_operator(")", "]")
            if first == self.position:
                raise self._error_here(f"{name.value}= of what?")
            options.append((name, tuple(self.tokens[first : self.position])))
        return tuple(options)

    def _refuse_call_as_group(self) -> None:
        here = self.tokens[self.position : self.position + 2]
        if here[0].value in _FACTOR_MAKERS and here[1].is_operator("("):
            raise self._error_here(
                f"What stands after the bar is read as labels without {here[0].value}(): write the "
                "column alone, as in (1 | g)."
            )

    def call(self) -> Node:
        start = self.position
        depth = 0
        while True:
            token = self.take()
            depth += token.is_operator("(", "[", "{") - token.is_operator(")", "]", "}")
            if depth == 0 and self.position > start + 1:
                break
        tokens = self.tokens[start : self.position]
        span = self._span_from(start)
        name = tokens[0].value
        if len(tokens) == 3:
            raise FormulaError(f"Empty parentheses: {name}() of what?", self.text, span)
        if any(token.is_operator("|", "||") for token in tokens):
            return self._structure(start, span)
        if name == SMOOTH and not tokens[0].quoted:
            return self._smooth(start)
        if name == "offset" and not tokens[0].quoted:
            inside = unwrap(parse_side(tokens[2:-1], self.text)) if len(tokens) == 4 else None
            if isinstance(inside, Variable):
                return Offset(inside, span)
            return Offset(self._offset_expression(tokens), span)
        return read_expression(tokens, self.text)

    def _offset_expression(self, tokens: Sequence[Token]) -> Expression:
        inner = tokens[2:-1]
        is_one_call = (
            inner[0].kind == "name" and inner[1].is_operator("(") and _closes_last(inner[1:])
        )
        if is_one_call:
            return read_expression(inner, self.text)
        # Arithmetic: I() around it makes it a call, without a change of meaning.
        return read_expression(
            [Token("name", "I", tokens[0].span), tokens[1], *inner, tokens[-1]], self.text
        )

    def _structure(self, start: int, span: tuple[int, int]) -> Bars:
        """Return ``name(columns | group)``, which stands from `start` on."""
        name = self.tokens[start]
        if name.value not in STRUCTURES or name.quoted:
            raise FormulaError(
                f"A bar inside {name.value}(): random-effects terms stand on their own, as in "
                f"(1 + x | g).{nearest(name.value, STRUCTURES)}",
                self.text,
                span,
            )
        self.position = start + 2
        if self.at("|", "||"):
            raise self._error_here(f"Nothing stands before the bar; write {name.value}(0 + f | g).")
        inside = self.sum()
        if not self.at("|", "||"):
            raise self.unexpected()
        return self._bars(inside, start, name)

    def _smooth(self, start: int) -> Smooth:
        """Return ``s(x, ...)``, which stands from `start` on."""
        self.position = start + 2
        arguments = [unwrap(self.sum())]
        while self.at(",") and not self._at_option():
            self.take()
            arguments.append(unwrap(self.sum()))
        options = self._options()
        self._expect_closing()
        return Smooth(tuple(arguments), options, self._span_from(start))

    def _expect_closing(self) -> None:
        if not self.at(")"):
            raise self.unexpected()
        self.take()

    def _span_from(self, start: int) -> tuple[int, int]:
        return (self.tokens[start].span[0], self.tokens[self.position - 1].span[1])

    def _error_here(self, message: str) -> FormulaError:
        token = self.tokens[min(self.position, len(self.tokens) - 1)]
        return FormulaError(message, self.text, token.span)

    def _ended(self) -> FormulaError:
        end = self.tokens[-1].span[1] if self.tokens else len(self.text)
        return FormulaError("The formula stops where a term is due.", self.text, (end, end + 1))

    def unexpected(self) -> FormulaError:
        if self.done:
            return self._ended()
        token = self.tokens[self.position]
        hints = {
            "|": "A random-effects term needs parentheses, as in (1 + x | g).",
            "||": "A random-effects term needs parentheses, as in (1 + x || g).",
            ".": "'.' (all other columns) is not supported: name the columns.",
            "[": "Indexing is not supported: make the column first.",
            ")": "A term is due before this parenthesis.",
            "$": (
                "'$' takes a column out of a table, which a formula has no need of: name the "
                "column alone and give the table as data."
            ),
            ",": (
                "A comma ends no formula: data, weights and the like are arguments of the call, "
                "outside the formula's quotation marks."
            ),
        }
        comparisons = dict.fromkeys(
            ("<", ">", "<=", ">=", "==", "!="), "Comparisons go inside I(), as in I(x > 3)."
        )
        default = (
            f"{token.value!r} cannot stand here: terms are joined by + - * : / ^, and arithmetic "
            "goes inside I()."
        )
        message = (hints | comparisons).get(token.value, default)
        return FormulaError(default if token.kind != "operator" else message, self.text, token.span)


def _closes_last(tokens: Sequence[Token]) -> bool:
    depth = 0
    for i, token in enumerate(tokens):
        depth += token.is_operator("(") - token.is_operator(")")
        if depth == 0:
            return i == len(tokens) - 1
    return False
