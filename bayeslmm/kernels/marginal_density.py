"""The collapsed log-density in the parameters that NUTS moves in, with its gradient, compiled.

Parameters are standard deviations, canonical partial correlations and sigma; the random effects,
and the fixed effects where their prior is normal, are integrated out (see `densities`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.densities import density_given_fixed, density_of_reduced, to_working
from bayeslmm.kernels.elimination.factorization import factorize, pull_back
from bayeslmm.kernels.layout import open_working

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

    Blocks = tuple[tuple[int, ...], ...]


def block_table(widths_and_blocks: list[tuple[int, Blocks]]) -> Ints:
    """Return each column's label of correlated columns, factor by factor, for compiled code.

    Parameters
    ----------
    widths_and_blocks : list of (int, blocks)
        For each factor its number of columns and their partition.

    Returns
    -------
    ndarray of int64, shape (1 + K + sum of q,)
        The number of factors, their widths, then each column's block.
    """
    table = [len(widths_and_blocks), *(q for q, _ in widths_and_blocks)]
    for q, blocks in widths_and_blocks:
        labels = [0] * q
        for label, block in enumerate(blocks):
            for k in block:
                labels[k] = label
        table += labels
    return np.array(table, dtype=np.int64)


@inner
def fill_factors(
    table: Ints, sds: Floats, partials: Floats, sigma: float, correlation: Floats, lam: Floats
) -> None:
    """Fill packed Cholesky factors of the correlations, and Lambda = diag(sd) C / sigma."""
    K, label, at, pair = table[0], 1 + table[0], 0, 0
    column = 0
    for f in range(K):
        q = table[1 + f]
        for i in range(q):
            left = 1.0
            for j in range(i):
                if table[label + i] != table[label + j]:
                    continue
                z = partials[pair]
                correlation[at + i * q + j] = z * left
                left *= math.sqrt((1.0 - z) * (1.0 + z))
                pair += 1
            correlation[at + i * q + i] = left
            for j in range(i + 1):
                lam[at + i * q + j] = sds[column + i] * correlation[at + i * q + j] / sigma
        at, label, column = at + q * q, label + q, column + q


@inner
def pull_back_factors(
    table: Ints,
    sds: Floats,
    partials: Floats,
    sigma: float,
    correlation: Floats,
    d_lam: Floats,
    d_sds: Floats,
    d_partials: Floats,
) -> float:
    """Carry a gradient in Lambda to sds and partials (filled); return its part in sigma."""
    K, label, at, pair, column, d_sigma = table[0], 1 + table[0], 0, 0, 0, 0.0
    for f in range(K):
        q = table[1 + f]
        for i in range(q):
            sd, first = sds[column + i], pair
            for j in range(i + 1):
                weight = d_lam[at + i * q + j] * correlation[at + i * q + j] / sigma
                d_sds[column + i] += weight
                d_sigma -= weight * sd / sigma
                pair += 1 if j < i and table[label + i] == table[label + j] else 0
            # Each later entry of the row is a product that contains sqrt(1 - z^2): `tail` sums
            # entry times its gradient from the right, so nothing is divided by an sd.
            tail = d_lam[at + i * q + i] * correlation[at + i * q + i]
            k = pair
            for j in range(i - 1, -1, -1):
                if table[label + i] != table[label + j]:
                    continue
                k -= 1
                z = partials[k]
                left = 1.0
                for before in range(first, k):
                    left *= math.sqrt((1.0 - partials[before]) * (1.0 + partials[before]))
                here = d_lam[at + i * q + j]
                d_partials[k] = (here * left - tail * z / ((1.0 - z) * (1.0 + z))) * sd / sigma
                tail += here * correlation[at + i * q + j]
        at, label, column = at + q * q, label + q, column + q
    return d_sigma


@inner
def collapsed_density(
    ints: Ints,
    floats: Floats,
    table: Ints,
    sds: Floats,
    partials: Floats,
    sigma: float,
    beta: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> tuple[float, Floats, Floats, float, Floats]:
    """Evaluate log p(y | sds, correlations, sigma), or of y given beta too, with its gradient.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays (`Gram.plan`).
    table : ndarray of int64
        From `block_table`.
    sds : ndarray, shape (sum of q,)
        Standard deviations of the random effects, factor by factor.
    partials : ndarray, shape (number of pairs within blocks,)
        Canonical partial correlations in (-1, 1), factor by factor, row by row.
    sigma : float
        Residual standard deviation.
    beta : ndarray, shape (p,) or (0,)
        Fixed effects; empty where they are integrated out.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Their normal prior, where they are integrated out.

    Returns
    -------
    value : float
        The log-density; -inf where it cannot be computed.
    d_sds, d_partials : ndarray
        Gradient, also finite where sds are zero.
    d_sigma : float
    d_beta : ndarray, shape like `beta`
    """
    n_lambda = 0
    for f in range(table[0]):
        n_lambda += table[1 + f] * table[1 + f]
    correlation, lam = np.zeros(n_lambda), np.zeros(n_lambda)
    d_sds, d_partials, d_beta = np.zeros(len(sds)), np.zeros(len(partials)), np.zeros(len(beta))
    fill_factors(table, sds, partials, sigma, correlation, lam)
    working = open_working(ints, floats)
    scaled = to_working(working, lam, False)
    ok, logdet, T, panel, border, right = factorize(ints, floats, scaled)
    if not ok or not sigma > 0.0:
        return -math.inf, d_sds, d_partials, 0.0, d_beta
    if len(beta) > 0:
        value, Tbar, d_sigma = density_given_fixed(working, T, logdet, sigma, beta, d_beta)
    else:
        value, Tbar, d_sigma = density_of_reduced(
            working, T, logdet, sigma, prior_mean, prior_precision
        )
    if math.isnan(value) or math.isinf(value):
        return -math.inf, d_sds, d_partials, 0.0, d_beta
    pulled = pull_back(ints, floats, scaled, panel, border, right, Tbar, -0.5)
    d_lam = to_working(working, pulled, True)
    d_sigma += pull_back_factors(table, sds, partials, sigma, correlation, d_lam, d_sds, d_partials)
    return value, d_sds, d_partials, d_sigma, d_beta
