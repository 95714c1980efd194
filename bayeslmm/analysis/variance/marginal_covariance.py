"""Marginal covariance of one level's rows, random effects integrated out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.analysis.variance.parts import residual_variance
from bayeslmm.analysis.variance.population import with_smooths_fixed
from bayeslmm.errors import DataError, TreeError, check_choice, names_keywords, nearest
from bayeslmm.model.residual.independent import INDEPENDENT
from bayeslmm.results import read
from bayeslmm.results.family import require_additive
from bayeslmm.results.residual import drawn_residuals, refuse_in_sigma, residual_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design

CHUNK_BYTES = 32 * 2**20


@names_keywords
def marginal_covariance(
    idata: xr.DataTree,
    *,
    level: str,
    factor: str | None = None,
    kind: Literal["covariance", "correlation"] = "covariance",
) -> xr.DataArray:
    """Return the posterior mean of one level's block of Var(y) = sum_k Z_k G_k Z_k' + R.

    R is sigma^2 W^-1, or the covariance of a residual structure. Of Student's t,
    sigma^2 nu / (nu - 2) stands in the place of sigma^2.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    level : str
        The level whose rows form the block.
    factor : str, optional
        Its grouping factor, or what residuals correlate within; may be left out where there is one,
        and without random effects. Other factors' effects count too where two rows share a level.
    kind : {"covariance", "correlation"}
        In the response's squared unit, or each draw's block scaled to a unit diagonal.

    Returns
    -------
    DataArray, dims (obs, obs_bis)
        Labelled by the rows' positions in the training data.

    Raises
    ------
    ArgumentError
        When `kind` is unknown.
    DataError
        When the level is unknown.
    TreeError
        When the factor is unknown, there are no groups of rows at all, `idata` is no tree of this
        package, or its response has a variance that depends on its mean, or none in some draws
        (Student's t, nu at most 2).

    References
    ----------
    Laird & Ware (1982), Biometrics 38:963-974, doi 10.2307/2529876.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.marginal_covariance(idata, level="a").values
    array([[13.,  5.],
           [ 5., 16.]])
    """
    import xarray as xr  # noqa: PLC0415 - slow to import

    check_choice("kind", kind, ("covariance", "correlation"))
    require_additive(idata, "marginal_covariance")
    refuse_in_sigma(
        idata,
        "marginal_covariance",
        "predict(kind='response') draws rows of known and of new levels.",
    )
    design = with_smooths_fixed(training_design(idata))
    name, levels, rows_of = _groups(idata, design, factor)
    if str(level) not in levels:
        msg = (
            f"{level!r} is no level of {name!r}.{nearest(str(level), levels)} "
            f"It has {len(levels)}, such as {levels[0]!r}."
        )
        raise DataError(msg)
    rows = rows_of[levels.index(str(level))]
    block = _mean_block(idata, design, rows, correlation=kind == "correlation")
    bis = f"{names.OBS}_bis"
    return xr.DataArray(
        block,
        dims=(names.OBS, bis),
        coords={names.OBS: design.obs[rows], bis: design.obs[rows]},
        name=kind,
        attrs={"factor": name, "level": str(level)},
    )


def _groups(
    idata: xr.DataTree, design: Design, factor: str | None
) -> tuple[str, Sequence[str], list[NDArray[np.intp]]]:
    """Return what rows are grouped by: its name, its levels, and the rows of each."""
    if (group := residual_group(idata, factor)) is not None:
        assert design.residual is not None  # noqa: S101 - the tree has such groups
        labels, of_row = design.residual.labels.tolist(), design.residual.group
        ends = np.cumsum(np.bincount(of_row, minlength=len(labels)))
        return group, labels, np.split(np.argsort(of_row, kind="stable"), ends[:-1])
    info = read.factor(idata, factor)
    item = next(item for item in design.factors if item.name == info.name)
    return info.name, read.require_levels(info), item.rows_by_level()


def _mean_block(
    idata: xr.DataTree, design: Design, rows: NDArray[np.intp], *, correlation: bool
) -> NDArray[np.float64]:
    drawn = drawn_residuals(idata, design)
    sigma = np.sqrt(residual_variance(idata, None if drawn is None else design))
    # Of Student's t a variance is more than the square of its scale.
    wider = np.ones(len(sigma)) if drawn is None else sigma**2 / drawn.mean_variance()
    none = ~np.isfinite(sigma)
    if (without := int(none.sum())) and not correlation:
        raise TreeError(
            f"Student's t has no variance where nu is at most 2, as in {without} of the "
            f"{len(sigma)} draws: their mean is infinite. Take kind='correlation', or a prior that "
            "keeps nu above 2, such as priors={'nu': 'LogNormal(2.5, 0.5)'}."
        )
    # With infinite residual variances rows are uncorrelated.
    sigma, wider = np.where(none, 1.0, sigma), np.where(none, 1.0, wider)
    weights = None if design.weights is None else design.weights[rows]
    parts = []
    for item in design.factors:
        shared = item.shared(rows)
        cov = read.covariance_draws(idata, read.factor(idata, item.name))
        parts.append((item.columns[rows], cov, shared))

    def block(kept: slice) -> NDArray[np.float64]:
        if drawn is None:
            total = INDEPENDENT.covariance(sigma[kept], len(rows), weights)
        else:
            total = drawn.covariance(rows, kept) * wider[kept, None, None]
        for columns, cov, shared in parts:
            total += (columns @ cov[kept] @ columns.T) * shared
        return total

    size = max(1, CHUNK_BYTES // (8 * len(rows) ** 2))
    total = np.zeros((len(rows), len(rows)))
    for start in range(0, len(sigma), size):
        blocks = block(slice(start, start + size))
        if correlation:
            scale = np.sqrt(np.diagonal(blocks, axis1=1, axis2=2))
            blocks /= scale[:, :, None] * scale[:, None, :]
            blocks[none[start : start + size]] = np.eye(len(rows))
        total += blocks.sum(axis=0)
    return total / len(sigma)
