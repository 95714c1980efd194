"""Estimated marginal means, and contrasts of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.contrast_weights import contrast_weights
from bayeslmm.analysis.prediction.determined import determined
from bayeslmm.analysis.prediction.estimates import NUMBERS, Drawn, Estimated, Estimates
from bayeslmm.analysis.prediction.fit_rows import Fit, FitRows, fit_rows, included
from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor, linear_predictor
from bayeslmm.analysis.prediction.reference_grid import ReferenceGrid, reference_grid
from bayeslmm.arguments import as_names
from bayeslmm.design.design import rebuild_design
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, interval_names
from bayeslmm.tables.column import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design

CONTRAST = "contrast"
BY_CONTRAST = "by_contrast"
WAY = "Give random_effects='all' with average='rows', of a posterior."


@names_keywords
def marginal_means(
    fit: Fit,
    of: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    average: Literal["balanced", "rows"] = "balanced",
    contrasts: Any = None,
    by_contrasts: Any = None,
    reference: Any = None,
    random_effects: str | Sequence[str] = "none",
    data: Any = None,
    as_draws: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame | xr.DataArray:
    r"""Compute estimated marginal means: the model's expected response for the levels of a factor.

    .. math:: m_c = l_c' \beta + \bar{o}_c, \qquad l_c = \sum_r w_r x_{cr}

    where x_cr codes row r with the focal columns at cell c. They compare what a table of raw means
    does not: every level is seen with the same other covariates, however unbalanced the data.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    of : str or list of str
        The focal columns, such as ``"treatment"``: each of their levels, or each combination. A
        number of up to 12 values has these for levels, unless `at` names others.
    by : str or list of str, optional
        Further columns in each of whose cells the levels are seen, and compared, apart.
    at : mapping from column to value or values, optional
        Values of focal numbers, levels to restrict to, or what to set other columns to.
    average : {"balanced", "rows"}
        What the other columns are at. ``"balanced"``: every combination of the other factors'
        levels in the fit counts alike, numbers are at their mean over the rows (emmeans's
        reference grid).
        ``"rows"``: the mean over the rows, all set to the cell's values, each counted once
        (marginaleffects's average predictions).
    contrasts : str, mapping, matrix or DataFrame, optional
        Differences of the means of `of`, in each cell of `by`, instead of the means themselves:
        ``"pairwise"`` (later less earlier level), ``"reference"`` (each less `reference`),
        ``"sequential"`` (each less the one before), ``"meandev"`` (each less their mean); names ->
        weights, such as ``{"high - rest": {"high": 1, "low": -0.5, "none": -0.5}}``; or a matrix
        with a row for each contrast, of which no sum to zero is asked.
    by_contrasts : as `contrasts`, optional
        Of the cells of `by`: with both, differences of differences.
    reference : label, optional
        The level that ``"reference"`` compares with; the first without it. Of two columns, written
        ``"a,b"``.
    random_effects : "none", "all" or list of str
        Whose effects are included, as in `predict`; with other than ``"none"`` the means are those
        of the groups in the rows, and `average` must be ``"rows"``. A posterior only.
    data : table or mapping of columns, optional
        Rows whose means and frequencies count; the training rows without it.
    as_draws : bool
        Whether to return the draws.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval, of a posterior.

    Returns
    -------
    DataFrame
        One row for each cell of `by` and `of`, in the response's unit: the columns of `by` and
        `of` (or ``by_contrast``, ``contrast``), then ``mean``, ``sd``, ``median``, the interval
        and, of contrasts, ``p_positive``. Of a REML fit ``estimate``, ``std_error`` and Wald's
        ``lower`` and ``upper``, without adjustment for many comparisons.
    DataArray
        With ``as_draws=True``: dims chain, draw, those of `by`, and those of `of` or ``contrast``;
        named after the response.

    Raises
    ------
    ArgumentError
        When a column, value or contrast is unknown, or the data do not determine a mean or, where
        contrasts are asked for, a contrast.
    DataError
        When `at` or `data` holds a level that the fit did not see, or `data` lacks a value that
        counts.
    TreeError
        When `fit` is neither.

    References
    ----------
    Searle, Speed & Milliken (1980), The American Statistician 34(4):216-221,
    doi 10.1080/00031305.1980.10483031.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.marginal_means(idata, "x")[["x", "mean", "eti95_lb"]]
         x  mean  eti95_lb
    0  0.0   1.0       1.0
    1  1.0   3.0       3.0
    2  2.0   5.0       5.0
    >>> bl.marginal_means(idata, "x", contrasts="sequential")[["contrast", "mean", "p_positive"]]
       contrast  mean  p_positive
    0  x: 1 - 0   2.0         1.0
    1  x: 2 - 1   2.0         1.0
    """
    check_interval(ci_prob, ci_kind)
    rows = fit_rows(fit)
    focal, given = as_names("of", of), as_names("by", () if by is None else by)
    _check_names(focal, given, ci_prob, ci_kind)
    factors = included(fit, random_effects)
    if as_draws and isinstance(fit, REMLFit):
        raise ArgumentError("A REML fit has no draws: leave as_draws out, or fit by fit_bayes.")
    for argument, columns in (("of", focal), ("by", given)):
        for name in columns:
            rows.require_read(name, argument, factors, WAY)
    grid = reference_grid(rows.with_rows(data), (*given, *focal), at, average, factors, way=WAY)
    labels: dict[str, list[Any]] = grid.focal
    weights = None
    if contrasts is not None:
        if by_contrasts is not None and not given:
            raise ArgumentError("by_contrasts compares the cells of by=: name its columns.")
        labels, weights = _contrasts(grid, focal, given, (contrasts, by_contrasts), reference)
    elif by_contrasts is not None or reference is not None:
        raise ArgumentError("by_contrasts and reference go with contrasts=: give it, too.")
    _require_estimable(rows, grid, labels, weights)
    found = _estimates(fit, rows, grid, factors)
    if weights is not None:
        found = found.combine(weights)
    if as_draws and isinstance(found, Drawn) and not isinstance(fit, REMLFit):
        return _array(fit, found, labels)
    cells = pd.DataFrame(list(product(*labels.values())), columns=list(labels))
    numbers = pd.DataFrame(found.table(ci_prob, ci_kind, sign=contrasts is not None))
    return pd.concat([cells, numbers], axis=1)


def cell_estimates(fit: Fit, rows: FitRows, grid: ReferenceGrid) -> Estimates:
    """Return the expected response of each cell of a grid, averaged over its rows.

    Parameters
    ----------
    fit : DataTree or REMLFit
        The fit.
    rows : FitRows
        Its own rows, which say what it determines.
    grid : ReferenceGrid
        The cells.

    Returns
    -------
    Drawn or Estimated
        Of the cells, flattened, random effects at zero.

    Raises
    ------
    ArgumentError
        If the data do not determine a cell.
    """
    _require_estimable(rows, grid, grid.focal, None)
    return _estimates(fit, rows, grid, ())


def _estimates(fit: Fit, rows: FitRows, grid: ReferenceGrid, factors: tuple[str, ...]) -> Estimates:
    """Return each cell's, in which a fit of lower rank has its dropped effects at zero."""
    if factors:
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


def _with_effects(fit: Fit, grid: ReferenceGrid, factors: tuple[str, ...]) -> Drawn:
    """Average X beta + Z b by averaging X and, level by level, Z."""
    if isinstance(fit, REMLFit):
        raise ArgumentError(
            "Of a REML fit there are the population's means: give random_effects='none', or fit by "
            "fit_bayes."
        )
    found = []
    for _, table in grid.tables():
        # What the fit determines was asked of the cells, of which rows need not be.
        predictor = linear_predictor(fit, table, random_effects=factors, any_rows=True)
        columns, offset = _averaged(predictor.design, grid.weights)
        eta = columns @ predictor.beta + np.reshape(offset, (-1, 1))
        found.append(eta + _averaged_effects(predictor, grid.weights))
    eta = np.concatenate(found)
    return Drawn(eta.T.reshape(*read.sample_shape(fit), len(eta)))


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


def _require_estimable(
    rows: FitRows,
    grid: ReferenceGrid,
    labels: Mapping[str, Sequence[Any]],
    weights: Floats | None,
) -> None:
    """Raise unless the fit determines each cell, or with weights each contrast of cells.

    A contrast may be determined where its cells are not: what the fit cannot tell apart cancels.
    """
    known = determined(rows.state, rows.columns)
    if known is None:
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


def _contrasts(
    grid: ReferenceGrid,
    of: Sequence[str],
    by: Sequence[str],
    asked: tuple[Any, Any],
    reference: Any,
) -> tuple[dict[str, list[Any]], Floats]:
    """Return the rows' labels, and the weights of each on the cells."""
    own, weights = _weighted(grid, of, asked[0], "contrasts", reference)
    if asked[1] is None:
        cells = int(np.prod([len(grid.focal[name]) for name in by]))
        labels = {name: grid.focal[name] for name in by}
        return {**labels, CONTRAST: own}, _nested(np.eye(cells), weights)
    of_by, outer = _weighted(grid, by, asked[1], "by_contrasts", None)
    return {BY_CONTRAST: of_by, CONTRAST: own}, _nested(outer, weights)


def _nested(outer: Floats, inner: Floats) -> Floats:
    """Return the weights on the cells, those of `of` running fastest."""
    return np.asarray(np.kron(outer, inner), dtype=np.float64)


def _weighted(
    grid: ReferenceGrid, columns: Sequence[str], asked: Any, argument: str, reference: Any
) -> tuple[list[Any], Floats]:
    cells = [",".join(map(label, cell)) for cell in product(*(grid.focal[n] for n in columns))]
    found, weights = contrast_weights(asked, cells, argument, reference)
    prefix = f"{','.join(columns)}: " if isinstance(asked, str) else ""
    return [f"{prefix}{name}" for name in found], weights


def _array(fit: xr.DataTree, found: Drawn, labels: Mapping[str, Sequence[Any]]) -> xr.DataArray:
    import xarray as xr  # noqa: PLC0415 - slow to import

    posterior = read.group(fit, "posterior")
    coords = {names.level_dim(name): list(values) for name, values in labels.items()}
    lead = found.draws.shape[:2]
    return xr.DataArray(
        found.draws.reshape(*lead, *map(len, coords.values())),
        dims=("chain", "draw", *coords),
        coords={"chain": posterior["chain"], "draw": posterior["draw"], **coords},
        name=str(fit.attrs["response"]),
        attrs={"formula": str(fit.attrs["formula"])},
    )


def _check_names(of: Sequence[str], by: Sequence[str], ci_prob: float, ci_kind: str) -> None:
    if not of:
        raise ArgumentError("of names the columns whose means are wanted; it is empty.")
    both = [*by, *of]
    if len(set(both)) < len(both):
        twice = next(name for name in both if both.count(name) > 1)
        raise ArgumentError(f"{twice!r} stands twice in of and by.")
    taken = {*NUMBERS, CONTRAST, BY_CONTRAST, *interval_names(ci_prob, ci_kind)}
    for name in both:
        if name in taken:
            raise ArgumentError(
                f"A column {name!r} would stand twice in the table of means; rename it in the data."
            )
