r"""Autocorrelations of stationary processes by lag, from partial autocorrelations.

Any partial autocorrelations in (-1, 1) give a process, and every process has its own: the
recursion of Durbin and Levinson reaches each positive-definite Toeplitz matrix once. Functions are
sums and products of their arguments, so that `derivatives` can step along the imaginary axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bayeslmm.arrays import Floats

# Far below the rounding of any number it is added to: what is imaginary is the derivative, exactly.
_STEP = 1e-200


def coefficients_of(partials: Any) -> tuple[Any, Any]:
    r"""Compute autoregressive coefficients, and the variance of innovations, from partials.

    .. math:: a^{(k)}_k = p_k, \quad a^{(k)}_j = a^{(k-1)}_j - p_k a^{(k-1)}_{k-j}, \quad
              v_k = v_{k-1} (1 - p_k^2)

    Parameters
    ----------
    partials : ndarray, shape (..., m)

    Returns
    -------
    a : ndarray, shape (..., m)
    v : ndarray, shape (...)
        Of a process with variance one.

    References
    ----------
    .. [1] Barndorff-Nielsen & Schou (1973). On the parametrization of autoregressive models by
       partial autocorrelations. J Multivar Anal 3:408-419. doi:10.1016/0047-259X(73)90030-4

    Examples
    --------
    >>> a, v = coefficients_of(np.array([0.5, 0.2]))
    >>> a.round(12), float(v.round(12))
    (array([0.4, 0.2]), 0.72)
    """
    a, v = np.zeros_like(partials[..., :0]), np.ones(partials.shape[:-1], partials.dtype)
    for k in range(partials.shape[-1]):
        a, v = _extended(a, v, partials[..., k])
    return a, v


def _extended(a: Any, v: Any, p: Any) -> tuple[Any, Any]:
    """Go from order k - 1 to k by the partial autocorrelation of lag k."""
    last = p[..., None]
    return np.concatenate([a - last * a[..., ::-1], last], axis=-1), v * (1.0 - p) * (1.0 + p)


def autocorrelations(partials: Any, n_lags: int) -> Any:
    """Compute the autocorrelations of an autoregressive process by Durbin-Levinson.

    Parameters
    ----------
    partials : ndarray, shape (..., m)
    n_lags : int

    Returns
    -------
    ndarray, shape (..., n_lags + 1)
        From lag zero; beyond lag m the process goes on without partial autocorrelation.

    Examples
    --------
    >>> autocorrelations(np.array([0.5, 0.2]), 3).round(12)
    array([1.  , 0.5 , 0.4 , 0.26])
    """
    m = partials.shape[-1]
    r = np.zeros((*partials.shape[:-1], n_lags + 1), partials.dtype)
    r[..., 0] = 1.0
    a, v = np.zeros_like(partials[..., :0]), np.ones(partials.shape[:-1], partials.dtype)
    for k in range(1, n_lags + 1):
        r[..., k] = (a * r[..., k - a.shape[-1] : k][..., ::-1]).sum(axis=-1)
        if k <= m:
            p = partials[..., k - 1]
            r[..., k] += p * v
            a, v = _extended(a, v, p)
    return r


def arma_autocorrelations(partials: Any, moving: Any, n_lags: int) -> Any:
    r"""Compute the autocorrelations of an autoregressive moving-average process.

    .. math:: e_t = \sum_j \phi_j e_{t-j} + \epsilon_t + \sum_i \theta_i \epsilon_{t-i}

    Parameters
    ----------
    partials : ndarray, shape (..., p)
        Partial autocorrelations of the autoregressive part: the process is stationary.
    moving : ndarray, shape (..., q)
        The same numbers of the moving-average part, with signs such that one of them is theta:
        the process is invertible.
    n_lags : int

    Returns
    -------
    ndarray, shape (..., n_lags + 1)

    References
    ----------
    .. [1] Monahan (1984). A note on enforcing stationarity in autoregressive-moving average models.
       Biometrika 71(2):403-404. doi:10.1093/biomet/71.2.403

    Examples
    --------
    >>> arma_autocorrelations(np.array([0.5]), np.array([0.4]), 2).round(6)  # ARMA(1, 1)
    array([1.      , 0.692308, 0.346154])
    """
    q = moving.shape[-1]
    one = np.ones((*moving.shape[:-1], 1), moving.dtype)
    theta = np.concatenate([one, -coefficients_of(-moving)[0]], axis=-1)
    r = autocorrelations(partials, n_lags + q)
    lags = np.arange(n_lags + 1)
    total = np.zeros((*partials.shape[:-1], n_lags + 1), np.result_type(r, theta))
    for i in range(q + 1):
        for j in range(q + 1):
            weight = theta[..., i, None] * theta[..., j, None]
            total = total + weight * r[..., np.abs(lags + i - j)]
    return total / total[..., :1]


def derivatives(function: Callable[[Any], Any], at: Floats) -> Floats:
    """Differentiate sums and products of numbers, exactly, by a step along the imaginary axis.

    Parameters
    ----------
    function : callable
        Of an array (m, m), row by row; returns an array (m, ...).
    at : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m, ...)
        In each number.

    References
    ----------
    .. [1] Squire & Trapp (1998). Using complex variables to estimate derivatives of real functions.
       SIAM Review 40(1):110-112. doi:10.1137/S003614459631241X

    Examples
    --------
    >>> derivatives(lambda x: x[:, 0] * x[:, 1], np.array([2.0, 5.0]))
    array([5., 2.])
    """
    stepped = function(at + 1j * _STEP * np.eye(len(at)))
    return np.asarray(stepped.imag / _STEP)
