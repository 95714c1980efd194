"""The LKJ distribution of correlation matrices: density and draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaln

from bayeslmm.errors import PriorError
from bayeslmm.model.covariance.partial_correlations import (
    correlation_factor,
    correlation_of,
    partial_shape_offsets,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


def lkj_log_density(corr: Floats, eta: float) -> Floats:
    r"""Evaluate the LKJ log-density of correlation matrices.

    .. math:: \log p(R) = (\eta - 1) \log |R| - \log c_q(\eta)

    with the normalizing constant of Lewandowski, Kurowicka and Joe (2009), their equation 16:
    :math:`c_q = \prod_{k=1}^{q-1} [2^{2 a_k - 1} B(a_k, a_k)]^{q-k}` over the canonical
    partial correlations' Beta parameters :math:`a_k = \eta + (q - 1 - k) / 2`.

    Parameters
    ----------
    corr : ndarray, shape (..., q, q)
        Correlation matrices.
    eta : float
        Concentration, > 0; 1 is uniform.

    Returns
    -------
    ndarray, shape (...)
        The log-density with respect to the free correlations.

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
       doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    Two uncorrelated effects under the uniform prior on (-1, 1) have density 1/2:

    >>> round(float(np.exp(lkj_log_density(np.eye(2), 1.0))), 12)
    0.5
    """
    q = corr.shape[-1]
    _, logdet = np.linalg.slogdet(corr)
    constant = 0.0
    for k in range(1, q):
        a = eta + 0.5 * (q - 1 - k)
        beta = 2 * math.lgamma(a) - math.lgamma(2 * a)
        constant += (q - k) * ((2 * a - 1) * math.log(2) + beta)
    return np.asarray((eta - 1) * logdet - constant, dtype=np.float64)


def lkj_marginal_shape(q: int, eta: float) -> float:
    """Compute a of each single correlation's marginal distribution 2 Beta(a, a) - 1 under LKJ(eta).

    Parameters
    ----------
    q : int
        Number of columns.
    eta : float
        Concentration, > 0.

    Returns
    -------
    float
        eta + (q - 2) / 2.

    Examples
    --------
    >>> lkj_marginal_shape(2, 1.0)  # uniform on (-1, 1)
    1.0
    """
    return eta + 0.5 * (q - 2)


def log_density_of_partials(log_rest: Floats, shapes: Floats) -> Floats:
    r"""Evaluate the joint log-density of canonical partial correlations under LKJ.

    .. math:: \log p(z) = \sum_m (a_m - 1) \log (1 - z_m^2)
              - \log [2^{2 a_m - 1} B(a_m, a_m)]

    Parameters
    ----------
    log_rest : ndarray, shape (..., k)
        log(1 - z^2), which is exact also where z itself rounds to one.
    shapes : ndarray, shape (k,)
        a: eta + `partial_shape_offsets`.

    Returns
    -------
    ndarray, shape (...)

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
       doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    Uniform on (-1, 1):

    >>> round(float(np.exp(log_density_of_partials(np.log([1 - 0.3**2]), np.array([1.0])))), 12)
    0.5
    """
    constant = (2.0 * shapes - 1.0) * math.log(2.0) + betaln(shapes, shapes)
    return np.asarray(((shapes - 1.0) * log_rest - constant).sum(axis=-1))


def draw_lkj(q: int, eta: float, size: int, rng: np.random.Generator) -> Floats:
    r"""Draw correlation matrices from LKJ(eta) by canonical partial correlations.

    Pair by pair, row by row, :math:`(z_{ij} + 1) / 2 \sim \mathrm{Beta}(a_j, a_j)` with
    :math:`a_j = \eta + (q - 2 - j) / 2` for columns :math:`j = 0, 1, \dots` (the C-vine of the
    reference); `correlation_factor` makes the matrix of them.

    Parameters
    ----------
    q : int
        Number of columns, at least 1.
    eta : float
        Concentration, > 0.
    size : int
        Number of matrices.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (size, q, q)
        Correlation matrices with exact ones on the diagonal.

    Raises
    ------
    PriorError
        If `q` is less than 1 or `eta` is not positive.

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009), section 2. doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    >>> draw_lkj(3, 2.0, 5, np.random.default_rng(1)).shape
    (5, 3, 3)
    """
    if q < 1 or not eta > 0:
        raise PriorError(f"LKJ needs q >= 1 and eta > 0, not q={q}, eta={eta}.")
    shapes = eta + partial_shape_offsets(q)
    partials = np.empty((size, len(shapes)))
    for k, a in enumerate(shapes):
        partials[:, k] = 2.0 * rng.beta(a, a, size=size) - 1.0
    return correlation_of(correlation_factor(partials, q))
