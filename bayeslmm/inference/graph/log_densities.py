"""Log-densities in PyTensor where PyMC's own lose digits or gradients far from zero.

Each takes the response first, then what the distribution depends on, all elementwise. They are held
to `Family.log_density` by a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt

from bayeslmm.families.links import CLOGLOG, LOGIT, PROBIT, ROOT_2PI
from bayeslmm.families.ordinal.ordered import AdjacentCategory, Cumulative, StoppingRatio
from bayeslmm.families.times import inverse_gaussian as passages
from bayeslmm.families.times import weibull as times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT_HALF = float(np.sqrt(0.5))
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def _logit(eta: Any) -> tuple[Any, Any]:
    return -pt.softplus(-eta), -pt.softplus(eta)


def _probit(eta: Any) -> tuple[Any, Any]:
    return log_normal_cdf(eta), log_normal_cdf(-eta)


def _cloglog(eta: Any) -> tuple[Any, Any]:
    hazard = pt.exp(eta)
    return pt.log1mexp(-hazard), -hazard


# eta -> (log mu, log(1 - mu)), by the link's name.
LOG_MEANS: Mapping[str, Callable[[Any], tuple[Any, Any]]] = {
    LOGIT.name: _logit,
    PROBIT.name: _probit,
    CLOGLOG.name: _cloglog,
}


def log_normal_cdf(z: Any) -> Any:
    """Compute log Phi(z), with a gradient on both sides.

    Parameters
    ----------
    z : tensor
        Any numbers.

    Returns
    -------
    tensor
        Of z's shape.
    """
    # Both branches are evaluated, so that each is kept where it neither overflows nor vanishes.
    low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
    below = pt.log(0.5 * pt.erfcx(-low * ROOT_HALF)) - 0.5 * low**2
    return pt.switch(pt.lt(z, -1.0), below, pt.log1p(-0.5 * pt.erfc(high * ROOT_HALF)))


def bernoulli(y: Any, log_mean: Any, log_rest: Any) -> Any:
    """Compute log mu where y is 1, log(1 - mu) where it is 0."""
    return pt.switch(pt.eq(y, 1), log_mean, log_rest)


def binomial(y: Any, trials: Any, log_mean: Any, log_rest: Any) -> Any:
    """Compute log (n over y) + y log mu + (n - y) log(1 - mu)."""
    rest = trials - y
    ways = pt.gammaln(trials + 1.0) - pt.gammaln(y + 1.0) - pt.gammaln(rest + 1.0)
    return ways + y * log_mean + rest * log_rest


def poisson(y: Any, eta: Any) -> Any:
    """Compute y eta - exp(eta) - log y!."""
    return y * eta - pt.exp(eta) - pt.gammaln(y + 1.0)


def beta_binomial(y: Any, trials: Any, log_mean: Any, log_rest: Any, phi: Any) -> Any:
    """Compute the beta-binomial log-probability, also where mu is 0 or 1 to rounding.

    As of the beta, with Gamma(a + k) / Gamma(a) = a Gamma(a + k) / Gamma(a + 1) for k > 0.
    """

    def rising(k: Any, log_a: Any) -> Any:
        a = pt.exp(log_a)
        risen = log_a + pt.gammaln(a + pt.maximum(k, 1)) - pt.gammaln(a + 1.0)
        return pt.switch(pt.gt(k, 0), risen, 0.0)

    ways = pt.gammaln(trials + 1.0) - pt.gammaln(y + 1.0) - pt.gammaln(trials - y + 1.0)
    log_phi = pt.log(phi)
    of_both = rising(y, log_phi + log_mean) + rising(trials - y, log_phi + log_rest)
    return ways + of_both - rising(trials, log_phi)


def gamma(y: Any, eta: Any, shape: Any) -> Any:
    """Compute the gamma log-density at the mean exp(eta)."""
    constant = shape * pt.log(shape) - pt.gammaln(shape) + (shape - 1.0) * pt.log(y)
    return constant - shape * (eta + y * pt.exp(-eta))


def lognormal(y: Any, eta: Any, sigma: Any) -> Any:
    """Compute the normal log-density of log y, less log y."""
    log_y = pt.log(y)
    return -0.5 * ((log_y - eta) / sigma) ** 2 - pt.log(sigma) - log_y - HALF_LOG_2PI


def negbinomial(y: Any, eta: Any, shape: Any) -> Any:
    """Compute the negative binomial's log-probability of y at the mean exp(eta)."""
    ways = pt.gammaln(y + shape) - pt.gammaln(shape) - pt.gammaln(y + 1.0)
    log_odds = eta - pt.log(shape)
    return ways - shape * pt.softplus(log_odds) - y * pt.softplus(-log_odds)


def beta(y: Any, log_mean: Any, log_rest: Any, phi: Any) -> Any:
    """Compute the beta log-density, also where mu is 0 or 1 to rounding.

    By Gamma(a) = Gamma(a + 1) / a, with the logarithms of a and b known beside them.
    """
    a, b = phi * pt.exp(log_mean), phi * pt.exp(log_rest)
    constant = pt.gammaln(phi + 1.0) - pt.gammaln(a + 1.0) - pt.gammaln(b + 1.0)
    return (
        constant
        + (log_mean + log_rest + pt.log(phi))
        + (a - 1.0) * pt.log(y)
        + (b - 1.0) * pt.log1p(-y)
    )


def weibull(y: Any, eta: Any, shape: Any) -> Any:
    """Compute the Weibull log-density at the mean exp(eta)."""
    log_y = pt.log(y)
    a = shape * (log_y - eta + pt.gammaln(1.0 + 1.0 / shape))
    return pt.log(shape) - log_y + a - pt.exp(pt.minimum(a, times.FARTHEST))


def inverse_gaussian(y: Any, eta: Any, shape: Any) -> Any:
    """Compute the inverse Gaussian's log-density at the mean exp(eta)."""
    log_y = pt.log(y)
    off = pt.expm1(pt.minimum(log_y - eta, passages.FARTHEST))
    return 0.5 * pt.log(shape) - np.log(ROOT_2PI) - 1.5 * log_y - 0.5 * shape * off**2 / y


def shifted_lognormal(y: Any, eta: Any, sigma: Any, shift: Any) -> Any:
    """Compute the lognormal's log-density of what exceeds the shift, if anything does."""
    above = pt.gt(y, shift)
    log_rest = pt.log(pt.switch(above, y - shift, 1.0))
    z = (log_rest - eta) / sigma
    return pt.switch(above, -0.5 * z**2 - np.log(ROOT_2PI) - pt.log(sigma) - log_rest, -np.inf)


def skew_normal(y: Any, location: Any, scale: Any, alpha: Any) -> Any:
    """Compute the skew normal's log-density, also where its thin tail is no number."""
    z = (y - location) / scale
    normal = np.log(2.0 / ROOT_2PI) - pt.log(scale) - 0.5 * z**2
    return normal + log_normal_cdf(alpha * z)


# In the place of a category without an upper or a lower threshold: any distance will do.
_ANY_GAP = 1.0


def ordered(family: str, link: str) -> Callable[..., Any]:
    """Return the function (y, eta, thresholds) -> log P(Y = y), y and eta of shape (n,).

    A further argument is the discrimination, shape (n,).
    """

    def computed(y: Any, eta: Any, cuts: Any, disc: Any = None) -> Any:
        return ORDERED[family](link, y, eta, cuts, pt.ones(1) if disc is None else disc)

    return computed


def _cumulative(link: str, y: Any, eta: Any, cuts: Any, disc: Any) -> Any:
    y, last = pt.cast(y, "int64"), cuts.shape[0]
    high = disc * (cuts[pt.minimum(y, last) - 1] - eta)
    low = disc * (cuts[pt.maximum(y - 1, 1) - 1] - eta)
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
    PROBIT.name: _between_probit,
}


def _sratio(link: str, y: Any, eta: Any, cuts: Any, disc: Any) -> Any:
    stop, go_on = LOG_MEANS[link](disc[:, None] * (cuts[None, :] - eta[:, None]))
    place = pt.arange(1, cuts.shape[0] + 1)[None, :]
    reached = y[:, None]
    parts = pt.switch(pt.lt(place, reached), go_on, pt.switch(pt.eq(place, reached), stop, 0.0))
    return parts.sum(axis=1)


def _acat(_link: str, y: Any, eta: Any, cuts: Any, disc: Any) -> Any:
    steps = pt.cumsum(disc[:, None] * (eta[:, None] - cuts[None, :]), axis=1)
    scores = pt.concatenate([pt.zeros_like(eta)[:, None], steps], axis=1)
    own = scores[pt.arange(eta.shape[0]), pt.cast(y, "int64") - 1]
    return own - pt.logsumexp(scores, axis=1)


ORDERED: Mapping[str, Callable[[str, Any, Any, Any, Any], Any]] = {
    Cumulative.name: _cumulative,
    StoppingRatio.name: _sratio,
    AdjacentCategory.name: _acat,
}
