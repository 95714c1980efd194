"""Smooth terms: `s(x)`, `s(x, k=20, bs='cc')`, `s(x, by=f)`; what they ask for, without data."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.nodes import Smooth, Variable
from bayeslmm.formula.tokens import quote

if TYPE_CHECKING:
    from bayeslmm.formula.nodes import Atom
    from bayeslmm.formula.tokens import Token

# mgcv's, for smooths of one variable.
DEFAULT_SIZE = 10
DEFAULT_BASIS = "cr"
# The fewest basis functions that leave something to penalise.
SMALLEST = {"cr": 3, "cc": 4, "ps": 4}
_OPTIONS = ("k", "bs", "by", "knots")
_NO_OPTIONS = {
    "fx": "without a penalty it is a regression spline: cr(x, df=5, constraints='center')",
    "sp": "how much is smoothed is estimated: the prior of its sd says what is expected",
    "m": "penalties are on the second derivative, of 'ps' on second differences",
    "id": "each smooth has a standard deviation of its own",
}
_NO_BASES = {
    "tp": (
        "thin plate splines take an eigendecomposition with a row and a column for each distinct "
        "value, and of one variable give nearly the curve of bs='cr': leave bs= out"
    ),
    "ts": "write bs='cr'; nothing shrinks its straight line to zero",
    "cs": "write bs='cr'; nothing shrinks its straight line to zero",
    "cp": "write bs='cc' for a curve that closes on itself",
    "re": "write (1 | g) for an effect of each level of g",
    "gp": "write bs='cr'; there are no Gaussian processes",
    "ad": "write bs='cr' with a larger k; its smoothness is the same everywhere",
    "bs": "write bs='ps', B-splines with a penalty on differences",
    "fs": "write s(x, by=g) where g has few levels, (poly(x, 2) | g) where it has many",
    "sz": "write s(x) + s(x, by=f)",
    "mrf": "write (1 | area) for an effect of each area",
    "sos": "a smooth has one variable",
    "so": "a smooth has one variable",
    "ds": "a smooth has one variable",
}


@dataclass(frozen=True, slots=True)
class SmoothTerm:
    """One ``s(x)`` of a formula.

    Attributes
    ----------
    variable : str
        What it is a smooth function of, in canonical form: a column, or a call such as ``log(x)``.
    k : int
        Size of the basis before its constraint, as in mgcv.
    basis : str
        ``"cr"``, ``"cc"`` or ``"ps"``.
    by : str or None
        The column for whose levels there is a curve each, or with which the curve is multiplied.
    knots : tuple of float
        Places of the knots, or the first and the last one; empty where the data say.
    span : tuple of int
        Where the term stands in the formula's text; not part of the value.
    """

    variable: str
    k: int = DEFAULT_SIZE
    basis: str = DEFAULT_BASIS
    by: str | None = None
    knots: tuple[float, ...] = ()
    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    @property
    def name(self) -> str:
        """What the term is called in results: ``"s(x)"`` or ``"s(x, by=f)"``."""
        return f"s({', '.join([self.variable, *self._by()])})"

    def _by(self) -> list[str]:
        return [] if self.by is None else [f"by={quote(self.by)}"]

    def __str__(self) -> str:
        options = [
            *([f"k={self.k}"] if self.k != DEFAULT_SIZE else []),
            *([f"bs={self.basis!r}"] if self.basis != DEFAULT_BASIS else []),
            *self._by(),
            *([f"knots=[{', '.join(map(repr, self.knots))}]"] if self.knots else []),
        ]
        return f"s({', '.join([self.variable, *options])})"


def smooth_term(node: Smooth, text: str) -> tuple[SmoothTerm, Atom]:
    """Return a smooth, and the column or call that it is a function of.

    Parameters
    ----------
    node : Smooth
        The call, parsed.
    text : str
        The whole formula, for messages.

    Returns
    -------
    term : SmoothTerm
    inside : Variable or Expression

    Raises
    ------
    FormulaError
        If what is inside is no single column or call, or an option is not known.
    """
    options = {}
    for option, value in node.options:
        if option.value not in _OPTIONS:
            why = _NO_OPTIONS.get(option.value, "see the limitations")
            raise FormulaError(
                f"s() has k=, bs=, by= and knots= here, no {option.value}=: {why}.",
                text,
                option.span,
            )
        if option.value in options:
            raise FormulaError(f"{option.value}= stands twice.", text, option.span)
        options[option.value] = value
    basis = _basis(options.get("bs"), text)
    if len(node.arguments) > 1:
        raise FormulaError(
            "A smooth has one variable, s(x) + s(z) for two curves that add up; surfaces such as "
            "s(x, z) are not there, and a curve for each level of a factor is s(x, by=f).",
            text,
            node.span,
        )
    (inside,) = node.arguments
    if not isinstance(inside, (Variable, Expression)):
        raise FormulaError("A smooth is of one column or call, as in s(x).", text, inside.span)
    knots = _knots(options.get("knots"), text)
    size = len(knots) if len(knots) > 2 else DEFAULT_SIZE
    k = _size(options["k"], basis, text) if "k" in options else size
    if len(knots) > 2 and (k != len(knots) or basis == "ps"):
        raise FormulaError(
            f"{len(knots)} knots, and k={k} with bs={basis!r}: give the first and the last knot "
            "alone, or of 'cr' and 'cc' all k of them.",
            text,
            node.span,
        )
    by = _by(options.get("by"), text)
    return SmoothTerm(inside.text, k, basis, by, knots, node.span), inside


def _span(value: tuple[Token, ...]) -> tuple[int, int]:
    return (value[0].span[0], value[-1].span[1])


def _basis(value: tuple[Token, ...] | None, text: str) -> str:
    if value is None:
        return DEFAULT_BASIS
    name = value[0].value[1:-1] if value[0].kind == "string" and len(value) == 1 else ""
    if name in SMALLEST:
        return name
    why = f": {_NO_BASES[name]}" if name in _NO_BASES else ""
    raise FormulaError(
        f"bs= is 'cr' (cubic regression spline), 'cc' (cyclic) or 'ps' (P-spline){why}.",
        text,
        _span(value),
    )


def _size(value: tuple[Token, ...], basis: str, text: str) -> int:
    whole = len(value) == 1 and value[0].kind == "number" and value[0].value.isdigit()
    size = int(value[0].value[:6]) if whole else 0
    if size < SMALLEST[basis]:
        raise FormulaError(
            f"k= is the number of basis functions, {SMALLEST[basis]} or more with bs={basis!r}.",
            text,
            _span(value),
        )
    return size


def _by(value: tuple[Token, ...] | None, text: str) -> str | None:
    if value is None:
        return None
    if len(value) != 1 or value[0].kind != "name":
        raise FormulaError(
            "by= names one column: labels give a curve for each, numbers multiply the curve.",
            text,
            _span(value),
        )
    return value[0].value


def _knots(value: tuple[Token, ...] | None, text: str) -> tuple[float, ...]:
    """Return the numbers in ``[0, 24]`` or ``c(0, 24)``."""
    if value is None:
        return ()
    written = "".join(token.value for token in value).removeprefix("c")
    try:
        knots = tuple(float(part) for part in written[1:-1].split(","))
    except ValueError:
        knots = ()
    bracketed = written[:1] in {"[", "("} and written[-1:] in {"]", ")"}
    if not bracketed or len(knots) < 2 or any(a >= b for a, b in pairwise(knots)):
        raise FormulaError(
            "knots= is a list of numbers in ascending order, the first and the last knot or all "
            "of them: knots=[0, 24].",
            text,
            _span(value),
        )
    return knots
