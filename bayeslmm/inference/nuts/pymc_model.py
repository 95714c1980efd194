"""A built model in, the result tree out: NUTS on a PyMC model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.inference.graph.build import parametrization_named
from bayeslmm.inference.marginal.sd_coordinates import has_positive_support
from bayeslmm.inference.nuts.run import SAMPLERS
from bayeslmm.inference.parametrization import MARGINAL
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.settings import (
    DEFAULT_TARGET_ACCEPT,
    MARGINAL_TARGET_ACCEPT,
    SamplerSettings,
)
from bayeslmm.results.kept_effects import KeptEffects

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pymc as pm
    import xarray as xr

    from bayeslmm.model.model import Model


def sample_graph(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Build the PyMC model of a model and sample it.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        How to sample; its parametrization is how the PyMC model is written.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.
    """
    graph = parametrization_named(settings.parametrization).build(model)
    return sample(graph, model, settings)


def sample(graph: pm.Model, model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample a PyMC model that was built of a model and lay the draws out as the result tree.

    Parameters
    ----------
    graph : pymc.Model
        Built of `model` in the settings' parametrization.
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        How to sample.

    Returns
    -------
    xarray.DataTree
        Posterior, sample_stats, log_prior, observed_data and constant_data; see `fit_bayes`.
    """
    marginal = settings.parametrization == MARGINAL
    settings = settings.resolved(MARGINAL_TARGET_ACCEPT if marginal else DEFAULT_TARGET_ACCEPT)
    # What cannot be kept is refused before anything is sampled.
    kept = KeptEffects.of(model.design, settings.effects)
    structure = structure_key(model, settings.parametrization)
    free = SAMPLERS[settings.sampler](graph, settings, structure)
    recover = parametrization_named(settings.parametrization).recover
    return finish_tree(
        model,
        free,
        lambda store: recover(model, free.values, store),
        shape=next(iter(free.values.values())).shape[:2],
        settings=settings,
        kept=kept,
    )


def structure_key(model: Model, parametrization: str) -> Hashable:
    """Name everything of a model that is compiled in; what is left enters as data."""
    design, priors = model.design, model.priors
    factors = tuple(
        (
            factor.name,
            len(factor.levels),
            factor_priors.covariance.members,
            tuple((prior.family, has_positive_support(prior)) for prior in factor_priors.sd),
        )
        for factor, factor_priors in zip(design.factors, priors.factors, strict=True)
    )
    return (
        parametrization,
        model.family.name,
        model.residual.name,
        priors.has_intercept,
        tuple(prior.family for prior in priors.beta),
        factors,
        priors.sigma.family,
        design.weights is None,
        design.offset is None,
    )
