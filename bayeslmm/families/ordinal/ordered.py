"""Ordered categories: cumulative, stopping-ratio and adjacent-category models with thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from bayeslmm.families.binomial import LATENT_VARIANCE
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOGIT, UNIT_LINKS, Link, UnitLink
from bayeslmm.families.member import Member
from bayeslmm.families.ordinal.discrimination import DISC, DISCRIMINATION, scaled
from bayeslmm.families.ordinal.intervals import log_between
from bayeslmm.families.ordinal.sticks import (
    CUT,
    THRESHOLD,
    cut_labels,
    log_probabilities,
    stick_parameter,
    threshold_at,
    threshold_slope,
)
from bayeslmm.families.response import ResponseRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import MeanForm, Parameters


def _is_category(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 1) & (np.floor(y) == y) & np.isfinite(y)


CATEGORIES = ResponseRule(
    "ordered categories: an ordered categorical column, or whole numbers 1, 2, ..., K",
    _is_category,
    "Number the categories from 1, such as rating + 1 of ratings from 0; measurements are for "
    "family='gaussian', counts for family='poisson'.",
    ordered=True,
)
# The mean category is no function of eta alone: it depends on where the thresholds lie.
OF_CATEGORIES = Link("category", *(3 * (np.asarray,)))


@dataclass(frozen=True, init=False, repr=False)
class Ordered(Member):
    """What families of ordered categories share; categories are numbered 1, ..., K.

    Thresholds c of shape (K - 1, ...) are the first axis of ``phi["threshold"]``. Priors are on
    sticks (`families.ordinal.sticks`): the categories' probabilities at a linear predictor of zero,
    from which thresholds follow. A formula of ``disc`` makes it `discriminating`.
    """

    link: UnitLink
    categories: tuple[str, ...]
    discriminates: bool
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    response: ClassVar[ResponseRule] = CATEGORIES
    discrete: ClassVar[bool] = True
    mean_form: ClassVar[MeanForm] = "curved"
    log_concave: ClassVar[bool] = True

    def __init__(self, link: str | None = None, categories: Sequence[str] = ()) -> None:
        super().__init__(link)
        object.__setattr__(self, "categories", tuple(map(str, categories)))
        object.__setattr__(self, "discriminates", False)

    def __repr__(self) -> str:
        bound = f", categories={self.categories!r}" if self.categories else ""
        return f"{type(self).__name__}(link={self.link.name!r}{bound})"

    def __reduce__(self) -> Any:
        return type(self)._like, (self.link.name, self.categories, self.discriminates)

    @classmethod
    def _like(cls, link: str, categories: Sequence[str], discriminates: bool) -> Self:
        found = cls(link, categories)
        object.__setattr__(found, "discriminates", discriminates)
        return found

    def with_categories(self, categories: Sequence[str]) -> Self:
        """Return the family of a response of these categories, the lowest first."""
        return self._like(self.link.name, categories, self.discriminates)

    @property
    def discriminating(self) -> Self:
        """The same family with the parameter ``disc``, which only a formula gives it."""
        return self._like(self.link.name, self.categories, True)

    @property
    def parameters(self) -> tuple[FamilyParameter, ...]:
        """The thresholds, without labels before the categories are known, and ``disc``."""
        meaning = "where eta parts a category from the next"
        labels = cut_labels(self.categories)
        cuts = FamilyParameter(THRESHOLD, meaning, None, -np.inf, labels=labels, dim=CUT)
        return (cuts, DISCRIMINATION) if self.discriminates else (cuts,)

    @property
    def free(self) -> tuple[FamilyParameter, ...]:
        """The sticks, of one label each: they have priors of their own; then ``disc``."""
        labels = cut_labels(self.categories)
        sticks = (stick_parameter(label, len(labels) - k) for k, label in enumerate(labels))
        return (*sticks, DISCRIMINATION) if self.discriminates else tuple(sticks)

    @property
    def mean_scale(self) -> Link:
        """None: the mean category depends on the thresholds, too."""
        return OF_CATEGORIES

    def thresholds(self, sticks: Floats) -> Floats:
        """Compute the thresholds, shape (K - 1, ...), at which eta = 0 gives these sticks."""
        return threshold_at(self.link.name, np.log1p(-sticks))

    def sticks(self, thresholds: Floats) -> Floats:
        """Undo `thresholds`: shares of each category among those from it up, at eta = 0."""
        p = self.probabilities(np.zeros(()), {THRESHOLD: thresholds})
        return np.asarray(p[:-1] / np.cumsum(p[::-1], axis=0)[::-1][:-1])

    def pull_back(self, sticks: Floats, d_thresholds: Floats) -> Floats:
        """Carry a gradient in the thresholds, shape (K - 1,), to the sticks."""
        slope = threshold_slope(self.link.name, np.log1p(-sticks))
        return np.asarray(-d_thresholds * slope / (1.0 - sticks))

    def log_probabilities(self, eta: Floats, phi: Parameters, /) -> Iterator[Floats]:
        """Yield log P(Y = k | eta) of each category in turn, of eta's and phi's common shape."""
        eta, cuts, _ = scaled(eta, phi)
        return self._log_parts(eta, cuts)

    def _log_parts(self, eta: Floats, cuts: Floats) -> Iterator[Floats]:
        raise NotImplementedError

    def probabilities(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute P(Y = k | eta), shape (K, ...); they sum to one."""
        return np.exp(np.stack(list(self.log_probabilities(np.asarray(eta), phi))))

    def mean(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute the expected number of the category, sum_k k P(Y = k)."""
        parts = self.log_probabilities(np.asarray(eta), phi)
        return np.asarray(sum(k * np.exp(part) for k, part in enumerate(parts, 1)))

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Differentiate `mean` in eta; positive."""
        eta, cuts, disc = scaled(eta, phi)
        return np.asarray(disc * self._slope(eta, cuts))

    def _slope(self, eta: Floats, cuts: Floats) -> Floats:
        raise NotImplementedError

    def variance(self, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute the variance of the number of the category."""
        p = self.probabilities(eta, phi)
        numbers = np.arange(1.0, len(p) + 1.0).reshape(-1, *[1] * (p.ndim - 1))
        mean = (numbers * p).sum(axis=0)
        return np.asarray((np.square(numbers - mean) * p).sum(axis=0))

    def log_density(
        self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /
    ) -> Floats:
        """Compute log P(Y = y)."""
        found: Any = -np.inf
        for k, part in enumerate(self.log_probabilities(np.asarray(eta), phi), 1):
            found = np.where(y == k, part, found)
        return np.asarray(found)

    def cdf(self, y: Floats, eta: Floats, phi: Parameters, _known: Floats | None, /) -> Floats:
        """Compute P(Y <= y), the sum of the probabilities of categories up to y."""
        total: Any = 0.0
        parts = list(self.log_probabilities(np.asarray(eta), phi))
        for k, part in enumerate(parts, 1):
            total = total + np.where(y >= k, np.exp(part), 0.0)
        return np.where(y >= len(parts), 1.0, np.minimum(total, 1.0))

    def draw(
        self,
        eta: Floats,
        phi: Parameters,
        _known: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw the number of a category."""
        u, found, total = rng.random(eta.shape), np.ones(eta.shape), np.zeros(eta.shape)
        for part in list(self.log_probabilities(eta, phi))[:-1]:
            total += np.exp(part)
            found += u > total
        return found

    def latent_variance(self, mu: Floats, phi: Parameters, /) -> Floats:
        """Return pi^2 / 3 for logit, 1 for probit, pi^2 / 6 for cloglog, by disc^2."""
        disc = np.asarray(phi.get(DISC, 1.0))
        return np.asarray(np.full(np.shape(mu), LATENT_VARIANCE[self.link.name]) / disc**2)


@dataclass(frozen=True, init=False, repr=False)
class Cumulative(Ordered):
    r"""Ordered categories as intervals of a latent response.

    .. math:: P(Y_i \le k \mid \eta_i) = F(c_k - \eta_i), \quad c_1 < \dots < c_{K-1}, \quad
              F = g^{-1}

    A larger eta makes higher categories more probable; with the logit the odds of each category
    and above grow by exp(beta) with a predictor (proportional odds). There is no intercept: the
    thresholds c stand in its place. Their prior is that of the categories' probabilities at the
    predictors' means, which are Dirichlet(1, ..., 1), all probabilities alike. A formula of
    ``disc``, the discrimination d, makes it F(d_i (c_k - eta_i)).

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``, ``"probit"`` or ``"cloglog"``, as of `Bernoulli`.
    categories : sequence of str, optional
        Labels, the lowest first; without them a design takes those that its response has. Given,
        they may be more: ``family=bl.Cumulative(categories=["1", "2", "3", "4"])``.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    StoppingRatio : categories that are reached one after the other.
    AdjacentCategory : odds of neighbouring categories.

    References
    ----------
    McCullagh (1980), Regression models for ordinal data, doi:10.1111/j.2517-6161.1980.tb01109.x.
    Buerkner & Vuorre (2019), Ordinal regression models in psychology: a tutorial,
    doi:10.1177/2515245918823199.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi = {"threshold": np.array([-1.0, 1.0])}
    >>> bl.Cumulative().probabilities(np.array([0.0, 2.0]), phi).round(3)
    array([[0.269, 0.047],
           [0.462, 0.222],
           [0.269, 0.731]])
    """

    name: ClassVar[str] = "cumulative"

    def thresholds(self, sticks: Floats) -> Floats:
        """Compute the thresholds, shape (K - 1, ...), at which eta = 0 gives these sticks."""
        return threshold_at(self.link.name, np.cumsum(np.log1p(-sticks), axis=0))

    def pull_back(self, sticks: Floats, d_thresholds: Floats) -> Floats:
        """Carry a gradient in the thresholds, shape (K - 1,), to the sticks."""
        slope = threshold_slope(self.link.name, np.cumsum(np.log1p(-sticks)))
        return np.asarray(-np.cumsum((d_thresholds * slope)[::-1])[::-1] / (1.0 - sticks))

    def _slope(self, eta: Floats, cuts: Floats) -> Floats:
        """Compute sum_k F'(c_k - eta)."""
        return np.asarray(sum(self.link.derivative(cut - eta) for cut in cuts))

    def _log_parts(self, eta: Floats, cuts: Floats) -> Iterator[Floats]:
        """Yield log[F(c_k - eta) - F(c_{k-1} - eta)] of each category, without cancellation."""
        yield self.link.log_mean(cuts[0] - eta)
        for low, high in pairwise(cuts):
            yield log_between(self.link.name, low - eta, high - eta)
        yield self.link.log_rest(cuts[-1] - eta)


@dataclass(frozen=True, init=False, repr=False)
class StoppingRatio(Ordered):
    r"""Ordered categories that are reached one after the other.

    .. math:: P(Y_i = k \mid Y_i \ge k, \eta_i) = F(c_k - \eta_i), \quad F = g^{-1}

    A larger eta makes it more probable to go on from every category. Thresholds need not be
    ordered, and stand in the place of an intercept; their prior is that of `Cumulative`. With
    cloglog it is the model of hazards in discrete time.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``, ``"probit"`` or ``"cloglog"``, as of `Bernoulli`.
    categories : sequence of str, optional
        Labels, the lowest first; a design takes them from its response.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Tutz (1990), Sequential item response models with an ordered response,
    doi:10.1111/j.2044-8317.1990.tb00925.x. Buerkner & Vuorre (2019),
    doi:10.1177/2515245918823199.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi = {"threshold": np.array([0.0, 0.0])}
    >>> bl.StoppingRatio().probabilities(np.array(0.0), phi)
    array([0.5 , 0.25, 0.25])
    """

    name: ClassVar[str] = "sratio"

    def _slope(self, eta: Floats, cuts: Floats) -> Floats:
        """Compute the sum over k of the slopes of P(Y > k), a product of 1 - F(c_j - eta)."""
        log_beyond, hazard, total = np.zeros(()), np.zeros(()), np.zeros(())
        for cut in cuts:
            log_rest = self.link.log_rest(cut - eta)
            log_beyond = log_beyond + log_rest
            with np.errstate(divide="ignore"):
                own = np.exp(np.log(self.link.derivative(cut - eta)) - log_rest)
            hazard = hazard + np.where(np.isfinite(own), own, 0.0)
            total = total + np.exp(log_beyond) * hazard
        return total

    def _log_parts(self, eta: Floats, cuts: Floats) -> Iterator[Floats]:
        """Yield log F(c_k - eta) + sum_{j < k} log(1 - F(c_j - eta)) of each category."""
        gone_on: Any = 0.0
        for cut in cuts:
            yield np.asarray(gone_on + self.link.log_mean(cut - eta))
            gone_on = gone_on + self.link.log_rest(cut - eta)
        yield gone_on


@dataclass(frozen=True, init=False, repr=False)
class AdjacentCategory(Ordered):
    r"""Ordered categories by the odds of neighbours.

    .. math:: \log \frac{P(Y_i = k + 1 \mid \eta_i)}{P(Y_i = k \mid \eta_i)} = \eta_i - c_k

    It is the partial credit model of item response theory. Thresholds need not be ordered, and
    stand in the place of an intercept; their prior is that of `Cumulative`.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"`` only.
    categories : sequence of str, optional
        Labels, the lowest first; a design takes them from its response.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Masters (1982), A Rasch model for partial credit scoring, doi:10.1007/BF02296272. Buerkner &
    Vuorre (2019), doi:10.1177/2515245918823199.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi = {"threshold": np.array([0.0, 0.0])}
    >>> bl.AdjacentCategory().probabilities(np.array(np.log(2.0)), phi).round(4)
    array([0.1429, 0.2857, 0.5714])
    """

    name: ClassVar[str] = "acat"
    links: ClassVar[tuple[str, ...]] = (LOGIT.name,)
    other_link: ClassVar[str] = "family='cumulative' and 'sratio' have probit and cloglog."

    def thresholds(self, sticks: Floats) -> Floats:
        """Compute the thresholds, shape (K - 1, ...), at which eta = 0 gives these sticks."""
        logs = log_probabilities(sticks)
        return np.asarray(logs[:-1] - logs[1:])

    def pull_back(self, sticks: Floats, d_thresholds: Floats) -> Floats:
        """Carry a gradient in the thresholds, shape (K - 1,), to the sticks."""
        found = d_thresholds / (sticks * (1.0 - sticks))
        found[1:] -= d_thresholds[:-1] / sticks[1:]
        return np.asarray(found)

    def _slope(self, eta: Floats, cuts: Floats) -> Floats:
        """Return the variance: the family is exponential in the number of the category."""
        return self.variance(eta, {THRESHOLD: cuts}, None)

    def _log_parts(self, eta: Floats, cuts: Floats) -> Iterator[Floats]:
        """Yield sum_{j < k} (eta - c_j), less what makes the probabilities sum to one."""
        total: Any = 0.0 * eta
        found = [total]
        for cut in cuts:
            total = total + (eta - cut)
            found.append(total)
        largest = np.logaddexp.reduce(np.stack(np.broadcast_arrays(*found)), axis=0)
        for part in found:
            yield np.asarray(part - largest)
