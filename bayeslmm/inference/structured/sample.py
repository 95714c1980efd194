"""A posterior with a residual structure: weighted independent draws, then the effects; or NUTS."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.structured.structured_gram import RowGram
from bayeslmm.inference.importance.algorithm import nothing_unknown, sample_target
from bayeslmm.inference.importance.weigh import (
    extend_to,
    sample_stats,
    weigh_on_best_scales,
    why_unusable,
)
from bayeslmm.inference.nuts.sample import take_over
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.parametrization import LARGEST_FAST_BORDER, MARGINAL
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.reweighting import resample
from bayeslmm.inference.structured.recovery import recover_posterior
from bayeslmm.inference.structured.start import starting_points, steps
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.inference.importance.algorithm import WeightedPoints
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model

# Points per draw, and the fewest whose weights have a tail to speak of.
_POINTS_PER_DRAW, _FEWEST_POINTS = 2, 4000
# Draws of the prior that look for modes elsewhere.
_EXPLORATORY_POINTS = 500
# The same where a value may take a pass over the rows.
_FEW_EXPLORATORY_POINTS = 50
# With more coordinates independent proposals are worth too little: unstructured covariances of four
# visits in two arms (20 coordinates) and of eight visits (36) had k-hat 0.35 and 0.31, and an
# effective draw from nine and from twelve points.
MOST_COORDINATES = 40
EXACT = "independent draws, weighted by the exact density of what the effects leave, and resampled"


def structured_suits(model: Model, settings: SamplerSettings) -> tuple[bool, str]:
    """Return whether ``sampler="auto"`` should weigh draws of a model with a residual structure."""
    if why := _only_nuts(model, settings):
        return False, why
    target = StructuredTarget(model)
    if why := _too_many(target):
        return False, why
    border = target.products.plan.n_border
    if border <= LARGEST_FAST_BORDER:
        return True, "effects are integrated out exactly, whatever the residuals' covariance"
    dense = f"one density factors a dense matrix of {border} columns"
    if settings.parametrization == AUTO_PARAMETRIZATION and model.design.has_rows:
        return False, (
            f"{dense}, more than {LARGEST_FAST_BORDER}, and beside a residual structure densities "
            "are not interpolated"
        )
    return True, f"{dense}, and NUTS with the effects integrated out factors it more often"


def _only_nuts(model: Model, settings: SamplerSettings) -> str:
    """Say why nothing but NUTS does what is asked for; nothing where weighted draws could."""
    if model.sigma_factors:
        return "sigma has random effects of its own, which only NUTS draws"
    if settings.parametrization not in (MARGINAL, AUTO_PARAMETRIZATION):
        return f"the {settings.parametrization} form keeps the effects as parameters"
    if settings.target_accept is not None:
        return "target_accept was given, and only NUTS has an acceptance rate"
    return ""


def _too_many(target: StructuredTarget) -> str:
    """Say that a target has too many coordinates for weights; nothing where it has not."""
    if target.size <= MOST_COORDINATES:
        return ""
    return (
        f"{target.size} parameters are left, too many for independent draws "
        f"(at most {MOST_COORDINATES})"
    )


def sample_structured(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample a model's posterior by weighted draws, or by NUTS where these cannot be used.

    The tree is that of `sample_directly`.

    Parameters
    ----------
    model : Model
        With a residual structure.
    settings : SamplerSettings
        Chains, draws and seed.

    Warns
    -----
    SamplingWarning
        Where NUTS was used instead: k-hat is 0.7 or more, there are too many parameters, or no
        mode was found.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.
    """
    kept = KeptEffects.of(model.design, settings.effects)
    asked, settings = settings, settings.resolved()
    started = time.perf_counter()
    target = StructuredTarget(model, settings.cores or 1)
    if why := _too_many(target):
        return take_over(model, asked, why)
    with np.errstate(all="ignore"), single_blas_thread():
        target, found = _weigh(target, settings)
    if not found.usable:
        asked = dataclasses.replace(asked, random_seed=settings.random_seed)
        return take_over(model, asked, why_unusable(found))
    shape = (settings.chains, settings.draws)
    rng = np.random.default_rng([settings.random_seed or 0, 3])
    places = resample(found.weights, rng, shape[0] * shape[1]).reshape(shape)
    stats = sample_stats(target.names, found, places)
    free = UnconstrainedDraws({}, stats, 0.0, time.perf_counter() - started)
    points = found.points[places]
    tree = finish_tree(
        model, free, lambda store: recover_posterior(target, points, store),
        shape=shape, settings=settings, kept=kept,
    )  # fmt: skip
    tree.attrs |= {"engine": settings.sampler, "exact": EXACT} | target.products.attributes
    return tree


def _weigh(
    target: StructuredTarget, settings: SamplerSettings
) -> tuple[StructuredTarget, WeightedPoints]:
    rng = np.random.default_rng([settings.random_seed or 0, 2])
    draws = settings.chains * settings.draws
    count = max(_POINTS_PER_DRAW * draws, _FEWEST_POINTS)
    if not target.size:
        # Known standard errors, no random effects, normal priors: the posterior is normal.
        return target, nothing_unknown(target, count)
    by_rows = isinstance(target.products.gram, RowGram)
    exploring = _FEW_EXPLORATORY_POINTS if by_rows else _EXPLORATORY_POINTS
    start = starting_points(target)
    parameters = [target.parameters(point) for point in start.points]

    def weigh(scaled: StructuredTarget) -> WeightedPoints:
        # Folding changes the steps of the standard deviations alone.
        units = np.concatenate([steps(scaled)[: scaled.n_sds], start.units[scaled.n_sds :]])
        return sample_target(
            scaled,
            [scaled.point(values) for values in parameters],
            units,
            count,
            rng,
            exploratory=scaled.point(scaled.prior_draws(exploring, rng)),
        )

    best, found = weigh_on_best_scales(target, weigh)
    return best, extend_to(best, found, draws, count, rng)
