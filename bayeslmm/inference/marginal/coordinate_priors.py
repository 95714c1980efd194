"""Priors of a model's parameters on real coordinates: what every target of a sampler shares."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from bayeslmm.inference.marginal.coordinates import (
    ATANH,
    FOLDED,
    LOG,
    LOG_ARCSINH,
    Coordinate,
    log_one_less_square,
)
from bayeslmm.kernels.prior_forms import form_at
from bayeslmm.model.priors.closed_forms import form_of, partial_form, value_and_slope
from bayeslmm.model.priors.lkj import log_density_of_partials

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.prior_forms import Form
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors


class CoordinatePriors:
    r"""Log prior density of real coordinates, their volume included.

    .. math:: \log p(\theta(x)) + \log |d\theta / dx|

    Coordinates come in this order: the standard deviations factor by factor; the canonical partial
    correlations (by atanh) factor by factor, row by row; the family's parameters; and fixed
    effects, if any.

    Parameters
    ----------
    priors : Priors
        Every prior of a model.
    parameters, fixed : sequence of (str, Prior)
        The family's or the residual structure's parameters, and the fixed effects (of centered
        columns), that are coordinates. A number in the place of a prior is the shape a of a
        partial correlation's, 2 Beta(a, a) - 1.
    folded : sequence of int
        Positions of the standard deviations whose coordinate is folded (`coordinates`) instead
        of a logarithm. Only priors with support from zero and finite density there allow it; see
        `foldable`.

    Attributes
    ----------
    priors : Priors
    coordinates : tuple of Coordinate
        One per coordinate, with names and scales.
    n_sds, n_partials : int
        How many of them are standard deviations and partial correlations.
    turned : bool
        Whether the likelihood takes other numbers, which follow from the family's parameters here:
        thresholds from sticks.
    """

    turned = False

    def __init__(
        self,
        priors: Priors,
        parameters: Sequence[tuple[str, Prior | float]],
        fixed: Sequence[tuple[str, Prior]],
        folded: Sequence[int] = (),
    ) -> None:
        self.priors = priors
        sd_priors = [
            named
            for factor in priors.factors
            for named in zip(factor.covariance.sd_names, factor.sd, strict=True)
        ]
        partial_names = [
            f"partial_corr_{factor.name}[{k}]"
            for factor in priors.factors
            for k in range(factor.covariance.n_partials)
        ]
        self.n_sds, self.n_partials = len(sd_priors), len(partial_names)
        own = [prior for factor in priors.factors for prior in factor.partial_priors]
        given: list[tuple[str, Prior | float]] = [
            *sd_priors, *zip(partial_names, own, strict=True), *parameters, *fixed
        ]  # fmt: skip
        self._univariate = [None if isinstance(p, float) else p for _, p in given]
        self._partials = np.flatnonzero([prior is None for prior in self._univariate])
        self._shapes = np.array([p for _, p in given if isinstance(p, float)])
        self._partial_forms = dict(
            zip(self._partials.tolist(), map(partial_form, self._shapes), strict=True)
        )
        self._slopes = [None if p is None else value_and_slope(p) for p in self._univariate]
        self.coordinates: tuple[Coordinate, ...] = tuple(
            Coordinate(name, ATANH, -1.0, 1.0)
            if isinstance(prior, float)
            else Coordinate.of_support(name, *prior.support)
            for name, prior in given
        )
        self.foldable = tuple(k for k, (_, prior) in enumerate(sd_priors) if _may_be_zero(prior))
        self._fold(folded)

    def _fold(self, folded: Sequence[int]) -> None:
        if wrong := sorted(set(folded) - set(self.foldable)):
            msg = f"The standard deviation at {wrong[0]} cannot have a folded coordinate."
            raise ValueError(msg)
        coordinates = list(self.coordinates)
        for k in folded:
            coordinates[k] = dataclasses.replace(coordinates[k], kind=FOLDED)
        self.coordinates = tuple(coordinates)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.coordinates)

    @property
    def names(self) -> tuple[str, ...]:
        """Each coordinate's scale and parameter."""
        return tuple(map(str, self.coordinates))

    @property
    def folded(self) -> tuple[int, ...]:
        """Positions of the folded coordinates."""
        return tuple(k for k, c in enumerate(self.coordinates) if c.kind == FOLDED)

    def forms(self) -> tuple[Form | None, ...]:
        """Return each parameter's prior in closed form, None where it has none."""
        return tuple(
            self._partial_forms[k] if prior is None else form_of(prior)
            for k, prior in enumerate(self._univariate)
        )

    def with_folded(self, folded: Sequence[int]) -> Self:
        """Return the same posterior with the coordinates of these sds folded."""
        other = copy.copy(self)
        other._fold(folded)
        return other

    def with_log_arcsinh_sds(self, scales: Floats, bends: Floats) -> Self:
        """Return the same posterior with the sds on log-arcsinh scales.

        Parameters
        ----------
        scales, bends : ndarray, shape (n_sds,)
            As `scan_restricted_likelihood` finds them; an sd whose prior does not have all
            positive numbers as its support stays on its scale.

        Returns
        -------
        CoordinatePriors
        """
        other, coordinates = copy.copy(self), list(self.coordinates)
        for k, (scale, bend) in enumerate(zip(scales, bends, strict=True)):
            if coordinates[k].kind == LOG and coordinates[k].lower == 0.0:
                coordinates[k] = dataclasses.replace(
                    coordinates[k], kind=LOG_ARCSINH, scale=float(scale), bend=float(bend)
                )
        other.coordinates = tuple(coordinates)
        return other

    def parameters(self, points: Floats) -> Floats:
        """Return the parameters at points, same shape (..., size) and order as the coordinates.

        The fixed effects among them are those of centered columns.
        """
        values = np.empty_like(points, dtype=np.float64)
        for k, c in enumerate(self.coordinates):
            values[..., k] = c.value(points[..., k])
        return values

    def point(self, parameters: Floats) -> Floats:
        """Undo `parameters` (folded coordinates come out non-negative)."""
        points = np.empty_like(parameters, dtype=np.float64)
        for k, c in enumerate(self.coordinates):
            points[..., k] = c.coordinate(parameters[..., k])
        return points

    def prior_quantiles(self, probability: float) -> Floats:
        """Return this quantile of each parameter's prior, shape (size,)."""
        return np.asarray(self._quantiles(np.full((1, self.size), probability))[0])

    def prior_draws(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw parameters from their priors, shape (count, size).

        The outermost 1e-6 on either side is left out: heavy tails reach where nothing can be
        computed.
        """
        return self._quantiles(rng.uniform(1e-6, 1.0 - 1e-6, (count, self.size)))

    def _quantiles(self, probabilities: Floats) -> Floats:
        values, inside = np.empty_like(probabilities), self._partials
        halves = betaincinv(self._shapes, self._shapes, probabilities[:, inside])
        values[:, inside] = 2.0 * halves - 1.0
        for k, prior in enumerate(self._univariate):
            if prior is not None:
                values[:, k] = prior.quantile(probabilities[:, k])
        return values

    def log_prior(self, points: Floats) -> Floats:
        """Evaluate the log prior density of the coordinates at points (s, size), shape (s,)."""
        values = self.parameters(points)
        total = np.zeros(len(points))
        for k, (coordinate, prior) in enumerate(
            zip(self.coordinates, self._univariate, strict=True)
        ):
            total += coordinate.log_volume(points[:, k])
            if prior is not None:
                total += prior.log_density(values[:, k])
        return total + self._log_prior_of_partials(points)

    def log_likelihood(self, points: Floats) -> Floats:
        """Compute log p(y | parameters) at points (s, size), shape (s,)."""
        raise NotImplementedError

    def log_density(self, points: Floats) -> Floats:
        """Evaluate the log-density at points.

        Parameters
        ----------
        points : ndarray, shape (s, size)
            Coordinates.

        Returns
        -------
        ndarray, shape (s,)
            -inf where the prior forbids a point or the likelihood cannot be computed.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        with np.errstate(all="ignore"):
            total = self.log_prior(points)
            # Points that the prior forbids may have no relative factors, no residual covariance or
            # no family parameters at all.
            good = np.flatnonzero(np.isfinite(total))
            if len(good):
                total[good] += self.log_likelihood(points[good])
        return np.where(np.isnan(total) | (total == np.inf), -np.inf, total)

    def _log_prior_of_partials(self, points: Floats) -> Floats:
        """LKJ's independent densities of the partial correlations, less their volumes."""
        x = points[:, self._partials]
        return log_density_of_partials(log_one_less_square(x), self._shapes)

    def _log_prior_with_slopes(self, point: Floats) -> tuple[float, Floats]:
        """Return `log_prior` at one point, and d log p(parameters) / d parameter."""
        slopes, values = np.zeros(self.size), self.parameters(point)
        total = float(self._log_prior_of_partials(point[None])[0])
        for k, (coordinate, prior) in enumerate(zip(self.coordinates, self._slopes, strict=True)):
            total += float(coordinate.log_volume(point[k]))
            if prior is None:
                slopes[k] = form_at(*self._partial_forms[k], float(values[k]))[1]
                continue
            value, slopes[k] = prior(float(values[k]))
            total += value
        return total, slopes

    def with_priors(
        self, point: Floats, log_likelihood: float, slopes: Floats
    ) -> tuple[float, Floats]:
        """Add the priors to a log-likelihood, and turn its gradient into that of the coordinates.

        Parameters
        ----------
        point : ndarray, shape (size,)
            Coordinates.
        log_likelihood : float
            There.
        slopes : ndarray, shape (size,)
            Its gradient in the parameters.

        Returns
        -------
        value : float
            The log-density of the coordinates; -inf where it or its gradient is no number.
        gradient : ndarray, shape (size,)
            At zero a folded coordinate gets the derivative from its non-negative side.
        """
        log_prior, prior_slopes = self._log_prior_with_slopes(point)
        value, gradient = log_likelihood + log_prior, slopes + prior_slopes
        for k, coordinate in enumerate(self.coordinates):
            gradient[k] *= coordinate.slope(point[k])
            gradient[k] += coordinate.log_volume_slope(point[k])
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return -math.inf, np.zeros(self.size)
        return value, gradient


def _may_be_zero(prior: Prior) -> bool:
    lower, upper = prior.support
    return lower == 0.0 and math.isinf(upper) and bool(np.isfinite(prior.log_density(0.0)))
