"""Link functions g with eta = g(mu): from the mean of a response to its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, log_expit, log_ndtr, logit, ndtr, ndtri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats

ROOT_2PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Link:
    """A strictly increasing g with eta = g(mu), differentiable; all three work elementwise.

    Attributes
    ----------
    name : str
        As users spell it.
    link : callable
        mu -> eta = g(mu).
    inverse : callable
        eta -> mu, so that inverse(link(mu)) = mu.
    derivative : callable
        eta -> d mu / d eta, positive.

    Examples
    --------
    >>> IDENTITY.inverse(np.array([-1.0, 2.0])), IDENTITY.derivative(np.array([-1.0, 2.0]))
    (array([-1.,  2.]), array([1., 1.]))
    """

    name: str
    link: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]
    derivative: Callable[[Floats], Floats]


@dataclass(frozen=True)
class UnitLink(Link):
    """A link of means between 0 and 1, whose logarithms keep their digits where mu is 0 or 1.

    Attributes
    ----------
    log_mean : callable
        eta -> log mu, finite where eta is.
    log_rest : callable
        eta -> log(1 - mu), finite wherever it can be represented.

    Examples
    --------
    >>> LOGIT.log_mean(np.array([-50.0, 0.0])).round(4)
    array([-50.    ,  -0.6931])
    >>> CLOGLOG.log_rest(np.array([-1.0, 2.0])).round(4)
    array([-0.3679, -7.3891])
    """

    log_mean: Callable[[Floats], Floats]
    log_rest: Callable[[Floats], Floats]


def _same(values: Floats) -> Floats:
    return values


def exponential(eta: Floats) -> Floats:
    """Compute exp(eta), infinite beyond 709.8, where floating-point numbers end."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(eta))


def _logit_slope(eta: Floats) -> Floats:
    return np.asarray(expit(eta) * expit(-eta))


def _logit_rest(eta: Floats) -> Floats:
    return np.asarray(log_expit(-eta))


def _probit_slope(eta: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * np.square(eta)) / ROOT_2PI)


def _probit_rest(eta: Floats) -> Floats:
    return np.asarray(log_ndtr(-eta))


def _cloglog(mu: Floats) -> Floats:
    return np.asarray(np.log(-np.log1p(-mu)))


def _cloglog_inverse(eta: Floats) -> Floats:
    return np.asarray(-np.expm1(-exponential(eta)))


def _cloglog_slope(eta: Floats) -> Floats:
    return np.asarray(np.exp(eta - exponential(eta)))


def _cloglog_log_mean(eta: Floats) -> Floats:
    """Compute log(1 - exp(-e^eta)), which tends to eta and, above, to -exp(-e^eta)."""
    hazard = exponential(np.maximum(eta, -30.0))
    # Below -30 the next term of the series, e^eta / 2, is 5e-14 of a number beyond 30.
    near = np.where(hazard < 1.0, np.log(-np.expm1(-hazard)), np.log1p(-np.exp(-hazard)))
    return np.where(eta < -30.0, eta - 0.5 * exponential(np.minimum(eta, 0.0)), near)


def _cloglog_rest(eta: Floats) -> Floats:
    return -exponential(eta)


IDENTITY = Link("identity", _same, _same, np.ones_like)
LOG = Link("log", np.log, exponential, exponential)
LOGIT = UnitLink("logit", logit, expit, _logit_slope, log_expit, _logit_rest)
PROBIT = UnitLink("probit", ndtri, ndtr, _probit_slope, log_ndtr, _probit_rest)
CLOGLOG = UnitLink(
    "cloglog", _cloglog, _cloglog_inverse, _cloglog_slope, _cloglog_log_mean, _cloglog_rest
)

LINKS: Mapping[str, Link] = {link.name: link for link in (IDENTITY, LOG, LOGIT, PROBIT, CLOGLOG)}
UNIT_LINKS = (LOGIT.name, PROBIT.name, CLOGLOG.name)
