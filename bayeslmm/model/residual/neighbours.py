r"""`Neighbours`: the precision of residuals that depend on the past through the last one only.

With a = Corr(e_s, e_t) of two neighbours in time and u = 1 - a^2, a Markov process has

.. math:: e' C^{-1} e = \sum_t e_t^2 + \sum_{(s, t)}
          \left\{ \frac{a}{u} (e_t - e_s)^2 - \frac{a}{1 + a} (e_s^2 + e_t^2) \right\}, \quad
          \log |C| = \sum_{(s, t)} \log u

over pairs of neighbours. Pairs with the same a, whatever the parameters are, share a *slot* and two
sums. Squares of differences keep their digits where a nears one, and nothing cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.residual.correlation import Pairs

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


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
    weight : ndarray, shape (m,), or None
        Share of each pair in a slot, where pairs stand in several; one everywhere where None.
    """

    n: int
    before: Ints
    after: Ints
    slot: Ints
    n_slots: int
    weight: Floats | None = None

    @classmethod
    def of_groups(cls, group: Ints, time: Floats | Ints) -> tuple[Ints, Ints]:
        """Return rows that are neighbours in time, shapes (m,): the earlier and the later one."""
        order = np.lexsort((time, group))
        inside = np.flatnonzero(np.diff(group[order]) == 0)
        return order[inside], order[inside + 1]

    @cached_property
    def pairs(self) -> Pairs:
        """Return the rows with themselves, then each slot's squared differences, and squares."""
        rows, s, t = np.arange(self.n), self.before, self.after
        one, difference, square = np.zeros(self.n, np.int64), 1 + 2 * self.slot, 2 + 2 * self.slot
        w = np.ones(len(s)) if self.weight is None else self.weight
        return Pairs(
            np.concatenate([rows, s, t, s, s, t]),
            np.concatenate([rows, s, t, t, s, t]),
            np.concatenate([one, difference, difference, difference, square, square]),
            1 + 2 * self.n_slots,
            np.concatenate([np.ones(self.n), w, w, -w, w, w]),
        )

    @cached_property
    def counts(self) -> Floats:
        """Number of pairs in each slot."""
        counts = np.bincount(self.slot, self.weight, minlength=self.n_slots)
        return counts.astype(np.float64)

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
