"""The slow twin of the numerical core: n-by-n matrices written out in full, and SciPy."""

import numpy as np
from scipy.stats import multivariate_normal


def random_columns(design):
    """Z of each factor, dense: column i * q + j is column j for level i."""
    out = []
    for factor in design.factors:
        n, q = factor.columns.shape
        Z = np.zeros((n, len(factor.levels) * q))
        for row, level in enumerate(factor.index):
            Z[row, level * q : (level + 1) * q] = factor.columns[row]
        out.append(Z)
    return out


def effects_covariance(design, lams, sigma):
    """Block-diagonal covariance of each factor's random effects."""
    return [
        np.kron(np.eye(len(f.levels)), sigma**2 * lam @ lam.T)
        for f, lam in zip(design.factors, lams, strict=True)
    ]


def residual_covariance(design, sigma):
    weights = np.ones(len(design.y)) if design.weights is None else design.weights
    return np.diag(sigma**2 / weights)


def marginal_covariance(design, lams, sigma):
    V = residual_covariance(design, sigma)
    G = effects_covariance(design, lams, sigma)
    for Z, G_k in zip(random_columns(design), G, strict=True):
        V = V + Z @ G_k @ Z.T
    return V


def response(design):
    return design.y if design.offset is None else design.y - design.offset


def log_density(design, lams, sigma, mean, cov):
    """log p(y | Lambda, sigma) with beta ~ N(mean, cov) integrated out."""
    V = marginal_covariance(design, lams, sigma) + design.X @ cov @ design.X.T
    return multivariate_normal(design.X @ mean, V).logpdf(response(design))


def criterion(design, lams, sigma, restricted):
    """-2 log (restricted) likelihood at the generalised least-squares estimate of beta."""
    X, y = design.X, response(design)
    n, p = X.shape
    V = marginal_covariance(design, lams, sigma)
    solved = np.linalg.solve(V, np.column_stack([X, y]))
    information = X.T @ solved[:, :p]
    beta = np.linalg.solve(information, X.T @ solved[:, p])
    r = y - X @ beta
    value = np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    if not restricted:
        return value + n * np.log(2 * np.pi)
    return value + np.linalg.slogdet(information)[1] + (n - p) * np.log(2 * np.pi)


def conditional(design, lams, sigma, mean, precision):
    """Mean and covariance of (beta, b_1, ..., b_K) given y, all factors stacked."""
    W = np.column_stack([design.X, *random_columns(design)])
    G = effects_covariance(design, lams, sigma)
    p = design.X.shape[1]
    prior = np.zeros((W.shape[1], W.shape[1]))
    prior[:p, :p] = precision
    at = p
    for G_k in G:
        prior[at : at + len(G_k), at : at + len(G_k)] = np.linalg.inv(G_k)
        at += len(G_k)
    R_inv = np.linalg.inv(residual_covariance(design, sigma))
    cov = np.linalg.inv(W.T @ R_inv @ W + prior)
    right = W.T @ R_inv @ response(design)
    right[:p] += precision @ mean
    return cov @ right, cov
