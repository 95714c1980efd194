r"""`Neighbours`: the precision of residuals that depend on the past through the last one only.

With a = Corr(e_s, e_t) of two neighbours in time and u = 1 - a^2, a Markov process has

.. math:: e' C^{-1} e = \sum_t e_t^2 + \sum_{(s, t)}
          \left\{ \frac{a}{u} (e_t - e_s)^2 - \frac{a}{1 + a} (e_s^2 + e_t^2) \right\}, \quad
          \log |C| = \sum_{(s, t)} \log u

over pairs of neighbours. Pairs with the same a, whatever the parameters are, share a *slot* and two
sums. Squares of differences keep their digits where a nears one, and nothing cancels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.residual.correlation import Pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.arrays import Floats, Ints

# Pairs of neighbours that are spread over nodes at a time.
_PART = 10_000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of rows of a group with no row between them in time.

    Attributes
    ----------
    n : int
        Number of rows.
    before, after : ndarray of int64, shape (m,)
        Rows of each pair.
    slot : ndarray of int64, shape (m,)
        Pairs with the same correlation for all parameters have the same number.
    n_slots : int
        Number of those.
    """

    n: int
    before: Ints
    after: Ints
    slot: Ints
    n_slots: int

    @classmethod
    def of_groups(cls, group: Ints, time: Floats | Ints) -> tuple[Ints, Ints]:
        """Return rows that are neighbours in time, shapes (m,): the earlier and the later one."""
        order = np.lexsort((time, group))
        inside = np.flatnonzero(np.diff(group[order]) == 0)
        return order[inside], order[inside + 1]

    @property
    def pairs(self) -> Pairs:
        """Return the rows with themselves, then each slot's squared differences, and squares."""
        return _pairs(self.n, self, self.slot, np.ones(len(self.slot)))

    def parts(self) -> Iterator[Pairs]:
        """Return the pairs piece by piece."""
        yield self.pairs

    @cached_property
    def counts(self) -> Floats:
        """Number of pairs in each slot."""
        return np.bincount(self.slot, minlength=self.n_slots).astype(np.float64)

    def precision(self, a: Floats, u: Floats) -> tuple[Floats, Floats]:
        """Compute one, and a / u and -a / (1 + a) of each slot; and log|C|.

        Parameters
        ----------
        a, u : ndarray, shape (s, n_slots)
            Correlations, and 1 - a^2.
        """
        omega = np.ones((len(a), 1 + 2 * self.n_slots))
        omega[:, 1::2], omega[:, 2::2] = a / u, -a / (1.0 + a)
        return omega, np.log(u) @ self.counts

    def pull_back(self, a: Floats, u: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        """Carry gradients in what `precision` computes to a of one point, shape (n_slots,)."""
        d_a = d_omega[1::2] * (1.0 + a * a) / u**2 - d_omega[2::2] / (1.0 + a) ** 2
        return np.asarray(d_a - d_logdet * self.counts * 2.0 * a / u)


@dataclass(frozen=True, eq=False)
class NeighboursAtNodes(Neighbours):
    """Pairs each of which is shared among several slots: the nodes of an interpolation.

    Attributes
    ----------
    slot : ndarray of int64, shape (m,)
        The line of `weights` that a pair has.
    n_slots : int
        Number of nodes, those of all strata.
    weights : ndarray, shape (n_lines, J)
        Shares of the nodes of a stratum.
    first : ndarray of int64, shape (n_lines,)
        The first of those nodes.
    """

    weights: Floats
    first: Ints

    @property
    def pairs(self) -> Pairs:
        """Return all parts as one."""
        parts = list(self.parts())
        factors = [part.factor for part in parts if part.factor is not None]
        return Pairs(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.base for part in parts]),
            parts[0].n_bases,
            np.concatenate(factors),
        )

    def parts(self) -> Iterator[Pairs]:
        """Return the rows with themselves, and squares of neighbours, so many at a time."""
        count = self.weights.shape[1]
        for start in range(0, max(len(self.slot), 1), _PART):
            some = slice(start, start + _PART)
            line = self.slot[some]
            nodes = (self.first[line][:, None] + np.arange(count)).ravel()
            repeated = replace(
                self,
                before=np.repeat(self.before[some], count),
                after=np.repeat(self.after[some], count),
            )
            # The rows themselves once.
            n = self.n if start == 0 else 0
            yield _pairs(n, repeated, nodes, self.weights[line].ravel())

    @cached_property
    def counts(self) -> Floats:
        """Sum of the pairs' shares of each node."""
        lines = np.bincount(self.slot, minlength=len(self.weights))
        nodes = self.first[:, None] + np.arange(self.weights.shape[1])
        shares = lines[:, None] * self.weights
        return np.bincount(nodes.ravel(), shares.ravel(), minlength=self.n_slots)


def _pairs(n: int, neighbours: Neighbours, slot: Ints, weight: Floats) -> Pairs:
    rows, s, t = np.arange(n), neighbours.before, neighbours.after
    one, difference, square = np.zeros(n, np.int64), 1 + 2 * slot, 2 + 2 * slot
    return Pairs(
        np.concatenate([rows, s, t, s, s, t]),
        np.concatenate([rows, s, t, t, s, t]),
        np.concatenate([one, difference, difference, difference, square, square]),
        1 + 2 * neighbours.n_slots,
        np.concatenate([np.ones(n), weight, weight, -weight, weight, weight]),
    )
