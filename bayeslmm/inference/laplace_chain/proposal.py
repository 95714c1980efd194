"""Proposals of theta from Laplace's marginal posterior, and what Laplace's posterior would say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.inference.importance.algorithm import WeightedPoints, better, sample_at_modes
from bayeslmm.inference.laplace import find_modes
from bayeslmm.inference.reweighting import resample

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.laplace import LocalMode
    from bayeslmm.inference.laplace_chain.target import LaplaceTarget

# Points of the proposal: more for more coordinates, as proposals of an exact chain need no more.
_POINTS, _POINTS_PER_COORDINATE = 300, 50
_RETRIES = 1
# A smaller share of effective points is a reason to try other scales.
_WORTH = 0.5
# Draws of Laplace's posterior, by which its error is told.
_LAPLACE_DRAWS = 400


@dataclass(frozen=True, eq=False)
class LaplaceStage:
    """What comes before the chains.

    Attributes
    ----------
    target : LaplaceTarget
        Settled at its mode.
    found : WeightedPoints
        Of its density, with the proposal.
    points : ndarray, shape (s, k)
        Draws of theta from Laplace's marginal posterior.
    log_ratio : ndarray, shape (s,)
        Log p(y, u, beta | theta) less its Gaussian approximation, at draws of the latter.
    fixed : ndarray, shape (s, p)
        Means of the fixed effects there, under Laplace's posterior.
    """

    target: LaplaceTarget
    found: WeightedPoints
    points: Floats
    log_ratio: Floats
    fixed: Floats


def laplace_stage(target: LaplaceTarget, rng: np.random.Generator) -> LaplaceStage:
    """Climb to the mode of Laplace's marginal posterior, build a proposal, and draw from both.

    Parameters
    ----------
    target : LaplaceTarget
        Not settled yet.
    rng : numpy.random.Generator
        Of all draws.

    Returns
    -------
    LaplaceStage

    Raises
    ------
    NumericalError
        If no mode is found.
    """
    units = np.ones(target.size)
    peaks = find_modes(target, [target.first_point()], units)
    if not peaks:
        raise NumericalError(
            "Laplace's marginal posterior of the variance parameters has no mode that could be "
            "found: sampler='nutpie' does without it."
        )
    target, found = _weigh(target.settled(peaks[0].point), peaks, rng)
    points = found.points[resample(found.weights, rng, _LAPLACE_DRAWS)]
    eps = rng.standard_normal((len(points), target.latent.size))
    drawn = target.evaluate(points, eps)
    return LaplaceStage(target, found, points, drawn.log_ratio, target.latent.raw_beta(drawn.fixed))


def _weigh(
    target: LaplaceTarget, peaks: list[LocalMode], rng: np.random.Generator
) -> tuple[LaplaceTarget, WeightedPoints]:
    """Weigh points of a proposal at the mode; where it is not good, on other scales of the sds."""
    count, units = _POINTS + _POINTS_PER_COORDINATE * target.size, np.ones(target.size)
    found = sample_at_modes(target, peaks, units, count, rng, retries=0)
    if found.good and found.effective_size > _WORTH * count:
        return target, found
    other, peak = target.bent(peaks[0])
    again = sample_at_modes(other, [peak], units, count, rng, retries=0)
    if not better(found, again):
        target, found, peaks = other, again, [peak]
    if not found.good:
        found = sample_at_modes(target, peaks, units, count, rng, retries=_RETRIES)
    return target, found
