"""Independent residuals, R = sigma^2 W^-1: the one piece is P_1 = W, with c_1 = 1 / sigma^2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bayeslmm import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.model.residual.structure import ResidualStructure


@dataclass(frozen=True)
class Independent:
    r"""Residuals without correlation; the contract is `ResidualStructure`.

    .. math:: e_i \sim N(0, \sigma^2 / w_i), \quad R^{-1} = \sigma^{-2} W, \quad
              \log |R| = 2 n \log \sigma - \sum_i \log w_i

    Examples
    --------
    >>> INDEPENDENT.covariance(np.array([2.0]), 2, np.array([1.0, 4.0]))
    array([[[4., 0.],
            [0., 1.]]])
    >>> INDEPENDENT.log_determinant(np.array([2.0]), 2, np.log(4.0)).round(4)
    array([1.3863])
    """

    name: ClassVar[str] = "independent"
    parameters: ClassVar[tuple[str, ...]] = (names.SIGMA,)

    def combine(self, products: Sequence[Floats], sigma: Floats, /) -> Floats:
        """Compute W'P_1 W / sigma^2."""
        (product,) = products
        return product / _along(sigma, product.ndim) ** 2

    def log_determinant(self, sigma: Floats, n: int, sum_log_weights: float, /) -> Floats:
        """Compute 2 n log(sigma) - sum(log w)."""
        return np.asarray(2 * n * np.log(sigma) - sum_log_weights)

    def whiten(self, rows: Floats, sigma: Floats, weights: Floats | None, /) -> Floats:
        """Compute sqrt(w) rows / sigma."""
        white = rows / _along(sigma, rows.ndim)
        if weights is not None:
            white *= np.sqrt(weights)[(..., *[None] * (rows.ndim - 2))]
        return white

    def covariance(self, sigma: Floats, n: int, weights: Floats | None, /) -> Floats:
        """Return diag(sigma^2 / w)."""
        inverse = np.ones(n) if weights is None else 1 / weights
        return _along(sigma, 3) ** 2 * np.diag(inverse)

    def mean_variance(self, sigma: Floats, weights: Floats | None, /) -> Floats:
        """Compute sigma^2 times the mean of 1 / w."""
        variance: Floats = sigma**2
        return variance if weights is None else variance * np.mean(1 / weights)


def _along(sigma: Floats, ndim: int) -> Floats:
    """Put the axis of draws in front of ndim - 1 others."""
    return sigma.reshape(-1, *[1] * (ndim - 1))


INDEPENDENT: ResidualStructure = Independent()
