"""NUTS on the posterior of everything but the effects, by one compiled function."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.inference.nuts.marginal import coordinate_tables
from bayeslmm.inference.nuts.nutpie_model import addresses, nutpie_model
from bayeslmm.inference.nuts.run import run_compiled
from bayeslmm.kernels.quadrature import target as kernel_target
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.quadrature.rules import gauss_hermite
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.quadrature.target import QuadratureTarget
    from bayeslmm.inference.settings import SamplerSettings

# Chains start within so many standard deviations of the mode.
_SPREAD = 2.0


def run_nuts(
    target: QuadratureTarget, mode: Floats, spread: Floats, settings: SamplerSettings
) -> tuple[Floats, UnconstrainedDraws]:
    """Sample a target by nutpie's NUTS.

    Parameters
    ----------
    target : QuadratureTarget
        One that `compiles`.
    mode, spread : ndarray, shape (size,)
        Of its density, and standard deviations about there.
    settings : SamplerSettings
        Settled.

    Returns
    -------
    points : ndarray, shape (chain, draw, size)
        Coordinates.
    free : UnconstrainedDraws
        Statistics and times.
    """
    started = time.perf_counter()
    compiled = compile_target(target, mode, _SPREAD * spread)
    compile_time = time.perf_counter() - started
    points, stats, sampling_time = run_compiled(compiled, settings)
    return points, UnconstrainedDraws({}, stats, compile_time, sampling_time)


def compile_target(target: QuadratureTarget, mode: Floats, spread: Floats) -> CompiledPyMCModel:
    """Compile a target's log-density and gradient for nutpie.

    Parameters
    ----------
    target : QuadratureTarget
        One that `compiles`.
    mode, spread : ndarray, shape (size,)
        Chains start within `spread` of the mode.

    Returns
    -------
    CompiledPyMCModel
        Over the target's coordinates.
    """
    arrays = target_arrays(target)
    kept = {f"array_{k}": array for k, array in enumerate(arrays)}
    function = kernel_target.target_function()
    return nutpie_model(function, mode[None], addresses(arrays), spread, shared_data=kept)


def target_arrays(target: QuadratureTarget) -> kernel_target.TargetArrays:
    """Return the arrays that the compiled posterior reads; they must outlive its calls."""
    likelihood, rows = target.likelihood, target.likelihood.rows
    rule = gauss_hermite(likelihood.n_nodes)
    table = covariance_table([target.covariance])
    kinds, numbers = coordinate_tables(target)
    sizes = np.zeros(kernel_target.SIZES, np.int64)
    sizes[kernel_target.CODE] = rows.code
    sizes[kernel_target.ROWS], sizes[kernel_target.N_BETA] = rows.X.shape
    sizes[kernel_target.N_COLUMNS] = rows.Z.shape[1]
    sizes[kernel_target.N_LEVELS] = likelihood.n_levels
    sizes[kernel_target.N_NODES], sizes[kernel_target.N_TABLE] = len(rule.z), len(table)
    sizes[kernel_target.N_PARTIALS] = target.n_partials
    sizes[kernel_target.N_PHI] = target.n_phi
    sizes[kernel_target.N_LINKS] = len(rows.phi.links)
    return kernel_target.TargetArrays(
        X=rows.X,
        Z=rows.Z,
        y=rows.y,
        known=rows.known,
        offset=rows.offset,
        starts=rows.starts,
        fresh=rows.fresh,
        predictors=rows.phi.columns,
        predictor_offset=rows.phi.offset,
        first=rows.phi.first,
        links=rows.phi.links,
        z=rule.z,
        log_weight=rule.log_weight,
        modes=for_kernels("modes", likelihood.modes.copy(), np.float64, (None, None)),
        table=for_kernels("the table of blocks", table, np.int64, (None,)),
        sizes=sizes,
        kinds=kinds,
        numbers=numbers,
    )
