"""Several starts of a search, and the several minima that a criterion may have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from bayeslmm.reml.descent import ACCEPTABLE, EvenCriterion, descend, snap_to_zero
from bayeslmm.reml.quasi_newton import GOAL, quasi_newton

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.relative import RelativeFactors

# Where the first partial of each set begins, from 0 to 1, and by how much its standard deviations
# are more or less than moments say: what is not a correlation of levels is residual.
_PARTIALS, _SHARES = (0.6, 0.95, 0.2), (1.0, 0.2, 5.0)
# Of expensive criteria so many starts are followed, those that are lowest.
_FEW = 4
# Steps of descents before their variables are scaled anew, how often that is done, and what such
# steps gain that had better be left.
_STEPS, _ROUNDS, _NO_GAIN = 20, 8, 1e-7
# Ends of searches that are as near as this are one; minima that are so much higher are not told.
_SAME, _FARTHEST = 1e-4, 20.0
# A standard deviation is large beside sigma.
_LARGE = 30.0
# A sigma so many times smaller than a standard deviation is zero, where twice that sigma changes
# the criterion by no more than this; nor does it matter what a step over a bound would promise.
_BESIDE_NOTHING, NO_MATTER = 1e3, 1e-3


class FactorCriterion(EvenCriterion, Protocol):
    """A criterion whose first variables are those of relative factors.

    Attributes
    ----------
    relative : RelativeFactors
        Them.
    """

    relative: RelativeFactors

    def begun(self, theta: Floats) -> Self:
        """Return the same criterion, scaled at a point in variables that are not scaled."""
        ...


@dataclass(frozen=True, eq=False)
class Mode:
    """Another minimum of the criterion.

    Attributes
    ----------
    criterion : float
        -2 log (restricted) likelihood there.
    roots : tuple of ndarray, shapes (q, q)
        L_k with G_k = L_k L_k'.
    scale : float
        s of the residuals' covariance R = s^2 R_0.
    phi : ndarray or None
        Parameters of the residual structure, where there is one.
    """

    criterion: float
    roots: tuple[Floats, ...]
    scale: float
    phi: Floats | None = None


@dataclass(frozen=True, eq=False)
class End[T: FactorCriterion]:
    """Where one descent ended.

    Attributes
    ----------
    objective : FactorCriterion
        With the scales of its start.
    x, value, promise : ndarray, float and float
        See `descend`.
    """

    objective: T
    x: Floats
    value: float
    promise: float


def begin(relative: RelativeFactors, theta: Floats) -> list[Floats]:
    """Return where to begin: correlations and standard deviations of structured sets vary.

    Parameters
    ----------
    relative : RelativeFactors
        Whose variables.
    theta : ndarray, shape (relative.size,)
        One start.

    Returns
    -------
    list of ndarray
        That one alone where nothing is structured.
    """
    if not relative.is_partial.any():
        return [theta]
    out = []
    beyond = np.arange(relative.size) >= relative.n_free
    first = relative.is_partial & ~np.append(False, relative.is_partial[:-1])
    for partial, share in product(_PARTIALS, _SHARES):
        x = np.where(beyond & relative.even, share * theta, theta)
        x[first] = np.arctanh(2.0 * partial - 1.0)
        out.append(x)
    return out


def follow[T: FactorCriterion](starts: Sequence[tuple[T, Floats]]) -> list[End[T]]:
    """Descend a little from every start, and from the lowest points so reached to their ends.

    Parameters
    ----------
    starts : sequence of (FactorCriterion, ndarray)
        Each with its own scales; of expensive criteria only the lowest are followed.

    Returns
    -------
    list of End
        Lowest first.
    """
    if starts[0][0].expensive and len(starts) > _FEW:
        heights = [objective(x, gradient=False)[0] for objective, x in starts]
        starts = [starts[k] for k in np.argsort(heights)[:_FEW]]
    reached = []
    for objective, begun in starts:
        x, value, _, _ = quasi_newton(objective, begun, _STEPS)
        reached.append((value, objective, x))
    reached.sort(key=lambda point: point[0])
    distinct = reached[:1]
    distinct += [b for a, b in pairwise(reached) if b[0] - a[0] >= _SAME]
    ends = [_descend(objective, begun) for _, objective, begun in distinct[:_FEW]]
    return sorted(ends, key=lambda end: end.value)


def _descend[T: FactorCriterion](objective: T, x: Floats) -> End[T]:
    """Descend to a minimum, with the variables scaled anew where that takes long."""
    before = np.inf
    for _ in range(_ROUNDS):
        theta = objective.step * x
        objective = objective.begun(theta)
        x, value, _, promise = quasi_newton(objective, theta / objective.step, _STEPS)
        if promise < GOAL or value > before - _NO_GAIN:
            break
        before = value
    x, value, promise = descend(objective, x, _STEPS)
    x, value = snap_to_zero(objective, x, value)
    return End(objective, x, value, promise)


def other_modes[T: FactorCriterion](
    ends: Sequence[End[T]], tell: Callable[[End[T]], Mode]
) -> tuple[Mode, ...]:
    """Return the minima among ends beside the lowest, by their criterion.

    Parameters
    ----------
    ends : sequence of End
        Lowest first.
    tell : callable
        Makes a `Mode` of an end.

    Returns
    -------
    tuple of Mode
    """
    known = [ends[0].value]
    found = []
    for end in ends[1:]:
        near = min(abs(end.value - value) for value in known) < _SAME
        if near or end.value > known[0] + _FARTHEST or end.promise > _SAME:
            continue
        if is_minimum(end):
            known.append(end.value)
            found.append(tell(end))
    return tuple(found)


def is_minimum[T: FactorCriterion](end: End[T]) -> bool:
    """Return whether steps away from an end go up, also where the criterion is flat.

    Far out, where lines of partials end or sigma vanishes beside all else, slopes are small in
    any case.
    """
    relative, step = end.objective.relative, end.objective.step
    theta = step * end.x
    for tried in _grown(relative, theta):
        if end.objective(tried / step, gradient=False)[0] < end.value - ACCEPTABLE:
            return False
    for k in range(relative.size):
        moves = [0.1, -0.1] if relative.is_partial[k] else [0.1 * theta[k], -0.1 * theta[k]]
        far = abs(theta[k]) > (3.0 if relative.is_partial[k] else _LARGE)
        for move in [*moves, *([-0.6 * theta[k]] if far else [])]:
            tried = theta.copy()
            tried[k] += move
            if end.objective(tried / step, gradient=False)[0] < end.value - ACCEPTABLE:
                return False
    return True


def _grown(relative: RelativeFactors, theta: Floats) -> list[Floats]:
    """Return points where sets without variance have some, at other correlations.

    At a standard deviation of zero any correlation is as good, so that a search can come to rest
    beside one with which variance would pay.
    """
    out, at = [], relative.n_free
    for own in relative.structured:
        sds, partials = slice(at, at + own.n_sds), slice(at + own.n_sds, at + own.size)
        at += own.size
        if own.structure.n_partials and not np.any(theta[sds]):
            for partial, sd in product(_PARTIALS, (0.3, 0.1)):
                tried = theta.copy()
                tried[sds] = sd
                tried[partials] = 0.0
                tried[partials.start] = np.arctanh(2.0 * partial - 1.0)
                out.append(tried)
    return out


def sigma_is_zero[T: FactorCriterion](end: End[T]) -> bool:
    """Return whether any smaller sigma beside the structured effects fits as well."""
    relative, step = end.objective.relative, end.objective.step
    theta = step * end.x
    sds = np.flatnonzero(relative.even)
    beyond = sds[sds >= relative.n_free]
    if np.abs(theta[beyond]).max(initial=0.0) < _BESIDE_NOTHING:
        return False
    tried = theta.copy()
    tried[: relative.size][~relative.is_partial] *= 0.5
    return abs(end.objective(tried / step, gradient=False)[0] - end.value) < NO_MATTER
