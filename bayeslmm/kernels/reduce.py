"""Compiled pieces of a collapsed density: the factorization, and what is finished from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.densities import HEAD, LOG_2PI, density_of_reduced, quadratic, to_plan
from bayeslmm.kernels.factorization import factorize, linked_entry
from bayeslmm.kernels.jit import entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@linked_entry
def reduce_factor(ints: Ints, floats: Floats, lam: Floats) -> tuple[float, Floats]:
    """Give log|V| (-inf where Q cannot be factored) and T at one packed relative factor."""
    ok, logdet, T, _, _, _ = factorize(ints, floats, to_plan(ints, floats, lam, False))
    return (logdet if ok else -math.inf), T


@entry
def finish(
    floats: Floats,
    logdet: Floats,
    cross: Floats,
    sigma: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> Floats:
    """Finish log p(y | Lambda, sigma), beta integrated out, from log|V| and T, one by one."""
    values = np.empty(len(sigma))
    for d in range(len(sigma)):
        value, _, _ = density_of_reduced(
            floats, cross[d], logdet[d], sigma[d], prior_mean, prior_precision
        )
        # log|V| is never negative; -inf says that Q was not factored.
        values[d] = -math.inf if math.isnan(value) or logdet[d] < -1.0 else value
    return values


@entry
def finish_given_fixed(
    floats: Floats, logdet: Floats, cross: Floats, sigma: Floats, beta: Floats
) -> Floats:
    """Finish log p(y | beta, Lambda, sigma) from log|V| and T, one by one."""
    p = beta.shape[1]
    scale = floats[HEAD : HEAD + p * p].reshape(p, p)
    origin = floats[HEAD + 2 * p * p : HEAD + 2 * p * p + p]
    values, v = np.empty(len(sigma)), np.ones(p + 1)
    for d in range(len(sigma)):
        for i in range(p):
            v[i] = 0.0
            for k in range(p):
                v[i] -= scale[i, k] * (beta[d, k] - origin[k])
        value = -0.5 * (
            floats[0] * (LOG_2PI + 2.0 * math.log(sigma[d]))
            - floats[1]
            + logdet[d]
            + quadratic(cross[d], v) / sigma[d] ** 2
        )
        values[d] = -math.inf if math.isnan(value) or logdet[d] < -1.0 else value
    return values
