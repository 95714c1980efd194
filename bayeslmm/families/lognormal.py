"""Lognormal responses: positive numbers with a normal logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtr

from bayeslmm import names
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.links import IDENTITY, LOG, Link, exponential
from bayeslmm.families.member import Member
from bayeslmm.families.response import POSITIVE, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import MeanForm, Parameters

SIGMA = FamilyParameter(names.SIGMA, "residual standard deviation of the response's logarithm")


@dataclass(frozen=True, init=False, repr=False)
class LogNormal(Member):
    r"""Positive numbers with a normal logarithm.

    .. math:: \log y_i \mid \eta_i \sim N(\eta_i, \sigma^2), \quad
              E(y_i) = e^{\eta_i + \sigma^2 / 2}, \quad
              \mathrm{Var}(y_i) = (e^{\sigma^2} - 1) \, e^{2 \eta_i + \sigma^2}

    Effects are those of the Gaussian model of log y; means, predictions and densities are of y.

    Parameters
    ----------
    link : str, default ``"identity"``
        ``"identity"``, of log y: eta is its mean, and exp(eta) the median of y.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    Gamma : positive numbers whose mean, not median, is exp(eta).

    References
    ----------
    Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions, volume 1, 2nd ed.,
    chapter 14.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> bl.LogNormal().mean(np.array([0.0, 1.0]), {"sigma": 1.0}).round(4)
    array([1.6487, 4.4817])
    """

    name: ClassVar[str] = "lognormal"
    links: ClassVar[tuple[str, ...]] = (IDENTITY.name,)
    other_link: ClassVar[str] = (
        "The predictor is the mean of log y; for a mean of exp(eta) take family='gamma'."
    )
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SIGMA,)
    response: ClassVar[ResponseRule] = POSITIVE
    log_concave: ClassVar[bool] = True
    gaussian_scale: ClassVar[Link | None] = LOG
    mean_form: ClassVar[MeanForm] = "linear"

    @property
    def mean_scale(self) -> Link:
        """The logarithm: log E(y) is eta + sigma^2 / 2."""
        return LOG

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute exp(eta + sigma^2 / 2)."""
        return exponential(eta + 0.5 * np.square(phi[names.SIGMA]))

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute (exp(sigma^2) - 1) exp(2 eta + sigma^2)."""
        square = np.square(phi[names.SIGMA])
        with np.errstate(over="ignore"):
            return np.asarray(np.expm1(square) * np.exp(2 * eta + square))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute the normal log-density of log y, less log y."""
        log_y = np.log(y)
        return GAUSSIAN.log_density(log_y, eta, phi, None) - log_y

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute Phi((log y - eta) / sigma)."""
        with np.errstate(divide="ignore"):
            log_y = np.log(np.maximum(y, 0.0))
        return np.asarray(ndtr((log_y - eta) / phi[names.SIGMA]))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw exp(eta + sigma z) with z ~ N(0, 1), one z for each entry of eta."""
        return exponential(GAUSSIAN.draw(eta, phi, None, rng))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return sigma^2, of log y."""
        return GAUSSIAN.latent_variance(mu, phi)
