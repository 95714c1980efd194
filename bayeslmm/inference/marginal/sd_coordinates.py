"""Real coordinates of standard deviations that the data may not tell from zero.

Any scale gives the same posterior; a sampler is quick where the posterior is near normal. The
logarithm of an sd that may be zero has a long tail to the left, and a log-arcsinh scale has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from bayeslmm.gram.likelihood import flat_prior
from bayeslmm.kernels.linked_density import linked_density
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors


# How strongly the logarithm is bent for an sd that may be zero, and for one that cannot be: the
# latter is the logarithm up to a millionth.
LOG_ARCSINH, STRAIGHT = 1.5, 1e-3
# Log-density at the best sd less that at zero: above this, zero is no part of the posterior.
_CLEARLY_POSITIVE = 8.0
# Where the log-density has fallen by 2, half as much again: the upper end of the posterior.
_FALL, _BEYOND = 2.0, 1.5
_MOST_EVALUATIONS = 100
_LARGEST_PARTIAL = 0.95
_LARGEST_LOG = 250.0
# The search starts within a factor of thirty of what the data lend to an sd.
NEAREST = 1 / 30
# Stands for an infinite criterion: higher than any that is met, low enough for a line search.
_OUTSIDE = 1e12


def has_positive_support(prior: Prior) -> bool:
    """Return whether a prior's support is all positive numbers, as that of the coordinates is."""
    return prior.support == (0.0, math.inf)


@dataclass(frozen=True, eq=False)
class LeastSquaresScales:
    """How large things are, seen without random effects; everything is positive but `beta`.

    Attributes
    ----------
    sigma : float
        Residual standard deviation about the fixed effects alone.
    sds : ndarray, shape (sum of q,)
        The same over the root mean square of each random-effect column, factor by factor.
    beta, errors : ndarray, shape (p,)
        Least-squares coefficients on the original scale, and their standard errors.
    """

    sigma: float
    sds: Floats
    beta: Floats
    errors: Floats


@dataclass(frozen=True, eq=False)
class VarianceScan:
    """What the restricted likelihood says of the variance parameters.

    Attributes
    ----------
    sds, partials : ndarray
        Standard deviations and canonical partial correlations at its best, factor by factor.
    sigma : float
        The residual standard deviation there.
    scale, bend : ndarray, shape like `sds`
        Of each sd's log-arcsinh scale.
    sizes : LeastSquaresScales
        What the search started from.
    """

    sds: Floats
    partials: Floats
    sigma: float
    scale: Floats
    bend: Floats
    sizes: LeastSquaresScales


def sd_coordinates(gram: Gram, priors: Priors) -> list[tuple[Floats, Floats]]:
    """Return scale and bend of every sd's coordinate, factor by factor.

    Parameters
    ----------
    gram : Gram
        The data.
    priors : Priors
        Of the same model.

    Returns
    -------
    list of (ndarray, ndarray), shapes (q,) each
        Scale, in the response's unit per unit of the column, and bend.
    """
    if not priors.factors:
        return []
    found = scan_restricted_likelihood(gram, priors)
    at = np.cumsum([len(factor.sd) for factor in priors.factors])[:-1]
    return list(zip(np.split(found.scale, at), np.split(found.bend, at), strict=True))


def scan_restricted_likelihood(gram: Gram, priors: Priors) -> VarianceScan:
    """Climb the restricted likelihood, and choose scale and bend of every sd's coordinate.

    An sd is bent where the likelihood at its best value and at zero, all else at the best values,
    differ by less than a factor of exp(8); its scale then lies at the upper end of what the data
    allow. Others keep the logarithm.

    Parameters
    ----------
    gram : Gram
        The data.
    priors : Priors
        Their medians, as far as the data's scale allows them, are where the search starts.

    Returns
    -------
    VarianceScan
    """
    medians = np.concatenate([np.zeros(0), *(_medians(factor.sd) for factor in priors.factors)])
    sizes = sizes_of(gram)
    # A vague prior may have its median at 1e300, where no search finds back.
    start = np.clip(medians, NEAREST * sizes.sds, sizes.sds / NEAREST)
    middle = _medians([priors.sigma])[0]
    first = np.clip(middle, NEAREST * sizes.sigma, sizes.sigma / NEAREST)
    with single_blas_thread():
        likelihood = _Likelihood(gram, priors)
        sds, partials, sigma = likelihood.search(start, float(first))
        scale, bend = sds.copy(), np.full(len(sds), STRAIGHT)
        for k in range(len(sds)):

            def value(sd: float, k: int = k) -> float:
                moved = sds.copy()
                moved[k] = sd
                return likelihood(moved, partials, sigma)[0]

            best, zero = value(sds[k]), value(0.0)
            if math.isfinite(best) and best - zero < _CLEARLY_POSITIVE:
                floor = max(sds[k], 1e-3 * start[k])
                scale[k], bend[k] = _BEYOND * _upper_end(value, floor, best), LOG_ARCSINH
    return VarianceScan(sds, partials, sigma, scale, bend, sizes)


def sizes_of(gram: Gram) -> LeastSquaresScales:
    """Fit the fixed effects alone, by least squares on the cross-products.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    LeastSquaresScales
        One stands for a size of zero, as where the response is constant.
    """
    p, n = len(gram.coef), gram.n
    within, rest = gram.cross[:p, :p], gram.cross[:p, p]
    inverse = np.linalg.pinv(within, hermitian=True)
    square = float(gram.cross[p, p] - rest @ inverse @ rest)
    sigma = math.sqrt(max(square, 0.0) / max(n - p, 1))
    if not (math.isfinite(sigma) and sigma > 0.0):
        sigma = 1.0
    squares = [np.einsum("ji,ljk,ki->i", f.scale, f.within, f.scale) / n for f in gram.factors]
    columns = np.sqrt(np.concatenate([np.zeros(0), *squares]))
    back = np.linalg.inv(gram.scale)
    spread = np.sqrt(np.maximum(np.diag(back @ inverse @ back.T), 0.0))
    return LeastSquaresScales(
        sigma=sigma,
        sds=sigma / np.where(columns > 0.0, columns, 1.0),
        beta=gram.origin + back @ inverse @ rest,
        errors=sigma * np.where(spread > 0.0, spread, 1.0),
    )


def _medians(priors: Sequence[Prior]) -> Floats:
    medians = np.array([float(prior.quantile(0.5)) for prior in priors])
    # A prior may have all its mass above the largest number, or at the smallest.
    return np.asarray(np.clip(np.nan_to_num(medians, nan=1.0), 1e-100, 1e100))


def _upper_end(value: Callable[[float], float], sd: float, best: float) -> float:
    """Find where the log-density has fallen by 2, up to a fifth."""
    for _ in range(_MOST_EVALUATIONS):
        if not value(sd) > best - _FALL:
            break
        sd *= 1.2
    return sd


class _Likelihood:
    """log p(y | sds, partial correlations, sigma), fixed effects under a flat prior."""

    def __init__(self, gram: Gram, priors: Priors) -> None:
        self._plan = gram.plan
        self._table = covariance_table(factor.covariance for factor in priors.factors)
        self._prior = flat_prior(gram)
        self._n_partials = sum(factor.covariance.n_partials for factor in priors.factors)

    def __call__(
        self, sds: Floats, partials: Floats, sigma: float
    ) -> tuple[float, Floats, Floats, float, Floats]:
        ints, floats = self._plan.ints, self._plan.floats
        none = np.zeros(0)
        return linked_density(ints, floats, self._table, sds, partials, sigma, none, *self._prior)

    def search(self, sds: Floats, sigma: float) -> tuple[Floats, Floats, float]:
        """Climb from sds, no correlation and sigma; where it cannot be climbed, stay."""
        count = len(sds)
        start = np.concatenate([np.log(sds), np.zeros(self._n_partials), [math.log(sigma)]])

        def split(x: Floats) -> tuple[Floats, Floats, float]:
            partials = _LARGEST_PARTIAL * np.tanh(x[count:-1])
            return np.exp(x[:count]), partials, float(np.exp(x[-1]))

        def descent(x: Floats) -> tuple[float, Floats]:
            sds, partials, sigma = split(x)
            value, d_sds, d_partials, d_sigma, _ = self(sds, partials, sigma)
            if not math.isfinite(value):
                return _OUTSIDE, np.zeros_like(x)
            slope = _LARGEST_PARTIAL - partials**2 / _LARGEST_PARTIAL
            gradient = np.concatenate([d_sds * sds, d_partials * slope, [d_sigma * sigma]])
            return -value, -gradient

        # No bounds: with them, L-BFGS-B takes its first step as long as the gradient.
        with np.errstate(over="ignore", invalid="ignore"):
            found = scipy.optimize.minimize(
                descent, start, jac=True, method="L-BFGS-B",
                options={"maxfun": _MOST_EVALUATIONS, "ftol": 1e-9},
            )  # fmt: skip
        # A likelihood without a maximum leads anywhere.
        lost = not np.isfinite(found.x).all() or np.abs(found.x).max() > _LARGEST_LOG
        return split(start if lost else np.asarray(found.x))
