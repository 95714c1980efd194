"""Weibull and exponential responses: positive waiting times with a hazard of a power of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import gamma, gammaln

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOG, exponential
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.response import POSITIVE, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

SHAPE = FamilyParameter(
    "shape", "shape: the hazard grows with time to the power of shape - 1", "LogNormal(0, 1)"
)
SMALLEST = float(np.finfo(np.float64).tiny)
LARGEST = float(np.finfo(np.float64).max)
# exp of it is 1e300: cumulative hazards beyond are no numbers, and as impossible.
FARTHEST = 690.0


def _hazard(log_time: Floats) -> Floats:
    """Compute exp, held below the largest number."""
    return np.asarray(np.exp(np.minimum(log_time, FARTHEST)))


@dataclass(frozen=True, init=False, repr=False)
class Weibull(Member):
    r"""Positive times whose hazard rises (shape > 1) or falls (shape < 1) as they pass.

    .. math:: P(y_i > t) = e^{-(t / \lambda_i)^s}, \quad
              \mu_i = \lambda_i \, \Gamma(1 + 1 / s) = e^{\eta_i}, \quad
              \mathrm{Var}(y_i) = \mu_i^2
              \left(\frac{\Gamma(1 + 2 / s)}{\Gamma(1 + 1 / s)^2} - 1\right)

    The parameter ``shape`` is s. A coefficient b multiplies times by exp(b) and hazards by
    exp(-b s): times are accelerated and hazards proportional at once. Effects of a group are its
    frailty.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    Exponential : the shape is 1, and the hazard does not depend on time.

    References
    ----------
    Carroll (2003), On the use and utility of the Weibull model in the analysis of survival data,
    Controlled Clinical Trials 24:682-701, doi:10.1016/S0197-2456(03)00072-2.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([1.0, 4.0]), np.log(np.array(2.0))
    >>> bl.Weibull().log_density(y, eta, {"shape": 2.0}, None).round(4)
    array([-1.1311, -2.69  ])
    """

    name: ClassVar[str] = "weibull"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE,)
    response: ClassVar[ResponseRule] = POSITIVE
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute mu = exp(eta)."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute mu^2 (Gamma(1 + 2 / s) / Gamma(1 + 1 / s)^2 - 1)."""
        return np.asarray(exponential(2 * eta) * _squared_ratio(self._shape(phi)))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute log s - log y + a - exp(a), with a = s log(y / lambda)."""
        shape, log_y = self._shape(phi), np.log(y)
        a = shape * (log_y - eta + gammaln(1 + 1 / shape))
        return np.asarray(np.log(shape) - log_y + a - _hazard(a))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute 1 - exp(-(y / lambda)^s)."""
        shape = self._shape(phi)
        with np.errstate(divide="ignore"):
            log_y = np.log(np.maximum(y, 0.0))
        return np.asarray(-np.expm1(-_hazard(shape * (log_y - eta + gammaln(1 + 1 / shape)))))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw lambda e^(1 / s), with e from a standard exponential."""
        shape = self._shape(phi)
        power = rng.standard_exponential(eta.shape) ** (1 / shape)
        with np.errstate(over="ignore"):
            drawn = self.link.inverse(eta) * (power / gamma(1 + 1 / shape))
        return np.asarray(np.clip(drawn, SMALLEST, LARGEST))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute pi^2 / (6 s^2), the variance of log y."""
        value = np.square(np.pi / self._shape(phi)) / 6
        return np.asarray(np.broadcast_to(value, np.broadcast_shapes(np.shape(mu), value.shape)))

    def _shape(self, phi: Parameters) -> Floats:
        return np.asarray(phi[SHAPE.name], dtype=float)


def _squared_ratio(shape: Floats) -> Floats:
    """Compute the squared coefficient of variation, which falls as pi^2 / (6 s^2) for large s."""
    return np.asarray(np.expm1(gammaln(1 + 2 / shape) - 2 * gammaln(1 + 1 / shape)))


@dataclass(frozen=True, init=False, repr=False)
class Exponential(Weibull):
    r"""Positive times that do not age: the hazard is 1 / mu at any time.

    .. math:: p(y_i \mid \eta_i) = e^{-y_i / \mu_i} / \mu_i, \quad \mu_i = e^{\eta_i}, \quad
              \mathrm{Var}(y_i) = \mu_i^2

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``; coefficients are logarithms of ratios of means, and minus those of hazards.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    Weibull : a hazard that rises or falls with time.

    References
    ----------
    Carroll (2003), Controlled Clinical Trials 24:682-701, doi:10.1016/S0197-2456(03)00072-2.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> bl.Exponential().log_density(np.array([1.0, 4.0]), np.array(0.0), {}, None)
    array([-1., -4.])
    """

    name: ClassVar[str] = "exponential"
    parameters: ClassVar[tuple[FamilyParameter, ...]] = ()

    def _shape(self, phi: Parameters) -> Floats:  # noqa: ARG002
        return np.asarray(1.0)
