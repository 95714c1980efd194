"""Small rows of every family in a few levels, for the quadrature kernels."""

import numpy as np

from bayeslmm.kernels.families import codes
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points

# Mixtures and ordered categories have tests of their own.
CODES = sorted(set(codes.CODES.values()) & set(range(codes.ZERO_INFLATED_POISSON)))
BINOMIAL = (codes.BINOMIAL_LOGIT, codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG)


def made_rows(code, q, *, levels=2, rows=5, seed=1, trials=6):
    """Rows of one family, not sorted by Z within a level so that factors change from row to row."""
    rng = np.random.default_rng([seed, code, q])
    n = levels * rows
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    Z = np.column_stack([np.ones(n), rng.integers(0, 2, n)])[:, :q].astype(float)
    if q == 1 and seed % 2 == 0:
        Z = rng.normal(size=(n, 1))
    eta = X @ [0.3, -0.4] + 0.8 * np.repeat(rng.normal(size=levels), rows)
    known, phi = np.ones(n), np.zeros(0)
    if code in BINOMIAL:
        known = rng.integers(1, trials, n).astype(float)
        y = rng.binomial(known.astype(int), 1 / (1 + np.exp(-eta))).astype(float)
    elif code == codes.POISSON:
        y = rng.poisson(np.exp(eta)).astype(float)
    elif code == codes.NEGBINOMIAL:
        y, phi = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)).astype(float), np.array([2.1])
    elif code == codes.GAMMA:
        y, phi = rng.gamma(2.0, np.exp(eta) / 2.0), np.array([2.4])
    elif code in (codes.STUDENT, codes.GAUSSIAN):
        y, known = eta + 0.5 * rng.standard_t(4, n), rng.uniform(0.5, 2.0, n)
        phi = np.array([0.7, 5.0] if code == codes.STUDENT else [0.7])
    elif code in (*codes.TIMES, *codes.CENSORED):
        gaussian = code == codes.CENSORED_GAUSSIAN
        y = eta + rng.normal(size=n) if gaussian else np.exp(eta) * rng.weibull(1.6, n)
        if code in codes.CENSORED:
            known = np.choose(np.arange(n) % 4, [y, np.full(n, np.inf), np.full(n, -np.inf), 2 + y])
        exponential = code in (codes.EXPONENTIAL, codes.CENSORED_EXPONENTIAL)
        phi = np.zeros(0) if exponential else np.array([1.6])
    else:
        y, phi = rng.beta(2.0, 2.0, n), np.array([6.0])
    starts = rows * np.arange(levels + 1)
    fresh = np.ones(n)
    fresh[1:] = (Z[1:] != Z[:-1]).any(axis=1) | (np.arange(1, n) % rows == 0)
    offset = 0.1 * rng.normal(size=n)
    return LevelRows(code, X, Z, y, known, offset, starts, fresh), phi


def point(q, phi, *, scale=0.8):
    """L, beta and phi at one point."""
    L = scale * (np.array([[1.0]]) if q == 1 else np.array([[1.0, 0.0], [-0.5, 0.7]]))
    return Points(L[None], np.array([[0.2, -0.3]]), phi[None])


def likelihood(rows, n_nodes):
    return LevelLikelihood(rows, n_nodes)
