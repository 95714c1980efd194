"""Unstructured covariance: standard deviations and any correlation matrix, under LKJ priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.covariance.partial_correlations import (
    correlation_factor,
    partial_correlations_of,
    partial_shape_offsets,
    pull_back_partials,
)
from bayeslmm.model.priors.lkj import draw_lkj, lkj_log_density, lkj_marginal_shape

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@dataclass(frozen=True)
class Unstructured:
    r"""Any positive-definite G: the term ``(x | g)``.

    .. math:: G = diag(s) \, C C' \, diag(s), \quad
              C_{ij} = z_{ij} \prod_{k<j} \sqrt{1 - z_{ik}^2}, \quad
              C_{ii} = \prod_{k<i} \sqrt{1 - z_{ik}^2}

    with a canonical partial correlation :math:`z_{ij}` for each pair of columns.

    Attributes
    ----------
    n_columns : int
        q; a single column has no correlation.

    References
    ----------
    Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
    doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    >>> L = Unstructured(2).factor(np.array([3.0, 5.0]), np.array([0.8]))
    >>> L.round(12)
    array([[3., 0.],
           [4., 3.]])
    >>> (L @ L.T).round(12)
    array([[ 9., 12.],
           [12., 25.]])
    """

    n_columns: int

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs (i, j), i < j, row by row below the diagonal."""
        return tuple((i, j) for j in range(self.n_columns) for i in range(j))

    @property
    def n_partials(self) -> int:
        """One per pair of columns."""
        return self.n_columns * (self.n_columns - 1) // 2

    @property
    def in_unit_interval(self) -> bool:
        """Canonical partial correlations lie in (-1, 1)."""
        return False

    def partial_shapes(self, eta: float) -> Floats:
        """Return eta + (q - 2 - i) / 2 for the pair (i, j), twice: see `partial_shape_offsets`."""
        shapes = eta + partial_shape_offsets(self.n_columns)
        return np.column_stack([shapes, shapes])

    @property
    def independent(self) -> tuple[tuple[int, ...], ...]:
        """All columns together."""
        return (tuple(range(self.n_columns)),)

    def correlation_factor(self, partials: Floats) -> Floats:
        """Compute C from canonical partial correlations, shape (..., k) -> (..., q, q)."""
        return correlation_factor(partials, self.n_columns)

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L = diag(sd) C, shapes (..., q) and (..., k) -> (..., q, q)."""
        return np.asarray(sd[..., None] * self.correlation_factor(partials))

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        """Compute the gradient in standard deviations and partials from that in L, (..., q, q).

        Examples
        --------
        >>> at = np.array([3.0, 0.0]), np.array([0.8])
        >>> d_sd, d_partials = Unstructured(2).pull_back(*at, np.ones((2, 2)))
        >>> d_sd.round(12), d_partials  # no division by the sd of zero
        (array([1. , 1.4]), array([0.]))
        """
        lower = np.tril(d_factor)
        d_sd = np.sum(lower * self.correlation_factor(partials), axis=-1)
        return d_sd, pull_back_partials(partials, lower * sd[..., None])

    def partials_near(self, corr: Floats) -> Floats:
        """Compute canonical partial correlations of a matrix shrunk a little towards identity."""
        return partial_correlations_of(corr)

    def log_prior(self, corr: Floats, eta: float) -> Floats:
        """Evaluate LKJ's log-density at correlation matrices, shape (..., q, q) -> (...)."""
        return lkj_log_density(corr, eta)

    def correlation_shapes(self, eta: float) -> tuple[float, float]:
        """Return eta + (q - 2) / 2, twice."""
        a = lkj_marginal_shape(self.n_columns, eta)
        return a, a

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from LKJ(eta), shape (size, q, q)."""
        return draw_lkj(self.n_columns, eta, size, rng)
