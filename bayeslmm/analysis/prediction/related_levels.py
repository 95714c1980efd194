r"""Random effects of levels without rows, of which the known covariance tells the relations.

With d the levels of the fit and n those of the covariance that had no rows,

.. math:: b_n \mid b_d \sim N(A_{nd} A_{dd}^{-1} b_d, \;
          (A_{nn} - A_{nd} A_{dd}^{-1} A_{dn}) \otimes G)

given each draw of :math:`b_d` and G: such draws are of the joint posterior of all levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bayeslmm.analysis.prediction.new_levels import NewLevels
    from bayeslmm.arrays import Floats
    from bayeslmm.relationships.relationship import Relationship


@dataclass(frozen=True, eq=False)
class RelatedLevels:
    """Generator of the effects of levels that had no rows, given those that had.

    Attributes
    ----------
    relationship : Relationship
        A.
    levels : tuple of str
        The levels that had rows.
    effects_of_known : ndarray, shape (m, q, s)
        Draws of their effects.
    noise : NewLevels or None
        Draws from N(0, G) by label, the same in any order; None for conditional means alone.

    References
    ----------
    Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection
    model. Biometrics 31, 423-447. https://doi.org/10.2307/2529430
    """

    relationship: Relationship
    levels: tuple[str, ...]
    effects_of_known: Floats
    noise: NewLevels | None

    def effects(self, labels: Sequence[str]) -> Floats:
        """Draw the effects of each label, or give their means, shape (label, q, s)."""
        at = np.array([self._rest.index(label) for label in labels], dtype=np.intp)
        m, q, s = self.effects_of_known.shape
        flat = self.effects_of_known.reshape(m, q * s)
        mean: Floats = (self._weights[at] @ flat).reshape(-1, q, s)
        if self.noise is None:
            return mean
        # Rows of a triangle: a level takes the noise of those before it in A's own order.
        last = int(at.max(initial=-1)) + 1
        white = self.noise.effects(self._rest[:last])
        mixed = self._root[at][:, :last] @ white.reshape(last, -1)
        return mean + mixed.reshape(-1, *white.shape[1:])

    def shares(self, labels: Sequence[str]) -> Floats:
        """Return each label's conditional variance in units of G, shape (label,)."""
        at = [self._rest.index(label) for label in labels]
        return np.sum(self._root[at] ** 2, axis=1)

    def at_mean(self) -> Self:
        """Return the means of the effects alone, at the posterior mean of the known ones."""
        mean = self.effects_of_known.mean(axis=-1, keepdims=True)
        return replace(self, effects_of_known=mean, noise=None)

    @cached_property
    def _rest(self) -> list[str]:
        """Labels of A without rows, in its order."""
        known = set(self.levels)
        return [label for label in self.relationship.labels if label not in known]

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats, Floats]:
        labels = [*self.levels, *self._rest]
        A, m = self.relationship.covariance_of(labels), len(self.levels)
        return A[:m, :m], A[m:, :m], A[m:, m:]

    @cached_property
    def _weights(self) -> Floats:
        known, across, _ = self._blocks
        return np.asarray(cho_solve(cho_factor(known), across.T)).T

    @cached_property
    def _root(self) -> Floats:
        _, across, own = self._blocks
        left = own - self._weights @ across.T
        return np.asarray(cholesky((left + left.T) / 2.0, lower=True))
