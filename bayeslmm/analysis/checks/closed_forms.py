"""Marginal log-densities of groups of rows on a Gaussian scale: no integral is left to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.families.gaussian import LOG_2PI
from bayeslmm.model.residual.independent import INDEPENDENT
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor


def closed_forms(
    idata: xr.DataTree,
    design: Design,
    predictor: LinearPredictor,
    index: NDArray[np.int64],
    inside: Sequence[GroupingFactor],
) -> NDArray[np.float64]:
    """Compute marginal log-densities of groups of rows whose family has a Gaussian scale.

    Parameters
    ----------
    idata : DataTree
        Draws.
    design : Design
        The rows.
    predictor : LinearPredictor
        Without the effects that are integrated out.
    index : ndarray of int64, shape (n,)
        Each row's group.
    inside : sequence of GroupingFactor
        Factors that are nested in the groups, whose effects are integrated out.

    Returns
    -------
    ndarray, shape (s, m)
    """
    roots = [effects_root(idata, item) for item in inside]
    scale, y = design.family.gaussian_scale, read.response(idata)
    assert scale is not None  # noqa: S101 - the caller looked
    jacobian = -np.log(scale.derivative(scale.link(y)))
    y = scale.link(y)
    order, counts = np.argsort(index, kind="stable"), np.bincount(index)
    values = np.empty((predictor.size, len(counts)))
    for level, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        columns = [_block(item, rows) for item in inside]
        weights = None if design.weights is None else design.weights[rows]
        residual = y[rows, None] - predictor.rows(rows)
        whiten = _whitening(predictor, rows, weights)
        density = _density(residual, columns, roots, whiten)
        values[:, level] = density + jacobian[rows].sum()
    return values


def _density(
    residual: NDArray[np.float64],
    columns: list[NDArray[np.float64]],
    roots: list[NDArray[np.float64]],
    whiten: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    r"""Compute the marginal log-density of one group's residuals (rows, s), shape (s,).

    By the matrix determinant lemma, with A = R^(-1/2) Z L:

    .. math:: \log |Z G Z' + R| = \log |R| + \log |I + A' A|

    `columns` holds one array (inner levels, rows, q) per integrated factor, `roots` one (s, q, q);
    `whiten` gives R^(-1/2) times columns (s, rows, k), and log|R|.
    """
    scaled = []
    for block, root in zip(columns, roots, strict=True):
        # Z L for every inner level, one below the other: (s, rows, inner * q).
        product = np.einsum("arq,sqp->srap", block, root)
        scaled.append(product.reshape(*product.shape[:2], -1))
    both, log_det_residual = whiten(np.concatenate([*scaled, residual.T[:, :, None]], axis=2))
    loaded, white = both[:, :, :-1], both[:, :, -1]
    inner = np.swapaxes(loaded, 1, 2) @ loaded
    inner += np.eye(inner.shape[-1])
    chol = np.linalg.cholesky(inner)
    half = np.linalg.solve(chol, np.einsum("srk,sr->sk", loaded, white)[..., None])[..., 0]
    log_det = 2 * np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
    n = len(residual)
    quadratic = np.sum(white**2, axis=1) - np.sum(half**2, axis=1)
    return np.asarray(-0.5 * (n * LOG_2PI + log_det_residual + log_det + quadratic))


def _whitening(
    predictor: LinearPredictor, rows: NDArray[np.intp], weights: NDArray[np.float64] | None
) -> Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if (drawn := predictor.residual) is not None:
        return lambda columns: drawn.whiten(rows, columns)
    sigma = predictor.phi[names.SIGMA]
    sum_log_weights = 0.0 if weights is None else float(np.log(weights).sum())

    def whiten(columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        white = INDEPENDENT.whiten(columns, sigma, weights)
        return white, INDEPENDENT.log_determinant(sigma, len(rows), sum_log_weights)

    return whiten


def _block(item: GroupingFactor, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the columns of some rows, apart by the factor's levels: (inner levels, rows, q)."""
    levels = np.unique(item.index[rows])
    here = item.index[rows] == levels[:, None]
    return np.asarray(here[:, :, None] * item.columns[rows])


def effects_root(idata: xr.DataTree, item: GroupingFactor) -> NDArray[np.float64]:
    """Return L of G = L L' of a factor's effects, shape (s, q, q)."""
    return covariance_roots(read.covariance_draws(idata, read.factor(idata, item.name)))
