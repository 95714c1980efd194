"""Censored responses: of some rows it is known only that they lie above, below or between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, log_ndtr, stdtr, xlogy

from bayeslmm import names
from bayeslmm.errors import ArgumentError
from bayeslmm.families.links import exponential
from bayeslmm.families.response import POSITIVE
from bayeslmm.families.times.weibull import FARTHEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, FamilyParameter, MeanForm, Parameters
    from bayeslmm.families.links import Link
    from bayeslmm.families.response import ResponseRule

PREFIX = "censored_"
OF_ZERO = (
    "A time of zero is less than its unit can tell: write half of the smallest unit, or leave the "
    "row out if what it waits for had happened before."
)
type Tails = tuple[Floats, Floats]


def log_gamma_tails(shape: Floats, x: Floats) -> Tails:
    """Compute logarithms of the regularised incomplete gamma functions P and Q.

    Where one of them is no number any more, by the first term of its series.
    """
    below, above = gammainc(shape, x), gammaincc(shape, x)
    with np.errstate(divide="ignore"):
        log_below, log_above = np.log(below), np.log(above)
        start = xlogy(shape, x) - x - gammaln(shape + 1.0)
        rest = xlogy(shape - 1.0, x) - x - gammaln(shape)
    return np.where(below > 0, log_below, start), np.where(above > 0, log_above, rest)


def _gaussian(y: Floats, eta: Floats, phi: Parameters) -> Tails:
    z = (y - eta) / phi[names.SIGMA]
    return log_ndtr(z), log_ndtr(-z)


def _lognormal(y: Floats, eta: Floats, phi: Parameters) -> Tails:
    return _gaussian(np.log(y), eta, phi)


def _student(y: Floats, eta: Floats, phi: Parameters) -> Tails:
    z = (y - eta) / phi[names.SIGMA]
    return np.log(stdtr(phi["nu"], z)), np.log(stdtr(phi["nu"], -z))


def _weibull(y: Floats, eta: Floats, phi: Parameters) -> Tails:
    shape = np.asarray(phi["shape"], dtype=float)
    a = shape * (np.log(y) - eta + gammaln(1.0 + 1.0 / shape))
    hazard = np.exp(np.minimum(a, FARTHEST))
    with np.errstate(divide="ignore"):
        below = np.log(-np.expm1(-hazard))
    # Of hazards too small for numbers the logarithm is a itself.
    return np.where(a < -600.0, a, below), -hazard


def _exponential(y: Floats, eta: Floats, phi: Parameters) -> Tails:  # noqa: ARG001
    return _weibull(y, eta, {"shape": 1.0})


def _gamma(y: Floats, eta: Floats, phi: Parameters) -> Tails:
    shape = np.asarray(phi["shape"], dtype=float)
    return log_gamma_tails(shape, shape * exponential(np.log(y) - eta))


def _poisson(y: Floats, eta: Floats, phi: Parameters) -> Tails:  # noqa: ARG001
    above, below = log_gamma_tails(np.asarray(y + 1.0), exponential(eta))
    return below, above


# (y, eta, phi) -> log P(Y <= y) and log P(Y > y).
TAILS: Mapping[str, Callable[[Floats, Floats, Parameters], Tails]] = {
    "gaussian": _gaussian,
    "lognormal": _lognormal,
    "student": _student,
    "weibull": _weibull,
    "exponential": _exponential,
    "gamma": _gamma,
    "poisson": _poisson,
}


@dataclass(frozen=True, repr=False)
class Censored:
    r"""A family of which some responses are known to lie in an interval alone.

    .. math:: \log p = \begin{cases} \log p(y_i \mid \eta_i) & \text{observed} \\
              \log P(Y_i > y_i \mid \eta_i) & \text{right} \\
              \log P(Y_i \le y_i \mid \eta_i) & \text{left} \\
              \log P(y_i < Y_i \le u_i \mid \eta_i) & \text{interval} \end{cases}

    What is known of a row is the other end of where it lies: y itself where it was observed,
    infinity on the right, minus infinity on the left, u of an interval. Means, variances and draws
    are those of the response that was not seen whole.

    Attributes
    ----------
    base : Family
        Of the response itself.
    """

    base: Family

    def __repr__(self) -> str:
        return f"{self.base!r}, censored"

    @property
    def name(self) -> str:
        """The base's name behind ``"censored_"``."""
        return PREFIX + self.base.name

    @property
    def link(self) -> Link:
        """That of the base."""
        return self.base.link

    @property
    def links(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.links

    @property
    def parameters(self) -> tuple[FamilyParameter, ...]:
        """Those of the base."""
        return self.base.parameters

    @property
    def response(self) -> ResponseRule:
        """What the base's responses are, with other ends."""
        own = self.base.response
        advice = OF_ZERO if own is POSITIVE else own.advice
        return replace(own, advice=advice, known="ends")

    @property
    def gaussian_scale(self) -> Link | None:
        """None: given an interval, effects are not normal."""
        return None

    @property
    def level_scale(self) -> Link | None:
        """That of the base."""
        return self.base.level_scale

    @property
    def mean_form(self) -> MeanForm:
        """That of the base."""
        return self.base.mean_form

    @property
    def atoms(self) -> tuple[float, ...]:
        """None."""
        return ()

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether each response depends on eta: all of them."""
        return self.base.tells_level(y)

    def cdf_below(self, y: Floats, eta: Floats, phi: Parameters, _ends: Floats | None, /) -> Floats:
        """Compute the base's P(Y < y)."""
        return self.base.cdf_below(y, eta, phi, None)

    @property
    def mean_scale(self) -> Link:
        """That of the base."""
        return self.base.mean_scale

    @property
    def discrete(self) -> bool:
        """As the base."""
        return self.base.discrete

    @property
    def latent_at_mean(self) -> bool:
        """As the base."""
        return self.base.latent_at_mean

    @property
    def log_concave(self) -> bool:
        """As the base: integrals of a log-concave density over intervals are log-concave."""
        return self.base.log_concave

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the base's mean."""
        return self.base.mean(eta, phi)

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the base's slope."""
        return self.base.mean_slope(eta, phi)

    def variance(self, eta: Floats, phi: Parameters, _ends: Floats | None, /) -> Floats:
        """Compute the base's variance."""
        return self.base.variance(eta, phi, None)

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, ends: Floats | None, /
    ) -> Floats:
        """Compute the base's log-density, or the logarithm of an interval's probability."""
        seen = self.base.log_density(y, eta, phi, None)
        if ends is None or not np.any(ends != y):
            return seen
        tails = TAILS[self.base.name]
        below, above = tails(y, eta, phi)
        there = np.isfinite(ends) & (ends != y)
        found = np.where(ends == y, seen, np.where(np.isneginf(ends), below, above))
        if not there.any():
            return found
        with np.errstate(all="ignore"):
            end_below, end_above = tails(np.where(there, ends, y), eta, phi)
            # By the tail in which the interval lies, so that nothing cancels.
            lower = end_below + np.log(-np.expm1(below - end_below))
            upper = above + np.log(-np.expm1(end_above - above))
        inside = np.where(end_below < np.log(0.5), lower, upper)
        return np.where(there, inside, found)

    def bounds(
        self, y: Floats, eta: Floats, phi: Parameters, ends: Floats, /
    ) -> tuple[Floats, Floats]:
        """Compute the distribution function at both ends of where each response lies.

        Parameters
        ----------
        y, eta, phi, ends
            As in `log_density`.

        Returns
        -------
        below, above : ndarray
            Equal where a continuous response was seen.
        """
        at = self.base.cdf(y, eta, phi, None)
        there = np.isfinite(ends)
        end = self.base.cdf(np.where(there, ends, y), eta, phi, None)
        low = self.base.cdf(y - 1.0, eta, phi, None) if self.discrete else at
        below = np.where(ends == y, low, np.where(np.isneginf(ends), 0.0, at))
        above = np.where(there, end, np.where(np.isneginf(ends), at, 1.0))
        return below, above

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _ends: Floats | None, /) -> Floats:
        """Compute the base's distribution function."""
        return self.base.cdf(y, eta, phi, None)

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _ends: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw whole responses, as the base does."""
        return self.base.draw(eta, phi, None, rng)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute the base's."""
        return self.base.latent_variance(mu, phi)


def censored(family: Family) -> Censored:
    """Return a family with censored responses.

    Raises
    ------
    ArgumentError
        If its tails are not known.
    """
    if family.name not in TAILS:
        *others, last = TAILS
        raise ArgumentError(
            f"cens= is for the families {', '.join(others)} and {last}, and the family is "
            f"{family.name!r}."
        )
    return Censored(family)


def uncensored(family: Family) -> Family:
    """Return the family of whole responses."""
    return family.base if isinstance(family, Censored) else family
