"""Gamma responses: positive numbers with a constant coefficient of variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import gammainc

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOG, exponential
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.peaks import log_peak, poisson_fall
from bayeslmm.families.response import POSITIVE, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

SHAPE = FamilyParameter("shape", "shape: the variance is mu^2 / shape", "InverseGamma(0.5, 0.5)")
SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, init=False, repr=False)
class Gamma(Member):
    r"""Positive numbers whose standard deviation is proportional to their mean.

    .. math:: p(y_i \mid \eta_i, s) = \frac{(s / \mu_i)^s}{\Gamma(s)} y_i^{s - 1}
              e^{-s y_i / \mu_i}, \quad \mu_i = e^{\eta_i}, \quad
              \mathrm{Var}(y_i) = \mu_i^2 / s

    The parameter ``shape`` is s; the coefficient of variation is 1 / sqrt(s), which the default
    prior makes half-normal with scale 1.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``; coefficients are logarithms of ratios of means.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    LogNormal : positive numbers with a normal logarithm.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., chapter 8,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([1.0, 4.0]), np.log(np.array(2.0))
    >>> bl.Gamma().log_density(y, eta, {"shape": 1.0}, None).round(4)
    array([-1.1931, -2.6931])
    """

    name: ClassVar[str] = "gamma"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE,)
    response: ClassVar[ResponseRule] = POSITIVE
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = exp(eta)."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu^2 / shape."""
        return np.asarray(exponential(2 * eta) / phi[SHAPE.name])

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute shape (log(shape y / mu) - y / mu) - log Gamma(shape) - log y."""
        shape = np.asarray(phi[SHAPE.name], dtype=float)
        log_y = np.log(y)
        fall = poisson_fall(shape, log_y - eta)
        return np.asarray(fall + log_peak(shape) + np.log(shape) - log_y)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute P(shape, shape y / mu), the lower incomplete gamma function."""
        shape = phi[SHAPE.name]
        above = np.maximum(y, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(gammainc(shape, shape * exponential(np.log(above) - eta)))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw a positive number; where it is too small to be one, the smallest there is."""
        shape = phi[SHAPE.name]
        drawn = rng.standard_gamma(shape, eta.shape) * self.link.inverse(eta) / shape
        return np.maximum(drawn, SMALLEST)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute log(1 + 1 / shape), as of a lognormal of the same mean and variance."""
        value = np.log1p(1.0 / np.asarray(phi[SHAPE.name], dtype=float))
        return np.asarray(np.broadcast_to(value, np.broadcast_shapes(np.shape(mu), value.shape)))
