"""Independent draws from a density of a few coordinates, weighted, judged and resampled.

Mode and curvature give a heavy-tailed proposal; exact densities of its draws give importance
weights; the shape of their tail (k-hat of Pareto smoothing) says whether they can be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from bayeslmm.inference.importance.proposal import Mixture, SplitT
from bayeslmm.inference.laplace import NEGLIGIBLE, LocalMode, Target, find_mode, find_modes
from bayeslmm.inference.reweighting import MAX_PARETO_K, smoothed_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats


# Below this the weights are as good as any; above, another proposal is tried.
GOOD_PARETO_K = 0.5
FREEDOM, WIDE_FREEDOM = 5.0, 3.0
# A share of the points goes further out than curvature says: what lies there shows in k-hat.
WIDE_SHARE, WIDE_FACTOR = 0.1, 3.0
# Distances along an axis, in standard deviations, at which the density's fall is measured.
_PROBES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0])
# Of an axis beside the longest: what numbers tell apart.
_SHORTEST = 1e-12
_NARROWEST, _WIDEST = 0.4, 6.0
_RETRIES = 3
# Log of the share of the integral that one try may be short of another by chance.
_LOST = 0.3
# Raw weights worth fewer points than this say that the proposal has missed something.
LEAST_RAW_SIZE = 100.0
# An exploratory point this much (log) above the proposal begins a search; so many of them may.
_EXCESS, _CLIMBS = np.log(20.0), 3


@dataclass(frozen=True, eq=False)
class WeightedPoints:
    """A proposal's draws with their importance weights.

    Attributes
    ----------
    points : ndarray, shape (s, k)
        Coordinates.
    log_density : ndarray, shape (s,)
        The target's, not normalised.
    weights : ndarray, shape (s,)
        Pareto-smoothed, adding up to 1.
    pareto_k : float
        k-hat of the weights' tail: below 0.7 they can be used; infinite where most points have
        no density at all.
    raw_size : float
        Effective size by the weights before smoothing, which replaces the very largest: a second
        mode that two or three points hit shows here, not in k-hat.
    log_evidence : float
        Log of the target's integral: the mean of the raw weights.
    proposal : Mixture
        What the points were drawn from.
    how : str
        In words.
    n_evaluations : int
        Of the target, on the way here.
    """

    points: Floats
    log_density: Floats
    weights: Floats
    pareto_k: float
    raw_size: float
    log_evidence: float
    proposal: Mixture
    how: str
    n_evaluations: int

    @property
    def effective_size(self) -> float:
        """Kish's number of equally weighted draws worth as much: 1 / sum of squared weights."""
        return float(1.0 / np.sum(self.weights**2))

    @property
    def usable(self) -> bool:
        """Whether k-hat is below 0.7, and no handful of points has most of the raw weight."""
        return self.pareto_k < MAX_PARETO_K and self.raw_size >= LEAST_RAW_SIZE

    @property
    def good(self) -> bool:
        """Whether another proposal need not be tried."""
        return self.pareto_k <= GOOD_PARETO_K and self.raw_size >= LEAST_RAW_SIZE


def sample_target(
    target: Target,
    starts: Sequence[Floats],
    units: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    exploratory: Floats | None = None,
) -> WeightedPoints:
    r"""Draw weighted points of a density: mode, curvature, split t, and if need be another try.

    .. math:: w_s \propto p(x_s) / q(x_s), \qquad x_s \sim q

    Parameters
    ----------
    target : Target
        The log-density.
    starts, units : sequence of ndarray and ndarray, shapes (k,)
        Points to climb from, and a typical step of each coordinate.
    count : int
        Points per try.
    rng : numpy.random.Generator
        Of the proposals.
    exploratory : ndarray, shape (n, k), optional
        Points all over the space. Where one has far more density than the proposal gives it,
        another climb begins: no diagnostic sees a mode that no point came near.

    Returns
    -------
    WeightedPoints
        Of all tries together; k-hat is infinite where no mode was found.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.
    .. [2] Cornuet, Marin, Mira & Robert (2012). Adaptive multiple importance sampling.
       Scandinavian Journal of Statistics 39:798-812. doi:10.1111/j.1467-9469.2011.00756.x

    Examples
    --------
    >>> class Normal:
    ...     size, folded = 1, ()
    ...     def log_density(self, points):
    ...         return -0.5 * points[:, 0] ** 2
    ...     def log_density_and_gradient(self, point):
    ...         return -0.5 * float(point[0] ** 2), -point
    >>> found = sample_target(
    ...     Normal(), [np.ones(1)], np.ones(1), 1000, np.random.default_rng(1)
    ... )
    >>> found.usable
    True
    """
    peaks = find_modes(target, starts, units)
    return sample_at_modes(target, peaks, units, count, rng, exploratory=exploratory)


def sample_at_modes(
    target: Target,
    peaks: Sequence[LocalMode],
    units: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    exploratory: Floats | None = None,
    retries: int = _RETRIES,
) -> WeightedPoints:
    """Draw weighted points of a density whose modes are known; see `sample_target`.

    Parameters
    ----------
    target, units, count, rng, exploratory
        As there.
    peaks : sequence of LocalMode
        From `find_modes`.
    retries : int
        Tries after the first, at most.

    Returns
    -------
    WeightedPoints
        Of all tries together; k-hat is infinite where there is no mode.
    """
    spent = sum(peak.n_evaluations for peak in peaks)
    if not peaks:
        return _nothing(target, spent)
    proposal = proposal_at(target, peaks)
    if exploratory is not None:
        spent += len(exploratory)
        sent = _judged(exploratory, target.log_density(exploratory), proposal, ("", 0))
        if found := _scouted(target, peaks, sent, units):
            peaks = [*peaks, *found]
            proposal = proposal_at(target, peaks)
    how = "split t at the mode" if len(peaks) == 1 else f"split t at each of {len(peaks)} modes"
    about = (how, spent + 2 * len(_PROBES) * target.size)
    pool = _weigh(target, proposal, count, rng, about)
    for _ in range(retries):
        # The heaviest points may lie on the slope of a mode that nobody has climbed yet; a single
        # one is reason enough to look, and too little for k-hat to see.
        new = _scouted(target, peaks, pool, units)
        if pool.good and not new:
            break
        if new:
            peaks = [*peaks, *new]
            another: Mixture | None = proposal_at(target, peaks)
        else:
            another = _refit(pool)
        if another is None:
            break
        pool = _pooled(target, pool, another, count, rng)
    return pool


def extend(
    target: Target, first: WeightedPoints, count: int, rng: np.random.Generator
) -> WeightedPoints:
    """Draw more points from the same proposal, and weigh all of them together."""
    return _pooled(target, first, first.proposal, count, rng, how=first.how)


def proposal_at(target: Target, peaks: Sequence[LocalMode]) -> Mixture:
    """Build a proposal around peaks: a split t at each, and the same again much wider."""
    parts, masses = [], []
    for peak in peaks:
        near = _split_t(target, peak)
        parts += [near, near.widened(WIDE_FACTOR, WIDE_FREEDOM)]
        masses.append(peak.log_mass)
    mass = np.exp(np.array(masses) - max(masses))
    # Laplace's masses are rough: none of the peaks is left with next to nothing.
    mass = np.maximum(mass / mass.sum(), 0.1)
    shares = np.outer(mass / mass.sum(), [1.0 - WIDE_SHARE, WIDE_SHARE])
    return Mixture(tuple(parts), shares.ravel())


def _split_t(target: Target, peak: LocalMode) -> SplitT:
    """Scale a t distribution by how far the density falls along each axis, to either side."""
    covariance, center = peak.covariance.copy(), peak.point.copy()
    for k in target.folded:
        # Symmetric about zero: no covariance with anything, and the hill's width from zero.
        spread = covariance[k, k] + center[k] ** 2
        covariance[k], covariance[:, k] = 0.0, 0.0
        covariance[k, k], center[k] = spread, 0.0
    values, vectors = np.linalg.eigh(covariance)
    # On a far slope that rounding makes a peak, an axis may have no length at all.
    axes = vectors * np.sqrt(np.maximum(values, _SHORTEST**2 * values.max()))
    sides = [_fall(target, peak, center, sign * axes) for sign in (1.0, -1.0)]
    return SplitT(center, axes, sides[0], sides[1], FREEDOM)


def _fall(target: Target, peak: LocalMode, center: Floats, axes: Floats) -> Floats:
    """Return Geweke's scales: the largest over distances d of d / sqrt(2 (f(mode) - f(at d)))."""
    points = center + (_PROBES[:, None, None] * axes.T).reshape(-1, len(center))
    heights = target.log_density(points).reshape(len(_PROBES), -1)
    fall = np.maximum(peak.height - heights, 1e-3)
    scales = np.where(np.isfinite(heights), _PROBES[:, None] / np.sqrt(2.0 * fall), 0.0)
    # Close by, the fall is too small to tell a scale unless it is far too small.
    clear = (fall > 0.1) | (_PROBES[:, None] >= _PROBES[-1])
    return np.asarray(np.clip(np.where(clear, scales, 0.0).max(axis=0), _NARROWEST, _WIDEST))


def _weigh(
    target: Target, proposal: Mixture, count: int, rng: np.random.Generator, about: tuple[str, int]
) -> WeightedPoints:
    points = proposal.draw(count, rng)
    how, spent = about
    return _judged(points, target.log_density(points), proposal, (how, spent + count))


def _judged(
    points: Floats, log_density: Floats, proposal: Mixture, about: tuple[str, int]
) -> WeightedPoints:
    ratios = log_density - proposal.log_density(points)
    weights, pareto_k = smoothed_weights(ratios)
    total = float(logsumexp(ratios)) if np.isfinite(ratios).any() else -np.inf
    raw_size = float(np.exp(2.0 * total - logsumexp(2.0 * ratios))) if np.isfinite(total) else 0.0
    evidence = total - float(np.log(len(ratios)))
    return WeightedPoints(
        points, log_density, weights, pareto_k, raw_size, evidence, proposal, *about
    )


def _pooled(
    target: Target,
    pool: WeightedPoints,
    another: Mixture,
    count: int,
    rng: np.random.Generator,
    *,
    how: str = "",
) -> WeightedPoints:
    """Add another proposal's points, weighing all by the mixture of both proposals.

    No point is forgotten: of several tries, the one that came near none of a second mode would
    look best.
    """
    new = another.draw(count, rng)
    # In random order: only together do the proposals' points stand for the target.
    order = rng.permutation(len(pool.points) + count)
    points = np.concatenate([pool.points, new])[order]
    log_density = np.concatenate([pool.log_density, target.log_density(new)])[order]
    if another is not pool.proposal:
        parts, old = (*pool.proposal.parts, *another.parts), len(pool.points)
        shares = np.concatenate([old * pool.proposal.shares, count * another.shares])
        another = Mixture(parts, shares / shares.sum())
    how = how or f"split t at the modes, adapted to its weights ({len(another.parts)} parts)"
    return _judged(points, log_density, another, (how, pool.n_evaluations + count))


def _refit(found: WeightedPoints) -> Mixture | None:
    """Build a t with the weighted points' mean and covariance, and a wider one."""
    # Flattened weights see the tails that the weights themselves see in too few points.
    flat = np.sqrt(found.weights)
    flat = flat / flat.sum()
    if not 1.0 / np.sum(flat**2) > 10.0 * found.points.shape[1]:
        return None
    mean = flat @ found.points
    away = found.points - mean
    covariance = (flat[:, None] * away).T @ away
    if not np.isfinite(covariance).all():
        return None
    values, vectors = np.linalg.eigh(covariance)
    if not values.min() > 0.0:
        return None
    one = np.ones(len(mean))
    near = SplitT(mean, vectors * np.sqrt(values), one, one, WIDE_FREEDOM)
    shares = np.array([1.0 - WIDE_SHARE, WIDE_SHARE])
    return Mixture((near, near.widened(WIDE_FACTOR, WIDE_FREEDOM)), shares)


def better(one: WeightedPoints, other: WeightedPoints) -> bool:
    """Return whether one set of points is to be preferred to another."""
    # An integral that is too small has missed something, however good its weights look.
    if one.log_evidence < other.log_evidence - _LOST:
        return False
    if one.usable != other.usable:
        return one.usable
    return one.pareto_k < other.pareto_k


def _scouted(
    target: Target, peaks: Sequence[LocalMode], sent: WeightedPoints, units: Floats
) -> list[LocalMode]:
    """Climb from the points whose density their proposal understates; return what is new."""
    excess = sent.log_density - sent.proposal.log_density(sent.points)
    excess -= peaks[0].log_mass + 0.5 * target.size * np.log(2.0 * np.pi)
    found: list[LocalMode] = []
    for place in np.argsort(-excess)[:_CLIMBS]:
        if not excess[place] > _EXCESS:
            break
        peak = find_mode(target, sent.points[place], units, [*peaks, *found])
        if peak is not None and peak.log_mass > peaks[0].log_mass - NEGLIGIBLE:
            found.append(peak)
    return found


def nothing_unknown(target: Target, count: int) -> WeightedPoints:
    """Return the only point of a target without coordinates, `count` times: all is integrated out.

    Parameters
    ----------
    target : Target
        Of size zero.
    count : int
        How many points to return.
    """
    density = np.repeat(target.log_density(np.zeros((1, 0))), count)
    weights, pareto_k = smoothed_weights(np.zeros(count))
    return WeightedPoints(
        np.zeros((count, 0)), density, weights, pareto_k, float(count), float(density[0]),
        Mixture((), np.zeros(0)), "no parameter is left to draw", 1,
    )  # fmt: skip


def _nothing(target: Target, spent: int) -> WeightedPoints:
    k = target.size
    one = SplitT(np.zeros(k), np.eye(k), np.ones(k), np.ones(k), FREEDOM)
    return WeightedPoints(
        np.zeros((0, k)), np.zeros(0), np.zeros(0), np.inf, 0.0, -np.inf,
        Mixture((one,), np.ones(1)), "no mode was found", spent,
    )  # fmt: skip
