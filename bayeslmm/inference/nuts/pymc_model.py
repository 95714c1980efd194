"""A built model in, the result tree out: NUTS on a PyMC model."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.graph.build import parametrization_named
from bayeslmm.inference.marginal.sd_coordinates import has_positive_support
from bayeslmm.inference.nuts.run import SAMPLERS
from bayeslmm.inference.parametrization import NONCENTERED
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.settings import (
    CAREFUL_TARGET_ACCEPT,
    SamplerSettings,
)
from bayeslmm.results.kept_effects import KeptEffects

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pymc as pm
    import xarray as xr

    from bayeslmm.model.model import Model
    from bayeslmm.results.write import UnconstrainedDraws


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
    asked, settings = settings.target_accept, settings.resolved()
    # What cannot be kept is refused before anything is sampled.
    kept = KeptEffects.of(model.design, settings.effects)
    structure = structure_key(model, settings.parametrization)
    free = SAMPLERS[settings.sampler](graph, settings, structure)
    diverged = int(free.stats["diverging"].sum())
    if diverged and asked is None and settings.parametrization == NONCENTERED:
        settings, free = _sample_carefully(graph, settings, structure, free, diverged)
    recover = parametrization_named(settings.parametrization).recover
    return finish_tree(
        model,
        free,
        lambda store: recover(model, free.values, store),
        shape=next(iter(free.values.values())).shape[:2],
        settings=settings,
        kept=kept,
    )


def _sample_carefully(
    graph: pm.Model,
    settings: SamplerSettings,
    structure: Hashable,
    first: UnconstrainedDraws,
    diverged: int,
) -> tuple[SamplerSettings, UnconstrainedDraws]:
    """Sample once more with smaller steps after draws diverged, unless the user interrupted."""
    shape = next(iter(first.values.values())).shape[:2]
    if shape != (settings.chains, settings.draws):
        return settings, first
    quick = settings.target_accept
    settings = dataclasses.replace(settings, target_accept=CAREFUL_TARGET_ACCEPT)
    again = SAMPLERS[settings.sampler](graph, settings, structure)
    again.stats.attrs["target_accept_reason"] = (
        f"{diverged} draws diverged at {quick}, so that all were drawn once more at "
        f"{CAREFUL_TARGET_ACCEPT}"
    )
    return settings, again


def structure_key(model: Model, parametrization: str) -> Hashable:
    """Name everything of a model that is compiled in; what is left enters as data."""
    design, priors = model.design, model.priors
    factors = tuple(
        (
            factor.name,
            len(factor.levels),
            factor_priors.covariance.members,
            (factor_priors.shift.columns, factor_priors.shift.sizes),
            factor.arms,
            tuple((prior.family, has_positive_support(prior)) for prior in factor_priors.sd),
        )
        for factor, factor_priors in zip(
            (*design.factors, *model.sigma_factors), priors.all_factors, strict=True
        )
    )
    return (
        parametrization,
        model.family.name,
        model.family.link.name,
        residual_key(model),
        priors.has_intercept,
        (priors.intercepts, _stack_key(model)),
        tuple(prior.family for prior in priors.beta),
        factors,
        tuple((name, prior.family) for name, prior in priors.parameters.items()),
        design.coded_rows.known is None if design.has_rows else True,
        design.offset is None,
    )


def _stack_key(model: Model) -> Hashable:
    """Name what of several responses, or categories, is compiled in: how many rows each has."""
    stack = model.design.stack
    if stack is None:
        return None
    return tuple((name, part.n) for name, part in zip(stack.names, stack.parts, strict=True))


def residual_key(model: Model) -> Hashable:
    """Name what of the residuals' structure is compiled in: which rows stand beside which."""
    rows = model.design.residual
    if rows is None:
        return "independent"
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in rows.arrays())
    return model.structured_residual.name, hashlib.sha256(content).hexdigest()
