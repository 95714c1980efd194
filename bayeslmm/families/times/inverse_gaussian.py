"""Inverse Gaussian responses: positive numbers with a long right tail, such as first passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import erfcx, ndtr, ndtri

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOG, ROOT_2PI, exponential
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.response import POSITIVE, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

SHAPE = FamilyParameter("shape", "shape: the variance is mu^3 / shape", "InverseGamma(0.5, 0.5)")
SMALLEST = float(np.finfo(np.float64).tiny)
LARGEST = float(np.finfo(np.float64).max)
# The square of its exponential is 1e295.
FARTHEST = 340.0


@dataclass(frozen=True, init=False, repr=False)
class InverseGaussian(Member):
    r"""Positive numbers with a variance that grows with the third power of the mean.

    .. math:: p(y_i \mid \eta_i, s) = \sqrt{\frac{s}{2 \pi y_i^3}}
              \exp\left(-\frac{s (y_i - \mu_i)^2}{2 \mu_i^2 y_i}\right), \quad
              \mu_i = e^{\eta_i}, \quad \mathrm{Var}(y_i) = \mu_i^3 / s

    The time in which a Brownian motion with drift 1 / mu first comes a distance of sqrt(s) far.
    The parameter ``shape`` is s, in the response's unit: it grows with y where y is measured in a
    smaller unit.

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
    Gamma : the variance grows with the square of the mean.

    References
    ----------
    Folks & Chhikara (1978), The inverse Gaussian distribution and its statistical application,
    JRSS B 40:263-289, doi:10.1111/j.2517-6161.1978.tb01039.x.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([1.0, 4.0]), np.log(np.array(2.0))
    >>> bl.InverseGaussian().log_density(y, eta, {"shape": 1.0}, None).round(4)
    array([-1.0439, -3.1234])
    """

    name: ClassVar[str] = "inverse_gaussian"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE,)
    response: ClassVar[ResponseRule] = POSITIVE
    log_concave: ClassVar[bool] = False

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = exp(eta)."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu^3 / shape."""
        return np.asarray(exponential(3 * eta) / phi[SHAPE.name])

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute (log(shape / (2 pi y^3)) - shape (y / mu - 1)^2 / y) / 2."""
        shape, log_y = np.asarray(phi[SHAPE.name], dtype=float), np.log(y)
        off = np.expm1(np.minimum(log_y - eta, FARTHEST))
        value = 0.5 * np.log(shape) - np.log(ROOT_2PI) - 1.5 * log_y - 0.5 * shape * off**2 / y
        return np.asarray(np.maximum(value, -LARGEST))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute Phi(a) + exp(2 shape / mu) Phi(-b), a and b as of Folks and Chhikara."""
        shape = np.asarray(phi[SHAPE.name], dtype=float)
        at = np.maximum(y, SMALLEST)
        root, ratio = np.sqrt(shape / at), np.exp(np.minimum(np.log(at) - eta, FARTHEST))
        a, b = root * (ratio - 1), root * (ratio + 1)
        # 2 shape / mu = (b^2 - a^2) / 2, and neither exponential leaves the range of numbers.
        fall = np.exp(-0.5 * np.square(np.minimum(np.abs(a), 1e150)))
        found = ndtr(a) + 0.5 * fall * erfcx(b * np.sqrt(0.5))
        return np.asarray(np.where(y > 0, found, 0.0))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw the smaller or the larger root of Michael, Schucany & Haas (1976)."""
        mu = self.link.inverse(eta)
        uniform = rng.random((*eta.shape, 2))
        # The smaller root is 1 + r - sqrt(r^2 + 2 r), without the difference of large numbers.
        r = 0.5 * np.square(ndtri(uniform[..., 0])) * (mu / phi[SHAPE.name])
        with np.errstate(over="ignore"):
            larger = 1 + r + np.sqrt(r) * np.sqrt(r + 2)
            small = uniform[..., 1] * (1 + 1 / larger) <= 1
            drawn = np.where(small, mu / larger, mu * larger)
        return np.asarray(np.clip(drawn, SMALLEST, LARGEST))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute log(1 + mu / shape), as of a lognormal of the same mean and variance."""
        return np.asarray(np.log1p(mu / np.asarray(phi[SHAPE.name], dtype=float)))
