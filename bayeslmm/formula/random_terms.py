"""Random-effects terms: what stands in bars, columns left and a grouping factor right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.expand import TermSet, expand
from bayeslmm.formula.nodes import (
    Bars,
    GroupCall,
    Node,
    Number,
    Offset,
    Product,
    Smooth,
    Sum,
    Variable,
    walk,
)
from bayeslmm.formula.tokens import quote

if TYPE_CHECKING:
    from bayeslmm.formula.tokens import Token


# Structures of G that have their columns' places in them: no intercept stands among these.
_POSITIONED = ("ar1", "hetar1", "ou", "toep", "homtoep")
_HOMOGENEOUS = {"diag": "homdiag", "cs": "homcs", "toep": "homtoep", "hetar1": "ar1"}
_HETEROGENEOUS = {"ar1": "hetar1"}
_ELSEWHERE = {
    "rr": "a factor-analytic G: write (0 + f | g) for an unstructured one",
    "propto": "write (1 | gr(g, cov=A)), with known={'A': A}",
    "equalto": "write (1 | gr(g, cov=A)), with known={'A': A}, and a prior that holds the sd",
}


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One ``(columns | factor)`` of a formula, nesting already expanded.

    Attributes
    ----------
    columns : str
        Right-hand-side text of the columns in canonical form, e.g. ``"1 + Days"``.
    variables : tuple of str
        The variables whose combinations are the levels: ``("Subject",)``, or ``("a", "b")`` for
        the factor ``a:b``; of ``mm(a, b)``, the variables that name a row's several levels.
    correlated : bool
        False for ``||``: every column then has a variance of its own and no correlations.
    span : tuple of int
        Where the term stands in the formula's text; not part of the value.
    structure : str
        The structure of G: ``"us"``, or a name that stands before the parentheses, such as
        ``"ar1"``.
    by : str or None
        Of ``gr(g, by=arm)``: the column, for each value of which there is a G of its own.
    cov : str or None
        Of ``gr(g, cov=A)``: the name of the known covariance of the levels.
    several : bool
        Whether a row has a level of each variable, as in ``mm(a, b)``.
    weights : tuple of str
        Of ``mm(a, b, weights=[u, v])``: the columns of the levels' shares in a row.
    label : str
        The label between two bars, as in ``(1 |p| g)``; not part of the value, since terms of one
        formula that share it are one term.
    shared : str
        The label, where terms of other predictors have it, too.
    """

    columns: str
    variables: tuple[str, ...]
    correlated: bool = True
    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)
    structure: str = "us"
    by: str | None = None
    cov: str | None = None
    several: bool = False
    weights: tuple[str, ...] = ()
    label: str = field(default="", compare=False, repr=False)
    shared: str = ""

    @property
    def factor(self) -> str:
        """Name of the grouping factor, e.g. ``"Subject"``, ``"a:b"`` or ``"mm(a,b)"``."""
        return f"mm({','.join(self.variables)})" if self.several else ":".join(self.variables)

    @property
    def grouping(self) -> tuple[str, ...]:
        """The columns of the table that are read right of the bar."""
        return self.variables if self.by is None else (*self.variables, self.by)

    @property
    def labelled(self) -> str:
        """The term with its label, which tells terms of other responses that share it."""
        return self._spelt(f"|{quote(self.label)}|") if self.label else str(self)

    def __str__(self) -> str:
        label = f"|{quote(self.shared)}|" if self.shared else ""
        return self._spelt(label or ("|" if self.correlated else "||"))

    def _spelt(self, bars: str) -> str:
        name = "" if self.structure == "us" else self.structure
        return f"{name}({self.columns} {bars} {self._group()})"

    def _group(self) -> str:
        names = list(map(quote, self.variables))
        options = [f"{key}={quote(value)}" for key, value in
                   (("by", self.by), ("cov", self.cov)) if value]  # fmt: skip
        if self.several:
            weights = ", ".join(map(quote, self.weights))
            return f"mm({', '.join([*names, *([f'weights=[{weights}]'] if weights else [])])})"
        return f"gr({', '.join([':'.join(names), *options])})" if options else ":".join(names)


def flatten(side: Sum, text: str) -> list[tuple[str, Node]]:
    """Return the parts of a sum and of the sums in parentheses that it adds."""
    parts: list[tuple[str, Node]] = []
    for sign, part in side.parts:
        special = [node for node in walk(part) if isinstance(node, (Bars, Offset, Smooth))]
        if sign == "+" and isinstance(part, Sum):
            parts.extend(flatten(part, text))
        elif not special:
            parts.append((sign, part))
        elif sign == "-":
            what = f"{_what(special[0])} cannot be taken away: leave it out."
            raise FormulaError(what[0].upper() + what[1:], text, part.span)
        elif isinstance(part, (Bars, Offset, Smooth)):
            parts.append((sign, part))
        else:
            what = f"{_what(special[0])} can only be added, not multiplied"
            if isinstance(special[0], Smooth):
                what += "; a curve for each level of f, or one times a number f, is s(x, by=f)"
            raise FormulaError(f"{what[0].upper()}{what[1:]}.", text, special[0].span)
    return parts


def _what(node: Bars | Offset | Smooth) -> str:
    kinds = {Bars: "a random-effects term", Offset: "an offset", Smooth: "a smooth"}
    return kinds[type(node)]


def columns_of(bars: Bars, text: str) -> TermSet:
    """Return the terms left of a bar."""
    for node in walk(bars.columns):
        if isinstance(node, (Bars, Offset, Smooth)):
            what = _what(node).split(" ", 1)[1]
            way = ""
            if isinstance(node, Smooth):
                way = (
                    " Curves that differ by level are polynomials or splines without a penalty "
                    "there, as in (poly(x, 2) | g); s(x, by=f) is a curve for each of a few labels."
                )
            raise FormulaError(f"There is no {what} inside bars.{way}", text, node.span)
    columns = expand(Sum(tuple(flatten(bars.columns, text)), bars.columns.span), text)
    if not (columns.intercept or columns.terms):
        raise FormulaError(
            "No column is left to vary: the intercept is taken away and nothing added.",
            text,
            bars.columns.span,
        )
    return columns


def random_terms(bars: Bars, columns: str, text: str) -> list[RandomTerm]:
    """Return the terms of one pair of parentheses: several where the factor is nested.

    Parameters
    ----------
    bars : Bars
        The term, parsed.
    columns : str
        What stands left of its bar, in canonical form.
    text : str
        The whole formula, for messages.

    Returns
    -------
    list of RandomTerm

    Raises
    ------
    FormulaError
        If the factor is no column, or a structure or an option is not known.
    """
    structure = _structure(bars, columns, text)
    whole = RandomTerm(
        columns,
        (),
        bars.correlated and structure != "diag",
        bars.span,
        structure="us" if structure == "diag" else structure,
        label=bars.label,
    )
    if isinstance(bars.group, GroupCall):
        terms = [_of_call(whole, bars.group, text)]
    else:
        terms = [replace(whole, variables=names) for names in _factors(bars.group, text)]
    for term in terms:
        if len(set(term.variables)) < len(term.variables):
            raise FormulaError(
                f"The grouping factor {term.factor!r} names a column twice.",
                text,
                bars.group.span,
            )
    return terms


def _structure(bars: Bars, columns: str, text: str) -> str:
    """Return the name of a term's structure, ``hom=`` in it."""
    if bars.structure is None:
        return "us"
    name, span = bars.structure.value, bars.structure.span
    if name in _ELSEWHERE:
        raise FormulaError(f"There is no {name}(): {_ELSEWHERE[name]}.", text, span)
    if not bars.correlated:
        message = f"{name}() says which columns are correlated: write one bar, {name}(... | g)."
        raise FormulaError(message, text, bars.span)
    if name in _POSITIONED and not columns.startswith("0 +"):
        varying = columns.removeprefix("1 + ") if columns != "1" else "week"
        group = text[slice(*bars.group.span)]
        raise FormulaError(
            f"{name}() orders the values of one column, and an intercept has no place among "
            f"them. Of random effects write {name}(0 + {varying} | {group}); of residuals, beside "
            f"the formula, residual='{name.removeprefix('het')}({varying} | {group})'.",
            text,
            span,
        )
    for option, value in bars.options:
        if option.value not in {"hom", "het"}:
            message = f"{name}() has no option {option.value}; it has hom=, True or False."
            raise FormulaError(message, text, option.span)
        truth = {"TRUE": True, "True": True, "FALSE": False, "False": False}.get(
            value[0].value if len(value) == 1 else ""
        )
        if truth is None:
            message = f"{option.value}= is True or False."
            raise FormulaError(message, text, value[0].span)
        one_sd = truth == (option.value == "hom")
        name = (_HOMOGENEOUS if one_sd else _HETEROGENEOUS).get(name, name)
    return name


def _of_call(whole: RandomTerm, call: GroupCall, text: str) -> RandomTerm:
    """Return the term of ``gr(g, ...)`` or ``mm(g1, g2, ...)``."""
    known = {"gr": ("by", "cov"), "mm": ("weights",)}[call.name]
    options = {}
    for option, value in call.options:
        if option.value not in known:
            there = " and ".join(f"{name}=" for name in known)
            message = f"{call.name}() has {there} here, no {option.value}=."
            raise FormulaError(message, text, option.span)
        options[option.value] = value
    factors = [names for group in call.groups for names in _factors(group, text)]
    if call.name == "gr":
        if len(factors) != 1:
            message = (
                "gr() has one grouping factor, a column or a:b: write a term for each. A G for the "
                "levels of each arm is gr(g, by=arm)."
            )
            raise FormulaError(message, text, call.span)
        return replace(
            whole,
            variables=factors[0],
            by=_one_name(options.get("by"), text),
            cov=_one_name(options.get("cov"), text),
        )
    if len(factors) < 2 or any(len(names) > 1 for names in factors):
        message = "mm() takes two columns or more, each with one of a row's levels: mm(g1, g2)."
        raise FormulaError(message, text, call.span)
    weights = _names(options.get("weights"), text)
    if weights and len(weights) != len(factors):
        message = f"{len(factors)} levels to a row, and {len(weights)} weights."
        raise FormulaError(message, text, call.span)
    variables = tuple(names[0] for names in factors)
    return replace(whole, variables=variables, several=True, weights=weights)


def _one_name(value: tuple[Token, ...] | None, text: str) -> str | None:
    if value is None:
        return None
    if len(value) != 1 or value[0].kind != "name":
        message = "Expected one name: gr(g, by=arm) names a column, gr(g, cov=A) a key of known=."
        raise FormulaError(message, text, (value[0].span[0], value[-1].span[1]))
    return value[0].value


def _names(value: tuple[Token, ...] | None, text: str) -> tuple[str, ...]:
    """Return the names in ``[u, v]``, ``c(u, v)`` or ``cbind(u, v)``."""
    if value is None:
        return ()
    inside = value[1:] if value[0].value in {"c", "cbind"} else value
    within, commas = inside[1:-1:2], inside[2:-1:2]
    bracketed = len(inside) > 2 and inside[0].is_operator("[", "(")
    if not (
        bracketed
        and all(token.kind == "name" for token in within)
        and all(token.is_operator(",") for token in commas)
    ):
        message = "Weights are columns, one for each level of a row: weights=[w1, w2]."
        raise FormulaError(message, text, (value[0].span[0], value[-1].span[1]))
    return tuple(token.value for token in within)


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
