"""Responses with zeros, or ones, of their own in PyMC, made of the densities of other families.

What they are stands in `bayeslmm.families.mixtures`; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.beta import PHI
from bayeslmm.families.gamma import SHAPE as GAMMA_SHAPE
from bayeslmm.families.mixtures.beta_binomial import BetaBinomial
from bayeslmm.families.mixtures.hurdle import (
    HU,
    HurdleGamma,
    HurdleLogNormal,
    HurdleNegativeBinomial,
    HurdlePoisson,
)
from bayeslmm.families.mixtures.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from bayeslmm.families.mixtures.zero_inflated import (
    ZI,
    ZeroInflatedBeta,
    ZeroInflatedBinomial,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from bayeslmm.families.mixtures.zero_one import COI, ZOI, ZeroOneInflatedBeta
from bayeslmm.families.negbinomial import SHAPE as COUNT_SHAPE
from bayeslmm.inference.graph import log_densities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.inference.graph.rows import Rows

# Between 0 and 1, in the place of responses whose own density is not looked at.
_INSIDE = 0.5


@dataclass(frozen=True)
class Part:
    """A distribution of the rows.

    Attributes
    ----------
    parameters : tuple of tensor
        What it depends on.
    logp : callable
        (y, *parameters) -> log-density.
    drawn : callable
        (*parameters, size) -> random variable.
    """

    parameters: tuple[Any, ...]
    logp: Callable[..., Any]
    drawn: Callable[..., Any]


def _poisson(rows: Rows) -> Part:
    def drawn(eta: Any, size: Any) -> Any:
        return pm.Poisson.dist(mu=pt.exp(eta), size=size)

    return Part((rows.eta,), log_densities.poisson, drawn)


def _negbinomial(rows: Rows) -> Part:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        return pm.NegativeBinomial.dist(mu=pt.exp(eta), alpha=shape, size=size)

    parameters = (rows.eta, rows.parameters[COUNT_SHAPE.name])
    return Part(parameters, log_densities.negbinomial, drawn)


def _binomial(rows: Rows) -> Part:
    def drawn(trials: Any, log_mean: Any, log_rest: Any, size: Any) -> Any:  # noqa: ARG001
        return pm.Binomial.dist(n=trials, p=pt.exp(log_mean), size=size)

    return Part((rows.trials(), *rows.log_means()), log_densities.binomial, drawn)


def _beta_binomial(rows: Rows) -> Part:
    def drawn(trials: Any, log_mean: Any, log_rest: Any, phi: Any, size: Any) -> Any:
        a, b = phi * pt.exp(log_mean), phi * pt.exp(log_rest)
        return pm.BetaBinomial.dist(n=trials, alpha=a, beta=b, size=size)

    parameters = (rows.trials(), *rows.log_means(), rows.parameters[PHI.name])
    return Part(parameters, log_densities.beta_binomial, drawn)


def _beta(rows: Rows) -> Part:
    def drawn(log_mean: Any, log_rest: Any, phi: Any, size: Any) -> Any:
        return pm.Beta.dist(alpha=phi * pt.exp(log_mean), beta=phi * pt.exp(log_rest), size=size)

    return Part((*rows.log_means(), rows.parameters[PHI.name]), log_densities.beta, drawn)


def _gamma(rows: Rows) -> Part:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        return pm.Gamma.dist(alpha=shape, beta=shape * pt.exp(-eta), size=size)

    return Part((rows.eta, rows.parameters[GAMMA_SHAPE.name]), log_densities.gamma, drawn)


def _lognormal(rows: Rows) -> Part:
    def drawn(eta: Any, sigma: Any, size: Any) -> Any:
        return pm.LogNormal.dist(mu=eta, sigma=sigma, size=size)

    return Part((rows.eta, rows.parameters[names.SIGMA]), log_densities.lognormal, drawn)


def _truncated(part: Part) -> Part:
    """Return the distribution of a count, given that it is not zero."""

    def logp(y: Any, *parameters: Any) -> Any:
        # Of whatever shape y has: that of the parameters is all there is of zeros.
        log_zero = part.logp(pt.zeros((1,), dtype="int64"), *parameters)
        return part.logp(y, *parameters) - pt.log1mexp(log_zero)

    def drawn(*given: Any) -> Any:
        return pm.Truncated.dist(part.drawn(*given), lower=1)

    return Part(part.parameters, logp, drawn)


def _truncated_poisson(rows: Rows) -> Part:
    return _truncated(_poisson(rows))


def _truncated_negbinomial(rows: Rows) -> Part:
    return _truncated(_negbinomial(rows))


def _with_zeros(
    share: str, inner: Callable[[Rows], Part], *, also: bool, inside: float
) -> Callable[[Rows], Part]:
    """Return a mixture of zero and another distribution.

    Parameters
    ----------
    share : str
        The parameter that is zero's probability.
    inner : callable
        The other distribution.
    also : bool
        Whether that has zeros, too.
    inside : float
        A response that it can have, of the unit of the data.
    """

    def mixture(rows: Rows) -> Part:
        part = inner(rows)

        def logp(y: Any, pi: Any, *parameters: Any) -> Any:
            zero = pt.eq(y, 0)
            # Densities that are infinite at zero would leave no gradient where they do not count.
            there = y if also else pt.switch(zero, pt.constant(inside, dtype=y.dtype), y)
            rest = pt.log1p(-pi) + part.logp(there, *parameters)
            at_zero = pt.log(pi)
            if also:
                at_zero += pt.softplus(rest - at_zero)
            return pt.switch(zero, at_zero, rest)

        def drawn(pi: Any, *given: Any) -> Any:
            zero = pm.Bernoulli.dist(p=pi, size=given[-1])
            found = part.drawn(*given)
            return pt.switch(pt.eq(zero, 1), pt.zeros_like(found), found)

        return Part((rows.parameters[share], *part.parameters), logp, drawn)

    return mixture


def _zero_one(rows: Rows) -> Part:
    part = _beta(rows)

    def logp(y: Any, either: Any, one: Any, *parameters: Any) -> Any:
        at_bounds = pt.eq(y, 0) | pt.eq(y, 1)
        inside = part.logp(pt.switch(at_bounds, _INSIDE, y), *parameters)
        bound = pt.log(either) + pt.switch(pt.eq(y, 1), pt.log(one), pt.log1p(-one))
        return pt.switch(at_bounds, bound, pt.log1p(-either) + inside)

    def drawn(either: Any, one: Any, *given: Any) -> Any:
        at_bounds = pm.Bernoulli.dist(p=either, size=given[-1])
        bound = pm.Bernoulli.dist(p=one, size=given[-1])
        return pt.switch(pt.eq(at_bounds, 1), bound, part.drawn(*given))

    parameters = (rows.parameters[ZOI.name], rows.parameters[COI.name], *part.parameters)
    return Part(parameters, logp, drawn)


def _observed(part: Callable[[Rows], Part]) -> Callable[[Rows], None]:
    def add(rows: Rows) -> None:
        found = part(rows)
        rows.observe(found.parameters, found.logp, found.drawn)

    return add


def _inflated(inner: Callable[[Rows], Part]) -> Callable[[Rows], None]:
    return _observed(_with_zeros(ZI.name, inner, also=True, inside=0.0))


def _hurdle(inner: Callable[[Rows], Part]) -> Callable[[Rows], None]:
    return _observed(_with_zeros(HU.name, inner, also=False, inside=1.0))


WITH_ZEROS: Mapping[str, Callable[[Rows], None]] = {
    BetaBinomial.name: _observed(_beta_binomial),
    ZeroInflatedPoisson.name: _inflated(_poisson),
    ZeroInflatedNegativeBinomial.name: _inflated(_negbinomial),
    ZeroInflatedBinomial.name: _inflated(_binomial),
    ZeroInflatedBeta.name: _observed(_with_zeros(ZI.name, _beta, also=False, inside=_INSIDE)),
    ZeroOneInflatedBeta.name: _observed(_zero_one),
    HurdlePoisson.name: _hurdle(_truncated_poisson),
    HurdleNegativeBinomial.name: _hurdle(_truncated_negbinomial),
    HurdleGamma.name: _hurdle(_gamma),
    HurdleLogNormal.name: _hurdle(_lognormal),
    TruncatedPoisson.name: _observed(_truncated_poisson),
    TruncatedNegativeBinomial.name: _observed(_truncated_negbinomial),
}
"""How a response with zeros is observed, by the family's name."""
