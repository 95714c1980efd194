"""The deviance minimised with one parameter held, and where it crosses a level."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from bayeslmm.gram.likelihood import criterion
from bayeslmm.kernels.densities import ML, ML_AT_COEFFICIENT, ML_AT_SIGMA
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import lower_entries, lower_factor
from bayeslmm.reml.search import Objective

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.parameters import Target
    from bayeslmm.reml.result import REMLFit

    Bounds = list[tuple[float | None, float | None]] | None
    Held = Callable[[float, Floats], tuple[float, Floats]]

# Steps of the search for a value beyond the limit; each doubles the distance.
MOST_STEPS = 40
# The limits' accuracy, relative to the first guess of their distance from the estimate.
ACCURACY = 1e-6


def profile_interval(
    ml: REMLFit, target: Target, estimate: float, guess: tuple[float, float], quantile: float
) -> tuple[float, float]:
    """Find where the signed root of the profiled deviance is minus and plus `quantile`.

    Parameters
    ----------
    ml : REMLFit
        The ML fit.
    target : Target
        The parameter.
    estimate : float
        Its ML estimate.
    guess : tuple of float
        Wald limits, or NaN.
    quantile : float
        Of the standard normal distribution.

    Returns
    -------
    lower, upper : float
        A bound of the parameter space where the deviance does not rise far enough before it; NaN
        for the correlation of a term whose standard deviation is zero.
    """
    if math.isnan(estimate):
        return math.nan, math.nan
    excess = _Excess(ml, target, estimate, quantile)
    least, most = target.bounds
    width = 0.5 * (guess[1] - guess[0])
    if not (math.isfinite(width) and width > 0.0):
        width = _default_width(ml, target, estimate)
    return (
        _limit(excess, estimate, width, least, -1.0),
        _limit(excess, estimate, width, most, 1.0),
    )


def _default_width(ml: REMLFit, target: Target, estimate: float) -> float:
    if target.kind == "corr":
        return 0.2
    if target.kind == "sd":
        return 0.3 * estimate + 0.1 * ml.scale / float(_lengths(ml, target.factor)[target.row])
    return 0.2 * abs(estimate) + 1e-3


class _Excess:
    """Signed root of the rise in deviance at a value, less the quantile; remembers its points."""

    def __init__(self, ml: REMLFit, target: Target, estimate: float, quantile: float) -> None:
        self.minimum, self.quantile = ml.criterion, quantile
        self.function, self.start, self.bounds = held_deviance(ml, target)
        self.known = {estimate: (-quantile, self.start)}

    def __call__(self, value: float) -> float:
        """Minimise the deviance with the parameter held at `value`."""
        if value not in self.known:
            self.known[value] = self._minimise(value)
        return self.known[value][0]

    def _minimise(self, value: float) -> tuple[float, Floats]:
        if not len(self.start):
            return self._root(self.function(value, self.start)[0]), self.start
        nearest = min(self.known, key=lambda known: abs(known - value))
        starts = (self.known[nearest][1], self.start)
        x = min(starts, key=lambda start: self.function(value, start)[0])
        found: Any = scipy.optimize.minimize(
            partial(self.function, value),
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=self.bounds,
            options={"ftol": 1e-13, "gtol": 1e-5, "maxcor": 30, "maxiter": 300},
        )
        return self._root(float(found.fun)), np.asarray(found.x)

    def _root(self, deviance: float) -> float:
        return math.sqrt(max(deviance - self.minimum, 0.0)) - self.quantile


def _limit(excess: _Excess, estimate: float, width: float, bound: float, sign: float) -> float:
    inside, outside = estimate, estimate
    for _ in range(MOST_STEPS):
        outside = estimate + sign * width
        at_bound = sign * (outside - bound) >= 0.0
        outside = bound if at_bound else outside
        if outside == inside:
            return bound
        if excess(outside) > 0.0:
            return float(
                scipy.optimize.brentq(excess, inside, outside, xtol=ACCURACY * width, rtol=1e-10)
            )
        if at_bound:
            return bound
        inside, width = outside, 2.0 * width
    return sign * math.inf


def held_deviance(ml: REMLFit, target: Target) -> tuple[Held, Floats, Bounds]:
    """Make the deviance as a function of the held value and the other variables.

    Parameters
    ----------
    ml : REMLFit
        The ML fit.
    target : Target
        What is held.

    Returns
    -------
    function : callable
        ``(value, x) -> (deviance, gradient in x)``; beta, and sigma unless it takes part, are
        profiled out.
    start : ndarray
        The variables at the ML estimates.
    bounds : list of pairs, or None
        Their bounds.
    """
    if target.kind in ("beta", "sigma"):
        direction = np.eye(len(ml.gram.coef))[target.row] if target.kind == "beta" else None
        kind = ML_AT_COEFFICIENT if target.kind == "beta" else ML_AT_SIGMA
        objective = Objective(ml.gram, kind, ml.scale, direction)

        def function(value: float, x: Floats) -> tuple[float, Floats]:
            objective.at = float(value)
            return objective(x)

        return function, objective.locate(ml.factors), None
    held = _HeldBlock(ml, target)
    return held, held.start, held.bounds


def _lengths(ml: REMLFit, factor: int) -> Floats:
    """Root mean squares of a factor's columns."""
    return np.sqrt(np.sum(ml.gram.factors[factor].scale ** 2, axis=0))


class _HeldBlock:
    """The deviance with one standard deviation or correlation held.

    The target's column (or the two columns of a correlation) come first in their set's factor, so
    that it stands in the first row (or first two): the sd is sigma times the first entry, and the
    second row is its length times (rho, sqrt(1 - rho^2)). All other entries are free.
    """

    def __init__(self, ml: REMLFit, target: Target) -> None:
        self.gram, self.target = ml.gram, target
        self.n_packed = sum(len(factor.terms) ** 2 for factor in ml.gram.factors)
        spots, scales, start, at = [], [], [], 0
        for k, factor in enumerate(ml.gram.factors):
            q, lengths = len(factor.terms), _lengths(ml, k)
            for columns in covariance_of(factor).independent:
                order = _first(columns, target) if k == target.factor else list(columns)
                lam = lower_factor(ml.factors[k][np.ix_(order, order)])
                if target.kind == "corr" and order[:2] == [target.col, target.row]:
                    lam[1, 1] = math.hypot(lam[1, 0], lam[1, 1])
                for r, c in zip(*lower_entries(len(columns)), strict=True):
                    spots.append(at + order[r] * q + order[c])
                    scales.append(1.0 / lengths[order[r]])
                    start.append(lam[r, c] * lengths[order[r]])
            at += q * q
        first = sum(len(f.terms) ** 2 for f in ml.gram.factors[: target.factor])
        q = len(ml.gram.factors[target.factor].terms)
        self.own = first + target.row * q + target.row
        self.beside = first + target.row * q + target.col
        held = self.own if target.kind == "sd" else self.beside
        keep = np.array(spots) != held
        self.spots, self.scales = np.array(spots)[keep], np.array(scales)[keep]
        self.start = np.array(start)[keep]
        self.bounds: Bounds = None
        if target.kind == "sd":
            self.start = np.append(self.start, math.log(ml.scale))
        else:
            # The two columns' lengths: with opposite signs the correlation would be -rho.
            lengths_at = (self.own, first + target.col * q + target.col)
            self.bounds = [(0.0 if spot in lengths_at else None, None) for spot in self.spots]

    def __call__(self, value: float, x: Floats) -> tuple[float, Floats]:
        """Evaluate at the held value and the free variables."""
        packed = np.zeros(self.n_packed)
        if self.target.kind == "sd":
            packed[self.spots] = x[:-1] * self.scales
            sigma = math.exp(min(x[-1], 300.0))
            packed[self.own] = value / sigma
            deviance, slope, d_sigma = self._evaluate(packed, ML_AT_SIGMA, sigma)
            d_log = sigma * d_sigma - slope[self.own] * packed[self.own]
            return deviance, np.append(slope[self.spots] * self.scales, d_log)
        packed[self.spots] = x * self.scales
        length, rest = packed[self.own], math.sqrt(max(1.0 - value * value, 0.0))
        packed[self.beside], packed[self.own] = value * length, rest * length
        deviance, slope, _ = self._evaluate(packed, ML, 1.0)
        slope[self.own] = rest * slope[self.own] + value * slope[self.beside]
        return deviance, slope[self.spots] * self.scales

    def _evaluate(self, packed: Floats, kind: int, sigma: float) -> tuple[float, Floats, float]:
        value, slope, extra = criterion(self.gram, packed, kind, sigma)
        return min(value, 1e100), slope, extra


def _first(columns: tuple[int, ...], target: Target) -> list[int]:
    if target.row not in columns:
        return list(columns)
    head = [target.row] if target.kind == "sd" else [target.col, target.row]
    return [*head, *(j for j in columns if j not in head)]
