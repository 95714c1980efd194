"""Independent draws from a density of a few coordinates, weighted, judged and resampled.

Mode and curvature give a heavy-tailed proposal; exact densities of its draws give importance
weights; the shape of their tail (k-hat of Pareto smoothing) says whether they can be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from bayeslmm.laplace import Peak, Target, find_peaks
from bayeslmm.proposal import Mixture, SplitT
from bayeslmm.reweighting import MAX_PARETO_K, smoothed_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Below this the weights are as good as any; above, another proposal is tried.
GOOD_PARETO_K = 0.5
FREEDOM, WIDE_FREEDOM = 5.0, 3.0
# A share of the points goes further out than curvature says: what lies there shows in k-hat.
WIDE_SHARE, WIDE_FACTOR = 0.1, 3.0
# Distances along an axis, in standard deviations, at which the density's fall is measured.
_PROBES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0])
_NARROWEST, _WIDEST = 0.4, 6.0
_REFITS = 3


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
        """Whether k-hat is below 0.7."""
        return self.pareto_k < MAX_PARETO_K


def sample_target(
    target: Target, starts: Sequence[Floats], units: Floats, count: int, rng: np.random.Generator
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

    Returns
    -------
    WeightedPoints
        The try with the lowest k-hat; infinite where no mode was found.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.
    .. [2] Cappe, Douc, Guillin, Marin & Robert (2008). Adaptive importance sampling in general
       mixture classes. Statistics and Computing 18:447-459. doi:10.1007/s11222-008-9059-x

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
    peaks = find_peaks(target, starts, units)
    spent = sum(peak.n_evaluations for peak in peaks)
    if not peaks:
        return _nothing(target, spent)
    proposal = proposal_at(target, peaks)
    how = "split t at the mode" if len(peaks) == 1 else f"split t at each of {len(peaks)} modes"
    best = _weigh(target, proposal, count, rng, (how, spent + 2 * len(_PROBES) * target.size))
    for _ in range(_REFITS):
        if best.pareto_k <= GOOD_PARETO_K:
            break
        refitted = _refit(best)
        if refitted is None:
            break
        again = (f"{how}, adapted to its weights", best.n_evaluations)
        tried = _weigh(target, refitted, count, rng, again)
        best = tried if tried.pareto_k < best.pareto_k else _spent(best, tried.n_evaluations)
    return best


def extend(
    target: Target, first: WeightedPoints, count: int, rng: np.random.Generator
) -> WeightedPoints:
    """Draw more points from the same proposal, and weigh all of them together."""
    points = np.concatenate([first.points, first.proposal.draw(count, rng)])
    new = target.log_density(points[len(first.points) :])
    return _judged(
        points,
        np.concatenate([first.log_density, new]),
        first.proposal,
        (first.how, first.n_evaluations + count),
    )


def proposal_at(target: Target, peaks: Sequence[Peak]) -> Mixture:
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


def _split_t(target: Target, peak: Peak) -> SplitT:
    """Scale a t distribution by how far the density falls along each axis, to either side."""
    covariance, center = peak.covariance.copy(), peak.point.copy()
    for k in target.folded:
        # Symmetric about zero: no covariance with anything, and the hill's width from zero.
        spread = covariance[k, k] + center[k] ** 2
        covariance[k], covariance[:, k] = 0.0, 0.0
        covariance[k, k], center[k] = spread, 0.0
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors * np.sqrt(values)
    sides = [_fall(target, peak, center, sign * axes) for sign in (1.0, -1.0)]
    return SplitT(center, axes, sides[0], sides[1], FREEDOM)


def _fall(target: Target, peak: Peak, center: Floats, axes: Floats) -> Floats:
    """Give Geweke's scales: the largest over distances d of d / sqrt(2 (f(mode) - f(at d)))."""
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
    evidence = float(logsumexp(ratios)) - float(np.log(len(ratios)))
    return WeightedPoints(points, log_density, weights, pareto_k, evidence, proposal, *about)


def _refit(found: WeightedPoints) -> Mixture | None:
    """Add a t with the weighted points' mean and covariance, tails widened, to the proposal."""
    # Flattened weights see the tails that the weights themselves see in too few points.
    flat = np.sqrt(found.weights)
    flat = flat / flat.sum()
    if 1.0 / np.sum(flat**2) < 10.0 * found.points.shape[1]:
        return None
    mean = flat @ found.points
    away = found.points - mean
    values, vectors = np.linalg.eigh((flat[:, None] * away).T @ away)
    if not (np.isfinite(values).all() and values.min() > 0.0):
        return None
    one = np.ones(len(mean))
    fitted = SplitT(mean, vectors * np.sqrt(values), one, one, WIDE_FREEDOM)
    shares = np.append(0.5 * found.proposal.shares, 0.5)
    return Mixture((*found.proposal.parts, fitted), shares / shares.sum())


def _spent(found: WeightedPoints, n_evaluations: int) -> WeightedPoints:
    return WeightedPoints(
        found.points, found.log_density, found.weights, found.pareto_k, found.log_evidence,
        found.proposal, found.how, n_evaluations,
    )  # fmt: skip


def _nothing(target: Target, spent: int) -> WeightedPoints:
    k = target.size
    one = SplitT(np.zeros(k), np.eye(k), np.ones(k), np.ones(k), FREEDOM)
    return WeightedPoints(
        np.zeros((0, k)), np.zeros(0), np.zeros(0), np.inf, -np.inf, Mixture((one,), np.ones(1)),
        "no mode was found", spent,
    )  # fmt: skip
