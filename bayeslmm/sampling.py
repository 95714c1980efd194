"""A built model in, the result tree out: NUTS, the contract, and whether to trust the draws."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.diagnostics import assess
from bayeslmm.errors import SamplingWarning
from bayeslmm.graph import parametrization_named
from bayeslmm.kept_effects import DRAWS, EffectsStore, KeptEffects
from bayeslmm.samplers import SAMPLERS, FreeDraws, SamplerSettings
from bayeslmm.tree_layout import (
    data_groups,
    draws_dataset,
    moments_dataset,
    root_attributes,
    sample_coordinates,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pymc as pm
    from numpy.typing import NDArray

    from bayeslmm.design import Design
    from bayeslmm.kept_effects import EffectsLike
    from bayeslmm.prior_set import Priors


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
    settings = settings.settled()
    kept = KeptEffects.of(design, effects)
    structure = structure_key(design, priors, parametrization)
    free = SAMPLERS[settings.sampler](model, settings, structure)
    # A stream of its own, so that effects drawn after sampling do not repeat the chains' numbers.
    rng = np.random.default_rng([settings.random_seed or 0, 1])
    chains, draws = next(iter(free.values.values())).shape[:2]
    store = EffectsStore(design, kept, (chains, draws), rng=rng, progressbar=settings.progressbar)
    posterior = parametrization_named(parametrization).recover(design, priors, free.values, store)
    tree = build_tree(design, priors, posterior, free, store)
    tree.attrs |= {
        "parametrization": parametrization,
        "sampler": settings.sampler,
        "random_seed": settings.random_seed,
        "settings": json.dumps({k: v for k, v in asdict(settings).items() if k != "progressbar"}),
    }
    warn_if_doubtful(tree)
    return tree


def build_tree(
    design: Design,
    priors: Priors,
    posterior: Mapping[str, NDArray[np.float64]],
    free: FreeDraws,
    store: EffectsStore,
) -> xr.DataTree:
    """Lay draws and data out in the groups, variables and coordinates of the contract."""
    sample_coords = sample_coordinates(posterior[names.SIGMA].shape)
    log_prior = {
        name: (("chain", "draw"), value) for name, value in priors.log_densities(posterior).items()
    }
    stats = free.stats.copy()
    stats.attrs = {"compile_time": free.compile_time, "sampling_time": free.sampling_time}
    groups = {
        "posterior": draws_dataset(design, {**posterior, **store.posterior()}, store.levels()),
        "sample_stats": stats,
        "log_prior": xr.Dataset(log_prior, coords=sample_coords),
        **data_groups(design),
    }
    if moments := store.moments():
        groups["effects_moments"] = moments_dataset(design, moments)
    if kept_in_part := store.kept_in_part():
        groups[names.FITTED_LEVELS] = xr.Dataset(coords=kept_in_part)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = root_attributes(design, priors)
    return tree


def warn_if_doubtful(tree: xr.DataTree) -> None:
    """Warn, with advice, when diagnostics say that the draws should not be trusted as they are."""
    problems = assess(tree)
    if problems:
        text = "\n".join(f"- {problem.message} {problem.advice}" for problem in problems)
        warnings.warn(
            f"These draws should not be trusted as they are:\n{text}", SamplingWarning, stacklevel=4
        )


def structure_key(design: Design, priors: Priors, parametrization: str) -> Hashable:
    """Name everything of a model that is compiled in; what is left enters as data."""
    factors = tuple(
        (
            factor.name,
            len(factor.levels),
            factor.blocks,
            tuple(prior.family for prior in factor_priors.sd),
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
