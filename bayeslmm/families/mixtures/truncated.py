"""Counts that are never zero: the positive part of other counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import betainc, expit, gammainc

from bayeslmm.families.links import CLOGLOG, LOG
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.mixtures.by_rows import drawn_by_rows
from bayeslmm.families.negbinomial import SHAPE, NegativeBinomial
from bayeslmm.families.poisson import LARGEST_MEAN, Poisson
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, FamilyParameter, MeanForm, Parameters

_TINY = float(np.finfo(np.float64).tiny)
# Bisections that leave nothing of the interval between minus and plus this.
_HALVINGS = 64
_FARTHEST = 700.0


def _positive_counts(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 1) & (np.floor(y) == y) & np.isfinite(y)


POSITIVE_COUNTS = ResponseRule(
    "counts from one on: 1, 2, 3, ...",
    _positive_counts,
    "Counts among which there are zeros are for family='poisson' or 'negbinomial', or, where "
    "something else decides whether there is anything at all, 'hurdle_poisson' or "
    "'hurdle_negbinomial'.",
)


@dataclass(frozen=True, init=False, repr=False)
class _Truncated(Member):
    """What both share: the other counts z, given that they are not zero."""

    base: ClassVar[type[Member]]
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    response: ClassVar[ResponseRule] = POSITIVE_COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    mean_form: ClassVar[MeanForm] = "curved"

    @property
    def inner(self) -> Family:
        """The family of z."""
        # Each concrete member satisfies the protocol, which their common base does not know.
        family: Family = self.base(self.link.name)  # type: ignore[assignment]
        return family

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute E(z) / P(z > 0)."""
        return np.asarray(np.exp(eta - self._log_positive(eta, phi)))

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the mean times 1 - d log P(z > 0) / d eta."""
        log_zero = self._log_zero(eta, phi)
        with np.errstate(over="ignore", invalid="ignore"):
            # d(-log P(z = 0)) / d eta, over exp(-log P(z = 0)) - 1.
            slope = self._hazard_slope(eta, phi) / np.expm1(-log_zero)
        rest = 1.0 - np.where(np.isfinite(slope), slope, 0.0)
        return np.asarray(self.mean(eta, phi) * rest)

    def variance(self, eta: Floats, phi: Parameters, known: Floats | None, /) -> Floats:
        """Compute (Var(z) + E(z)^2) / P(z > 0) less the squared mean."""
        mean = self.mean(eta, phi)
        positive = np.exp(self._log_positive(eta, phi))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # Var(z) / E(z) and E(z), so that nothing is squared before the difference.
            ratio = self.inner.variance(eta, phi, known) / np.maximum(mean * positive, _TINY)
            found = mean * (ratio + mean * positive - mean)
        return np.where(np.isfinite(found), np.maximum(found, 0.0), np.inf)

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, known: Floats | None, /
    ) -> Floats:
        """Compute log P(z = y) - log P(z > 0)."""
        return self.inner.log_density(y, eta, phi, known) - self._log_positive(eta, phi)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute 1 - P(z > k) / P(z > 0), k the integer part of y."""
        k = np.floor(np.maximum(y, 1.0))
        above = self._above(k, eta, phi)
        positive = np.maximum(np.exp(self._log_positive(eta, phi)), _TINY)
        return np.where(np.less(y, 1), 0.0, 1.0 - np.minimum(above / positive, 1.0))

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Compute that of z where the response's mean is mu."""
        eta = self._predictor(np.asarray(mu, dtype=float), phi)
        return self.inner.latent_variance(np.maximum(np.exp(eta), _TINY), phi)

    def _predictor(self, mu: Floats, phi: Parameters) -> Floats:
        """Return the eta at which the mean is mu, by bisection: the mean increases with eta."""
        shape = np.broadcast_shapes(mu.shape, *(np.shape(value) for value in phi.values()))
        low, high = np.full(shape, -_FARTHEST), np.full(shape, _FARTHEST)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = self.mean(middle, phi) > mu
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.asarray(0.5 * (low + high))

    def _log_zero(self, eta: Floats, phi: Parameters) -> Floats:
        return self.inner.log_density(np.zeros(()), eta, phi, None)

    def _log_positive(self, eta: Floats, phi: Parameters) -> Floats:
        """Return log P(z > 0), which is that of an event under the cloglog link."""
        with np.errstate(divide="ignore"):
            hazard = np.log(np.maximum(-self._log_zero(eta, phi), _TINY))
        return CLOGLOG.log_mean(hazard)

    def _hazard_slope(self, eta: Floats, phi: Parameters) -> Floats:
        """Return minus d log P(z = 0) / d eta."""
        raise NotImplementedError

    def _above(self, k: Floats, eta: Floats, phi: Parameters) -> Floats:
        """Return P(z > k), to its last digits also where that is small."""
        raise NotImplementedError


@dataclass(frozen=True, init=False, repr=False)
class TruncatedPoisson(_Truncated):
    r"""Counts from one on: a Poisson's, given that they are not zero.

    .. math:: p(y_i \mid \eta_i) = \frac{\mu_i^{y_i} e^{-\mu_i}}{y_i! \, (1 - e^{-\mu_i})}, \quad
              y_i \ge 1, \quad \mu_i = e^{\eta_i}, \quad E(y_i) = \frac{\mu_i}{1 - e^{-\mu_i}}

    Such are sizes of groups that are seen because there is someone in them.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean that counts would have with their zeros.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdlePoisson : with zeros, whose probability is a parameter of its own.

    References
    ----------
    Cameron & Trivedi (2013), Regression Analysis of Count Data, 2nd ed., section 4.3,
    doi:10.1017/CBO9781139013567.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([1.0, 3.0]), np.log(np.array(2.0))
    >>> bl.TruncatedPoisson().log_density(y, eta, {}, None).round(4)
    array([-1.1614, -1.5669])
    >>> bl.TruncatedPoisson().mean(eta, {}).round(4)
    np.float64(2.313)
    """

    name: ClassVar[str] = "truncated_poisson"
    base: ClassVar[type[Member]] = Poisson
    parameters: ClassVar[tuple[FamilyParameter, ...]] = ()
    log_concave: ClassVar[bool] = True

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw when the first of the events comes that there must be, then those after it."""
        inner = self.inner

        def row(eta: Floats, phi: Parameters, known: Floats | None) -> Floats:
            mu = LOG.inverse(eta)
            first = _first(rng, mu)
            with np.errstate(divide="ignore"):
                rest = np.log(np.maximum(mu - first, 0.0))
            return 1.0 + inner.draw(rest, phi, known, rng)

        return drawn_by_rows(row, eta, phi, known)

    def _hazard_slope(self, eta: Floats, _phi: Parameters) -> Floats:
        return LOG.inverse(eta)

    def _above(self, k: Floats, eta: Floats, _phi: Parameters) -> Floats:
        return np.asarray(gammainc(k + 1, LOG.inverse(eta)))


@dataclass(frozen=True, init=False, repr=False)
class TruncatedNegativeBinomial(_Truncated):
    r"""Counts from one on that scatter more: a negative binomial's, given that they are not zero.

    .. math:: p(y_i \mid \eta_i, s) = \frac{p_{NB}(y_i \mid \mu_i, s)}
              {1 - (1 + \mu_i / s)^{-s}}, \quad y_i \ge 1, \quad \mu_i = e^{\eta_i}

    The parameter ``shape`` is s, as of `NegativeBinomial`.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean that counts would have with their zeros.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdleNegativeBinomial : with zeros, whose probability is a parameter of its own.

    References
    ----------
    Cameron & Trivedi (2013), Regression Analysis of Count Data, 2nd ed., section 4.3,
    doi:10.1017/CBO9781139013567.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([1.0, 3.0]), np.log(np.array(2.0))
    >>> bl.TruncatedNegativeBinomial().log_density(y, eta, {"shape": 1.0}, None).round(4)
    array([-1.0986, -1.9095])
    """

    name: ClassVar[str] = "truncated_negbinomial"
    base: ClassVar[type[Member]] = NegativeBinomial
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE,)
    # Far up, where zeros are few, those of a shape below one are of both signs.
    log_concave: ClassVar[bool] = False

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw the first of the clusters that there must be, then what the others hold.

        A negative binomial count is the sum of Poisson many clusters whose sizes have the
        logarithmic distribution (Quenouille 1949, doi:10.2307/3001917).
        """
        inner = self.inner

        def row(eta: Floats, phi: Parameters, known: Floats | None) -> Floats:
            shape = np.asarray(phi[SHAPE.name], dtype=float)
            odds = np.minimum(LOG.inverse(eta - np.log(shape)), LARGEST_MEAN)
            log_stop = np.maximum(np.log1p(odds), _TINY)
            clusters = shape * log_stop
            left = np.maximum(shape - _first(rng, clusters) / log_stop, _TINY)
            cluster = rng.logseries(np.minimum(odds / (1.0 + odds), 1.0 - 2.0**-53), eta.shape)
            rest = np.maximum(np.log(left) + eta - np.log(shape), -_FARTHEST)
            return cluster + inner.draw(rest, {**phi, SHAPE.name: left}, known, rng)

        return drawn_by_rows(row, eta, phi, known)

    def _hazard_slope(self, eta: Floats, phi: Parameters) -> Floats:
        shape = np.asarray(phi[SHAPE.name], dtype=float)
        return np.asarray(shape * expit(eta - np.log(shape)))

    def _above(self, k: Floats, eta: Floats, phi: Parameters) -> Floats:
        shape = phi[SHAPE.name]
        return np.asarray(betainc(k + 1, shape, expit(eta - np.log(shape))))


def _first(rng: np.random.Generator, mean: Floats) -> Floats:
    """Draw the time of the first of Poisson many events, given that there is one until `mean`."""
    return np.minimum(-np.log1p(rng.random(mean.shape) * np.expm1(-mean)), mean)
