"""Steps of trajectories that a short warm-up adapts to their acceptance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

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
