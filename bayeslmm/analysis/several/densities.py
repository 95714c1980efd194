"""Log-densities of rows given all effects, of all their responses together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.analysis.several.observations import observations, observed_responses
from bayeslmm.families.gaussian import LOG_2PI
from bayeslmm.families.softmax import Multinomial

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.analysis.several.observations import Observations
    from bayeslmm.arrays import Floats


def observation_log_likelihood(idata: xr.DataTree) -> Floats:
    r"""Compute log p(y_i1, ..., y_iR | b, phi) of each observation, shape (s, m).

    .. math:: \log N(y_i \mid \eta_i, R)

    of the responses that it has where all are Gaussian; otherwise the sum of the responses' own,
    which are independent of each other given the effects, or that of the categories.
    """
    held = observations(idata)
    y = observed_responses(idata, held.layout)
    if held.layout.categories:
        totals = y.sum(axis=1)[:, None]
        density = Multinomial().log_density(y[:, None, 1:], held.stacked, {}, totals)
        return np.asarray(density.T)
    if held.covariance is not None:
        return _normal(y, held, held.covariance)
    total = np.zeros((len(held.labels), held.eta[0].shape[1]))
    for k, family in enumerate(held.families):
        there = ~np.isnan(y[:, k])
        known = held.known[k]
        own = None if known is None else known[there]
        total[there] += family.log_density(y[there, k, None], held.eta[k][there], held.phi[k], own)
    return total.T


def _normal(y: Floats, held: Observations, covariance: Floats) -> Floats:
    """Compute normal densities, observations of the same responses together."""
    s, m = held.eta[0].shape[1], len(y)
    density = np.empty((s, m))
    patterns, of_row = np.unique(~np.isnan(y), axis=0, return_inverse=True)
    for p, pattern in enumerate(patterns):
        rows, there = np.flatnonzero(of_row.ravel() == p), np.flatnonzero(pattern)
        root = np.linalg.cholesky(covariance[:, there[:, None], there])
        rest = np.stack([y[rows, k, None] - held.eta[k][rows] for k in there])  # (R, rows, s)
        z = np.linalg.solve(root, np.moveaxis(rest, 2, 0))
        log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        density[:, rows] = -0.5 * (z**2).sum(axis=1) - log_root[:, None] - len(there) * LOG_2PI / 2
    return density
