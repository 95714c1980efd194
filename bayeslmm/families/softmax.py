"""Categories without an order: one of them, or counts of each, by odds against a reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import gammaln, logsumexp

from bayeslmm.errors import ArgumentError
from bayeslmm.families.links import LOGIT
from bayeslmm.families.member import Member
from bayeslmm.families.response import COUNTS, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import FamilyParameter, Parameters

_OF_CATEGORIES = "Categories are compared with a reference by the logarithm of odds, the logit."

_NO_ORDER = (
    "Categories have no order, so that there is no cumulative probability: ask for the probability "
    "of each, category_probabilities(fit)."
)


def log_probabilities(eta: Floats) -> Floats:
    r"""Compute log p of all categories, the reference first.

    .. math:: p_k = \frac{e^{\eta_k}}{1 + \sum_j e^{\eta_j}}, \quad \eta_0 = 0

    Parameters
    ----------
    eta : ndarray, shape (..., K - 1)
        Linear predictors of the categories beside the reference.

    Returns
    -------
    ndarray, shape (..., K)

    Examples
    --------
    >>> np.exp(log_probabilities(np.log([2.0, 1.0]))).round(4)
    array([0.25, 0.5 , 0.25])
    """
    whole = np.concatenate([np.zeros((*eta.shape[:-1], 1)), eta], axis=-1)
    return np.asarray(whole - logsumexp(whole, axis=-1, keepdims=True))


@dataclass(frozen=True, init=False, repr=False)
class Multinomial(Member):
    r"""Counts of K categories.

    .. math:: p(y \mid \eta) = \frac{n!}{\prod_k y_k!} \prod_k p_k^{y_k}, \quad
              p_k = \frac{e^{\eta_k}}{1 + \sum_j e^{\eta_j}}

    One predictor for each category but the first, the reference. The last axis of what the verbs
    take is that of these K - 1 categories; `known` are the totals n.

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``; coefficients are logarithms of ratios of odds against the reference.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Agresti (2013), Categorical Data Analysis, 3rd ed., chapter 8. Wiley.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta, counts = np.log([[2.0, 1.0]]), np.array([[2.0, 1.0]])
    >>> bl.Multinomial().log_density(counts, eta, {}, np.array([4.0])).round(4)
    array([-1.6740])
    """

    name: ClassVar[str] = "multinomial"
    links: ClassVar[tuple[str, ...]] = (LOGIT.name,)
    other_link: ClassVar[str] = _OF_CATEGORIES
    parameters: ClassVar[tuple[FamilyParameter, ...]] = ()
    response: ClassVar[ResponseRule] = COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = False
    log_concave: ClassVar[bool] = True

    def mean(self, eta: Floats, _phi: Parameters, /) -> Floats:
        """Compute the probabilities of the categories beside the reference, shape (..., K - 1)."""
        return np.asarray(np.exp(log_probabilities(eta)[..., 1:]))

    def mean_slope(self, eta: Floats, phi: Parameters, /) -> Floats:
        """Compute p (1 - p), the derivative in the category's own predictor."""
        return self.variance(eta, phi, None)

    def variance(self, eta: Floats, phi: Parameters, trials: Floats | None, /) -> Floats:
        """Compute n p (1 - p) of each category beside the reference."""
        p = self.mean(eta, phi)
        return np.asarray(p * (1 - p) * (1.0 if trials is None else trials[..., None]))

    def log_density(
        self, y: Floats, eta: Floats, _phi: Parameters, trials: Floats | None, /
    ) -> Floats:
        """Compute log n! - sum log y_k! + sum y_k log p_k, shape (...)."""
        n = np.ones(y.shape[:-1]) if trials is None else trials
        counts = np.concatenate([(n - y.sum(axis=-1))[..., None], y], axis=-1)
        ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=-1)
        return np.asarray(ways + (counts * log_probabilities(eta)).sum(axis=-1))

    def cdf(self, _y: Floats, _eta: Floats, _phi: Parameters, _known: Floats | None, /) -> Floats:
        """Raise: categories have no order."""
        raise ArgumentError(_NO_ORDER)

    def draw(
        self,
        eta: Floats,
        _phi: Parameters,
        trials: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw counts of the categories beside the reference, shape (..., K - 1)."""
        p = np.exp(log_probabilities(eta))
        n = np.ones(eta.shape[:-1]) if trials is None else np.broadcast_to(trials, eta.shape[:-1])
        return rng.multinomial(n.astype(np.int64), p)[..., 1:].astype(np.float64)

    def latent_variance(self, mu: Floats, _phi: Parameters, /) -> Floats:
        """Return pi^2 / 3, of a logistic variable, on the scale of each logarithm of odds."""
        return np.full(np.shape(mu), math.pi**2 / 3)


@dataclass(frozen=True, init=False, repr=False)
class Categorical(Multinomial):
    r"""One of K categories: `Multinomial` counts of one trial.

    .. math:: P(y = k) = \frac{e^{\eta_k}}{1 + \sum_j e^{\eta_j}}, \quad \eta_0 = 0

    Parameters
    ----------
    link : str, default ``"logit"``
        ``"logit"``.

    Raises
    ------
    ArgumentError
        If it is another link.

    References
    ----------
    Agresti (2013), Categorical Data Analysis, 3rd ed., chapter 8. Wiley.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> eta = np.log([[2.0, 1.0], [1.0, 1.0]])  # two rows, three categories
    >>> bl.Categorical().log_density(np.array([[1.0, 0.0], [0.0, 0.0]]), eta, {}, None).round(4)
    array([-0.6931, -1.0986])
    """

    name: ClassVar[str] = "categorical"
