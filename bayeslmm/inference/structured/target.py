"""The log posterior of standard deviations, correlations and the residuals' parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.marginal.coordinate_priors import CoordinatePriors
from bayeslmm.kernels.densities import DENSITY
from bayeslmm.kernels.structured.density import structured_density
from bayeslmm.model.priors.fixed_effects import integrates_beta, normal_prior
from bayeslmm.model.residual.entry import coordinates

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.model.model import Model


class StructuredTarget(CoordinatePriors):
    r"""An unnormalised posterior density of real coordinates; its integral is the evidence.

    .. math:: \log p(y \mid G(x), R(x)) + \log p(\theta(x)) + \log |d\theta / dx|

    with the random effects, and the fixed effects where their priors are normal, integrated out.
    Coordinates come in this order: standard deviations; partial correlations (by atanh); the
    residuals' parameters, scale before correlation; and, where their priors are not all normal,
    the fixed effects of centered columns.

    Parameters
    ----------
    model : Model
        With a residual structure.
    threads : int
        Values that are computed side by side.

    Attributes
    ----------
    model : Model
    n_phi : int
        How many coordinates are the residuals' parameters.
    integrated : bool
        Whether the fixed effects are integrated out.
    """

    def __init__(self, model: Model, threads: int = 1) -> None:
        priors, self.model, self.threads = model.priors, model, threads
        structure = model.structured_residual
        self.integrated = integrates_beta(priors)
        own = [priors.parameters[entry.name] for entry in structure.entries]
        fixed = [] if self.integrated else list(zip(priors.coef, priors.beta, strict=True))
        super().__init__(priors, coordinates(structure.entries, own), fixed)
        self.n_phi = structure.size
        self.products = model.products
        p = len(priors.coef)
        flat = np.zeros(p), np.zeros((p, p))
        self.beta_prior = normal_prior(priors) if self.integrated else flat

    def parts(self, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Split parameters (..., size) into sds, partials, phi and beta on the original scale."""
        a, b = self.n_sds, self.n_sds + self.n_partials
        c = b + self.n_phi
        beta = values[..., c:]
        return (
            values[..., :a],
            values[..., a:b],
            values[..., b:c],
            beta if self.integrated else self.priors.raw_beta(beta),
        )

    def packed(self, sds: Floats, partials: Floats) -> Floats:
        """Return packed factors L_k of G_k, shape (s, n_lambda)."""
        parts, at, pair = [np.zeros((len(sds), 0))], 0, 0
        for factor in self.priors.factors:
            covariance = factor.covariance
            m, k = covariance.n_sds, covariance.n_partials
            L = covariance.factor(sds[:, at : at + m], partials[:, pair : pair + k])
            parts.append(L.reshape(len(sds), -1))
            at, pair = at + m, pair + k
        return np.concatenate(parts, axis=1)

    def log_likelihood(self, points: Floats) -> Floats:
        """Compute log p(y | parameters) at points (s, size), shape (s,)."""
        sds, partials, phi, beta = self.parts(self.parameters(points))
        lams = self.packed(sds, partials)
        return self.products.log_densities(phi, lams, beta, self.beta_prior, self.threads)

    def log_density_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density and its gradient at one point, shape (size,)."""
        point = np.ascontiguousarray(point, dtype=np.float64)
        with np.errstate(all="ignore"):
            sds, partials, phi, beta = self.parts(self.parameters(point))
            value, d_lam, d_floats, d_beta, _ = structured_density(
                self.products.plan.ints,
                self.products.floats(phi),
                self.packed(sds[None], partials[None])[0],
                beta,
                *self.beta_prior,
                DENSITY,
            )
            d_sds, d_partials = self._pull_back_factors(sds, partials, d_lam)
            d_phi = self.products.pull_back(phi, d_floats)
            if not self.integrated:
                d_beta = self.priors.centered_slope(d_beta)
            slopes = np.concatenate([d_sds, d_partials, d_phi, d_beta])
            return self.with_priors(point, value, slopes)

    def _pull_back_factors(
        self, sds: Floats, partials: Floats, d_lam: Floats
    ) -> tuple[Floats, Floats]:
        d_sds, d_partials, at, pair, entry = np.zeros(len(sds)), np.zeros(len(partials)), 0, 0, 0
        for factor in self.priors.factors:
            covariance = factor.covariance
            q, m, k = covariance.n_columns, covariance.n_sds, covariance.n_partials
            d_factor = np.tril(d_lam[entry : entry + q * q].reshape(q, q))
            own, pairs = slice(at, at + m), slice(pair, pair + k)
            d_sds[own], d_partials[pairs] = covariance.pull_back(
                sds[own], partials[pairs], d_factor
            )
            at, pair, entry = at + m, pair + k, entry + q * q
        return d_sds, d_partials
