"""Compound symmetry: every pair of columns has the same correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.model.covariance.of_matrix import OfSize

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@dataclass(frozen=True)
class CompoundSymmetry(OfSize):
    r"""One correlation: the term ``cs(0 + f | g)``.

    .. math:: R_{ij} = \rho, \; i \ne j, \qquad -\frac{1}{q - 1} < \rho < 1, \qquad
              |R| = (1 - \rho)^{q - 1} (1 + (q - 1) \rho)

    Its partial is :math:`\rho` on the interval's own scale, and under a concentration
    :math:`\eta` its density is proportional to :math:`|R|^{\eta - 1}`: flat for
    :math:`\eta = 1`, LKJ for two columns.

    Attributes
    ----------
    size : int
        q, two or more columns.

    Examples
    --------
    >>> C = CompoundSymmetry(3).unit_factor(np.array([0.5]))
    >>> (C @ C.T).round(12)
    array([[1.  , 0.25, 0.25],
           [0.25, 1.  , 0.25],
           [0.25, 0.25, 1.  ]])
    """

    @property
    def _lowest(self) -> float:
        return -1.0 / (self.n_columns - 1)

    def unit_factor(self, partials: Any) -> Any:
        r"""Compute C from the place of rho in its interval, (..., 1) -> (..., q, q).

        .. math:: C_{jj}^2 = (1 - \rho) \frac{1 + j \rho}{1 + (j - 1) \rho}, \qquad
                  C_{ij} C_{jj} = \rho \, \frac{1 - \rho}{1 + (j - 1) \rho}

        with columns counted from 0: variances and covariances given the columns before.
        """
        rho = self.values(partials)[..., None]
        at = np.arange(float(self.size))
        rest = (1.0 - rho) / (1.0 + (at - 1.0) * rho)
        pivot = (rest * (1.0 + at * rho)) ** 0.5
        below = np.tril(np.ones((self.size, self.size)), -1)
        return below * (rho * rest / pivot) + np.eye(self.size) * pivot

    def values(self, partials: Any) -> Any:
        """Compute rho."""
        return self._lowest + (1.0 - self._lowest) * partials

    def near(self, corr: Floats) -> Floats:
        """Compute the place of the mean correlation."""
        i, j = np.tril_indices(self.n_columns, -1)
        rho = corr[..., i, j].mean(axis=-1, keepdims=True)
        return np.asarray((rho - self._lowest) / (1.0 - self._lowest))

    def partial_shapes(self, eta: float) -> Floats:
        """Return eta and (q - 1) (eta - 1) + 1: of 1 + (q - 1) rho, and of 1 - rho."""
        return np.array([[eta, (self.n_columns - 1) * (eta - 1.0) + 1.0]])
