"""The posterior of the variance parameters as a function of real coordinates, without PyMC.

The collapsed likelihood (effects integrated out) plus the priors plus the volume that the
coordinates change: what an optimiser or a sampler in plain Python works on.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from bayeslmm import names
from bayeslmm.arrays import for_kernels
from bayeslmm.gram.reduction import log_densities
from bayeslmm.inference.marginal.coordinates import (
    ATANH,
    FOLDED,
    LOG,
    LOG_ARCSINH,
    Coordinate,
    log_one_less_square,
)
from bayeslmm.inference.marginal.recovery import MarginalDraws
from bayeslmm.kernels.linked_density import link_density, linked_density
from bayeslmm.kernels.prior_forms import form_at
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.priors.closed_forms import form_of, partial_form, value_and_slope
from bayeslmm.model.priors.fixed_effects import integrates_beta, normal_prior
from bayeslmm.model.priors.lkj import log_density_of_partials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram
    from bayeslmm.kernels.prior_forms import Form
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors


class MarginalTarget:
    r"""An unnormalised posterior density of real coordinates; its integral is the evidence.

    .. math:: \log p(y \mid \theta(x)) + \log p(\theta(x)) + \log |d\theta / dx|

    with every constant in place. Coordinates come in this order: the standard deviations factor
    by factor; the canonical partial correlations (by atanh) factor by factor, row by row; sigma;
    and, where their priors are not all normal, the fixed effects of centered columns (else they
    are integrated out). What depends on the data is a function of `packed` and sigma (and beta)
    only; a stand-in for the density may replace that part and keep the rest.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior of the same model.
    folded : sequence of int
        Positions of the standard deviations whose coordinate is folded (`coordinates`) instead
        of a logarithm. Only priors with support from zero and finite density there allow it; see
        `foldable`.

    Attributes
    ----------
    gram : Gram
    priors : Priors
    coordinates : tuple of Coordinate
        One per coordinate, with names and scales.
    n_sds, n_partials : int
        How many of them are standard deviations and partial correlations.
    integrated : bool
        Whether the fixed effects are integrated out.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.gram.gram import gram_of
    >>> table = bl.load_dataset("sleepstudy")
    >>> design = bl.build_design("Reaction ~ Days + (Days | Subject)", table)
    >>> target = MarginalTarget(gram_of(design), bl.resolve_priors(design))
    >>> target.names[:2], target.names[3]
    (('log sd_Subject[Intercept]', 'log sd_Subject[Days]'), 'log sigma')
    >>> target.names[2]
    'atanh partial_corr_Subject[0]'
    >>> target.log_density(np.array([[3.2, 1.7, 0.1, 3.2]])).round(3).tolist()
    [-887.341]
    """

    def __init__(self, gram: Gram, priors: Priors, folded: Sequence[int] = ()) -> None:
        self.gram, self.priors = gram, priors
        self.integrated = integrates_beta(priors)
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
        fixed = [] if self.integrated else list(zip(priors.coef, priors.beta, strict=True))
        self.n_sds, self.n_partials = len(sd_priors), len(partial_names)
        self._shapes = np.concatenate([np.zeros(0), *(f.partial_shapes for f in priors.factors)])
        self._partial_forms = [partial_form(shape) for shape in self._shapes]
        self._univariate = [
            *(prior for _, prior in sd_priors),
            *([None] * self.n_partials),
            priors.sigma,
            *(prior for _, prior in fixed),
        ]
        self._slopes = [None if p is None else value_and_slope(p) for p in self._univariate]
        self.coordinates = (
            *(Coordinate.of_support(name, *prior.support) for name, prior in sd_priors),
            *(Coordinate(name, ATANH, -1.0, 1.0) for name in partial_names),
            Coordinate.of_support(names.SIGMA, *priors.sigma.support),
            *(Coordinate.of_support(name, *prior.support) for name, prior in fixed),
        )
        self.foldable = tuple(k for k, (_, prior) in enumerate(sd_priors) if _may_be_zero(prior))
        self._fold(folded)
        mean, precision = _beta_prior(priors, self.integrated)
        table = covariance_table(factor.covariance for factor in priors.factors)
        p = len(priors.coef)
        self._data = (
            for_kernels("the plan's integers", gram.plan.ints, np.int64, (None,)),
            for_kernels("the plan's floats", gram.plan.floats, np.float64, (None,)),
            for_kernels("the table of blocks", table, np.int64, (None,)),
        )
        self._beta_prior = (
            for_kernels("the prior mean of beta", mean, np.float64, (p,)),
            for_kernels("the prior precision of beta", precision, np.float64, (p, p)),
        )

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

    @property
    def data(self) -> tuple[Ints, Floats, Ints, Floats, Floats]:
        """What the likelihood is computed from: plan, table of blocks, prior of fixed effects."""
        return (*self._data, *self._beta_prior)

    def forms(self) -> tuple[Form | None, ...]:
        """Return each parameter's prior in closed form, None where it has none."""
        partials = iter(self._partial_forms)
        return tuple(
            next(partials) if prior is None else form_of(prior) for prior in self._univariate
        )

    def with_log_arcsinh_sds(self, scales: Floats, bends: Floats) -> MarginalTarget:
        """Return the same posterior with the sds on log-arcsinh scales.

        Parameters
        ----------
        scales, bends : ndarray, shape (n_sds,)
            As `scan_restricted_likelihood` finds them; an sd whose prior does not have all
            positive numbers as its support stays on its scale.

        Returns
        -------
        MarginalTarget
        """
        other, coordinates = copy.copy(self), list(self.coordinates)
        for k, (scale, bend) in enumerate(zip(scales, bends, strict=True)):
            if coordinates[k].kind == LOG and coordinates[k].lower == 0.0:
                coordinates[k] = dataclasses.replace(
                    coordinates[k], kind=LOG_ARCSINH, scale=float(scale), bend=float(bend)
                )
        other.coordinates = tuple(coordinates)
        return other

    def with_folded(self, folded: Sequence[int]) -> MarginalTarget:
        """Return the same posterior with the coordinates of these sds folded, no others."""
        return MarginalTarget(self.gram, self.priors, folded)

    def parameters(self, points: Floats) -> Floats:
        """Return the parameters at points, same shape (..., size) and order as the coordinates.

        The fixed effects among them are those of centered columns.
        """
        values = [c.value(points[..., k]) for k, c in enumerate(self.coordinates)]
        return np.stack(values, axis=-1)

    def point(self, parameters: Floats) -> Floats:
        """Undo `parameters` (folded coordinates come out non-negative)."""
        values = [c.coordinate(parameters[..., k]) for k, c in enumerate(self.coordinates)]
        return np.stack(values, axis=-1)

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
        values, inside = (
            np.empty_like(probabilities),
            slice(self.n_sds, self.n_sds + self.n_partials),
        )
        halves = betaincinv(self._shapes, self._shapes, probabilities[:, inside])
        values[:, inside] = 2.0 * halves - 1.0
        for k, prior in enumerate(self._univariate):
            if prior is not None:
                values[:, k] = prior.quantile(probabilities[:, k])
        return values

    def unpack(self, points: Floats) -> MarginalDraws:
        """Return the parameters at points, shape (..., size), by their kinds and factors."""
        sds, partials, sigma, beta = self._parts(self.parameters(points))
        widths = [len(factor.terms) for factor in self.priors.factors]
        counts = [factor.covariance.n_partials for factor in self.priors.factors]
        return MarginalDraws(
            _split(sds, widths), _split(partials, counts), sigma, None if self.integrated else beta
        )

    def packed(self, points: Floats) -> Floats:
        """Return the packed relative factors Lambda at points (s, size), shape (s, n_lambda).

        As `likelihood.pack_factors` lays them out: diag(sds) C / sigma, factor after factor.
        """
        draws = self.unpack(points)
        parts = [np.zeros((len(points), 0))]
        for factor, sd, partials in zip(
            self.priors.factors, draws.sds, draws.partials, strict=True
        ):
            lam = factor.covariance.factor(sd, partials) / draws.sigma[..., None, None]
            parts.append(lam.reshape(len(points), factor.covariance.n_columns**2))
        return np.concatenate(parts, axis=1)

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
        draws = self.unpack(points)
        return log_densities(
            self.gram, self.packed(points), draws.sigma, beta=draws.beta, prior=self._beta_prior
        )

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
            # Points that the prior forbids may have no relative factors at all.
            good = np.flatnonzero(np.isfinite(total))
            total[good] += self.log_likelihood(points[good])
        return np.where(np.isnan(total) | (total == np.inf), -np.inf, total)

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density and its gradient at one point, shape (size,).

        At zero a folded coordinate gets the derivative from its non-negative side.
        """
        point = np.ascontiguousarray(point, dtype=np.float64)
        with np.errstate(all="ignore"):
            sds, partials, sigma, beta = self._parts(self.parameters(point))
            link_density()
            value, d_sds, d_partials, d_sigma, d_beta = linked_density(
                *self._data,
                for_kernels("the sds", sds, np.float64, (self.n_sds,)),
                for_kernels("the partial correlations", partials, np.float64, (self.n_partials,)),
                float(sigma),
                for_kernels("beta", beta, np.float64, (None,)),
                *self._beta_prior,
            )
            if not self.integrated:
                d_beta = self._centered_slope(d_beta)
            gradient = np.concatenate([d_sds, d_partials, [d_sigma], d_beta])
            log_prior, slopes = self._log_prior_with_slopes(point)
            value, gradient = value + log_prior, gradient + slopes
            for k, coordinate in enumerate(self.coordinates):
                gradient[k] *= coordinate.slope(point[k])
                gradient[k] += coordinate.log_volume_slope(point[k])
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return -math.inf, np.zeros(self.size)
        return value, gradient

    def _parts(self, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Split parameters (..., size) into sds, partials, sigma and beta on the original scale."""
        a, b = self.n_sds, self.n_sds + self.n_partials
        beta = values[..., b + 1 :]
        return (
            values[..., :a],
            values[..., a:b],
            values[..., b],
            beta if self.integrated else self.priors.raw_beta(beta),
        )

    def _centered_slope(self, d_beta: Floats) -> Floats:
        """Carry a gradient in beta to the coefficients of centered columns."""
        if not self.priors.has_intercept:
            return d_beta
        return np.asarray(d_beta - d_beta[0] * np.asarray(self.priors.centers))

    def _log_prior_of_partials(self, points: Floats) -> Floats:
        """LKJ's independent densities of the partial correlations, less their volumes."""
        x = points[:, self.n_sds : self.n_sds + self.n_partials]
        return log_density_of_partials(log_one_less_square(x), self._shapes)

    def _log_prior_with_slopes(self, point: Floats) -> tuple[float, Floats]:
        """Return `log_prior` at one point, and d log p(parameters) / d parameter."""
        slopes, values = np.zeros(self.size), self.parameters(point)
        total = float(self._log_prior_of_partials(point[None])[0])
        for k, (coordinate, prior) in enumerate(zip(self.coordinates, self._slopes, strict=True)):
            total += float(coordinate.log_volume(point[k]))
            if prior is None:
                slopes[k] = form_at(*self._partial_forms[k - self.n_sds], float(values[k]))[1]
                continue
            value, slopes[k] = prior(float(values[k]))
            total += value
        return total, slopes


def _may_be_zero(prior: Prior) -> bool:
    lower, upper = prior.support
    return lower == 0.0 and math.isinf(upper) and bool(np.isfinite(prior.log_density(0.0)))


def _beta_prior(priors: Priors, integrated: bool) -> tuple[Floats, Floats]:
    if integrated:
        return normal_prior(priors)
    p = len(priors.coef)
    return np.zeros(p), np.zeros((p, p))


def _split(values: Floats, widths: Sequence[int]) -> list[Floats]:
    return np.split(values, np.cumsum(widths)[:-1], axis=-1) if widths else []
