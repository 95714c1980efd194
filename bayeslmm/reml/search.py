"""The search for the relative factors that minimise the profiled criterion.

Where correlations have few numbers the criterion may have several minima: a correlation between
neighbours beside residuals of any size explains what a larger one and none explain. Searches then
begin at correlations small, large and negative beside standard deviations small and large.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from bayeslmm.gram.border.sparse.criteria import criterion_sparsely
from bayeslmm.gram.border.sparse_factor import sparse_work
from bayeslmm.gram.likelihood import flat_prior, unpack_factors
from bayeslmm.kernels.densities import ML, REML, evaluate
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE, lower_factor
from bayeslmm.reml.descent import ACCEPTABLE, descend, slope_differences, snap_to_zero, steps_at
from bayeslmm.reml.moments import start_by_moments
from bayeslmm.reml.quasi_newton import GOAL
from bayeslmm.reml.relative import RelativeFactors
from bayeslmm.reml.starts import NO_MATTER, End, Mode, begin, follow, other_modes, sigma_is_zero
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

# Work (multiplications) up to which curvature by differences is worth having.
CHEAP = 2e8
# What stands for an infinite criterion.
LARGEST = 1e100


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search ended.

    Attributes
    ----------
    packed : ndarray, shape (n_lambda,)
        Relative factors, original coordinates; not lower triangular in general.
    criterion : float
        -2 log (restricted) likelihood there.
    sigma : float
        Residual standard deviation.
    singular : bool
        Whether some relative sd, given the columns before it and on the scale of orthogonal
        columns, is below 1e-4; or another parameter is on its bound.
    converged : bool
        Whether a Newton step promises less than 1e-6.
    promise : float
        What it promises.
    n_evaluations : int
        Evaluations of the criterion, with or without its gradient.
    at_bound : tuple of str
        In words, numbers of correlations on their bounds, and a sigma of zero.
    modes : tuple of Mode
        Other minima, by their criterion.
    """

    packed: Floats
    criterion: float
    sigma: float
    singular: bool
    converged: bool
    promise: float
    n_evaluations: int
    at_bound: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()


class Objective:
    """A criterion as a function of scaled search variables; counts its evaluations.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    kind : int
        One of the criteria of `densities.evaluate`.
    at, direction : float and ndarray of shape (p,), optional
        What is held, where the kind holds something.

    Attributes
    ----------
    relative : RelativeFactors
        Lambda as a function of step * x.
    diagonal : ndarray of bool, shape (n_theta,)
        Which variables are diagonal entries of some Theta, or standard deviations.
    step : ndarray, shape (n_theta,)
        One over the root of the expected curvature at the start.
    start : ndarray, shape (n_theta,)
        Theta by the method of moments.
    expensive : bool
        Whether curvature by differences would take too long.
    """

    def __init__(
        self, gram: Gram, kind: int, at: float = 1.0, direction: Floats | None = None
    ) -> None:
        self.gram, self.kind, self.at = gram, kind, at
        self.direction, self.nothing = flat_prior(gram)
        if direction is not None:
            self.direction = direction
        self.relative = RelativeFactors(gram)
        self.diagonal = self.relative.even
        self.start, curvature = start_by_moments(self.relative)
        self.step = 1.0 / np.sqrt(curvature)
        self._count = [0]  # of all that are begun from it, too
        self.sigma, self.last = np.nan, np.zeros(0)
        self.expensive = 2.0 * len(self.start) * self.work() > CHEAP

    def work(self) -> float:
        """Count the multiplications of an evaluation."""
        if self.gram.by_nodes:
            return sparse_work(self.gram)
        plan = self.gram.plan
        return float(plan.n_border**3 + 20.0 * len(plan.floats))

    def evaluate(self, packed: Floats, gradient: bool) -> tuple[float, Floats, float]:
        """Compute the criterion at packed relative factors, its gradient, and sigma."""
        if self.gram.by_nodes:
            lams, held = unpack_factors(self.gram, packed), (self.at, self.direction)
            return criterion_sparsely(self.gram, lams, self.kind, held, gradient=gradient)
        plan = self.gram.plan
        found: tuple[float, Floats, float] = evaluate(
            plan.ints,
            plan.floats,
            packed,
            self.at,
            self.direction,
            self.nothing,
            self.kind,
            gradient,
        )
        return found

    def __call__(self, x: Floats, gradient: bool = True) -> tuple[float, Floats]:
        """Evaluate at scaled variables; infinite values become a large number for SciPy."""
        self._count[0] += 1
        self.last = x
        theta = self.step * x
        if self.relative.structured and self.relative.beyond(theta):
            return LARGEST, np.zeros(len(x))
        packed = self.relative.packed(theta)
        value, d_packed, self.sigma = self.evaluate(packed, gradient)
        if not gradient:
            return min(value, LARGEST), np.zeros(len(x))
        return min(value, LARGEST), self.step * self.relative.pull_back(theta, d_packed)

    @property
    def n_evaluations(self) -> int:
        """Evaluations so far, at whatever scales."""
        return self._count[0]

    def curvature(self, x: Floats) -> Floats:
        """Compute second derivatives in the scaled variables."""
        return slope_differences(self, x)

    def locate(self, factors: Sequence[Floats]) -> Floats:
        """Find the scaled variables of given relative factors."""
        return np.asarray(self.relative.locate(factors) / self.step)

    def begun(self, theta: Floats) -> Self:
        """Return the same criterion with variables of structured sets scaled at a point."""
        places = np.arange(self.relative.n_free, len(theta))
        other = copy.copy(self)
        other.step = self.step.copy()
        other.step[places] = steps_at(self, theta, places)
        return other


def search_criterion(gram: Gram, *, restricted: bool) -> Search:
    """Minimise the profiled criterion over all relative factors.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    Search
        The minimum found, and how far it can be trusted.
    """
    return search_objective(Objective(gram, REML if restricted else ML))


def search_objective(objective: Objective) -> Search:
    """Minimise a criterion; see `search_criterion`."""
    with single_blas_thread():
        if not len(objective.start):
            value, _ = objective(objective.start)
            return Search(np.zeros(0), value, objective.sigma, False, True, 0.0, 1)
        if objective.relative.is_partial.any():
            return _search_several(objective)
        return _search_once(objective)


def _search_once(objective: Objective) -> Search:
    x, value, promise = descend(objective, objective.start / objective.step)
    if promise > ACCEPTABLE or np.any(np.abs(x * objective.step)[objective.diagonal] < 0.01):
        # A doubtful end gets a second opinion from lme4's starting point.
        other = descend(objective, objective.diagonal / objective.step)
        if other[1] < value - GOAL:
            x, value, promise = other
    x, value = snap_to_zero(objective, x, value)
    if not np.array_equal(x, objective.last):  # sigma belongs to the last evaluation
        value, _ = objective(x, gradient=False)
    return _found(objective, x, value, promise)


def _search_several(objective: Objective) -> Search:
    starts = [
        (own, theta / own.step)
        for theta in begin(objective.relative, objective.start)
        for own in [objective.begun(theta)]
    ]
    ends = follow(starts)
    best = ends[0]
    best.objective(best.x, gradient=False)  # sigma belongs to the last evaluation
    found = _found(best.objective, best.x, best.value, best.promise)
    at_bound = best.objective.relative.on_bound(best.objective.step * best.x)
    if sigma_is_zero(best):
        at_bound.append(f"sigma is {found.sigma:.2g}, all but zero")
    modes = other_modes(ends, _mode)
    return replace(
        found,
        singular=found.singular or bool(at_bound),
        converged=best.promise <= (NO_MATTER if at_bound else ACCEPTABLE),
        n_evaluations=objective.n_evaluations,
        at_bound=tuple(at_bound),
        modes=modes,
    )


def _mode(end: End[Objective]) -> Mode:
    objective = end.objective
    objective(end.x, gradient=False)
    packed = objective.relative.packed(objective.step * end.x)
    roots = [objective.sigma * lam for lam in lambda_factors(objective.gram, packed)]
    return Mode(end.value, tuple(roots), objective.sigma)


def _found(objective: Objective, x: Floats, value: float, promise: float) -> Search:
    theta = objective.step * x
    return Search(
        packed=objective.relative.packed(theta),
        criterion=value,
        sigma=objective.sigma,
        singular=bool(np.any(np.abs(theta[objective.diagonal]) < SINGULAR_TOLERANCE)),
        converged=promise <= ACCEPTABLE,
        promise=promise,
        n_evaluations=objective.n_evaluations,
    )


def lambda_factors(gram: Gram, packed: Floats) -> list[Floats]:
    """Split packed factors and bring each to lower-triangular form with a non-negative diagonal.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Any factors of the relative covariances.

    Returns
    -------
    list of ndarray, shapes (q, q)
        Lambda_k, zero where columns are uncorrelated.
    """
    out = []
    for factor, matrix in zip(gram.factors, unpack_factors(gram, packed), strict=True):
        lam = np.zeros_like(matrix)
        for columns in covariance_of(factor).independent:
            at = np.ix_(columns, columns)
            lam[at] = lower_factor(matrix[at])
        out.append(lam)
    return out
