"""The likelihood of a model's parameters, random effects integrated out, for many draws at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.densities import LOG_2PI, quadratic, to_working
from bayeslmm.kernels.factorization import factorize, linked_entry
from bayeslmm.kernels.layout import open_working
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram


def marginal_log_likelihood(
    gram: Gram, beta: Floats, roots: Sequence[Floats], sigma: Floats
) -> Floats:
    r"""Compute log p(y | beta, G, sigma), draw by draw.

    .. math:: y \sim N\Big(X \beta + o, \; \sum_k Z_k G_k Z_k' + \sigma^2 W^{-1}\Big)

    Parameters
    ----------
    gram : Gram
        The cross-products.
    beta : ndarray, shape (s, p)
        Fixed effects.
    roots : sequence of ndarray, shapes (s, q, q)
        Per grouping factor, in the Gram's order, any L with G = L L'.
    sigma : ndarray, shape (s,)
        Residual standard deviations.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities; -inf where the covariance cannot be factored.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), section 3. doi:10.18637/jss.v067.i01

    Examples
    --------
    >>> from bayeslmm.design.design import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> ones = np.ones(1)
    >>> value = marginal_log_likelihood(
    ...     Gram.from_design(design), 2 * np.ones((1, 1)), [np.ones((1, 1, 1))], ones
    ... )
    >>> value.round(4)
    array([-6.1077])
    """
    packed = [(root / sigma[:, None, None]).reshape(len(sigma), -1) for root in roots] or [
        np.zeros((len(sigma), 0))
    ]
    plan = gram.plan
    with single_blas_thread():
        values: Floats = _log_likelihoods(
            plan.ints,
            plan.floats,
            np.ascontiguousarray(np.concatenate(packed, axis=1)),
            np.ascontiguousarray(sigma, dtype=float),
            np.ascontiguousarray(beta, dtype=float),
        )
    return values


@linked_entry
def _log_likelihoods(
    ints: Ints, floats: Floats, lams: Floats, sigmas: Floats, betas: Floats
) -> Floats:
    """Compute the densities; T = [X y]'V^-1[X y] gives the residuals' sum of squares."""
    p, working = betas.shape[1], open_working(ints, floats)
    values, v = np.empty(len(sigmas)), np.ones(p + 1)
    for d in range(len(sigmas)):
        ok, logdet, T, _, _, _ = factorize(ints, floats, to_working(working, lams[d], False))
        if not ok:
            values[d] = -math.inf
            continue
        for i in range(p):
            v[i] = 0.0
            for k in range(p):
                v[i] -= working.R[i, k] * (betas[d, k] - working.origin[k])
        values[d] = -0.5 * (
            working.n * (LOG_2PI + 2.0 * math.log(sigmas[d]))
            - working.sum_log_weights
            + logdet
            + quadratic(T, v) / sigmas[d] ** 2
        )
    return values
