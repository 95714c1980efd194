"""Densities and quantiles of the distributions that most priors are, by special functions alone.

SciPy's own objects for them take most of a second to load and a millisecond to make. Each is a
standard distribution, moved and scaled, or half of one that is symmetric about zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaln, gammaincinv, gammaln, ndtri, stdtrit, xlogy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from bayeslmm.arrays import Floats

_ROOT = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, slots=True)
class Standard:
    """A distribution by its standard form.

    Attributes
    ----------
    log_density, quantiles : callable
        Of standardised values inside the support, and of probabilities.
    location, scale : float
        Of x = location + scale z.
    lower : float
        Lower end of z: minus infinity or 0.
    """

    log_density: Callable[[Any], Any]
    quantiles: Callable[[Any], Any]
    location: float = 0.0
    scale: float = 1.0
    lower: float = -math.inf

    def support(self) -> tuple[float, float]:
        """Return the ends of what has a density."""
        return (-math.inf if self.lower < 0 else self.location), math.inf

    def logpdf(self, x: ArrayLike) -> Floats:
        """Evaluate the log-density, elementwise; minus infinity outside."""
        z = (np.asarray(x, dtype=np.float64) - self.location) / self.scale
        inside = (z >= self.lower) & np.isfinite(z)
        value = self.log_density(np.where(inside, z, 1.0)) - math.log(self.scale)
        return np.where(inside, value, np.where(np.isnan(z), np.nan, -np.inf))

    def ppf(self, q: ArrayLike) -> Floats:
        """Evaluate the quantile function, elementwise; NaN outside [0, 1]."""
        q = np.asarray(q, dtype=np.float64)
        between = np.where((q >= 0) & (q <= 1), q, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.location + self.scale * self.quantiles(between))

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw by the quantiles of uniform numbers."""
        return self.ppf(np.random.default_rng(random_state).uniform(size=size))


def normal(mu: float, sigma: float) -> Standard:
    """Return Normal(mu, sigma)."""
    return Standard(lambda z: -0.5 * z * z - _ROOT, ndtri, mu, sigma)


def student(nu: float, mu: float, sigma: float) -> Standard:
    """Return StudentT(nu, mu, sigma)."""
    constant = betaln(0.5 * nu, 0.5) + 0.5 * math.log(nu)

    def quantiles(q: Any) -> Any:
        # At the ends SciPy's inverse is finite.
        return np.where((q == 0) | (q == 1), np.where(q == 0, -np.inf, np.inf), stdtrit(nu, q))

    return Standard(
        lambda z: -0.5 * (nu + 1) * np.log1p(z * z / nu) - constant, quantiles, mu, sigma
    )


def cauchy(alpha: float, beta: float) -> Standard:
    """Return Cauchy(alpha, beta)."""

    def quantiles(q: Any) -> Any:
        # The tangent of near a quarter turn would lose the small probabilities' digits.
        return np.where(q < 0.5, -1 / np.tan(np.pi * q), 1 / np.tan(np.pi * (1 - q)))

    return Standard(lambda z: -math.log(math.pi) - np.log1p(z * z), quantiles, alpha, beta)


def half_cauchy(beta: float) -> Standard:
    """Return HalfCauchy(beta), whose small probabilities keep their digits."""

    def quantiles(q: Any) -> Any:
        turn = 0.5 * np.pi
        return np.where(q < 0.5, np.tan(turn * q), 1 / np.tan(turn * (1 - q)))

    return replace(half(cauchy(0.0, beta)), quantiles=quantiles)


def half(whole: Standard) -> Standard:
    """Return the absolute values of a distribution that is symmetric about zero."""
    return Standard(
        lambda z: math.log(2) + whole.log_density(z),
        lambda q: whole.quantiles(0.5 + 0.5 * q),
        0.0, whole.scale, 0.0,
    )  # fmt: skip


def exponential(lam: float) -> Standard:
    """Return Exponential(lam)."""
    return Standard(lambda z: -z, lambda q: -np.log1p(-q), 0.0, 1 / lam, 0.0)


def gamma(alpha: float, beta: float) -> Standard:
    """Return Gamma(alpha, beta)."""
    return Standard(
        lambda z: xlogy(alpha - 1, z) - z - gammaln(alpha),
        lambda q: gammaincinv(alpha, q),
        0.0, 1 / beta, 0.0,
    )  # fmt: skip
