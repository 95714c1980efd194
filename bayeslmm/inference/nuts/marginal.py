"""NUTS on the marginal posterior: nothing is compiled for a model, and PyMC is not imported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.inference.marginal import coordinates as unconstrained
from bayeslmm.inference.marginal.recovery import recover_posterior
from bayeslmm.inference.marginal.sd_coordinates import (
    LOG_ARCSINH,
    NEAREST,
    scan_restricted_likelihood,
)
from bayeslmm.inference.memory import require_marginal_border
from bayeslmm.inference.nuts.nutpie_model import addresses, computable, nutpie_model
from bayeslmm.inference.nuts.run import run_compiled
from bayeslmm.inference.result import finish_tree
from bayeslmm.kernels import target as kernel_target
from bayeslmm.kernels.linked_density import (
    N_BETA,
    N_COEF,
    N_FLOATS,
    N_INTS,
    N_PARTIALS,
    N_SDS,
    N_TABLE,
)
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.inference.marginal.coordinate_priors import CoordinatePriors
    from bayeslmm.inference.marginal.target import MarginalTarget
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model


def sample_marginal(model: Model, target: MarginalTarget, settings: SamplerSettings) -> xr.DataTree:
    """Sample a model's posterior by NUTS in its variance parameters, then draw the effects.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    target : MarginalTarget
        The posterior of its variance parameters; one that `compiles`.
    settings : SamplerSettings
        How to sample.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.
    """
    kept = KeptEffects.of(model.design, settings.effects)
    settings = settings.resolved()
    gram, priors = target.gram, target.priors
    require_marginal_border(model.design, gram)
    started = time.perf_counter()
    target, starts = target_for_nuts(target)
    compiled = compile_target(target, starts)
    compile_time = time.perf_counter() - started
    points, stats, sampling_time = run_compiled(compiled, settings)
    draws = target.unpack(points)
    free = UnconstrainedDraws({}, stats, compile_time, sampling_time)
    return finish_tree(
        model,
        free,
        lambda store: recover_posterior(gram, priors, draws, store),
        shape=draws.sigma.shape,
        settings=settings,
        kept=kept,
    )


_KINDS = {
    unconstrained.IDENTITY: kernel_target.IDENTITY,
    unconstrained.LOG: kernel_target.LOG,
    unconstrained.ATANH: kernel_target.ATANH,
    unconstrained.LOG_ARCSINH: kernel_target.LOG_ARCSINH,
}
# Chains start at no less than this share of a log-arcsinh scale's unit, the upper end of the data.
_LEAST = 0.3
# And no further from the least-squares estimates of kept fixed effects.
_STANDARD_ERRORS = 10.0


def compiles(target: CoordinatePriors) -> bool:
    """Return whether the compiled posterior knows a target's coordinates and priors.

    Parameters
    ----------
    target : CoordinatePriors
        Any.

    Returns
    -------
    bool
        False with priors that have no closed form here, a support with other ends than zero
        and infinity, structures of G, or thresholds.
    """
    if target.turned or not all(factor.covariance.compiles for factor in target.priors.factors):
        return False
    return None not in target.forms() and all(
        c.kind in _KINDS and not (c.kind == unconstrained.LOG and c.lower)
        for c in target.coordinates
    )


def target_for_nuts(target: MarginalTarget) -> tuple[MarginalTarget, NDArray[np.float64]]:
    """Put a target on the scales that suit NUTS, and say where chains may start.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.

    Returns
    -------
    target : MarginalTarget
        With log-arcsinh scales of the sds (`sd_coordinates`).
    starts : ndarray, shape (2 or 1, size)
        Its coordinates at the best values of the restricted likelihood, and at the medians of the
        priors, as far as these are near the data: a posterior may have a mode of each kind, and
        chains that start in both tell of it. A vague gamma prior has its median at 1e-300.
    """
    found = scan_restricted_likelihood(target.gram, target.priors)
    sizes = found.sizes
    bent = target.with_log_arcsinh_sds(found.scale, found.bend)
    # An sd of zero lies infinitely far away on its scale.
    sds = np.where(
        found.bend == LOG_ARCSINH, np.maximum(found.sds, _LEAST * found.scale), found.sds
    )
    data = [*sds, *found.partials, found.sigma]
    medians = np.nan_to_num(target.prior_quantiles(0.5))
    near = np.concatenate([sizes.sds, np.ones(target.n_partials), [sizes.sigma]])
    prior = np.clip(medians[: len(near)], NEAREST * near, near / NEAREST)
    prior[target.n_sds : -1] = 0.0
    if not target.integrated:
        beta = target.priors.centered_beta(sizes.beta)
        positive = np.array([c.bounded for c in bent.coordinates[len(near) :]])
        beta = np.where(positive, np.maximum(beta, sizes.errors), beta)
        far = _STANDARD_ERRORS * sizes.errors
        middle = np.clip(medians[len(near) :], beta - far, beta + far)
        middle = np.where(positive, np.maximum(middle, NEAREST * sizes.errors), middle)
        data, prior = [*data, *beta], np.concatenate([prior, middle])
    with np.errstate(all="ignore"):
        starts = bent.point(np.stack([data, prior]))
    arrays = target_arrays(bent)
    # By the function that NUTS calls: another one would be compiled for these two points.
    with single_blas_thread():
        fit = computable(kernel_target.target_function(), starts, addresses(arrays))
    # Priors that exclude what the data say: begin where they have their mass.
    with np.errstate(all="ignore"):
        return bent, starts[fit] if fit.any() else bent.point(medians[None])


def compile_target(target: MarginalTarget, starts: NDArray[np.float64]) -> CompiledPyMCModel:
    """Compile a target's log-density and gradient for nutpie.

    Parameters
    ----------
    target : MarginalTarget
        One that `compiles`.
    starts : ndarray, shape (k, size)
        Each chain starts within 1 of one of them in every coordinate.

    Returns
    -------
    CompiledPyMCModel
        Over the target's coordinates.
    """
    arrays = target_arrays(target)
    kept = {f"array_{k}": array for k, array in enumerate(arrays)}
    return nutpie_model(
        kernel_target.target_function(), starts, addresses(arrays), shared_data=kept
    )


def target_arrays(target: MarginalTarget) -> kernel_target.TargetArrays:
    """Return the arrays that the compiled posterior reads.

    Parameters
    ----------
    target : MarginalTarget
        One that `compiles`.

    Returns
    -------
    TargetArrays
        Contiguous; they must outlive the calls.
    """
    ints, floats, table, mean, precision = target.data  # through the door already
    kinds, numbers = coordinate_tables(target)
    sizes = np.zeros(kernel_target.TARGET_SIZES, np.int64)
    sizes[N_INTS], sizes[N_FLOATS], sizes[N_TABLE] = len(ints), len(floats), len(table)
    sizes[N_SDS], sizes[N_PARTIALS] = target.n_sds, target.n_partials
    sizes[N_BETA], sizes[N_COEF] = 0 if target.integrated else len(mean), len(mean)
    sizes[kernel_target.HAS_INTERCEPT] = target.priors.has_intercept
    return kernel_target.TargetArrays(
        ints=ints,
        floats=floats,
        table=table,
        mean=mean,
        precision=precision,
        sizes=sizes,
        kinds=kinds,
        numbers=numbers,
        centers=for_kernels("centers", target.priors.centers, np.float64, (None,)),
    )


def coordinate_tables(target: CoordinatePriors) -> tuple[Ints, Floats]:
    """Return what compiled posteriors read of coordinates and priors.

    Parameters
    ----------
    target : CoordinatePriors
        One that `compiles`.

    Returns
    -------
    kinds : ndarray of int64, shape (size, 2)
        Of each coordinate, and of its prior.
    numbers : ndarray, shape (size, WIDTH)
        The numbers of both.
    """
    forms = [form for form in target.forms() if form is not None]
    pairs = list(zip(target.coordinates, forms, strict=True))
    kinds = [(_KINDS[c.kind], form.kind) for c, form in pairs]
    numbers = [(c.scale, c.bend, *form[1:]) for c, form in pairs]
    return (
        for_kernels("kinds", kinds, np.int64, (target.size, 2)),
        for_kernels("numbers", numbers, np.float64, (target.size, None)),
    )
