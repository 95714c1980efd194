"""The responses of a formula's text: one text for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.tokens import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.formula.tokens import Token

# What joins responses of one right-hand side, and what stands between formulas.
JOIN, SEPARATOR = "mvbind", ";"


def responses_apart(text: str) -> tuple[str, ...]:
    """Return one text for each response.

    Parameters
    ----------
    text : str
        A formula, of several responses as ``mvbind(y, z) ~ x`` or ``y ~ x; z ~ w``.

    Returns
    -------
    tuple of str

    Raises
    ------
    FormulaError
        If ``mvbind()`` is not the whole left-hand side, or joins fewer than two responses.

    Examples
    --------
    >>> responses_apart("mvbind(y, log(z)) ~ x + (1 |p| g)")
    ('y ~ x + (1 |p| g)', 'log(z) ~ x + (1 |p| g)')
    >>> responses_apart("y ~ x; z ~ 1")
    ('y ~ x', 'z ~ 1')
    """
    tokens = tokenize(text)
    ends = [token.span[0] for token in tokens if token.is_operator(SEPARATOR)]
    if ends:
        pieces = [
            text[a:b] for a, b in zip([0, *(e + 1 for e in ends)], [*ends, None], strict=True)
        ]
        return tuple(one for piece in pieces for one in responses_apart(piece.strip()))
    joined = [token for token in tokens[:1] if token.value == JOIN and not token.quoted]
    # Of more than two columns cbind() can be nothing else; of two it is R's of a binomial.
    many = _arguments(tokens) if tokens and tokens[0].value == "cbind" else []
    if not joined and len(many) < 3:
        return (text,)
    inside = _arguments(tokens)
    close = inside[-1][-1] if inside and inside[-1] else tokens[0]
    after = [token for token in tokens if token.span[0] > close.span[0]][1:]
    if not after or not after[0].is_operator("~") or not all(inside):
        raise FormulaError(
            f"Several responses are {tokens[0].value}(y, z) by themselves left of the tilde.",
            text,
            tokens[0].span,
        )
    if len(inside) < 2:
        raise FormulaError(
            f"{JOIN}() joins two responses or more; one stands by itself.", text, tokens[0].span
        )
    right = text[after[0].span[0] :]
    return tuple(f"{text[one[0].span[0] : one[-1].span[1]]} {right}" for one in inside)


def _arguments(tokens: Sequence[Token]) -> list[list[Token]]:
    """Return the tokens of each argument of the call that tokens begin with; none of no call."""
    if len(tokens) < 3 or not tokens[1].is_operator("("):
        return []
    found: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[1:]:
        opens, closes = token.is_operator("(", "["), token.is_operator(")", "]")
        depth += opens - closes
        if depth == 0:
            return found
        if depth == 1 and token.is_operator(","):
            found.append([])
        elif not (depth == 1 and opens):
            found[-1].append(token)
    return found
