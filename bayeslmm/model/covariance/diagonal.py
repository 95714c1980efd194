"""Diagonal covariance: standard deviations, and no correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@dataclass(frozen=True)
class Diagonal:
    """Uncorrelated columns: the term ``(x || g)``, G = diag(sd)^2.

    There are no partials, so C is the identity and L = diag(sd).

    Attributes
    ----------
    n_columns : int
        q.

    Examples
    --------
    >>> Diagonal(2).factor(np.array([3.0, 5.0]), np.zeros(0))
    array([[3., 0.],
           [0., 5.]])
    """

    n_columns: int

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """None."""
        return ()

    @property
    def n_partials(self) -> int:
        """Zero."""
        return 0

    @property
    def in_unit_interval(self) -> bool:
        """There are none."""
        return False

    def partial_shapes(self, eta: float) -> Floats:  # noqa: ARG002 - the protocol's
        """Return none, shape (0, 2)."""
        return np.zeros((0, 2))

    @property
    def independent(self) -> tuple[tuple[int, ...], ...]:
        """Each column by itself."""
        return tuple((j,) for j in range(self.n_columns))

    def correlation_factor(self, partials: Floats) -> Floats:
        """Return the identity, shape (..., 0) -> (..., q, q)."""
        q = self.n_columns
        return np.broadcast_to(np.eye(q), (*partials.shape[:-1], q, q))

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L = diag(sd), shapes (..., q) and (..., 0) -> (..., q, q)."""
        return np.asarray(sd[..., None] * self.correlation_factor(partials))

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002 - the protocol's
        """Return the diagonal of the gradient in L; there are no partials."""
        return np.diagonal(d_factor, axis1=-2, axis2=-1), np.zeros_like(partials)

    def partials_near(self, corr: Floats) -> Floats:  # noqa: ARG002 - the protocol's
        """Return none, shape (0,)."""
        return np.zeros(0)

    def log_prior(self, corr: Floats, eta: float) -> Floats:  # noqa: ARG002 - the protocol's
        """Return zeros, shape (...): nothing is free."""
        return np.zeros(corr.shape[:-2])

    def correlation_shapes(self, eta: float) -> tuple[float, float]:  # noqa: ARG002 - the protocol's
        """Raise: there is no correlation."""
        raise ValueError("Diagonal covariances have no correlations.")

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - the protocol's
        """Return identities, shape (size, q, q); nothing is drawn."""
        return np.tile(np.eye(self.n_columns), (size, 1, 1))
