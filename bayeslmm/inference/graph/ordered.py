"""Ordered categories in a graph: thresholds from sticks, and log-densities.

They are held to `bayeslmm.families.ordered` by a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt

from bayeslmm.families.links import CLOGLOG, LOGIT
from bayeslmm.families.ordered import AdjacentCategory, Cumulative
from bayeslmm.inference.graph.log_densities import LOG_MEANS, log_normal_cdf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.families.ordered import Ordered

ROOT_2 = float(np.sqrt(2.0))
# In the place of a category without an upper or a lower threshold: any distance will do.
_ANY_GAP = 1.0


def thresholds(family: Ordered, sticks: Any) -> Any:
    """Compute the thresholds, shape (K - 1,), at which eta = 0 gives these sticks."""
    rest = pt.log1p(-sticks)
    if family.name == AdjacentCategory.name:
        own, above = pt.log(sticks) - rest, pt.log(sticks[1:])
        return own - pt.concatenate([above, pt.zeros(1)])
    if family.name == Cumulative.name:
        rest = pt.cumsum(rest)
    if family.link.name == LOGIT.name:
        return pt.log(pt.expm1(-rest))
    if family.link.name == CLOGLOG.name:
        return pt.log(-rest)
    return ROOT_2 * pt.erfcinv(2.0 * pt.exp(rest))


def log_density(family: str, link: str) -> Callable[[Any, Any, Any], Any]:
    """Return the function (y, eta, thresholds) -> log P(Y = y), y and eta of shape (n,)."""

    def computed(y: Any, eta: Any, cuts: Any) -> Any:
        return DENSITIES[family](link, y, eta, cuts)

    return computed


def _cumulative(link: str, y: Any, eta: Any, cuts: Any) -> Any:
    y, last = pt.cast(y, "int64"), cuts.shape[0]
    high = cuts[pt.minimum(y, last) - 1] - eta
    low = cuts[pt.maximum(y - 1, 1) - 1] - eta
    inner = pt.and_(pt.gt(y, 1), pt.le(y, last))
    gap = pt.switch(inner, high - low, _ANY_GAP)
    between = BETWEEN[link](low, gap)
    edge = pt.switch(pt.eq(y, 1), LOG_MEANS[link](high)[0], LOG_MEANS[link](low)[1])
    return pt.switch(inner, between, edge)


def _between_logit(low: Any, gap: Any) -> Any:
    return LOG_MEANS[LOGIT.name](low + gap)[0] - pt.softplus(low) + pt.log1mexp(-gap)


def _between_cloglog(low: Any, gap: Any) -> Any:
    part = low + gap + pt.log1mexp(-gap)
    return -pt.exp(low) + LOG_MEANS[CLOGLOG.name](part)[0]


def _between_probit(low: Any, gap: Any) -> Any:
    # Of the two tails the one in which the difference is between small numbers.
    high = low + gap
    flip = pt.gt(low + high, 0.0)
    a, b = pt.switch(flip, -low, high), pt.switch(flip, -high, low)
    log_a = log_normal_cdf(a)
    return log_a + pt.log1mexp(log_normal_cdf(b) - log_a)


BETWEEN: Mapping[str, Callable[[Any, Any], Any]] = {
    LOGIT.name: _between_logit,
    CLOGLOG.name: _between_cloglog,
    "probit": _between_probit,
}


def _sratio(link: str, y: Any, eta: Any, cuts: Any) -> Any:
    stop, go_on = LOG_MEANS[link](cuts[None, :] - eta[:, None])
    place = pt.arange(1, cuts.shape[0] + 1)[None, :]
    reached = y[:, None]
    parts = pt.switch(pt.lt(place, reached), go_on, pt.switch(pt.eq(place, reached), stop, 0.0))
    return parts.sum(axis=1)


def _acat(_link: str, y: Any, eta: Any, cuts: Any) -> Any:
    steps = pt.cumsum(eta[:, None] - cuts[None, :], axis=1)
    scores = pt.concatenate([pt.zeros_like(eta)[:, None], steps], axis=1)
    own = scores[pt.arange(eta.shape[0]), pt.cast(y, "int64") - 1]
    return own - pt.logsumexp(scores, axis=1)


DENSITIES: Mapping[str, Callable[[str, Any, Any, Any], Any]] = {
    Cumulative.name: _cumulative,
    "sratio": _sratio,
    AdjacentCategory.name: _acat,
}
