"""From a sampler's name to what runs it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bayeslmm.direct_sampling import choose_sampler, sample_directly
from bayeslmm.nuts import sample_by_nuts
from bayeslmm.results.kept_effects import DRAWS
from bayeslmm.settings import IMPORTANCE

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.design.design import Design
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsLike
    from bayeslmm.settings import SamplerSettings


def settle_sampler(
    settings: SamplerSettings, parametrization: str, design: Design, priors: Priors
) -> tuple[SamplerSettings, str]:
    """Replace ``sampler="auto"`` by what it stands for, and say why.

    Parameters
    ----------
    settings : SamplerSettings
        As asked for.
    parametrization : str
        How the model is written.
    design : Design
        The data.
    priors : Priors
        Every prior.

    Returns
    -------
    settings : SamplerSettings
        With a sampler of its own name.
    reason : str
        For the result's record.

    Raises
    ------
    ArgumentError
        If sampler and parametrization do not go together.
    """
    name, reason = choose_sampler(settings.sampler, parametrization, design, priors)
    return dataclasses.replace(settings, sampler=name), reason


def run_sampler(
    design: Design,
    priors: Priors,
    parametrization: str,
    settings: SamplerSettings,
    *,
    effects: EffectsLike = DRAWS,
) -> xr.DataTree:
    """Sample a posterior by the sampler that `settings` names.

    Parameters
    ----------
    design, priors, parametrization, settings, effects
        As in `sampling.sample`.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.
    """
    if settings.sampler == IMPORTANCE:
        return sample_directly(design, priors, settings, effects=effects)
    return sample_by_nuts(design, priors, parametrization, settings, effects=effects)
