"""A zero with some probability, otherwise another family's response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bayeslmm.families.member import Member
from bayeslmm.families.mixtures.by_rows import drawn_by_rows

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, FamilyParameter, MeanForm, Parameters
    from bayeslmm.families.links import Link


@dataclass(frozen=True, init=False, repr=False)
class WithZeros(Member):
    r"""A mixture of zero and another family's response z.

    .. math:: p(y) = \pi \, 1(y = 0) + (1 - \pi) \, p_z(y \mid \eta, \phi)

    Members say of which `component` z is, and how the share pi is called.
    """

    component: ClassVar[type[Member]]
    share: ClassVar[FamilyParameter]
    mean_form: ClassVar[MeanForm] = "linear"

    @property
    def inner(self) -> Family:
        """The family of z, with this link."""
        # Each concrete member satisfies the protocol, which their common base does not know.
        family: Family = self.component(self.link.name)  # type: ignore[assignment]
        return family

    @property
    def mean_scale(self) -> Link:
        """That of z, of whose mean the response's is a share."""
        return self.inner.mean_scale

    @property
    def level_scale(self) -> Link | None:
        """That of z."""
        return self.inner.level_scale

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether y is possible for z."""
        return np.asarray(self.inner.response.allowed(y, None) | (y > 0))

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute (1 - pi) E(z)."""
        return self._rest(phi) * self.inner.mean(eta, phi)

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute (1 - pi) d E(z) / d eta."""
        return self._rest(phi) * self.inner.mean_slope(eta, phi)

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute (1 - pi) (Var(z) + pi E(z)^2)."""
        inner, share = self.inner, np.asarray(phi[self.share.name])
        mean = inner.mean(eta, phi)
        if known is not None and inner.response.known == "trials":
            mean = mean * known
        with np.errstate(over="ignore"):
            spread = inner.variance(eta, phi, known) + share * np.square(mean)
        return np.asarray((1.0 - share) * spread)

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute log(pi + (1 - pi) p_z(0)) of a zero, log(1 - pi) + log p_z(y) of another y."""
        share = np.asarray(phi[self.share.name], dtype=float)
        zero = np.equal(y, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.log1p(-share) + self.inner.log_density(y, eta, phi, known)
            at_zero = np.log(share)
            if self.inner.response.allowed(np.zeros(()), None):
                at_zero = np.logaddexp(at_zero, rest)
        return np.where(zero, at_zero, rest)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute pi + (1 - pi) P(z <= y) from zero on."""
        share = phi[self.share.name]
        below = share + self._rest(phi) * self.inner.cdf(y, eta, phi, known)
        return np.where(np.less(y, 0), 0.0, below)

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw z, and zero in its place with probability pi."""
        inner, name = self.inner, self.share.name

        def row(eta: Floats, phi: Parameters, known: Floats | None) -> Floats:
            kept = rng.random(eta.shape) >= phi[name]
            return np.where(kept, inner.draw(eta, phi, known, rng), 0.0)

        return drawn_by_rows(row, eta, phi, known)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute that of z, where the response's mean is mu: of rows that are no such zeros."""
        return self.inner.latent_variance(np.asarray(mu) / self._rest(phi), phi)

    def _rest(self, phi: Parameters) -> Floats:
        return 1.0 - np.asarray(phi[self.share.name], dtype=float)
