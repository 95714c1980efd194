"""Calls such as ``poly(x, 2)`` as values: read, checked against a closed list, never run here.

A call is read with Python's own parser and refused unless every node of it is on a list: numbers,
strings, arithmetic, comparisons, columns of the table, and the functions in `FUNCTIONS`. Nothing
that a formula says can reach Python's built-ins, an attribute, or a variable of the caller.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError, nearest
from bayeslmm.formula.tokens import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.formula.tokens import Token

UNARY_NUMPY = (
    *("abs", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "sqrt", "square", "sign"),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh"),
    *("floor", "ceil", "round"),
)
BINARY_NUMPY = ("minimum", "maximum")
CONTRASTS = ("Treatment", "Sum", "Helmert", "Poly", "Diff")
CONTRAST_ALIASES = {f"contr.{name.lower()}": name for name in CONTRASTS}

_SPLINE = ("x", "df", "knots")
# For each function its arguments in order; the number before says how many may be positional.
FUNCTIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    **dict.fromkeys(UNARY_NUMPY, (1, ("x",))),
    **dict.fromkeys(BINARY_NUMPY, (2, ("x1", "x2"))),
    "I": (1, ("x",)),
    "C": (2, ("x", "contrasts", "levels")),
    "poly": (2, ("x", "degree", "raw")),
    "bs": (
        2,
        (*_SPLINE, "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
    ),
    "cr": (2, (*_SPLINE, "lower_bound", "upper_bound", "constraints", "extrapolation")),
    "cc": (2, (*_SPLINE, "lower_bound", "upper_bound", "constraints", "extrapolation")),
    "center": (1, ("x",)),
    "scale": (1, ("x", "center", "scale", "ddof")),
}
_REQUIRED = dict.fromkeys(BINARY_NUMPY, 2)

# Names before bars, as lme4 2 and glmmTMB spell structures of G; the last have no meaning here.
STRUCTURES = ("us", "diag", "homdiag", "cs", "homcs", "ar1", "hetar1", "ou", "toep", "homtoep",
              "rr", "propto", "equalto")  # fmt: skip
# Calls right of a bar.
GROUP_CALLS = ("gr", "mm")
REFUSED = {
    **dict.fromkeys(
        ("factor", "as.factor", "as.character"), "write C(x), or make the column a categorical"
    ),
    **dict.fromkeys(("as.numeric", "as.integer"), "make the column numeric in the table"),
    **dict.fromkeys(
        ("ordered", "as.ordered"), "write C(x, Poly) for the contrasts of an ordered factor"
    ),
    **dict.fromkeys(("relevel", "fct_relevel"), "write C(x, Treatment('b')) to compare with b"),
    **dict.fromkeys(
        ("t2", "te", "ti"), "smooths have one variable: s(x) + s(z) for two curves that add up"
    ),
    "s": "a smooth stands by itself in the fixed part, as in y ~ s(x)",
    **dict.fromkeys(("Error", "re"), "write (1 | g) for an effect of each level of g"),
    **dict.fromkeys(("car", "sar"), "residuals are independent here; let (1 | area) stand for it"),
    **dict.fromkeys(STRUCTURES, "a covariance structure stands before bars, as in cs(0 + f | g)"),
    "numFactor": "write the column of numbers itself, as in ou(0 + time | g)",
    "gr": "gr() stands right of a bar, as in (1 | gr(g, by=arm))",
    "mm": "mm() stands right of a bar, as in (1 | mm(g1, g2))",
    "mo": "write C(x) for an effect of each step, poly(x, 2) for a curve, or x for a line",
    "me": "columns count as known without error; write x itself",
    "mi": "write x itself, with missing values filled or dropped beforehand",
    "gp": "write s(x) for a smooth curve",
    "ln": "write log(x), which is the natural logarithm",
    "cbind": "several responses stand left of the tilde, as in mvbind(y, z) ~ x",
    "ns": "write cr(x, df=4, constraints='center') for a natural cubic spline",
    "lag": "compute the column beforehand: which row precedes which is for you to say",
    "ifelse": "compute the column beforehand, or compare inside I(), as in I(x > 3)",
    "interaction": "write a:b",
    "exp10": "write I(10**x)",
    "Q": "put the column's name in backticks",
}

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_CONSTANTS = {"TRUE": "True", "FALSE": "False", "NULL": "None"}
_PYTHON_CONSTANTS = ("True", "False", "None")


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked call.

    Attributes
    ----------
    text : str
        Canonical spelling, e.g. ``"poly(x, 2)"``; two spellings of one call share it.
    variables : tuple of str
        The columns it reads, in order.
    tree : ast.expr
        The syntax tree; columns stand in it as a formula spells them, backticks included.
    span : tuple of int
        Where it stands in the formula.
    """

    text: str
    variables: tuple[str, ...]
    tree: ast.expr = field(compare=False, repr=False)
    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)


def read_expression(tokens: Sequence[Token], text: str) -> Expression:
    """Return one call as a checked expression.

    Parameters
    ----------
    tokens : sequence of Token
        The call's tokens, from the function's name to the closing parenthesis.
    text : str
        The whole formula, for messages.

    Returns
    -------
    Expression

    Raises
    ------
    FormulaError
        If the call holds anything but what this module's list allows.

    Examples
    --------
    >>> from bayeslmm.formula.tokens import tokenize
    >>> read_expression(tokenize("I(Days^2)"), "I(Days^2)").text
    'I(Days ** 2)'
    """
    return _Reader(tokens, text).read()


class _Reader:
    """One reading: the Python source made of the tokens, and the way back to the formula."""

    def __init__(self, tokens: Sequence[Token], text: str) -> None:
        self.text = text
        self.span = (tokens[0].span[0], tokens[-1].span[1])
        self.names: dict[str, str] = {}
        self.starts: list[tuple[int, Token]] = []
        self.tokens = tokens
        self.source = self._python()

    def _python(self) -> str:
        """Return the tokens as Python: every column under an alias that is no keyword."""
        pieces: list[str] = []
        aliases: dict[str, str] = {}
        length = 0
        for i, token in enumerate(self.tokens):
            self.starts.append((length, token))
            piece = token.value
            follower = self.tokens[i + 1] if i + 1 < len(self.tokens) else None
            if token.is_operator("^"):
                piece = "**"
            elif token.kind == "name" and not token.quoted and token.value in _CONSTANTS:
                piece = _CONSTANTS[token.value]
            elif token.kind == "name" and self._is_column(token, follower):
                self._refuse_private(token)
                piece = aliases.setdefault(token.value, f"_v{len(aliases)}")
                self.names[piece] = token.value
            pieces.append(piece)
            length += len(piece.encode()) + 1
        return " ".join(pieces)

    def _refuse_foreign(self) -> None:
        """Raise for other programs' functions first: Python cannot even read `as.factor(x)`."""
        for i, (token, follower) in enumerate(pairwise(self.tokens)):
            known = token.kind == "name" and not token.quoted and token.value in REFUSED
            if known and follower.is_operator("("):
                depths = accumulate(
                    t.is_operator("(") - t.is_operator(")") for t in self.tokens[i + 1 :]
                )
                end = next(k for k, depth in enumerate(depths, i + 1) if depth == 0)
                raise FormulaError(
                    f"{token.value}() is not supported: {REFUSED[token.value]}.",
                    self.text,
                    (token.span[0], self.tokens[end].span[1]),
                )

    @staticmethod
    def _is_column(token: Token, follower: Token | None) -> bool:
        if token.quoted:
            return True
        is_word = follower is not None and follower.is_operator("(", "=")
        return not is_word and token.value not in (*_PYTHON_CONSTANTS, *CONTRAST_ALIASES)

    def _refuse_private(self, token: Token) -> None:
        # `x.__class__` reads as a column's name with a dot, as R has them; say what it is instead.
        if not token.quoted and "._" in token.value:
            raise FormulaError(
                f"{token.value!r} reads an attribute, which formulas cannot do.",
                self.text,
                token.span,
            )

    def read(self) -> Expression:
        self._refuse_foreign()
        try:
            tree = ast.parse(self.source, mode="eval").body
        except (SyntaxError, ValueError, MemoryError):
            shown = self.text[slice(*self.span)]
            raise FormulaError(
                f"Cannot read {shown!r}. Inside a call there may be columns, numbers, arithmetic, "
                "comparisons and the functions of the formula language.",
                self.text,
                self.span,
            ) from None
        self._check(tree)
        read = [alias for alias in self.names if alias in _names(tree)]
        display = _rename(tree, {alias: quote(name) for alias, name in self.names.items()})
        if not read:
            message = f"{ast.unparse(display)} reads no column of the table: leave it out."
            raise FormulaError(message, self.text, self.span)
        return Expression(
            text=ast.unparse(display),
            variables=tuple(self.names[alias] for alias in read),
            tree=display,
            span=self.span,
        )

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.Name() if node.id in self.names:
                return
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                self._check(left)
                self._check(right)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._check(operand)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(
                op, _COMPARISONS
            ):
                self._check(left)
                self._check(right)
            case ast.Call():
                self._check_call(node)
            case _:
                raise self._error(
                    f"{_describe(node)} has no place in a formula: calls may hold columns, "
                    "numbers, strings, arithmetic, comparisons and listed functions.",
                    node,
                )

    def _check_call(self, node: ast.Call) -> None:
        name = function_name(node)
        if name is None or name not in FUNCTIONS:
            raise self._unknown(name, node)
        n_positional, parameters = FUNCTIONS[name]
        keywords = [keyword.arg for keyword in node.keywords]
        too_many = len(node.args) > n_positional
        if too_many or not node.args or len(node.args) < _REQUIRED.get(name, 1):
            allowed = ", ".join(parameters[:n_positional])
            raise self._error(
                f"{name}() takes {allowed}, each at most once, and needs the first.", node
            )
        for keyword in keywords:
            if keyword not in parameters[1:] or keyword in parameters[: len(node.args)]:
                known = ", ".join(parameters[1:]) or "none"
                raise self._error(f"{name}() has no such keyword here; it knows: {known}.", node)
        self._check(node.args[0])
        if name in BINARY_NUMPY:
            self._check(node.args[1])
            return
        settings = dict(zip(parameters[1:], node.args[1:], strict=False))
        settings |= {str(keyword.arg): keyword.value for keyword in node.keywords}
        for parameter, value in settings.items():
            self._check_setting(name, parameter, value)

    def _check_setting(self, function: str, parameter: str, value: ast.expr) -> None:
        if parameter == "contrasts":
            if self._is_contrast(value):
                return
            raise self._error(f"Contrasts are one of {', '.join(CONTRASTS)}.", value)
        if _is_literal(value):
            return
        raise self._error(
            f"{parameter} of {function}() must be written out as a number, a string or a list of "
            "them.",
            value,
        )

    def _is_contrast(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call):
            values = (*value.args, *(keyword.value for keyword in value.keywords))
            named_base = all(keyword.arg == "base" for keyword in value.keywords)
            name = _dotted(value.func)
            takes_base = CONTRAST_ALIASES.get(name or "", name) == "Treatment"
            literal = all(isinstance(v, ast.Constant) for v in values) and named_base
            known = name in CONTRASTS or name in CONTRAST_ALIASES
            return known and literal and len(values) <= int(takes_base)
        name = _dotted(value)
        return self.names.get(name or "", name) in (*CONTRASTS, *CONTRAST_ALIASES)

    def _unknown(self, name: str | None, node: ast.Call) -> FormulaError:
        if name is None:
            return self._error("Only functions can be called, by their plain name.", node)
        name = self.names.get(name, name)
        hint = "" if name in FUNCTIONS else nearest(name, FUNCTIONS)
        return self._error(
            f"{name}() is not a function that formulas know.{hint} There are I, C, poly, bs, cr, "
            "cc, scale, center, and log, exp, sqrt and their like; anything else can be "
            "computed into a column of the table first.",
            node,
        )

    def _error(self, message: str, node: ast.expr) -> FormulaError:
        return FormulaError(message, self.text, self._span_of(node))

    def _span_of(self, node: ast.expr) -> tuple[int, int]:
        end = node.end_col_offset or node.col_offset + 1
        inside = [t for start, t in self.starts if node.col_offset <= start < end]
        return (inside[0].span[0], inside[-1].span[1]) if inside else self.span


def function_name(node: ast.Call) -> str | None:
    """Return the name that a call is looked up by: ``"log"`` for ``log(x)`` and ``np.log(x)``."""
    name = _dotted(node.func)
    if name is None:
        return None
    module, _, bare = name.rpartition(".")
    is_numpy = module in ("np", "numpy") and bare in (*UNARY_NUMPY, *BINARY_NUMPY)
    return bare if is_numpy else name


def contrast_name(node: ast.expr) -> str:
    """Return the contrast that a checked node of a ``C()`` call names."""
    name = str(_dotted(node.func if isinstance(node, ast.Call) else node))
    return CONTRAST_ALIASES.get(name, name)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        parent = _dotted(node.value)
        return None if parent is None else f"{parent}.{node.attr}"
    return None


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, (ast.List, ast.Tuple)):
        return all(_is_literal(element) for element in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        operand = node.operand
        return isinstance(operand, ast.Constant) and isinstance(operand.value, (int, float))
    return isinstance(node, ast.Constant) and isinstance(
        node.value, (bool, int, float, str, type(None))
    )


def _names(tree: ast.expr) -> set[str]:
    """Return the columns' aliases, without contrasts such as ``C(f, Sum)``."""
    skipped = {
        id(argument)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and function_name(call) == "C"
        for argument in (*call.args[1:], *(keyword.value for keyword in call.keywords))
    }
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in skipped
    }


def _rename(tree: ast.expr, names: dict[str, str]) -> ast.expr:
    class Renamer(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(names.get(node.id, node.id), node.ctx)

    renamed = Renamer().visit(ast.parse(ast.unparse(tree), mode="eval").body)
    assert isinstance(renamed, ast.expr)  # noqa: S101
    return renamed


def _describe(node: ast.expr) -> str:
    kinds = {
        ast.Attribute: "Reading an attribute",
        ast.Subscript: "Indexing with brackets",
        ast.Lambda: "A lambda",
        ast.JoinedStr: "A formatted string",
        ast.Dict: "A dictionary",
        ast.List: "A list",
        ast.Tuple: "A tuple",
        ast.Set: "A set",
    }
    return kinds.get(type(node), f"This {type(node).__name__}")
