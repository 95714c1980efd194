"""The search for the maximum of a likelihood, with as many nodes as the integral needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from bayeslmm.model.quadrature.level_rows import why_not
from bayeslmm.reml.descent import ACCEPTABLE, descend, slope_differences, snap_to_zero
from bayeslmm.reml.glmm.laplace import Laplace
from bayeslmm.reml.glmm.plain import Plain, first_point
from bayeslmm.reml.glmm.quadrature import Quadrature
from bayeslmm.reml.quasi_newton import GOAL, quasi_newton

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.glmm.coordinates import Coordinates, Point

type Approximation = Literal["exact", "quadrature", "laplace"]

# Nodes are doubled until the log-likelihood at its maximum moves by less than this.
NODE_GOAL = 1e-5
_ROUNDING = 1e-11
# And until the maximum moves by less than this many squared standard errors.
SHIFT_GOAL = 1e-7
# Nodes for one column: to begin with, and at most; for two columns, per column.
FEWEST, MOST = {1: 15, 2: 7}, {1: 127, 2: 31}
# Steps of the search after which it is seen how many nodes are needed.
_SCOUTING = 10
# Steps of differences of values, first and second ones, in scaled variables.
_FIRST, _SECOND = 3e-4, 1e-2
# What stands for an infinite criterion.
_LARGEST = 1e100


class Likelihood(Protocol):
    """A log-likelihood with the effects integrated out in some way.

    Attributes
    ----------
    exact_slopes : bool
        Whether it has slopes of its own, `value_and_slopes`.
    """

    exact_slopes: bool

    def value(self, point: Point, *, settle: bool = False) -> float:
        """Evaluate it."""
        ...

    def modes(self, point: Point) -> tuple[Floats, ...]:
        """Return the modes of the standardised effects, shapes (m, q)."""
        ...


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where a search ended.

    Attributes
    ----------
    x : ndarray, shape (size,)
        See `Coordinates`.
    log_likelihood : float
        There.
    information : ndarray, shape (size, size)
        Minus its second derivatives in x.
    modes : tuple of ndarray, shapes (m, q)
        Of the standardised effects.
    likelihood : Likelihood
        What was maximised.
    approximation : {"exact", "quadrature", "laplace"}
        How the effects were integrated out; exact where there are none.
    nodes : int or None
        Nodes per column.
    node_error : float or None
        By how much doubling them changes the log-likelihood there.
    promise : float
        By how much a Newton step would lower -2 log-likelihood.
    n_evaluations : int
        Evaluations of the likelihood, with or without slopes.
    """

    x: Floats
    log_likelihood: float
    information: Floats
    modes: tuple[Floats, ...]
    likelihood: Likelihood
    approximation: Approximation
    nodes: int | None
    node_error: float | None
    promise: float
    n_evaluations: int

    @property
    def converged(self) -> bool:
        """Whether a Newton step promises less than 1e-6."""
        return self.promise <= ACCEPTABLE


class Deviance:
    """Minus twice a log-likelihood as a function of scaled variables; counts its evaluations.

    Parameters
    ----------
    coordinates : Coordinates
        The model.
    likelihood : Likelihood
        Its likelihood.
    at : ndarray, shape (size,)
        Where the variables are scaled to unit curvature.

    Attributes
    ----------
    step : ndarray, shape (size,)
        One over the root of the curvature at the start.
    diagonal : ndarray of bool, shape (size,)
        Variables in which it is even.
    expensive : bool
        False: curvature by differences is always worth having.
    """

    expensive = False

    def __init__(self, coordinates: Coordinates, likelihood: Likelihood, at: Floats) -> None:
        self.coordinates, self.likelihood = coordinates, likelihood
        self.diagonal, self.n_evaluations = coordinates.diagonal, 0
        self.step = coordinates.units
        bend = np.diag(self.curvature(self.scaled(at)))
        self.step = self.step / np.sqrt(np.clip(np.abs(bend), 1e-2, 1e8))

    def __call__(self, x: Floats, gradient: bool = True) -> tuple[float, Floats]:
        """Evaluate at scaled variables; infinite values become a large number."""
        point = self.coordinates.point(self.step * x)
        if isinstance(self.likelihood, Quadrature | Plain) and self.likelihood.exact_slopes:
            self.n_evaluations += 1
            value, slopes = self.likelihood.value_and_slopes(point)
            pulled = -2.0 * self.step * self.coordinates.pull_back(point, slopes)
            if not (abs(value) < _LARGEST and np.abs(pulled).max(initial=0.0) < _LARGEST):
                return _LARGEST, np.zeros(len(x))
            return -2.0 * value, pulled
        here = self._value(x, settle=True)
        if not gradient or here >= _LARGEST:
            return here, np.zeros(len(x))
        moves = _FIRST * np.eye(len(x))
        rise = [self._value(x + move) - self._value(x - move) for move in moves]
        return here, np.array(rise) / (2.0 * _FIRST)

    def curvature(self, x: Floats) -> Floats:
        """Compute second derivatives in the scaled variables."""
        if self.likelihood.exact_slopes:
            return slope_differences(self, x)
        k, moves = len(x), _SECOND * np.eye(len(x))
        middle = self._value(x, settle=True)
        ahead = np.array([self._value(x + move) for move in moves])
        behind = np.array([self._value(x - move) for move in moves])
        H = np.diag(ahead + behind - 2.0 * middle)
        for i in range(k):
            for j in range(i):
                both = self._value(x + moves[i] + moves[j]) + self._value(x - moves[i] - moves[j])
                H[i, j] = 0.5 * (both + 2.0 * middle - ahead[i] - behind[i] - ahead[j] - behind[j])
                H[j, i] = H[i, j]
        return H / _SECOND**2

    def scaled(self, x: Floats) -> Floats:
        """Return the variables of the coordinates x."""
        return np.asarray(x / self.step)

    def _value(self, x: Floats, *, settle: bool = False) -> float:
        self.n_evaluations += 1
        point = self.coordinates.point(self.step * x)
        return min(-2.0 * self.likelihood.value(point, settle=settle), _LARGEST)


def maximise(coordinates: Coordinates, approximation: str) -> Maximum:
    """Maximise the likelihood of a model.

    Parameters
    ----------
    coordinates : Coordinates
        The model.
    approximation : {"auto", "quadrature", "laplace"}
        How to integrate the effects out; ``"auto"`` takes quadrature where it serves.

    Returns
    -------
    Maximum
        Of quadrature, with nodes doubled until that changes the maximum no more.
    """
    start = coordinates.place(first_point(coordinates))
    design = coordinates.design
    if not design.factors:
        return _climbed(coordinates, Plain(coordinates), start, "exact")
    if why_not(design):
        return _climbed(coordinates, Laplace(coordinates), start, "laplace")
    if approximation == "laplace":
        return _climbed(coordinates, Quadrature(coordinates, 1), start, "laplace")
    return _integrated(coordinates, start)


def _integrated(coordinates: Coordinates, start: Floats) -> Maximum:
    """Maximise by quadrature: a few steps to see where, then with as many nodes as that needs."""
    width = len(coordinates.design.factors[0].terms)
    nodes = _enough(coordinates, start, FEWEST[width])
    objective = Deviance(coordinates, Quadrature(coordinates, nodes), start)
    x, *_ = quasi_newton(objective, objective.scaled(start), _SCOUTING)
    x, spent = objective.step * x, objective.n_evaluations
    nodes = _enough(coordinates, x, nodes)
    while True:
        found = _climbed(coordinates, Quadrature(coordinates, nodes), x, "quadrature")
        spent += found.n_evaluations
        point = coordinates.point(found.x)
        value, slopes = Quadrature(coordinates, 2 * nodes + 1).value_and_slopes(point)
        slope = coordinates.pull_back(point, slopes)
        error = abs(value - found.log_likelihood)
        shift = float(slope @ np.linalg.pinv(found.information, hermitian=True) @ slope)
        if (error < _goal(value) and shift < SHIFT_GOAL) or nodes >= MOST[width]:
            return replace(found, nodes=nodes, node_error=error, n_evaluations=spent)
        nodes, x = 2 * nodes + 1, found.x


def _enough(coordinates: Coordinates, x: Floats, nodes: int) -> int:
    """Double nodes until that no longer changes the log-likelihood at x."""
    point, width = coordinates.point(x), len(coordinates.design.factors[0].terms)
    value = Quadrature(coordinates, nodes).value(point, settle=True)
    while nodes < MOST[width]:
        finer = Quadrature(coordinates, 2 * nodes + 1).value(point, settle=True)
        if abs(finer - value) < _goal(value):
            break
        nodes, value = 2 * nodes + 1, finer
    return nodes


def _goal(value: float) -> float:
    """Return what nodes may change; sums as large as this one are not known better."""
    return max(NODE_GOAL, _ROUNDING * abs(value))


def _climbed(
    coordinates: Coordinates, likelihood: Likelihood, start: Floats, approximation: Approximation
) -> Maximum:
    objective = Deviance(coordinates, likelihood, start)
    most_steps = 30 + 3 * len(start)
    x, value, promise = descend(objective, objective.scaled(start), most_steps)
    units = coordinates.units
    small = objective.diagonal & (np.abs(objective.step * x) < 0.01 * units)
    if promise > ACCEPTABLE or small.any():
        # A doubtful end gets a second opinion from far larger variances.
        other = objective.scaled(np.where(objective.diagonal, units, start))
        again = descend(objective, other, most_steps)
        if again[1] < value - GOAL:
            x, value, promise = again
    x, value = snap_to_zero(objective, x, value)
    at = objective.step * x
    return Maximum(
        x=at,
        log_likelihood=-0.5 * value,
        information=0.5 * objective.curvature(x) / np.outer(objective.step, objective.step),
        modes=likelihood.modes(coordinates.point(at)),
        likelihood=likelihood,
        approximation=approximation,
        nodes=None,
        node_error=None,
        promise=promise,
        n_evaluations=objective.n_evaluations,
    )
