"""Prior distributions as frozen values: parsed from text, evaluated in NumPy, printed back.

PyMC's names and parameters are used throughout, so that a prior reads the same here, in a model
file and in the graph.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bayeslmm.errors import PriorError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

LKJ = "LKJ"


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution that priors may use.

    Attributes
    ----------
    parameters : tuple of str
        PyMC's parameter names in positional order.
    defaults : mapping
        Values of parameters that may be left out.
    positive : tuple of str
        Parameters that must be greater than zero.
    frozen : callable
        Parameters in order -> frozen SciPy distribution.
    """

    parameters: tuple[str, ...]
    defaults: Mapping[str, float]
    positive: tuple[str, ...]
    frozen: Callable[..., Any]


def _truncated_normal(mu: Any, sigma: Any, lower: Any, upper: Any) -> Any:
    return stats.truncnorm((lower - mu) / sigma, (upper - mu) / sigma, loc=mu, scale=sigma)


class _HalfStudentT:
    """|t| with `nu` degrees of freedom times `sigma`; SciPy has no such distribution."""

    def __init__(self, nu: Any, sigma: Any) -> None:
        self._t = stats.t(nu, scale=sigma)

    def logpdf(self, x: ArrayLike) -> Any:
        values = np.asarray(x, dtype=np.float64)
        return np.where(values >= 0, math.log(2) + self._t.logpdf(values), -np.inf)

    def ppf(self, q: ArrayLike) -> Any:
        return self._t.ppf(0.5 + 0.5 * np.asarray(q))

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        return np.abs(self._t.rvs(size=size, random_state=random_state))

    def support(self) -> tuple[Any, Any]:
        return 0.0, np.inf


_MS = ("mu", "sigma")
FAMILIES: Mapping[str, Family] = {
    "Normal": Family(_MS, {"mu": 0.0, "sigma": 1.0}, ("sigma",), stats.norm),
    "StudentT": Family(
        ("nu", *_MS),
        {"mu": 0.0, "sigma": 1.0},
        ("nu", "sigma"),
        stats.t,
    ),
    "Cauchy": Family(("alpha", "beta"), {}, ("beta",), stats.cauchy),
    "Laplace": Family(("mu", "b"), {}, ("b",), stats.laplace),
    "Logistic": Family(("mu", "s"), {"mu": 0.0, "s": 1.0}, ("s",), stats.logistic),
    "TruncatedNormal": Family(
        (*_MS, "lower", "upper"), {"lower": -math.inf, "upper": math.inf}, ("sigma",),
        _truncated_normal,
    ),
    "Uniform": Family(
        ("lower", "upper"), {}, (), lambda lower, upper: stats.uniform(lower, upper - lower)
    ),
    "HalfNormal": Family(("sigma",), {}, ("sigma",), lambda sigma: stats.halfnorm(scale=sigma)),
    "HalfCauchy": Family(("beta",), {}, ("beta",), lambda beta: stats.halfcauchy(scale=beta)),
    "HalfStudentT": Family(("nu", "sigma"), {"sigma": 1.0}, ("nu", "sigma"), _HalfStudentT),
    "Exponential": Family(("lam",), {}, ("lam",), lambda lam: stats.expon(scale=1 / lam)),
    "Gamma": Family(
        ("alpha", "beta"), {}, ("alpha", "beta"), lambda a, b: stats.gamma(a, scale=1 / b)
    ),
    "InverseGamma": Family(
        ("alpha", "beta"), {"beta": 1.0}, ("alpha", "beta"),
        lambda a, b: stats.invgamma(a, scale=b),
    ),
    "LogNormal": Family(
        _MS, {"mu": 0.0, "sigma": 1.0}, ("sigma",),
        lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
    ),
    "Weibull": Family(
        ("alpha", "beta"), {}, ("alpha", "beta"), lambda a, b: stats.weibull_min(a, scale=b)
    ),
    "ChiSquared": Family(("nu",), {}, ("nu",), stats.chi2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior distribution: a family and its parameters.

    Attributes
    ----------
    family : str
        PyMC's name of the distribution, or ``"LKJ"`` for correlation matrices.
    parameters : tuple of (str, float)
        Every parameter by PyMC's name, in positional order.

    Raises
    ------
    PriorError
        If the family is unknown or a parameter is missing, unknown or out of range.

    Examples
    --------
    >>> Prior.parse("HalfStudentT(3, 50)")
    Prior('HalfStudentT(nu=3, sigma=50)')
    >>> Prior.parse("Normal(sigma=2)").quantile(0.5).item()
    0.0
    """

    family: str
    parameters: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        _check_parameters(self.family, dict(self.parameters))

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read a prior such as ``"Normal(0, 10)"``; nothing in the text is ever executed.

        Parameters
        ----------
        text : str
            A family with numbers, by position or by PyMC's parameter names.

        Returns
        -------
        Prior
            The value.

        Raises
        ------
        PriorError
            If the text is anything else.
        """
        family, positional, named = _read_call(text)
        names = _parameter_names(family)
        if len(positional) > len(names):
            raise PriorError(
                f"{text!r} gives {len(positional)} numbers, but {family} has only the parameters "
                f"{', '.join(names)}."
            )
        given = dict(zip(names, positional, strict=False))
        if twice := given.keys() & named.keys():
            raise PriorError(f"{text!r} gives {min(twice)!r} twice: by position and by name.")
        return cls.of(family, **given, **named)

    @classmethod
    def of(cls, family: str, **parameters: float) -> Prior:
        """Build a prior from a family's name and PyMC's parameters, defaults filled in."""
        parameters = _canonical(family, parameters)
        names = _parameter_names(family)
        defaults = {} if family == LKJ else FAMILIES[family].defaults
        complete = {**defaults, **parameters}
        if unknown := [name for name in complete if name not in names]:
            raise PriorError(
                f"{family} has no parameter {unknown[0]!r}; it has {', '.join(names)}."
                + nearest(unknown[0], names)
            )
        if missing := [name for name in names if name not in complete]:
            raise PriorError(f"{family} needs a value for {', '.join(missing)}.")
        return cls(family, tuple((name, float(complete[name])) for name in names))

    @property
    def numbers(self) -> tuple[float, ...]:
        """Parameter values in positional order."""
        return tuple(value for _, value in self.parameters)

    @property
    def support(self) -> tuple[float, float]:
        """Lower and upper end of the values that have positive density."""
        lower, upper = self._frozen().support()
        return float(lower), float(upper)

    def log_density(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the log-density at `x`, elementwise."""
        return np.asarray(self._frozen().logpdf(x), dtype=np.float64)

    def quantile(self, q: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the quantile function at probabilities `q`."""
        return np.asarray(self._frozen().ppf(q), dtype=np.float64)

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `size` independent values."""
        return np.asarray(self._frozen().rvs(size=size, random_state=rng), dtype=np.float64)

    def _frozen(self) -> Any:
        if self.family == LKJ:
            raise PriorError("LKJ is a distribution of correlation matrices, not of numbers.")
        return FAMILIES[self.family].frozen(*self.numbers)

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters)
        return f"{self.family}({inner})"

    def __repr__(self) -> str:
        return f"Prior({str(self)!r})"


def lkj_log_density(corr: NDArray[np.float64], eta: float) -> NDArray[np.float64]:
    r"""Evaluate the LKJ log-density of correlation matrices.

    .. math:: \log p(R) = (\eta - 1) \log |R| - \log c_q(\eta)

    with the normalizing constant of Lewandowski, Kurowicka and Joe (2009), their equation 16:
    :math:`c_q = \prod_{k=1}^{q-1} [2^{2 a_k - 1} B(a_k, a_k)]^{q-k}` over the canonical
    partial correlations' Beta parameters :math:`a_k = \eta + (q - 1 - k) / 2`.

    Parameters
    ----------
    corr : ndarray, shape (..., q, q)
        Correlation matrices.
    eta : float
        Concentration, > 0; 1 is uniform.

    Returns
    -------
    ndarray, shape (...)
        The log-density with respect to the free correlations.

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009). J Multivar Anal 100:1989-2001.
       doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    Two uncorrelated effects under the uniform prior on (-1, 1) have density 1/2:

    >>> round(float(np.exp(lkj_log_density(np.eye(2), 1.0))), 12)
    0.5
    """
    q = corr.shape[-1]
    _, logdet = np.linalg.slogdet(corr)
    constant = 0.0
    for k in range(1, q):
        a = eta + 0.5 * (q - 1 - k)
        beta = 2 * math.lgamma(a) - math.lgamma(2 * a)
        constant += (q - k) * ((2 * a - 1) * math.log(2) + beta)
    return np.asarray((eta - 1) * logdet - constant, dtype=np.float64)


def _parameter_names(family: str) -> tuple[str, ...]:
    if family == LKJ:
        return ("eta",)
    if family not in FAMILIES:
        known = (*FAMILIES, LKJ)
        raise PriorError(
            f"{family!r} is not a distribution that a prior can use; known are "
            f"{', '.join(known)}." + nearest(family, known)
        )
    return FAMILIES[family].parameters


def _canonical(family: str, parameters: Mapping[str, float]) -> dict[str, float]:
    """Translate PyMC's alternative parametrizations to the one that is stored."""
    given = dict(parameters)
    if family == "Exponential" and set(given) == {"scale"}:
        return {"lam": 1.0 / given["scale"] if given["scale"] else math.inf}
    if family == "Gamma" and set(given) == {"mu", "sigma"} and given["sigma"] > 0:
        variance = given["sigma"] ** 2
        return {"alpha": given["mu"] ** 2 / variance, "beta": given["mu"] / variance}
    return given


def _check_parameters(family: str, given: Mapping[str, float]) -> None:
    _parameter_names(family)
    positive = ("eta",) if family == LKJ else FAMILIES[family].positive
    for name, value in given.items():
        infinite_ok = family == "TruncatedNormal" and name in {"lower", "upper"}
        if math.isnan(value) or (math.isinf(value) and not infinite_ok):
            raise PriorError(f"{family}'s parameter {name} must be a finite number, not {value}.")
        if name in positive and value <= 0:
            raise PriorError(f"{family}'s parameter {name} must be positive, not {value:g}.")
    if {"lower", "upper"} <= given.keys() and given["lower"] >= given["upper"]:
        raise PriorError(
            f"{family} needs lower < upper, not lower={given['lower']:g}, upper={given['upper']:g}."
        )


def _read_call(text: str) -> tuple[str, list[float], dict[str, float]]:
    example = 'write a distribution and its numbers, e.g. "Normal(0, 10)"'
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PriorError(f"The prior {text!r} cannot be read; {example}.") from None
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise PriorError(f"The prior {text!r} is not a distribution; {example}.")
    named: dict[str, float] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise PriorError(f"The prior {text!r} uses '**'; name each parameter.")
        if keyword.arg in named:
            raise PriorError(f"The prior {text!r} gives {keyword.arg!r} twice.")
        named[keyword.arg] = _number(keyword.value, text)
    return node.func.id, [_number(arg, text) for arg in node.args], named


def _number(node: ast.expr, text: str) -> float:
    sign = 1.0
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Name) and node.id == "inf":
        return sign * math.inf
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        try:
            return sign * float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            raise PriorError(f"The prior {text!r} has a number that is too large.") from None
    raise PriorError(
        f"The prior {text!r} may contain only numbers between its parentheses, "
        f"not {ast.unparse(node)!r}."
    )
