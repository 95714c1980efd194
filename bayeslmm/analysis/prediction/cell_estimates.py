"""Expected responses of the cells of a grid, averaged over the rows of each."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, eye_array, kron

from bayeslmm import names
from bayeslmm.analysis.prediction.determined import Determined, determined
from bayeslmm.analysis.prediction.estimated.estimates import Drawn, Estimated, Estimates
from bayeslmm.analysis.prediction.estimated.reml_rows import estimated, reml_rows
from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor, linear_predictor
from bayeslmm.analysis.prediction.response_scale import Scale, chosen_scale
from bayeslmm.design.build import rebuild_design
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.analysis.prediction.fit_rows import Fit, FitRows
    from bayeslmm.analysis.prediction.reference_grid import ReferenceGrid
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design


def cell_estimates(
    fit: Fit, rows: FitRows, grid: ReferenceGrid, scale: str = "response"
) -> Estimates:
    """Return the expected response of each cell of a grid, averaged over its rows.

    Parameters
    ----------
    fit : DataTree or REMLFit
        The fit.
    rows : FitRows
        Its own rows, which say what it determines.
    grid : ReferenceGrid
        The cells.
    scale : {"response", "link"}
        Expected responses, or linear predictors.

    Returns
    -------
    Drawn or Estimated
        Of the cells, flattened, random effects at zero.

    Raises
    ------
    ArgumentError
        If the data do not determine a cell.
    """
    way = chosen_scale(rows.family, scale, ratio=False)
    require_estimable(rows, grid, grid.focal, None, linear=way.on_link)
    return estimates_of(fit, rows, grid, (), way)


def estimates_of(
    fit: Fit, rows: FitRows, grid: ReferenceGrid, factors: tuple[str, ...], way: Scale
) -> Estimates:
    """Return each cell's, in which a fit of lower rank has its dropped effects at zero."""
    if not way.on_link and not isinstance(fit, REMLFit):
        return _averaged_means(fit, grid, factors, way)
    if factors or rows.terms.smooths:
        return _with_effects(fit, grid, factors)
    count = int(np.prod(grid.shape))
    L, offset = np.empty((count, len(rows.state.coef))), np.zeros(count)
    for run, table in grid.tables():
        design = rebuild_design(rows.state, table, response="ignored", factors=())
        L[run], offset[run] = _averaged(design, grid.weights)
    if isinstance(fit, REMLFit):
        covariance = L @ fit.conditional.beta_cov @ L.T
        return Estimated(L @ fit.conditional.beta + offset, covariance)
    return Drawn(read.draws(fit, names.BETA) @ L.T + offset)


def _averaged(design: Design, weights: Floats) -> tuple[Floats, Floats | float]:
    k, p = len(weights), design.X.shape[1]
    columns = np.einsum("ckp,k->cp", design.X.reshape(-1, k, p), weights)
    return columns, 0.0 if design.offset is None else design.offset.reshape(-1, k) @ weights


def _with_effects(fit: Fit, grid: ReferenceGrid, factors: tuple[str, ...]) -> Estimates:
    """Average X beta + Z b by averaging X and, level by level, Z."""
    if isinstance(fit, REMLFit):
        parts = []
        for _, table in grid.tables():
            design = rebuild_design(fit.data.state, table, response="ignored", factors=factors)
            cells = kron(eye_array(len(design.X) // len(grid.weights)), grid.weights[None])
            parts.append(reml_rows(fit, design).averaged(csr_array(cells)))
        return estimated(fit, parts)
    found = []
    for _, table in grid.tables():
        # What the fit determines was asked of the cells, of which rows need not be.
        predictor = linear_predictor(
            fit, table, random_effects=list(factors) or "none", any_rows=True
        )
        columns, offset = _averaged(predictor.design, grid.weights)
        eta = columns @ predictor.beta + np.reshape(offset, (-1, 1))
        found.append(eta + _averaged_effects(predictor, grid.weights))
    eta = np.concatenate(found)
    return Drawn(eta.T.reshape(*read.sample_shape(fit), len(eta)))


def _averaged_means(
    fit: xr.DataTree, grid: ReferenceGrid, factors: tuple[str, ...], way: Scale
) -> Drawn:
    """Average the expected responses of each cell's rows."""
    found, k = [], len(grid.weights)
    for run, table in grid.tables():
        predictor = linear_predictor(
            fit, table, random_effects=list(factors) or "none", any_rows=True
        )
        cells = run.stop - run.start
        totals: Floats | None = None
        for rows, eta in predictor.chunks():
            values = way.values(predictor, rows, eta)
            if totals is None:
                totals = np.zeros((len(values), cells, predictor.size))
            at = np.arange(rows.start, rows.stop)
            values = values * grid.weights[at % k, None]
            first = np.flatnonzero(np.diff(at // k, prepend=-1))
            totals[:, at[first] // k] += np.add.reduceat(values, first, axis=1)
        if totals is not None:
            found.append(way.compared(totals))
    means = np.concatenate(found)
    return Drawn(means.T.reshape(*read.sample_shape(fit), len(means)))


def _averaged_effects(predictor: LinearPredictor, weights: Floats) -> Floats:
    k = len(weights)
    cells = predictor.n // k
    total = np.zeros((cells, predictor.size))
    cell = np.repeat(np.arange(cells), k)
    share = np.tile(weights, cells)[:, None]
    for part in predictor.parts:
        m, q, s = part.effects.shape
        loaded = np.zeros((cells, m, q))
        np.add.at(loaded, (cell, part.position), share * part.columns)
        total += loaded.reshape(cells, m * q) @ part.effects.reshape(m * q, s)
    return total


def require_estimable(
    rows: FitRows,
    grid: ReferenceGrid,
    labels: Mapping[str, Sequence[Any]],
    weights: Floats | None,
    *,
    linear: bool,
) -> None:
    """Raise unless the fit determines each cell, or with weights each contrast of cells.

    A contrast may be determined where its cells are not: what the fit cannot tell apart cancels.
    Where means are no linear functions of eta nothing does, and each row counts.
    """
    known = determined(rows.state, rows.columns)
    if known is None:
        return
    if not linear:
        _require_each_row(known, grid)
        return
    found, k = [], len(grid.weights)
    for _, table in grid.tables():
        full = known.columns(table)
        found.append(np.einsum("ckp,k->cp", full.reshape(-1, k, full.shape[1]), grid.weights))
    combinations = np.concatenate(found)
    if weights is not None:
        combinations = weights @ combinations
    places = list(product(*labels.values()))

    def what(cell: int) -> str:
        pairs = zip(labels, places[cell], strict=True)
        where = ", ".join(f"{name} = {value}" for name, value in pairs)
        return f"mean at {where}" if weights is None else where

    known.require(combinations, what, "Name observed ones by at=.")


def _require_each_row(known: Determined, grid: ReferenceGrid) -> None:
    k, cells = len(grid.weights), grid.cells()
    for run, table in grid.tables():

        def what(row: int, start: int = run.start) -> str:
            cell = cells[start + row // k]
            where = ", ".join(f"{name} = {value}" for name, value in cell.items())
            return f"mean of some rows at {where}"

        known.require(known.columns(table), what, "Name observed ones by at=, or scale='link'.")
