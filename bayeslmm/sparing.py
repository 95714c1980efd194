"""Effects of a posterior whose factorizations are dear, and what they say about its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import SamplingWarning, warn
from bayeslmm.reduced_target import InterpolatedTarget, ReducedTarget, interpolation_error
from bayeslmm.reweighting import smoothed_weights
from bayeslmm.shared_effects import recover_shared
from bayeslmm.surrogate import TOLERANCE

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.recovery import CollapsedDraws
    from bayeslmm.results.kept_effects import EffectsStore
    from bayeslmm.settings import SamplerSettings


# Factorizations for the effects of all draws. Effects vary far more given the variance parameters
# than with them (InstEval: means of effects move by at most 6 % of their sd), so that so many
# strata of relative factors leave means and sds of effects their full number of draws.
N_CELLS = 200
# The promise is made on 16 checks a round; by chance some interpolations keep it not quite.
_TOO_LARGE = 2.0 * TOLERANCE


def recover_sparingly(
    target: ReducedTarget,
    points: Floats,
    draws: CollapsedDraws,
    store: EffectsStore,
    settings: SamplerSettings,
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Draw the effects from a few hundred factorizations, which also check an interpolation.

    Parameters
    ----------
    target : ReducedTarget
        The posterior.
    points : ndarray, shape (chains * draws, size)
        Coordinates of the draws.
    draws : CollapsedDraws
        The same, by kind, with leading dimensions (chain, draw).
    store : EffectsStore
        Takes the random effects.
    settings : SamplerSettings
        How many cores.

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        The posterior's, by the contract's names.
    about : dict
        For the result's record: ``effects_points``, at how many relative factors the effects were
        drawn; ``surrogate``, whether densities were interpolated or why not; and where they were,
        ``surrogate_n_exact``, exact values that it took, ``surrogate_error_sd`` and
        ``surrogate_error_max``, of exact minus interpolated log-density over those relative
        factors (posterior draws that the interpolation never saw), and ``surrogate_pareto_k``,
        of exact over interpolated densities there.

    Warns
    -----
    SamplingWarning
        If that error is more than twice what was promised.
    """
    threads = settings.cores or 1
    posterior, shared = recover_shared(
        target.gram, target.priors, draws, store, n_cells=N_CELLS, threads=threads
    )
    about: dict[str, Any] = {
        "effects_points": len(shared.anchors),
        "surrogate": "interpolated" if target.record.converged else target.record.reason,
    }
    if isinstance(target, InterpolatedTarget):
        error = interpolation_error(target, points[shared.anchors], shared.exact)
        about |= {
            "surrogate_n_exact": target.record.n_exact,
            "surrogate_error_sd": float(error.std()),
            "surrogate_error_max": float(np.abs(error).max()),
            "surrogate_pareto_k": smoothed_weights(error)[1],
        }
        _warn_if_inaccurate(about["surrogate_error_sd"])
    return posterior, about


def _warn_if_inaccurate(error_sd: float) -> None:
    if error_sd > _TOO_LARGE:
        warn(
            f"The interpolated log-density errs by {error_sd:.2g} (standard deviation over "
            f"posterior draws; {TOLERANCE} was promised): posterior means may be off by that many "
            "posterior standard deviations. Another random_seed interpolates between other "
            "points; sampler='nutpie' interpolates nothing.",
            SamplingWarning,
        )
