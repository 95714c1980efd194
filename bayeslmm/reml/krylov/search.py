"""Relative factors by the root of the score: as many probes as their chance asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.choice import MOST_PROBES, TOLERANCE
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.reml.krylov.record import ProbeRecord, errors_of
from bayeslmm.reml.krylov.root import ENOUGH, approach, find_root
from bayeslmm.reml.krylov.score import ScoreFunction
from bayeslmm.reml.search import Search
from bayeslmm.reml.starts import begin
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.krylov.root import Root

# Starts that are followed where there are several.
_FEW = 4


def search_by_probes(
    gram: Gram, *, restricted: bool, count: int, seed: int
) -> tuple[Search, ProbeRecord]:
    """Find the relative factors at which the criterion's gradient is zero, without a dense matrix.

    Probes are doubled until what their chance does to each estimate is below 0.02 of its standard
    error, or there are 512 of them.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.
    count : int
        Probes to begin with.
    seed : int
        Of their signs.

    Returns
    -------
    search : Search
        The minimum found; its criterion is known up to `ProbeRecord.loglik_se`.
    record : ProbeRecord

    References
    ----------
    Stein, Chen & Anitescu (2013). Stochastic approximation of score functions for Gaussian
    processes. Annals of Applied Statistics 7:1162-1191. doi:10.1214/13-AOAS627
    """
    with single_blas_thread():
        found = find_by_probes(gram, restricted=restricted, count=count, seed=seed)
        score, root = found.score, found.root
        criterion, sigma, logdet = score.criterion(root.x)
    theta = score.step * root.x
    at_bound = tuple(score.relative.on_bound(theta))
    singular = bool(np.any(np.abs(theta[score.relative.even]) < SINGULAR_TOLERANCE))
    search = Search(
        packed=score.relative.packed(theta),
        criterion=criterion,
        sigma=sigma,
        singular=singular or bool(at_bound),
        converged=root.promise < ENOUGH,
        promise=root.promise,
        n_evaluations=score.n_evaluations,
        at_bound=at_bound,
    )
    return search, ProbeRecord(
        score.probes.count,
        seed,
        found.error,
        found.variances,
        logdet.values,
        score.steps,
        logdet.steps,
    )


@dataclass(frozen=True, eq=False)
class Found:
    """Where the score is zero, with enough probes.

    Attributes
    ----------
    score : ScoreFunction
    root : Root
    error, variances : mapping of str to float
        As in `ProbeRecord`.
    """

    score: ScoreFunction
    root: Root
    error: Mapping[str, float]
    variances: Mapping[str, float]


def find_by_probes(gram: Gram, *, restricted: bool, count: int, seed: int) -> Found:
    """Find where the score is zero; see `search_by_probes`, which computes the criterion there."""
    with single_blas_thread():
        score = ScoreFunction(gram, restricted=restricted, count=count, seed=seed)
        score, start = _begin(score)
        root = find_root(score, score.roughly, start)
        error, variances = errors_of(score, root)
        while _largest(error) > TOLERANCE and score.probes.count < MOST_PROBES:
            score.more_probes()
            root = find_root(score, score.roughly, root.x)
            error, variances = errors_of(score, root)
    return Found(score, root, error, variances)


def _largest(error: Mapping[str, float]) -> float:
    known = [value for value in error.values() if np.isfinite(value)]
    return max(known, default=0.0)


def _begin(score: ScoreFunction) -> tuple[ScoreFunction, Floats]:
    """Return where to begin, with the scales there.

    Where correlations follow from few numbers the criterion may have several minima: of starts at
    several correlations and standard deviations the lowest are followed by a few probes, and the
    lowest end is where to begin.
    """
    starts = [theta / score.step for theta in begin(score.relative, score.step * score.start)]
    if len(starts) == 1:
        return score, score.start
    heights = [score.height(x) for x in starts]
    ends = []
    for k in np.argsort(heights)[:_FEW]:
        own = score.begun(score.step * starts[k])
        x = approach(own.roughly, score.step * starts[k] / own.step)
        ends.append((own.height(x), own, x))
    _, score, x = min(ends, key=lambda end: end[0])
    return score, x
