"""Run NUTS, on a PyMC model or a compiled posterior, and bring back draws and statistics."""

from __future__ import annotations

import time
import warnings
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import SamplingError, SamplingWarning, warn
from bayeslmm.inference.nuts.load import load_nutpie
from bayeslmm.inference.nuts.nutpie_model import has_start
from bayeslmm.inference.settings import NUTPIE, PYMC, SamplerSettings
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.write import UnconstrainedDraws, statistics_by_draw

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    import pymc as pm
    import xarray as xr
    from numpy.typing import NDArray
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.inference.nuts.compile import CompiledModel

_COMPILED_MODELS_KEPT = 8
# nutpie's word for mass matrices without correlations.
DIAGONAL = "diag"
_compiled: OrderedDict[Hashable, CompiledModel] = OrderedDict()


def run_compiled(
    model: CompiledPyMCModel, settings: SamplerSettings, adaptation: str = DIAGONAL
) -> tuple[NDArray[np.float64], xr.Dataset, float]:
    """Sample what nutpie can call.

    Parameters
    ----------
    model : CompiledPyMCModel
        From `callback.nutpie_model`.
    settings : SamplerSettings
        Settled.
    adaptation : str
        Which mass matrices nutpie learns while it tunes: ``"diag"`` or ``"low_rank"``.

    Returns
    -------
    points : ndarray, shape (chain, draw, k)
        Unconstrained draws; fewer than asked for, with a warning, if the user interrupted.
    stats : Dataset
        The sampler's statistics by draw.
    sampling_time : float
        Seconds.
    """
    nutpie = load_nutpie()
    _require_start(model, settings.random_seed)
    started = time.perf_counter()
    # Chains run in parallel; BLAS threads of a dense border would only fight over the cores.
    with single_blas_thread(), _explain_failed_start(model):
        trace = nutpie.sample(
            model,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            seed=settings.random_seed,
            save_warmup=False,
            progress_bar=settings.progressbar,
            target_accept=settings.target_accept,
            # Of the other one nutpie says that it is experimental: only where it is needed.
            **({} if adaptation == DIAGONAL else {"adaptation": adaptation}),
        )
    sampling_time = time.perf_counter() - started
    points = trace["posterior"]["unconstrained"].to_numpy()
    kept_chains, kept_draws = _complete_part(points, settings)
    stats = trace["sample_stats"].to_dataset()
    stats = statistics_by_draw(stats.isel(chain=kept_chains, draw=slice(kept_draws)))
    return points[kept_chains, :kept_draws], stats, sampling_time


_NO_START = (
    "NUTS found no point to start from: the posterior density could not be computed anywhere near "
    "the data's estimate or the priors' medians. Look at the priors (describe_priors): one of them "
    "excludes what the data say, or spans numbers too large to compute with."
)
# As many as nutpie tries before it gives up.
_STARTS = 500


def _require_start(model: CompiledPyMCModel, seed: int | None) -> None:
    """Raise unless the density can be computed somewhere, before nutpie starts its threads.

    Its first chain that finds no start ends the call while the others' threads still run, on
    memory and on an interpreter that may be gone by then.
    """
    if not has_start(model, _STARTS, seed):
        raise SamplingError(_NO_START)


@contextmanager
def _explain_failed_start(model: CompiledPyMCModel) -> Iterator[None]:
    """Raise with what it means that nutpie finds no point to start from."""
    try:
        yield
    except RuntimeError as error:
        _abandoned.append(model)
        if "initialization points failed" not in str(error):
            raise
        raise SamplingError(_NO_START) from None


# Models whose sampling failed, kept for threads that may still read them.
_abandoned: list[CompiledPyMCModel] = []


def run_nutpie(
    model: pm.Model, settings: SamplerSettings, structure: Hashable
) -> UnconstrainedDraws:
    """Sample with nutpie, reusing a compiled model of the same structure where there is one."""
    from bayeslmm.inference.nuts.compile import constrain  # noqa: PLC0415

    started = time.perf_counter()
    compiled = _compiled_for(model, structure)
    compile_time = time.perf_counter() - started
    adaptation = getattr(model, "adaptation", DIAGONAL)
    points, stats, sampling_time = run_compiled(compiled.nutpie, settings, adaptation)
    values = constrain(compiled.variables, points)
    return UnconstrainedDraws(values, stats, compile_time, sampling_time)


def run_pymc(model: pm.Model, settings: SamplerSettings, structure: Hashable) -> UnconstrainedDraws:  # noqa: ARG001
    """Sample with PyMC's own NUTS."""
    import pymc as pm  # noqa: PLC0415 - this module is read before anybody samples

    started = time.perf_counter()
    with model, warnings.catch_warnings():
        # This package judges the draws itself; PyMC's remarks on them would say it twice.
        warnings.simplefilter("ignore", UserWarning)
        trace = pm.sample(
            settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            random_seed=settings.random_seed,
            nuts_sampler="pymc",
            var_names=[variable.name for variable in model.free_RVs],
            progressbar=settings.progressbar,
            compute_convergence_checks=False,
            target_accept=settings.target_accept,
        )
    elapsed = time.perf_counter() - started
    sampling_time = float(trace["posterior"].attrs.get("sampling_time", elapsed))
    values = {
        str(name): np.asarray(array.values, dtype=np.float64)
        for name, array in trace["posterior"].data_vars.items()
    }
    done = next(iter(values.values())).shape
    if done[:2] != (settings.chains, settings.draws):
        _warn_interrupted(done[0], done[1], settings)
    stats = trace["sample_stats"].to_dataset()
    return UnconstrainedDraws(
        values, statistics_by_draw(stats), max(elapsed - sampling_time, 0.0), sampling_time
    )


SAMPLERS: Mapping[str, Callable[[Any, SamplerSettings, Hashable], UnconstrainedDraws]] = {
    NUTPIE: run_nutpie,
    PYMC: run_pymc,
}


def _compiled_for(model: pm.Model, structure: Hashable) -> CompiledModel:
    """Compile a model, or give a compiled one of the same structure this model's data."""
    from bayeslmm.inference.nuts.compile import compile_model, refilled  # noqa: PLC0415

    if structure in _compiled:
        _compiled.move_to_end(structure)
        return refilled(_compiled[structure], model)
    compiled = compile_model(model)
    _compiled[structure] = compiled
    while len(_compiled) > _COMPILED_MODELS_KEPT:
        _compiled.popitem(last=False)
    return compiled


def _complete_part(points: NDArray[np.float64], settings: SamplerSettings) -> tuple[list[int], int]:
    """Find the chains and draws that were made: all, unless the user interrupted."""
    made = np.isfinite(points).all(axis=-1).sum(axis=1)
    if (made == settings.draws).all() and len(made) == settings.chains:
        return list(range(len(made))), settings.draws
    order = np.argsort(-made, kind="stable")
    # Of the rectangles "the k longest chains, as far as the shortest of them", the largest.
    areas = made[order] * np.arange(1, len(made) + 1)
    if not areas.size or areas.max() == 0:
        raise KeyboardInterrupt
    count = int(np.argmax(areas)) + 1
    kept_draws = int(made[order][count - 1])
    _warn_interrupted(count, kept_draws, settings)
    return sorted(int(chain) for chain in order[:count]), kept_draws


def _warn_interrupted(chains: int, draws: int, settings: SamplerSettings) -> None:
    warn(
        f"Sampling was interrupted: the result holds {draws} of {settings.draws} draws from "
        f"{chains} of {settings.chains} chains.",
        SamplingWarning,
    )
