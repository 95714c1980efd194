"""The log posterior of standard deviations, correlations, family parameters and fixed effects."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.parameters import free_columns_to_kernels, pull_back
from bayeslmm.inference.marginal.coordinate_priors import CoordinatePriors
from bayeslmm.model.family_numbers import number_priors
from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.split import level_likelihood

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bayeslmm.arrays import Floats
    from bayeslmm.model.model import Model


class QuadratureTarget(CoordinatePriors):
    r"""An unnormalised posterior density of real coordinates; its integral is the evidence.

    .. math:: \log p(y \mid L(x), \beta(x), \phi(x)) + \log p(\theta(x)) + \log |d\theta / dx|

    with the effects of the model's one grouping factor integrated out (`LevelLikelihood`).
    Coordinates come in this order: standard deviations; the partial correlation (by atanh), if
    there is one; the family's parameters, or coefficients of their predictors; the fixed effects,
    all coefficients those of centered columns.

    Parameters
    ----------
    model : Model
        With one grouping factor of one or two columns, see `why_not`.
    n_nodes : int
        Nodes for each column.
    threads : int
        Values that are computed side by side.
    folded : sequence of int
        See `CoordinatePriors`.

    Attributes
    ----------
    likelihood : LevelLikelihood
    n_phi : int
        How many coordinates are the family's parameters, or coefficients of their predictors.
    """

    def __init__(
        self, model: Model, n_nodes: int, threads: int = 1, folded: Sequence[int] = ()
    ) -> None:
        priors, self.threads = model.priors, threads
        parameters = number_priors(model)
        fixed = list(zip(priors.coef, priors.beta, strict=True))
        super().__init__(priors, parameters, fixed, folded)
        self.n_phi, self.covariance = len(parameters), priors.factors[0].covariance
        self.family, self.turned = model.family, model.family.response.ordered
        self.likelihood = level_likelihood(model.design.coded_rows, priors.centers, n_nodes)

    def with_nodes(self, n_nodes: int) -> Self:
        """Return the same posterior by another number of nodes."""
        other = copy.copy(self)
        other.likelihood = self.likelihood.with_nodes(n_nodes)
        return other

    def given(self, points: Floats) -> Points:
        """Return what stands at coordinates, shape (s, size); fixed effects of centered columns."""
        return self._given(self.parameters(points))

    def _given(self, values: Floats) -> Points:
        a, b = self.n_sds, self.n_sds + self.n_partials
        L = self.covariance.factor(values[:, :a], values[:, a:b])
        phi = free_columns_to_kernels(self.family, values[:, b : b + self.n_phi])
        return Points(L, values[:, b + self.n_phi :], phi)

    def log_likelihood(self, points: Floats) -> Floats:
        """Compute log p(y | parameters) at points (s, size), shape (s,)."""
        return self.likelihood.values(self.given(points), threads=self.threads)

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density and its gradient at one point, shape (size,)."""
        point = np.ascontiguousarray(point, dtype=np.float64)
        with np.errstate(all="ignore"):
            values = self.parameters(point)
            value, slopes = self.likelihood.value_and_slopes(self._given(values[None]))
            a, b = self.n_sds, self.n_sds + self.n_partials
            d_sds, d_partials = self.covariance.pull_back(values[:a], values[a:b], slopes.L)
            d_phi = pull_back(self.family, values[b : b + self.n_phi], slopes.phi)
            parts = [d_sds, d_partials, d_phi, slopes.beta]
            return self.with_priors(point, value, np.concatenate(parts))
