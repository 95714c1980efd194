"""Levels and transforms as settled after the first pass, or from levels that were given."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import DataError, nearest
from bayeslmm.learning import learning_calls, stateless_calls
from bayeslmm.level_set import LevelSet
from bayeslmm.table import label
from bayeslmm.tokens import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.learning import LearningCall
    from bayeslmm.plan import Plan
    from bayeslmm.reading import Reading

    Labels = NDArray[np.str_]


def settle_levels(
    plan: Plan, reading: Reading, given: Mapping[str, Any] | None
) -> dict[str, Labels]:
    """Order the levels of every factor and of every column that holds labels.

    Parameters
    ----------
    plan : Plan
        The formula.
    reading : Reading
        Of all batches, or of one where levels are given.
    given : mapping of str to sequence of str, or None
        Levels by factor and column.

    Returns
    -------
    dict of str to ndarray of str

    Raises
    ------
    DataError
        If a column has one level only, or levels that are needed are not given.
    """
    factors = {term.factor: term.variables for term, _ in plan.random}
    predictors = [name for name in plan.predictors if reading.kinds[name] != "number"]
    if given is not None:
        found = _given_levels(given, [*factors, *predictors])
    else:
        found = {name: levels.labels() for name, levels in reading.levels.items()}
        for factor, variables in factors.items():
            if len(variables) > 1:
                ordered = [reading.levels[name].labels() for name in variables]
                found[factor] = reading.combinations[factor].ordered(ordered, factor)
    bare = {atom.text for atom in plan.fixed.atoms}
    bare |= {atom.text for _, columns in plan.random for atom in columns.atoms}
    for name in predictors:
        if len(found[name]) < 2 and quote(name) in bare:
            raise DataError(
                f"Column {name!r} has one level only, {str(found[name][0])!r}: there is nothing "
                "to compare it with."
            )
    return found


def settle_transforms(
    plan: Plan, reading: Reading, given: Mapping[str, Any] | None
) -> dict[str, dict[Any, Any]]:
    """Write what calls learnt from all batches as `evaluation` remembers it.

    Raises
    ------
    DataError
        If levels are given, and a call has more to learn from the rows than they say.
    """
    memory: dict[str, dict[Any, Any]] = {call: {"learnt": True} for call in stateless_calls(plan)}
    for call in learning_calls(plan):
        column = _bare_column(call, reading)
        if given is not None and call.needs_rows:
            if column not in given:
                raise DataError(
                    f"{call.text} learns from all rows, and levels= asks for one pass over them. "
                    "Give batches that can be read twice (a path, a list, or a function that "
                    "returns them anew) and leave levels= out, or compute the column beforehand."
                )
            labels = np.array([label(value) for value in given[str(column)]], dtype=str)
            memory[call.text] = call.memory(LevelSet("text", labels))
        elif column is not None and reading.kinds[column] != "number":
            memory[call.text] = call.memory(reading.levels[column])
        else:
            memory[call.text] = call.memory(reading.learnt[call.text])
    return memory


def _bare_column(call: LearningCall, reading: Reading) -> str | None:
    """Give the column of ``C(column)``; None for other calls."""
    inside = call.node.args[0]
    if call.function != "C" or not isinstance(inside, ast.Name):
        return None
    return next(name for name in reading.kinds if quote(name) == inside.id)


def _given_levels(given: Mapping[str, Any], needed: list[str]) -> dict[str, Labels]:
    found = {}
    for name in dict.fromkeys(needed):
        if name not in given:
            hint = nearest(name, [str(key) for key in given])
            raise DataError(
                f"levels= leaves out {name!r}, whose levels are needed before rows are read "
                f"once.{hint} Name them too, or leave levels= out to have them read from the rows."
            )
        labels = np.array([label(value) for value in given[name]], dtype=str)
        if len(labels) == 0:
            raise DataError(f"levels= gives no level of {name!r}.")
        if len(np.unique(labels)) < len(labels):
            raise DataError(f"levels= gives some level of {name!r} twice.")
        found[name] = labels
    return found
