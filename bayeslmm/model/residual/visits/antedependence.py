r"""`Antedependence`: order one, a correlation for each step from a visit to the next.

.. math:: C_{st} = \prod_{k = s}^{t - 1} \rho_k

A visit depends on the past through the last one that was observed, whatever is missing between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.model.residual.entry import Entry
from bayeslmm.model.residual.neighbours import Neighbours
from bayeslmm.model.residual.visits.shape import ByArm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.correlation import Pairs

# A correlation that neighbours often have.
_USUAL = 0.5


@dataclass(frozen=True, eq=False)
class Steps:
    """Correlations of visits with the next one.

    Attributes
    ----------
    visits : tuple of str
        Labels of the visits.
    """

    visits: tuple[str, ...]

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(f"{a} to {b}" for a, b in zip(self.visits, self.visits[1:], strict=False))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """One for each step, uniform."""
        return tuple(
            Entry(names.RHO_RESIDUAL, label, -1.0, 1.0, "Uniform(-1, 1)") for label in self._labels
        )

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """That of steps."""
        return {names.RHO_RESIDUAL: (names.RESIDUAL_STEP,)}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The steps."""
        return {names.RESIDUAL_STEP: self._labels}

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Name the correlations."""
        return {names.RHO_RESIDUAL: theta}

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        return variables[names.RHO_RESIDUAL]

    def starts(self, theta: Floats) -> list[Floats]:
        """Return what is given, and a usual correlation at each step."""
        return [theta, np.full(len(theta), _USUAL)]

    def correlations(self, theta: Floats, times: Floats) -> Floats:
        """Multiply over the steps between any two visits."""
        first = np.minimum(times[:, None], times)
        last = np.maximum(times[:, None], times)
        step = np.arange(len(self.visits) - 1)
        between = (step >= first[..., None]) & (step < last[..., None])
        return np.asarray(np.where(between, theta[:, None, None], 1.0).prod(axis=-1))


@dataclass(frozen=True, eq=False)
class Antedependence(ByArm):
    """C of groups observed at some of the visits.

    Attributes
    ----------
    neighbours : Neighbours
        Rows with none between them; a slot is a pair of visits in an arm.
    between : ndarray of bool, shape (n_slots, number of steps in all arms)
        Steps that lie between the two visits.
    """

    neighbours: Neighbours
    between: Floats

    @property
    def pairs(self) -> Pairs:
        """Return the rows with themselves, and neighbours."""
        return self.neighbours.pairs

    def _correlations(self, phi: Floats) -> tuple[Floats, Floats]:
        """Compute a and 1 - a^2 of each slot, of parameters (s, m)."""
        a = np.where(self.between, phi[:, None], 1.0).prod(axis=-1)
        return a, (1.0 - a) * (1.0 + a)

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Compute those of neighbours with the products of steps."""
        return self.neighbours.precision(*self._correlations(phi))

    def pull_back(self, phi: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        """Carry the gradient to each factor of the products."""
        a, u = self._correlations(phi[None])
        d_a = self.neighbours.pull_back(a[0], u[0], d_omega, d_logdet)
        # The product of the other factors: a factor may be zero, so that none is divided out.
        factors = np.where(self.between, phi, 1.0)
        others = np.where(np.eye(len(phi), dtype=bool), 1.0, factors[:, None]).prod(axis=-1)
        return np.asarray(d_a @ (self.between * others))


def antedependence(rows: ResidualRows, visit: Ints, arm: Ints) -> Antedependence:
    """Return ante-dependent residuals of rows.

    Parameters
    ----------
    rows : ResidualRows
        The rows, in any order.
    visit, arm : ndarray of int64, shape (n,)
        Of each row.
    """
    shape, n_arms = Steps(rows.visits), max(len(rows.by_labels), 1)
    before, after = Neighbours.of_groups(rows.group, visit)
    keys = np.stack([arm[after], visit[before], visit[after]])
    slots, slot = np.unique(keys, axis=1, return_inverse=True)
    steps = np.arange(len(rows.visits) - 1)
    inside = (steps >= slots[1][:, None]) & (steps < slots[2][:, None])
    own = np.arange(n_arms) == slots[0][:, None]
    between = (own[:, :, None] & inside[:, None]).reshape(slots.shape[1], -1)
    neighbours = Neighbours(rows.n, before, after, slot.ravel(), slots.shape[1])
    return Antedependence((shape,) * n_arms, rows.by_labels, neighbours, between)
