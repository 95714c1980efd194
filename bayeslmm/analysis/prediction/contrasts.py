"""Differences and slopes of predictions, averaged over rows or row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.determined import Determined, determined
from bayeslmm.analysis.prediction.estimated.estimates import Drawn
from bayeslmm.analysis.prediction.fit_rows import fit_rows, included
from bayeslmm.analysis.prediction.linear_predictor import (
    LinearPredictor,
    Policy,
    check_seed,
    design_state,
    linear_predictor,
    training_columns,
)
from bayeslmm.analysis.prediction.new_levels import refuse_average
from bayeslmm.analysis.prediction.response_scale import (
    Scale,
    ScaleName,
    chosen_scale,
    differences,
    slopes,
)
from bayeslmm.analysis.prediction.slopes import slope_predictor
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.families.parameters import mean_depends_on
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval
from bayeslmm.results.family import family
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats

SLOPE = "slope"


@dataclass(frozen=True, slots=True)
class _Contrast:
    """The difference of two settings of a covariate, or its slope at the rows' own values."""

    label: str
    low: Any = None
    high: Any = None
    slope: bool = False


@names_keywords
def compare_predictions(
    idata: xr.DataTree,
    contrast: Mapping[str, Any],
    *,
    at: Mapping[str, Sequence[Any]] | None = None,
    data: Any = None,
    average: bool = True,
    random_effects: str | Sequence[str] = "none",
    new_levels: Policy | Mapping[str, Policy] = "error",
    scale: ScaleName = "response",
    ratio: bool = False,
    random_seed: int | None = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe how the expected response changes with a covariate.

    A contrast is mu(x = b) - mu(x = a), a slope d mu / dx, mu = E(y | eta), each with the other
    columns as they are in the rows (average contrasts) or at the grid `at`. Of a Gaussian response
    mu is eta.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    contrast : mapping with one item
        ``{"Days": [0, 9]}``: from the first value to the second; with more values, every pair.
        ``{"Sector": None}``: every pair of the values in the rows. ``{"Days": "slope"}``: the
        derivative.
    at : mapping from column to values, optional
        Each combination of these gets rows of its own in the result; columns that are not named
        keep the rows' values.
    data : table or mapping of columns, optional
        The rows to average over; the training rows without it.
    average : bool
        Average over the rows; without it each row keeps its own difference.
    random_effects : "all", "none" or list of str
        As in `predict`. Where mu is eta they matter to a difference only where the covariate has a
        random slope, or is a grouping column.
    new_levels : {"error", "population", "sample", "average"} or mapping from factor to these
        As in `predict`: ``"sample"`` with the rows of a new label gives the effect in a group that
        was not seen, ``"average"`` that on the mean of all groups.
    scale : {"response", "link"}
        Whether mu or eta is compared.
    ratio : bool
        Whether ratios are formed: odds ratios of probabilities, rate ratios of counts, ratios of
        positive means, as in `marginal_means`. With ``average=True`` they compare the averages of
        the means, or of eta with ``scale="link"``, where a slope's is the ratio by unit.
    random_seed : int, optional
        Seed of new levels.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per contrast and grid point (and row of `data` when not averaged): ``contrast``,
        the columns of `at`, then ``mean``, ``sd``, ``median``, the interval and ``p_positive``,
        the posterior probability that it is above zero (where all S draws agree, that of
        Laplace's rule: S + 1 of S + 2, which S draws cannot tell from one); of ratios
        ``quantity`` says of what they are, and ``p_above_one`` stands in its place.

    Raises
    ------
    ArgumentError
        When the covariate is not among the predictors, or a slope is asked of labels, or where it
        is not finite; when a fit that dropped columns does not determine a difference; or when
        ratios mean nothing for the family.
    NumericalError
        When ratios leave the range of numbers.

    References
    ----------
    Arel-Bundock, Greifer & Heiss (2024), Journal of Statistical Software 111(9),
    doi 10.18637/jss.v111.i09.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.compare_predictions(idata, {"x": [0, 2]})[["contrast", "mean"]]
       contrast  mean
    0  x: 2 - 0   4.0
    """
    check_interval(ci_prob, ci_kind)
    rows, obs = _columns(idata, data)
    way = chosen_scale(family(idata), scale, ratio=ratio)
    counted = included(idata, random_effects)
    name, contrasts = _contrasts(idata, contrast, rows, counted, ratio=ratio)
    _check_ways(way, scale, contrasts, new_levels)
    if not way.on_link and any(item.slope for item in contrasts):
        _require_own_slope(idata, name)
    points = _grid(idata, at, name, counted)
    seed = check_seed(random_seed)  # one for both sides: a new level is the same on both
    known = determined(design_state(idata), training_columns(idata))
    tables = []
    for point, item in product(points, contrasts):
        here = _set(rows, point)

        def predictor(values: Mapping[str, NDArray[Any]]) -> LinearPredictor:
            return linear_predictor(
                idata,
                values,
                random_effects=counted,
                new_levels=new_levels,
                random_seed=seed,
                any_rows=True,
            )

        if known is not None:
            _require(
                known, here, name, item, training=read.columns(idata), point=point, obs=obs,
                average=average, linear=way.on_link,
            )  # fmt: skip
        if item.slope:
            base = predictor(here)
            found = slopes(slope_predictor(idata, here, name, base), base, way, average=average)
        else:
            high, low = map(predictor, _ends(here, name, item))
            found = differences(high, low, way, average=average)
        for row, draws in found:
            numbers = Drawn(draws[None]).table(ci_prob, ci_kind, sign=True, ratio=ratio)
            frame = pd.DataFrame(numbers)
            labels: dict[str, Any] = {"contrast": item.label, **point}
            if not average:
                labels[names.OBS] = obs[row]
            if ratio:
                labels["quantity"] = way.quantity
            tables.append(pd.concat([pd.DataFrame(labels, index=frame.index), frame], axis=1))
    return pd.concat(tables, ignore_index=True)


def _require_own_slope(idata: xr.DataTree, name: str) -> None:
    """Raise where a mean changes with a covariate in another way than through eta, too."""
    for one in fit_rows(idata).terms.parameters:
        if name in one.variables and mean_depends_on(family(idata), one.parameter):
            raise ArgumentError(
                f"Means change with {name!r} through {one.parameter}, too, and a slope is that of "
                f"the linear predictor: name two values to compare, as in {{{name!r}: [0, 1]}}."
            )


def _check_ways(way: Scale, scale: str, contrasts: Sequence[_Contrast], new_levels: object) -> None:
    """Raise where averages over new groups, ratios and slopes do not go together."""
    if scale == "link":
        refuse_average(new_levels, "scale='link'", "leave scale out, or take 'population'.")
    if not any(item.slope for item in contrasts):
        return
    if not way.on_link:
        two = "name two values to compare, or take new_levels='sample', which draws a group."
        refuse_average(new_levels, "a slope", two)
        if way.ratio:
            raise ArgumentError(
                "A slope has no ratio on the scale of the response: name two values to compare, or "
                "take scale='link', where it is the ratio by unit."
            )


def _require(
    known: Determined,
    rows: Mapping[str, NDArray[Any]],
    name: str,
    item: _Contrast,
    *,
    training: Mapping[str, NDArray[Any]],
    point: Mapping[str, Any],
    obs: NDArray[Any],
    average: bool,
    linear: bool,
) -> None:
    """Raise unless a fit determines what is compared: of means that are curved both sides."""
    gained = _gained(known, rows, name, item, training)
    _require_determined(known, gained, item, point, None if average else obs)
    if not linear:
        for side in [rows] if item.slope else _ends(rows, name, item):
            _require_determined(known, known.columns(side), item, point, obs)


def _ends(
    rows: Mapping[str, NDArray[Any]], name: str, item: _Contrast
) -> list[dict[str, NDArray[Any]]]:
    return [_set(rows, {name: end}) for end in (item.high, item.low)]


def _gained(
    known: Determined,
    rows: Mapping[str, NDArray[Any]],
    name: str,
    item: _Contrast,
    training: Mapping[str, NDArray[Any]],
) -> Floats:
    """Return the rows' differences in columns, those that were dropped among them."""
    if item.slope:
        return known.slopes(rows, name, training[name])
    high, low = map(known.columns, _ends(rows, name, item))
    return high - low


def _require_determined(
    known: Determined,
    found: Floats,
    item: _Contrast,
    point: Mapping[str, Any],
    obs: NDArray[Any] | None,
) -> None:
    """Raise unless the rows' differences are determined: their mean, or with labels each one.

    A difference may be so where its two sides are not: what the fit cannot tell apart cancels.
    """
    where = "".join(f", {column} = {value}" for column, value in point.items())

    def what(row: int) -> str:
        return f"contrast {item.label}{where}" + ("" if obs is None else f" in row {obs[row]!s}")

    known.require(
        found if obs is not None else found.mean(axis=0, keepdims=True),
        what,
        "Compare values that were observed together, or give such rows as data=.",
    )


def _columns(idata: xr.DataTree, data: Any) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Return the rows' columns that the formula uses, and the rows' labels."""
    training = read.columns(idata)
    if data is None:
        return training, read.row_labels(idata)
    table = read_table(data)
    given = {name: table.values(name) for name in training if name in table.names}
    if not given:
        msg = f"data has none of the columns that {idata.attrs['formula']!r} uses."
        raise ArgumentError(msg)
    return given, table.labels()


def _set(rows: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    n = len(next(iter(rows.values())))
    fixed = {
        name: np.asarray(value) if np.ndim(value) else np.repeat(np.asarray(value), n)
        for name, value in values.items()
    }
    return {**rows, **fixed}


def _contrasts(
    idata: xr.DataTree,
    contrast: Mapping[str, Any],
    rows: Mapping[str, NDArray[Any]],
    included: tuple[str, ...],
    *,
    ratio: bool,
) -> tuple[str, list[_Contrast]]:
    if not isinstance(contrast, Mapping) or len(contrast) != 1:
        msg = f"contrast names one covariate, such as {{'x': [0, 1]}}; it was {contrast!r}."
        raise ArgumentError(msg)
    ((name, values),) = contrast.items()
    fit_rows(idata).require_read(name, "contrast", included)
    if (isinstance(values, str) or values is None) and name not in rows:
        msg = f"data has no column {name!r}, whose values are needed."
        raise ArgumentError(msg)
    if isinstance(values, str):
        return name, [_slope(name, values, rows[name])]
    if values is None:
        chosen = np.unique(rows[name]).tolist()
    else:
        chosen = list(values) if np.ndim(values) else [values]
    if len(chosen) < 2:
        msg = f"A contrast takes two values of {name!r} or more; it was given {chosen}."
        raise ArgumentError(msg)
    if values is None and len(chosen) > 12:
        msg = (
            f"{name!r} has {len(chosen)} values: name the ones to compare, as in "
            f"{{{name!r}: [{chosen[0]!r}, {chosen[-1]!r}]}}, or ask for {{{name!r}: 'slope'}}."
        )
        raise ArgumentError(msg)
    sign = "/" if ratio else "-"
    return name, [
        _Contrast(f"{name}: {high} {sign} {low}", low, high)
        for low, high in combinations(chosen, 2)
    ]


def _slope(name: str, word: str, column: NDArray[Any]) -> _Contrast:
    if word != SLOPE:
        msg = f"contrast takes a list of values or 'slope'; it was {word!r}."
        raise ArgumentError(msg)
    if not np.issubdtype(column.dtype, np.number):
        msg = f"{name!r} holds labels, which have no slope; give two of them to compare."
        raise ArgumentError(msg)
    return _Contrast(f"d/d{name}", slope=True)


def _grid(
    idata: xr.DataTree,
    at: Mapping[str, Sequence[Any]] | None,
    contrasted: str,
    included: tuple[str, ...],
) -> list[dict[str, Any]]:
    if not at:
        return [{}]
    fitted = fit_rows(idata)
    for name in at:
        fitted.require_read(name, "at", included)
        if name == contrasted:
            msg = f"{name!r} is what is contrasted; leave it out of at."
            raise ArgumentError(msg)
    lists = {
        name: [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
        for name, values in at.items()
    }
    return [dict(zip(lists, point, strict=True)) for point in product(*lists.values())]
