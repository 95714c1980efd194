"""Student-t responses: numbers with outlying rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import poch, stdtr

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.gaussian import NUMBERS, SIGMA
from bayeslmm.families.links import IDENTITY
from bayeslmm.families.member import Member

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters
    from bayeslmm.families.response import ResponseRule

SCALE = FamilyParameter(SIGMA.name, "scale of the residuals")
NU = FamilyParameter("nu", "degrees of freedom", "Gamma(2, 0.1)")


@dataclass(frozen=True, init=False, repr=False)
class StudentT(Member):
    r"""Numbers of which some lie far out: the Gaussian model, robust against such rows.

    .. math:: y_i = \eta_i + \frac{\sigma}{\sqrt{w_i}} t_i, \quad t_i \sim t_\nu, \quad
              \mathrm{Var}(y_i) = \frac{\sigma^2}{w_i} \frac{\nu}{\nu - 2} \;\; (\nu > 2)

    ``sigma`` is the scale, not the standard deviation; ``nu`` are degrees of freedom.

    Parameters
    ----------
    link : str, default ``"identity"``
        ``"identity"``.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Lange, Little & Taylor (1989), Robust statistical modeling using the t distribution,
    doi:10.1080/01621459.1989.10478852. Prior of nu: Juárez & Steel (2010),
    doi:10.1198/jbes.2009.07145.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, phi = np.array([0.0, 10.0]), {"sigma": 1.0, "nu": 4.0}
    >>> bl.StudentT().log_density(y, np.array(0.0), phi, None).round(4)
    array([-0.9808, -9.1261])
    """

    name: ClassVar[str] = "student"
    links: ClassVar[tuple[str, ...]] = (IDENTITY.name,)
    other_link: ClassVar[str] = "Transform the response in the formula, as in log(y) ~ x."
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SCALE, NU)
    response: ClassVar[ResponseRule] = NUMBERS
    log_concave: ClassVar[bool] = False

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Return eta, which is the median where nu is at most 1 and there is no mean."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute sigma^2 / w times nu / (nu - 2), infinite where nu is at most 2."""
        square = self._factor(phi) * np.square(self._scale(phi, weights))
        return np.asarray(np.broadcast_to(square, np.broadcast_shapes(eta.shape, square.shape)))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /
    ) -> Floats:
        """Compute the log-density of t_nu at (y - eta) sqrt(w) / sigma, less log of the scale."""
        nu = np.asarray(phi[NU.name], dtype=float)
        scale = self._scale(phi, weights)
        # log Gamma((nu + 1) / 2) - log Gamma(nu / 2), which large nu would drown in rounding.
        constant = np.log(poch(0.5 * nu, 0.5)) - 0.5 * np.log(np.pi * nu)
        tail = 0.5 * (nu + 1) * np.log1p(np.square((y - eta) / scale) / nu)
        return np.asarray(constant - np.log(scale) - tail)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute the distribution function of t_nu at (y - eta) sqrt(w) / sigma."""
        return np.asarray(stdtr(phi[NU.name], (y - eta) / self._scale(phi, weights)))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        weights: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw eta + sigma t / sqrt(w) with t ~ t_nu, one t for each entry of eta."""
        return np.asarray(eta + self._scale(phi, weights) * rng.standard_t(phi[NU.name], eta.shape))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute sigma^2 nu / (nu - 2), of a row of weight 1."""
        return self.variance(np.asarray(mu, dtype=float), phi, None)

    def _scale(self, phi: Parameters, weights: Floats | None) -> Floats:
        root = 1.0 if weights is None else np.sqrt(weights)
        return np.asarray(phi[SCALE.name] / root)

    def _factor(self, phi: Parameters) -> Floats:
        nu = np.asarray(phi[NU.name], dtype=float)
        above = np.where(nu > 2, nu - 2, 1.0)
        return np.where(nu > 2, nu / above, np.inf)
