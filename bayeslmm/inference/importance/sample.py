"""A posterior without a Markov chain: independent draws of the variance parameters, then effects.

`importance` draws from any density of a few coordinates; here the density is a model's collapsed
posterior, its scales are chosen, and the result is the same tree that NUTS gives.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm.errors import ArgumentError, SamplingWarning, warn
from bayeslmm.gram.gram import gram_of
from bayeslmm.inference.importance.algorithm import WeightedPoints, better, extend, sample_target
from bayeslmm.inference.importance.interpolated_target import (
    InterpolatedTarget,
    ReducedTarget,
    exact_seconds,
    is_dear,
    spare_evaluations,
)
from bayeslmm.inference.importance.shared_effects import recover_sparingly
from bayeslmm.inference.importance.surrogate import surrogate_suits
from bayeslmm.inference.laplace import starting_points
from bayeslmm.inference.marginal.recovery import recover_posterior
from bayeslmm.inference.marginal.target import CollapsedTarget
from bayeslmm.inference.nuts.marginal import sample_by_nuts
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.parametrization import MARGINAL, choose_parametrization
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.reweighting import MAX_PARETO_K, resample
from bayeslmm.inference.settings import AUTO, IMPORTANCE, NUTPIE
from bayeslmm.results.kept_effects import DRAWS, KeptEffects
from bayeslmm.results.write import FreeDraws, sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsLike, EffectsStore

# Points per draw: most draws then come from points of their own.
_POINTS_PER_DRAW = 2
# With fewer points the tail of the weights has too few for k-hat to tell.
_FEWEST_POINTS = 4000
# Where each costs a dense factorization and nothing can be interpolated: so many points, or what
# so many seconds give.
_DEAR_POINTS, _PATIENCE = 1000, 30.0
# Draws of the prior that look for modes elsewhere.
_SCOUTS = 1000
# Beyond so many columns of the border a value takes a millisecond, and points are spared.
_LARGEST_QUICK_BORDER = 60
# A posterior sd of log sd above this says that zero is not far.
_NEAR_ZERO = 0.4
# Up to so many coordinates every reference model had k-hat below 0.5; each further one costs
# effective draws.
MOST_COORDINATES = 12
LARGEST_BORDER = 200


def choose_sampler(
    name: str, parametrization: str, design: Design, priors: Priors
) -> tuple[str, str]:
    """Turn ``"auto"`` into a sampler, and say why.

    Parameters
    ----------
    name : str
        A sampler, or ``"auto"``.
    parametrization : str
        How the model is written.
    design : Design
        The model.
    priors : Priors
        Its priors.

    Returns
    -------
    name : str
        The sampler.
    reason : str
        For the result's record.

    Raises
    ------
    ArgumentError
        For importance sampling of a model whose effects are not integrated out.
    """
    check_combination(name, parametrization)
    if name != AUTO:
        return name, "asked for"
    if parametrization != MARGINAL:
        return NUTPIE, f"the {parametrization} form has too many parameters for anything but NUTS"
    size, border = CollapsedTarget(gram_of(design), priors).size, gram_of(design).plan.n_border
    if size > MOST_COORDINATES:
        return NUTPIE, f"{size} parameters are left, more than {MOST_COORDINATES}"
    if border > LARGEST_BORDER:
        if unsuited := surrogate_suits(gram_of(design)):
            return NUTPIE, f"one density factors a dense matrix of {border} columns, and {unsuited}"
        return IMPORTANCE, (
            f"one density factors a dense matrix of {border} columns, and a few of them are enough "
            "to interpolate the rest"
        )
    return IMPORTANCE, (
        f"only {size} parameters are left once the effects are integrated out, at most "
        f"{MOST_COORDINATES}, and one density factors a dense matrix of {border} columns, at most "
        f"{LARGEST_BORDER}"
    )


def check_combination(name: str, parametrization: str) -> None:
    """Refuse importance sampling of a model whose effects are not integrated out.

    Parameters
    ----------
    name : str
        A sampler.
    parametrization : str
        How the model is written, or ``"auto"``.

    Raises
    ------
    ArgumentError
        With what to add.
    """
    if name == IMPORTANCE and parametrization not in (MARGINAL, AUTO_PARAMETRIZATION):
        raise ArgumentError(
            f"sampler='importance' draws from the posterior with the effects integrated out, and "
            f"parametrization={parametrization!r} keeps them: add parametrization='marginal'."
        )


def sample_directly(
    design: Design, priors: Priors, settings: SamplerSettings, *, effects: EffectsLike = DRAWS
) -> xr.DataTree:
    """Sample a model's posterior by importance sampling, or by NUTS where that fails.

    Parameters
    ----------
    design : Design
        The data.
    priors : Priors
        Every prior.
    settings : SamplerSettings
        Chains, draws and seed; tuning has no meaning here.
    effects : str or mapping, default "draws"
        Which random effects to keep; see `fit_bayes`.

    Returns
    -------
    xarray.DataTree
        As `fit_bayes` describes it. ``sample_stats`` holds per draw ``lp`` (log posterior density
        of the coordinates), ``log_weight`` (of the point it is a copy of) and ``point`` (that
        point's number); its attributes ``pareto_k``, ``ess_weights``, ``log_evidence``,
        ``coordinates``, ``proposal``, ``n_points`` and ``n_evaluations``. Where one density is
        dear (`reduced_target.is_dear`), ``surrogate`` says whether densities were interpolated,
        or why not, ``effects_points`` from how many factorizations the effects come, and
        ``surrogate_...`` how accurate the interpolation is (`sparing.recover_sparingly`).

    Warns
    -----
    SamplingWarning
        Where k-hat is 0.7 or more, and NUTS was used instead.
    """
    asked = settings.target_accept
    settings = settings.settled()
    kept = KeptEffects.of(design, effects)
    started = time.perf_counter()
    # Quantiles of extreme priors overflow on the way; what is left of them is weighed.
    with np.errstate(all="ignore"):
        target, found = weigh_posterior(design, priors, settings)
    if not found.usable:
        settings = dataclasses.replace(settings, target_accept=asked)
        return _sample_by_nuts(design, priors, settings, effects, found.pareto_k)
    shape = (settings.chains, settings.draws)
    rng = np.random.default_rng([settings.random_seed or 0, 3])
    places = resample(found.weights, rng, shape[0] * shape[1])
    draws = target.unpack(found.points[places].reshape(*shape, -1))
    stats = _sample_stats(target, found, places.reshape(shape))

    def recover(store: EffectsStore) -> Mapping[str, NDArray[np.float64]]:
        if not isinstance(target, ReducedTarget):
            return recover_posterior(gram_of(design), priors, draws, store)
        posterior, about = recover_sparingly(target, found.points[places], draws, store, settings)
        stats.attrs |= about
        return posterior

    free = FreeDraws({}, stats, 0.0, time.perf_counter() - started)
    return finish_tree(
        design,
        priors,
        free,
        recover,
        shape=shape,
        parametrization=MARGINAL,
        settings=settings,
        kept=kept,
    )


def weigh_posterior(
    design: Design, priors: Priors, settings: SamplerSettings
) -> tuple[CollapsedTarget, WeightedPoints]:
    """Draw weighted points of a model's collapsed posterior, on the scale that suits it best.

    Parameters
    ----------
    design : Design
        The data.
    priors : Priors
        Every prior.
    settings : SamplerSettings
        Chains, draws and seed.

    Returns
    -------
    target : CollapsedTarget
        With the scales that were chosen.
    found : WeightedPoints
        Usable or not.
    """
    rng = np.random.default_rng([settings.random_seed or 0, 2])
    target = CollapsedTarget(gram_of(design), priors)
    quick = gram_of(design).plan.n_border <= _LARGEST_QUICK_BORDER
    if is_dear(target.gram):
        target = spare_evaluations(target, rng, threads=settings.cores or 1)
        quick = quick or isinstance(target, InterpolatedTarget)
    asked = settings.chains * settings.draws * (_POINTS_PER_DRAW if quick else 1)
    count = max(asked, _FEWEST_POINTS if quick else _DEAR_POINTS)
    if isinstance(target, ReducedTarget) and not isinstance(target, InterpolatedTarget):
        affordable = int(_PATIENCE / exact_seconds(target.gram))
        count = max(_DEAR_POINTS, min(count, affordable))
    found = _weigh(target, count, rng, several=quick)
    if not found.good and (folded := _near_zero(target, found)):
        other = target.with_folded(folded)
        again = _weigh(other, count, rng, several=quick)
        spent = found.n_evaluations + again.n_evaluations
        if better(again, found):
            target, found = other, again
        found = dataclasses.replace(found, n_evaluations=spent)
    if found.usable and quick and found.effective_size < 0.5 * settings.chains * settings.draws:
        found = extend(target, found, 3 * count, rng)
    return target, found


def _weigh(
    target: CollapsedTarget, count: int, rng: np.random.Generator, *, several: bool
) -> WeightedPoints:
    # An interpolation is good around the mode that it was built at, and only there.
    if isinstance(target, InterpolatedTarget):
        return sample_target(target, *target.start(), count, rng)
    starts, units = starting_points(target, several=several)
    scouts = target.point(target.prior_draws(_SCOUTS, rng)) if several else None
    return sample_target(target, starts, units, count, rng, scouts=scouts)


def _near_zero(target: CollapsedTarget, found: WeightedPoints) -> tuple[int, ...]:
    """List the standard deviations whose posterior reaches towards zero."""
    if not len(found.points):
        return target.foldable
    columns = found.points[:, list(target.foldable)]
    mean = found.weights @ columns
    spread = np.sqrt(found.weights @ np.square(columns - mean))
    return tuple(k for k, sd in zip(target.foldable, spread, strict=True) if sd > _NEAR_ZERO)


def _sample_stats(target: CollapsedTarget, found: WeightedPoints, places: Any) -> xr.Dataset:
    with np.errstate(divide="ignore"):
        log_weights = np.log(found.weights)
    per_draw = {"lp": found.log_density[places], "log_weight": log_weights[places], "point": places}
    stats = xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in per_draw.items()},
        coords=sample_coordinates(places.shape),
    )
    stats.attrs = {
        "pareto_k": found.pareto_k,
        "ess_weights": found.effective_size,
        "log_evidence": found.log_evidence,
        "coordinates": list(target.names),
        "proposal": found.how,
        "n_points": len(found.points),
        "n_evaluations": found.n_evaluations,
    }
    return stats


def _sample_by_nuts(
    design: Design, priors: Priors, settings: SamplerSettings, effects: EffectsLike, k: float
) -> xr.DataTree:
    why = (
        f"importance sampling had k-hat {k:.2f}, and weights can be used below {MAX_PARETO_K}"
        if np.isfinite(k)
        else "importance sampling found no mode that its draws could stand for"
    )
    warn(
        f"The posterior was sampled by NUTS: {why}. Its diagnostics are those of any NUTS fit; "
        "sampler='nutpie' asks for it at once.",
        SamplingWarning,
    )
    by_nuts = dataclasses.replace(settings, sampler=NUTPIE)
    # Gradients of a large border are dearer than the steps that they would save.
    parametrization, _ = choose_parametrization(AUTO_PARAMETRIZATION, design)
    tree = sample_by_nuts(design, priors, parametrization, by_nuts, effects=effects)
    tree.attrs["sampler_reason"] = why
    return tree
