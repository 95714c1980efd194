"""Effects drawn back exactly: from draws of the variance parameters to every posterior variable.

Whatever sampled the variance parameters, beta and the random effects follow from their joint
normal conditional; nothing here knows a sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.gram.likelihood import draw_effects
from bayeslmm.inference.result import each_batch
from bayeslmm.model.priors.fixed_effects import normal_prior

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsStore


# Random effects drawn at a time: 32 million numbers are 256 MB.
_BATCH_VALUES = 32_000_000


@dataclass(frozen=True)
class MarginalDraws:
    """Draws of the parameters that are left once the effects are integrated out.

    Attributes
    ----------
    sds : sequence of ndarray, shapes (..., n_sds)
        Standard deviations of each factor's random effects, in the design's order.
    partials : sequence of ndarray, shapes (..., n_partials)
        Partials of each factor's covariance; no columns where it has none.
    sigma : ndarray, shape (...)
        Residual standard deviation.
    beta : ndarray, shape (..., p), optional
        Fixed effects on the original scale, where their priors did not let them be integrated.
    """

    sds: Sequence[Floats]
    partials: Sequence[Floats]
    sigma: Floats
    beta: Floats | None = None


def recover_posterior(
    gram: Gram, priors: Priors, draws: MarginalDraws, store: EffectsStore
) -> dict[str, Floats]:
    r"""Return the posterior's variables: the effects by exact draws from their conditional.

    .. math:: \beta \mid y, G, \sigma \sim N, \quad
              b \mid y, \beta, G, \sigma \sim N

    with the moments of `likelihood.conditional`.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior; those of the fixed effects enter the conditional.
    draws : MarginalDraws
        Leading dimensions (chain, draw).
    store : EffectsStore
        Takes the random effects, and has the generator.

    Returns
    -------
    dict of str to ndarray, shapes (chain, draw, ...)
        ``sigma``, ``sd_<factor>``, ``corr_<factor>`` and ``beta`` (not for a model without fixed
        effects), by the contract's names.
    """
    sigma = draws.sigma
    result, packed = variance_variables(priors, draws)
    given = None if draws.beta is None else draws.beta.reshape(sigma.size, -1)
    point = (packed, sigma.ravel(), given)
    beta = _draw_in_batches(gram, priors, point, store)
    if priors.coef:
        result[names.BETA] = beta.reshape(*sigma.shape, -1)
    return result


def recover_effects(
    gram: Gram,
    priors: Priors,
    variances: Mapping[str, Floats],
    store: EffectsStore,
    beta: Floats | None = None,
) -> Floats:
    """Draw the effects from their conditional, given draws of the variance parameters by name.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior; those of the fixed effects must be normal where `beta` is not given.
    variances : mapping of str to ndarray, shapes (chain, draw, ...)
        ``sigma``, ``sd_<factor>``, and ``corr_<factor>`` where there are correlations.
    store : EffectsStore
        Takes the random effects, and has the generator.
    beta : ndarray, shape (chain, draw, p), optional
        Fixed effects on the original scale, where they were drawn.

    Returns
    -------
    ndarray, shape (chain, draw, p)
        The fixed effects: those given, or draws.
    """
    sigma = variances[names.SIGMA]
    packed = packed_factors(priors, variances, sigma.size) / sigma.reshape(-1, 1)
    given = None if beta is None else beta.reshape(sigma.size, -1)
    point = (packed, sigma.ravel(), given)
    return _draw_in_batches(gram, priors, point, store).reshape(*sigma.shape, -1)


def packed_factors(priors: Priors, variances: Mapping[str, Floats], size: int) -> Floats:
    """Return packed factors L_k of G_k from draws of the variance parameters by name.

    Parameters
    ----------
    priors : Priors
        Every prior.
    variances : mapping of str to ndarray, shapes (chain, draw, ...)
        ``sd_<factor>``, and ``corr_<factor>`` where there are correlations.
    size : int
        Number of draws of all chains.

    Returns
    -------
    ndarray, shape (size, n_lambda)
        In the response's unit.
    """
    packed = [np.zeros((size, 0))]
    for factor in priors.factors:
        sd = variances[factor.covariance.sd_name]
        root = np.eye(sd.shape[-1])
        if factor.covariance.has_correlations:
            # Rounding leaves a correlation of nearly one no root of its own.
            jitter = 1e-14 * root
            root = np.linalg.cholesky(variances[factor.covariance.corr_name] + jitter)
        packed.append((sd[..., None] * root).reshape(size, -1))
    return np.concatenate(packed, axis=1)


def variance_variables(priors: Priors, draws: MarginalDraws) -> tuple[dict[str, Floats], Floats]:
    """Name the parameters that were drawn, and give their relative factors.

    Parameters
    ----------
    priors : Priors
        Every prior.
    draws : MarginalDraws
        Leading dimensions (chain, draw).

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        ``sigma``, ``sd_<factor>`` and ``corr_<factor>``, by the contract's names.
    packed : ndarray, shape (chain * draw, n_lambda)
        As `likelihood.pack_factors` lays them out.
    """
    sigma = draws.sigma
    result: dict[str, Floats] = {names.SIGMA: sigma}
    packed = [np.zeros((sigma.size, 0))]
    for factor, sd, partials in zip(priors.factors, draws.sds, draws.partials, strict=True):
        covariance = factor.covariance
        result |= covariance.variables(sd, partials)
        lam = covariance.factor(sd, partials) / sigma[..., None, None]
        packed.append(lam.reshape(sigma.size, -1))
    return result, np.concatenate(packed, axis=1)


def _draw_in_batches(
    gram: Gram,
    priors: Priors,
    point: tuple[Floats, Floats, Floats | None],
    store: EffectsStore,
) -> Floats:
    """Draw beta and the effects for all draws, in batches that bound the memory; return beta."""
    packed, sigma, given = point
    mean, precision = (None, None) if given is not None else normal_prior(priors)
    count = max(1, min(len(sigma), _BATCH_VALUES // max(gram.n_effects, 1)))
    batches = range(0, len(sigma), count)
    betas = []
    for first in each_batch(batches, progressbar=store.progressbar):
        rows = slice(first, first + count)
        fixed = None if given is None else given[rows]
        beta, effects = draw_effects(
            gram, packed[rows], sigma[rows], store.rng, precision, mean, fixed_effects=fixed
        )
        betas.append(beta)
        store.add(effects)
    return np.concatenate(betas)
