"""A quasi-Newton search for criteria that take most of the time, in few well-scaled variables.

Not SciPy's, which was measured beside it (docs/decisions/0011). Here the first step is a Newton
step, since the variables are scaled, but no longer than half of all there is, which keeps it from
stepping over a lower minimum; the last one is taken without asking for its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


# A Newton step at the end promises to lower the criterion by less than this (in -2 log
# likelihood): then sds are within 1e-4 of themselves even with a handful of levels.
GOAL = 1e-9
# Where evaluations are expensive, a step that promises less than this is taken and believed.
LAST_STEP = 1e-7
# Rounding of the criterion itself, in proportion to its size.
ROUNDING = 1e-13
MOST_STEPS, MOST_TRIALS = 300, 20


class Criterion(Protocol):
    """A function to minimise.

    Attributes
    ----------
    step : ndarray
        The unit of each variable, on the scale on which changes of one half are large.
    expensive : bool
        Whether evaluations take long.
    """

    step: Floats
    expensive: bool

    def __call__(self, x: Floats, gradient: bool = True) -> tuple[float, Floats]:
        """Evaluate the function and its gradient."""
        ...


def quasi_newton(
    objective: Criterion, x: Floats, most_steps: int = MOST_STEPS
) -> tuple[Floats, float, Floats, float]:
    """Minimise a criterion whose variables are scaled to unit curvature by the BFGS formula.

    Parameters
    ----------
    objective : Criterion
        What to minimise.
    x : ndarray
        Where to start.
    most_steps : int
        After how many steps to stop.

    Returns
    -------
    x : ndarray
        The point found.
    value : float
        The criterion there.
    slope : ndarray
        The gradient there; where evaluations are expensive, the one before the last step.
    promise : float
        By how much a Newton step lowers the criterion; where evaluations are expensive and
        the promise is below `LAST_STEP`, the step has been taken.
    """
    value, slope = objective(x)
    inverse, updated = np.eye(len(x)), False
    for _ in range(most_steps):
        ahead = -inverse @ slope
        promise = -0.5 * float(slope @ ahead)
        if promise < GOAL or (objective.expensive and promise < LAST_STEP):
            break
        found = _line_search(objective, x, value, slope, ahead)
        if found is None:
            if not updated:
                break
            inverse, updated = np.eye(len(x)), False  # start afresh, along the gradient
            continue
        new, value, new_slope = found
        moved, turned = new - x, new_slope - slope
        x, slope = new, new_slope
        along = float(moved @ turned)
        if along > 1e-10 * float(np.linalg.norm(moved) * np.linalg.norm(turned)):
            inverse = _updated(inverse, moved, turned, along)
            updated = True
    if GOAL <= promise < LAST_STEP and objective.expensive:
        new_value, _ = objective(x + ahead, gradient=False)
        if new_value <= value + ROUNDING * abs(value):
            # What the step leaves is of second order in a step that promised next to nothing.
            return x + ahead, new_value, slope, promise
    return x, value, slope, promise


def _updated(inverse: Floats, moved: Floats, turned: Floats, along: float) -> Floats:
    """Update the inverse curvature by the formula of Broyden, Fletcher, Goldfarb and Shanno."""
    pulled = inverse @ turned
    spread = (1.0 + float(turned @ pulled) / along) / along
    cross = np.outer(pulled, moved) / along
    return inverse + spread * np.outer(moved, moved) - cross - cross.T


def _line_search(
    objective: Criterion, x: Floats, value: float, slope: Floats, ahead: Floats
) -> tuple[Floats, float, Floats] | None:
    """Find a point along `ahead` that is low enough and no longer steep; None if there is none."""
    descent = float(slope @ ahead)
    # A step of more than half of all there is says that the curvature was wrong.
    theta, leap = objective.step * x, objective.step * ahead
    length = min(1.0, 0.5 * max(1.0, np.abs(theta).max()) / max(np.abs(leap).max(), 1e-300))
    best: tuple[Floats, float, Floats] | None = None
    low, high = 0.0, np.inf
    for _ in range(MOST_TRIALS):
        tried = x + length * ahead
        new, new_slope = objective(tried)
        steep = float(new_slope @ ahead)
        if not new <= value + 1e-4 * length * descent + ROUNDING * abs(value):
            if best is not None:
                break
            high = length
            bend = 2.0 * (new - value - length * descent)
            guess = -descent * length**2 / bend if 0.0 < bend < 1e90 else 0.0
            length = float(np.clip(guess, low + 0.1 * (high - low), low + 0.5 * (high - low)))
            continue
        if best is not None and new > best[1]:
            break
        best, low = (tried, new, new_slope), length
        if steep >= 0.9 * descent or np.isfinite(high):
            break
        length *= 3.0
    return best
