"""The Gaussian family with identity link: y ~ N(eta, sigma^2 / w)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtr

from bayeslmm import names
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import IDENTITY, Link
from bayeslmm.families.member import Member
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, Parameters

LOG_2PI = float(np.log(2 * np.pi))
SIGMA = FamilyParameter(names.SIGMA, "residual standard deviation")


def _any_number(y: Floats, known: Floats | None) -> Floats:  # noqa: ARG001
    return np.isfinite(y)


NUMBERS = ResponseRule(
    "numbers", _any_number, "Leave these rows out, or transform the response.", known="weights"
)


@dataclass(frozen=True, init=False, repr=False)
class Gaussian(Member):
    r"""Normal responses.

    .. math:: y_i \mid \eta_i \sim N(\eta_i, \; \sigma^2 / w_i)

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
    McCullagh & Nelder (1989), Generalized Linear Models, 2nd ed., chapter 3,
    doi:10.1201/9780203753736.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta = np.array([[0.0, 1.0], [2.0, 3.0]])  # two rows by two draws
    >>> phi = {"sigma": np.array([1.0, 2.0])}
    >>> bl.Gaussian().log_density(eta, eta, phi, np.array([[1.0], [4.0]])).round(4)
    array([[-0.9189, -1.6121],
           [-0.2258, -0.9189]])
    """

    name: ClassVar[str] = "gaussian"
    links: ClassVar[tuple[str, ...]] = (IDENTITY.name,)
    other_link: ClassVar[str] = (
        "Transform the response in the formula, as in log(y) ~ x; for positive responses with a "
        "mean of exp(eta) take family='gamma'."
    )
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SIGMA,)
    response: ClassVar[ResponseRule] = NUMBERS
    gaussian_scale: ClassVar[Link | None] = IDENTITY
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:  # noqa: ARG002
        """Return eta."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute sigma^2 / w."""
        square = np.square(phi[names.SIGMA])
        spread = square if weights is None else square / weights
        return np.asarray(np.broadcast_to(spread, np.broadcast_shapes(eta.shape, spread.shape)))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /
    ) -> Floats:
        """Compute (log(w / sigma^2) - log(2 pi) - w (y - eta)^2 / sigma^2) / 2."""
        precision = (1.0 if weights is None else weights) / np.square(phi[names.SIGMA])
        residual = y - eta
        return np.asarray(0.5 * (np.log(precision) - LOG_2PI - precision * residual**2))

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, weights: Floats | None, /) -> Floats:
        """Compute Phi((y - eta) sqrt(w) / sigma)."""
        root = 1.0 if weights is None else np.sqrt(weights)
        return np.asarray(ndtr((y - eta) * root / phi[names.SIGMA]))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        weights: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw eta + sigma z / sqrt(w) with z ~ N(0, 1), one z for each entry of eta."""
        noise = rng.standard_normal(eta.shape)
        noise *= phi[names.SIGMA]
        if weights is not None:
            noise /= np.sqrt(weights)
        noise += eta
        return noise

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return sigma^2, of a row of weight 1."""
        return np.broadcast_to(np.square(phi[names.SIGMA]), np.shape(mu)).copy()


GAUSSIAN: Family = Gaussian()
