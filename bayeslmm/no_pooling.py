"""Each level's own least-squares line: what its rows say when no other level is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.linear_predictor import training_design
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design


@dataclass(frozen=True, eq=False, slots=True)
class PoolingEstimates:
    """Three answers about every level's coefficients.

    Attributes
    ----------
    none : ndarray, shape (m, q)
        Least squares within the level, given the other fixed effects; NaN where its rows cannot
        tell the columns apart.
    partial : ndarray, shape (m, q)
        Posterior means of fixed plus random effects.
    complete : ndarray, shape (q,)
        Posterior means of the fixed effects; zero for columns without one.
    """

    none: NDArray[np.float64]
    partial: NDArray[np.float64]
    complete: NDArray[np.float64]


def pooling_estimates(idata: xr.DataTree, factor: str | None = None) -> PoolingEstimates:
    """Compare no, partial and complete pooling of a factor's coefficients."""
    info = read.factor(idata, factor)
    design = training_design(idata)
    item = next(one for one in design.factors if one.name == info.name)
    beta = dict(
        zip(
            read.coefficients(idata),
            read.flat_draws(idata, names.BETA).mean(axis=0),
            strict=True,
        )
    )
    complete = np.array([beta.get(term, 0.0) for term in info.terms])
    effects = read.all_effect_draws(idata, info).mean(axis=(0, 1))
    rest = _rest(idata, design, info, beta)
    weights = np.ones(len(rest)) if design.weights is None else design.weights
    none = np.full((len(info.levels), len(info.terms)), np.nan)
    for level in range(len(info.levels)):
        rows = item.index == level
        root = np.sqrt(weights[rows])
        columns = item.columns[rows] * root[:, None]
        if np.linalg.matrix_rank(columns) == columns.shape[1]:
            none[level] = np.linalg.lstsq(columns, rest[rows] * root, rcond=None)[0]
    return PoolingEstimates(none, complete + effects, complete)


def _rest(
    idata: xr.DataTree, design: Design, info: read.FactorInfo, beta: dict[str, float]
) -> NDArray[np.float64]:
    """Subtract from the response all that the factor's own columns do not carry."""
    rest = read.response(idata).copy()
    for position, coef in enumerate(design.coef):
        if coef not in info.terms:
            rest -= beta[coef] * design.X[:, position]
    if design.offset is not None:
        rest -= design.offset
    for other in design.factors:
        if other.name != info.name:
            means = read.all_effect_draws(idata, read.factor(idata, other.name)).mean(axis=(0, 1))
            rest -= np.sum(other.columns * means[other.index], axis=1)
    return rest
