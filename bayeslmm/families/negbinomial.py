"""Negative binomial responses: counts that scatter more than Poisson's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import betainc, expit

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOG
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.peaks import binomial_fall, log_peak
from bayeslmm.families.poisson import LARGEST_MEAN
from bayeslmm.families.response import COUNTS, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

SHAPE = FamilyParameter(
    "shape", "shape: the variance is mu + mu^2 / shape", "InverseGamma(0.5, 0.5)"
)


def count_density(y: Floats, shape: Floats, log_shape: Floats, log_odds: Floats) -> Floats:
    """Compute the logarithm of the negative binomial probability of y.

    Parameters
    ----------
    y : ndarray
        Counts.
    shape, log_shape : ndarray
        The shape s > 0 and its logarithm, which keeps its digits where s is next to nothing.
    log_odds : ndarray
        log(mu / s).

    Returns
    -------
    ndarray
        Of the common shape.
    """
    k = np.maximum(y, 1.0)
    n = shape + k
    log_count, log_stop = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)
    up, down = log_count + np.log1p(shape / k), log_stop + np.log1p(k / shape)
    counted = binomial_fall(k, shape, up, down) + (log_shape - np.log(n))
    counted = counted + log_peak(k) + log_peak(shape) - log_peak(n)
    return np.where(y > 0, counted, shape * log_stop)


@dataclass(frozen=True, init=False, repr=False)
class NegativeBinomial(Member):
    r"""Counts whose variance exceeds their mean: Poisson with a gamma-distributed rate.

    .. math:: p(y_i \mid \eta_i, s) = \frac{\Gamma(y_i + s)}{\Gamma(s) \, y_i!}
              \left(\frac{s}{s + \mu_i}\right)^{s} \left(\frac{\mu_i}{s + \mu_i}\right)^{y_i},
              \quad \mu_i = e^{\eta_i}, \quad \mathrm{Var}(y_i) = \mu_i + \mu_i^2 / s

    The parameter ``shape`` is s, called size, theta, phi or alpha elsewhere; `Poisson` is its limit
    at infinity. The default prior makes 1 / sqrt(s) half-normal with scale 1.

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
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., section 6.2.3,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta, y = np.log(np.array(2.0)), np.array([0.0, 3.0])
    >>> bl.NegativeBinomial().log_density(y, eta, {"shape": 1.0}, None).round(4)
    array([-1.0986, -2.315 ])
    >>> bl.NegativeBinomial().variance(eta, {"shape": 1.0}, None).round(12)
    np.float64(6.0)
    """

    name: ClassVar[str] = "negbinomial"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE,)
    response: ClassVar[ResponseRule] = COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = exp(eta)."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu + mu^2 / shape."""
        mu = self.link.inverse(eta)
        with np.errstate(over="ignore"):
            return np.asarray(mu + np.square(mu) / phi[SHAPE.name])

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute the logarithm of the negative binomial probability of y."""
        shape = np.asarray(phi[SHAPE.name], dtype=float)
        log_shape = np.log(shape)
        return count_density(y, shape, log_shape, eta - log_shape)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute I(shape, k + 1) at shape / (mu + shape), k the integer part of y."""
        shape = phi[SHAPE.name]
        k = np.floor(np.maximum(y, 0.0))
        # The complement 1 - I(k + 1, shape) takes SciPy ten times as long.
        return np.where(y < 0, 0.0, betainc(shape, k + 1, expit(np.log(shape) - eta)))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a Poisson count of a gamma-distributed mean; beyond some 1e18 a multiple of one."""
        shape = np.asarray(phi[SHAPE.name], dtype=float)
        mu = self.link.inverse(eta)
        # What NumPy still takes, as of `Poisson`, ten standard deviations of the gamma included.
        largest = LARGEST_MEAN / (1 + 10 / np.sqrt(shape))
        kept = np.minimum(mu, largest)
        counts = rng.negative_binomial(shape, 1 / (1 + kept / shape), eta.shape).astype(np.float64)
        return np.where(mu > largest, counts * (mu / largest), counts)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute log(1 + 1 / mu + 1 / shape), as of a lognormal of the same mean and variance."""
        return np.asarray(np.log1p(1.0 / np.asarray(mu) + 1.0 / np.asarray(phi[SHAPE.name])))
