"""From draws of the variance parameters to every variable of the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.gram.likelihood import split_columns
from bayeslmm.inference.result import each_batch
from bayeslmm.kernels.elimination.draws import draw_joint
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.structured.target import StructuredTarget
    from bayeslmm.results.kept_effects import EffectsStore

# Random effects drawn at a time: 16 million numbers are 128 MB.
_BATCH_VALUES = 16_000_000
# Each draw has cross-products of its own.
_ONE_CELL = np.arange(2)


def recover_posterior(
    target: StructuredTarget, points: Floats, store: EffectsStore
) -> dict[str, Floats]:
    """Draw the effects given each draw of the variance parameters, and name all of it.

    Parameters
    ----------
    target : StructuredTarget
        The posterior.
    points : ndarray, shape (chain, draw, size)
        Coordinates.
    store : EffectsStore
        Takes the random effects, and has the generator.

    Returns
    -------
    dict of str to ndarray, shapes (chain, draw, ...)
        ``beta``, ``sd_<factor>``, ``corr_<factor>`` and the residuals' parameters.
    """
    shape = points.shape[:2]
    flat = points.reshape(shape[0] * shape[1], points.shape[-1])
    sds, partials, phi, beta = target.parts(target.parameters(flat))
    out, at, pair = target.model.structured_residual.variables(phi.reshape(*shape, -1)), 0, 0
    for factor in target.priors.factors:
        covariance = factor.covariance
        m, k = covariance.n_sds, covariance.n_partials
        own = partials[:, pair : pair + k].reshape(*shape, k)
        out |= covariance.variables(sds[:, at : at + m].reshape(*shape, m), own)
        at, pair = at + m, pair + k
    drawn = draw_effects(target, target.packed(sds, partials), phi, beta, store)
    if target.priors.coef:
        out[names.BETA] = drawn.reshape(*shape, -1)
    return out


def draw_effects(
    target: StructuredTarget, lams: Floats, phi: Floats, given: Floats, store: EffectsStore
) -> Floats:
    """Draw beta and the effects of all draws, in batches that bound the memory.

    Parameters
    ----------
    target : StructuredTarget
        The posterior.
    lams : ndarray, shape (s, n_lambda)
        Packed factors L_k of G_k.
    phi : ndarray, shape (s, n_phi)
        The residuals' parameters.
    given : ndarray, shape (s, p) or (s, 0)
        Fixed effects; those of (s, 0) are drawn.
    store : EffectsStore
        Takes the random effects, and has the generator.

    Returns
    -------
    ndarray, shape (s, p)
        The fixed effects.
    """
    products, p = target.products, len(target.priors.coef)
    known = given.shape[1] > 0
    prior = (np.zeros(p), np.zeros((p, p))) if known else target.beta_prior
    size = max(1, min(len(phi), _BATCH_VALUES // max(products.plan.n_columns, 1)))
    batches = range(0, len(phi), size)
    betas = [np.zeros((0, p))]
    for first in each_batch(batches, progressbar=store.progressbar):
        some = slice(first, first + size)
        beta = given[some] if known else store.rng.standard_normal((len(phi[some]), p))
        joint = store.rng.standard_normal((len(phi[some]), products.plan.n_columns))
        with single_blas_thread():
            for k, at in enumerate(products.each_floats(phi[some])):
                draw_joint(
                    products.plan.ints, at, lams[first + k : first + k + 1], _ONE_CELL, np.ones(1),
                    *prior, beta[k : k + 1], joint[k : k + 1], known, False,
                )  # fmt: skip
        betas.append(beta)
        store.add(split_columns(products.reference, joint))
    return np.concatenate(betas)
