"""Derivatives of the linear predictor with respect to a covariate, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor, design_state
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.predictors import predictor_factors
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design

STEP = 1e-4  # of the covariate's sd: central differences of smooth columns are exact to about 1e-8
SHRINK, MOST = 8.0, 12  # steps for curves that bend within the first one
CLOSE, USABLE = 1e-7, 1e-2  # relative differences of the slopes by a step and by half of it
FLAT = 1e-3  # of a column's size by the covariate's sd
ROUNDING = 64 * np.finfo(np.float64).eps


def slope_predictor(
    idata: xr.DataTree, rows: Mapping[str, Any], name: str, base: LinearPredictor
) -> LinearPredictor:
    r"""Replace a linear predictor's columns by their derivatives.

    .. math:: \frac{\partial \eta}{\partial x} =
              \frac{\partial X}{\partial x} \beta + \frac{\partial Z}{\partial x} b

    Each row has the largest step at which half of it gives the same difference quotient, and
    looks to one side only where the other one lies beyond the training rows: logarithms and
    splines end there.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    rows : mapping of str to ndarray
        The rows' columns.
    name : str
        The covariate, a column of numbers.
    base : LinearPredictor
        Of the rows as they are.

    Returns
    -------
    LinearPredictor
        Its draws are those of the slope.

    Raises
    ------
    ArgumentError
        If the slope is not finite in some row.
    """
    x = np.asarray(rows[name], dtype=np.float64)
    fitted = read.columns(idata)
    training = np.asarray(fitted[name], dtype=np.float64)
    state = design_state(idata)
    factors = tuple(factor.name for factor in base.design.factors)
    variables = [v for factor in base.design.factors for v in factor.variables]
    variables += [f.arms.by for f in base.design.factors if f.arms is not None]

    beside = predictor_factors(base.design.predictors)
    in_parameters = [factor.name for factor in beside if factor.variables]

    def coded(table: Mapping[str, Any]) -> Floats:
        design = rebuild_design(
            state, table, response="ignored", factors=factors, no_level=variables,
            in_parameters=in_parameters,
        )  # fmt: skip
        return _stacked(design)

    def columns(values: Floats) -> Floats:
        return coded({**rows, name: values})

    spread = float(training.std()) or float(np.abs(training).max()) or 1.0
    ends = np.minimum(training.min(), x), np.maximum(training.max(), x)
    # Of a column that is flat here, a slope so small counts as none.
    least = FLAT * np.abs(coded(fitted)).max(axis=0) / spread
    slopes, errors = _settled(columns, x, ends, STEP * spread, _stacked(base.design), least=least)
    if np.any(errors > USABLE):
        worst = int(np.argmax(errors))
        raise ArgumentError(
            f"The slope in {name!r} is not finite where {name} is {x[worst]:g} (row {worst}, "
            "counted from 0): leave such rows out of data, or name two values to compare, as in "
            f"{{{name!r}: [{training.min():g}, {training.max():g}]}}."
        )
    return _with_columns(base, slopes)


def _stacked(design: Design) -> Floats:
    offset = np.zeros(len(design.X)) if design.offset is None else design.offset
    return np.column_stack([design.X, *(factor.columns for factor in design.factors), offset])


def _settled(
    columns: Callable[[Floats], Floats],
    x: Floats,
    ends: tuple[Floats, Floats],
    step: float,
    here: Floats,
    *,
    least: Floats,
) -> tuple[Floats, Floats]:
    """Return each row's slopes (n, k), and how far the best two steps' are apart (n,)."""
    best, errors = np.zeros_like(here), np.full(len(x), np.inf)
    failed: DataError | None = None
    for k in range(MOST):
        if not np.any(errors > CLOSE):
            break
        h = step * SHRINK**-k
        try:
            whole = _quotient(columns, x, ends, h, here)
            half = _quotient(columns, x, ends, h / 2, here)
        except DataError as error:
            failed = error
            continue
        noise = ROUNDING * np.abs(here) / h
        apart = np.maximum(np.abs(whole - half) - noise, 0.0)
        size = np.maximum(np.maximum(np.abs(half), least), np.finfo(np.float64).tiny)
        found = (apart / size).max(axis=1)
        better = (errors > CLOSE) & (found < errors)
        # The whole step's quotient has the smaller rounding error.
        best[better], errors[better] = whole[better], found[better]
    if failed is not None and np.isinf(errors).all():
        raise failed
    return best, errors


def _quotient(
    columns: Callable[[Floats], Floats],
    x: Floats,
    ends: tuple[Floats, Floats],
    h: float,
    here: Floats,
) -> Floats:
    """Compute difference quotients of second order, to one side where the other one ends."""
    low, high = ends
    forward = (x - h < low) & (x + 2 * h <= high)
    backward = (x + h > high) & (x - 2 * h >= low)
    one_sided = forward | backward
    sign = np.where(backward, -1.0, 1.0)
    near = x + sign * h
    far = np.where(one_sided, x + 2 * sign * h, x - h)
    at_near, at_far = columns(near), columns(far)
    central = (at_near - at_far) / (near - far)[:, None]
    towards = (4 * at_near - 3 * here - at_far) / (2 * sign * h)[:, None]
    return np.where(one_sided[:, None], towards, central)


def _with_columns(base: LinearPredictor, slopes: Floats) -> LinearPredictor:
    design, end = base.design, base.design.X.shape[1]
    X, of_factor = slopes[:, :end], {}
    for factor in design.factors:
        start, end = end, end + factor.columns.shape[1]
        of_factor[factor.name] = slopes[:, start:end]
    parts = tuple(part.with_columns(of_factor[part.name]) for part in base.parts)
    offset = None if design.offset is None else slopes[:, -1]
    return replace(base, design=replace(design, X=X, offset=offset), parts=parts)
