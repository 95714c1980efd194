"""The result tree of one fit, and whether its draws are to be trusted; from any sampler."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import SamplingWarning, warn
from bayeslmm.results.diagnostics import assess
from bayeslmm.results.kept_effects import EffectsStore
from bayeslmm.results.write import (
    build_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import KeptEffects
    from bayeslmm.results.write import FreeDraws


def finish_tree(
    design: Design,
    priors: Priors,
    free: FreeDraws,
    recover: Callable[[EffectsStore], Mapping[str, NDArray[np.float64]]],
    *,
    shape: tuple[int, int],
    parametrization: str,
    settings: SamplerSettings,
    kept: KeptEffects,
) -> xr.DataTree:
    """Draw what the sampler did not, and lay everything out as the result tree.

    Parameters
    ----------
    design : Design
        The data.
    priors : Priors
        Every prior.
    free : FreeDraws
        What the sampler gave.
    recover : callable
        Puts the random effects in the store and gives the posterior's other variables.
    shape : (int, int)
        Chains and draws.
    parametrization : str
        How the model was written.
    settings : SamplerSettings
        As they were used.
    kept : KeptEffects
        Which random effects to keep.

    Returns
    -------
    xarray.DataTree
        As `build_tree` gives it, with the run's attributes.

    Warns
    -----
    SamplingWarning
        See `warn_if_doubtful`.
    """
    # A stream of its own, so that effects drawn after sampling do not repeat the chains' numbers.
    rng = np.random.default_rng([settings.random_seed or 0, 1])
    store = EffectsStore(design, kept, shape, rng=rng, progressbar=settings.progressbar)
    tree = build_tree(design, priors, recover(store), free, store)
    tree.attrs |= run_attributes(parametrization, settings)
    warn_if_doubtful(tree)
    return tree


def run_attributes(parametrization: str, settings: SamplerSettings) -> dict[str, Any]:
    """Write how a tree was sampled, for its root attributes.

    Parameters
    ----------
    parametrization : str
        How the model was written.
    settings : SamplerSettings
        As they were used.

    Returns
    -------
    dict
        Numbers and text that every file format can hold.
    """
    shown = {key: value for key, value in asdict(settings).items() if key != "progressbar"}
    return {
        "parametrization": parametrization,
        "sampler": settings.sampler,
        "random_seed": settings.random_seed,
        "settings": json.dumps(shown),
    }


def warn_if_doubtful(tree: xr.DataTree) -> None:
    """Warn, with advice, when diagnostics say that the draws should not be trusted as they are.

    Parameters
    ----------
    tree : DataTree
        A result.

    Warns
    -----
    SamplingWarning
        At the line outside the package that asked for the fit.
    """
    problems = assess(tree)
    if problems:
        text = "\n".join(f"- {problem.message} {problem.advice}" for problem in problems)
        warn(f"These draws should not be trusted as they are:\n{text}", SamplingWarning)
