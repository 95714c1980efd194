"""Real coordinates of standard deviations that the data may not tell from zero.

Any scale gives the same posterior; a sampler is quick where the posterior is near normal. The
logarithm of an sd that may be zero has a long tail to the left, of which a bent logarithm has none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from bayeslmm.collapsed import block_table
from bayeslmm.elimination import flat_prior
from bayeslmm.lapack import single_blas_thread
from bayeslmm.linked import link_density, linked_density

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.distributions import Prior
    from bayeslmm.gram import Gram
    from bayeslmm.prior_set import Priors

    Floats = NDArray[np.float64]

# How strongly the logarithm is bent for an sd that may be zero, and for one that cannot be: the
# latter is the logarithm up to a millionth.
BENT, STRAIGHT = 1.5, 1e-3
# Log-density at the best sd less that at zero: above this, zero is no part of the posterior.
_CLEARLY_POSITIVE = 8.0
# Where the log-density has fallen by 2, half as much again: the upper end of the posterior.
_FALL, _BEYOND = 2.0, 1.5
_MOST_EVALUATIONS = 100
_LARGEST_PARTIAL = 0.95
_LARGEST_LOG = 250.0
# Stands for an infinite criterion: higher than any that is met, low enough for a line search.
_OUTSIDE = 1e12


def takes_any_positive(prior: Prior) -> bool:
    """Tell whether a prior has all positive numbers as its support, as the coordinates have."""
    return prior.support == (0.0, math.inf)


def sd_coordinates(gram: Gram, priors: Priors) -> list[tuple[Floats, Floats]]:
    """Choose scale and bend of every sd's coordinate from the restricted likelihood.

    An sd is bent where the likelihood at its best value and at zero, all else at the best values,
    differ by less than a factor of exp(8); its scale then lies at the upper end of what the data
    allow. Others keep the logarithm.

    Parameters
    ----------
    gram : Gram
        The data.
    priors : Priors
        Their medians are where the search for the best values starts.

    Returns
    -------
    list of (ndarray, ndarray), shapes (q,) each
        Scale, in the response's unit per unit of the column, and bend, factor by factor.
    """
    medians = [_medians(factor.sd) for factor in priors.factors]
    if not medians:
        return []
    start = np.concatenate(medians)
    with single_blas_thread():
        likelihood = _Likelihood(gram, priors)
        sds, partials, sigma = likelihood.search(start, float(priors.sigma.quantile(0.5)))
        scale, bend = sds.copy(), np.full(len(sds), STRAIGHT)
        for k in range(len(sds)):

            def value(sd: float, k: int = k) -> float:
                moved = sds.copy()
                moved[k] = sd
                return likelihood(moved, partials, sigma)[0]

            best, zero = value(sds[k]), value(0.0)
            if math.isfinite(best) and best - zero < _CLEARLY_POSITIVE:
                floor = max(sds[k], 1e-3 * start[k])
                scale[k], bend[k] = _BEYOND * _upper_end(value, floor, best), BENT
    at = np.cumsum([len(median) for median in medians])[:-1]
    return list(zip(np.split(scale, at), np.split(bend, at), strict=True))


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
        link_density()
        self._plan = gram.plan
        self._table = block_table([(len(f.terms), f.blocks) for f in priors.factors])
        self._prior = flat_prior(gram)
        self._pairs = sum(
            len(block) * (len(block) - 1) // 2 for f in priors.factors for block in f.blocks
        )

    def __call__(
        self, sds: Floats, partials: Floats, sigma: float
    ) -> tuple[float, Floats, Floats, float, Floats]:
        ints, floats = self._plan.ints, self._plan.floats
        none = np.zeros(0)
        return linked_density(ints, floats, self._table, sds, partials, sigma, none, *self._prior)

    def search(self, sds: Floats, sigma: float) -> tuple[Floats, Floats, float]:
        """Climb from sds, no correlation and sigma; where it cannot be climbed, stay."""
        count = len(sds)
        start = np.concatenate([np.log(sds), np.zeros(self._pairs), [math.log(sigma)]])

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
            found = minimize(
                descent, start, jac=True, method="L-BFGS-B",
                options={"maxfun": _MOST_EVALUATIONS, "ftol": 1e-9},
            )  # fmt: skip
        # A likelihood without a maximum leads anywhere.
        lost = not np.isfinite(found.x).all() or np.abs(found.x).max() > _LARGEST_LOG
        return split(start if lost else np.asarray(found.x))
