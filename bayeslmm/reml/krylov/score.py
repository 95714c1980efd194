r"""The gradient of the profiled criterion by probes, where factors cross at size.

.. math:: d = (n - p) \log r + \log|V| + \log|X' V^{-1} X|

(without the last, and n for n - p, by maximum likelihood). All but the trace in the gradient of
log|V| is exact, to the tolerance of conjugate gradients.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.probes import (
    Probes,
    log_determinant,
    log_determinant_slopes,
    second_moment_is_cheap,
)
from bayeslmm.gram.border.solution import Solution, slopes_of_T, solve_fixed, unexplained
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.reml.krylov.criterion import finish
from bayeslmm.reml.moments import start_by_moments
from bayeslmm.reml.relative import RelativeFactors

if TYPE_CHECKING:
    from bayeslmm.arrays import Columns, Floats
    from bayeslmm.gram.border.probes import LogDeterminant
    from bayeslmm.gram.gram import Gram

# Differences of variables, beside themselves or one, and the least curvature that they tell.
_DIFFERENCE, _FLATTEST = 1e-2, 1e-2
# Probes that the way to the root takes.
_FEW = 8
# Solutions for scores: their errors enter squared, or below the chance of probes.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Score:
    """The criterion's gradient at one point.

    Attributes
    ----------
    slopes : ndarray, shape (B, size)
        In the scaled variables, by each probe.
    sigma : float
        The residual standard deviation that is best there.
    """

    slopes: Floats
    sigma: float

    @property
    def mean(self) -> Floats:
        """The estimate."""
        return np.asarray(self.slopes.mean(axis=0))

    @property
    def covariance(self) -> Floats:
        """Covariance of the estimate's chance."""
        return np.atleast_2d(np.cov(self.slopes, rowvar=False)) / len(self.slopes)


class ScoreFunction:
    """Scores at scaled variables, with the same probes everywhere.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.
    count : int
        Number of probes.
    seed : int
        Of their signs.

    Attributes
    ----------
    relative : RelativeFactors
        Lambda as a function of step * x.
    step : ndarray, shape (size,)
        One over the root of the expected curvature at the start.
    start : ndarray, shape (size,)
        Where to begin, scaled.
    dof : int
        Degrees of freedom of sigma.
    products : SparseProducts
    probes : Probes
    few : Probes
        A few of them, for the way to the root.
    n_evaluations : int
        Scores so far.
    steps : int
        The most steps that conjugate gradients have taken for one.
    """

    def __init__(self, gram: Gram, *, restricted: bool, count: int, seed: int) -> None:
        self.gram, self._restricted = gram, restricted
        self.relative = RelativeFactors(gram)
        theta, curvature = start_by_moments(self.relative)
        self.step = 1.0 / np.sqrt(curvature)
        self.start = theta / self.step
        self.dof = gram.n - (len(gram.coef) if restricted else 0)
        self.products = sparse_products(gram)
        self._rng = np.random.default_rng([seed, 7])
        self.probes = Probes(self.operator(self.start), count, self._rng)
        self.few = self.probes.few(_FEW)
        self.n_evaluations, self.steps = 0, 0
        self._near_response: Floats | None = None
        self._near: dict[int, Columns] = {}

    def more_probes(self) -> None:
        """Take as many probes again."""
        self.probes = self.probes.more(self._rng)

    def operator(self, x: Floats) -> Operator:
        """Return A at scaled variables."""
        packed = self.relative.packed(self.step * x)
        return Operator(self.products, self.gram, unpack_factors(self.gram, packed))

    def begun(self, theta: Floats) -> ScoreFunction:
        """Return the same with variables of structured sets scaled at a point, by differences."""
        other = copy.copy(self)
        other.step = self.step.copy()
        for k in range(self.relative.n_free, len(theta)):
            unit = np.zeros(len(theta))
            unit[k] = _DIFFERENCE * max(abs(theta[k]), 1.0)
            low, high = (
                self.roughly((theta + sign * unit) / self.step).mean[k] / self.step[k]
                for sign in (-1.0, 1.0)
            )
            other.step[k] = 1.0 / np.sqrt(max(abs(high - low) / (2.0 * unit[k]), _FLATTEST))
        return other

    def height(self, x: Floats) -> float:
        """Compute the criterion by a few of the probes, the same for all x."""
        operator = self.operator(x)
        solution = solve_fixed(operator, _TOLERANCE)
        found = log_determinant(operator, self.few)
        return finish(self.gram, solution.T, found.mean, restricted=self._restricted).value

    def roughly(self, x: Floats) -> Score:
        """Compute the score by a few of the probes."""
        return self._by(self.few, x)

    def __call__(self, x: Floats) -> Score:
        """Compute the score at scaled variables."""
        return self._by(self.probes, x)

    def _by(self, probes: Probes, x: Floats) -> Score:
        operator = self.operator(x)
        of_trace, near, steps = log_determinant_slopes(
            operator, probes, self._near.get(probes.count)
        )
        solution = solve_fixed(operator, _TOLERANCE, self._near_response)
        self._near = {probes.count: near}
        self._near_response = solution.scaled
        self.n_evaluations += 1
        self.steps = max(self.steps, steps, solution.steps)
        of_T, sigma = self._of_response(operator, solution)
        packed = [
            (factor.scale.T @ (own + known)).reshape(len(own), -1)
            for factor, own, known in zip(self.gram.factors, of_trace, of_T, strict=True)
        ]
        theta = self.step * x
        slopes = [self.relative.pull_back(theta, row) for row in np.concatenate(packed, axis=1)]
        return Score(np.array(slopes) * self.step, sigma)

    def _of_response(self, operator: Operator, solution: Solution) -> tuple[list[Floats], float]:
        """Compute the gradient of what depends on T with respect to each F, and sigma."""
        finished = finish(self.gram, solution.T, 0.0, restricted=self._restricted)
        residuals = unexplained(operator, solution)
        widths = [len(own.F) for own in operator.blocks]
        slopes = slopes_of_T(finished.Tbar, residuals, solution.effects, widths)
        return slopes, finished.sigma

    def criterion(self, x: Floats) -> tuple[float, float, LogDeterminant]:
        """Compute the criterion, sigma, and log|V| by each probe at scaled variables."""
        operator = self.operator(x)
        solution = solve_fixed(operator, start=self._near_response)
        found = log_determinant(operator, self.probes, second=second_moment_is_cheap(operator))
        finished = finish(self.gram, solution.T, found.mean, restricted=self._restricted)
        return finished.value, finished.sigma, found
