"""NUTS on the density of a structured posterior, in coordinates that its curvature whitens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import SamplingError
from bayeslmm.inference.laplace import Start, find_modes
from bayeslmm.inference.laplace import starting_points as starting_points_of_marginal
from bayeslmm.inference.marginal.recovery import recover_posterior as recover_of_marginal
from bayeslmm.inference.marginal.sd_coordinates import LOG_ARCSINH, STRAIGHT
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.memory import require_marginal_border
from bayeslmm.inference.nuts.nutpie_model import PythonDensity, nutpie_model
from bayeslmm.inference.nuts.run import run_compiled
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.structured.recovery import recover_posterior
from bayeslmm.inference.structured.start import starting_points
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.laplace import LocalMode
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import EffectsStore

EXACT = "in the limit of long chains, whose stationary distribution is the posterior"
# Chains start within so many standard deviations of a mode.
_SPREAD = 2.0
# The log-likelihood at an sd's best value less that at zero: above this, zero is no part of the
# posterior. Where it has fallen by 2, half as much again is the upper end of what is likely.
_CLEARLY_POSITIVE, _FALL, _BEYOND = 8.0, 2.0, 1.5
_SHARES = np.exp(np.linspace(-12.0, 6.0, 73))


@dataclass(frozen=True, eq=False)
class Whitened[T: (MarginalTarget, StructuredTarget)]:
    """A log-density of coordinates z: a target's points are center + root z.

    Attributes
    ----------
    target : MarginalTarget or StructuredTarget
        Of n coordinates.
    center : ndarray, shape (n,)
        Its highest mode.
    root : ndarray, shape (n, n)
        Square root of the covariance there.
    starts : ndarray, shape (k, n)
        Where chains may start, in z: every mode that was found.
    """

    target: T
    center: Floats
    root: Floats
    starts: Floats

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        """Evaluate the log-density and its gradient at one point."""
        value, gradient = self.target.log_density_and_gradient(self.center + self.root @ z)
        return value, self.root.T @ gradient

    def points(self, z: Floats) -> Floats:
        """Return the target's coordinates at points z, shape (..., n)."""
        return self.center + z @ self.root.T


def sample_by_nuts(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample a model's posterior by nutpie's NUTS, the effects integrated out.

    Parameters
    ----------
    model : Model
        With a residual structure.
    settings : SamplerSettings
        How to sample.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.

    Raises
    ------
    SamplingError
        If no parameter is left to draw.
    """
    target = StructuredTarget(model)
    if not target.size:
        raise SamplingError(
            "NUTS has nothing to draw: all standard errors are known, there are no random "
            "effects, and the fixed effects have normal priors, so that their posterior is "
            "normal. Take sampler='importance', whose draws of it are independent."
        )
    require_marginal_border(model.design, target.products.reference)
    tree = _sample(model, target, starting_points, recover_posterior, settings)
    tree.attrs |= target.products.attributes
    return tree


def sample_structured_effects(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample by nutpie's NUTS where a structure of G has no compiled form.

    Parameters
    ----------
    model : Model
        Gaussian, with independent residuals.
    settings : SamplerSettings
        How to sample.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.
    """
    require_marginal_border(model.design, model.dense_gram)

    def recover(target: MarginalTarget, points: Floats, store: EffectsStore) -> dict[str, Floats]:
        return recover_of_marginal(model.dense_gram, model.priors, target.unpack(points), store)

    def start(target: MarginalTarget) -> Start:
        return Start(*starting_points_of_marginal(target))

    return _sample(model, MarginalTarget(model.dense_gram, model.priors), start, recover, settings)


def _sample[T: (MarginalTarget, StructuredTarget)](
    model: Model,
    target: T,
    start: Callable[[T], Start],
    recover: Callable[[T, Floats, EffectsStore], dict[str, Floats]],
    settings: SamplerSettings,
) -> xr.DataTree:
    kept = KeptEffects.of(model.design, settings.effects)
    settings = settings.resolved()
    started = time.perf_counter()
    with np.errstate(all="ignore"), single_blas_thread():
        density = whitened(target, start(target))
    compiled = PythonDensity(density)
    prepared = time.perf_counter() - started
    nothing = np.zeros(1, np.uint64)
    try:
        z, stats, sampling_time = run_compiled(
            nutpie_model(compiled, density.starts, nothing, _SPREAD), settings
        )
    finally:
        if compiled.error is not None:
            raise compiled.error
    points = density.points(z)
    stats.attrs["coordinates"] = list(density.target.names)
    free = UnconstrainedDraws({}, stats, prepared, sampling_time)
    tree = finish_tree(
        model, free, lambda store: recover(density.target, points, store),
        shape=points.shape[:2], settings=settings, kept=kept,
    )  # fmt: skip
    tree.attrs |= {"engine": settings.sampler, "exact": EXACT}
    return tree


def whitened[T: (MarginalTarget, StructuredTarget)](target: T, start: Start) -> Whitened[T]:
    """Return a target in the coordinates that suit NUTS.

    Sds that the data do not tell from zero get log-arcsinh scales, which have no long tail to the
    left; then all coordinates are moved to the highest mode, and whitened by the curvature there.

    Parameters
    ----------
    target : MarginalTarget or StructuredTarget
        With logarithms of sds.
    start : Start
        Where searches of its modes begin.
    """
    modes = find_modes(target, start.points, start.units)
    if not modes:
        return _at_starts(target, start.points, start.units)
    bent = target.with_log_arcsinh_sds(*_scales(target, modes[0].point))
    again = [bent.point(target.parameters(mode.point)) for mode in modes]
    units = np.sqrt(np.diag(modes[0].covariance))
    found = find_modes(bent, again, units)
    return _at_modes(bent, found) if found else _at_modes(target, modes)


def _at_modes[T: (MarginalTarget, StructuredTarget)](
    target: T, modes: Sequence[LocalMode]
) -> Whitened[T]:
    center, root = modes[0].point, np.linalg.cholesky(modes[0].covariance)
    starts = np.linalg.solve(root, np.stack([mode.point - center for mode in modes]).T).T
    return Whitened(target, center, root, starts)


def _at_starts[T: (MarginalTarget, StructuredTarget)](
    target: T, points: Sequence[Floats], units: Floats
) -> Whitened[T]:
    """Begin where searches began: the density has no mode, or none with curvature."""
    starts = np.stack(points)
    known = starts[np.isfinite(target.log_density(starts))]
    starts = known if len(known) else starts
    return Whitened(target, starts[0], np.diag(units), (starts - starts[0]) / units)


def _scales(target: MarginalTarget | StructuredTarget, mode: Floats) -> tuple[Floats, Floats]:
    """Choose scale and bend of each sd's coordinate by the likelihood along it, all else fixed."""
    best = target.parameters(mode)
    scale, bend = best[: target.n_sds].copy(), np.full(target.n_sds, STRAIGHT)
    for k in range(target.n_sds):
        moved = np.tile(best, (len(_SHARES), 1))
        moved[:, k] *= _SHARES
        height = target.log_likelihood(target.point(moved))
        height = np.where(np.isfinite(height), height, -np.inf)
        if height.max() - height[0] < _CLEARLY_POSITIVE:
            likely = moved[height > height.max() - _FALL, k]
            scale[k], bend[k] = _BEYOND * likely.max(), LOG_ARCSINH
    return scale, bend
