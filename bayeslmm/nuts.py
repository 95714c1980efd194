"""NUTS by the shortest way: on the collapsed posterior without a PyMC model, else with one.

For the former nothing is compiled for the model at hand, and PyMC is not imported. A PyMC model of
the same posterior (`graph.marginal`) remains for those who sample or extend it themselves, for
PyMC's own sampler, and for priors that the compiled posterior does not know.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.collapsed_target import CollapsedTarget
from bayeslmm.compiled_target import bent_target, compile_target, compiles
from bayeslmm.gram.gram import gram_of
from bayeslmm.parametrization import MARGINAL
from bayeslmm.recovery import recover_posterior
from bayeslmm.result import finish_tree
from bayeslmm.results.kept_effects import DRAWS, KeptEffects
from bayeslmm.results.write import FreeDraws
from bayeslmm.room import require_marginal_border
from bayeslmm.samplers import run_compiled
from bayeslmm.settings import MARGINAL_TARGET_ACCEPT, NUTPIE

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.design.design import Design
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsLike
    from bayeslmm.settings import SamplerSettings


def sample_by_nuts(
    design: Design,
    priors: Priors,
    parametrization: str,
    settings: SamplerSettings,
    *,
    effects: EffectsLike = DRAWS,
) -> xr.DataTree:
    """Sample a posterior by NUTS.

    Parameters
    ----------
    design, priors, parametrization, settings, effects
        As in `sampling.sample`.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.
    """
    if parametrization == MARGINAL and settings.sampler == NUTPIE:
        names.check(design.response, design.coef, [factor.name for factor in design.factors])
        target = CollapsedTarget(gram_of(design), priors)
        if compiles(target):
            return sample_collapsed(design, target, settings, effects=effects)
    # PyMC takes seconds to import: only those who sample with it wait for it.
    from bayeslmm.sampling import sample_design  # noqa: PLC0415

    return sample_design(design, priors, parametrization, settings, effects=effects)


def sample_collapsed(
    design: Design,
    target: CollapsedTarget,
    settings: SamplerSettings,
    *,
    effects: EffectsLike = DRAWS,
) -> xr.DataTree:
    """Sample a model's posterior by NUTS in its variance parameters, then draw the effects.

    Parameters
    ----------
    design : Design
        The data.
    target : CollapsedTarget
        The posterior of its variance parameters; one that `compiles`.
    settings : SamplerSettings
        How to sample.
    effects : str or mapping, default "draws"
        Which random effects to keep; see `fit_bayes`.

    Returns
    -------
    xarray.DataTree
        As `sampling.sample` gives it.
    """
    kept = KeptEffects.of(design, effects)
    settings = settings.settled(MARGINAL_TARGET_ACCEPT)
    gram, priors = target.gram, target.priors
    require_marginal_border(design, gram)
    started = time.perf_counter()
    target, starts = bent_target(target)
    compiled = compile_target(target, starts)
    compile_time = time.perf_counter() - started
    points, stats, sampling_time = run_compiled(compiled, settings)
    draws = target.unpack(points)
    free = FreeDraws({}, stats, compile_time, sampling_time)
    return finish_tree(
        design,
        priors,
        free,
        lambda store: recover_posterior(gram, priors, draws, store),
        shape=draws.sigma.shape,
        parametrization=MARGINAL,
        settings=settings,
        kept=kept,
    )
