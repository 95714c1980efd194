r"""Variances of responses themselves: the family's mean and variance averaged over random effects.

With u = z'b of a row, normal with mean zero and variance s^2, and m(eta) = E(y | eta),

.. math:: \mathrm{Var}(y) = \mathrm{Var}_i(E_u m) + E_i \mathrm{Var}_u(m)
          + E_i E_u \mathrm{Var}(y \mid \eta_i + u)

are the parts of fixed effects, random effects and residual. A factor's own part is the covariance
of two rows that share its level and no other: with the coefficients c_j of m(eta + s z) in the
orthonormal Hermite polynomials of z, and rho the factor's share of s^2, Mehler's formula has it as
the sum of rho^j c_j^2 over j > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from bayeslmm.analysis.prediction.average_mean import averaged_mean
from bayeslmm.analysis.variance.population import population_draws
from bayeslmm.errors import NumericalError
from bayeslmm.results import read
from bayeslmm.results.family import family, family_draws
from bayeslmm.results.parameters import refuse_modelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family

CHUNK = 2 * 2**20  # numbers of one array of rows by draws by points; some five live at once
# Standard deviations to either side: the normal mass beyond is 2e-17; means that grow as exp(eta)
# shift what counts by twice the sd, once for the mean and once for its square.
_REACH = 8.5
_MOST_POINTS = 801
# Of m in Hermite polynomials; what is left of a variance has at most its weight rho^(j + 1).
_DEGREE = 40


@dataclass(frozen=True, eq=False, slots=True)
class ObservationParts:
    """Draws of the parts of Var(y), each of shape (s,).

    Attributes
    ----------
    fixed, random, residual : ndarray
        See the module.
    factors : dict of str to ndarray
        Each factor's own part of `random`; what several factors do only together is in none.
    """

    fixed: NDArray[np.float64]
    random: NDArray[np.float64]
    factors: dict[str, NDArray[np.float64]]
    residual: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class _Rows:
    """Different rows of a design and how often each occurs."""

    X: Floats
    offset: Floats
    columns: tuple[Floats, ...]
    share: Floats

    @classmethod
    def of(cls, design: Design) -> Self:
        n = len(design.X)
        offset = np.zeros(n) if design.offset is None else design.offset
        blocks = [design.X, offset[:, None], *(factor.scaled_columns for factor in design.factors)]
        _, first, count = np.unique(
            np.hstack(blocks), axis=0, return_index=True, return_counts=True
        )
        columns = tuple(factor.scaled_columns[first] for factor in design.factors)
        return cls(design.X[first], offset[first], columns, count / n)


@dataclass(frozen=True, eq=False, slots=True)
class _Draws:
    """Draws of what a design's rows are turned into moments by."""

    family: Family
    beta: Floats
    phi: Mapping[str, Floats]
    covariances: tuple[Floats, ...]

    @classmethod
    def of(cls, idata: xr.DataTree, design: Design) -> Self:
        refuse_modelled(idata, "A mean over the rows and random effects")
        covariances = tuple(
            read.covariance_draws(idata, read.factor(idata, item.name)) for item in design.factors
        )
        beta = population_draws(idata)
        return cls(family(idata), beta, family_draws(idata), covariances)

    def predictor(self, rows: _Rows, kept: slice) -> tuple[Floats, list[Floats]]:
        """Return eta without random effects, and each factor's variance, shapes (rows, draws)."""
        eta = rows.X @ self.beta[kept].T + rows.offset[:, None]
        variances = [
            np.einsum("ri,sij,rj->rs", columns, covariance[kept], columns, optimize=True)
            for columns, covariance in zip(rows.columns, self.covariances, strict=True)
        ]
        return eta, variances

    def parameters(self, kept: slice, axes: int) -> dict[str, Floats]:
        """Return the family's parameters with further axes behind those of the draws."""
        chosen = {name: values[..., kept] for name, values in self.phi.items()}
        return {name: one.reshape(*one.shape, *[1] * axes) for name, one in chosen.items()}

    def chunks(self, numbers: int) -> Iterator[slice]:
        """Yield runs of draws for which so many numbers a draw fit into memory."""
        size = max(1, CHUNK // max(numbers, 1))
        for start in range(0, len(self.beta), size):
            yield slice(start, start + size)


def mean_response(idata: xr.DataTree, design: Design) -> NDArray[np.float64]:
    """Compute the mean over rows of E(y), random effects averaged over, shape (s,)."""
    draws, rows = _Draws.of(idata, design), _Rows.of(design)
    found = np.empty(len(draws.beta))
    for kept in draws.chunks(4 * len(rows.X)):
        eta, variances = draws.predictor(rows, kept)
        total = sum(variances, np.zeros_like(eta))
        found[kept] = rows.share @ averaged_mean(
            draws.family, eta, total, draws.parameters(kept, 0)
        )
    return found


def observation_parts(idata: xr.DataTree, design: Design, where: Design) -> ObservationParts:
    """Compute the parts of Var(y), draw by draw.

    Parameters
    ----------
    idata : DataTree
    design : Design
        The rows over which fixed effects vary.
    where : Design
        The rows over which the other parts are averaged; mostly the same.

    Raises
    ------
    NumericalError
        If a variance leaves the range of numbers, as of exp(eta) with wide effects.
    """
    draws, rows = _Draws.of(idata, where), _Rows.of(where)
    size = len(draws.beta)
    random, residual, fixed = np.empty(size), np.empty(size), np.empty(size)
    factors = {item.name: np.empty(size) for item in where.factors}
    everywhere = rows if where is design else _Rows.of(design)
    for kept in draws.chunks(100 * max(len(rows.X), len(everywhere.X))):
        with np.errstate(over="ignore", invalid="ignore"):
            moments = _moments(draws, rows, kept)
            random[kept], residual[kept] = rows.share @ moments.variance, rows.share @ moments.rest
            for name, part in zip(factors, moments.own, strict=True):
                factors[name][kept] = rows.share @ part
            means = moments.mean
            if everywhere is not rows:
                eta, variances = draws.predictor(everywhere, kept)
                total = sum(variances, np.zeros_like(eta))
                means = averaged_mean(draws.family, eta, total, draws.parameters(kept, 0))
            fixed[kept] = _spread(everywhere.share, means, len(design.X))
    parts = (fixed, random, residual, *factors.values())
    if not all(np.isfinite(part).all() for part in parts):
        raise NumericalError(
            "The variance of the response leaves the range of numbers in some draws: the random "
            "effects are too wide on the scale of the link. Take scale='latent'."
        )
    return ObservationParts(fixed, random, factors, residual)


def _spread(share: Floats, means: Floats, n: int) -> Floats:
    """Compute the sample variance over rows, divisor n - 1, of their means, shape (s,)."""
    if n < 2:
        return np.zeros(means.shape[1])
    centered = means - share @ means
    return np.asarray(share @ np.square(centered) * (n / (n - 1)))


@dataclass(frozen=True, eq=False, slots=True)
class _Moments:
    """Moments over u of different rows, each of shape (rows, draws)."""

    mean: Floats
    variance: Floats
    own: list[Floats]
    rest: Floats


def _moments(draws: _Draws, rows: _Rows, kept: slice) -> _Moments:
    eta, variances = draws.predictor(rows, kept)
    total = sum(variances, np.zeros_like(eta))
    sd = np.sqrt(total)
    # Polynomials of degree 40 oscillate quickly.
    step = 0.5 if len(variances) < 2 else 0.25
    points, weights = _points(draws.family, float(sd.max(initial=0.0)), step)
    there = eta[..., None] + sd[..., None] * points
    phi = draws.parameters(kept, 1)
    means = draws.family.mean(there, phi)
    mean = means @ weights
    means -= mean[..., None]
    variance = np.square(means) @ weights
    rest = draws.family.variance(there, phi, None) @ weights
    if len(variances) == 1:
        return _Moments(mean, variance, [variance], rest)
    squares = np.square(means @ (_hermite(points) * weights[:, None]))
    # Rounding aside, what polynomials of higher degree hold of the variance.
    left = np.maximum(variance - squares.sum(axis=-1), 0.0)
    own = []
    for part in variances:
        share = np.divide(part, total, out=np.zeros_like(part), where=total > 0)
        powers = share[..., None] ** np.arange(1, _DEGREE + 1)
        own.append(np.sum(powers * squares, axis=-1) + share ** (_DEGREE + 1) * left)
    return _Moments(mean, variance, own, rest)


def _points(family: Family, sd: float, step: float) -> tuple[Floats, Floats]:
    """Return points and weights of the trapezoid rule for averages over N(0, 1).

    Its error falls exponentially with the step over the sd; Trefethen & Weideman (2014),
    doi:10.1137/130932132. The squares of means are as smooth as they are.
    """
    reach = _REACH + (2 * sd if family.mean_scale.name == "log" else 0.0)
    half = int(np.ceil(reach / min(step, 0.4 / max(sd, 0.8))))
    points = np.linspace(-reach, reach, min(2 * half + 1, _MOST_POINTS))
    weights = np.exp(-0.5 * np.square(points))
    return points, weights / weights.sum()


def _hermite(points: Floats) -> Floats:
    """Return the orthonormal Hermite polynomials of degrees 1 to 40, shape (points, 40)."""
    before, now = np.zeros_like(points), np.ones_like(points)
    found = []
    for degree in range(_DEGREE):
        before, now = now, (points * now - np.sqrt(degree) * before) / np.sqrt(degree + 1)
        found.append(now)
    return np.stack(found, axis=-1)
