"""What a short warm-up adapts: steps of trajectories, and where theta is proposed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeslmm.inference.importance.proposal import Mixture, SplitT

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.algorithm import WeightedPoints

# What is aimed at; and how far a trajectory turns: a quarter leaves nothing of where it began.
TARGET, ANGLE = 0.9, 0.5 * math.pi
_FIRST, _LARGEST_CHANGE = 4, 1.7
# One step alone is cheap beside a proposal of theta, and too rough.
_FEWEST_STEPS, _MOST_STEPS = 2, 64


@dataclass(frozen=True)
class Trajectory:
    """How far a trajectory in eps goes, and in how many steps.

    Attributes
    ----------
    steps : int
        Their number; together they turn by a quarter.
    """

    steps: int = _FIRST
    angle: float = ANGLE / _FIRST

    @property
    def size(self) -> float:
        """Angle of one step."""
        return ANGLE / self.steps

    def adapted(self, acceptance: float) -> Trajectory:
        r"""Return a trajectory that should be accepted as often as is aimed at.

        Errors of the energy are about normal, so that

        .. math:: \bar a = 2 \Phi(-s / 2), \quad s \propto h^2

        Parameters
        ----------
        acceptance : float
            Mean acceptance probability of this one.

        References
        ----------
        Neal (2011). MCMC using Hamiltonian dynamics. doi:10.1201/b10905-6

        Examples
        --------
        >>> Trajectory(4).adapted(0.98).steps, Trajectory(4).adapted(0.5).steps
        (2, 7)
        """
        spread = -2.0 * float(ndtri(0.5 * min(max(acceptance, 1e-6), 1.0 - 1e-6)))
        wanted = -2.0 * float(ndtri(0.5 * TARGET))
        change = math.sqrt(wanted / spread)
        angle = self.angle * min(max(change, 1.0 / _LARGEST_CHANGE), _LARGEST_CHANGE)
        angle = min(angle, ANGLE / _FEWEST_STEPS)
        return Trajectory(min(math.ceil(ANGLE / angle - 1e-9), _MOST_STEPS), angle)


# Degrees of freedom of adapted proposals; the share that stays with the ones before; how many
# draws the covariance of Laplace's posterior counts for, for each coordinate.
_FREEDOM, _OLD_SHARE, _PRIOR_DRAWS = 5.0, 0.4, 5.0
# The adapted one's wide part: its share, and how much wider.
_WIDE_SHARE, _WIDE = 0.1, 2.5
# So many different points a coordinate tell where the posterior is.
_LEAST_POINTS = 5


def adapted_proposal(found: WeightedPoints, seen: Floats) -> Mixture:
    """Return proposals where chains have been, beside those of Laplace's marginal posterior.

    Where Laplace's marginal posterior lies beside the posterior, its proposals alone are seldom
    accepted.

    Parameters
    ----------
    found : WeightedPoints
        Of Laplace's marginal posterior, with its proposal.
    seen : ndarray, shape (s, k)
        Points of all chains.

    Returns
    -------
    Mixture
        The old one where too few different points were seen.
    """
    k, old = found.points.shape[1], found.proposal
    different = len(np.unique(seen, axis=0))
    if different < _LEAST_POINTS * k:
        return old
    center = found.points - found.weights @ found.points
    before = (found.weights[:, None] * center).T @ center
    trust = different / (different + _PRIOR_DRAWS * k)
    covariance = trust * np.atleast_2d(np.cov(seen.T)) + (1.0 - trust) * before
    values, vectors = np.linalg.eigh(covariance)
    if not (np.isfinite(values).all() and values.min() > 0.0):
        return old
    one = np.ones(k)
    near = SplitT(seen.mean(axis=0), vectors * np.sqrt(values), one, one, _FREEDOM)
    parts = (near, near.widened(_WIDE, _FREEDOM), *old.parts)
    new = (1.0 - _OLD_SHARE) * np.array([1.0 - _WIDE_SHARE, _WIDE_SHARE])
    return Mixture(parts, np.concatenate([new, _OLD_SHARE * old.shares]))
