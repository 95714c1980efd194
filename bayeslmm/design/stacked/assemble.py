"""Designs of single responses put together: rows by observation, columns by response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.design import Design
from bayeslmm.design.stacked.factors import stacked_factors
from bayeslmm.design.stacked.residuals import stacked_residuals
from bayeslmm.design.stacked.stack import Stack
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.registry import OF_CATEGORIES
from bayeslmm.families.softmax import Multinomial
from bayeslmm.families.stacked import OfCategories, OfResponses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.stacked.layout import Layout
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import StackedFormula


def stack_of(names: Sequence[str], parts: Sequence[Design]) -> Stack[Design]:
    """Return where stacked rows come from: observation by observation, responses in their order.

    Parameters
    ----------
    names : sequence of str
        The responses.
    parts : sequence of Design
        Each one's design; ``rows`` are positions in the table of all of them.
    """
    part = np.concatenate([np.full(one.n, k) for k, one in enumerate(parts)])
    row = np.concatenate([np.arange(one.n) for one in parts])
    place = np.concatenate([one.rows for one in parts])
    positions, first, observation = np.unique(place, return_index=True, return_inverse=True)
    labels: NDArray[Any] = np.concatenate([one.obs for one in parts])[first]
    order = np.lexsort((part, observation))
    return Stack(
        tuple(names), tuple(parts), part[order], row[order], observation.ravel()[order],
        positions, labels,
    )  # fmt: skip


def assemble(
    formula: StackedFormula,
    stack: Stack[Design],
    state: DesignState,
    layout: Layout[DesignState],
    known: Mapping[str, Sequence[str]],
) -> Design:
    """Return the design of stacked rows.

    Parameters
    ----------
    formula : StackedFormula
        Of all responses.
    stack : Stack
        The rows.
    state : DesignState
        Of the stacked design.
    layout : Layout
        Where columns stand.
    known : mapping of str to sequence of str
        Levels of training rows; empty of these themselves.

    Returns
    -------
    Design
        Of several responses, trials are those of the binomial ones; of categories, the totals of
        their observations.
    """
    parts = stack.parts
    n, p = len(stack.part), len(layout.all_coef)
    X, y = np.zeros((n, p)), np.zeros(n)
    offset = np.zeros(n)
    start = 0
    for k, part in enumerate(parts):
        rows, width = stack.rows_of(k), len(part.coef)
        X[rows, start : start + width] = part.X
        y[rows] = part.y
        offset[rows] = 0.0 if part.offset is None else part.offset
        start += width
    return Design(
        formula=formula,
        response=formula.response,
        y=y,
        X=X,
        coef=layout.all_coef,
        factors=stacked_factors(stack, layout, known, state.known),
        weights=None,
        offset=None if all(part.offset is None for part in parts) else offset,
        data={name: column[stack.observation] for name, column in stack.data.items()},
        rows=stack.positions[stack.observation],
        labels=stack.labels[stack.observation],
        units={name: unit for part in parts for name, unit in part.units.items()},
        family=_family(stack, state),
        trials=_trials(stack),
        residual=None if state.residual is None else stacked_residuals(stack, state.residual),
        stack=stack,
        _state=state,
    )


def _family(stack: Stack[Design], state: DesignState) -> Family:
    """Return the family of all rows; the Gaussian's own where it is that of all responses."""
    members = [part.family for part in stack.parts]
    if state.layout is not None and state.layout.categories:
        chosen = OF_CATEGORIES[state.family](state.link)
        assert isinstance(chosen, Multinomial)  # noqa: S101 - as all of categories are
        return OfCategories(chosen, len(members))
    if state.residual is not None:
        return GAUSSIAN
    return OfResponses(stack.names, tuple(members), stack.part)


def _trials(stack: Stack[Design]) -> Floats | None:
    """Return each row's trials, NaN where its response has none; None where no response has."""
    if stack.totals is not None:
        return stack.totals[stack.observation]
    if all(part.trials is None for part in stack.parts):
        return None
    out = np.full(len(stack.part), np.nan)
    for k, part in enumerate(stack.parts):
        if part.trials is not None:
            out[stack.rows_of(k)] = part.trials
    return out
