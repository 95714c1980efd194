"""The default priors: weakly informative, on the scales of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.distributions import LKJ, Prior
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.design import Design

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


def default_priors(design: Design) -> DefaultPriors:
    r"""Derive the weakly informative defaults from the data's scales.

    With s_y the standard deviation of the response (less its offset) and s_x that of a column:

    - intercept, at the predictors' means: Normal(mean(y), 2.5 s_y)
    - coefficient: Normal(0, 2.5 s_y / s_x)
    - random-intercept sd: HalfStudentT(3, s_y); random-slope sd: HalfStudentT(3, s_y / s_x)
    - correlation matrix: LKJ(2)
    - residual sd: HalfStudentT(3, s_y)

    Without an intercept the coefficients carry the response's level: where the columns span a
    constant (one column per category) each prior is centered at the value that gives mean(y);
    otherwise (regression through the origin) root mean squares take the place of the sds.

    Parameters
    ----------
    design : Design
        The model.

    Returns
    -------
    DefaultPriors
        In the design's order.

    Raises
    ------
    DataError
        If the response is constant: no scale can be read off it.
    """
    y = modelled_response(design)
    sd_y = _sd(y)
    if sd_y == 0.0:
        less = "" if design.offset is None else " less its offset"
        raise DataError(
            f"The response {design.response!r}{less} is {y[0]:g} in every row: there is no "
            "variation to divide among random effects and residuals."
        )
    beta, centers = _fixed(design, y, sd_y)
    sd = tuple(
        tuple(
            _half_t(sd_y / _scale(column, term))
            for column, term in zip(factor.columns.T, factor.terms, strict=True)
        )
        for factor in design.factors
    )
    lkj = Prior.of(LKJ, eta=_LKJ_CONCENTRATION)
    return DefaultPriors(beta, centers, sd, lkj, _half_t(sd_y))


def _fixed(
    design: Design, y: NDArray[np.float64], sd_y: float
) -> tuple[tuple[Prior, ...], tuple[float, ...]]:
    width = _COEFFICIENT_WIDTH * sd_y
    columns = list(zip(design.X.T, design.coef, strict=True))
    if design.coef[:1] == (names.INTERCEPT,):
        intercept = _normal(float(np.mean(y)), width)
        slopes = tuple(_normal(0.0, width / _scale(x, name)) for x, name in columns[1:])
        centers = (0.0, *(float(x.mean()) for x, _ in columns[1:]))
        return (intercept, *slopes), centers
    zeros = tuple(0.0 for _ in columns)
    if not columns:
        return (), zeros
    ones = np.ones(len(y))
    solution, *_ = np.linalg.lstsq(design.X, ones, rcond=None)
    # Columns of 0 and 1 reproduce a constant to rounding; anything else misses it clearly.
    if np.allclose(design.X @ solution, ones, atol=1e-8):
        means = solution * float(np.mean(y))
        return tuple(
            _normal(float(m), width / _scale(x, name))
            for m, (x, name) in zip(means, columns, strict=True)
        ), zeros
    width = _COEFFICIENT_WIDTH * _rms(y)
    return tuple(_normal(0.0, width / _rms(x)) for x, _ in columns), zeros


def _normal(mu: float, sigma: float) -> Prior:
    return Prior.of("Normal", mu=mu, sigma=sigma)


def _half_t(scale: float) -> Prior:
    return Prior.of("HalfStudentT", nu=_DEGREES_OF_FREEDOM, sigma=scale)


def _scale(column: NDArray[np.float64], name: str) -> float:
    """Give a column's scale; an intercept's is 1."""
    if name == names.INTERCEPT:
        return 1.0
    return column_scale(column)


def modelled_response(design: Design) -> NDArray[np.float64]:
    """Give the response less its offset, shape (n,): what the coefficients explain."""
    return design.y if design.offset is None else design.y - design.offset


def column_scale(column: NDArray[np.float64], ddof: int = 1) -> float:
    """Give a column's standard deviation, or its root mean square where it does not vary."""
    return _sd(column, ddof) or _rms(column)


def _sd(x: NDArray[np.float64], ddof: int = 1) -> float:
    # A constant such as 0.1 leaves rounding noise in its deviations; it is still constant.
    if len(x) < 2 or np.ptp(x) == 0.0:
        return 0.0
    return float(np.std(x, ddof=ddof))


def _rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
