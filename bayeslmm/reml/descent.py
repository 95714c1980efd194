"""Descent to a minimum: quasi-Newton steps, then Newton's, away from saddles.

The criteria are even in some of their variables, the diagonal entries of relative factors: zero is
then a minimum or a saddle, and a search may come to rest at either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm.reml.quasi_newton import (
    GOAL,
    LAST_STEP,
    MOST_STEPS,
    ROUNDING,
    Criterion,
    quasi_newton,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats

# Searches whose last Newton step still promises more than this are reported as not converged.
ACCEPTABLE = 1e-6
# Of differences of the gradient; the variables are scaled, so one step fits all.
_STEP = 1e-4
# Of a first difference of the gradient that tells how far a variable may be moved at once.
_MOVE = 0.05
# Variables that are all but flat at the start are moved by no more than this at once.
_LONGEST = 0.5


class EvenCriterion(Criterion, Protocol):
    """A criterion that is even in some of its variables.

    Attributes
    ----------
    diagonal : ndarray of bool
        Which they are.
    """

    diagonal: NDArray[np.bool_]

    def curvature(self, x: Floats) -> Floats:
        """Compute the matrix of second derivatives."""
        ...


def descend(
    objective: EvenCriterion, x: Floats, most_steps: int = MOST_STEPS
) -> tuple[Floats, float, float]:
    """Minimise a criterion by quasi-Newton steps, then Newton's.

    Parameters
    ----------
    objective : EvenCriterion
        What to minimise; where it is expensive, no Newton step is taken.
    x : ndarray
        Where to start.
    most_steps : int
        Of the quasi-Newton method, each time.

    Returns
    -------
    x : ndarray
        The point found.
    value : float
        The criterion there.
    promise : float
        By how much a Newton step would lower it.
    """
    for _ in range(3):
        x, value, slope, promise = quasi_newton(objective, x, most_steps)
        if not objective.expensive:
            x, value, promise = _newton(objective, x, value, slope)
        if promise < (LAST_STEP if objective.expensive else GOAL):
            break
    return x, value, promise


def _newton(
    objective: EvenCriterion, x: Floats, value: float, slope: Floats
) -> tuple[Floats, float, float]:
    """Take Newton steps with curvature by differences of the gradient, away from saddles."""
    promise = np.inf
    for _ in range(4):
        size, axes = np.linalg.eigh(objective.curvature(x))
        along = axes.T @ slope
        # Below this curvature a direction is flat as far as double precision can tell.
        floor = 1e-7 * max(1.0, size[-1])
        if size[0] < -floor:
            # A saddle (an sd of zero that wants to grow): leave it along its steepest way down.
            for length in (0.3, 0.1, 0.03):
                tried = x + length / np.sqrt(-size[0]) * axes[:, 0]
                if objective(tried, gradient=False)[0] < value:
                    return tried, value, np.inf
        curved = np.maximum(np.abs(size), floor)
        promise = 0.5 * float(np.sum(along**2 / curved))
        if promise < 1e-3 * GOAL:
            break
        tried = x - axes @ (along / curved)
        new, new_slope = objective(tried)
        if not new <= value + ROUNDING * abs(value):
            break
        x, value, slope = tried, new, new_slope
        promise = 0.5 * float(np.sum((axes.T @ slope) ** 2 / curved))
        if promise < 1e-3 * GOAL:
            break
    return x, value, promise


def slope_differences(objective: Criterion, x: Floats) -> Floats:
    """Compute second derivatives by central differences of the gradient.

    Parameters
    ----------
    objective : Criterion
        Whose gradient is exact.
    x : ndarray, shape (k,)
        Where, in scaled variables.

    Returns
    -------
    ndarray, shape (k, k)
        Symmetric.
    """
    rows = [
        (objective(x + _STEP * unit)[1] - objective(x - _STEP * unit)[1]) / (2.0 * _STEP)
        for unit in np.eye(len(x))
    ]
    H = np.array(rows)
    return 0.5 * (H + H.T)


def steps_at(objective: EvenCriterion, at: Floats, places: NDArray[np.intp]) -> Floats:
    """Compute one over the root of some variables' own curvature.

    Parameters
    ----------
    objective : EvenCriterion
        Whose gradient is exact.
    at : ndarray, shape (k,)
        Where, in variables that are not scaled.
    places : ndarray of int
        Of which variables.

    Returns
    -------
    ndarray, shape (len(places),)
    """
    first = objective(at / objective.step)[1] / objective.step
    out = np.empty(len(places))
    for j, k in enumerate(places):
        # What is a standard deviation is moved in proportion where it is large.
        unit = max(1.0, abs(at[k])) if objective.diagonal[k] else 1.0
        moved = at.copy()
        moved[k] += _MOVE * unit
        slope = objective(moved / objective.step)[1][k] / objective.step[k]
        bend = abs(slope - first[k]) / (_MOVE * unit)
        out[j] = 1.0 / np.sqrt(max(bend, 1.0 / (_LONGEST * unit) ** 2))
    return out


def snap_to_zero(objective: EvenCriterion, x: Floats, value: float) -> tuple[Floats, float]:
    """Set near-zero variables of `diagonal` to exactly zero where that does not raise the value.

    Parameters
    ----------
    objective : EvenCriterion
        The criterion.
    x, value : ndarray and float
        Where a search ended.

    Returns
    -------
    x, value : ndarray and float
        The same, or with zeros.
    """
    near = np.flatnonzero(objective.diagonal & (np.abs(x * objective.step) < 0.01))
    for k in near[np.argsort(-near)]:
        tried = x.copy()
        tried[k] = 0.0
        new, _ = objective(tried, gradient=False)
        if new <= value + GOAL:
            x, value = tried, min(new, value)
    return x, value
