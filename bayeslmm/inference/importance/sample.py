"""A posterior without a Markov chain: independent draws of the variance parameters, then effects.

`importance` draws from any density of a few coordinates; here the density is a model's collapsed
posterior, its scales are chosen, and the result is the same tree that NUTS gives.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.choice import DENSE, SPARSE, choose_border
from bayeslmm.inference.importance.algorithm import WeightedPoints, sample_target
from bayeslmm.inference.importance.interpolated_target import (
    InterpolatedTarget,
    ReducedTarget,
    exact_seconds,
    interpolate_posterior,
    is_expensive,
)
from bayeslmm.inference.importance.shared_effects import recover_effects_by_cell
from bayeslmm.inference.importance.surrogate import crossed_suits, surrogate_suits
from bayeslmm.inference.importance.weigh import (
    extend_to,
    sample_stats,
    weigh_on_best_scales,
    why_unusable,
)
from bayeslmm.inference.laplace import starting_points
from bayeslmm.inference.marginal.recovery import recover_posterior
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.nuts.sample import take_over
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.parametrization import MARGINAL
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.reweighting import resample
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.gram.border.choice import Border
    from bayeslmm.gram.gram import Gram
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import EffectsStore

# Points per draw: most draws then come from points of their own.
_POINTS_PER_DRAW = 2
# With fewer points the tail of the weights has too few for k-hat to tell.
_FEWEST_POINTS = 4000
# Where each costs a dense factorization and nothing can be interpolated: so many points, or what
# so many seconds give.
_EXPENSIVE_POINTS, _PATIENCE = 1000, 30.0
# Draws of the prior that look for modes elsewhere.
_EXPLORATORY_POINTS = 1000
# Beyond so many columns of the border a value takes a millisecond, and points are spared.
_LARGEST_QUICK_BORDER = 60
# Up to so many coordinates every reference model had k-hat below 0.5; each further one costs
# effective draws.
MOST_COORDINATES = 12
LARGEST_BORDER = 200
# NUTS that is done in so many seconds for each parameter that is left, by the count below, is not
# replaced: it is the better known method, and the more parameters, the fewer independent draws are
# worth.
QUICK_SECONDS = 1.5
# Gradients a draw, and densities that one gradient costs: medians of the reference models.
_GRADIENTS_PER_DRAW, _DENSITIES_PER_GRADIENT = 5.0, 1.5


@dataclass(frozen=True)
class ImportanceSampling:
    """Independent draws of the variance parameters, weighted exactly; see `Method`.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.
    """

    parametrizations: tuple[str, ...] = (MARGINAL,)

    def suits(self, model: Model, settings: SamplerSettings) -> tuple[bool, str]:
        """Return whether NUTS would take long, few parameters are left, and densities will do."""
        if model.family.gaussian_scale is None:
            return False, ""
        if model.design.residual is not None:
            from bayeslmm.inference.structured.sample import structured_suits  # noqa: PLC0415

            return structured_suits(model, settings)
        if why := _nuts_is_asked_for(settings):
            return False, why
        border = choose_border(model.gram, settings.border, sparse=True)
        if border.method != DENSE or model.gram.by_nodes:
            return (_can_factor if model.gram.by_nodes else _can_iterate)(model, border)
        seconds = nuts_seconds(model.gram, settings)
        cost = f"NUTS takes about {seconds:.2g} s of one core, by the size of the model"
        size = MarginalTarget(model.gram, model.priors).size
        if seconds <= QUICK_SECONDS * size:
            return False, cost
        can, why = _can_weigh(model, size)
        return can, f"{cost}, and {why}" if can else why

    def fit(self, model: Model, settings: SamplerSettings) -> xr.DataTree:
        """Sample a model's posterior, by NUTS where the weights are not good enough."""
        if model.design.residual is not None:
            from bayeslmm.inference.structured.sample import sample_structured  # noqa: PLC0415

            return sample_structured(model, settings)
        border = choose_border(model.gram, settings.border, sparse=True)
        if border.method != DENSE and not model.gram.by_nodes:
            from bayeslmm.inference.importance.crossed.sample import (  # noqa: PLC0415
                sample_crossed,
            )

            return sample_crossed(model, settings, border.method)
        return sample_directly(model, settings)


def _nuts_is_asked_for(settings: SamplerSettings) -> str:
    if settings.parametrization not in (MARGINAL, AUTO_PARAMETRIZATION):
        written = settings.parametrization
        return f"the {written} form has too many parameters for anything but NUTS"
    if settings.target_accept is not None:
        return "target_accept was given, and only NUTS has an acceptance rate"
    return ""


def _can_iterate(model: Model, border: Border) -> tuple[bool, str]:
    """Return whether a few densities without a dense matrix interpolate the rest, and why."""
    size = MarginalTarget(model.gram, model.priors).size
    if size > MOST_COORDINATES:
        left = "parameters are left, too many for independent draws"
        return False, f"{size} {left} (at most {MOST_COORDINATES})"
    if unsuited := crossed_suits(model.gram):
        return False, f"{border.reason}, and {unsuited}"
    if border.method == SPARSE:
        return True, f"{border.reason}, and forms no dense matrix"
    return True, f"{border.reason}, and iterations form no dense matrix"


def _can_factor(model: Model, border: Border) -> tuple[bool, str]:
    """Return whether few enough parameters are left for independent draws, and why."""
    size = MarginalTarget(model.gram, model.priors).size
    if size > MOST_COORDINATES:
        left = "parameters are left, too many for independent draws"
        return False, f"{size} {left} (at most {MOST_COORDINATES})"
    return True, f"{border.reason}: a density takes {1e3 * exact_seconds(model.gram):.2g} ms"


def _can_weigh(model: Model, size: int) -> tuple[bool, str]:
    """Return whether few parameters are left and densities are quick or interpolable, and why."""
    border = model.gram.n_border
    if size > MOST_COORDINATES:
        left = "parameters are left, too many for independent draws"
        return False, f"{size} {left} (at most {MOST_COORDINATES})"
    if border <= LARGEST_BORDER:
        return True, f"only {size} parameters are left once the effects are integrated out"
    dense = f"one density factors a dense matrix of {border} columns"
    if unsuited := surrogate_suits(model.gram):
        return False, f"{dense}, and {unsuited}"
    return True, f"a few densities, of a dense matrix of {border} columns, interpolate the rest"


def nuts_seconds(gram: Gram, settings: SamplerSettings) -> float:
    """Estimate what NUTS on the marginal posterior costs.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    settings : SamplerSettings
        Chains, draws and tuning steps.

    Returns
    -------
    float
        Seconds of one core, by counting (`exact_seconds`), so that every machine chooses alike.
    """
    gradients = settings.chains * (settings.tune + settings.draws) * _GRADIENTS_PER_DRAW
    return gradients * _DENSITIES_PER_GRADIENT * exact_seconds(gram)


def sample_directly(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample a model's posterior by importance sampling, or by NUTS where that fails.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        Chains, draws and seed; tuning has no meaning here.

    Returns
    -------
    xarray.DataTree
        As `fit_bayes` describes it. ``sample_stats`` holds per draw ``lp`` (log posterior density
        of the coordinates), ``log_weight`` (of the point it is a copy of) and ``point`` (that
        point's number); its attributes ``pareto_k``, ``ess_weights``, ``ess_draws`` (what the
        draws are worth: `effective_draws`), ``log_evidence``, ``coordinates``, ``proposal``,
        ``n_points`` and ``n_evaluations``. Where one density is expensive (`is_expensive`),
        ``surrogate`` says whether densities were interpolated, or why not, ``effects_points``
        from how many factorizations the effects come, and ``surrogate_...`` how accurate the
        interpolation is (`recover_effects_by_cell`).

    Warns
    -----
    SamplingWarning
        Where k-hat is 0.7 or more, and NUTS was used instead.
    """
    asked = settings.target_accept
    settings = settings.resolved()
    kept = KeptEffects.of(model.design, settings.effects)
    started = time.perf_counter()
    # Quantiles of extreme priors overflow on the way; what is left of them is weighed.
    with np.errstate(all="ignore"):
        target, found = weigh_posterior(model, settings)
    if not found.usable:
        settings = dataclasses.replace(settings, target_accept=asked)
        return take_over(model, settings, why_unusable(found))
    shape = (settings.chains, settings.draws)
    rng = np.random.default_rng([settings.random_seed or 0, 3])
    places = resample(found.weights, rng, shape[0] * shape[1])
    draws = target.unpack(found.points[places].reshape(*shape, -1))
    stats = sample_stats(target.names, found, places.reshape(shape))

    def recover(store: EffectsStore) -> Mapping[str, NDArray[np.float64]]:
        if not isinstance(target, ReducedTarget):
            return recover_posterior(model.gram, model.priors, draws, store)
        posterior, about = recover_effects_by_cell(
            target, found.points[places], draws, store, settings
        )
        stats.attrs |= about
        return posterior

    free = UnconstrainedDraws({}, stats, 0.0, time.perf_counter() - started)
    return finish_tree(
        model,
        free,
        recover,
        shape=shape,
        settings=settings,
        kept=kept,
    )


def weigh_posterior(
    model: Model, settings: SamplerSettings
) -> tuple[MarginalTarget, WeightedPoints]:
    """Draw weighted points of a model's collapsed posterior, on the scale that suits it best.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        Chains, draws and seed.

    Returns
    -------
    target : MarginalTarget
        With the scales that were chosen.
    found : WeightedPoints
        Usable or not.
    """
    rng = np.random.default_rng([settings.random_seed or 0, 2])
    target = MarginalTarget(model.gram, model.priors)
    expensive, sparse = is_expensive(model.gram), model.gram.by_nodes
    quick = not expensive if sparse else model.gram.n_border <= _LARGEST_QUICK_BORDER
    if expensive:
        target = interpolate_posterior(target, rng, threads=settings.cores or 1)
        quick = quick or isinstance(target, InterpolatedTarget)
    asked = settings.chains * settings.draws * (_POINTS_PER_DRAW if quick else 1)
    count = max(asked, _FEWEST_POINTS if quick else _EXPENSIVE_POINTS)
    if isinstance(target, ReducedTarget) and not isinstance(target, InterpolatedTarget):
        affordable = int(_PATIENCE / exact_seconds(target.gram))
        count = max(_EXPENSIVE_POINTS, min(count, affordable))
    target, found = weigh_on_best_scales(
        target, lambda scaled: _weigh(scaled, count, rng, several=quick)
    )
    if quick:
        found = extend_to(target, found, settings.chains * settings.draws, count, rng)
    return target, found


def _weigh(
    target: MarginalTarget, count: int, rng: np.random.Generator, *, several: bool
) -> WeightedPoints:
    # An interpolation is good around the mode that it was built at, and only there.
    if isinstance(target, InterpolatedTarget):
        return sample_target(target, *target.start(), count, rng)
    starts, units = starting_points(target, several=several)
    exploratory = target.point(target.prior_draws(_EXPLORATORY_POINTS, rng)) if several else None
    return sample_target(target, starts, units, count, rng, exploratory=exploratory)
