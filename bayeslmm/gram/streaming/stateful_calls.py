"""Calls whose values depend on other rows, and the parameters estimated from those rows."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arguments import label
from bayeslmm.design.columns.evaluate import call_settings, evaluate
from bayeslmm.design.scales import ColumnScale
from bayeslmm.errors import DataError
from bayeslmm.formula.calls import Expression, function_name
from bayeslmm.tables.levels import LevelSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bayeslmm.formula.model_terms import ModelTerms

_WHOLE = ("poly", "bs", "cr", "cc")
# More labels than this make a fixed effect a mistake, and a first pass that fills the memory.
MOST_LABELS = 20_000


@dataclass(frozen=True, eq=False)
class StatefulCall:
    """A call with parameters from the training rows: ``center()``, ``scale()`` or ``C()``.

    Attributes
    ----------
    text : str
        Its canonical text, under which a design keeps the parameters.
    node : ast.Call
        The call.
    """

    text: str
    node: ast.Call

    @property
    def function(self) -> str:
        """The function's name."""
        return str(function_name(self.node))

    @property
    def inside(self) -> Expression:
        """The data that it is called on."""
        tree = self.node.args[0]
        return Expression(ast.unparse(tree), (), tree)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments other than data."""
        return call_settings(self.function, self.node)

    @property
    def needs_rows(self) -> bool:
        """Whether the transform has parameters to be estimated from the rows.

        ``C(x, levels=[...])`` has none.
        """
        return not (self.function == "C" and self.settings.get("levels"))

    def read(self, inputs: Mapping[str, Any]) -> ColumnScale | LevelSet:
        """Return one batch's statistics: location and spread, or labels.

        Raises
        ------
        DataError
            If numbers are needed and there are none, or labels are too many.
        """
        value = evaluate(self.inside, inputs, {})
        if self.function != "C":
            return ColumnScale.of(_numbers(self.text, value))
        found = LevelSet.of_value(value)
        if len(found.members) > MOST_LABELS:
            raise DataError(
                f"{self.text} has more than {MOST_LABELS:,} levels. A factor with many levels "
                "belongs right of a bar, as in (1 | g)."
            )
        return found

    def memory(self, statistics: ColumnScale | LevelSet) -> dict[str, Any]:
        """Return the parameters from all batches' statistics, as `evaluate` keeps them."""
        settings = self.settings
        if isinstance(statistics, LevelSet):
            chosen = settings.get("levels")
            levels = [label(v) for v in chosen] if chosen else statistics.labels().tolist()
            if len(levels) < 2:
                raise DataError(
                    f"{self.text} cannot be computed: C() of one level only, {levels[0]!r}: there "
                    "is nothing to compare."
                )
            return {"levels": levels}
        if self.function == "center":
            settings["scale"] = False
        return _scale_memory(statistics, **settings)


def stateful_calls(terms: ModelTerms) -> Iterator[StatefulCall]:
    """Iterate over the calls that have parameters from the rows.

    Parameters
    ----------
    terms : ModelTerms
        The formula.

    Yields
    ------
    StatefulCall
        Each once.

    Raises
    ------
    DataError
        If a call's parameters cannot be had by merging batches; the message names it and says what
        to write instead.
    """
    for smooth, _ in terms.smooths:
        raise DataError(
            f"{smooth} learns knots and orthogonal columns from all rows at once, which rows in "
            "batches cannot give. Give the rows in memory as a table; or write powers, as in "
            "I(x**2)."
        )
    seen = set()
    for node in _calls(terms):
        text = ast.unparse(node)
        if _is_stateful(node) and text not in seen:
            _require_mergeable(node)
            seen.add(text)
            yield StatefulCall(text, node)


def stateless_calls(terms: ModelTerms) -> Iterator[str]:
    """Iterate over calls that formulaic counts as stateful, and that are not: raw powers."""
    for node in _calls(terms):
        if function_name(node) == "poly" and not _is_stateful(node):
            yield ast.unparse(node)


def _calls(terms: ModelTerms) -> Iterator[ast.Call]:
    atoms = [terms.response, *terms.fixed.atoms, *terms.offsets]
    atoms += [atom for _, columns in terms.random for atom in columns.atoms]
    if terms.residual is not None and terms.residual.sigma is not None:
        atoms += terms.residual.sigma.atoms
    for atom in atoms:
        for node in ast.walk(atom.tree) if isinstance(atom, Expression) else ():
            if isinstance(node, ast.Call):
                yield node


def _is_stateful(node: ast.Call) -> bool:
    name = function_name(node)
    if name == "poly":
        return not call_settings("poly", node).get("raw")
    return name in ("center", "scale", "C", *_WHOLE)


def _require_mergeable(node: ast.Call) -> None:
    text = ast.unparse(node)
    if function_name(node) in _WHOLE:
        raise DataError(
            f"{text} learns knots or orthogonal columns from all rows at once, which rows in "
            "batches cannot give. Write powers as I(x**2) or poly(x, 2, raw=True), or compute the "
            "columns beforehand."
        )
    for inner in ast.walk(node.args[0]):
        if isinstance(inner, ast.Call) and _is_stateful(inner):
            raise DataError(
                f"{text} learns from {ast.unparse(inner)}, which itself learns from the rows: "
                "rows in batches would have to be read once more for it. Compute one of the two "
                "beforehand."
            )


def _numbers(text: str, value: Any) -> Any:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{text} cannot be computed: arithmetic needs numbers.") from None


def _scale_memory(
    statistics: ColumnScale, center: Any = True, scale: Any = True, ddof: float = 1
) -> dict[str, Any]:
    """Return means and spreads under formulaic's names for them."""
    memory: dict[str, Any] = {"ddof": ddof, "center": None, "scale": None}
    if center is not False:
        memory["center"] = statistics.mean if center is True else center
    if scale is not False:
        shift = statistics.mean - (memory["center"] or 0.0)
        squares = statistics.squares + statistics.n * shift**2
        memory["scale"] = (
            float(np.sqrt(squares / (statistics.n - ddof))) if scale is True else scale
        )
    return {**memory, "learnt": True}
