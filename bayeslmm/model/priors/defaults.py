"""The default priors: weakly informative, on the scales of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.model.predictors import effect_scales, parameter_factors, predictors_of
from bayeslmm.model.priors.prior import LKJ, Prior
from bayeslmm.model.residual.of_design import parameter_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale, DataScales
    from bayeslmm.model.covariance.block_covariance import BlockCovariance

# A 2.5-sd coefficient moves the response by 2.5 of its sds per sd of the predictor.
_COEFFICIENT_WIDTH = 2.5
# On the probit's scale, whose latent sd is 1 where the logit's is 1.8.
_PROBIT_WIDTH = 1.5
_DEGREES_OF_FREEDOM = 3.0
_LKJ_CONCENTRATION = 2.0


# Of a structure of few numbers: with q columns LKJ(2) would hold one correlation at zero like
# (1 - rho^2)^(q - 1) does.
FLAT_LKJ = Prior.of(LKJ, eta=1.0)


def default_corr(covariance: BlockCovariance) -> Prior:
    """Return the default prior of a factor's correlations."""
    if covariance.of_few_numbers:
        return FLAT_LKJ
    return Prior.of(LKJ, eta=_LKJ_CONCENTRATION)


@dataclass(frozen=True)
class DefaultPriors:
    """Default priors of a design, in its order; `sd`, `parameter_sd` hold one tuple per factor."""

    beta: tuple[Prior, ...]
    centers: tuple[float, ...]
    sd: tuple[tuple[Prior, ...], ...]
    parameters: Mapping[str, Prior]
    parameter_sd: tuple[tuple[Prior, ...], ...] = ()


def default_priors(design: ModelData) -> DefaultPriors:
    r"""Compute the weakly informative defaults from the data's scales.

    For a Gaussian response, with s_y the standard deviation of the response (less its offset) and
    s_x that of a column:

    - intercept, at the predictors' means: Normal(mean(y), 2.5 s_y)
    - coefficient: Normal(0, 2.5 s_y / s_x)
    - random-intercept sd: HalfStudentT(3, s_y); random-slope sd: HalfStudentT(3, s_y / s_x)
    - correlation matrix: LKJ(2), of a structure such as ``ar1()`` LKJ(1), which is flat in rho; in
      a correlated set with an intercept, sds and correlations are those of the effects at the
      means of columns that do not reach zero (`Shift`)
    - residual sd: HalfStudentT(3, s_y sqrt(w)), w the mean of the weights, 1 without any: sigma
      is the residual sd of a row of weight 1, and a row of mean weight has sigma / sqrt(w)
    - sd of random effects in log(sigma), and in other parameters' predictors: HalfNormal(1 / s_x),
      an intercept's HalfNormal(1): a level one sd away has a sigma up to some three, rarely seven
      times the typical one
    - coefficients of a parameter's formula: see `Predictor.default_priors`

    Without an intercept the coefficients carry the response's level: where the columns span a
    constant (one column per category) each prior is centered at the value that gives mean(y);
    otherwise (regression through the origin) root mean squares take the place of the sds.

    Other families have the same priors on the scale of their link (`link_scale`): mean(y) gives
    way to the link of the mean response, 2.5 s_y to 2.5 (probit 1.5), and the s_y of
    random-effects sds to the same number; their parameters' priors are those of the family, and
    of a sigma HalfStudentT(3, s_y), with s_y that of log(y) for the log-normal. Of ordered
    categories the probabilities at the predictors' means are Dirichlet(1, ..., 1): sticks
    P(Y = k | Y >= k) have the priors Beta(1, K - k).

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
    level = link_scale(design)
    beta, centers = _fixed(design, scales, level)
    others = list(zip(parameter_factors(design), effect_scales(design), strict=True))
    for factor, columns in (*zip(design.factors, scales.random, strict=True), *others):
        for column, term in zip(columns, factor.terms, strict=True):
            if unit(column, term) == 0.0:
                raise DataError(
                    f"The random-effect column {term!r} of {factor.name!r} is zero in every row: "
                    "its effects change nothing, and the data have no unit for their standard "
                    f"deviation. Leave {term!r} out of the term."
                )
    sd = tuple(
        tuple(
            _in_parameter(unit(column, term))
            if k in factor.elsewhere
            else _half_t(level.sd / unit(column, term))
            for k, (column, term) in enumerate(zip(columns, factor.terms, strict=True))
        )
        for factor, columns in zip(design.factors, scales.random, strict=True)
    )
    sigma = _half_t(level.sd * root_mean_weight(scales))
    modelled: dict[str, Prior] = {}
    for one in predictors_of(design):
        stated = one.parameter.prior
        modelled |= one.default_priors(sigma if stated is None else Prior.parse(stated))
    parameters = {
        entry.name: modelled.get(entry.name)
        or (sigma if entry.default is None else Prior.parse(entry.default))
        for entry in parameter_entries(design)
    }
    parameter_sd = tuple(
        tuple(
            _in_parameter(unit(column, term))
            for column, term in zip(columns, factor.terms, strict=True)
        )
        for factor, columns in others
    )
    return DefaultPriors(beta, centers, sd, parameters, parameter_sd)


def _fixed(
    design: ModelData, scales: DataScales, level: LinkScale
) -> tuple[tuple[Prior, ...], tuple[float, ...]]:
    width = level.width
    columns = list(zip(scales.fixed, design.coef, strict=True))
    if design.coef[:1] == (names.INTERCEPT,):
        intercept = _normal(level.mean, width)
        slopes = tuple(_normal(0.0, width / unit(x, name)) for x, name in columns[1:])
        centers = (0.0, *(x.mean for x, _ in columns[1:]))
        return (intercept, *slopes), centers
    if design.family.response.ordered:
        slopes = tuple(_normal(0.0, width / unit(x, name)) for x, name in columns)
        return slopes, tuple(x.mean for x, _ in columns)
    zeros = tuple(0.0 for _ in columns)
    constant = scales.spanned_constant()
    if constant is not None:
        return tuple(
            _normal(float(a) * level.mean, width / unit(x, name))
            for a, (x, name) in zip(constant, columns, strict=True)
        ), zeros
    width = level.width_at_zero
    return tuple(_normal(0.0, width / x.rms) for x, _ in columns), zeros


@dataclass(frozen=True)
class LinkScale:
    """Where linear predictors are expected, and how wide their priors are.

    Attributes
    ----------
    mean : float
        Of the response on the scale of the link.
    width : float
        Sd of the priors of an intercept, and of a coefficient per sd of its column.
    width_at_zero : float
        The same where no column holds the level (regression through the origin).
    sd : float
        Scale of the random intercepts' sd.
    """

    mean: float
    width: float
    width_at_zero: float
    sd: float


def link_scale(design: ModelData) -> LinkScale:
    r"""Compute the level and the scale of a response on the scale of its family's link.

    For the identity link mean and sd of the response (of log(y) for the log-normal) less the
    offset. Otherwise

    .. math:: g(\bar{y}) - \bar{o}, \quad \bar{y} = \sum_i y_i / \sum_i n_i

    with the trials n, kept off the bounds by half a success or count (so that a response of zeros
    has a finite level), and for the log link with the offset's mean exp(o) in the place of exp of
    its mean; the width is 2.5, and 1.5 for probit, whose unit is 1.7 times as wide. Of ordered
    categories the level is zero: thresholds hold it. Rows that do not tell of eta, such as zeros
    beyond a hurdle, are left out.

    Raises
    ------
    DataError
        If a response with identity link is constant: no scale can be read off it.
    """
    if design.family.link.name != "identity":
        return _of_link(design.coded_rows)
    y = design.scales.response
    sd = y.sd()
    if sd == 0.0:
        less = "" if y == design.scales.observed else " less its offset"
        raise DataError(
            f"The response {design.response!r}{less} is {y.mean:g} in every row: there is no "
            "variation to divide among random effects and residuals."
        )
    return LinkScale(y.mean, _COEFFICIENT_WIDTH * sd, _COEFFICIENT_WIDTH * y.rms, sd)


def _of_link(design: Design) -> LinkScale:
    link = design.family.link
    width = _PROBIT_WIDTH if link.name == "probit" else _COEFFICIENT_WIDTH
    if design.family.response.ordered:
        return LinkScale(0.0, width, width, width)
    kept = design.family.tells_level(design.y)
    y = design.y[kept]
    total = float(max(len(y), 1) if design.trials is None else design.trials[kept].sum())
    own = None if design.offset is None or not len(y) else design.offset[kept]
    offset = 0.0
    if link.name == "log":
        mean = (float(y.sum()) + 0.5 * (y.sum() == 0.0)) / total
        if own is not None:
            top = float(own.max())
            offset = top + math.log(float(np.exp(own - top).mean()))
    else:
        mean = (float(y.sum()) + 0.5) / (total + 1.0)
        if own is not None:
            offset = float(own.mean())
    level = float(link.link(np.array(mean))) - offset
    return LinkScale(level, width, width, width)


def root_mean_weight(scales: DataScales) -> float:
    """Compute the root of the weights' arithmetic mean, 1 without weights.

    The mean precision of a row is w / sigma^2. Rows of next to no weight leave it nearly as it
    was; a geometric or harmonic mean would follow the smallest weight to zero.
    """
    return 1.0 if scales.weights is None else math.sqrt(scales.weights.mean)


def _normal(mu: float, sigma: float) -> Prior:
    return Prior.of("Normal", mu=mu, sigma=sigma)


def _in_parameter(size: float) -> Prior:
    """Return the prior of an effect's sd in a parameter, of a column of this size."""
    return Prior.of("HalfNormal", sigma=1.0 / size)


def _half_t(scale: float) -> Prior:
    return Prior.of("HalfStudentT", nu=_DEGREES_OF_FREEDOM, sigma=scale)


def unit(column: ColumnScale, name: str) -> float:
    """Return a column's scale; an intercept's is 1."""
    return 1.0 if name == names.INTERCEPT else column.scale()
