"""A formula from another one and what to change: ``. ~ . + x``, as in R's `update`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import FormulaError
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.nodes import SMOOTH
from bayeslmm.formula.tokens import Token, tokenize

if TYPE_CHECKING:
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.formula.smooth_terms import SmoothTerm

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")


def update_formula(old: MixedFormula, text: str) -> MixedFormula:
    """Return a formula in which dots stand for the sides of another one.

    Parameters
    ----------
    old : MixedFormula
        What the dots stand for: left its response, right everything that stands there.
    text : str
        Such as ``". ~ . + x"`` or ``". ~ . - (x | g) + (1 | g)"``. Inside a product or a call the
        right side's dot is the fixed part alone: ``". ~ . * x"``. Without dots it is the new
        formula.

    Returns
    -------
    MixedFormula

    Raises
    ------
    FormulaError
        If the text is no formula, or takes away a term in bars or an offset that is not there.

    Examples
    --------
    >>> old = parse_formula("y ~ x + (x | g)")
    >>> print(update_formula(old, ". ~ . + z - (x | g) + (1 | g)"))
    y ~ 1 + x + z + (1 | g)
    >>> print(update_formula(old, "log(.) ~ ."))
    log(y) ~ 1 + x + (1 + x | g)
    """
    tokens = tokenize(text)
    if not any(token.is_operator(".") for token in tokens):
        return parse_formula(text)
    tildes = [k for k, token in enumerate(tokens) if token.is_operator("~")]
    if len(tildes) != 1:
        raise FormulaError(
            "A change of a formula has one '~', with dots for what stays: '. ~ . + x'.", text
        )
    _require_lone_dots(tokens, text)
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    if not left or not right:
        raise FormulaError("Both sides of the '~' are needed: '. ~ . + x'.", text)
    response = _with_dots(left, text, old.response)
    return parse_formula(f"{response} ~ {_changed(old, right, text)}")


def _require_lone_dots(tokens: list[Token], text: str) -> None:
    for before, token in pairwise(tokens):
        dotted = before.is_operator(".") or token.is_operator(".")
        words = {before.kind, token.kind} & {"name", "number"}
        if dotted and words and before.span[1] == token.span[0]:
            span = (before.span[0], token.span[1])
            raise FormulaError("A dot stands by itself here, for a side that stays.", text, span)


def _changed(old: MixedFormula, right: list[Token], text: str) -> str:
    """Write the right side: the old one with what is added and without what is taken away."""
    fixed: list[str] = []
    offsets: list[str] = []
    random: list[RandomTerm] = []
    smooths: list[SmoothTerm] = []
    # The intercept is a switch, and no factor of a product.
    columns = old.fixed.removeprefix("1 + ").removeprefix("0 + ")
    for sign, piece in _pieces(right):
        if len(piece) == 1 and piece[0].is_operator("."):
            if sign == "-":
                raise FormulaError("Nothing is left without the old side.", text, piece[0].span)
            fixed.append(f"+ {old.fixed}")
            offsets.extend(old.offsets)
            random.extend(old.random)
            smooths.extend(old.smooths)
            continue
        written = _with_dots(piece, text, f"({columns})")
        if sign == "-" and _is_special(piece):
            away = parse_formula(f"{old.response} ~ 1 + {written}")
            held = ((away.random, random), (away.offsets, offsets), (away.smooths, smooths))
            _take_away(held, piece, text)
        elif _is_special(piece):
            added = parse_formula(f"{old.response} ~ 1 + {written}")
            offsets.extend(added.offsets)
            random.extend(added.random)
            smooths.extend(added.smooths)
        else:
            fixed.append(f"{sign} {written}")
    shown = [*(fixed or ["+ 1"]), *(f"+ offset({one})" for one in offsets)]
    return " ".join([*shown, *(f"+ {term}" for term in (*smooths, *random))]).removeprefix("+ ")


def _take_away(
    terms: tuple[tuple[tuple[Any, ...], list[Any]], ...], piece: list[Token], text: str
) -> None:
    """Take terms out of those of their own kind that are held."""
    for what, held in terms:
        for term in what:
            if term not in held:
                there = ", ".join(map(str, held)) or "none"
                raise FormulaError(
                    f"There is no {term} to take away; there are: {there}.",
                    text,
                    (piece[0].span[0], piece[-1].span[1]),
                )
            held.remove(term)


def _is_special(piece: list[Token]) -> bool:
    """Whether a piece is a term in bars, an offset or a smooth, outside the fixed part."""
    depths = _depths(piece)
    bars = any(
        token.is_operator("|", "||") and depth == 1
        for token, depth in zip(piece, depths, strict=True)
    )
    whole = piece[0].is_operator("(") and 0 not in depths[:-1]
    called = len(piece) > 1 and piece[1].is_operator("(") and not piece[0].quoted
    return (whole and bars) or (called and piece[0].value in {"offset", SMOOTH})


def _pieces(tokens: list[Token]) -> list[tuple[str, list[Token]]]:
    """Cut a side at the signs outside of brackets."""
    pieces: list[tuple[str, list[Token]]] = []
    sign, current = "+", list[Token]()
    for token, depth in zip(tokens, _depths(tokens), strict=True):
        if depth == 0 and token.is_operator("+", "-"):
            if current:
                pieces.append((sign, current))
                sign, current = token.value, []
            elif token.value == "-":
                sign = {"+": "-", "-": "+"}[sign]
            continue
        current.append(token)
    if current:
        pieces.append((sign, current))
    return pieces


def _depths(tokens: list[Token]) -> list[int]:
    """Return how deep in brackets each token stands; a closing one as deep as what is outside."""
    depth, depths = 0, []
    for token in tokens:
        depth -= token.is_operator(*_CLOSING)
        depths.append(depth + token.is_operator(*_OPENING))
        depth += token.is_operator(*_OPENING)
    return depths


def _with_dots(tokens: list[Token], text: str, meaning: str) -> str:
    """Return the text of some tokens with dots replaced."""
    start, written = tokens[0].span[0], ""
    for token in tokens:
        if token.is_operator("."):
            written += text[start : token.span[0]] + meaning
            start = token.span[1]
    return written + text[start : tokens[-1].span[1]]
