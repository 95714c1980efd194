"""Poisson responses: counts whose variance is their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import gammaincc

from bayeslmm.families.links import LOG
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.peaks import log_peak, poisson_fall
from bayeslmm.families.response import COUNTS, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import FamilyParameter, Parameters

# Random numbers of larger means leave 64-bit integers: beyond, those of this mean are stretched,
# which changes their relative spread of less than 1e-9.
LARGEST_MEAN = 1e18


@dataclass(frozen=True, init=False, repr=False)
class Poisson(Member):
    r"""Counts of independent events.

    .. math:: p(y_i \mid \eta_i) = \frac{\mu_i^{y_i} e^{-\mu_i}}{y_i!}, \quad \mu_i = e^{\eta_i}

    Of events in a known exposure, ``offset(log(exposure))`` in the formula makes exp(eta - offset)
    a rate. Counts that scatter more than this are for `NegativeBinomial`, or for an effect of each
    row.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``; coefficients are logarithms of ratios of rates.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., chapter 6,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta = np.log(np.array([0.5, 1e6]))
    >>> bl.Poisson().log_density(np.array([0.0, 1e6]), eta, {}, None).round(4)
    array([-0.5   , -7.8267])
    """

    name: ClassVar[str] = "poisson"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = ()
    response: ClassVar[ResponseRule] = COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = exp(eta)."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, _phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu."""
        return self.link.inverse(eta)

    def log_density(
        self, y: Floats, eta: Floats, _phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute y eta - exp(eta) - log y!."""
        k = np.maximum(y, 1.0)
        counted = log_peak(k) + poisson_fall(k, eta - np.log(k))
        return np.where(y > 0, counted, -self.link.inverse(eta))

    def cdf(self, y: Floats, eta: Floats, _phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute Q(k + 1, mu), the upper incomplete gamma function, k the integer part of y."""
        above = gammaincc(np.floor(np.maximum(y, 0.0)) + 1, self.link.inverse(eta))
        return np.where(y < 0, 0.0, above)

    def draw(
        self,
        eta: Floats,
        _phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a count; beyond 1e18 a multiple of one."""
        mu = self.link.inverse(eta)
        kept = np.minimum(mu, LARGEST_MEAN)
        counts = rng.poisson(kept).astype(np.float64)
        return np.where(mu > LARGEST_MEAN, counts * (mu / LARGEST_MEAN), counts)

    def latent_variance(self, mu: Floats, _phi: Parameters, /) -> Floats:
        """Compute log(1 + 1 / mu), that of a lognormal variable of the same mean and variance."""
        return np.asarray(np.log1p(1.0 / np.asarray(mu)))
