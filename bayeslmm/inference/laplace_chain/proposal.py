"""Proposals of theta from Laplace's marginal posterior, and what Laplace's posterior would say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.inference.importance.algorithm import WeightedPoints, sample_at_modes
from bayeslmm.inference.laplace import find_modes
from bayeslmm.inference.reweighting import resample

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.laplace_chain.target import LaplaceTarget

# Points of the proposal: more for more coordinates, as proposals of an exact chain need no more.
_POINTS, _POINTS_PER_COORDINATE = 300, 50
_RETRIES = 1
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
        The fixed effects there.
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
    target = target.settled(peaks[0].point)
    count = _POINTS + _POINTS_PER_COORDINATE * target.size
    found = sample_at_modes(target, peaks, units, count, rng, retries=_RETRIES)
    points = found.points[resample(found.weights, rng, _LAPLACE_DRAWS)]
    eps = rng.standard_normal((len(points), target.latent.size))
    _, ratio, effects = target.evaluate(points, eps)
    return LaplaceStage(target, found, points, ratio, target.latent.fixed_effects(effects))
