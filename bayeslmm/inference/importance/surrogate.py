"""An adaptive stand-in for the exact reduction where one exact evaluation is expensive.

The collapsed density is made of log|V| and T, smooth functions of the relative factors only, and
of sigma and priors, which cost nothing. So those two are interpolated (`surrogate_functions`)
among the candidates of a proposal, with exact evaluations added where the posterior mass is, until
fresh exact values agree with the interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from bayeslmm.gram.reduction import Reduced, reduce_exactly
from bayeslmm.inference.importance.interpolation import (
    USUAL,
    Effort,
    FactorCoordinates,
    Kernel,
    Nodes,
    SmoothReduction,
    Whitening,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

    Places = NDArray[np.intp]

# The promise: standard deviation of (exact - interpolated) log-density over the posterior.
TOLERANCE = 0.02
# The kernel whose disagreement tells where errors are expected.
RIVAL: Kernel = "cubic"
# Scouts are drawn by weights to this power.
SCOUT_POWER = 0.25
# No single error may be larger: times the tolerance for checks, which look where errors are
# expected, and absolutely for exploratory points.
OUTLIER, SCOUT_TOLERANCE = 10.0, 0.5
# Exact evaluations after which interpolation no longer saves anything worth having.
BUDGET = 320
# Beyond, quadratic trends and distances say too little for so few nodes.
MOST_COORDINATES = 6


@dataclass(frozen=True)
class SurrogateRecord:
    """How well an interpolated density is known.

    Attributes
    ----------
    converged : bool
        Whether the last round's checks kept the promise.
    reason : str
        Why not; empty if it did.
    error_sd : float
        Standard deviation of exact minus interpolated log-density over the last round's checks,
        posterior points that the interpolation had not seen; they are nodes now, so the
        interpolation that is used is better than this.
    error_max : float
        The largest of those differences from their mean, in absolute value.
    rounds : int
        Rounds of checks.
    n_exact : int
        Exact evaluations in all.
    """

    converged: bool
    reason: str
    error_sd: float
    error_max: float
    rounds: int
    n_exact: int


class Surrogate:
    """An interpolated reduction: packed relative factors in, log|V| and T out.

    Parameters
    ----------
    coordinates : FactorCoordinates
        Of the model.
    whitening : Whitening
        Around the posterior.
    smooth : SmoothReduction
        Through the exact values.
    reach : float
        Whitened distance from the posterior's centre up to which they are interpolated.
    """

    def __init__(
        self,
        coordinates: FactorCoordinates,
        whitening: Whitening,
        smooth: SmoothReduction,
        reach: float,
    ) -> None:
        self._coordinates, self._whitening, self._smooth = coordinates, whitening, smooth
        self._reach = reach

    def __call__(self, packed: Floats) -> Reduced:
        """Interpolate log|V| and T at packed relative factors, shape (s, n_lambda).

        Far beyond all nodes log|V| is -inf: there is no density, rather than an extrapolated one.
        """
        points = self.whitened(packed)
        inside = np.linalg.norm(points, axis=1) <= self._reach
        smooth = self._smooth(points[inside])
        logdet = np.full(len(points), -np.inf)
        cross = np.zeros((len(points), *smooth.cross.shape[1:]))
        logdet[inside], cross[inside] = smooth.logdet, smooth.cross
        return Reduced(logdet, cross)

    def whitened(self, packed: Floats) -> Floats:
        """Return the coordinates in which it interpolates, of packed relative factors."""
        return self._whitening(self._coordinates(packed))


def surrogate_suits(gram: Gram) -> str:
    """Return why a model cannot have a surrogate; empty if it can.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    str
        The reason.
    """
    count = FactorCoordinates(gram).n_coordinates
    if count == 0:
        return "there are no random effects, and exact values cost nothing"
    return _too_many(count, "free entries")


def crossed_suits(gram: Gram) -> str:
    """Return why a model of crossed factors cannot be interpolated without a dense matrix.

    As `surrogate_suits`, but correlations that follow from few numbers count as these.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    str
        The reason; empty if it can.
    """
    return _too_many(FactorCoordinates(gram).n_parameters, "parameters")


def _too_many(count: int, what: str) -> str:
    if count <= MOST_COORDINATES:
        return ""
    return (
        f"the relative covariances have {count} {what}, and interpolation is kept to "
        f"{MOST_COORDINATES}"
    )


def build_surrogate(
    gram: Gram,
    candidates: Floats,
    log_weights: Callable[[Reduced, Places], Floats],
    rng: np.random.Generator,
    *,
    tolerance: float = TOLERANCE,
    budget: int = BUDGET,
    reduce: Callable[[Floats], Reduced] | None = None,
    effort: Effort = USUAL,
) -> tuple[Surrogate | None, SurrogateRecord]:
    r"""Interpolate log|V| and T until fresh exact values agree where the posterior mass is.

    Each round draws some candidates (`Effort`) by their importance weights under the interpolated
    density and by where two kernels disagree, evaluates them exactly, and compares

    .. math:: e_i = \log p(y \mid \Lambda_i, \sigma_i) - \log \tilde p(y \mid \Lambda_i, \sigma_i).

    With a standard deviation below `tolerance`, with 95 % confidence, the interpolation is
    accepted (a constant shift does not matter). Either way these points become nodes too; if it
    was not, the next round begins.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    candidates : ndarray, shape (s, n_lambda)
        Packed relative factors of a proposal's draws, thousands of them.
    log_weights : callable
        From log|V| and T at some candidates, and their places, to those candidates' log importance
        weights (log posterior less log proposal).
    rng : numpy.random.Generator
        Chooses what to check.
    tolerance : float
        Promised standard deviation of the log-density's error.
    budget : int
        Exact evaluations at most.
    reduce : callable, optional
        From packed relative factors to log|V| and T; by factorizations if not given.
    effort : Effort
        How many first nodes and checks.

    Returns
    -------
    surrogate : Surrogate or None
        None where the promise was not kept.
    record : SurrogateRecord
        How well it is known, or why there is none.

    References
    ----------
    Gutmann & Corander (2016). Bayesian optimization for likelihood-free inference of
    simulator-based statistical models. JMLR 17(125):1-47.
    """
    search = Nodes(gram, candidates, reduce or partial(reduce_exactly, gram), effort)
    rounds, verdict = 0, _Verdict(np.inf, np.inf, np.inf, effort.bound)
    if search.n_first + effort.a_round <= budget:
        search.start()
    while search.can_interpolate and not verdict.accepted(rounds, tolerance):
        if search.n_exact + effort.a_round > budget:
            break
        smooth, other = search.interpolate(), search.interpolate(RIVAL)
        weights = np.where(search.within_reach(rounds), log_weights(smooth, search.all), -np.inf)
        chosen = _choose(
            weights, log_weights(other, search.all) - weights, search.used, rng, effort
        )
        exact = search.evaluate(chosen.places)
        error = log_weights(exact, chosen.places) - log_weights(
            smooth.take(chosen.places), chosen.places
        )
        verdict = _judge(error, chosen, effort)
        search.whiten(weights)
        rounds += 1
    record = verdict.record(rounds, search.n_exact, tolerance, budget)
    if not record.converged:
        return None, record
    return Surrogate(search.coordinates, search.whitening, search.smooth(), search.reach()), record


@dataclass(frozen=True)
class _Verdict:
    """What one round of checks found."""

    error_sd: float
    error_max: float
    scout_max: float
    bound: float

    def accepted(self, rounds: int, tolerance: float) -> bool:
        # The first round sees what the first nodes, far apart, are good for: only a clear case
        # ends there.
        limit = tolerance if rounds > 1 else 0.25 * tolerance
        return (
            self.bound * self.error_sd < limit
            and self.error_max < OUTLIER * tolerance
            and self.scout_max < SCOUT_TOLERANCE
        )

    def record(self, rounds: int, n_exact: int, tolerance: float, budget: int) -> SurrogateRecord:
        converged, reason = self.accepted(rounds, tolerance), ""
        if rounds == 0:
            reason = (
                f"{budget} exact evaluations are too few to place first nodes and check them, or "
                "most of them failed"
            )
        elif not converged:
            reason = (
                f"after {n_exact} exact evaluations the interpolated log-density still errs by "
                f"{self.error_sd:.2g} (standard deviation; largest {self.error_max:.2g}, away from "
                f"the mass {self.scout_max:.2g}), where {tolerance:g} is allowed"
            )
        return SurrogateRecord(converged, reason, self.error_sd, self.error_max, rounds, n_exact)


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Candidates to evaluate: checks, then exploratory points; and what each check stands for."""

    places: Places
    shares: Floats


def _choose(
    log_weights: Floats,
    difference: Floats,
    used: NDArray[np.bool_],
    rng: np.random.Generator,
    effort: Effort,
) -> _Chosen:
    """Choose fresh candidates: half by weight, half by weight times expected square error.

    Errors of interpolation have long tails: a few candidates, far from all nodes, make up most of
    the variance. Two kernels disagree most about just those. Checks are drawn from the mixture w/2
    + w d^2 / (2 sum w d^2) with d the disagreement, and weigh w over that density, at most 2, in
    the estimate of the variance.
    """
    fresh = np.where(used, -np.inf, log_weights)
    weights = np.exp(fresh - logsumexp(fresh))
    square = weights * np.where(np.isfinite(difference), difference, 0.0) ** 2
    density = 0.5 * weights + 0.5 * square / square.sum() if square.sum() > 0.0 else weights
    drawn, counts = np.unique(
        rng.choice(len(density), effort.checks, p=density / density.sum()), return_counts=True
    )
    fresh[drawn] = -np.inf
    flat = np.exp(SCOUT_POWER * (fresh - fresh.max()))
    exploratory = rng.choice(len(flat), effort.scouts, replace=False, p=flat / flat.sum())
    return _Chosen(np.concatenate([drawn, exploratory]), counts * weights[drawn] / density[drawn])


def _judge(error: Floats, chosen: _Chosen, effort: Effort) -> _Verdict:
    """Estimate the error's standard deviation over the posterior from the checks."""
    checks, share = error[: len(chosen.shares)], chosen.shares / chosen.shares.sum()
    if not np.isfinite(checks).all():
        return _Verdict(np.inf, np.inf, np.inf, effort.bound)
    mean = share @ checks
    exploratory = np.abs(error[len(checks) :] - mean)
    # Where Q cannot be factored the density is zero, and so is the harm.
    exploratory = exploratory[np.isfinite(exploratory)]
    variance = share @ (checks - mean) ** 2 * effort.checks / (effort.checks - 1)
    return _Verdict(
        float(np.sqrt(variance)),
        float(np.abs(checks - mean).max()),
        float(exploratory.max(initial=0.0)),
        effort.bound,
    )
