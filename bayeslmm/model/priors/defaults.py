"""The default priors: weakly informative, on the scales of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.model.priors.prior import LKJ, Prior

if TYPE_CHECKING:
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale, DataScales

# A 2.5-sd coefficient moves the response by 2.5 of its sds per sd of the predictor.
_COEFFICIENT_WIDTH = 2.5
_DEGREES_OF_FREEDOM = 3.0
_LKJ_CONCENTRATION = 2.0


@dataclass(frozen=True)
class DefaultPriors:
    """Default priors of a design, in its order; `sd` holds one tuple per factor."""

    beta: tuple[Prior, ...]
    centers: tuple[float, ...]
    sd: tuple[tuple[Prior, ...], ...]
    corr: Prior
    sigma: Prior


def default_priors(design: ModelData) -> DefaultPriors:
    r"""Compute the weakly informative defaults from the data's scales.

    With s_y the standard deviation of the response (less its offset) and s_x that of a column:

    - intercept, at the predictors' means: Normal(mean(y), 2.5 s_y)
    - coefficient: Normal(0, 2.5 s_y / s_x)
    - random-intercept sd: HalfStudentT(3, s_y); random-slope sd: HalfStudentT(3, s_y / s_x)
    - correlation matrix: LKJ(2); in a correlated set with an intercept, sds and correlations are
      those of the effects at the means of columns that do not reach zero (`Shift`)
    - residual sd: HalfStudentT(3, s_y sqrt(w)), w the mean of the weights, 1 without any: sigma
      is the residual sd of a row of weight 1, and a row of mean weight has sigma / sqrt(w)

    Without an intercept the coefficients carry the response's level: where the columns span a
    constant (one column per category) each prior is centered at the value that gives mean(y);
    otherwise (regression through the origin) root mean squares take the place of the sds.

    Parameters
    ----------
    design : ModelData
        The model.

    Returns
    -------
    DefaultPriors
        In the design's order.

    Raises
    ------
    DataError
        If the response is constant, or a random-effect column is zero in every row: no scale can
        be read off it.
    """
    scales = design.scales
    y = scales.response
    sd_y = y.sd()
    if sd_y == 0.0:
        less = "" if y == scales.observed else " less its offset"
        raise DataError(
            f"The response {design.response!r}{less} is {y.mean:g} in every row: there is no "
            "variation to divide among random effects and residuals."
        )
    beta, centers = _fixed(design, scales)
    for factor, columns in zip(design.factors, scales.random, strict=True):
        for column, term in zip(columns, factor.terms, strict=True):
            if unit(column, term) == 0.0:
                raise DataError(
                    f"The random-effect column {term!r} of {factor.name!r} is zero in every row: "
                    "its effects change nothing, and the data have no unit for their standard "
                    f"deviation. Leave {term!r} out of the term."
                )
    sd = tuple(
        tuple(
            _half_t(sd_y / unit(column, term))
            for column, term in zip(columns, factor.terms, strict=True)
        )
        for factor, columns in zip(design.factors, scales.random, strict=True)
    )
    lkj = Prior.of(LKJ, eta=_LKJ_CONCENTRATION)
    return DefaultPriors(beta, centers, sd, lkj, _half_t(sd_y * root_mean_weight(scales)))


def _fixed(design: ModelData, scales: DataScales) -> tuple[tuple[Prior, ...], tuple[float, ...]]:
    y = scales.response
    width = _COEFFICIENT_WIDTH * y.sd()
    columns = list(zip(scales.fixed, design.coef, strict=True))
    if design.coef[:1] == (names.INTERCEPT,):
        intercept = _normal(y.mean, width)
        slopes = tuple(_normal(0.0, width / unit(x, name)) for x, name in columns[1:])
        centers = (0.0, *(x.mean for x, _ in columns[1:]))
        return (intercept, *slopes), centers
    zeros = tuple(0.0 for _ in columns)
    constant = scales.spanned_constant()
    if constant is not None:
        return tuple(
            _normal(float(a) * y.mean, width / unit(x, name))
            for a, (x, name) in zip(constant, columns, strict=True)
        ), zeros
    width = _COEFFICIENT_WIDTH * y.rms
    return tuple(_normal(0.0, width / x.rms) for x, _ in columns), zeros


def root_mean_weight(scales: DataScales) -> float:
    """Compute the root of the weights' arithmetic mean, 1 without weights.

    The mean precision of a row is w / sigma^2. Rows of next to no weight leave it nearly as it
    was; a geometric or harmonic mean would follow the smallest weight to zero.
    """
    return 1.0 if scales.weights is None else math.sqrt(scales.weights.mean)


def _normal(mu: float, sigma: float) -> Prior:
    return Prior.of("Normal", mu=mu, sigma=sigma)


def _half_t(scale: float) -> Prior:
    return Prior.of("HalfStudentT", nu=_DEGREES_OF_FREEDOM, sigma=scale)


def unit(column: ColumnScale, name: str) -> float:
    """Return a column's scale; an intercept's is 1."""
    return 1.0 if name == names.INTERCEPT else column.scale()
