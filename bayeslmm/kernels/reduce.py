"""Compiled pieces of a collapsed density: the factorization, and what is finished from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.densities import LOG_2PI, density_of_reduced, quadratic, to_working
from bayeslmm.kernels.factorization import factorize, linked_entry
from bayeslmm.kernels.jit import entry
from bayeslmm.kernels.layout import open_working

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@linked_entry
def reduce_factor(ints: Ints, floats: Floats, lam: Floats) -> tuple[float, Floats]:
    """Return log|V| (-inf where Q cannot be factored) and T at one packed relative factor."""
    scaled = to_working(open_working(ints, floats), lam, False)
    ok, logdet, T, _, _, _ = factorize(ints, floats, scaled)
    return (logdet if ok else -math.inf), T


@entry
def finish(
    ints: Ints,
    floats: Floats,
    logdet: Floats,
    cross: Floats,
    sigma: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> Floats:
    """Finish log p(y | Lambda, sigma), beta integrated out, from log|V| and T, one by one."""
    values, working = np.empty(len(sigma)), open_working(ints, floats)
    for d in range(len(sigma)):
        value, _, _ = density_of_reduced(
            working, cross[d], logdet[d], sigma[d], prior_mean, prior_precision
        )
        # log|V| is never negative; -inf says that Q was not factored.
        values[d] = -math.inf if math.isnan(value) or logdet[d] < -1.0 else value
    return values


@entry
def finish_given_fixed(
    ints: Ints, floats: Floats, logdet: Floats, cross: Floats, sigma: Floats, beta: Floats
) -> Floats:
    """Finish log p(y | beta, Lambda, sigma) from log|V| and T, one by one."""
    p, working = beta.shape[1], open_working(ints, floats)
    values, v = np.empty(len(sigma)), np.ones(p + 1)
    for d in range(len(sigma)):
        for i in range(p):
            v[i] = 0.0
            for k in range(p):
                v[i] -= working.R[i, k] * (beta[d, k] - working.origin[k])
        value = -0.5 * (
            working.n * (LOG_2PI + 2.0 * math.log(sigma[d]))
            - working.sum_log_weights
            + logdet[d]
            + quadratic(cross[d], v) / sigma[d] ** 2
        )
        values[d] = -math.inf if math.isnan(value) or logdet[d] < -1.0 else value
    return values
