"""Skew normal responses: numbers with one tail longer than the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr, owens_t

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.gaussian import LOG_2PI, NUMBERS, SIGMA
from bayeslmm.families.links import IDENTITY
from bayeslmm.families.member import Member

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters
    from bayeslmm.families.response import ResponseRule

ALPHA = FamilyParameter(
    "alpha", "skewness: 0 is normal, above it the right tail is longer", "Normal(0, 4)", -math.inf
)
ROOT_2_OVER_PI = float(np.sqrt(2 / np.pi))


@dataclass(frozen=True, init=False, repr=False)
class SkewNormal(Member):
    r"""Numbers of which those on one side lie further out.

    .. math:: p(y_i \mid \eta_i) = \frac{2}{\omega_i} \, \varphi(z_i) \, \Phi(\alpha z_i), \quad
              z_i = \frac{y_i - \xi_i}{\omega_i}, \quad
              E(y_i) = \eta_i, \quad \mathrm{Var}(y_i) = \sigma^2 / w_i

    with location and scale of that mean and variance, :math:`\omega_i = \sigma w_i^{-1/2}
    (1 - 2 \delta^2 / \pi)^{-1/2}`, :math:`\xi_i = \eta_i - \omega_i \delta \sqrt{2 / \pi}` and
    :math:`\delta = \alpha / \sqrt{1 + \alpha^2}`. The skewness is at most 0.995, of a half-normal.

    Parameters
    ----------
    link : str, default ``"identity"``
        ``"identity"``, of the mean.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    StudentT : both tails are long.

    References
    ----------
    Azzalini (1985), A class of distributions which includes the normal ones, Scandinavian Journal
    of Statistics 12:171-178. The parameters of mean and variance: Arellano-Valle & Azzalini
    (2008), doi:10.1016/j.jmva.2008.01.020.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, phi = np.array([-2.0, 2.0]), {"sigma": 1.0, "alpha": 4.0}
    >>> bl.SkewNormal().log_density(y, np.array(0.0), phi, None).round(4)
    array([-4.5132, -2.7643])
    """

    name: ClassVar[str] = "skew_normal"
    links: ClassVar[tuple[str, ...]] = (IDENTITY.name,)
    other_link: ClassVar[str] = "Transform the response in the formula, as in log(y) ~ x."
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SIGMA, ALPHA)
    response: ClassVar[ResponseRule] = NUMBERS
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Return eta."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute sigma^2 / w."""
        square = np.square(phi[SIGMA.name])
        spread = np.asarray(square if weights is None else square / weights)
        return np.asarray(np.broadcast_to(spread, np.broadcast_shapes(eta.shape, spread.shape)))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /
    ) -> Floats:
        """Compute log(2 / omega) + log phi(z) + log Phi(alpha z)."""
        omega, xi = self._location(eta, phi, weights)
        z = (y - xi) / omega
        normal = np.log(2.0) - 0.5 * LOG_2PI - np.log(omega) - 0.5 * z**2
        return np.asarray(normal + log_ndtr(phi[ALPHA.name] * z))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute Phi(z) - 2 T(z, alpha), with Owen's T."""
        omega, xi = self._location(eta, phi, weights)
        z = (y - xi) / omega
        return np.asarray(np.clip(ndtr(z) - 2 * owens_t(z, phi[ALPHA.name]), 0.0, 1.0))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        weights: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw xi + omega (delta abs(u) + sqrt(1 - delta^2) v) with two normals u and v."""
        omega, xi = self._location(eta, phi, weights)
        normal = rng.standard_normal((*eta.shape, 2))
        alpha = np.asarray(phi[ALPHA.name], dtype=float)
        skewed = (alpha * np.abs(normal[..., 0]) + normal[..., 1]) / np.hypot(1.0, alpha)
        return np.asarray(xi + omega * skewed)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return sigma^2, of a row of weight 1."""
        return np.broadcast_to(np.square(phi[SIGMA.name]), np.shape(mu)).copy()

    def _location(
        self, eta: Floats, phi: Parameters, weights: Floats | None
    ) -> tuple[Floats, Floats]:
        alpha = np.asarray(phi[ALPHA.name], dtype=float)
        shift = ROOT_2_OVER_PI * alpha / np.hypot(1.0, alpha)
        root = 1.0 if weights is None else np.sqrt(weights)
        omega = np.asarray(phi[SIGMA.name] / (root * np.sqrt(1 - np.square(shift))))
        return omega, eta - omega * shift
