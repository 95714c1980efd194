"""The residual structure of a design's rows: which scale, which correlation."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families.parameters import free_parameters
from bayeslmm.model.predictors import EffectsInParameter, predictors_of
from bayeslmm.model.residual.correlation import Uncorrelated
from bayeslmm.model.residual.entry import Entry
from bayeslmm.model.residual.scale import LogLinearSigma, NoSigma, SigmaByStratum
from bayeslmm.model.residual.series import series
from bayeslmm.model.residual.structured import StructuredResiduals
from bayeslmm.model.residual.visits.of_rows import correlation_of_visits

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.families.family import FamilyParameter
    from bayeslmm.model.residual.correlation import Correlation
    from bayeslmm.model.residual.scale import Scale


@lru_cache(maxsize=8)
def structured_residuals(rows: ResidualRows) -> StructuredResiduals:
    """Return the residual covariance of rows.

    Parameters
    ----------
    rows : ResidualRows
        Of a design.

    Raises
    ------
    ArgumentError
        If the formula of sigma has neither an intercept nor one column for each stratum.
    DataError
        If one of its columns is constant.
    """
    return _of_rows(rows, rows, _correlation(rows))


def of_other_rows(rows: ResidualRows, fit: StructuredResiduals) -> StructuredResiduals:
    """Return the residual covariance of other rows than a model was fitted to.

    Parameters
    ----------
    rows : ResidualRows
        The rows, coded as those of the fit.
    fit : StructuredResiduals
        Of the fit's own rows, from which parameters have their meaning.

    Returns
    -------
    StructuredResiduals
        For covariances and standard deviations; sums over pairs of rows are those of the fit.
    """
    return _of_rows(rows, fit.rows, fit.correlation)


def _of_rows(
    rows: ResidualRows, learnt: ResidualRows, correlation: Correlation
) -> StructuredResiduals:
    beside = rows.se is not None and rows.has_sigma
    parts = [rows.columns] if rows.columns.shape[1] else _strata(rows)
    first = sum(part.shape[1] for part in parts)
    for factor in rows.factors:
        parts += [factor.index[:, None].astype(np.float64), factor.columns]
    if beside and rows.se is not None:
        parts.append(rows.se[:, None])
    cells, cell = np.zeros((min(rows.n, 1), 1)), np.zeros(rows.n, np.int64)
    if parts:
        cells, cell = np.unique(np.concatenate(parts, axis=1), axis=0, return_inverse=True)
    se = cells[:, -1] if beside else None
    relative = None if beside else rows.se
    scale = _scale(rows, cells, learnt)
    effects = _effects(rows, cells[:, first:])
    return StructuredResiduals(rows, scale, correlation, cell.ravel(), se, relative, effects)


def _effects(rows: ResidualRows, cells: Floats) -> tuple[EffectsInParameter, ...]:
    """Return effects in sigma of cells whose columns are each factor's level and columns."""
    found, at = [], 0
    for factor in rows.factors:
        end = at + 1 + len(factor.terms)
        index = cells[:, at].astype(np.int64)
        found.append(EffectsInParameter.of(factor, index, cells[:, at + 1 : end]))
        at = end
    return tuple(found)


def _strata(rows: ResidualRows) -> list[Floats]:
    """Return what tells rows' standard deviations apart, where no formula of sigma does."""
    parts = [] if rows.by is None else [rows.by]
    if rows.by_visit and rows.time is not None:
        parts.append(rows.time)
    return [np.column_stack(parts).astype(np.float64)] if parts else []


def _scale(rows: ResidualRows, cells: Floats, learnt: ResidualRows) -> Scale:
    columns = cells[:, : rows.columns.shape[1]]
    n_cells = len(columns)
    if not rows.has_sigma:
        return NoSigma(n_cells)
    if not columns.shape[1]:
        return _by_stratum(rows, cells)
    if _indicate(learnt.columns):
        which: Ints = np.argmax(columns, axis=1)
        return SigmaByStratum(names.SIGMA_BY, {names.SIGMA_LEVEL: _labels(rows.names)}, which)
    if rows.names[0] != names.INTERCEPT:
        raise ArgumentError(
            f"The formula of sigma, ~ {rows.sigma}, has no intercept: sigma is its value at the "
            "columns' means. Leave the 0 out, or write ~ 0 + f of one factor for a sigma of each "
            "of its levels."
        )
    for name, column in zip(rows.names[1:], learnt.columns[:, 1:].T, strict=True):
        # Of a constant such as 0.1 the mean is another number, by rounding.
        if np.ptp(column) == 0.0:
            raise DataError(
                f"The column {name!r} of sigma's formula is the same in all rows, {column[0]:g}: "
                "it tells no sigma from another one. Leave it out."
            )
    means = np.average(learnt.columns[:, 1:], axis=0, weights=learnt.counts)
    squares = (learnt.columns[:, 1:] - means) ** 2
    spreads = np.sqrt(np.average(squares, axis=0, weights=learnt.counts))
    return LogLinearSigma(rows.names[1:], columns[:, 1:] - means, tuple(map(float, spreads)))


def _by_stratum(rows: ResidualRows, cells: Floats) -> SigmaByStratum:
    """Return one sigma for all rows, or one for each arm, visit, or visit of an arm."""
    codes = cells.astype(np.int64)
    if rows.by_visit:
        levels = {names.RESIDUAL_TIME: rows.visits}
        which = codes[:, -1]
        if rows.by is not None:
            levels = {names.RESIDUAL_BY: rows.by_labels, **levels}
            which = codes[:, 0] * len(rows.visits) + codes[:, 1]
        return SigmaByStratum(names.SD_RESIDUAL, levels, which)
    if rows.by is not None:
        return SigmaByStratum(names.SIGMA_BY, {names.SIGMA_LEVEL: rows.by_labels}, codes[:, 0])
    return SigmaByStratum(names.SIGMA, {}, np.zeros(len(cells), np.int64))


def _indicate(columns: Floats) -> bool:
    """Return whether each row has a one in one column and zeros elsewhere."""
    return bool(((columns == 0.0) | (columns == 1.0)).all() and (columns.sum(axis=1) == 1.0).all())


def _labels(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the levels in names such as ``Sex[Male]``."""
    bare = [name[name.index("[") + 1 : -1] if name.endswith("]") else name for name in columns]
    return tuple(bare if len(set(bare)) == len(bare) else columns)


def _correlation(rows: ResidualRows) -> Correlation:
    if rows.correlation is None:
        return Uncorrelated(rows.n)
    if rows.correlation.kind in ("ar1", "ar1h", "ou"):
        return series(rows, "ou" if rows.correlation.kind == "ou" else "ar1")
    return correlation_of_visits(rows, rows.correlation)


def _own_entries(design: ModelData, parameter: FamilyParameter) -> tuple[Entry, ...]:
    if parameter.below_response:
        return (_below_response(design, parameter),)
    return tuple(
        Entry(parameter.name, label, parameter.lower, parameter.upper, parameter.prior)
        for label in parameter.labels or (None,)
    )


def parameter_entries(design: ModelData) -> tuple[Entry, ...]:
    """Return the parameters beside beta and the random effects that priors are on.

    Parameters
    ----------
    design : ModelData
        The data.

    Returns
    -------
    tuple of Entry
        The response family's, a residual structure's in the place of its sigma.
    """
    modelled = {one.parameter.name: one.entries for one in predictors_of(design)}
    of_family = tuple(
        entry
        for parameter in free_parameters(design.family)
        for entry in modelled.get(parameter.name, _own_entries(design, parameter))
    )
    if design.residual is None:
        return of_family
    others = tuple(entry for entry in of_family if entry.variable != names.SIGMA)
    return (*structured_residuals(design.residual).entries, *others)


def _below_response(design: ModelData, parameter: FamilyParameter) -> Entry:
    least = float(np.nanmin(design.response_rows))
    return Entry(parameter.name, None, 0.0, least, f"Uniform(0, {least!r})")
