"""A built model in, the result tree out: NUTS on a PyMC model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.inference.graph.build import build_model, parametrization_named
from bayeslmm.inference.marginal.sd_coordinates import takes_any_positive
from bayeslmm.inference.nuts.run import SAMPLERS
from bayeslmm.inference.parametrization import MARGINAL
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.settings import (
    DEFAULT_TARGET_ACCEPT,
    MARGINAL_TARGET_ACCEPT,
    SamplerSettings,
)
from bayeslmm.results.kept_effects import DRAWS, KeptEffects

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pymc as pm
    import xarray as xr

    from bayeslmm.design.design import Design
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsLike


def sample_design(
    design: Design,
    priors: Priors,
    parametrization: str,
    settings: SamplerSettings,
    *,
    effects: EffectsLike = DRAWS,
) -> xr.DataTree:
    """Build the PyMC model of a design and sample it.

    Parameters
    ----------
    design, priors, parametrization, settings, effects
        As in `sample`.

    Returns
    -------
    xarray.DataTree
        As `sample` gives it.
    """
    model = build_model(design, priors=priors, parametrization=parametrization)
    return sample(model, design, priors, parametrization, settings, effects=effects)


def sample(
    model: pm.Model,
    design: Design,
    priors: Priors,
    parametrization: str,
    settings: SamplerSettings,
    *,
    effects: EffectsLike = DRAWS,
) -> xr.DataTree:
    """Sample a model that `build_model` built and lay the draws out as the result tree.

    Parameters
    ----------
    model : pymc.Model
        Built from `design`, `priors` and `parametrization`.
    design : Design
        The data.
    priors : Priors
        Every prior.
    parametrization : str
        How the model was written.
    settings : SamplerSettings
        How to sample.
    effects : str or mapping, default "draws"
        Which random effects to keep; see `fit_bayes`.

    Returns
    -------
    xarray.DataTree
        Posterior, sample_stats, log_prior, observed_data and constant_data; see `fit_bayes`.
    """
    marginal = parametrization == MARGINAL
    settings = settings.settled(MARGINAL_TARGET_ACCEPT if marginal else DEFAULT_TARGET_ACCEPT)
    # What cannot be kept is refused before anything is sampled.
    kept = KeptEffects.of(design, effects)
    structure = structure_key(design, priors, parametrization)
    free = SAMPLERS[settings.sampler](model, settings, structure)
    recover = parametrization_named(parametrization).recover
    return finish_tree(
        design,
        priors,
        free,
        lambda store: recover(design, priors, free.values, store),
        shape=next(iter(free.values.values())).shape[:2],
        parametrization=parametrization,
        settings=settings,
        kept=kept,
    )


def structure_key(design: Design, priors: Priors, parametrization: str) -> Hashable:
    """Name everything of a model that is compiled in; what is left enters as data."""
    factors = tuple(
        (
            factor.name,
            len(factor.levels),
            factor.blocks,
            tuple((prior.family, takes_any_positive(prior)) for prior in factor_priors.sd),
        )
        for factor, factor_priors in zip(design.factors, priors.factors, strict=True)
    )
    return (
        parametrization,
        priors.has_intercept,
        tuple(prior.family for prior in priors.beta),
        factors,
        priors.sigma.family,
        design.weights is None,
        design.offset is None,
    )
