r"""`OfMatrix`: structures that say their correlation matrix, from which all else follows.

.. math:: R(u), \quad u \in (0, 1)^k, \qquad C C' = R, \qquad
          \dot C = C \, \Phi(C^{-1} \dot R \, C'^{-1})

with :math:`\Phi` the lower triangle, its diagonal halved (Murray, 2016, arXiv:1602.07527).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.linalg import solve_triangular
from scipy.stats import beta as beta_distribution

from bayeslmm.model.covariance.autocorrelation import derivatives
from bayeslmm.model.covariance.partial_correlations import (
    correlation_of,
    partials_of_factor,
    slopes_of_partials,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Where a number rounds to the end of (0, 1), the matrix is singular, or rounds to it.
_CLOSEST = 1e-9
# Pivots of a matrix that rounds to a singular one.
_SMALLEST_PIVOT = 1e-24


class OfMatrix(ABC):
    """A `CovarianceStructure` of few numbers u between 0 and 1: its partials.

    Members are frozen dataclasses that say `n_columns`, `n_partials`, `matrix`, `near` and
    `partial_shapes`.
    """

    in_unit_interval: ClassVar[bool] = True

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Q."""

    @property
    @abstractmethod
    def n_partials(self) -> int:
        """K."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """What the numbers are called: ``"rho"``, or ``"pacf"`` for several; none has no name."""

    @abstractmethod
    def matrix(self, partials: Any) -> Any:
        """Compute R, shape (..., k) -> (..., q, q), by sums and products only."""

    @abstractmethod
    def values(self, partials: Floats) -> Floats:
        """Compute what `parameters` names, shape (..., k), from the partials."""

    @abstractmethod
    def near(self, corr: Floats) -> Floats:
        """Compute partials of a matrix of this structure near `corr`, shape (..., q, q)."""

    @abstractmethod
    def partial_shapes(self, eta: float) -> Floats:
        """Return a and b of each partial's prior Beta(a, b), shape (k, 2)."""

    def correlation_shapes(self, eta: float) -> tuple[float, float]:
        """Return the shapes of the first partial."""
        a, b = self.partial_shapes(eta)[0]
        return float(a), float(b)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs (i, j), i < j, row by row below the diagonal."""
        return tuple((i, j) for j in range(self.n_columns) for i in range(j))

    @property
    def independent(self) -> tuple[tuple[int, ...], ...]:
        """All columns together."""
        return (tuple(range(self.n_columns)),)

    def correlation_factor(self, partials: Floats) -> Floats:
        """Compute C, shape (..., k) -> (..., q, q)."""
        return _cholesky(self.matrix(_inside(partials)))

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L = diag(sd) C, shapes (..., q) and (..., k) -> (..., q, q)."""
        return np.asarray(sd[..., None] * self.correlation_factor(partials))

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        """Compute the gradient in sds and partials at one point from that in L, shape (q, q)."""
        lower, C = np.tril(d_factor), self.correlation_factor(partials)
        slopes = self._factor_slopes(partials, C)
        return np.sum(lower * C, axis=-1), np.sum(slopes * lower * sd[:, None], axis=(-2, -1))

    def canonical(self, partials: Floats) -> Floats:
        """Compute the canonical partial correlations of R, shape (..., q (q - 1) / 2)."""
        return partials_of_factor(self.correlation_factor(partials))

    def pull_back_canonical(self, partials: Floats, d_canonical: Floats) -> Floats:
        """Carry a gradient in the canonical partial correlations to the partials of one point."""
        C = self.correlation_factor(partials)
        return slopes_of_partials(C, self._factor_slopes(partials, C)) @ d_canonical

    def _factor_slopes(self, partials: Floats, C: Floats) -> Floats:
        """Compute dC / du, shape (k, q, q)."""
        slopes = np.zeros((self.n_partials, *C.shape))
        for k, slope in enumerate(derivatives(self.matrix, _inside(partials))):
            inner = solve_triangular(C, slope, lower=True)
            inner = solve_triangular(C, inner.T, lower=True)
            slopes[k] = C @ (np.tril(inner) - 0.5 * np.diag(np.diag(inner)))
        return slopes

    def partials_near(self, corr: Floats) -> Floats:
        """Compute partials, from 0.025 to 0.975, of a matrix near `corr`, shape (q, q)."""
        return np.clip(self.near(np.nan_to_num(corr)), 0.025, 0.975)

    def log_prior(self, corr: Floats, eta: float) -> Floats:
        """Evaluate the log-density of the partials of matrices, (..., q, q) -> (...)."""
        a, b = self.partial_shapes(eta).T
        return np.asarray(beta_distribution.logpdf(_inside(self.near(corr)), a, b).sum(axis=-1))

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from their prior, shape (size, q, q)."""
        a, b = self.partial_shapes(eta).T
        return correlation_of(self.correlation_factor(rng.beta(a, b, (size, self.n_partials))))


def _inside(partials: Floats) -> Floats:
    return np.clip(partials, _CLOSEST, 1.0 - _CLOSEST)


def _cholesky(matrix: Floats) -> Floats:
    """Factor correlation matrices, shape (..., q, q); pivots that round to zero are nearly zero."""
    q = matrix.shape[-1]
    factor = np.zeros(matrix.shape)
    for j in range(q):
        rest = matrix[..., j:, j] - (factor[..., j:, :j] @ factor[..., j, :j, None])[..., 0]
        pivot = np.sqrt(np.maximum(rest[..., 0], _SMALLEST_PIVOT))
        factor[..., j:, j] = rest / pivot[..., None]
        factor[..., j, j] = pivot
    return factor
