"""A marginal posterior whose expensive parts, log|V| and T, come from elsewhere.

For a model with a large crossed border every density costs a dense factorization. Here log|V| and
T come from a function: an interpolation of them (`surrogate`), or exact values two at a time.
Priors, sigma and the fixed effects stay exact, whichever it is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.sparse.density import sparse_seconds
from bayeslmm.gram.reduction import Reduced, density_from_reduced, reduce_exactly
from bayeslmm.inference.importance.interpolation import USUAL, Effort
from bayeslmm.inference.importance.proposal import Mixture, SplitT
from bayeslmm.inference.importance.surrogate import (
    BUDGET,
    TOLERANCE,
    Surrogate,
    SurrogateRecord,
    build_surrogate,
    surrogate_suits,
)
from bayeslmm.inference.laplace import LocalMode, find_mode, starting_points
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


# Seconds of one exact value above which thousands of them are worth avoiding, and what a value
# takes: per multiplication of the dense border's factorization, and per number of the panels.
EXPENSIVE_SECONDS = 1e-3
# The same by a sparse factor, from which the effects of each draw are dearer than values.
_EXPENSIVE_SPARSELY = 2e-4
_PER_MULTIPLICATION, _PER_NUMBER = 5e-11, 5e-8
# Candidates among which a surrogate's nodes are chosen, a tenth of them three times as far out.
CANDIDATES = 8192
_FREEDOM, _SPREAD = 5.0, 1.2
_WIDE_SHARE, _WIDE_FACTOR, _WIDE_FREEDOM = 0.1, 3.0, 3.0
# Step of differences of gradients; the curvature, in coordinates' units, below which a direction is
# flat and one Newton step does not lead to the peak; the longest such step, in standard deviations.
_GRADIENT_STEP, _LEAST_CURVATURE, _SHORT_STEP = 0.02, 1.0, 1.5
# Steps of differences, in standard deviations of the posterior.
_STEP = 1e-3


class ReducedTarget(MarginalTarget):
    """A collapsed posterior in real coordinates, with log|V| and T from a function.

    Parameters
    ----------
    target : MarginalTarget
        The posterior; gradients stay its own, exact ones.
    reduction : callable
        From packed relative factors, shape (s, n_lambda), to `Reduced`.
    record : SurrogateRecord
        How well an interpolation is known, or why there is none.

    Attributes
    ----------
    reduction : callable
    record : SurrogateRecord
    """

    def __init__(
        self,
        target: MarginalTarget,
        reduction: Callable[[Floats], Reduced],
        record: SurrogateRecord,
    ) -> None:
        super().__init__(target.gram, target.priors, target.folded)
        self.reduction, self.record = reduction, record

    def with_folded(self, folded: Sequence[int]) -> ReducedTarget:
        """Return the same posterior with the coordinates of these sds folded, no others."""
        return ReducedTarget(super().with_folded(folded), self.reduction, self.record)

    def finish(self, reduced: Reduced, points: Floats) -> Floats:
        """Return log-likelihoods of points, shape (s, size), from log|V| and T there."""
        draws = self.unpack(points)
        return density_from_reduced(
            self.gram, reduced, draws.sigma, beta=draws.beta, prior=self._beta_prior
        )

    def log_likelihood(self, points: Floats) -> Floats:
        """Compute log-likelihoods of points, shape (s, size), from `reduction`."""
        return self.finish(self.reduction(self.packed(points)), points)


class InterpolatedTarget(ReducedTarget):
    """A collapsed posterior with interpolated log|V| and T; gradients by differences cost nothing.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    surrogate : Surrogate
        The interpolation.
    record : SurrogateRecord
        How well it is known.
    peak : tuple of ndarray, each of shape (size,)
        Parameters at the mode, and their posterior standard deviations, roughly.
    """

    def __init__(
        self,
        target: MarginalTarget,
        surrogate: Surrogate,
        record: SurrogateRecord,
        peak: tuple[Floats, Floats],
    ) -> None:
        super().__init__(target, surrogate, record)
        self._peak = peak

    def with_folded(self, folded: Sequence[int]) -> InterpolatedTarget:
        """Return the same posterior with the coordinates of these sds folded, no others."""
        folding = MarginalTarget(self.gram, self.priors, folded)
        assert isinstance(self.reduction, Surrogate)  # noqa: S101 - it was built with one
        return InterpolatedTarget(folding, self.reduction, self.record, self._peak)

    def start(self) -> tuple[list[Floats], Floats]:
        """Return the mode to climb from, and a typical step of each coordinate."""
        mode, spread = self._peak
        point = self.point(mode)
        return [point], np.abs(self.point(mode + spread) - point)

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density at one point, shape (size,), and its slopes by differences."""
        move = np.diag(_STEP * self.start()[1])
        back = -move
        for k in self.folded:
            back[k, k] = -min(move[k, k], point[k])  # the slope on the non-negative side
        values = self.log_density(np.vstack([point[None], point + move, point + back]))
        if not np.isfinite(values).all():
            return -np.inf, np.zeros(self.size)
        ahead, behind = values[1 : self.size + 1], values[self.size + 1 :]
        return float(values[0]), (ahead - behind) / np.diag(move - back)


def exact_seconds(gram: Gram) -> float:
    """Estimate what one exact density costs on one core.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    float
        Seconds, by counting, so that the answer is the same on every machine and at any load.
    """
    if gram.by_nodes:
        return sparse_seconds(gram)
    plan = gram.plan
    return float(_PER_MULTIPLICATION * plan.n_border**3 / 3 + _PER_NUMBER * len(plan.floats))


def is_expensive(gram: Gram) -> bool:
    """Return whether one exact density costs more than a millisecond; by a sparse factor a fifth.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    bool
        By `exact_seconds`.
    """
    return exact_seconds(gram) > (_EXPENSIVE_SPARSELY if gram.by_nodes else EXPENSIVE_SECONDS)


def interpolate_posterior(
    target: MarginalTarget,
    rng: np.random.Generator,
    *,
    threads: int = 1,
    tolerance: float = TOLERANCE,
    budget: int = BUDGET,
) -> ReducedTarget:
    """Interpolate a posterior's expensive parts around its mode, if that can be done well.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    rng : numpy.random.Generator
        Of candidates and checks.
    threads : int
        Exact values at a time.
    tolerance : float
        Promised standard deviation of the log-density's error over the posterior.
    budget : int
        Exact values at most.

    Returns
    -------
    ReducedTarget
        An `InterpolatedTarget` where the promise was kept. Else the exact posterior, with values
        computed side by side, and a record that says why.
    """
    exact = partial(reduce_exactly, target.gram, threads=threads)
    if reason := surrogate_suits(target.gram):
        return ReducedTarget(target, exact, _refused(reason))
    starts, units = starting_points(target, several=False)
    peak = near_peak(target, starts[0], units)
    if peak is None:
        return ReducedTarget(target, exact, _refused("no mode was found to interpolate around"))
    return interpolate_at(target, peak, exact, rng, tolerance=tolerance, budget=budget)


def interpolate_at(
    target: MarginalTarget,
    peak: LocalMode,
    exact: Callable[[Floats], Reduced],
    rng: np.random.Generator,
    *,
    tolerance: float = TOLERANCE,
    budget: int = BUDGET,
    effort: Effort = USUAL,
) -> ReducedTarget:
    """Interpolate a posterior's expensive parts around a mode; see `interpolate_posterior`.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    peak : LocalMode
        Roughly where it is, and how wide.
    exact : callable
        From packed relative factors, shape (s, n_lambda), to `Reduced`.
    rng, tolerance, budget
        As there.
    effort : Effort
        How many first nodes and checks.

    Returns
    -------
    ReducedTarget
    """
    proposal = _proposal_at(peak)
    points = proposal.draw(CANDIDATES, rng)
    with np.errstate(all="ignore"):
        base = target.log_prior(points) - proposal.log_density(points)
    points, base = points[np.isfinite(base)], base[np.isfinite(base)]
    finisher = ReducedTarget(target, exact, _refused(""))

    def log_weights(reduced: Reduced, places: NDArray[np.intp]) -> Floats:
        value = base[places] + finisher.finish(reduced, points[places])
        return np.where(np.isnan(value), -np.inf, value)

    surrogate, record = build_surrogate(
        target.gram, target.packed(points), log_weights, rng,
        tolerance=tolerance, budget=budget, reduce=exact, effort=effort,
    )  # fmt: skip
    if surrogate is None:
        return ReducedTarget(target, exact, record)
    above = target.parameters(peak.point + np.sqrt(np.diag(peak.covariance)))
    mode = target.parameters(peak.point)
    return InterpolatedTarget(target, surrogate, record, (mode, above - mode))


def near_peak(target: MarginalTarget, start: Floats, units: Floats) -> LocalMode | None:
    """Find roughly where the posterior is, from as few exact gradients as can be.

    The REML estimate is close to the mode, so one Newton step with curvature by differences will
    do for a proposal; where the step is long, the way is climbed.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    start : ndarray, shape (size,)
        The REML estimate, moved inside the priors.
    units : ndarray, shape (size,)
        A typical step of each coordinate.

    Returns
    -------
    LocalMode or None
        None where nothing can be evaluated.
    """
    with single_blas_thread():
        height, slope = target.log_density_and_gradient(start)
        rows = []
        for k in range(target.size):
            move = np.zeros(target.size)
            move[k] = _GRADIENT_STEP * units[k]
            ahead, behind = (
                target.log_density_and_gradient(start + sign * move)[1] for sign in (1.0, -1.0)
            )
            rows.append((ahead - behind) / (2.0 * move[k]))
        information = -0.5 * (np.array(rows) + np.array(rows).T)
        in_units = information * np.outer(units, units)
        known = bool(np.isfinite(height) and np.isfinite(in_units).all())
        if known and np.linalg.eigvalsh(in_units)[0] > _LEAST_CURVATURE:
            step = np.linalg.solve(information, slope)
            if step @ slope < _SHORT_STEP**2:
                gain = 0.5 * float(step @ slope)
                covariance = np.linalg.inv(information)
                return LocalMode(start + step, height + gain, covariance, 2 * target.size + 1)
        return find_mode(target, start, units)


def _proposal_at(peak: LocalMode) -> Mixture:
    """Spread candidates a little wider than the curvature says, and some of them far wider."""
    values, vectors = np.linalg.eigh(peak.covariance)
    one = np.full(len(peak.point), _SPREAD)
    near = SplitT(peak.point, vectors * np.sqrt(values), one, one, _FREEDOM)
    shares = np.array([1.0 - _WIDE_SHARE, _WIDE_SHARE])
    return Mixture((near, near.widened(_WIDE_FACTOR, _WIDE_FREEDOM)), shares)


def _refused(reason: str) -> SurrogateRecord:
    return SurrogateRecord(
        converged=False, reason=reason, error_sd=np.inf, error_max=np.inf, rounds=0, n_exact=0
    )


def interpolation_error(target: InterpolatedTarget, points: Floats, exact: Reduced) -> Floats:
    """Return exact minus interpolated log-densities at points whose exact values are known.

    Parameters
    ----------
    target : InterpolatedTarget
        The posterior.
    points : ndarray, shape (s, size)
        Coordinates.
    exact : Reduced
        Exact values there.

    Returns
    -------
    ndarray, shape (s,)
        Differences less their mean: a constant has no effect on draws.
    """
    interpolated = target.reduction(target.packed(points))
    error = target.finish(exact, points) - target.finish(interpolated, points)
    return np.asarray(error - error.mean())
