"""Censored responses in PyMC: densities of what was seen, tails of what was not.

They are held to `families.derived.censored` by a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.gamma import SHAPE as GAMMA_SHAPE
from bayeslmm.families.tails.student import NU
from bayeslmm.families.times.weibull import FARTHEST
from bayeslmm.families.times.weibull import SHAPE as TIME_SHAPE
from bayeslmm.inference.graph import log_densities
from bayeslmm.inference.graph.log_densities import log_normal_cdf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Ints
    from bayeslmm.design.design import Design
    from bayeslmm.families.derived.censored import Censored

type Parameters = Mapping[str, Any]
# Probabilities are taken for no smaller: gradients of the branch that is not taken stay numbers.
_LEAST = 1e-300


def _z(y: Any, eta: Any, phi: Parameters) -> Any:
    return (y - eta) / phi[names.SIGMA]


def _normal_density(y: Any, eta: Any, phi: Parameters) -> Any:
    return pm.logp(pm.Normal.dist(mu=eta, sigma=phi[names.SIGMA]), y)


def _normal_above(y: Any, eta: Any, phi: Parameters) -> Any:
    return log_normal_cdf(-_z(y, eta, phi))


def _normal_below(y: Any, eta: Any, phi: Parameters) -> Any:
    return log_normal_cdf(_z(y, eta, phi))


def _normal_between(y: Any, end: Any, eta: Any, phi: Parameters) -> Any:
    a, b = _z(y, eta, phi), _z(end, eta, phi)
    # By the tail in which the interval lies, so that nothing cancels.
    turned = pt.gt(a, 0.0)
    low, high = pt.switch(turned, -b, a), pt.switch(turned, -a, b)
    return _difference(log_normal_cdf(high), log_normal_cdf(low))


def _difference(more: Any, less: Any) -> Any:
    """Compute log(exp(more) - exp(less))."""
    return more + pt.log1mexp(less - more)


def _log_hazard(y: Any, eta: Any, phi: Parameters) -> Any:
    shape = phi.get(TIME_SHAPE.name, pt.as_tensor_variable(1.0))
    return shape * (pt.log(y) - eta + pt.gammaln(1.0 + 1.0 / shape))


def _hazard(y: Any, eta: Any, phi: Parameters) -> Any:
    return pt.exp(pt.minimum(_log_hazard(y, eta, phi), FARTHEST))


def _time_density(y: Any, eta: Any, phi: Parameters) -> Any:
    shape = phi.get(TIME_SHAPE.name, pt.as_tensor_variable(1.0))
    return log_densities.weibull(y, eta, shape)


def _time_above(y: Any, eta: Any, phi: Parameters) -> Any:
    return -_hazard(y, eta, phi)


def _time_below(y: Any, eta: Any, phi: Parameters) -> Any:
    a = _log_hazard(y, eta, phi)
    # Of hazards that are next to none the logarithm is a itself.
    return pt.switch(pt.lt(a, -30.0), a, pt.log1mexp(-pt.exp(pt.clip(a, -30.0, FARTHEST))))


def _time_between(y: Any, end: Any, eta: Any, phi: Parameters) -> Any:
    lasted, more = _hazard(y, eta, phi), _hazard(end, eta, phi)
    return -lasted + pt.log1mexp(lasted - more)


def _student_density(y: Any, eta: Any, phi: Parameters) -> Any:
    return pm.logp(pm.StudentT.dist(nu=phi[NU.name], mu=eta, sigma=phi[names.SIGMA]), y)


def _student_tails(y: Any, eta: Any, phi: Parameters) -> tuple[Any, Any]:
    z, nu = _z(y, eta, phi), phi[NU.name]
    tail = 0.5 * pt.betainc(0.5 * nu, 0.5, nu / (nu + z**2))
    tail = pt.maximum(tail, _LEAST)
    below = pt.switch(pt.lt(z, 0.0), pt.log(tail), pt.log1p(-tail))
    return below, pt.switch(pt.lt(z, 0.0), pt.log1p(-tail), pt.log(tail))


def _gamma_density(y: Any, eta: Any, phi: Parameters) -> Any:
    shape = phi[GAMMA_SHAPE.name]
    return pm.logp(pm.Gamma.dist(alpha=shape, beta=shape * pt.exp(-eta)), y)


def _gamma_tails(y: Any, eta: Any, phi: Parameters) -> tuple[Any, Any]:
    shape = phi[GAMMA_SHAPE.name]
    return _incomplete(shape, shape * y * pt.exp(-eta))


def _incomplete(shape: Any, x: Any) -> tuple[Any, Any]:
    below, above = pt.gammainc(shape, x), pt.gammaincc(shape, x)
    return pt.log(pt.maximum(below, _LEAST)), pt.log(pt.maximum(above, _LEAST))


def _poisson_density(y: Any, eta: Any, phi: Parameters) -> Any:  # noqa: ARG001
    return pm.logp(pm.Poisson.dist(mu=pt.exp(eta)), y)


def _poisson_tails(y: Any, eta: Any, phi: Parameters) -> tuple[Any, Any]:  # noqa: ARG001
    above, below = _incomplete(y + 1.0, pt.exp(eta))
    return below, above


type _Of = Callable[[Any, Any, Parameters], Any]
type _Parts = tuple[_Of, _Of, _Of, Callable[[Any, Any, Any, Parameters], Any]]


def _by_tails(density: _Of, tails: Callable[[Any, Any, Parameters], tuple[Any, Any]]) -> _Parts:
    """Return the parts of a family whose two tails are all that is known."""

    def above(y: Any, eta: Any, phi: Parameters) -> Any:
        return tails(y, eta, phi)[1]

    def below(y: Any, eta: Any, phi: Parameters) -> Any:
        return tails(y, eta, phi)[0]

    def between(y: Any, end: Any, eta: Any, phi: Parameters) -> Any:
        (y_below, y_above), (end_below, end_above) = tails(y, eta, phi), tails(end, eta, phi)
        lower = pt.lt(end_below, np.log(0.5))
        return _difference(
            pt.switch(lower, end_below, y_above), pt.switch(lower, y_below, end_above)
        )

    return density, above, below, between


def _of_logarithm(parts: _Parts) -> _Parts:
    """Return the parts of a family of which log(y) has these."""
    density, above, below, between = parts
    return (
        lambda y, eta, phi: density(pt.log(y), eta, phi) - pt.log(y),
        lambda y, eta, phi: above(pt.log(y), eta, phi),
        lambda y, eta, phi: below(pt.log(y), eta, phi),
        lambda y, end, eta, phi: between(pt.log(y), pt.log(end), eta, phi),
    )


_NORMAL: _Parts = (_normal_density, _normal_above, _normal_below, _normal_between)
_TIMES: _Parts = (_time_density, _time_above, _time_below, _time_between)
# Of seen rows, of those above and below, and of intervals.
PARTS: Mapping[str, _Parts] = {
    "gaussian": _NORMAL,
    "lognormal": _of_logarithm(_NORMAL),
    "student": _by_tails(_student_density, _student_tails),
    "weibull": _TIMES,
    "exponential": _TIMES,
    "gamma": _by_tails(_gamma_density, _gamma_tails),
    "poisson": _by_tails(_poisson_density, _poisson_tails),
}


def _of(parameter: Any, rows: Ints) -> Any:
    """Return a parameter of some rows; PyMC hands one number over as a vector of length one."""
    return parameter if all(parameter.type.broadcastable) else parameter[rows]


def add_censored(family: Censored, design: Design, eta: Any, phi: Parameters) -> None:
    """Add an observed response of which some rows are censored to the open PyMC model.

    Parameters
    ----------
    family : Censored
        How it is distributed.
    design : Design
        The rows.
    eta : tensor, shape (n,)
        Linear predictors.
    phi : mapping of str to tensor
        The family's parameters, one for all rows or one for each, perhaps among others.
    """
    phi = {parameter.name: phi[parameter.name] for parameter in family.parameters}
    y, name = design.y, names.stored(design.response)
    ends = y if design.known is None else design.known
    kinds = [
        np.flatnonzero(mask)
        for mask in (
            ends == y, np.isposinf(ends), np.isneginf(ends), np.isfinite(ends) & (ends != y)
        )
    ]  # fmt: skip
    place = np.argsort(np.concatenate(kinds), kind="stable")
    keys: tuple[str, ...] = tuple(phi)
    seen, above, below, between = PARTS[family.base.name]
    parts: tuple[Callable[..., Any], ...] = (seen, above, below, between)

    def logp(value: Any, eta: Any, *others: Any) -> Any:
        found = []
        for rows, part in zip(kinds, parts, strict=True):
            if not len(rows):
                continue
            own = {key: _of(one, rows) for key, one in zip(keys, others, strict=True)}
            limits = (ends[rows],) if part is between else ()
            found.append(part(value[rows], *limits, eta[rows], own))
        return pt.concatenate(found)[place]

    whole = y.astype(np.int64) if family.discrete else y
    observed = pm.Data("response_data", whole, dims=names.OBS)
    pm.CustomDist(name, eta, *phi.values(), logp=logp, observed=observed, dims=names.OBS)
