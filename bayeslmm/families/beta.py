"""Beta responses: proportions strictly between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import betainc

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import UNIT_LINKS, UnitLink
from bayeslmm.families.member import Member
from bayeslmm.families.peaks import binomial_fall, log_peak
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

PHI = FamilyParameter(
    "phi", "precision: the variance is mu (1 - mu) / (1 + phi)", "InverseGamma(0.5, 0.5)"
)
# Draws and exponents that are smaller would be zero to NumPy's generator.
SMALLEST = 1e-300
LARGEST = 1 - 2.0**-53


def _inside(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y > 0) & (y < 1)


FRACTIONS = ResponseRule(
    "numbers strictly between 0 and 1",
    _inside,
    "Divide percentages by 100. Where some are exactly 0 take family='zero_inflated_beta', where "
    "some are 0 or 1 'zero_one_inflated_beta'; of counts among a number of trials "
    "family='binomial', with trials=.",
)


@dataclass(frozen=True, init=False, repr=False)
class Beta(Member):
    r"""Proportions that are no counts, strictly between 0 and 1.

    .. math:: p(y_i \mid \eta_i, \phi) = \frac{y_i^{\mu_i \phi - 1}
              (1 - y_i)^{(1 - \mu_i) \phi - 1}}{B(\mu_i \phi, (1 - \mu_i) \phi)}, \quad
              \mu_i = g^{-1}(\eta_i), \quad
              \mathrm{Var}(y_i) = \frac{\mu_i (1 - \mu_i)}{1 + \phi}

    The default prior of the precision ``phi`` makes 1 / sqrt(phi) half-normal with scale 1.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``, ``"probit"`` or ``"cloglog"``, as of `Bernoulli`.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Ferrari & Cribari-Neto (2004), Beta regression for modelling rates and proportions,
    doi:10.1080/0266476042000214501.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([0.2, 0.9]), np.array(0.0)
    >>> bl.Beta().log_density(y, eta, {"phi": 4.0}, None).round(4)
    array([-0.0408, -0.6162])
    """

    link: UnitLink
    name: ClassVar[str] = "beta"
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (PHI,)
    response: ClassVar[ResponseRule] = FRACTIONS
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = g^-1(eta)."""
        return np.asarray(self.link.inverse(eta))

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu (1 - mu) / (1 + phi)."""
        spread = np.exp(self.link.log_mean(eta) + self.link.log_rest(eta))
        return np.asarray(spread / (1.0 + phi[PHI.name]))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute the logarithm of the beta density, also where mu is 0 or 1 to rounding."""
        precision = np.asarray(phi[PHI.name], dtype=float)
        log_mean, log_rest = self.link.log_mean(eta), self.link.log_rest(eta)
        a, b = self._exponents(eta, phi)
        log_y, log_other = np.log(y), np.log1p(-y)
        # Of Gamma(a + 1) and Gamma(b + 1): no infinity where a or b are zero to rounding.
        at_peak = log_peak(a) + log_peak(b) - log_peak(precision)
        fall = binomial_fall(a, b, log_y - log_mean, log_other - log_rest)
        return np.asarray(
            fall + at_peak + np.log(precision) + (log_mean - log_y) + (log_rest - log_other)
        )

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute I_y(mu phi, (1 - mu) phi), the regularised incomplete beta function."""
        a, b = self._exponents(eta, phi)
        inner = np.clip(y, 0.0, 1.0)
        return np.asarray(betainc(np.maximum(a, SMALLEST), np.maximum(b, SMALLEST), inner))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a proportion; where rounding would make it 0 or 1, the nearest number inside."""
        a, b = self._exponents(eta, phi)
        drawn = rng.beta(np.maximum(a, SMALLEST), np.maximum(b, SMALLEST), eta.shape)
        return np.clip(drawn, SMALLEST, LARGEST)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute g'(mu)^2 mu (1 - mu) / (1 + phi), the delta method's variance of g(y)."""
        mu = np.asarray(mu, dtype=float)
        slope = self.link.derivative(self.link.link(mu))
        return np.asarray(mu * (1 - mu) / (1.0 + phi[PHI.name]) / np.square(slope))

    def _exponents(self, eta: Floats, phi: Parameters) -> tuple[Floats, Floats]:
        """Return mu phi and (1 - mu) phi."""
        precision = phi[PHI.name]
        return (
            np.asarray(np.exp(self.link.log_mean(eta)) * precision),
            np.asarray(np.exp(self.link.log_rest(eta)) * precision),
        )
