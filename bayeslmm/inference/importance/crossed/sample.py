"""A posterior whose crossed factors are too large for a dense matrix: probes, weights, effects."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import ArgumentError, SamplingError
from bayeslmm.gram.border.choice import MOST_PROBES, SPARSE, TOLERANCE
from bayeslmm.gram.border.reduce import ProbedReduction, SparseReduction
from bayeslmm.inference.importance.algorithm import sample_target
from bayeslmm.inference.importance.crossed.chance import Chance, chance_of_probes
from bayeslmm.inference.importance.crossed.effects import recover_crossed
from bayeslmm.inference.importance.crossed.peak import peak_of_estimate
from bayeslmm.inference.importance.interpolated_target import InterpolatedTarget, interpolate_at
from bayeslmm.inference.importance.interpolation import SPARING
from bayeslmm.inference.importance.surrogate import Surrogate, crossed_suits
from bayeslmm.inference.importance.weigh import (
    extend_to,
    sample_stats,
    weigh_on_best_scales,
    why_unusable,
)
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.reweighting import resample
from bayeslmm.reml.krylov.estimate import estimate_by_probes, estimate_sparsely
from bayeslmm.reml.krylov.search import find_by_probes
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.algorithm import WeightedPoints
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.reml.krylov.estimate import Estimate
    from bayeslmm.results.kept_effects import EffectsStore

# Of estimates, in standard errors, at which a few of the probes are enough for the interpolation.
_SMALL_CHANCE = 0.001
_POINTS_PER_DRAW, _FEWEST_POINTS = 2, 4000


@dataclass(frozen=True, eq=False)
class Weighed:
    """Weighted points of a posterior.

    Attributes
    ----------
    target : InterpolatedTarget
    found : WeightedPoints
    reduction : ProbedReduction or SparseReduction
    chance : Chance or None
        Of probes; None where there are none.
    """

    target: InterpolatedTarget
    found: WeightedPoints
    reduction: ProbedReduction | SparseReduction
    chance: Chance | None


def sample_crossed(model: Model, settings: SamplerSettings, method: str) -> xr.DataTree:
    """Sample a model's posterior without a dense matrix.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    method : {"sparse", "krylov"}
        How crossed effects are solved for.
    settings : SamplerSettings
        Chains, draws, seed and probes; tuning has no meaning here.

    Returns
    -------
    xarray.DataTree
        As `sample_directly` gives it. By iterations ``sample_stats`` tells ``probes``, how many;
        ``probe_error`` and ``probe_error_sd``, the chance that they leave in each coordinate's mean
        and standard deviation, in posterior standard deviations; ``loglik_se``, in the height of
        the log-density, on which no draw depends; ``cg_steps`` and ``lanczos_steps``.

    Raises
    ------
    ArgumentError
        If too many entries of relative covariances are left to interpolate.
    SamplingError
        If the interpolation is not accurate, or weights are not usable.
    """
    settings = settings.resolved()
    kept = KeptEffects.of(model.design, settings.effects)
    started = time.perf_counter()
    with np.errstate(all="ignore"):
        weighed = weigh_crossed(model, settings, method)
    found, target = weighed.found, weighed.target
    shape = (settings.chains, settings.draws)
    rng = np.random.default_rng([settings.random_seed or 0, 3])
    places = resample(found.weights, rng, shape[0] * shape[1])
    draws = target.unpack(found.points[places].reshape(*shape, -1))
    stats = sample_stats(target.names, found, places.reshape(shape))
    stats.attrs |= _about(weighed)

    def recover(store: EffectsStore) -> Mapping[str, NDArray[np.float64]]:
        posterior, stats.attrs["effects_points"] = recover_crossed(
            model.gram, model.priors, draws, store, weighed.reduction
        )
        return posterior

    free = UnconstrainedDraws({}, stats, 0.0, time.perf_counter() - started)
    return finish_tree(model, free, recover, shape=shape, settings=settings, kept=kept)


def weigh_crossed(model: Model, settings: SamplerSettings, method: str) -> Weighed:
    """Draw weighted points; probes are doubled until their chance is below 0.02 posterior sds.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        Chains, draws, seed and probes.
    method : {"sparse", "krylov"}
        How crossed effects are solved for.

    Returns
    -------
    Weighed
    """
    target = MarginalTarget(model.gram, model.priors)
    if unsuited := crossed_suits(model.gram):
        raise ArgumentError(
            f"border={method!r} interpolates between a few dozen relative factors, and {unsuited}: "
            "give parametrization='noncentered', which forms no dense matrix either, or fewer "
            "random slopes."
        )
    if method == SPARSE:
        return _weigh(target, settings, estimate_sparsely(model.gram), SparseReduction(model.gram))
    count, seed = settings.probes, settings.random_seed or 0
    while True:
        found = find_by_probes(model.gram, restricted=True, count=count, seed=seed)
        known = max(found.error.values(), default=0.0) < _SMALL_CHANCE
        probes = found.score.few if known else found.score.probes
        reduction = ProbedReduction(model.gram, found.score.products, probes)
        weighed = _weigh(target, settings, estimate_by_probes(found), reduction)
        if not weighed.chance or weighed.chance.largest <= TOLERANCE or count >= MOST_PROBES:
            return weighed
        count *= 2


def _weigh(
    target: MarginalTarget,
    settings: SamplerSettings,
    estimate: Estimate,
    reduction: ProbedReduction | SparseReduction,
) -> Weighed:
    rng = np.random.default_rng([settings.random_seed or 0, 2])
    interpolated = interpolate_at(
        target, peak_of_estimate(target, estimate), reduction, rng, effort=SPARING
    )
    if not isinstance(interpolated, InterpolatedTarget):
        raise SamplingError(
            f"The posterior of crossed effects could not be interpolated: "
            f"{interpolated.record.reason}. parametrization='noncentered' with sampler='nutpie' "
            "interpolates nothing; another random_seed interpolates between other points."
        )
    points = max(settings.chains * settings.draws * _POINTS_PER_DRAW, _FEWEST_POINTS)
    chosen, found = weigh_on_best_scales(
        interpolated, lambda scaled: sample_target(scaled, *scaled.start(), points, rng)
    )
    found = extend_to(chosen, found, settings.chains * settings.draws, points, rng)
    if not found.usable:
        raise SamplingError(
            f"The posterior of crossed effects could not be weighed: {why_unusable(found)}. "
            "parametrization='noncentered' with sampler='nutpie' takes no weights."
        )
    return Weighed(chosen, found, reduction, _chance(chosen, found, reduction))


def _chance(
    target: InterpolatedTarget, found: WeightedPoints, reduction: ProbedReduction | SparseReduction
) -> Chance | None:
    if isinstance(reduction, SparseReduction):
        return None
    known = np.array(reduction.packed), np.array(reduction.by_probe)
    return chance_of_probes(
        _surrogate(target), known, found.points, target.packed(found.points), found.weights
    )


def _surrogate(target: InterpolatedTarget) -> Surrogate:
    assert isinstance(target.reduction, Surrogate)  # noqa: S101 - it was built with one
    return target.reduction


def _about(weighed: Weighed) -> dict[str, Any]:
    """Write for the record what is known of the chance, and of the interpolation."""
    chance, record, reduction = weighed.chance, weighed.target.record, weighed.reduction
    about: dict[str, Any] = {
        "surrogate": "interpolated",
        "surrogate_n_exact": record.n_exact,
        "surrogate_error_sd": record.error_sd,
        "surrogate_error_max": record.error_max,
    }
    if chance is None or isinstance(reduction, SparseReduction):
        return about
    return about | {
        "probes": reduction.probes.count,
        "probe_parameters": [coordinate.name for coordinate in weighed.target.coordinates],
        "probe_error": _listed(chance.means),
        "probe_error_sd": _listed(chance.sds),
        "loglik_se": chance.loglik_se,
        "cg_steps": reduction.steps[0],
        "lanczos_steps": reduction.steps[1],
    }


def _listed(values: Floats) -> list[float]:
    return [float(value) for value in values]
