"""The covariance of random effects in its four dresses: theta, factor, (sd, corr), G.

A grouping factor with q columns has G = L L' with L lower triangular, and block-diagonal where
columns are uncorrelated by the formula. The relative factor is Lambda = L / sigma. `theta` lists
Lambda's free entries block by block, each block's lower triangle column by column (lme4's order;
PyMC packs row by row, and the two differ from three columns on).

References
----------
Bates, Maechler, Bolker & Walker (2015), Journal of Statistical Software 67(1), section 2.2.
doi:10.18637/jss.v067.i01
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.arrays import Blocks

SINGULAR_TOLERANCE = 1e-4
"""A relative standard deviation below this counts as zero, as in lme4's `isSingular`."""


def free_entries(blocks: Blocks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Locate the free entries of a factor in the order of theta.

    Parameters
    ----------
    blocks : tuple of tuple of int
        Columns that are correlated with each other, block by block.

    Returns
    -------
    rows, cols : ndarray of int, shape (n_theta,)
        Row and column of each entry.

    Examples
    --------
    >>> rows, cols = free_entries(((0, 1, 2),))
    >>> list(zip(rows.tolist(), cols.tolist()))
    [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)]
    """
    pairs = [(row, col) for block in blocks for k, col in enumerate(block) for row in block[k:]]
    index = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return index[:, 0], index[:, 1]


def theta_from_factor(factor: ArrayLike, blocks: Blocks) -> NDArray[np.float64]:
    """Read theta off a lower-triangular relative factor.

    Parameters
    ----------
    factor : array_like, shape (q, q)
        Lambda.
    blocks : tuple of tuple of int
        The blocks of correlated columns.

    Returns
    -------
    ndarray, shape (n_theta,)
        The free entries, column-major lower triangle of each block.

    Examples
    --------
    >>> theta_from_factor([[2.0, 0.0], [0.5, 1.0]], ((0,), (1,))).tolist()
    [2.0, 1.0]
    """
    rows, cols = free_entries(blocks)
    return np.asarray(factor, dtype=float)[rows, cols]


def theta_names(factor: str, terms: tuple[str, ...], blocks: Blocks) -> list[str]:
    """Name the entries of theta as lme4 does: ``factor.term`` and ``factor.row.column``.

    Parameters
    ----------
    factor : str
        Name of the grouping factor.
    terms : tuple of str
        Names of its columns.
    blocks : tuple of tuple of int
        The blocks of correlated columns.

    Returns
    -------
    list of str
        One name per entry.

    Examples
    --------
    >>> theta_names("Subject", ("Intercept", "Days"), ((0, 1),))
    ['Subject.Intercept', 'Subject.Days.Intercept', 'Subject.Days']
    """
    return [
        f"{factor}.{terms[row]}" if row == col else f"{factor}.{terms[row]}.{terms[col]}"
        for row, col in zip(*free_entries(blocks), strict=True)
    ]


def lower_factor(matrix: ArrayLike) -> NDArray[np.float64]:
    """Find the lower-triangular L with non-negative diagonal and L L' = A A'.

    Working on A itself keeps the digits that forming A A' would lose near a singular covariance.

    Parameters
    ----------
    matrix : array_like, shape (q, r)
        Any factor A of the covariance.

    Returns
    -------
    ndarray, shape (q, q)
        L.

    Examples
    --------
    >>> lower_factor([[-2.0, 0.0], [1.0, 3.0]]).tolist()
    [[2.0, 0.0], [-1.0, 3.0]]
    """
    A = np.asarray(matrix, dtype=float)
    q = A.shape[0]
    L = np.zeros((q, q))
    R = np.linalg.qr(A.T, mode="r")
    L[:, : R.shape[0]] = R.T
    signs = np.where(np.diag(L) < 0.0, -1.0, 1.0)
    return L * signs + 0.0  # adding zero turns -0.0 into 0.0


def factor_from_covariance(covariance: ArrayLike) -> NDArray[np.float64]:
    """Factor a positive semi-definite G as L L', a zero pivot giving a zero column.

    Parameters
    ----------
    covariance : array_like, shape (q, q)
        G.

    Returns
    -------
    ndarray, shape (q, q)
        L, lower triangular with a non-negative diagonal.

    Raises
    ------
    NumericalError
        If G is not positive semi-definite.

    Examples
    --------
    >>> factor_from_covariance([[4.0, 2.0], [2.0, 1.0]]).tolist()
    [[2.0, 0.0], [1.0, 0.0]]
    """
    G = np.asarray(covariance, dtype=float)
    q = G.shape[0]
    scale = np.sqrt(np.maximum(np.diag(G), 0.0))
    # Rounding in a sum of q products, on the scale of correlations.
    tolerance = 1e-12 * q
    L = np.zeros((q, q))
    for j in range(q):
        rest = G[j:, j] - L[j:, :j] @ L[j, :j]
        if rest[0] > tolerance * scale[j] ** 2:
            L[j:, j] = rest / np.sqrt(rest[0])
        elif np.any(np.abs(rest) > np.sqrt(tolerance) * scale[j:] * scale[j]) or G[j, j] < 0.0:
            msg = f"The covariance matrix is not positive semi-definite at column {j}:\n{G}"
            raise NumericalError(msg)
    return L


def factor_from_sd_corr(sd: ArrayLike, corr: ArrayLike) -> NDArray[np.float64]:
    """Build L = diag(sd) C, where C C' is the correlation matrix.

    Parameters
    ----------
    sd : array_like, shape (q,)
        Standard deviations.
    corr : array_like, shape (q, q)
        Correlations.

    Returns
    -------
    ndarray, shape (q, q)
        L, lower triangular; in the unit of `sd`.

    Raises
    ------
    NumericalError
        If `corr` is not positive semi-definite.

    Examples
    --------
    >>> factor_from_sd_corr([3.0, 5.0], [[1.0, 0.8], [0.8, 1.0]]).round(12).tolist()
    [[3.0, 0.0], [4.0, 3.0]]
    """
    return np.asarray(sd, dtype=float)[:, None] * factor_from_covariance(corr)


def sd_corr_from_factor(factor: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read standard deviations and correlations off a factor of the covariance.

    Parameters
    ----------
    factor : array_like, shape (q, r)
        Any A with G = A A'.

    Returns
    -------
    sd : ndarray, shape (q,)
        Standard deviations, in the unit of `factor`.
    corr : ndarray, shape (q, q)
        Correlations; NaN beside a zero standard deviation, where none is defined.

    Examples
    --------
    >>> sd, corr = sd_corr_from_factor([[3.0, 0.0], [4.0, 3.0]])
    >>> sd.tolist(), corr.tolist()
    ([3.0, 5.0], [[1.0, 0.8], [0.8, 1.0]])
    """
    A = np.asarray(factor, dtype=float)
    sd = np.sqrt(np.sum(A * A, axis=1))
    unit = np.divide(A, sd[:, None], out=np.full_like(A, np.nan), where=sd[:, None] > 0.0)
    corr = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(corr, 1.0)
    return sd, corr
