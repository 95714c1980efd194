"""Mode and curvature of a log-density in real coordinates, from one or more starting points."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy

from bayeslmm.design.grouping import BlockStructure
from bayeslmm.gram.likelihood import conditional
from bayeslmm.inference.marginal.sd_coordinates import sizes_of
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.model.exact_fit import mode_without_residuals
from bayeslmm.reml.krylov.sparse import search_by_factor
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.inference.marginal.target import MarginalTarget
    from bayeslmm.model.priors.priors import Priors


# Differences of gradients over this share of a standard deviation.
_STEP = 0.05
# Curvature below 1 / 3^2 of a coordinate's own unit says that the density is flat there; the
# proposal then looks three units to either side, and further in its tails.
_FLATTEST = 1.0 / 9.0
# Two modes closer than this, in standard deviations of the first, are one.
_APART = 2.0
# Modes whose share of the mass is e^-12 of the highest's cannot be seen in any number of draws.
NEGLIGIBLE = 12.0


# Where a search of structures' correlations begins besides the prior's middle, and a small sigma.
_STRONG, _SMALL_SHARE = 0.95, 0.2


class Target(Protocol):
    """A log-density of real coordinates, as `MarginalTarget` is one."""

    @property
    def size(self) -> int:
        """Number of coordinates."""

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates whose two signs are one value."""

    def log_density(self, points: Floats) -> Floats:
        """Evaluate at points, shape (s, size)."""

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate at one point."""


@dataclass(frozen=True, eq=False)
class LocalMode:
    """A local maximum of a log-density.

    Attributes
    ----------
    point : ndarray, shape (k,)
        Where; folded coordinates are not negative.
    height : float
        The log-density there.
    covariance : ndarray, shape (k, k)
        Inverse of minus the Hessian, with flat directions held to a finite width.
    n_evaluations : int
        Gradients that it took.
    """

    point: Floats
    height: float
    covariance: Floats
    n_evaluations: int

    @property
    def log_mass(self) -> float:
        """Laplace's approximation of the log-integral, up to (2 pi)^(k/2)."""
        return self.height + 0.5 * float(np.linalg.slogdet(self.covariance)[1])


@dataclass(frozen=True, eq=False)
class Start:
    """Where searches of modes begin.

    Attributes
    ----------
    points : list of ndarray, shape (size,)
        Coordinates to climb from.
    units : ndarray, shape (size,)
        A typical step of each.
    known : tuple of LocalMode
        The mode, where it has been found.
    """

    points: list[Floats]
    units: Floats
    known: tuple[LocalMode, ...] = ()


def find_modes(
    target: Target, starts: Sequence[Floats], units: Floats, known: Sequence[LocalMode] = ()
) -> list[LocalMode]:
    r"""Climb from every starting point, and keep the maxima that differ and matter.

    Parameters
    ----------
    target : Target
        The log-density.
    starts : sequence of ndarray, shape (k,)
        Points of positive density.
    units : ndarray, shape (k,)
        A typical step of each coordinate.
    known : sequence of LocalMode
        Maxima that were found before.

    Returns
    -------
    list of LocalMode
        Those and the new ones, by falling mass under Laplace's approximation

        .. math:: \int e^{f(x)} dx \approx e^{f(m)} |{-f''(m)}|^{-1/2} (2 \pi)^{k/2}

    References
    ----------
    Tierney & Kadane (1986). Accurate approximations for posterior moments and marginal
    densities. JASA 81:82-86. doi:10.1080/01621459.1986.10478240
    """
    peaks = list(known)
    for start in starts:
        peak = find_mode(target, start, units, peaks)
        if peak is not None:
            peaks.append(peak)
    peaks.sort(key=lambda peak: -peak.log_mass)
    return [peak for peak in peaks if peak.log_mass > peaks[0].log_mass - NEGLIGIBLE]


def find_mode(
    target: Target, start: Floats, units: Floats, known: Sequence[LocalMode] = ()
) -> LocalMode | None:
    """Climb from one point by a quasi-Newton method.

    Parameters
    ----------
    target : Target
        The log-density.
    start, units : ndarray, shape (k,)
        Where to begin, and a typical step of each coordinate.
    known : sequence of LocalMode
        Peaks that need not be found again.

    Returns
    -------
    LocalMode or None
        None where nothing can be evaluated, the density has no curvature in numbers (where it
        grows without bound), or the way leads to a known peak.
    """
    count = 0

    def descend(u: Floats) -> tuple[float, Floats]:
        nonlocal count
        count += 1
        value, gradient = target.log_density_and_gradient(u * units)
        # A line search that left the support comes back from a large number.
        return (-value, -gradient * units) if np.isfinite(value) else (1e100, np.zeros_like(u))

    if not np.isfinite(target.log_density(start[None])[0]):
        return None
    bounds = [(0.0, None) if k in target.folded else (None, None) for k in range(target.size)]
    found = scipy.optimize.minimize(
        descend, start / units, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-11, "gtol": 1e-4, "maxiter": 200, "maxfun": 300},
    )  # fmt: skip
    point = found.x * units
    height, _ = target.log_density_and_gradient(point)
    if not np.isfinite(height) or any(_at(peak, point) for peak in known):
        return None
    covariance = _covariance(_hessian(target, point, units), units)
    count += 4 * target.size + 1
    return None if covariance is None else LocalMode(point, height, covariance, count)


def _hessian(target: Target, point: Floats, units: Floats) -> Floats:
    """Differentiate the gradient twice: the first result sets the second's steps."""
    step = 0.01 * units
    hessian = _differences(target, point, step)
    curvature = np.maximum(-np.diag(hessian), _FLATTEST / units**2)
    return _differences(target, point, np.minimum(_STEP / np.sqrt(curvature), 0.3 * units))


def _differences(target: Target, point: Floats, step: Floats) -> Floats:
    k = len(point)
    hessian = np.zeros((k, k))
    for j in range(k):
        up, down = point.copy(), point.copy()
        up[j] += step[j]
        # The slope of a folded coordinate belongs to its non-negative side.
        down[j] = max(point[j] - step[j], 0.0) if j in target.folded else point[j] - step[j]
        rise = target.log_density_and_gradient(up)[1] - target.log_density_and_gradient(down)[1]
        hessian[j] = rise / (up[j] - down[j])
    return 0.5 * (hessian + hessian.T)


def _covariance(hessian: Floats, units: Floats) -> Floats | None:
    """Invert minus the Hessian, in coordinates' units, with eigenvalues that are large enough.

    None where it has no eigenvalues, or a covariance that cannot be inverted.
    """
    try:
        values, vectors = np.linalg.eigh(-hessian * np.outer(units, units))
    except np.linalg.LinAlgError:
        return None
    root = vectors / np.sqrt(np.maximum(values, _FLATTEST)) * units[:, None]
    covariance = np.asarray(root @ root.T)
    usable = np.isfinite(covariance).all() and np.isfinite(np.linalg.slogdet(covariance)[1])
    return covariance if usable else None


def _at(peak: LocalMode, point: Floats) -> bool:
    away = point - peak.point
    return bool(away @ np.linalg.solve(peak.covariance, away) < _APART**2)


def starting_points(target: MarginalTarget, *, several: bool = True) -> tuple[list[Floats], Floats]:
    """Return points to climb from: the REML estimate, and medians and low quantiles of the priors.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    several : bool
        Whether to give more than the first.

    Returns
    -------
    starts : list of ndarray, shape (size,)
        Coordinates.
    units : ndarray, shape (size,)
        A typical step of each coordinate.
    """
    medians, low = target.prior_quantiles(0.5), target.prior_quantiles(0.05)
    reml, widths = _reml_parameters(target)
    at_sigma = target.n_sds + target.n_partials
    if not np.isfinite(reml[at_sigma]):
        # Effects that fit exactly have no REML estimate, and sigma is its prior's doing. Climbing
        # from elsewhere may end where rounding is all that the density consists of.
        reml, widths = medians.copy(), np.where(np.isfinite(widths), widths, 1.0)
        reml[at_sigma] = mode_without_residuals(target.gram, target.priors.sigma)
        several = False
    sds = slice(0, target.n_sds)
    # A variance of zero has no logarithm: start where the prior begins to care, if that is anywhere
    # near the data.
    sizes = shared_sds(target.priors, sizes_of(target.gram).sds)
    reml[sds] = np.maximum(reml[sds], 0.05 * np.minimum(medians[sds], sizes))
    # Only what has no density at all is moved: where prior and data disagree, each has its mode.
    ends = np.array([(c.lower, c.upper) if c.bounded else (-np.inf, np.inf) for c in
                     target.coordinates]).T  # fmt: skip
    outside = (reml <= ends[0]) | (reml >= ends[1])
    within = np.clip(reml, target.prior_quantiles(0.001), target.prior_quantiles(0.999))
    first = np.where(outside, within, reml)
    parameters = [first]
    if several:
        # The priors' own view of one kind of parameter, with the data's of all others.
        rest = slice(at_sigma, None)
        for kind, other in ((sds, medians), (sds, low), (rest, medians)):
            there = first.copy()
            there[kind] = other[kind]
            parameters.append(there)
        parameters += _with_strong_correlations(target, first)
    units = np.ones(target.size)
    for k, coordinate in enumerate(target.coordinates):
        if coordinate.kind == "folded":
            units[k] = max(first[k], 0.2 * medians[k])
        elif coordinate.kind == "identity":
            units[k] = widths[k]
    return [target.point(values) for values in parameters], units


def _with_strong_correlations(target: MarginalTarget, first: Floats) -> list[Floats]:
    """Return the first point with structures' correlations high: they may have a mode there.

    Effects whose correlations decay, and residuals, explain the same thing in part.
    """
    unit = [
        inside for factor in target.priors.factors for inside in factor.covariance.in_unit_interval
    ]
    if not any(unit):
        return []
    high = first.copy()
    high[target.n_sds : target.n_sds + target.n_partials][unit] = _STRONG
    small = high.copy()
    small[target.n_sds + target.n_partials] *= _SMALL_SHARE
    return [high, small]


def shared_sds(priors: Priors, sds: Floats) -> Floats:
    """Return sds of all columns, shape (sum of q,), as those that are parameters.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> shared_sds(bl.resolve_priors(design), np.array([3.0, 4.0]))
    array([3., 4.])
    """
    ends = np.cumsum([len(factor.terms) for factor in priors.factors])[:-1]
    parts = [
        factor.covariance.shared_sds(own)
        for factor, own in zip(priors.factors, np.split(sds, ends), strict=bool(priors.factors))
    ]
    return np.concatenate([np.zeros(0), *parts])


def without_structures(gram: Gram) -> Gram:
    """Return cross-products whose structured columns are uncorrelated: quick to search."""
    if not any(factor.structures for factor in gram.factors):
        return gram
    factors = []
    for factor in gram.factors:
        kinds = factor.structures or (BlockStructure(),) * len(factor.blocks)
        blocks = [
            part
            for block, said in zip(factor.blocks, kinds, strict=True)
            for part in ([block] if said.kind == "us" else [(k,) for k in block])
        ]
        factors.append(dataclasses.replace(factor, blocks=tuple(blocks), structures=()))
    return dataclasses.replace(gram, factors=tuple(factors))


def _reml_parameters(target: MarginalTarget) -> tuple[Floats, Floats]:
    """Return the REML estimate as parameters, and a scale of each of them."""
    gram, priors = without_structures(target.gram), target.priors
    found = search_by_factor(gram, restricted=True)
    factors = lambda_factors(gram, found.packed)
    sds, partials = [np.zeros(0)], [np.zeros(0)]
    for lam, factor in zip(factors, priors.factors, strict=True):
        sd, corr = sd_corr_from_factor(lam)
        sds.append(factor.covariance.shared_sds(found.sigma * sd))
        partials.append(factor.covariance.partials_near(corr))
    parts = [*sds, *partials, np.array([found.sigma])]
    scales = np.ones(target.size)
    if not target.integrated:
        known = conditional(gram, factors, found.sigma)
        parts.append(priors.centered_beta(known.beta))
        scales[-len(priors.coef) :] = np.sqrt(np.diag(known.beta_cov))
    return np.concatenate(parts), scales
