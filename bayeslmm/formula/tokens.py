"""A formula's text as tokens that remember where they stood, brackets already balanced."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bayeslmm.errors import FormulaError

_PATTERN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<name>[^\W\d]\w*(?:\.\w+)*)
  | (?P<quoted>`[^`]+`)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<operator>\|\||\*\*|%in%|==|!=|<=|>=|//|[-+*/:^|~()\[\]{}<>=,.!&@$%;?\\\#])
    """,
    re.VERBOSE,
)
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_OPENER = {closer: opener for opener, closer in _CLOSER.items()}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a formula.

    Attributes
    ----------
    kind : str
        ``"number"``, ``"name"``, ``"string"`` or ``"operator"``.
    value : str
        The text; of a name in backticks, what stands between them.
    span : tuple of int
        Start and end (exclusive) in the formula.
    quoted : bool
        True for a name in backticks.
    """

    kind: str
    value: str
    span: tuple[int, int]
    quoted: bool = False

    def is_operator(self, *symbols: str) -> bool:
        """Return whether the token is one of these operators or brackets."""
        return self.kind == "operator" and self.value in symbols


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a formula.

    Parameters
    ----------
    text : str
        The formula.

    Returns
    -------
    list of Token
        In order, without white space.

    Raises
    ------
    FormulaError
        For a character that no formula has, an open quotation, or brackets that do not match.

    Examples
    --------
    >>> [token.value for token in tokenize("y ~ `my x` + (1|g)")]
    ['y', '~', 'my x', '+', '(', '1', '|', 'g', ')']
    """
    tokens = []
    position = 0
    while position < len(text):
        match = _PATTERN.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        kind = str(match.lastgroup)
        if kind == "quoted":
            tokens.append(Token("name", match.group()[1:-1], match.span(), quoted=True))
        elif kind != "space":
            tokens.append(Token(kind, match.group(), match.span()))
        position = match.end()
    _check_brackets(tokens, text)
    return tokens


def quote(name: str) -> str:
    """Return a variable's name as a formula needs it: in backticks unless it is plain.

    Examples
    --------
    >>> quote("Days"), quote("my x"), quote("x.1")
    ('Days', '`my x`', 'x.1')
    """
    return name if re.fullmatch(r"[^\W\d]\w*(?:\.\w+)*", name) else f"`{name}`"


def find_variable(text: str, name: str) -> tuple[int, int] | None:
    """Return where a variable first stands in a formula, for the caret of an error message."""
    for token in tokenize(text):
        if token.kind == "name" and token.value == name:
            return token.span
    return None


def _unreadable(text: str, position: int) -> FormulaError:
    character = text[position]
    span = (position, position + 1)
    if character in "\"'`":
        return FormulaError(
            f"The quotation opened by {character} is not closed.", text, (position, len(text))
        )
    if character.isdigit():
        end = position + len(re.match(r"[\w.]+", text[position:]).group())  # type: ignore[union-attr]
        return FormulaError(
            f"{text[position:end]!r} is neither a number nor a name; a column whose name starts "
            "with a digit goes in backticks.",
            text,
            (position, end),
        )
    return FormulaError(f"The character {character!r} has no meaning in a formula.", text, span)


def _check_brackets(tokens: list[Token], text: str) -> None:
    open_brackets: list[Token] = []
    for token in tokens:
        if token.is_operator(*_CLOSER):
            open_brackets.append(token)
        elif token.is_operator(*_OPENER):
            if not open_brackets or open_brackets[-1].value != _OPENER[token.value]:
                raise FormulaError(
                    f"This {token.value!r} closes nothing: unbalanced parentheses.",
                    text,
                    token.span,
                )
            open_brackets.pop()
    if open_brackets:
        culprit = open_brackets[-1]
        raise FormulaError(
            f"This {culprit.value!r} is never closed: unbalanced parentheses.", text, culprit.span
        )
