"""A built model in, the result tree out: NUTS, the contract, and whether to trust the draws."""

from __future__ import annotations

import json
import platform
import warnings
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import bayeslmm
from bayeslmm import names
from bayeslmm.diagnostics import assess
from bayeslmm.errors import SamplingWarning
from bayeslmm.fingerprint import fingerprint
from bayeslmm.graph import parametrization_named
from bayeslmm.samplers import SAMPLERS, FreeDraws, SamplerSettings

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pymc as pm
    from numpy.typing import NDArray

    from bayeslmm.design import Design
    from bayeslmm.prior_set import Priors

_PACKAGES = ("arviz", "formulaic", "numba", "numpy", "nutpie", "pymc", "pytensor", "xarray")


def sample(
    model: pm.Model,
    design: Design,
    priors: Priors,
    parametrization: str,
    settings: SamplerSettings,
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

    Returns
    -------
    xarray.DataTree
        Posterior, sample_stats, log_prior, observed_data and constant_data; see `fit_bayes`.
    """
    settings = settings.settled()
    structure = structure_key(design, priors, parametrization)
    free = SAMPLERS[settings.sampler](model, settings, structure)
    posterior = parametrization_named(parametrization).recover(design, priors, free.values)
    tree = build_tree(design, priors, posterior, free)
    tree.attrs |= {"parametrization": parametrization, "sampler": settings.sampler}
    tree.attrs |= {
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
) -> xr.DataTree:
    """Lay draws and data out in the groups, variables and coordinates of the contract."""
    shape = posterior[names.SIGMA].shape[:2]
    sample_coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    log_prior = {
        name: (("chain", "draw"), value) for name, value in priors.log_densities(posterior).items()
    }
    stats = free.stats.copy()
    stats.attrs = {"compile_time": free.compile_time, "sampling_time": free.sampling_time}
    rows = {names.OBS: np.arange(len(design.y))}
    observed = {names.stored(design.response): (names.OBS, design.y)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": _posterior_dataset(design, posterior, sample_coords),
            "sample_stats": stats,
            "log_prior": xr.Dataset(log_prior, coords=sample_coords),
            "observed_data": xr.Dataset(observed, coords=rows),
            "constant_data": xr.Dataset(_constant_data(design), coords=rows),
        }
    )
    tree.attrs = {
        "bayeslmm_version": bayeslmm.__version__,
        "formula": str(design.formula),
        "response": names.stored(design.response),
        "priors": priors.to_json(),
        "design": design.state.to_json(levels=False),
        "versions": json.dumps(
            {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
        ),
        "data_fingerprint": fingerprint(design),
    }
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


def _posterior_dataset(
    design: Design,
    posterior: Mapping[str, NDArray[np.float64]],
    sample_coords: Mapping[str, NDArray[np.int64]],
) -> xr.Dataset:
    dims: dict[str, tuple[str, ...]] = {names.BETA: (names.COEF,), names.SIGMA: ()}
    coords: dict[str, Any] = {**sample_coords, names.COEF: list(design.coef)}
    for factor in design.factors:
        level, term = names.level_dim(factor.name), names.term_dim(factor.name)
        bis = names.term_dim_bis(factor.name)
        dims[names.sd(factor.name)] = (term,)
        dims[names.corr(factor.name)] = (term, bis)
        dims[names.effects(factor.name)] = (level, term)
        coords |= {level: factor.levels, term: list(factor.terms)}
        if names.corr(factor.name) in posterior:
            coords[bis] = list(factor.terms)
    order = [name for name in dims if name in posterior]
    variables = {name: (("chain", "draw", *dims[name]), posterior[name]) for name in order}
    return xr.Dataset(variables, coords=coords)


def _constant_data(design: Design) -> dict[str, Any]:
    constant: dict[str, Any] = {}
    for name, column in design.data.items():
        categories = getattr(column, "categories", None)
        values = np.asarray(column)
        if values.dtype == object:
            values = values.astype(str)
        attrs = {} if categories is None else {"categories": [str(c) for c in categories]}
        constant[names.stored(name)] = (names.OBS, values, attrs)
    for name, given in (("weights", design.weights), ("offset", design.offset)):
        if given is not None:
            constant[name] = (names.OBS, given)
    return constant
