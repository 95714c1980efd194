"""Where a gradient that is known up to chance is zero: steps without values of the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.krylov.score import Score

# A step may at most double a variable, or move it by so many of its standard errors.
_LONGEST = 6.0
# Of a criterion's decrease that a further step promises: a thousandth of a standard error.
ENOUGH = 1e-6
_MOST_STEPS = 40
# Newton steps on one curvature.
_CHORDS = 2
# Differences, in the scaled variables: a sixth of a standard error, as expected.
_DIFFERENCE = 0.25
_FLAT = 1e-4
# Of a score, beside the expected curvature of one, below which few probes tell curvature well.
_SMALL_CHANCE = 0.003


@dataclass(frozen=True, eq=False)
class Root:
    """Where the gradient vanishes.

    Attributes
    ----------
    x : ndarray, shape (k,)
    score : Score
        There.
    curvature : ndarray, shape (k, k)
        By central differences.
    promise : float
        By how much a Newton step would lower the criterion.
    beside : tuple
        For each variable the scores at x less and x plus a difference, and that difference.
    """

    x: Floats
    score: Score
    curvature: Floats
    promise: float
    beside: tuple[tuple[Score, Score, float], ...]


def find_root(
    score: Callable[[Floats], Score], roughly: Callable[[Floats], Score], start: Floats
) -> Root:
    """Find a minimum's zero gradient by quasi-Newton steps, then Newton's with true curvature.

    Parameters
    ----------
    score : callable
        The gradient at scaled variables, in which expected curvature is about one.
    roughly : callable
        The same with more chance: for the way there, and for curvature where chance is small.
    start : ndarray, shape (k,)
        Where to begin.

    Returns
    -------
    Root

    References
    ----------
    Nocedal & Wright (2006). Numerical Optimization, chapters 6 and 11.
    doi:10.1007/978-0-387-40065-5
    """
    x = approach(roughly, start)
    found = score(x)
    for _ in range(3):
        known = np.sqrt(np.diag(found.covariance)).max() < _SMALL_CHANCE
        curvature, beside = _differences(roughly if known else score, x)
        step, promise = _newton(curvature, found.mean)
        if promise < ENOUGH:
            break
        for _ in range(_CHORDS):
            x = x + _shortened(x, step)
            found = score(x)
            step, promise = _newton(curvature, found.mean)
            if promise < ENOUGH:
                break
        if promise < ENOUGH:
            break
    return Root(x, found, curvature, promise, beside)


def approach(score: Callable[[Floats], Score], start: Floats) -> Floats:
    """Take BFGS steps to where the gradient is about zero.

    Where a step has gone too far, the secant along it takes it back.

    Parameters
    ----------
    score : callable
        The gradient at scaled variables.
    start : ndarray, shape (k,)
        Where to begin.

    Returns
    -------
    ndarray, shape (k,)
    """
    x, found = start, score(start)
    H = np.eye(len(start))
    for _ in range(_MOST_STEPS):
        step, promise = _newton(H, found.mean)
        if promise < ENOUGH:
            break
        step = _shortened(x, step)
        new = score(x + step)
        before, after = float(found.mean @ step), float(new.mean @ step)
        if after > -0.9 * before:
            step = step * (before / (before - after))
            new = score(x + step)
        change = new.mean - found.mean
        bend = float(change @ step)
        if bend > 1e-3 * abs(before):
            pushed = H @ step
            H = H + np.outer(change, change) / bend
            H -= np.outer(pushed, pushed) / float(step @ pushed)
        x, found = x + step, new
    return x


def _shortened(x: Floats, step: Floats) -> Floats:
    most = np.maximum(_LONGEST, np.abs(x))
    return np.asarray(step * min(1.0, float(np.min(most / np.maximum(np.abs(step), 1e-300)))))


def _newton(curvature: Floats, slope: Floats) -> tuple[Floats, float]:
    """Return a Newton step on the absolute values of curvature, and half what it promises."""
    size, axes = np.linalg.eigh(curvature)
    along = axes.T @ slope
    curved = np.maximum(np.abs(size), _FLAT)
    return -axes @ (along / curved), 0.5 * float(np.sum(along**2 / curved))


def _differences(
    score: Callable[[Floats], Score], x: Floats
) -> tuple[Floats, tuple[tuple[Score, Score, float], ...]]:
    beside, rows = [], []
    for unit in np.eye(len(x)):
        low, high = score(x - _DIFFERENCE * unit), score(x + _DIFFERENCE * unit)
        beside.append((low, high, _DIFFERENCE))
        rows.append((high.mean - low.mean) / (2.0 * _DIFFERENCE))
    H = np.array(rows)
    return 0.5 * (H + H.T), tuple(beside)
