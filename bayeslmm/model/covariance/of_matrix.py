r"""`OfMatrix`: structures of few numbers between 0 and 1, from which the factor C follows.

.. math:: C = C(u), \quad u \in (0, 1)^k, \qquad R = C C'

Derivatives are taken by a step along the imaginary axis, so that one hand writes C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy

from bayeslmm import names
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


class OfMatrix(ABC):
    """A `CovarianceStructure` of few numbers u between 0 and 1: its partials.

    Members are frozen dataclasses that say `n_columns`, `unit_factor`, `values`, `near` and
    `partial_shapes`, and `n_partials` and `parameters` where these are not one correlation.
    """

    in_unit_interval: ClassVar[bool] = True

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns, q."""

    @property
    def n_partials(self) -> int:
        """Number of partials, k: one, unless a member says otherwise."""
        return 1

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the numbers are called, where they have names: one correlation, ``"rho"``."""
        return (names.RHO,)

    @abstractmethod
    def unit_factor(self, partials: Any) -> Any:
        """Compute C, shape (..., k) -> (..., q, q), of real or complex numbers, or of tensors."""

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
        return np.asarray(self.unit_factor(_inside(partials)))

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L = diag(sd) C, shapes (..., q) and (..., k) -> (..., q, q)."""
        return np.asarray(sd[..., None] * self.correlation_factor(partials))

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        """Compute the gradient in sds and partials at one point from that in L, shape (q, q)."""
        lower, C = np.tril(d_factor), self.correlation_factor(partials)
        slopes = self._factor_slopes(partials)
        return np.sum(lower * C, axis=-1), np.sum(slopes * lower * sd[:, None], axis=(-2, -1))

    def canonical(self, partials: Floats) -> Floats:
        """Compute the canonical partial correlations of R, shape (..., q (q - 1) / 2)."""
        return partials_of_factor(self.correlation_factor(partials))

    def pull_back_canonical(self, partials: Floats, d_canonical: Floats) -> Floats:
        """Carry a gradient in the canonical partial correlations to the partials of one point."""
        C = self.correlation_factor(partials)
        return slopes_of_partials(C, self._factor_slopes(partials)) @ d_canonical

    def _factor_slopes(self, partials: Floats) -> Floats:
        """Compute dC / du, shape (k, q, q)."""
        return derivatives(self.unit_factor, _inside(partials))

    def partials_near(self, corr: Floats) -> Floats:
        """Compute partials, from 0.025 to 0.975, of a matrix near `corr`, shape (q, q)."""
        return np.clip(self.near(np.nan_to_num(corr)), 0.025, 0.975)

    def log_prior(self, corr: Floats, eta: float) -> Floats:
        """Evaluate the log-density of the partials of matrices, (..., q, q) -> (...)."""
        a, b = self.partial_shapes(eta).T
        return np.asarray(scipy.stats.beta.logpdf(_inside(self.near(corr)), a, b).sum(axis=-1))

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from their prior, shape (size, q, q)."""
        a, b = self.partial_shapes(eta).T
        return correlation_of(self.correlation_factor(rng.beta(a, b, (size, self.n_partials))))


@dataclass(frozen=True)
class OfSize(OfMatrix):
    """A structure of any two or more columns.

    Attributes
    ----------
    size : int
        q.
    """

    size: int

    @property
    def n_columns(self) -> int:
        """Number of columns, q."""
        return self.size


def _inside(partials: Floats) -> Floats:
    return np.clip(partials, _CLOSEST, 1.0 - _CLOSEST)
