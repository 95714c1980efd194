"""Prior distributions as frozen values: parsed from text, evaluated in NumPy, printed back.

PyMC's names and parameters are used throughout, so that a prior reads the same here, in a model
file and in the graph.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import PriorError, nearest
from bayeslmm.model.priors.distributions import ALTERNATIVES, FAMILIES, POWERS, PRECISIONS, Family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


LKJ = "LKJ"


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
    >>> Prior.parse("Normal(mu=5, sigma=2)").quantile(0.5).item()
    5.0
    """

    family: str
    parameters: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        _check_parameters(self.family, dict(self.parameters))

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Return the prior that text such as ``"Normal(0, 10)"`` names; nothing in it is executed.

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
        """Return the prior of a family with PyMC's parameters.

        Every parameter must be given but bounds of a `TruncatedNormal` and the shift of a `Wald`:
        PyMC's standard locations and scales suit no data but standardized ones.
        """
        names = _parameter_names(family)
        parameters = _canonical(family, parameters)
        defaults = {} if family == LKJ else FAMILIES[family].defaults
        complete = {**defaults, **parameters}
        if unknown := [name for name in complete if name not in names]:
            raise PriorError(
                f"{family} has no parameter {unknown[0]!r}; it has {', '.join(names)}."
                + nearest(unknown[0], names)
            )
        if missing := [name for name in names if name not in complete]:
            raise PriorError(
                f"{family} needs a value for {' and for '.join(missing)}; its parameters are "
                f"{family}({', '.join(names)})."
            )
        return cls(family, tuple((name, float(complete[name])) for name in names))

    @classmethod
    def from_pymc(cls, value: Any) -> Prior:
        """Return the prior of an object with `distribution` and `parameters` (`pymc_extras.prior`).

        Its dimensions say nothing new here (a key of the model's priors does) and are not looked
        at; hierarchical and transformed priors have no counterpart.

        Parameters
        ----------
        value : object
            With ``distribution``, PyMC's name, and ``parameters``, a mapping of names to numbers.

        Returns
        -------
        Prior
            The same distribution.

        Raises
        ------
        PriorError
            If a parameter is no single number, or the prior is transformed.
        """
        if getattr(value, "transform", None) is not None:
            raise PriorError(
                f"The prior {value} is transformed by {value.transform!r}; state the distribution "
                "of the parameter itself."
            )
        numbers: dict[str, float] = {}
        for name, number in value.parameters.items():
            if isinstance(number, bool) or np.ndim(number) or not hasattr(number, "__float__"):
                raise PriorError(
                    f"The prior {value} has {name}={number!r}; its parameters must be numbers."
                )
            numbers[name] = float(number)
        return cls.of(value.distribution, **numbers)

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
        # One of its own: SciPy keeps the generator in the frozen value while it draws.
        frozen = self._univariate().frozen(*self.numbers)
        return np.asarray(frozen.rvs(size=size, random_state=rng), dtype=np.float64)

    def powered(self, alpha: float) -> Prior:
        r"""Raise the density to a power: the prior :math:`\propto p(x)^\alpha`.

        Parameters
        ----------
        alpha : float
            Above 1 narrows the prior, below 1 widens it.

        Returns
        -------
        Prior
            The normalized result, exactly.

        Raises
        ------
        PriorError
            If the result has no name among the families, or is improper.

        References
        ----------
        .. [1] Kallioinen et al. (2024). Detecting and diagnosing prior and likelihood sensitivity
           with power-scaling. Statistics and Computing 34:57. doi:10.1007/s11222-023-10366-5

        Examples
        --------
        >>> Prior.parse("Normal(0, 2)").powered(4)
        Prior('Normal(mu=0, sigma=1)')
        """
        if self.family not in POWERS:
            raise PriorError(
                f"A power of {self} is no distribution with a name; the families with powers are "
                f"{', '.join(POWERS)}."
            )
        try:
            family, numbers = POWERS[self.family](*self.numbers, float(alpha))
            return Prior(family, tuple(zip(_parameter_names(family), numbers, strict=True)))
        except (PriorError, ArithmeticError, ValueError) as error:
            raise PriorError(f"{self} to the power {alpha:g} is no proper distribution.") from error

    def _univariate(self) -> Family:
        if self.family == LKJ:
            raise PriorError("LKJ is a distribution of correlation matrices, not of numbers.")
        return FAMILIES[self.family]

    def _frozen(self) -> Any:
        self._univariate()
        return _frozen(self.family, self.numbers)

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters)
        return f"{self.family}({inner})"

    def __repr__(self) -> str:
        return f"Prior({str(self)!r})"


PriorLike = str | Prior


@lru_cache(maxsize=512)
def _frozen(family: str, numbers: tuple[float, ...]) -> Any:
    # SciPy takes a millisecond to freeze a distribution: a second in a study of thirty scenarios.
    of_family = FAMILIES[family]
    return (of_family.evaluated or of_family.frozen)(*numbers)


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
    precision = PRECISIONS.get(family)
    convert = ALTERNATIVES.get((family, frozenset(given)))
    try:
        if precision in given and "sigma" not in given:
            given["sigma"] = 1 / math.sqrt(given.pop(precision))
        return given if convert is None else convert(**given)
    except (ArithmeticError, ValueError):
        shown = ", ".join(f"{name}={value:g}" for name, value in parameters.items())
        raise PriorError(f"There is no {family} distribution with {shown}.") from None


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
    if family == "Triangular" and not given["lower"] <= given["c"] <= given["upper"]:
        raise PriorError(f"Triangular needs its mode c between its ends, not c={given['c']:g}.")


def _read_call(text: str) -> tuple[str, list[float], dict[str, float]]:
    example = 'write a distribution and its numbers, e.g. "Normal(0, 10)"'
    if not isinstance(text, str):
        raise PriorError(f"The prior {text!r} is no text; {example}.")
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
