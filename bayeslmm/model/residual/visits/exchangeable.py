r"""`Exchangeable`: compound symmetry, one correlation between all rows of a group.

.. math:: C = (1 - \rho) I + \rho \, 1 1', \qquad
          C^{-1} = \frac{1}{1 - \rho} I - \frac{\rho}{(1 - \rho) (1 + (k - 1) \rho)} 1 1', \qquad
          |C| = (1 - \rho)^{k - 1} (1 + (k - 1) \rho)

for a group of k rows: positive definite for :math:`-1 / (k - 1) < \rho < 1`. Of the second part the
sum of a group's rows is all that counts, so that work grows with the rows and not their pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.model.residual.correlation import Pairs
from bayeslmm.model.residual.entry import Entry
from bayeslmm.model.residual.visits.shape import ByArm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.model.residual.visits.patterns import Block

# A correlation that residuals of one group often have.
_USUAL = 0.5


@dataclass(frozen=True, eq=False)
class OneCorrelation:
    """The same correlation between any two rows of a group.

    Attributes
    ----------
    largest : int
        Number of rows of the largest group: the correlation is above -1 / (largest - 1).
    """

    largest: int

    @property
    def lower(self) -> float:
        """The correlation below which C is not positive definite."""
        return -1.0 / max(self.largest - 1, 1)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The correlation, uniform between its bounds."""
        default = f"Uniform({self.lower!r}, 1)"
        return (Entry(names.RHO_RESIDUAL, None, self.lower, 1.0, default),)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """None: it is one number."""
        return {names.RHO_RESIDUAL: ()}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Name the correlation."""
        return {names.RHO_RESIDUAL: theta[..., 0]}

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        return variables[names.RHO_RESIDUAL][..., None]

    def starts(self, theta: Floats) -> list[Floats]:
        """Return what is given, no correlation, and a usual one."""
        return [theta, np.zeros(1), np.full(1, _USUAL)]

    def correlations(self, theta: Floats, times: Floats) -> Floats:
        """Return C of any rows of a group."""
        k = len(times)
        out = np.broadcast_to(theta[:, :1, None], (len(theta), k, k)).copy()
        out[:, np.arange(k), np.arange(k)] = 1.0
        return out


@dataclass(frozen=True, eq=False)
class Exchangeable(ByArm):
    """One correlation between all rows of a group, for each arm.

    Attributes
    ----------
    blocks : tuple of Block
        Groups by their number of rows, each with one pattern for each arm: which positions were
        observed does not matter.
    """

    blocks: tuple[Block, ...]

    @cached_property
    def pairs(self) -> Pairs:
        """Return each row with itself, and the sum of each group's rows with itself.

        A base for the rows of each arm, and one for groups of each size in each arm.
        """
        n_arms, offset, n_groups = len(self.shapes), len(self.shapes), 0
        rows, own, member, of_groups = [], [], [], []
        for block in self.blocks:
            count, k = block.rows.shape
            rows.append(block.rows.ravel())
            own.append(np.repeat(block.arms[block.which], k))
            member.append(np.repeat(n_groups + np.arange(count), k))
            of_groups.append(offset + block.which)
            offset, n_groups = offset + len(block.at), n_groups + count
        order, n = np.argsort(np.concatenate(rows)), sum(map(len, rows))
        items = np.arange(n + n_groups)
        base = np.concatenate([np.concatenate(own)[order], *of_groups])
        n_bases = n_arms + sum(len(block.at) for block in self.blocks)
        return Pairs(items, items, base, n_bases, member=np.concatenate(member)[order])

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats, list[int]]:
        """Rows of a group, number of groups, and arm: of each block's patterns."""
        sizes = [np.full(len(block.at), float(block.at.shape[1])) for block in self.blocks]
        counts = [block.counts for block in self.blocks]
        arms = [block.arms for block in self.blocks]
        return np.concatenate(sizes), np.concatenate(counts), np.concatenate(arms).tolist()

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Invert C in closed form."""
        k, counts, arms = self._sizes
        rho = phi[:, arms]
        rest, whole = 1.0 - rho, 1.0 + (k - 1.0) * rho
        omega = np.concatenate([1.0 / (1.0 - phi), -rho / (rest * whole)], axis=1)
        return omega, ((k - 1.0) * np.log(rest) + np.log(whole)) @ counts

    def pull_back(self, phi: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        """Differentiate the closed form."""
        k, counts, arms = self._sizes
        rho = phi[arms]
        rest, whole = 1.0 - rho, 1.0 + (k - 1.0) * rho
        d_between = -(1.0 + (k - 1.0) * rho**2) / (rest * whole) ** 2
        slopes = d_omega[len(phi) :] * d_between
        slopes += d_logdet * counts * (k - 1.0) * (1.0 / whole - 1.0 / rest)
        of_rows = d_omega[: len(phi)] / (1.0 - phi) ** 2
        return of_rows + np.bincount(arms, slopes, minlength=len(phi))
