"""The likelihood of rows that are handed over: a batch at a time, where a tree holds none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.design.design import rebuild_design
from bayeslmm.linear_predictor import design_state, linear_predictor
from bayeslmm.results import read

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_LOG_2PI = float(np.log(2 * np.pi))


def log_likelihood(
    idata: xr.DataTree, data: Any, *, weights: str | ArrayLike | None = None
) -> xr.DataArray:
    r"""Evaluate the likelihood of given rows under every draw.

    .. math:: \log N(y_i \mid x_i'\beta + z_i'b + o_i, \; \sigma^2 / w_i)

    A tree that was fitted to cross-products holds no rows: go through their batches, and keep of
    each what you need (its mean over draws, say), since all of it is draws x rows numbers.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, with the draws of the random effects of these rows' levels.
    data : table or mapping of str to array
        Rows with the response; no value may be missing.
    weights : str or array-like, optional
        Their weights.

    Returns
    -------
    DataArray, dims (chain, draw, obs)
        Log-densities; ``obs`` counts the rows of `data`.

    Raises
    ------
    DataError
        If a column is missing or of another type, or a level is new.
    TreeError
        If `idata` is no tree of this package, or lacks draws of random effects.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes(formula, gram, parametrization="marginal")  # doctest: +SKIP
    >>> for batch in batches:  # doctest: +SKIP
    ...     total += float(bl.log_likelihood(idata, batch).mean(("chain", "draw")).sum())
    """
    read.require_tree(idata)
    rows = rebuild_design(
        design_state(idata), data, response="required", factors=(), weights=weights
    )
    predictor = linear_predictor(idata, data, weights=weights)
    w = np.ones(len(rows.y)) if rows.weights is None else rows.weights
    density = np.empty((len(predictor.sigma), len(rows.y)))
    for part, eta in predictor.chunks():
        precision = w[part, None] / predictor.sigma**2
        residual = rows.y[part, None] - eta
        density[:, part] = 0.5 * (np.log(precision) - _LOG_2PI - precision * residual**2).T
    shape = read.sample_shape(idata)
    coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    return xr.DataArray(
        density.reshape(*shape, -1),
        dims=("chain", "draw", names.OBS),
        coords={**coords, names.OBS: np.arange(len(rows.y))},
        name=str(idata.attrs["response"]),
    )
