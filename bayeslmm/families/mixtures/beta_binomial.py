"""Beta-binomial responses: successes that scatter more than a binomial's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bayeslmm.families.beta import PHI as BETA_PHI
from bayeslmm.families.beta import SMALLEST, Beta
from bayeslmm.families.binomial import SUCCESSES, Binomial
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import UNIT_LINKS, UnitLink
from bayeslmm.families.member import Member
from bayeslmm.families.mixtures.by_rows import drawn_by_rows
from bayeslmm.families.negbinomial import count_density

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters
    from bayeslmm.families.response import ResponseRule

PHI = FamilyParameter(
    BETA_PHI.name,
    "precision: the variance of a row's own probability is mu (1 - mu) / (1 + phi)",
    BETA_PHI.prior,
)


@dataclass(frozen=True, init=False, repr=False)
class BetaBinomial(Member):
    r"""Successes among several trials that a row has in common more than a binomial tells.

    .. math:: p(y_i \mid \eta_i, \phi) = \binom{n_i}{y_i}
              \frac{B(y_i + \mu_i \phi, \; n_i - y_i + (1 - \mu_i) \phi)}
              {B(\mu_i \phi, \; (1 - \mu_i) \phi)}, \quad \mu_i = g^{-1}(\eta_i)

    Each row has a probability of its own, beta-distributed around mu with precision ``phi``, so
    that its variance is n mu (1 - mu) (1 + (n - 1) / (1 + phi)); `Binomial` is its limit at
    infinity. The default prior makes 1 / sqrt(phi) half-normal with scale 1.

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
    Binomial : whose rows may have effects of their own, ``(1 | row)``.

    References
    ----------
    Williams (1975), The analysis of binary responses from toxicological experiments involving
    reproduction and teratogenicity, doi:10.2307/2529820.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta, trials = np.array([0.0, 1.0, 2.0]), np.array(0.0), np.array(2.0)
    >>> bl.BetaBinomial().log_density(y, eta, {"phi": 2.0}, trials).round(4)
    array([-1.0986, -1.0986, -1.0986])
    """

    link: UnitLink
    name: ClassVar[str] = "beta_binomial"
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (PHI,)
    response: ClassVar[ResponseRule] = SUCCESSES
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = g^-1(eta), the probability of a success."""
        return np.asarray(self.link.inverse(eta))

    def variance(self, eta: Floats, phi: Parameters, trials: Floats | None, /) -> Floats:
        """Compute n mu (1 - mu) (1 + (n - 1) / (1 + phi))."""
        n = np.asarray(1.0 if trials is None else trials)
        spread = np.exp(self.link.log_mean(eta) + self.link.log_rest(eta))
        return np.asarray(n * spread * (1.0 + (n - 1.0) / (1.0 + phi[PHI.name])))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, trials: Floats | None, /
    ) -> Floats:
        """Compute the logarithm of the beta-binomial probability of y.

        Negative binomial counts y and n - y of shapes mu phi and (1 - mu) phi and of the same odds
        have that of phi as their sum: given the sum n the first is beta-binomial. Odds of n / phi
        put all three near their peaks.
        """
        n = np.asarray(1.0 if trials is None else trials, dtype=float)
        precision = np.asarray(phi[PHI.name], dtype=float)
        log_odds = np.log(np.maximum(n, 1.0)) - np.log(precision)
        log_mean, log_rest = self.link.log_mean(eta), self.link.log_rest(eta)

        def part(count: Floats, log_shape: Floats) -> Floats:
            shape = np.maximum(np.exp(log_shape), SMALLEST)
            return count_density(count, shape, log_shape, log_odds)

        successes = part(y, np.log(precision) + log_mean)
        failures = part(n - y, np.log(precision) + log_rest)
        return successes + failures - part(n, np.log(precision))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, trials: Floats | None, /) -> Floats:
        """Compute the sum of the probabilities of 0, ..., k, the integer part of y."""
        n = np.asarray(1.0 if trials is None else trials, dtype=float)
        k = np.floor(y)
        shape = np.broadcast_shapes(*(np.shape(value) for value in (k, eta, n, phi[PHI.name])))
        total = np.zeros(shape)
        for count in range(int(np.max(np.minimum(k, n - 1.0), initial=-1.0)) + 1):
            here = np.minimum(float(count), n)
            mass = np.exp(self.log_density(here, eta, phi, trials))
            total += np.where((count <= k) & (count < n), mass, 0.0)
        return np.where(k >= n, 1.0, np.minimum(total, 1.0))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        trials: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a row's own probability, and then its successes."""
        own = Beta(self.link.name)

        def row(eta: Floats, phi: Parameters, trials: Floats | None) -> Floats:
            n = np.int64(1) if trials is None else np.asarray(trials).astype(np.int64)
            return rng.binomial(n, own.draw(eta, phi, None, rng)).astype(np.float64)

        return drawn_by_rows(row, eta, phi, trials)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute the binomial's, of the latent response, and the beta's, by the delta method."""
        binomial = Binomial(self.link.name).latent_variance(mu, phi)
        return binomial + Beta(self.link.name).latent_variance(mu, phi)
