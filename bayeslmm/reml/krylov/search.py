"""Relative factors by the root of the score: as many probes as their chance asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.choice import MOST_PROBES, TOLERANCE
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.reml.krylov.record import ProbeRecord, errors_of
from bayeslmm.reml.krylov.root import ENOUGH, find_root
from bayeslmm.reml.krylov.score import ScoreFunction
from bayeslmm.reml.search import Search
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.krylov.root import Root


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

    Raises
    ------
    ArgumentError
        If a covariance of random effects has few numbers, where the criterion may have several
        minima that take values to tell apart.

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
    singular = bool(np.any(np.abs(theta[score.relative.even]) < SINGULAR_TOLERANCE))
    search = Search(
        packed=score.relative.packed(theta),
        criterion=criterion,
        sigma=sigma,
        singular=singular,
        converged=root.promise < ENOUGH,
        promise=root.promise,
        n_evaluations=score.n_evaluations,
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
        _require_free(score)
        root = find_root(score, score.roughly, score.start)
        error, variances = errors_of(score, root)
        while _largest(error) > TOLERANCE and score.probes.count < MOST_PROBES:
            score.more_probes()
            root = find_root(score, score.roughly, root.x)
            error, variances = errors_of(score, root)
    return Found(score, root, error, variances)


def _largest(error: Mapping[str, float]) -> float:
    known = [value for value in error.values() if np.isfinite(value)]
    return max(known, default=0.0)


def _require_free(score: ScoreFunction) -> None:
    for own in score.relative.structured:
        if own.structure.n_partials:
            raise ArgumentError(
                "border='krylov' fits random effects that are correlated freely or not at all, and "
                f"those of {score.gram.factors[own.factor].name!r} have few numbers for their "
                "correlations: give border='dense', or another structure."
            )
