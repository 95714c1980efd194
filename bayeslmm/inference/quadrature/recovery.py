"""From draws of everything but the effects to every variable of the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.inference.result import each_batch
from bayeslmm.model.family_numbers import family_variables

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.quadrature.target import QuadratureTarget
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import EffectsStore

# Random effects drawn at a time: 16 million numbers are 128 MB.
_BATCH_VALUES = 16_000_000


def recover_posterior(
    model: Model, target: QuadratureTarget, points: Floats, store: EffectsStore
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Draw the effects given each draw of everything else, and name all of it.

    Parameters
    ----------
    model : Model
        What is assumed.
    target : QuadratureTarget
        Its posterior.
    points : ndarray, shape (chain, draw, size)
        Coordinates.
    store : EffectsStore
        Takes the effects, and has the generator.

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        ``beta``, the family's parameters or the coefficients of their predictors,
        ``sd_<factor>``, ``corr_<factor>`` and numbers of G's structure.
    about : dict
        ``effects_acceptance`` and ``effects_steps``: smallest share of accepted Metropolis steps
        of any level, and the most steps that a level's draws took.
    """
    shape, flat = points.shape[:2], points.reshape(-1, points.shape[-1])
    values = target.parameters(flat)
    a, b = target.n_sds, target.n_sds + target.n_partials
    c = b + target.n_phi
    covariance = target.covariance
    sds, partials = values[:, :a].reshape(*shape, a), values[:, a:b].reshape(*shape, b - a)
    out = covariance.variables(sds, partials)
    if model.priors.coef:
        out[names.BETA] = model.priors.raw_beta(values[:, c:]).reshape(*shape, -1)
    out |= family_variables(model, values[:, b:c].reshape(*shape, c - b), out.get(names.BETA))
    given = target.given(flat)
    wide = target.likelihood.n_levels * covariance.n_columns
    size = max(1, min(len(flat), _BATCH_VALUES // wide))
    batches = range(0, len(flat), size)
    acceptance, steps = 1.0, 0
    for first in each_batch(batches, progressbar=store.progressbar):
        some = given[first : first + size]
        drawn = target.likelihood.draw(some, store.rng, threads=target.threads)
        store.add([drawn.effects])
        acceptance = min(acceptance, float(np.min(drawn.acceptance)))
        steps = max(steps, int(drawn.steps.max()))
    return out, {"effects_acceptance": acceptance, "effects_steps": steps}
