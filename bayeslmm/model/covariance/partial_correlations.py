"""What canonical partial correlations are to a correlation matrix: shapes, factors and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.covariance.factors import factor_from_covariance

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


def correlation_factor(partials: Floats, q: int) -> Floats:
    r"""Compute the Cholesky factor of a correlation matrix from canonical partial correlations.

    .. math:: C_{ij} = z_{ij} \prod_{k<j} \sqrt{1 - z_{ik}^2}, \quad
              C_{ii} = \prod_{k<i} \sqrt{1 - z_{ik}^2}

    With :math:`(1 + z_{ij}) / 2 \sim Beta(a_j, a_j)`, :math:`a_j = \eta + (q - 2 - j) / 2` for
    columns counted from 0, the matrix C C' is LKJ(eta).

    Parameters
    ----------
    partials : ndarray, shape (..., q (q - 1) / 2)
        Row by row.
    q : int
        Number of columns.

    Returns
    -------
    ndarray, shape (..., q, q)
        Lower-triangular, with rows of unit length.

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
       doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    >>> correlation_factor(np.array([0.6]), 2).round(12)
    array([[1. , 0. ],
           [0.6, 0.8]])
    """
    factor = np.zeros((*partials.shape[:-1], q, q))
    at = 0
    for i in range(q):
        left = np.ones(partials.shape[:-1])  # what of the row's unit length is not used up yet
        for j in range(i):
            z = partials[..., at]
            factor[..., i, j] = z * left
            left = left * np.sqrt((1 - z) * (1 + z))
            at += 1
        factor[..., i, i] = left
    return factor


def pull_back_partials(partials: Floats, d_factor: Floats) -> Floats:
    r"""Compute the gradient in canonical partial correlations from that in the factor C.

    .. math:: \dot z_{ij} = \dot C_{ij} \prod_{k<j} \sqrt{1 - z_{ik}^2}
              - \frac{z_{ij}}{1 - z_{ij}^2} \sum_{k>j} \dot C_{ik} C_{ik}

    since each later entry of row i contains :math:`\sqrt{1 - z_{ij}^2}` as a factor.

    Parameters
    ----------
    partials : ndarray, shape (..., q (q - 1) / 2)
        Row by row, as in `correlation_factor`.
    d_factor : ndarray, shape (..., q, q)
        Gradient of a scalar in C; what stands above the diagonal is not read.

    Returns
    -------
    ndarray, shape like `partials`

    Examples
    --------
    >>> pull_back_partials(np.array([0.6]), np.array([[0.0, 0.0], [1.0, 2.0]])).round(12)
    array([-0.5])
    """
    q = d_factor.shape[-1]
    weighted = d_factor * correlation_factor(partials, q)
    gradient = np.zeros(partials.shape)
    at = 0
    for i in range(q):
        left = np.ones(partials.shape[:-1])
        for j in range(i):
            z = partials[..., at]
            tail = weighted[..., i, j + 1 : i + 1].sum(axis=-1)
            gradient[..., at] = d_factor[..., i, j] * left - tail * z / ((1 - z) * (1 + z))
            left = left * np.sqrt((1 - z) * (1 + z))
            at += 1
    return gradient


def partial_shape_offsets(q: int) -> Floats:
    """Compute the Beta shapes of (1 + z) / 2 less eta, for the canonical partial correlations z.

    Parameters
    ----------
    q : int
        Number of columns that are correlated with each other.

    Returns
    -------
    ndarray, shape (q (q - 1) / 2,)
        (q - 2 - j) / 2 for each pair (i, j), j < i, row by row.

    Examples
    --------
    >>> partial_shape_offsets(3)
    array([0.5, 0.5, 0. ])
    """
    return np.array([0.5 * (q - 2 - j) for i in range(q) for j in range(i)], dtype=np.float64)


def partials_of_factor(factor: Floats) -> Floats:
    """Compute canonical partial correlations from a Cholesky factor, undoing `correlation_factor`.

    Parameters
    ----------
    factor : ndarray, shape (..., q, q)
        Lower-triangular, with rows of unit length and a positive diagonal.

    Returns
    -------
    ndarray, shape (..., q (q - 1) / 2)
        Row by row.

    Examples
    --------
    >>> partials_of_factor(np.array([[1.0, 0.0], [0.6, 0.8]]))
    array([0.6])
    """
    below = np.tril_indices(factor.shape[-1], -1)
    return np.asarray((factor / np.sqrt(_tails(factor**2)))[..., *below])


def _tails(products: Floats) -> Floats:
    """Sum each row's entries from each column on; what stands above the diagonal is one."""
    tails = np.cumsum(np.tril(products)[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(tails + np.triu(np.ones(tails.shape[-2:]), 1))


def slopes_of_partials(factor: Floats, d_factor: Floats) -> Floats:
    r"""Compute derivatives of canonical partial correlations from those of the factor.

    .. math:: z_{ij} = C_{ij} / l_{ij}, \quad l_{ij}^2 = \sum_{m=j}^{i} C_{im}^2, \quad
              \dot z_{ij} = (\dot C_{ij} - z_{ij} \dot l_{ij}) / l_{ij}

    Parameters
    ----------
    factor : ndarray, shape (q, q)
        Lower-triangular, with rows of unit length and a positive diagonal.
    d_factor : ndarray, shape (k, q, q)
        Its derivatives.

    Returns
    -------
    ndarray, shape (k, q (q - 1) / 2)
        Row by row.

    Examples
    --------
    >>> factor = np.array([[1.0, 0.0], [0.6, 0.8]])
    >>> slopes_of_partials(factor, np.array([[[0.0, 0.0], [1.0, -0.75]]])).round(12)
    array([[1.]])
    """
    below = np.tril_indices(factor.shape[-1], -1)
    left = np.sqrt(_tails(factor**2))
    d_left = np.cumsum((factor * d_factor)[..., ::-1], axis=-1)[..., ::-1] / left
    return np.asarray(((d_factor - factor / left * d_left) / left)[..., *below])


def correlation_of(unit: Floats) -> Floats:
    """Compute correlation matrices from their Cholesky factors.

    Parameters
    ----------
    unit : ndarray, shape (..., q, q)
        Lower-triangular, with rows of unit length.

    Returns
    -------
    ndarray, shape (..., q, q)
        Correlation matrices with exact ones on the diagonal.

    Examples
    --------
    >>> correlation_of(np.array([[1.0, 0.0], [0.6, 0.8]]))
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    corr = unit @ np.swapaxes(unit, -1, -2)
    # Rounding leaves the diagonal at 1 - 1e-16; readers may rely on exactly 1.
    diagonal = np.arange(unit.shape[-1])
    corr[..., diagonal, diagonal] = 1.0
    return np.asarray(corr)


def partial_correlations_of(corr: Floats) -> Floats:
    """Compute the canonical partial correlations of a matrix, shrunk a little towards identity.

    Parameters
    ----------
    corr : ndarray, shape (q, q)
        A correlation matrix; it may be singular, with NaN for what is not defined.

    Returns
    -------
    ndarray, shape (q (q - 1) / 2,)
        Row by row, from -0.95 to 0.95: what `correlation_factor` takes.

    Examples
    --------
    >>> partial_correlations_of(np.array([[1.0, 0.6], [0.6, 1.0]])).round(12)
    array([0.57])
    """
    # A singular estimate has undefined correlations: shrink them a little towards zero.
    safe = 0.95 * np.nan_to_num(corr) + 0.05 * np.eye(len(corr))
    np.fill_diagonal(safe, 1.0)
    factor = factor_from_covariance(safe)
    found = []
    for i in range(len(corr)):
        left = 1.0
        for j in range(i):
            z = float(np.clip(factor[i, j] / left, -0.95, 0.95))
            found.append(z)
            left *= np.sqrt(1.0 - z * z)
    return np.array(found)
