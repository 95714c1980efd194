"""The criterion as a function of relative factors and of the residual structure's coordinates."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Self

import numpy as np

from bayeslmm.gram.likelihood import flat_prior
from bayeslmm.kernels.densities import DENSITY, ML, ML_AT_SIGMA, REML, evaluate
from bayeslmm.kernels.structured.density import structured_density
from bayeslmm.reml.descent import slope_differences, steps_at
from bayeslmm.reml.search import CHEAP, LARGEST, Objective
from bayeslmm.reml.structured.unbounded import stop_running_away

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.model.residual.products import ResidualProducts
    from bayeslmm.reml.structured.coordinates import ResidualCoordinates


class StructuredObjective:
    r"""-2 log (restricted) likelihood in scaled search variables; counts its evaluations.

    .. math:: \log |V| + (n - p) \log r + \dots, \quad
        V = R_0(\phi_0) + \sum_k Z_k \Lambda_k \Lambda_k' Z_k'

    with beta at its best, and with the scale s at its best where one is left out of R (see
    `ResidualCoordinates`). The first variables are the entries of Theta, as in `Objective`.

    Parameters
    ----------
    bases : ResidualProducts
        The cross-products.
    coordinates : ResidualCoordinates
        Of the structure.
    restricted : bool
        REML rather than ML.
    phi : ndarray, shape (size,)
        Where the search begins, which sets the variables' scales.

    Attributes
    ----------
    relative : RelativeFactors
        The factors as a function of the first variables.
    diagonal : ndarray of bool
        In which variables the criterion is even.
    step : ndarray
        One over the root of the curvature at the start.
    start : ndarray
        Theta by the method of moments given R at `phi`, and the coordinates of `phi`.
    expensive : bool
        Whether curvature by differences would take too long.
    n_theta : int
        How many variables are of Theta.
    scale : float
        The profiled s, or one, at the last evaluation.
    """

    def __init__(
        self,
        bases: ResidualProducts,
        coordinates: ResidualCoordinates,
        phi: Floats,
        *,
        restricted: bool,
    ) -> None:
        self.bases, self.coordinates = bases, coordinates
        if coordinates.profiled:
            self.kind = REML if restricted else ML
        else:
            self.kind = DENSITY if restricted else ML_AT_SIGMA
        self._method = "REML" if restricted else "ML"
        self._weight = -2.0 if self.kind == DENSITY else 1.0
        self._flat = flat_prior(bases.reference)
        first = coordinates.of(phi)
        begun, n = coordinates.phi(first), bases.reference.n
        # Theta is relative to the geometric mean of R's eigenvalues, whatever its scale.
        self._unit = math.exp(0.5 * bases.log_determinant(begun) / n)
        gram = bases.at(begun, self._unit)
        of_theta = Objective(gram, REML)
        self.relative = of_theta.relative
        self.n_theta = len(of_theta.start)
        self.diagonal = np.concatenate([of_theta.diagonal, coordinates.even])
        self.start = np.concatenate([of_theta.start, first])
        self._count, self.last, self.scale = [0], np.zeros(0), math.nan
        once = bases.plan.n_border**3 + 20.0 * len(bases.plan.floats)
        self.expensive = 2.0 * len(self.start) * once > CHEAP
        self.step = np.concatenate([of_theta.step, np.ones(len(first))])
        self._scale_at(self.start)

    def __call__(self, x: Floats, gradient: bool = True) -> tuple[float, Floats]:
        """Evaluate at scaled variables; infinite values become a large number."""
        self._count[0] += 1
        self.last = x
        with np.errstate(all="ignore"):
            value, slope = self._evaluate(self.step * x, gradient)
        if gradient and value < LARGEST:
            stop_running_away(self.coordinates, self.free(x), slope[self.n_theta :], self._method)
        return (value if value < LARGEST else LARGEST), self.step * slope

    @property
    def n_evaluations(self) -> int:
        """Evaluations so far, at whatever scales."""
        return self._count[0]

    def curvature(self, x: Floats) -> Floats:
        """Compute second derivatives in the scaled variables."""
        return slope_differences(self, x)

    def begun(self, start: Floats) -> Self:
        """Return the same criterion with variables other than Theta's scaled at a point."""
        other = copy.copy(self)
        other.step, other.start = self.step.copy(), start
        other._scale_at(start)
        return other

    def _scale_at(self, start: Floats) -> None:
        own = np.arange(self.relative.n_free, len(start))
        self.step[own] = steps_at(self, start, own)

    def locate(self, factors: Sequence[Floats], phi: Floats) -> Floats:
        """Find the scaled variables of factors, relative where `packed` is, and of parameters."""
        theta = self.relative.locate([L / self._unit for L in factors])
        return np.asarray(np.concatenate([theta, self.coordinates.of(phi)]) / self.step)

    def packed(self, x: Floats) -> Floats:
        """Return packed factors, of G where nothing is profiled, else of G / s^2."""
        return self._unit * self.relative.packed((self.step * x)[: self.n_theta])

    def phi(self, x: Floats) -> Floats:
        """Return the structure's parameters, a scale left out."""
        return self.coordinates.phi(self.free(x))

    def free(self, x: Floats) -> Floats:
        """Return the structure's coordinates."""
        return np.asarray((self.step * x)[self.n_theta :])

    @property
    def labels(self) -> list[str]:
        """What each variable is called: entries of theta, and the structure's parameters."""
        return [*self.relative.labels, *(self.coordinates.labels[k] for k in self.coordinates.free)]

    def _evaluate(self, at: Floats, gradient: bool) -> tuple[float, Floats]:
        nothing, free = np.zeros(len(at)), at[self.n_theta :]
        if self.coordinates.beyond(free) or self.relative.beyond(at[: self.n_theta]):
            return math.inf, nothing
        phi = self.coordinates.phi(free)
        floats = self.bases.floats(phi)
        if not np.isfinite(floats).all():
            return math.inf, nothing
        theta = at[: self.n_theta]
        plan, packed = self.bases.plan, self._unit * self.relative.packed(theta)
        if not gradient:
            value, _, extra = evaluate(
                plan.ints, floats, packed, 1.0, *self._flat, self.kind, False
            )
            self.scale = extra if self.coordinates.profiled else 1.0
            return self._weight * value, nothing
        value, d_packed, d_floats, _, extra = structured_density(
            plan.ints, floats, packed, np.zeros(0), *self._flat, self.kind
        )
        self.scale = extra if self.coordinates.profiled else 1.0
        d_phi = self.bases.pull_back(phi, d_floats)
        d_theta = self._unit * self.relative.pull_back(theta, d_packed)
        slopes = self._weight * np.append(d_theta, self.coordinates.pull_back(free, d_phi))
        return self._weight * value, slopes if np.isfinite(slopes).all() else nothing
