"""Estimated marginal means, and contrasts of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.cell_estimates import estimates_of, require_estimable
from bayeslmm.analysis.prediction.contrast_weights import contrast_weights
from bayeslmm.analysis.prediction.estimated.estimates import NUMBERS, Drawn
from bayeslmm.analysis.prediction.fit_rows import Fit, fit_rows, included
from bayeslmm.analysis.prediction.reference_grid import ReferenceGrid, reference_grid
from bayeslmm.analysis.prediction.response_scale import ScaleName, chosen_scale
from bayeslmm.arguments import as_names, label
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, interval_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats

CONTRAST = "contrast"
BY_CONTRAST = "by_contrast"
QUANTITY = "quantity"
WAY = "Give random_effects='all' with average='rows'."


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
    scale: ScaleName = "response",
    ratio: bool = False,
    data: Any = None,
    as_draws: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame | xr.DataArray:
    r"""Compute estimated marginal means: the model's expected response for the levels of a factor.

    .. math:: m_c = \sum_r w_r E(y \mid \eta_{cr}), \qquad \eta_{cr} = x_{cr}' \beta + o_{cr}

    where x_cr codes row r with the focal columns at cell c. They compare what a table of raw means
    does not: every level is seen with the same other covariates, however unbalanced the data. Of
    Gaussian responses they are linear in beta; of others means are averaged, such as
    probabilities, and not the linear predictors.

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
        of the groups in the rows, and `average` must be ``"rows"``.
    scale : {"response", "link"}
        ``"response"``: expected responses, probabilities or rates (emmeans after
        ``regrid("response")``, marginaleffects's ``type="response"``), with random effects at zero
        those of a typical group. ``"link"``: averages of eta.
    ratio : bool
        Whether contrasts are ratios: odds ratios of probabilities, rate ratios of counts, ratios
        of positive means; weights are those of logarithms. Of ``scale="response"`` they compare
        the averaged means, of ``scale="link"`` they are exponentials of differences in eta, as
        those of coefficients are. The two agree only where nothing is averaged.
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
        and, of contrasts, ``p_positive``; of ratios ``quantity``, which says of what they are, and
        ``p_above_one``. Of a REML fit ``estimate``, ``std_error`` and Wald's
        ``lower`` and ``upper``, without adjustment for many comparisons.
    DataArray
        With ``as_draws=True``: dims chain, draw, those of `by`, and those of `of` or ``contrast``;
        named after the response.

    Raises
    ------
    ArgumentError
        When a column, value or contrast is unknown, or the data do not determine a mean or, where
        contrasts are asked for, a contrast; or when ratios mean nothing for the family.
    NumericalError
        When ratios leave the range of numbers.
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
    way = chosen_scale(rows.family, scale, ratio=ratio)
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
    asked = contrasts, by_contrasts
    _check_contrasts(asked, given, reference, ratio=ratio)
    weights = None
    if contrasts is not None:
        labels, weights = _contrasts(grid, focal, given, asked, reference, ratio=ratio)
    require_estimable(rows, grid, labels, weights, linear=way.on_link)
    found = estimates_of(fit, rows, grid, factors, way)
    if weights is not None:
        found = found.combine(weights)
    if ratio and isinstance(found, Drawn):
        found = Drawn(way.finished(found.draws))
    if as_draws and isinstance(found, Drawn) and not isinstance(fit, REMLFit):
        return _array(fit, found, labels)
    cells = pd.DataFrame(list(product(*labels.values())), columns=list(labels))
    if ratio:
        cells[QUANTITY] = f"ratio of {way.quantity}s" if BY_CONTRAST in labels else way.quantity
    sign = contrasts is not None
    numbers = pd.DataFrame(found.table(ci_prob, ci_kind, sign=sign, ratio=ratio))
    return pd.concat([cells, numbers], axis=1)


def _check_contrasts(
    asked: tuple[Any, Any], by: Sequence[str], reference: Any, *, ratio: bool
) -> None:
    if asked[0] is None and (asked[1] is not None or reference is not None or ratio):
        raise ArgumentError("by_contrasts, reference and ratio go with contrasts=: give it, too.")
    if asked[1] is not None and not by:
        raise ArgumentError("by_contrasts compares the cells of by=: name its columns.")


def _contrasts(
    grid: ReferenceGrid,
    of: Sequence[str],
    by: Sequence[str],
    asked: tuple[Any, Any],
    reference: Any,
    *,
    ratio: bool,
) -> tuple[dict[str, list[Any]], Floats]:
    """Return the rows' labels, and the weights of each on the cells."""
    own, weights = _weighted(grid, of, asked[0], "contrasts", reference, ratio=ratio)
    if asked[1] is None:
        cells = int(np.prod([len(grid.focal[name]) for name in by]))
        labels = {name: grid.focal[name] for name in by}
        return {**labels, CONTRAST: own}, _nested(np.eye(cells), weights)
    of_by, outer = _weighted(grid, by, asked[1], "by_contrasts", None, ratio=ratio)
    return {BY_CONTRAST: of_by, CONTRAST: own}, _nested(outer, weights)


def _nested(outer: Floats, inner: Floats) -> Floats:
    """Return the weights on the cells, those of `of` running fastest."""
    return np.asarray(np.kron(outer, inner), dtype=np.float64)


def _weighted(
    grid: ReferenceGrid,
    columns: Sequence[str],
    asked: Any,
    argument: str,
    reference: Any,
    *,
    ratio: bool,
) -> tuple[list[Any], Floats]:
    cells = [",".join(map(label, cell)) for cell in product(*(grid.focal[n] for n in columns))]
    found, weights = contrast_weights(asked, cells, argument, reference, ratio=ratio)
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
    taken = {*NUMBERS, CONTRAST, BY_CONTRAST, QUANTITY, *interval_names(ci_prob, ci_kind)}
    for name in both:
        if name in taken:
            raise ArgumentError(
                f"A column {name!r} would stand twice in the table of means; rename it in the data."
            )
