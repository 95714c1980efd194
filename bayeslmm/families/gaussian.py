"""The Gaussian family with identity link: y ~ N(eta, sigma^2 / w)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bayeslmm.families.links import IDENTITY, Link

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Gaussian:
    r"""Normal responses; the members' contract is `bayeslmm.families.family.Family`.

    .. math:: y_i \mid \eta_i \sim N(\eta_i, \; \sigma^2 / w_i)

    Examples
    --------
    >>> eta = np.array([[0.0, 1.0], [2.0, 3.0]])  # two rows by two draws
    >>> GAUSSIAN.log_density(eta, eta, np.array([1.0, 2.0]), np.array([[1.0], [4.0]])).round(4)
    array([[-0.9189, -1.6121],
           [-0.2258, -0.9189]])
    """

    name: ClassVar[str] = "gaussian"
    link: ClassVar[Link] = IDENTITY

    def mean(self, eta: Floats, /) -> Floats:
        """Return eta."""
        return self.link.inverse(eta)

    def variance(self, eta: Floats, sigma: Floats | float, weights: Floats | None, /) -> Floats:
        """Compute sigma^2 / w."""
        square = np.square(sigma)
        spread = square if weights is None else square / weights
        return np.asarray(np.broadcast_to(spread, np.broadcast_shapes(eta.shape, spread.shape)))

    def log_density(
        self, y: Floats, eta: Floats, sigma: Floats | float, weights: Floats | None, /
    ) -> Floats:
        """Compute (log(w / sigma^2) - log(2 pi) - w (y - eta)^2 / sigma^2) / 2."""
        precision = (1.0 if weights is None else weights) / np.square(sigma)
        residual = y - eta
        return np.asarray(0.5 * (np.log(precision) - LOG_2PI - precision * residual**2))

    def draw(
        self,
        eta: Floats,
        sigma: Floats | float,
        weights: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw eta + sigma z / sqrt(w) with z ~ N(0, 1), one z for each entry of eta."""
        noise = rng.standard_normal(eta.shape)
        noise *= sigma
        if weights is not None:
            noise /= np.sqrt(weights)
        noise += eta
        return noise


GAUSSIAN: Family = Gaussian()
