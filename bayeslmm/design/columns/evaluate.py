"""Checked calls evaluated on columns, node by node: no `eval`, so nothing else can run.

Stateful transforms (formulaic's `poly`, `bs`, `cr`, `cc`, `scale`, `center`, and `C`) keep what
they learn from the training rows in a dictionary under the call's text, and use it on new rows.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayeslmm.arguments import label
from bayeslmm.errors import DataError
from bayeslmm.formula.calls import (
    BINARY_NUMPY,
    FUNCTIONS,
    UNARY_NUMPY,
    Expression,
    contrast_name,
    function_name,
)
from bayeslmm.tables.column import categorical, encode, what_text

type Value = NDArray[Any] | pd.Categorical | float
type State = MutableMapping[str, dict[Any, Any]]

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class _LabelsError(DataError):
    """Labels where arithmetic needs numbers."""

    def __init__(self, labels: pd.Categorical) -> None:
        super().__init__("arithmetic needs numbers, and this column holds labels.")
        self.labels = labels


def evaluate(
    expression: Expression,
    columns: Mapping[str, Value],
    state: State,
    rows: NDArray[Any] | None = None,
) -> Any:
    """Compute the value of a call.

    Parameters
    ----------
    expression : Expression
        The call.
    columns : mapping of str to array or Categorical
        Every column that it reads, under its name as a formula spells it.
    state : mutable mapping
        What stateful transforms have learnt; filled on the first evaluation, used on later ones.
    rows : ndarray, shape (n,), optional
        The rows' labels, by which a cell that is no number is named; their positions else.

    Returns
    -------
    ndarray, Categorical or formulaic.FactorValues

    Raises
    ------
    DataError
        If the columns do not fit the call.

    Examples
    --------
    >>> from bayeslmm.formula.calls import read_expression
    >>> from bayeslmm.formula.tokens import tokenize
    >>> call = read_expression(tokenize("I(x^2 + 1)"), "I(x^2 + 1)")
    >>> evaluate(call, {"x": np.array([1.0, 2.0])}, {})
    array([2., 5.])
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is reported by row afterwards
            return _evaluate(expression.tree, columns, state)
    except _LabelsError as error:
        found = _where_text(error.labels, columns, rows)
        raise DataError(f"{expression.text} cannot be computed: {found or error}") from None
    except DataError as error:
        raise DataError(f"{expression.text} cannot be computed: {error}") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise DataError(f"{expression.text} cannot be computed: {error}") from error


def first_level(expression: Expression, state: State) -> Any:
    """Return one row of a call of ``C()``, at the first level that it has learnt.

    Parameters
    ----------
    expression : Expression
        The call.
    state : mutable mapping
        What stateful transforms have learnt.

    Returns
    -------
    formulaic.FactorValues or None
        None of other calls.
    """
    node = expression.tree
    if not isinstance(node, ast.Call) or function_name(node) != "C":
        return None
    memory = state[ast.unparse(node)]
    first = categorical(np.zeros(1, dtype=np.int64), memory["levels"][:1])
    return _categorical(first, call_settings("C", node), memory)


def _where_text(
    labels: pd.Categorical, columns: Mapping[str, Value], rows: NDArray[Any] | None
) -> str:
    """Say which column labels are, and where it holds no number; nothing of what was computed."""
    for name, column in columns.items():
        if column is labels and len(labels):
            places = np.arange(len(labels)) if rows is None else rows
            held = what_text(np.asarray(labels.codes), labels.categories, places)
            return f"arithmetic needs numbers, and column {name!r} holds {held}."
    return ""


def _evaluate(node: ast.expr, columns: Mapping[str, Value], state: State) -> Any:
    match node:
        case ast.Name():
            return columns[node.id]
        case ast.Constant():
            return node.value
        case ast.UnaryOp():
            operand = _number(_evaluate(node.operand, columns, state))
            return -operand if isinstance(node.op, ast.USub) else operand
        case ast.BinOp():
            left = _number(_evaluate(node.left, columns, state))
            right = _number(_evaluate(node.right, columns, state))
            return _OPERATORS[type(node.op)](left, right)
        case ast.Compare():
            left = _evaluate(node.left, columns, state)
            right = _evaluate(node.comparators[0], columns, state)
            return np.asarray(_OPERATORS[type(node.ops[0])](left, right))
        case ast.Call():
            return _call(node, columns, state)
    raise DataError(f"{ast.unparse(node)} cannot be computed.")


def _call(node: ast.Call, columns: Mapping[str, Value], state: State) -> Any:
    name = str(function_name(node))
    values = [_evaluate(argument, columns, state) for argument in _data_arguments(name, node)]
    if name in UNARY_NUMPY or name in BINARY_NUMPY:
        return getattr(np, name)(*map(_number, values))
    if name == "I":
        return as_categorical(values[0])
    if np.ndim(values[0]) != 1:
        raise DataError(f"{ast.unparse(node)} needs one column of the table inside.")
    memory = state.setdefault(ast.unparse(node), {})
    settings = call_settings(name, node)
    if name == "C":
        return _categorical(values[0], settings, memory)
    return _transform(name, _number(values[0]), settings, memory)


def _data_arguments(name: str, node: ast.Call) -> list[ast.expr]:
    return node.args[:2] if name in BINARY_NUMPY else node.args[:1]


def call_settings(name: str, node: ast.Call) -> dict[str, Any]:
    """Return the arguments that are no data, by the names that formulaic gives them."""
    parameters = FUNCTIONS[name][1]
    nodes = dict(zip(parameters[1:], node.args[1:], strict=False))
    nodes |= {str(keyword.arg): keyword.value for keyword in node.keywords}
    return {
        parameter: value if parameter == "contrasts" else ast.literal_eval(value)
        for parameter, value in nodes.items()
    }


def _transform(name: str, x: NDArray[Any], settings: dict[str, Any], memory: Any) -> Any:
    from formulaic.materializers.types import FactorValues  # noqa: PLC0415
    from formulaic.transforms import TRANSFORMS  # noqa: PLC0415 - slow to import

    if name == "poly":
        degree = settings.get("degree", 1)
        distinct = np.unique(x).size
        if not isinstance(degree, int) or degree < 1:
            raise DataError(f"The degree of poly() is a whole number from 1 on, not {degree!r}.")
        if not memory and distinct <= degree:
            raise DataError(
                f"poly() of degree {degree} needs more than {distinct} distinct values."
            )
    if isinstance(settings.get("df"), int) and settings["df"] >= max(len(x), 4) and not memory:
        raise DataError(f"{name}() with df={settings['df']} needs more rows than {len(x)}.")
    result = TRANSFORMS[name](x, **settings, _state=memory)
    memory.setdefault("learnt", True)  # raw powers learn nothing, and new rows may be few
    if name == "poly" and settings.get("raw"):
        names = tuple(str(power) for power in range(1, result.shape[1] + 1))
        return FactorValues(result, column_names=names)
    return result


def _categorical(value: Any, settings: dict[str, Any], memory: dict[Any, Any]) -> Any:
    from formulaic.transforms import C  # noqa: PLC0415 - slow to import

    given = _with_labels(value)
    chosen = settings.get("levels")
    wanted = memory.get("levels") or [label(level) for level in chosen or given.categories]
    recoded = recode(given, wanted, "levels=" if chosen else "the training rows")
    if len(wanted) < 2:
        raise DataError(f"C() of one level only, {wanted[0]!r}: there is nothing to compare.")
    memory["levels"] = wanted
    # An inner factor keeps its levels, so formulaic needs no state of its own.
    return C(pd.Series(recoded), contrasts=_contrasts(settings.get("contrasts"), wanted))


def recode(given: pd.Categorical, levels: list[str], source: str) -> pd.Categorical:
    """Return a categorical with exactly these levels; raise for values that are not among them.

    Examples
    --------
    >>> recode(pd.Categorical(["b"]), ["a", "b"], "the training rows").codes.tolist()
    [1]
    """
    position = {level: i for i, level in enumerate(levels)}
    unseen = [str(name) for name in given.categories if name not in position]
    if unseen:
        shown = ", ".join(map(repr, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
        known = ", ".join(map(repr, levels[:10])) + (", ..." if len(levels) > 10 else "")
        raise DataError(f"level {shown} is not among those of {source}: {known}.")
    moved = np.array([position[str(name)] for name in given.categories], dtype=np.int64)
    return categorical(moved[given.codes], levels)


def _with_labels(value: Any) -> pd.Categorical:
    if isinstance(value, pd.Categorical):
        return value
    if value.dtype == bool:
        return boolean_categorical(value)
    codes, distinct = pd.factorize(value, sort=True)
    return categorical(codes, [label(v) for v in distinct])


def boolean_categorical(values: NDArray[Any]) -> pd.Categorical:
    """Return booleans as a categorical of the values that occur, False first."""
    codes, used = encode(values.astype(np.int64), np.array(["False", "True"]))
    return categorical(codes, used)


def as_categorical(value: Any) -> Any:
    """Return a column of booleans as a categorical with both levels, and others as they are."""
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return categorical(value.astype(np.int64), ["False", "True"])
    return value


def _contrasts(node: ast.expr | None, levels: list[str]) -> Any:
    from formulaic.transforms.contrasts import (  # noqa: PLC0415 - slow to import
        DiffContrasts,
        HelmertContrasts,
        PolyContrasts,
        SumContrasts,
        TreatmentContrasts,
    )

    if node is None:
        return None
    kinds = {
        "Treatment": TreatmentContrasts,
        "Sum": SumContrasts,
        "Helmert": HelmertContrasts,
        "Poly": PolyContrasts,
        "Diff": DiffContrasts,
    }
    kind = kinds[contrast_name(node)]
    if not isinstance(node, ast.Call):
        return kind()
    chosen = [*node.args, *(keyword.value for keyword in node.keywords)]
    if not chosen:
        return kind()
    base = label(ast.literal_eval(chosen[0]))
    if base not in levels:
        raise DataError(f"The base {base!r} is none of the levels {', '.join(map(repr, levels))}.")
    return kind(base=base)


def _number(value: Any) -> Any:
    if isinstance(value, pd.Categorical):
        raise _LabelsError(value)
    if isinstance(value, str) or value is None:
        raise DataError(f"arithmetic needs numbers, not {value!r}.")
    # Booleans would be or-ed by "+", and Python's own integers can grow without bound.
    return np.float64(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)
