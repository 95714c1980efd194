"""Proportions that are no counts, of which some are exactly 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bayeslmm.families.beta import LARGEST, PHI, SMALLEST, Beta
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import UNIT_LINKS, UnitLink
from bayeslmm.families.member import Member
from bayeslmm.families.mixtures.by_rows import drawn_by_rows
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import MeanForm, Parameters
    from bayeslmm.families.links import Link

ZOI = FamilyParameter("zoi", "probability of a zero or a one", "Beta(1, 1)", 0.0, 1.0)
COI = FamilyParameter("coi", "probability of a one among zeros and ones", "Beta(1, 1)", 0.0, 1.0)


def _up_to_one(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 0) & (y <= 1)


SHARES = ResponseRule(
    "numbers from 0 to 1",
    _up_to_one,
    "Divide percentages by 100; of counts among a number of trials take family='binomial' or "
    "'beta_binomial', with trials=.",
)


@dataclass(frozen=True, init=False, repr=False)
class ZeroOneInflatedBeta(Member):
    r"""Proportions that are no counts, of which some are exactly 0 and some exactly 1.

    .. math:: p(y_i) = \alpha (1 - \gamma) \;\; (y_i = 0), \quad \alpha \gamma \;\; (y_i = 1), \quad
              (1 - \alpha) \, p_{Beta}(y_i \mid \mu_i, \phi) \;\; (0 < y_i < 1)

    with mu = g^-1(eta). The parameter ``zoi`` is alpha, the probability of either bound, ``coi``
    gamma, that of a one among them, and ``phi`` the precision of the others, as of `Beta`. eta is
    of the others alone: zeros and ones do not tell of it.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``, ``"probit"`` or ``"cloglog"``, as of `Bernoulli`.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    ZeroInflatedBeta : without exact ones.

    References
    ----------
    Ospina & Ferrari (2012), A general class of zero-or-one inflated beta regression models,
    doi:10.1016/j.csda.2011.10.005.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, phi = np.array([0.0, 0.2, 1.0]), {"phi": 4.0, "zoi": 0.4, "coi": 0.25}
    >>> bl.ZeroOneInflatedBeta().log_density(y, np.array(0.0), phi, None).round(4)
    array([-1.204 , -0.5517, -2.3026])
    """

    link: UnitLink
    name: ClassVar[str] = "zero_one_inflated_beta"
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (PHI, ZOI, COI)
    response: ClassVar[ResponseRule] = SHARES
    atoms: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    mean_form: ClassVar[MeanForm] = "linear"
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False

    @property
    def inner(self) -> Beta:
        """The family of what is neither 0 nor 1."""
        return Beta(self.link.name)

    @property
    def mean_scale(self) -> Link:
        """That of the beta, of whose mean the response's is a share."""
        return self.link

    def tells_level(self, y: Floats, /) -> Floats:
        """Return whether y is neither 0 nor 1."""
        return np.asarray((y > 0) & (y < 1))

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute zoi coi + (1 - zoi) mu."""
        either, one = _shares(phi)
        return either * one + (1.0 - either) * self.inner.mean(eta, phi)

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute (1 - zoi) d mu / d eta."""
        return (1.0 - _shares(phi)[0]) * self.inner.mean_slope(eta, phi)

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute that within the three parts, and that of their means 0, 1 and mu."""
        either, one = _shares(phi)
        inner = self.inner
        apart = np.square(inner.mean(eta, phi) - one)
        within = either * one * (1.0 - one) + (1.0 - either) * inner.variance(eta, phi, None)
        return np.asarray(within + either * (1.0 - either) * apart)

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute the logarithm of the probability of 0 and of 1, of the density between."""
        either, one = _shares(phi)
        inside = np.clip(y, SMALLEST, LARGEST)
        with np.errstate(divide="ignore"):
            at_bounds = np.log(either) + np.where(np.equal(y, 1), np.log(one), np.log1p(-one))
            between = np.log1p(-either) + self.inner.log_density(inside, eta, phi, None)
        return np.where(np.equal(y, 0) | np.equal(y, 1), at_bounds, between)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute zoi (1 - coi) + (1 - zoi) P(z <= y) from zero on, and 1 from one on."""
        either, one = _shares(phi)
        below = either * (1.0 - one) + (1.0 - either) * self.inner.cdf(y, eta, phi, None)
        return np.where(np.less(y, 0), 0.0, np.where(np.less(y, 1), below, 1.0))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw whether it is 0, 1 or neither, and then what it is."""
        inner = self.inner

        def row(eta: Floats, phi: Parameters, known: Floats | None) -> Floats:
            either, one = _shares(phi)
            at_bounds, ones = rng.random(eta.shape) < either, rng.random(eta.shape) < one
            return np.where(at_bounds, ones, inner.draw(eta, phi, known, rng))

        return drawn_by_rows(row, eta, phi, known)

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute that of the beta, where the response's mean is mu: of rows between the bounds."""
        either, one = _shares(phi)
        inner = (np.asarray(mu, dtype=float) - either * one) / (1.0 - either)
        return self.inner.latent_variance(np.clip(inner, SMALLEST, LARGEST), phi)


def _shares(phi: Parameters) -> tuple[Floats, Floats]:
    return np.asarray(phi[ZOI.name], dtype=float), np.asarray(phi[COI.name], dtype=float)
