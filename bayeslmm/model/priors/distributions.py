"""The distributions that priors may use: PyMC's names and parameters, SciPy's numbers.

Every univariate continuous distribution of PyMC whose parameters are numbers, except improper ones
(no draws, no quantiles), `VonMises` (angles) and `PolyaGamma` (no density in closed form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from scipy import special

from bayeslmm.model.priors.standard import (
    Standard,
    cauchy,
    exponential,
    gamma,
    half,
    half_cauchy,
    normal,
    student,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution that priors may use.

    Attributes
    ----------
    parameters : tuple of str
        PyMC's parameter names in positional order.
    defaults : mapping
        Values of parameters that may be left out: bounds and shifts that are not there. PyMC also
        has defaults for locations and scales; a prior that leaves those out is more likely a slip
        than a standard normal distribution.
    positive : tuple of str
        Parameters that must be greater than zero.
    frozen : callable
        Parameters in order -> frozen SciPy distribution, which draws.
    evaluated : callable or None
        The same density and quantiles without SciPy's statistics, which take long to load.
    """

    parameters: tuple[str, ...]
    defaults: Mapping[str, float]
    positive: tuple[str, ...]
    frozen: Callable[..., Any]
    evaluated: Callable[..., Any] | None = None


class _Continuous:
    """What SciPy has no distribution for: a density and quantiles; draws invert the latter."""

    lower, upper = 0.0, math.inf

    def ppf(self, q: ArrayLike) -> Any:
        raise NotImplementedError

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        return self.ppf(np.random.default_rng(random_state).uniform(size=size))

    def support(self) -> tuple[float, float]:
        return self.lower, self.upper


class _Unit(_Continuous):
    """A distribution on (0, 1), by its density inside."""

    upper = 1.0

    def logpdf(self, x: ArrayLike) -> Any:
        values = np.asarray(x, dtype=np.float64)
        inside = (values > 0) & (values < 1)
        return np.where(inside, self.inside(np.where(inside, values, 0.5)), -np.inf)

    def inside(self, x: Any) -> Any:
        raise NotImplementedError


class _Kumaraswamy(_Unit):
    """P(X <= x) = 1 - (1 - x^a)^b."""

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b

    def inside(self, x: Any) -> Any:
        tail = np.log1p(-(x**self.a))
        return math.log(self.a * self.b) + special.xlogy(self.a - 1, x) + (self.b - 1) * tail

    def ppf(self, q: ArrayLike) -> Any:
        return (-np.expm1(np.log1p(-np.asarray(q)) / self.b)) ** (1 / self.a)


class _LogitNormal(_Unit):
    """log(x / (1 - x)) ~ Normal(mu, sigma)."""

    def __init__(self, mu: float, sigma: float) -> None:
        self._normal = scipy.stats.norm(mu, sigma)

    def inside(self, x: Any) -> Any:
        return self._normal.logpdf(np.log(x) - np.log1p(-x)) - np.log(x) - np.log1p(-x)

    def ppf(self, q: ArrayLike) -> Any:
        return 0.5 + 0.5 * np.tanh(0.5 * self._normal.ppf(np.asarray(q, dtype=np.float64)))


def _half_student(nu: float, sigma: float) -> Standard:
    return half(student(nu, 0.0, sigma))


def _truncated_normal(mu: Any, sigma: Any, lower: Any, upper: Any) -> Any:
    return scipy.stats.truncnorm((lower - mu) / sigma, (upper - mu) / sigma, loc=mu, scale=sigma)


def _triangular(lower: float, upper: float, c: float) -> Any:
    return scipy.stats.triang((c - lower) / (upper - lower), loc=lower, scale=upper - lower)


def _scipy(name: str) -> Callable[..., Any]:
    """Return the distribution of SciPy that takes the parameters as they are."""

    def frozen(*parameters: float) -> Any:
        # SciPy loads `stats`, a third of a second, when it is first asked for.
        return getattr(scipy.stats, name)(*parameters)

    return frozen


_MS = ("mu", "sigma")
_AB = ("alpha", "beta")
FAMILIES: Mapping[str, Family] = {
    "Normal": Family(_MS, {}, ("sigma",), _scipy("norm"), normal),
    "StudentT": Family(("nu", *_MS), {}, ("nu", "sigma"), _scipy("t"), student),
    "Cauchy": Family(_AB, {}, ("beta",), _scipy("cauchy"), cauchy),
    "Laplace": Family(("mu", "b"), {}, ("b",), _scipy("laplace")),
    "Logistic": Family(("mu", "s"), {}, ("s",), _scipy("logistic")),
    "SkewNormal": Family(("alpha", *_MS), {}, ("sigma",), _scipy("skewnorm")),
    "SkewStudentT": Family(("a", "b", *_MS), {}, ("a", "b", "sigma"), _scipy("jf_skew_t")),
    "AsymmetricLaplace": Family(
        ("kappa", "mu", "b"), {}, ("kappa", "b"),
        lambda kappa, mu, b: scipy.stats.laplace_asymmetric(kappa, loc=mu, scale=1 / b),
    ),
    "ExGaussian": Family(
        (*_MS, "nu"), {}, ("sigma", "nu"),
        lambda mu, sigma, nu: scipy.stats.exponnorm(nu / sigma, loc=mu, scale=sigma),
    ),
    "Gumbel": Family(("mu", "beta"), {}, ("beta",), _scipy("gumbel_r")),
    "Moyal": Family(_MS, {}, ("sigma",), _scipy("moyal")),
    "TruncatedNormal": Family(
        (*_MS, "lower", "upper"), {"lower": -math.inf, "upper": math.inf}, ("sigma",),
        _truncated_normal,
    ),
    "Uniform": Family(
        ("lower", "upper"), {}, (), lambda lower, upper: scipy.stats.uniform(lower, upper - lower)
    ),
    "Triangular": Family(
        ("lower", "upper", "c"), {}, (), _triangular
    ),
    "HalfNormal": Family(
        ("sigma",), {}, ("sigma",), lambda sigma: scipy.stats.halfnorm(scale=sigma),
        lambda sigma: half(normal(0.0, sigma)),
    ),
    "HalfCauchy": Family(
        ("beta",), {}, ("beta",), lambda beta: scipy.stats.halfcauchy(scale=beta),
        half_cauchy,
    ),
    "HalfStudentT": Family(
        ("nu", "sigma"), {}, ("nu", "sigma"), _half_student, _half_student
    ),
    "Exponential": Family(
        ("lam",), {}, ("lam",), lambda lam: scipy.stats.expon(scale=1 / lam), exponential
    ),
    "Gamma": Family(_AB, {}, _AB, lambda a, b: scipy.stats.gamma(a, scale=1 / b), gamma),
    "InverseGamma": Family(_AB, {}, _AB, lambda a, b: scipy.stats.invgamma(a, scale=b)),
    "LogNormal": Family(
        _MS, {}, ("sigma",), lambda mu, sigma: scipy.stats.lognorm(sigma, scale=np.exp(mu))
    ),
    "Weibull": Family(_AB, {}, _AB, lambda a, b: scipy.stats.weibull_min(a, scale=b)),
    "ChiSquared": Family(("nu",), {}, ("nu",), _scipy("chi2")),
    "Pareto": Family(
        ("alpha", "m"), {}, ("alpha", "m"), lambda alpha, m: scipy.stats.pareto(alpha, scale=m)
    ),
    "Rice": Family(
        ("nu", "sigma"), {}, ("nu", "sigma"),
        lambda nu, sigma: scipy.stats.rice(nu / sigma, scale=sigma),
    ),
    "Wald": Family(
        ("mu", "lam", "alpha"), {"alpha": 0.0}, ("mu", "lam"),
        lambda mu, lam, alpha: scipy.stats.invgauss(mu / lam, loc=alpha, scale=lam),
    ),
    "Beta": Family(_AB, {}, _AB, _scipy("beta")),
    "Kumaraswamy": Family(("a", "b"), {}, ("a", "b"), _Kumaraswamy),
    "LogitNormal": Family(_MS, {}, ("sigma",), _LogitNormal),
}  # fmt: skip

# Families whose `sigma` PyMC also takes as a precision, by the precision's name.
PRECISIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("Normal", "HalfNormal", "LogNormal", "LogitNormal", "SkewNormal", "TruncatedNormal"), "tau"
    ),
    **dict.fromkeys(("StudentT", "HalfStudentT", "SkewStudentT"), "lam"),
}


def _gamma(mu: float, sigma: float) -> dict[str, float]:
    return {"alpha": (mu / sigma) ** 2, "beta": mu / sigma**2}


def _inverse_gamma(mu: float, sigma: float) -> dict[str, float]:
    ratio = (mu / sigma) ** 2
    return {"alpha": ratio + 2, "beta": mu * (ratio + 1)}


def _beta_of_size(mu: float, nu: float) -> dict[str, float]:
    return {"alpha": mu * nu, "beta": (1 - mu) * nu}


# Other sets of parameters that PyMC takes: names -> the stored parameters.
ALTERNATIVES: Mapping[tuple[str, frozenset[str]], Callable[..., dict[str, float]]] = {
    ("Exponential", frozenset({"scale"})): lambda scale: {"lam": 1 / scale},
    ("Gamma", frozenset(_MS)): _gamma,
    ("InverseGamma", frozenset(_MS)): _inverse_gamma,
    ("Beta", frozenset(_MS)): lambda mu, sigma: _beta_of_size(mu, mu * (1 - mu) / sigma**2 - 1),
    ("Beta", frozenset({"mu", "nu"})): _beta_of_size,
    ("Wald", frozenset({"mu", "phi"})): lambda mu, phi: {"mu": mu, "lam": mu * phi},
    ("Wald", frozenset({"lam", "phi"})): lambda lam, phi: {"mu": lam / phi, "lam": lam},
    ("Rice", frozenset({"b", "sigma"})): lambda b, sigma: {"nu": b * sigma, "sigma": sigma},
    ("AsymmetricLaplace", frozenset({"q", "mu", "b"})): lambda q, mu, b: {
        "kappa": math.sqrt(q / (1 - q)), "mu": mu, "b": b,
    },
}  # fmt: skip


def _powered_t(nu: float, sigma: float, alpha: float) -> tuple[float, float]:
    freedom = alpha * (nu + 1) - 1
    return freedom, sigma * math.sqrt(nu / freedom)


def _power_half_t(nu: float, sigma: float, alpha: float) -> tuple[str, tuple[float, ...]]:
    return "HalfStudentT", _powered_t(nu, sigma, alpha)


def _power_t(nu: float, mu: float, sigma: float, alpha: float) -> tuple[str, tuple[float, ...]]:
    freedom, scale = _powered_t(nu, sigma, alpha)
    return "StudentT", (freedom, mu, scale)


def _power_log_normal(mu: float, sigma: float, alpha: float) -> tuple[str, tuple[float, ...]]:
    shifted = mu + (1 - alpha) / alpha * sigma**2
    return "LogNormal", (shifted, sigma / math.sqrt(alpha))


def _power_chi_squared(nu: float, alpha: float) -> tuple[str, tuple[float, ...]]:
    return "Gamma", (alpha * (nu / 2 - 1) + 1, alpha / 2)


# (parameters..., alpha) -> the family and parameters of the density raised to alpha.
POWERS: Mapping[str, Callable[..., tuple[str, tuple[float, ...]]]] = {
    "Normal": lambda mu, sigma, a: ("Normal", (mu, sigma / math.sqrt(a))),
    "TruncatedNormal": lambda mu, sigma, low, high, a: (
        "TruncatedNormal", (mu, sigma / math.sqrt(a), low, high),
    ),
    "HalfNormal": lambda sigma, a: ("HalfNormal", (sigma / math.sqrt(a),)),
    "Laplace": lambda mu, b, a: ("Laplace", (mu, b / a)),
    "Uniform": lambda lower, upper, _: ("Uniform", (lower, upper)),
    "Exponential": lambda lam, a: ("Exponential", (lam * a,)),
    "StudentT": _power_t,
    "Cauchy": lambda at, scale, a: _power_t(1.0, at, scale, a),
    "HalfStudentT": _power_half_t,
    "HalfCauchy": lambda scale, a: _power_half_t(1.0, scale, a),
    "Gamma": lambda shape, rate, a: ("Gamma", (a * (shape - 1) + 1, a * rate)),
    "InverseGamma": lambda shape, scale, a: ("InverseGamma", (a * (shape + 1) - 1, a * scale)),
    "ChiSquared": _power_chi_squared,
    "LogNormal": _power_log_normal,
    "Beta": lambda left, right, a: ("Beta", (a * (left - 1) + 1, a * (right - 1) + 1)),
    "LKJ": lambda eta, a: ("LKJ", (a * (eta - 1) + 1,)),
}  # fmt: skip
