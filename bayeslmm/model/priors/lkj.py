"""The LKJ distribution of correlation matrices: density and draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import PriorError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def lkj_log_density(corr: NDArray[np.float64], eta: float) -> NDArray[np.float64]:
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


def draw_lkj(q: int, eta: float, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    r"""Draw correlation matrices from LKJ(eta) by canonical partial correlations.

    Row i of the Cholesky factor is :math:`L_{ij} = z_{ij} \prod_{k < j} \sqrt{1 - z_{ik}^2}` with
    :math:`(z_{ij} + 1) / 2 \sim \mathrm{Beta}(a_j, a_j)`, :math:`a_j = \eta + (q - 1 - j) / 2`
    for columns :math:`j = 1, 2, \dots` (the C-vine of the reference).

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
    factor = np.zeros((size, q, q))
    factor[:, 0, 0] = 1.0
    for i in range(1, q):
        left = np.ones(size)  # what of the row's unit length is not used up yet
        for j in range(i):
            a = eta + 0.5 * (q - 2 - j)
            z = 2.0 * rng.beta(a, a, size=size) - 1.0
            factor[:, i, j] = z * left
            left = left * np.sqrt((1.0 - z) * (1.0 + z))
        factor[:, i, i] = left
    corr = factor @ np.swapaxes(factor, -1, -2)
    diagonal = np.arange(q)
    corr[:, diagonal, diagonal] = 1.0
    return corr
