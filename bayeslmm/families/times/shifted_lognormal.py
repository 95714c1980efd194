"""Shifted lognormal responses: times after a delay that none can fall below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtr

from bayeslmm import names
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.links import LOG, exponential
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.response import POSITIVE, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import MeanForm, Parameters

SIGMA = FamilyParameter(names.SIGMA, "standard deviation of the logarithm of what exceeds ndt")
NDT = FamilyParameter(
    "ndt", "shift: the non-decision time, below every response", below_response=True
)
_LOGNORMAL = LogNormal()


@dataclass(frozen=True, init=False, repr=False)
class ShiftedLogNormal(Member):
    r"""Times that are a constant delay and a lognormal rest, such as reaction times.

    .. math:: \log(y_i - t) \mid \eta_i \sim N(\eta_i, \sigma^2), \quad
              E(y_i) = t + e^{\eta_i + \sigma^2 / 2}, \quad
              \mathrm{Var}(y_i) = (e^{\sigma^2} - 1) \, e^{2 \eta_i + \sigma^2}

    The parameter ``ndt`` is t, in the response's unit; its default prior is uniform between zero
    and the least response.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``: exp(eta) is the median of y - t, and coefficients are logarithms of ratios of
        what exceeds t.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    LogNormal : there is no delay.

    References
    ----------
    Rouder, Province, Morey, Gomez & Heathcote (2015), The lognormal race: a cognitive-process
    model of choice and latency with desirable psychometric properties, Psychometrika 80:491-513,
    doi:10.1007/s11336-013-9396-3.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi = {"sigma": 1.0, "ndt": 0.2}
    >>> bl.ShiftedLogNormal().mean(np.array([0.0, 1.0]), phi).round(4)
    array([1.8487, 4.6817])
    """

    name: ClassVar[str] = "shifted_lognormal"
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SIGMA, NDT)
    response: ClassVar[ResponseRule] = POSITIVE
    log_concave: ClassVar[bool] = True
    mean_form: ClassVar[MeanForm] = "linear"

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute t + exp(eta + sigma^2 / 2)."""
        return np.asarray(phi[NDT.name] + _LOGNORMAL.mean(eta, phi))

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute exp(eta + sigma^2 / 2)."""
        return _LOGNORMAL.mean(eta, phi)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute (exp(sigma^2) - 1) exp(2 eta + sigma^2)."""
        spread = _LOGNORMAL.variance(eta, phi, None)
        return np.asarray(spread + np.zeros_like(phi[NDT.name]))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute the lognormal's log-density at y - t; minus infinity where y is at most t."""
        rest = np.asarray(y - phi[NDT.name])
        above = rest > 0
        found = _LOGNORMAL.log_density(np.where(above, rest, 1.0), eta, phi, None)
        return np.where(above, found, -np.inf)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute Phi((log(y - t) - eta) / sigma)."""
        with np.errstate(divide="ignore"):
            log_y = np.log(np.maximum(y - phi[NDT.name], 0.0))
        return np.asarray(ndtr((log_y - eta) / phi[names.SIGMA]))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw t + exp(eta + sigma z) with z ~ N(0, 1), one z for each entry of eta."""
        return np.asarray(phi[NDT.name] + exponential(GAUSSIAN.draw(eta, phi, None, rng)))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return sigma^2, of log(y - t)."""
        return GAUSSIAN.latent_variance(mu, phi)
