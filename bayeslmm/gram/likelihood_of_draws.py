"""The likelihood of a model's parameters, random effects integrated out, for many draws at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.reduction import log_densities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
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
    >>> from bayeslmm.design.build import build_design
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
    return log_densities(gram, np.concatenate(packed, axis=1), sigma, beta=beta)
