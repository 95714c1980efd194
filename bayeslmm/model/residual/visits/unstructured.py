"""`AnyCorrelation`: the correlation matrix of few visits, without a structure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.partial_correlations import (
    correlation_factor,
    correlation_of,
    partial_shape_offsets,
    partials_of_factor,
    pull_back_partials,
)
from bayeslmm.model.residual.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats

# A correlation that residuals of one group often have.
_USUAL = 0.5


@dataclass(frozen=True, eq=False)
class AnyCorrelation:
    r"""Any positive-definite C, by canonical partial correlations under an LKJ prior.

    Attributes
    ----------
    visits : tuple of str
        Labels of the visits.

    References
    ----------
    Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
    doi:10.1016/j.jmva.2009.04.008
    """

    visits: tuple[str, ...]
    stationary: bool = False

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The matrix, under the prior that is flat over all correlation matrices."""
        offsets = tuple(map(float, partial_shape_offsets(len(self.visits))))
        return (Entry(names.CORR_RESIDUAL, None, -1.0, 1.0, "LKJ(1)", partials=offsets),)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Those of the matrix."""
        return {names.CORR_RESIDUAL: (names.RESIDUAL_TIME, names.RESIDUAL_TIME_BIS)}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The visits, twice."""
        return {names.RESIDUAL_TIME: self.visits, names.RESIDUAL_TIME_BIS: self.visits}

    @property
    def times(self) -> Floats:
        """Numbers of the visits."""
        return np.arange(float(len(self.visits)))

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Compute the matrix."""
        factor = correlation_factor(theta, len(self.visits))
        return {names.CORR_RESIDUAL: correlation_of(factor)}

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Compute canonical partial correlations."""
        return partials_of_factor(np.linalg.cholesky(variables[names.CORR_RESIDUAL]))

    def starts(self, theta: Floats) -> list[Floats]:
        """Return what is given, and the partials of equal correlations."""
        equal = [_USUAL / (1.0 + j * _USUAL) for i in range(len(self.visits)) for j in range(i)]
        return [theta, np.array(equal)]

    def correlations(self, theta: Floats, times: Floats) -> Floats:
        """Return C of some visits."""
        at = times.astype(np.int64)
        matrix = self.variables(theta)[names.CORR_RESIDUAL]
        return matrix[..., at[:, None], at[None, :]]

    def pull_back(self, theta: Floats, d_matrix: Floats) -> Floats:
        """Carry the gradient through C = F F'."""
        factor = correlation_factor(theta, len(self.visits))
        return pull_back_partials(theta, np.tril(2.0 * d_matrix @ factor))
