"""Bernoulli and binomial responses: yes or no, and how often yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import betainc

from bayeslmm.families.links import UNIT_LINKS, UnitLink
from bayeslmm.families.member import Member
from bayeslmm.families.peaks import binomial_fall, log_peak
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import FamilyParameter, Parameters

# Variances of the latent response that is positive where y is 1: logistic, normal, Gumbel.
LATENT_VARIANCE = {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}


def _zero_or_one(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y == 0) | (y == 1)


def _at_most_the_trials(y: Floats, trials: Floats | None) -> Any:
    return (y >= 0) & (y <= (1.0 if trials is None else trials)) & (np.floor(y) == y)


ZERO_OR_ONE = ResponseRule(
    "zeros and ones",
    _zero_or_one,
    "Of counts of successes, say among how many: family='binomial', trials='size'; make a yes or "
    "no of a number by a comparison in the table, such as table['y'] > 3.",
    binary=True,
)
SUCCESSES = ResponseRule(
    "counts of successes, from 0 to the number of trials",
    _at_most_the_trials,
    "Give the successes as the response and their trials, a column or a number, as trials=: of "
    "proportions p the response is p * trials, of failures the trials are successes + failures.",
    known="trials",
)


@dataclass(frozen=True, init=False, repr=False)
class _Yes(Member):
    """What both families of yes and no share: the mean of a trial and the latent variance."""

    link: UnitLink
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = ()
    discrete: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = g^-1(eta), the probability of a success."""
        return np.asarray(self.link.inverse(eta))

    def latent_variance(self, mu: Floats, _phi: Parameters, /) -> Floats:
        """Return pi^2 / 3 for logit, 1 for probit, pi^2 / 6 for cloglog."""
        return np.full(np.shape(mu), LATENT_VARIANCE[self.link.name])

    def _spread(self, eta: Floats) -> Floats:
        return np.asarray(np.exp(self.link.log_mean(eta) + self.link.log_rest(eta)))


@dataclass(frozen=True, init=False, repr=False)
class Bernoulli(_Yes):
    r"""Zeros and ones, no and yes.

    .. math:: P(y_i = 1 \mid \eta_i) = \mu_i = g^{-1}(\eta_i), \quad
              g \in \{\mathrm{logit}, \mathrm{probit}, \mathrm{cloglog}\}

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``: log(mu / (1 - mu)), coefficients are log odds ratios; ``"probit"``: the normal
        quantile; ``"cloglog"``: log(-log(1 - mu)), coefficients are log hazard ratios of events in
        intervals.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    Binomial : successes among several trials.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., chapter 4,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> bl.Bernoulli(link="probit").mean(np.array([-1.0, 0.0, 1.0]), {}).round(3)
    array([0.159, 0.5  , 0.841])
    >>> bl.Bernoulli().log_density(np.array([1.0, 0.0]), np.array([-50.0, 0.0]), {}, None).round(4)
    array([-50.    ,  -0.6931])
    """

    name: ClassVar[str] = "bernoulli"
    response: ClassVar[ResponseRule] = ZERO_OR_ONE

    def variance(self, eta: Floats, _phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu (1 - mu)."""
        return self._spread(eta)

    def log_density(
        self, y: Floats, eta: Floats, _phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute log mu where y is 1, log(1 - mu) where it is 0."""
        return np.where(y == 1, self.link.log_mean(eta), self.link.log_rest(eta))

    def cdf(self, y: Floats, eta: Floats, _phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute 0 below zero, 1 - mu from there to one, then 1."""
        return np.where(y < 0, 0.0, np.where(y < 1, np.exp(self.link.log_rest(eta)), 1.0))

    def draw(
        self,
        eta: Floats,
        _phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw 1 where a uniform number is below mu, else 0."""
        return (rng.random(eta.shape) < self.link.inverse(eta)).astype(np.float64)


@dataclass(frozen=True, init=False, repr=False)
class Binomial(_Yes):
    r"""Counts of successes among known numbers of trials.

    .. math:: p(y_i \mid \eta_i) = \binom{n_i}{y_i} \mu_i^{y_i} (1 - \mu_i)^{n_i - y_i}, \quad
              \mu_i = g^{-1}(\eta_i)

    The numbers of trials n are what is `known` of the rows.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``, ``"probit"`` or ``"cloglog"``, as of `Bernoulli`.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    Bernoulli : one trial in each row.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., chapter 4,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, trials = np.arange(4.0), np.array(3.0)
    >>> np.exp(bl.Binomial().log_density(y, np.array(0.0), {}, trials))
    array([0.125, 0.375, 0.375, 0.125])
    """

    name: ClassVar[str] = "binomial"
    response: ClassVar[ResponseRule] = SUCCESSES

    def variance(self, eta: Floats, _phi: Parameters, trials: Floats | None, /) -> Floats:
        """Compute n mu (1 - mu), the variance of the count."""
        return np.asarray((1.0 if trials is None else trials) * self._spread(eta))

    def log_density(
        self, y: Floats, eta: Floats, _phi: Parameters, trials: Floats | None, /
    ) -> Floats:
        """Compute log (n over y) + y log mu + (n - y) log(1 - mu)."""
        rest = (1.0 if trials is None else trials) - y
        log_mean, log_rest = self.link.log_mean(eta), self.link.log_rest(eta)
        inner = (y > 0) & (rest > 0)
        k, r = np.where(inner, y, 1.0), np.where(inner, rest, 1.0)
        within = binomial_fall(k, r, log_mean + np.log1p(r / k), log_rest + np.log1p(k / r))
        within = within + log_peak(k) + log_peak(r) - log_peak(k + r)
        # A million failures against a hazard of e^700 are less likely than any number says.
        with np.errstate(over="ignore"):
            return np.where(inner, within, np.where(y > 0, y * log_mean, rest * log_rest))

    def cdf(self, y: Floats, eta: Floats, _phi: Parameters, trials: Floats | None, /) -> Floats:
        """Compute I_{1 - mu}(n - k, k + 1), k the integer part of y."""
        n = 1.0 if trials is None else trials
        k = np.floor(y)
        inner = (k >= 0) & (k < n)
        # The complement 1 - I_mu(k + 1, n - k) takes SciPy ten times as long.
        below = betainc(
            np.where(inner, n - k, 1.0),
            np.where(inner, k, 0.0) + 1,
            np.exp(self.link.log_rest(eta)),
        )
        return np.where(inner, below, np.where(k < 0, 0.0, 1.0))

    def draw(
        self,
        eta: Floats,
        _phi: Parameters,
        trials: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a number of successes."""
        n = np.asarray(1.0 if trials is None else trials).astype(np.int64)
        mu = self.link.inverse(eta)
        return np.asarray(rng.binomial(n, mu, eta.shape), dtype=np.float64)
