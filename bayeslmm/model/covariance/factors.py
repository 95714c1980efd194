"""Four parametrizations of G, and the maps between them: theta, L, (sd, corr), G itself.

A grouping factor with q columns has G = L L' with L lower triangular, and block-diagonal where
columns are uncorrelated by the formula. The relative factor is Lambda = L / sigma. `theta` lists
Lambda's free entries, for each set of correlated columns its lower triangle column by column
(lme4's order; PyMC packs row by row, and the two differ from three columns on).

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
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

SINGULAR_TOLERANCE = 1e-4
"""A relative standard deviation below this counts as zero, as in lme4's `isSingular`."""


def lower_entries(q: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of a lower triangle's entries column by column, in the order of theta.

    Parameters
    ----------
    q : int
        Number of columns.

    Returns
    -------
    rows, cols : ndarray of int, shape (q (q + 1) / 2,)
        Row and column of each entry.

    Examples
    --------
    >>> rows, cols = lower_entries(3)
    >>> list(zip(rows.tolist(), cols.tolist()))
    [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)]
    """
    cols, rows = np.triu_indices(q)
    return rows, cols


def theta_from_factor(factor: ArrayLike) -> NDArray[np.float64]:
    """Return the lower triangle of a relative factor, column by column.

    Parameters
    ----------
    factor : array_like, shape (q, q)
        Lambda of columns that are all correlated with each other.

    Returns
    -------
    ndarray, shape (q (q + 1) / 2,)
        Its part of theta.

    Examples
    --------
    >>> theta_from_factor([[2.0, 0.0], [0.5, 1.0]]).tolist()
    [2.0, 0.5, 1.0]
    """
    L = np.asarray(factor, dtype=float)
    return L[lower_entries(len(L))]


def theta_names(factor: str, terms: Sequence[str]) -> list[str]:
    """Return lme4's names of theta's entries: ``factor.term`` and ``factor.row.column``.

    Parameters
    ----------
    factor : str
        Name of the grouping factor.
    terms : sequence of str, length q
        Names of columns that are all correlated with each other.

    Returns
    -------
    list of str
        One name per entry, in the order of `lower_entries`.

    Examples
    --------
    >>> theta_names("Subject", ("Intercept", "Days"))
    ['Subject.Intercept', 'Subject.Days.Intercept', 'Subject.Days']
    """
    return [
        f"{factor}.{terms[row]}" if row == col else f"{factor}.{terms[row]}.{terms[col]}"
        for row, col in zip(*lower_entries(len(terms)), strict=True)
    ]


def lower_factor(matrix: ArrayLike) -> NDArray[np.float64]:
    """Compute the lower-triangular L with non-negative diagonal and L L' = A A'.

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
    """Compute L = diag(sd) C, where C C' is the correlation matrix.

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
    """Compute standard deviations and correlations from a factor of the covariance.

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
