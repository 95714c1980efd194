"""Models with a residual covariance R, written out in full: normals of all rows at once."""

import dense
import numpy as np
from scipy.stats import multivariate_normal


def residual_covariance(design, structure, phi):
    """R of all rows, group by group."""
    n, group = len(design.y), design.residual.group
    R = np.zeros((n, n))
    for g in np.unique(group):
        some = np.flatnonzero(group == g)
        R[np.ix_(some, some)] = structure.covariance(phi[None], some)[0]
    return R


def marginal_covariance(design, lams, R):
    V = R
    effects = dense.effects_covariance(design, lams, 1.0)
    for Z, G in zip(dense.random_columns(design), effects, strict=True):
        V = V + Z @ G @ Z.T
    return V


def log_density(design, lams, R, mean, cov):
    """log p(y | G, R) with beta ~ N(mean, cov) integrated out."""
    V = marginal_covariance(design, lams, R) + design.X @ cov @ design.X.T
    return multivariate_normal(design.X @ mean, V).logpdf(dense.response(design))


def criterion(design, lams, R, *, restricted, profiled):
    """-2 log (restricted) likelihood at the best beta, and at the best factor of V if profiled."""
    X, y = design.X, dense.response(design)
    n, p = X.shape
    V = marginal_covariance(design, lams, R)
    solved = np.linalg.solve(V, np.column_stack([X, y]))
    information = X.T @ solved[:, :p]
    r = y - X @ np.linalg.solve(information, X.T @ solved[:, p])
    squares = r @ np.linalg.solve(V, r)
    m = n - p if restricted else n
    logdet = np.linalg.slogdet(V)[1]
    if restricted:
        logdet += np.linalg.slogdet(information)[1]
    if profiled:
        return logdet + m * (1.0 + np.log(2 * np.pi * squares / m))
    return logdet + squares + m * np.log(2 * np.pi)
