"""The posterior of the variance parameters as a function of real coordinates, without PyMC.

The collapsed likelihood (effects integrated out) plus the priors plus the volume that the
coordinates change: what an optimiser or a sampler in plain Python works on.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.arrays import for_kernels
from bayeslmm.gram.border.sparse.density import At, density_sparsely
from bayeslmm.gram.reduction import log_densities
from bayeslmm.inference.marginal.coordinate_priors import CoordinatePriors
from bayeslmm.inference.marginal.recovery import MarginalDraws
from bayeslmm.kernels.linked_density import linked_density
from bayeslmm.model.covariance.compiled import (
    compiled_form,
    covariance_table,
    pull_back_compiled,
)
from bayeslmm.model.priors.fixed_effects import integrates_beta, normal_prior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.model.priors.priors import Priors


class MarginalTarget(CoordinatePriors):
    r"""An unnormalised posterior density of real coordinates; its integral is the evidence.

    .. math:: \log p(y \mid \theta(x)) + \log p(\theta(x)) + \log |d\theta / dx|

    with every constant in place. Coordinates come in this order: the standard deviations factor
    by factor; the canonical partial correlations (by atanh) factor by factor, row by row; sigma;
    and, where their priors are not all normal, the fixed effects of centered columns (else they
    are integrated out). What depends on the data is a function of `packed` and sigma (and beta)
    only; a stand-in for the density may replace that part and keep the rest.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior of the same model.
    folded : sequence of int
        Positions of the standard deviations whose coordinate is folded (`coordinates`) instead
        of a logarithm. Only priors with support from zero and finite density there allow it; see
        `foldable`.

    Attributes
    ----------
    gram : Gram
    priors : Priors
    coordinates : tuple of Coordinate
        One per coordinate, with names and scales.
    n_sds, n_partials : int
        How many of them are standard deviations and partial correlations.
    integrated : bool
        Whether the fixed effects are integrated out.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.gram.gram import gram_of
    >>> table = bl.load_dataset("sleepstudy")
    >>> design = bl.build_design("Reaction ~ Days + (Days | Subject)", table)
    >>> target = MarginalTarget(gram_of(design), bl.resolve_priors(design))
    >>> target.names[:2], target.names[3]
    (('log sd_Subject[Intercept]', 'log sd_Subject[Days]'), 'log sigma')
    >>> target.names[2]
    'atanh partial_corr_Subject[0]'
    >>> target.log_density(np.array([[3.2, 1.7, 0.1, 3.2]])).round(3).tolist()
    [-887.341]
    """

    def __init__(self, gram: Gram, priors: Priors, folded: Sequence[int] = ()) -> None:
        self.gram, self.integrated = gram, integrates_beta(priors)
        fixed = [] if self.integrated else list(zip(priors.coef, priors.beta, strict=True))
        super().__init__(priors, [(names.SIGMA, priors.sigma)], fixed, folded)
        mean, precision = _beta_prior(priors, self.integrated)
        self._compiles = all(factor.covariance.compiles for factor in priors.factors)
        p = len(priors.coef)
        self._beta_prior = (
            for_kernels("the prior mean of beta", mean, np.float64, (p,)),
            for_kernels("the prior precision of beta", precision, np.float64, (p, p)),
        )

    @cached_property
    def data(self) -> tuple[Ints, Floats, Ints, Floats, Floats]:
        """What the likelihood is computed from: plan, table of blocks, prior of fixed effects."""
        table = covariance_table(factor.covariance for factor in self.priors.factors)
        return (
            for_kernels("the plan's integers", self.gram.plan.ints, np.int64, (None,)),
            for_kernels("the plan's floats", self.gram.plan.floats, np.float64, (None,)),
            for_kernels("the table of blocks", table, np.int64, (None,)),
            *self._beta_prior,
        )

    def with_folded(self, folded: Sequence[int]) -> MarginalTarget:
        """Return the same posterior with the coordinates of these sds folded, no others."""
        return MarginalTarget(self.gram, self.priors, folded)

    def unpack(self, points: Floats) -> MarginalDraws:
        """Return the parameters at points, shape (..., size), by their kinds and factors."""
        sds, partials, sigma, beta = self._parts(self.parameters(points))
        widths = [factor.covariance.n_sds for factor in self.priors.factors]
        counts = [factor.covariance.n_partials for factor in self.priors.factors]
        return MarginalDraws(
            _split(sds, widths), _split(partials, counts), sigma, None if self.integrated else beta
        )

    def packed(self, points: Floats) -> Floats:
        """Return the packed relative factors Lambda at points (s, size), shape (s, n_lambda).

        As `likelihood.pack_factors` lays them out: diag(sds) C / sigma, factor after factor.
        """
        draws = self.unpack(points)
        parts = [np.zeros((len(points), 0))]
        for factor, sd, partials in zip(
            self.priors.factors, draws.sds, draws.partials, strict=True
        ):
            lam = factor.covariance.factor(sd, partials) / draws.sigma[..., None, None]
            parts.append(lam.reshape(len(points), factor.covariance.n_columns**2))
        return np.concatenate(parts, axis=1)

    def log_likelihood(self, points: Floats) -> Floats:
        """Compute log p(y | parameters) at points (s, size), shape (s,)."""
        draws = self.unpack(points)
        return log_densities(
            self.gram, self.packed(points), draws.sigma, beta=draws.beta, prior=self._beta_prior
        )

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density and its gradient at one point, shape (size,).

        At zero a folded coordinate gets the derivative from its non-negative side.
        """
        point = np.ascontiguousarray(point, dtype=np.float64)
        with np.errstate(all="ignore"):
            sds, partials, sigma, beta = self._parts(self.parameters(point))
            found = self._sparsely if self.gram.by_nodes else self._compiled
            value, d_sds, d_partials, d_sigma, d_beta = found(sds, partials, float(sigma), beta)
            if not self.integrated:
                d_beta = self.priors.centered_slope(d_beta)
            slopes = np.concatenate([d_sds, d_partials, [d_sigma], d_beta])
            return self.with_priors(point, value, slopes)

    def _compiled(
        self, sds: Floats, partials: Floats, sigma: float, beta: Floats
    ) -> tuple[float, Floats, Floats, float, Floats]:
        """Evaluate the likelihood and its slopes by compiled code."""
        columns, canonical = self._compiled_form(sds, partials)
        value, d_sds, d_partials, d_sigma, d_beta = linked_density(
            *self.data[:3],
            for_kernels("the sds", columns, np.float64, (None,)),
            for_kernels("the partial correlations", canonical, np.float64, (None,)),
            sigma,
            for_kernels("beta", beta, np.float64, (None,)),
            *self._beta_prior,
        )
        return value, *self._pull_back_compiled(partials, d_sds, d_partials), d_sigma, d_beta

    def _sparsely(
        self, sds: Floats, partials: Floats, sigma: float, beta: Floats
    ) -> tuple[float, Floats, Floats, float, Floats]:
        """Evaluate the likelihood and its slopes by a sparse factor of all effects."""
        known = [
            (factor.covariance, sd, own, factor.covariance.factor(sd, own))
            for factor, sd, own in self._by_factor(sds, partials)
        ]
        lams = [root / sigma for _, _, _, root in known]
        given = None if self.integrated else beta
        value, slopes = density_sparsely(self.gram, At(lams, sigma, given, *self._beta_prior))
        d_sds, d_partials, d_sigma = [np.zeros(0)], [np.zeros(0)], slopes.sigma
        for (covariance, sd, own, root), d_lam in zip(known, slopes.lams, strict=True):
            d_sd, d_own = covariance.pull_back(sd, own, d_lam / sigma)
            d_sds.append(d_sd)
            d_partials.append(d_own)
            d_sigma -= float(np.sum(d_lam * root)) / sigma**2
        d_beta = np.zeros(0) if self.integrated else slopes.beta
        return value, np.concatenate(d_sds), np.concatenate(d_partials), d_sigma, d_beta

    def _by_factor(self, sds: Floats, partials: Floats) -> zip[tuple[FactorPriors, Floats, Floats]]:
        factors = self.priors.factors
        return zip(
            factors,
            _split(sds, [factor.covariance.n_sds for factor in factors]),
            _split(partials, [factor.covariance.n_partials for factor in factors]),
            strict=True,
        )

    def _compiled_form(self, sds: Floats, partials: Floats) -> tuple[Floats, Floats]:
        """Return what compiled code knows G by: an sd for each column, and canonical partials."""
        if self._compiles:
            return sds, partials
        forms = [
            compiled_form(factor.covariance, sd, own)
            for factor, sd, own in self._by_factor(sds, partials)
        ]
        return np.concatenate([sd for sd, _ in forms]), np.concatenate([own for _, own in forms])

    def _pull_back_compiled(
        self, partials: Floats, d_sds: Floats, d_canonical: Floats
    ) -> tuple[Floats, Floats]:
        """Carry a gradient in `_compiled_form` to the parameters."""
        if self._compiles:
            return d_sds, d_canonical
        out, column, pair = [], 0, 0
        for factor, _, own in self._by_factor(np.zeros(self.n_sds), partials):
            covariance = factor.covariance
            q, n_pairs = covariance.n_columns, covariance.n_canonical
            out.append(
                pull_back_compiled(
                    covariance,
                    own,
                    d_sds[column : column + q],
                    d_canonical[pair : pair + n_pairs],
                )
            )
            column, pair = column + q, pair + n_pairs
        return np.concatenate([sd for sd, _ in out]), np.concatenate([own for _, own in out])

    def _parts(self, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Split parameters (..., size) into sds, partials, sigma and beta on the original scale."""
        a, b = self.n_sds, self.n_sds + self.n_partials
        beta = values[..., b + 1 :]
        return (
            values[..., :a],
            values[..., a:b],
            values[..., b],
            beta if self.integrated else self.priors.raw_beta(beta),
        )


def _beta_prior(priors: Priors, integrated: bool) -> tuple[Floats, Floats]:
    if integrated:
        return normal_prior(priors)
    p = len(priors.coef)
    return np.zeros(p), np.zeros((p, p))


def _split(values: Floats, widths: Sequence[int]) -> list[Floats]:
    return np.split(values, np.cumsum(widths)[:-1], axis=-1) if widths else []
