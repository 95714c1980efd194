"""Residuals of new rows given those of known rows of the same group: forecasts, and gaps filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


def conditional_residuals(R: Floats, n_known: int) -> tuple[Floats, Floats]:
    r"""Compute the distribution of new rows' residuals given those of known rows.

    .. math:: e_2 \mid e_1 \sim N(A e_1, \; R_{22} - A R_{12}), \quad A = R_{21} R_{11}^{-1}

    It serves every structure, and new rows at any positions: after the known ones (a forecast),
    between them, or at the very position of one, whose residual it then repeats.

    Parameters
    ----------
    R : ndarray, shape (s, k, k)
        Covariance of a group's residuals for each of s draws, as
        `StructuredResiduals.covariance` gives it; the known rows come first.
    n_known : int
        Number of known rows; zero for the marginal distribution.

    Returns
    -------
    weights : ndarray, shape (s, k - n_known, n_known)
        A: the conditional mean is ``weights @ e``.
    covariance : ndarray, shape (s, k - n_known, k - n_known)
        In the response's squared unit; a diagonal of rounding below zero is zero.

    Examples
    --------
    Two steps ahead of AR(1) residuals with rho = 0.5 and unit variance, of which the last was 2:

    >>> lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    >>> weights, covariance = conditional_residuals(0.5 ** lag[None], 3)
    >>> (weights @ np.array([7.0, -1.0, 2.0])).round(12).tolist()
    [[1.0, 0.5]]
    >>> covariance[0].round(12).tolist()
    [[0.75, 0.375], [0.375, 0.9375]]

    References
    ----------
    .. [1] Rasmussen & Williams (2006). Gaussian Processes for Machine Learning, appendix A.2. MIT
       Press. https://gaussianprocess.org/gpml
    """
    known, new = R[:, :n_known, :n_known], R[:, n_known:, n_known:]
    across = R[:, :n_known, n_known:]
    root = np.linalg.cholesky(known)
    half = np.linalg.solve(root, across)
    weights = np.linalg.solve(np.swapaxes(root, 1, 2), half)
    covariance = new - np.swapaxes(half, 1, 2) @ half
    variances = np.einsum("skk->sk", covariance)
    np.maximum(variances, 0.0, out=variances)
    return np.swapaxes(weights, 1, 2), covariance
