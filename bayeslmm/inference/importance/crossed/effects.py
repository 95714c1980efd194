"""Effects for thousands of draws from a few dozen relative factors, without a dense matrix.

As in `shared_effects`, draws whose relative factors are close share those of one of them: beta and
the effects of a cell are drawn exactly given them and each draw's own sigma. Where only means and
standard deviations are kept nothing is drawn: they are those given each cell's relative factors,
put together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.gram.border.draws import draw_beta
from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.gram.told import conditional_from
from bayeslmm.inference.importance.interpolation import FactorCoordinates, Whitening
from bayeslmm.inference.importance.shared_effects import cut_cells
from bayeslmm.inference.marginal.recovery import variance_variables
from bayeslmm.inference.result import each_batch
from bayeslmm.model.priors.fixed_effects import normal_prior
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.border.reduce import ProbedReduction, SparseReduction
    from bayeslmm.gram.gram import Gram
    from bayeslmm.inference.marginal.recovery import MarginalDraws
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsStore

# Relative factors for draws of effects; and for their moments, which vary far less with them.
N_CELLS, N_MOMENTS = 64, 16
# Columns that are drawn together: 64 of 100,000 levels are 50 MB.
_COLUMNS = 64


def recover_crossed(
    gram: Gram,
    priors: Priors,
    draws: MarginalDraws,
    store: EffectsStore,
    reduction: ProbedReduction | SparseReduction,
) -> tuple[dict[str, Floats], int]:
    """Return the posterior's variables as `recover_posterior` does, without a dense matrix.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior.
    draws : MarginalDraws
        Leading dimensions (chain, draw).
    store : EffectsStore
        Takes the random effects, and has the generator.
    reduction : ProbedReduction or SparseReduction
        Has them laid out, and what solves for effects.

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        ``sigma``, ``sd_<factor>``, ``corr_<factor>`` and ``beta``, by the contract's names.
    n_cells : int
        At how many relative factors.
    """
    result, packed = variance_variables(priors, draws)
    sigma, rng = draws.sigma.ravel(), store.rng
    given = None if draws.beta is None else draws.beta.reshape(len(sigma), -1)
    beta = np.empty((len(sigma), len(gram.coef))) if given is None else given
    prior = normal_prior(priors) if given is None else None
    moments = store.keeps_moments_only and prior is not None
    coordinates = FactorCoordinates(gram)(packed)
    whitened = Whitening(coordinates, np.ones(len(packed)))(coordinates)
    cells = cut_cells(whitened, N_MOMENTS if moments else N_CELLS, rng)
    with single_blas_thread():
        each = list(zip(cells.members, cells.anchors, strict=True))
        for places, anchor in each_batch(each, progressbar=store.progressbar):
            at = reduction.at(packed[anchor])
            if prior is not None:
                beta[places] = draw_beta(gram, at.T, sigma[places], prior, rng)
            if moments and prior is not None:
                lams = unpack_factors(gram, packed[anchor])
                own = float(sigma[places].mean())
                found = conditional_from(gram, lams, own, at.solved(rng), (prior[1], prior[0]))
                store.add_moments(found.modes, found.marginal_cov, len(places))
                continue
            for first in range(0, len(places), _COLUMNS):
                some = places[first : first + _COLUMNS]
                store.add(at.draw(beta[some], sigma[some], rng), some)
    if priors.coef:
        result[names.BETA] = beta.reshape(*draws.sigma.shape, -1)
    return result, len(cells.anchors)
