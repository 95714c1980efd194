"""The collapsed log-density at many points in one compiled loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.collapsed import density_given_fixed, fill_factors
from bayeslmm.densities import density_of_reduced, to_plan
from bayeslmm.linked_kernels import factorize, linked_entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@linked_entry
def collapsed_values(
    ints: Ints,
    floats: Floats,
    table: Ints,
    sds: Floats,
    partials: Floats,
    sigmas: Floats,
    betas: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> Floats:
    """Evaluate log p(y | sds, correlations, sigma), or of y given beta too, point by point.

    Parameters
    ----------
    ints, floats, table, prior_mean, prior_precision : ndarray
        As in `collapsed_density`.
    sds : ndarray, shape (s, sum of q)
        Standard deviations of the random effects, factor by factor.
    partials : ndarray, shape (s, number of pairs within blocks)
        Canonical partial correlations.
    sigmas : ndarray, shape (s,)
        Residual standard deviations.
    betas : ndarray, shape (s, p) or (s, 0)
        Fixed effects on the original scale; no columns where they are integrated out.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities; -inf where they cannot be computed.
    """
    n_lambda = 0
    for f in range(table[0]):
        n_lambda += table[1 + f] * table[1 + f]
    values, d_beta = np.empty(len(sigmas)), np.zeros(betas.shape[1])
    correlation, lam = np.zeros(n_lambda), np.zeros(n_lambda)
    for d in range(len(sigmas)):
        values[d] = -math.inf
        if not sigmas[d] > 0.0:
            continue
        fill_factors(table, sds[d], partials[d], sigmas[d], correlation, lam)
        ok, logdet, T, _, _, _ = factorize(ints, floats, to_plan(ints, floats, lam, False))
        if not ok:
            continue
        if betas.shape[1] > 0:
            value, _, _ = density_given_fixed(floats, T, logdet, sigmas[d], betas[d], d_beta)
        else:
            value, _, _ = density_of_reduced(
                floats, T, logdet, sigmas[d], prior_mean, prior_precision
            )
        if not math.isnan(value):
            values[d] = value
    return values
