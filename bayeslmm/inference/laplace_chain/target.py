"""Laplace's marginal posterior of theta: sds, correlations and the family's parameters."""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.sticks import observed_sticks
from bayeslmm.families.parameters import free_columns_to_kernels
from bayeslmm.inference.laplace import LocalMode
from bayeslmm.inference.marginal.coordinate_priors import CoordinatePriors
from bayeslmm.inference.marginal.coordinates import LOG_ARCSINH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.families.family import Family
    from bayeslmm.inference.laplace_chain.latent import LatentModel
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors

# Newton's decrements: of values that are compared, and of those that are differenced.
_TOLERANCE, _TIGHT = 1e-9, 1e-20
# Steps of the differences of values, and of modes.
_STEP, _WIDE_STEP = 1e-3, 0.2
# How far a start follows the reference's slopes, in each coordinate.
REACH = 1.5
# Of log-arcsinh scales: the most, and that in sds of log sd; which share of the Hessian is left.
_MOST_BENT, _BENT, _LEFT = 3.0, 0.8, 0.2
# Fewer points are evaluated by one thread.
_FEW = 8


@dataclass(frozen=True, eq=False)
class Reference:
    """From where Newton's method begins: effects linear in theta near a reference.

    Attributes
    ----------
    point : ndarray, shape (k,)
        Theta's coordinates.
    effects : ndarray, shape (size,)
        The mode there.
    slopes : ndarray, shape (k, size)
        Its derivatives.
    """

    point: Floats
    effects: Floats
    slopes: Floats

    def starts(self, points: Floats) -> Floats:
        """Return a start for each point, shape (s, size): a function of the point alone."""
        away = np.clip(points - self.point, -REACH, REACH)
        return np.ascontiguousarray(self.effects + away @ self.slopes)


class Evaluated(NamedTuple):
    """Laplace's approximation at some points.

    Attributes
    ----------
    log_density : ndarray, shape (s,)
        With the priors of theta; -inf where there is none.
    log_ratio : ndarray, shape (s,)
        Log p(y, u, beta | theta) less its Gaussian approximation, at the effects.
    effects : ndarray, shape (s, size)
        u in the plan's order, then R beta.
    fixed : ndarray, shape (s, p)
        The mode of R beta.
    """

    log_density: Floats
    log_ratio: Floats
    effects: Floats
    fixed: Floats


class LaplaceTarget(CoordinatePriors):
    r"""Laplace's approximation of the marginal posterior of theta, in real coordinates.

    .. math:: \log p(y, m \mid \theta) + \tfrac{N}{2} \log 2 \pi - \tfrac12 \log |H(\theta)|
              + \log p(\theta) + \log |d\theta / dx|

    with m the mode of u and beta, and H the curvature there. It is not the marginal posterior: the
    chain's target has the exact density of (theta, u, beta).

    Parameters
    ----------
    latent : LatentModel
        The rows, and the prior of the fixed effects.
    priors : Priors
        Of standard deviations and correlations.
    parameters : sequence of (str, Prior)
        The family's parameters, in the order of compiled code.
    threads : int
        How many points are evaluated at a time.
    family : Family
        Whose parameters they are.

    References
    ----------
    Tierney & Kadane (1986). Accurate approximations for posterior moments and marginal densities.
    JASA 81:82-86. doi:10.1080/01621459.1986.10478240
    """

    def __init__(
        self,
        latent: LatentModel,
        priors: Priors,
        parameters: Sequence[tuple[str, Prior]],
        threads: int = 1,
        family: Family = GAUSSIAN,
    ) -> None:
        super().__init__(priors, parameters, [])
        self.latent, self.threads = latent, threads
        self.family, self.turned = family, family.response.ordered
        k = self.size
        self.reference = Reference(np.zeros(k), latent.start(), np.zeros((k, latent.size)))

    def packed(self, points: Floats) -> Floats:
        """Return each factor's L at points (s, size), packed row by row, shape (s, n_lambda)."""
        parts = [L.reshape(len(points), -1) for L in self.factors(points)]
        lams = np.concatenate([np.zeros((len(points), 0)), *parts], axis=1)
        return for_kernels("packed factors", lams, np.float64, (len(points), None))

    def factors(self, points: Floats) -> list[Floats]:
        """Return each factor's L with G = L L', shapes (s, q, q)."""
        values, sd, partial = self.parameters(points), 0, self.n_sds
        out = []
        for factor in self.priors.factors:
            covariance = factor.covariance
            m, count = covariance.n_sds, covariance.n_partials
            own = values[:, sd : sd + m], values[:, partial : partial + count]
            out.append(covariance.factor(*own))
            sd, partial = sd + m, partial + count
        return out

    def phi(self, points: Floats) -> Floats:
        """Return the family's parameters at points (s, size), shape (s, number of them)."""
        values = self.parameters(points)[:, self.n_sds + self.n_partials :]
        values = free_columns_to_kernels(self.family, values)
        return for_kernels("the family's parameters", values, np.float64, (len(points), None))

    def log_density(self, points: Floats) -> Floats:
        """Evaluate the log-density at points (s, size), shape (s,); -inf where there is none."""
        return self.evaluate(points).log_density

    def evaluate(
        self, points: Floats, eps: Floats | None = None, tolerance: float = _TOLERANCE
    ) -> Evaluated:
        """Evaluate the log-density, the log ratio at eps, and the effects there.

        Parameters
        ----------
        points : ndarray, shape (s, size)
            Coordinates.
        eps : ndarray, shape (s, latent.size), optional
            Where; zeros, and so the modes, if not given.
        tolerance : float
            At which decrement Newton's method stops.

        Returns
        -------
        Evaluated
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        with np.errstate(all="ignore"):
            log_prior = self.log_prior(points)
            lams, phis = self.packed(points), self.phi(points)
        good = (
            np.isfinite(log_prior) & np.isfinite(lams).all(axis=1) & np.isfinite(phis).all(axis=1)
        )
        value, ratio = np.full(len(points), -np.inf), np.full(len(points), -np.inf)
        effects = np.zeros((len(points), self.latent.size))
        fixed = np.zeros((len(points), len(self.latent.root)))
        rows = np.flatnonzero(good)
        parts = np.array_split(rows, self.threads if len(rows) >= _FEW else 1)

        def run(part: Ints) -> None:
            starts = self.reference.starts(points[part])
            given = None if eps is None else np.ascontiguousarray(eps[part])
            found = self.latent.private().values(lams[part], phis[part], starts, given, tolerance)
            value[part], ratio[part], effects[part], fixed[part] = found[:4]

        if len(parts) == 1:
            run(parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(run, parts))
        value[rows] += log_prior[rows]
        return Evaluated(np.where(np.isnan(value), -np.inf, value), ratio, effects, fixed)

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density, and its gradient by central differences, at one point."""
        point = np.asarray(point, dtype=np.float64)
        here = self.evaluate(point[None], tolerance=_TIGHT)
        if not np.isfinite(here.log_density[0]):
            return -math.inf, np.zeros(self.size)
        near = copy.copy(self)
        near.reference = Reference(point, here.effects[0], np.zeros((self.size, self.latent.size)))
        steps = _STEP * np.eye(self.size)
        both = np.concatenate([point + steps, point - steps])
        around = near.evaluate(both, tolerance=_TIGHT).log_density
        gradient = (around[: self.size] - around[self.size :]) / (2.0 * _STEP)
        if not np.isfinite(gradient).all():
            return -math.inf, np.zeros(self.size)
        return float(here.log_density[0]), gradient

    def settled(self, point: Floats) -> LaplaceTarget:
        """Return the same density with Newton's method beginning near the modes around a point."""
        steps = _WIDE_STEP * np.eye(self.size)
        around = np.concatenate([point[None], point + steps, point - steps])
        effects = self.evaluate(around, tolerance=_TIGHT).effects
        k = self.size
        slopes = (effects[1 : k + 1] - effects[k + 1 :]) / (2.0 * _WIDE_STEP)
        other = copy.copy(self)
        other.reference = Reference(point, effects[0], slopes)
        return other

    def bent(self, peak: LocalMode) -> tuple[LaplaceTarget, LocalMode]:
        r"""Return the same density with sds on log-arcsinh scales around its mode.

        On the scale u with log sd = log(sd at the mode) + sinh(c u) / c, a long tail towards zero
        is short. The mode stays where it was, at u = 0, and minus the Hessian there falls by
        :math:`c^2`: c is as large as leaves a hill.

        Parameters
        ----------
        peak : LocalMode
            Of this target, which is settled there.

        Returns
        -------
        target : LaplaceTarget
        peak : LocalMode
            The same mode in its coordinates.
        """
        widths = np.sqrt(np.diag(peak.covariance))[: self.n_sds]
        scales = self.parameters(peak.point)[: self.n_sds]
        root = np.linalg.cholesky(peak.covariance)
        bends = np.minimum(_MOST_BENT, _BENT / widths)
        while True:
            other = self.with_log_arcsinh_sds(scales, bends)
            moved = np.array([c.kind == LOG_ARCSINH for c in other.coordinates])
            lost = np.zeros(self.size)
            lost[: self.n_sds] = np.where(moved[: self.n_sds], bends, 0.0) ** 2
            left = np.linalg.inv(peak.covariance) - np.diag(lost)
            # In each direction, of the curvature there: parameters may be strongly correlated.
            if np.linalg.eigvalsh(root.T @ left @ root).min() > _LEFT:
                break
            bends = 0.8 * bends
        point = np.where(moved, 0.0, peak.point)
        reference = self.reference
        other.reference = Reference(point, reference.effects, reference.slopes)
        covariance = np.linalg.inv(left)
        return other, LocalMode(point, peak.height, covariance, peak.n_evaluations)

    def first_point(self) -> Floats:
        """Return where to begin to climb: small sds, no correlations, medians of the rest.

        Thresholds of ordered categories begin where the response's shares put them.
        """
        middle = self.prior_quantiles(0.5)
        middle[: self.n_sds] = self.prior_quantiles(0.25)[: self.n_sds]
        if self.family.response.ordered:
            own = slice(self.n_sds + self.n_partials, None)
            middle[own] = observed_sticks(self.latent.rows.y, len(middle[own]))
        return np.asarray(self.point(middle[None])[0])
