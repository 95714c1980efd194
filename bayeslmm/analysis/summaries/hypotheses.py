"""Statements about parameters, such as "Days > 0", read by a small safe parser."""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.errors import ArgumentError, names_keywords, nearest
from bayeslmm.results import read as tree
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, blocks, describe, interval_names
from bayeslmm.results.shares import error_of_agreement, share_of_draws

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
FUNCTIONS = {"abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log}
PIECE = r"[^\W\d][\w.]*(?:\([^()]*\))?(?:\[[^\[\]]*\])?"
NAME = re.compile(rf"{PIECE}(?::{PIECE})*")
LONGEST = 500
HIDDEN = ("b_", "beta[")  # as many as levels; the coefficients go by their own names, too
MOST_NAMES = 30  # that a message lists
MOST_PIECES = 4  # of an interaction that may be spelt in any order


@names_keywords
def hypothesis(
    idata: xr.DataTree,
    statements: str | list[str] | tuple[str, ...],
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Return the posterior probability of statements about parameters.

    P(statement | y) is the share of draws in which it holds. Where it holds in all S draws, they
    cannot tell it from one: Laplace's rule makes it (S + 1) / (S + 2), with odds of S + 1; more
    draws may give more. Where it holds in none, the same is said of its opposite.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    statements : str or list of str
        Comparisons by ``<``, ``<=``, ``>``, ``>=`` (also chained, as in ``"-1 < Days < 1"``) of
        sums, differences, products, quotients, powers, ``abs``, ``sqrt``, ``exp`` and ``log`` of
        parameters, joined by ``and``, ``or``, ``not``. Parameters go by the names of the tree:
        ``Days``, ``Sector[T.Public]``, ``x:z``, ``sigma``, ``sd_Subject[Days]``,
        ``corr_Subject[Intercept,Days]``, ``b_Subject[308,Days]``. Backticks settle doubtful cases:
        ```x:z` > 0``.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per statement: ``statement``, ``probability``, ``mcse`` (Monte Carlo standard
        error of it), ``odds`` (posterior odds, S + 1 at most); for a single comparison the
        ``estimate`` of left minus right, its ``sd`` and interval, where finite.

    Raises
    ------
    ArgumentError
        When there is no statement, or one cannot be read, names an unknown parameter, or claims
        equality.

    References
    ----------
    Kruschke & Liddell (2018), Psychonomic Bulletin & Review 25:178-206,
    doi 10.3758/s13423-016-1221-4, on intervals and posterior probabilities.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.hypothesis(idata, "x > 0 and sd_g[x] < sigma")[["statement", "probability"]]
                       statement  probability
    0  x > 0 and sd_g[x] < sigma     0.999002
    """
    asked = list(statements) if isinstance(statements, list | tuple) else [statements]
    quantities = parameters(idata)
    if not asked:
        raise ArgumentError("statements is empty: give one, such as 'sigma > 1'.")
    rows = [_judge(text, quantities, ci_prob, ci_kind) for text in asked]
    return pd.DataFrame(rows)


def parameters(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    """Return the draws (chain, draw) of every scalar, by the names that statements use."""
    found: dict[str, NDArray[np.float64]] = {}
    for _, labels, values in blocks(idata):
        found.update({label: values[..., i] for i, label in enumerate(labels)})
    beta = tree.draws(idata, names.BETA)
    for i, coef in enumerate(tree.coefficients(idata)):
        # A name that the tree uses keeps its meaning; beta[name] is the coefficient.
        found.setdefault(coef, beta[..., i])
    return found


def _judge(
    text: str, quantities: dict[str, NDArray[np.float64]], ci_prob: float, ci_kind: str
) -> dict[str, Any]:
    statement, node = read_statement(text, quantities)
    shape = next(iter(quantities.values())).shape
    holds = np.broadcast_to(np.asarray(statement.value(node)), shape).astype(np.float64)
    if not statement.draws:
        msg = (
            f"{text!r} names no parameter of the fit, so it says nothing about it; it has "
            f"{', '.join(statement.known)}."
        )
        raise ArgumentError(msg)
    probability = float(share_of_draws(holds > 0.0))
    agree = np.ptp(holds) == 0.0
    row: dict[str, Any] = {
        "statement": text,
        "probability": probability,
        "mcse": (
            error_of_agreement(holds.size)
            if agree
            else float(describe(holds[..., None])["mcse_mean"][0])
        ),
        "odds": probability / (1.0 - probability),
    }
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        difference = statement.value(node.left) - statement.value(node.comparators[0])
        draws = np.broadcast_to(np.asarray(difference, dtype=np.float64), shape)
        if not np.all(np.isfinite(draws)):
            return row
        numbers = describe(draws[..., None], ci_prob, ci_kind, diagnostics=False)
        row["estimate"] = float(numbers["mean"][0])
        row["sd"] = float(numbers["sd"][0])
        row.update({name: float(numbers[name][0]) for name in interval_names(ci_prob, ci_kind)})
    return row


def read_statement(
    text: str, quantities: dict[str, NDArray[np.float64]]
) -> tuple[Statement, ast.expr]:
    """Read a comparison, or several joined by and, or, not.

    Raises
    ------
    ArgumentError
        When it is no comparison, or names what is no parameter.
    """
    statement, node = read_expression(text, quantities)
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    if not (negated or isinstance(node, ast.Compare | ast.BoolOp)):
        msg = f"{text!r} states nothing; compare it with a value, as in {text.strip() + ' > 0'!r}."
        raise ArgumentError(msg)
    return statement, node


def read_expression(
    text: str, quantities: dict[str, NDArray[np.float64]]
) -> tuple[Statement, ast.expr]:
    """Replace parameter names by plain words and read the rest as an expression.

    Raises
    ------
    ArgumentError
        When it cannot be read, or names what is no parameter.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        msg = f"A statement is text such as 'Days > 0', of at most {LONGEST} signs; not {text!r}."
        raise ArgumentError(msg)
    statement = Statement(text, {}, tuple(quantities))

    def word(match: re.Match[str]) -> str:
        written = match.group(0)
        exact = [name for name in (written, written.strip("`")) if name in quantities]
        found = exact or [
            by_spelling[spelt]
            for spelt in map(names.spelling, (written, written.strip("`")))
            if spelt in by_spelling
        ]
        if not found:
            raise ArgumentError(statement.unknown(written.strip("`")))
        name = found[0]
        token = f"_{len(statement.draws)}_"
        statement.draws[token] = quantities[name]
        return token

    # The longest first, so that x:z is not read as x; only whole words, so that exp keeps its x.
    by_spelling = {names.spelling(name): name for name in reversed(quantities)}
    orders = {other for name in quantities for other in _orders(name)}
    spelt = [_pattern(name) for name in sorted(orders, key=len, reverse=True)]
    pattern = "|".join(rf"(?<![\w.\[,`]){name}(?![\w\[`])" for name in spelt)
    replaced = re.sub(rf"{pattern}|`[^`]*`", word, text.strip())
    if re.search(r"(?<![<>=!])=(?!=)|==|!=", replaced):
        msg = (
            f"{text!r} claims equality, which has probability zero for a continuous parameter. "
            "Ask for an interval instead, as in 'abs(Days) < 1', or for a direction."
        )
        raise ArgumentError(msg)
    try:
        return statement, ast.parse(replaced, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if name := _unknown_name(text, orders):
            raise ArgumentError(statement.unknown(name)) from None
        msg = f"{text!r} cannot be read; write for example 'Days > 0' or 'sd_g[x] < sigma / 2'."
        raise ArgumentError(msg) from None


def _unknown_name(text: str, known: set[str]) -> str | None:
    """Return the first name in brackets or with a colon that no parameter has, None without one.

    Python's grammar has no such names, so that it is they that keep a statement from being read.
    """
    spelt = {names.spelling(name) for name in known}
    written = (match.group(0) for match in NAME.finditer(text) if set(match.group(0)) & set(":["))
    return next((name for name in written if names.spelling(name) not in spelt), None)


def _orders(name: str) -> list[str]:
    """Return a parameter's name with the pieces of its interaction in every order."""
    before, column, after = names.inside(name)
    pieces = names.product(column)
    if not 1 < len(pieces) <= MOST_PIECES:
        return [name]
    return [name, *(before + ":".join(order) + after for order in permutations(pieces))]


def _pattern(name: str) -> str:
    """Return the pattern of a name with blanks anywhere, and ``^`` for ``**``."""
    tokens = re.findall(r"`[^`]*`|\*\*|\w+|[^\w\s]", name)
    return r"\s*".join(
        r"(?:\*\*|\^)" if token == "**" else re.escape(token)  # noqa: S105 - a power
        for token in tokens
    )


@dataclass(frozen=True, slots=True)
class Statement:
    """The parameters of a statement, and the few kinds of expressions it may hold.

    Attributes
    ----------
    text : str
        As the user wrote it.
    draws : dict of ndarray
        Draws of its parameters, by the words that stand for them.
    known : tuple of str
        All parameters of the fit.
    """

    text: str
    draws: dict[str, NDArray[np.float64]]
    known: tuple[str, ...]

    def value(self, node: ast.expr) -> Any:
        """Evaluate an expression over all draws; whatever is not listed here is refused."""
        with np.errstate(all="ignore"):
            match node:
                case ast.Constant(value=int() | float() as number) if number is not True:
                    # NumPy's numbers overflow to infinity where Python's raise.
                    return np.float64(number)
                case ast.Name(id=token):
                    return self._parameter(token)
                case ast.UnaryOp(op=ast.USub(), operand=operand):
                    return -self.value(operand)
                case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                    return ARITHMETIC[type(op)](self.value(left), self.value(right))
                case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if (
                    name in FUNCTIONS
                ):
                    return FUNCTIONS[name](self.value(inner))
            return self._truth(node)

    def _truth(self, node: ast.expr) -> Any:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self.value(operand))
            case ast.BoolOp(op=op, values=values):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return join.reduce(np.broadcast_arrays(*map(self.value, values)))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._chain([self.value(part) for part in (left, *rest)], ops)
        if isinstance(node, ast.Subscript):
            raise ArgumentError(self.unknown(ast.unparse(node)))
        msg = (
            f"{self.text!r} holds something that a statement may not ({type(node).__name__}): only "
            f"parameters, numbers, + - * / **, comparisons, and, or, not, {', '.join(FUNCTIONS)}."
        )
        raise ArgumentError(msg)

    def _chain(self, values: list[Any], ops: list[ast.cmpop]) -> Any:
        holds: Any = np.True_
        for op, lower, upper in zip(ops, values[:-1], values[1:], strict=True):
            if type(op) not in ORDER:
                msg = f"{self.text!r} compares by something other than <, <=, >, >=."
                raise ArgumentError(msg)
            holds = np.logical_and(holds, ORDER[type(op)](lower, upper))
        return holds

    def _parameter(self, token: str) -> NDArray[np.float64]:
        if token not in self.draws:
            raise ArgumentError(self.unknown(token))
        return self.draws[token]

    def unknown(self, name: str) -> str:
        """Return the error that there is no such parameter, and which there are."""
        spelt = [order for one in self.known for order in _orders(one)]
        listed = [one for one in self.known if not one.startswith(HIDDEN)]
        more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
        effect = next((one for one in self.known if one.startswith("b_")), "")
        effects = f", and random effects such as {effect}" if effect else ""
        return (
            f"{self.text!r} names {name!r}, which is no parameter of this fit."
            f"{nearest(name, spelt)} Its parameters are {', '.join(listed[:MOST_NAMES])}"
            f"{more}{effects}."
        )
