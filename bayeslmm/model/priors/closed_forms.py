"""Log-density and slope of a prior at one number: closed forms where they pay, else differences.

A search for a mode asks for some hundreds of them, one after the other; SciPy's distributions take
a tenth of a millisecond to check their arguments. A sampler asks for many thousands: the closed
forms are one function of numbers, which `kernels.target` compiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.prior_forms import (
    INVERSE,
    LOG_NORMAL,
    NORMAL,
    PARTIAL,
    POWERS,
    STUDENT,
    Form,
    Pair,
    form_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.model.priors.prior import Prior

# Central differences over 1e-5 of the parameter leave errors of some 1e-10 of the slope.
_STEP = 1e-5
_LOG_2PI = math.log(2.0 * math.pi)
_TWICE = math.log(2.0)


def form_of(prior: Prior) -> Form | None:
    """Return a prior's closed form; None where it has none here.

    Examples
    --------
    >>> from bayeslmm.model.priors.prior import Prior
    >>> form_of(Prior.parse("Exponential(2)"))
    Form(kind=2, a=1.0, b=2.0, c=0.0, constant=0.6931471805599453)
    """
    closed = CLOSED_FORMS.get(prior.family)
    return None if closed is None else closed(*prior.numbers)


def partial_form(shape: float) -> Form:
    """Return the closed form of a partial correlation's prior, 2 Beta(shape, shape) - 1.

    It is `log_density_of_partials` for one number.
    """
    constant = math.lgamma(2.0 * shape) - 2.0 * math.lgamma(shape)
    return Form(PARTIAL, shape, 0.0, 0.0, constant - (2.0 * shape - 1.0) * _TWICE)


def value_and_slope(prior: Prior) -> Callable[[float], Pair]:
    """Return the function from a number to a prior's log-density and its derivative.

    Parameters
    ----------
    prior : Prior
        Of one number.

    Returns
    -------
    callable
        -inf and 0 outside the support.

    Examples
    --------
    >>> from bayeslmm.model.priors.prior import Prior
    >>> value_and_slope(Prior.parse("Exponential(2)"))(1.0)
    (-1.3068528194400546, -2.0)
    """
    lower, upper = prior.support
    form = form_of(prior)
    if form is None:
        return _by_differences(prior, lower, upper)

    def evaluate(x: float) -> Pair:
        return form_at(*form, x) if lower <= x <= upper else (-math.inf, 0.0)

    return evaluate


def _by_differences(prior: Prior, lower: float, upper: float) -> Callable[[float], Pair]:
    # Half the width of its middle half: a scale that a Cauchy distribution has, too.
    low, high = prior.quantile([0.25, 0.75])
    width = float(0.5 * (high - low))

    def evaluate(x: float) -> Pair:
        step = _STEP * max(abs(x), 1e-3 * width)
        ends = max(x - step, lower), min(x + step, upper)
        # One call for all three: SciPy checks its arguments longer than it computes.
        here, before, after = prior.log_density([x, *ends])
        if not math.isfinite(here):
            return -math.inf, 0.0
        return float(here), float((after - before) / (ends[1] - ends[0]))

    return evaluate


def _normal(mu: float, sigma: float, doubled: float = 0.0) -> Form:
    return Form(NORMAL, mu, sigma, 0.0, doubled - 0.5 * _LOG_2PI - math.log(sigma))


def _student(nu: float, mu: float, sigma: float, doubled: float = 0.0) -> Form:
    constant = doubled + math.lgamma(0.5 * (nu + 1)) - math.lgamma(0.5 * nu)
    constant -= 0.5 * math.log(nu * math.pi) + math.log(sigma)
    return Form(STUDENT, nu, mu, sigma, constant)


def _powers(a: float, b: float) -> Form:
    return Form(POWERS, a, b, 0.0, a * math.log(b) - math.lgamma(a))


def _inverse_gamma(alpha: float, beta: float) -> Form:
    return Form(INVERSE, alpha, beta, 0.0, alpha * math.log(beta) - math.lgamma(alpha))


def _log_normal(mu: float, sigma: float) -> Form:
    return Form(LOG_NORMAL, mu, sigma, 0.0, -0.5 * _LOG_2PI - math.log(sigma))


# Family -> (parameters in order) -> its closed form inside the support.
CLOSED_FORMS: Mapping[str, Callable[..., Form]] = {
    "Normal": _normal,
    "HalfNormal": lambda sigma: _normal(0.0, sigma, _TWICE),
    "StudentT": _student,
    "HalfStudentT": lambda nu, sigma: _student(nu, 0.0, sigma, _TWICE),
    "Cauchy": lambda alpha, beta: _student(1.0, alpha, beta),
    "HalfCauchy": lambda beta: _student(1.0, 0.0, beta, _TWICE),
    "Exponential": lambda lam: _powers(1.0, lam),
    "Gamma": _powers,
    "InverseGamma": _inverse_gamma,
    "LogNormal": _log_normal,
}
