"""Counts, successes and proportions with more zeros than their family has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.families.beta import PHI, Beta
from bayeslmm.families.binomial import SUCCESSES, Binomial
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import LOG, UNIT_LINKS
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.mixtures.with_zeros import WithZeros
from bayeslmm.families.negbinomial import SHAPE, NegativeBinomial
from bayeslmm.families.poisson import Poisson
from bayeslmm.families.response import COUNTS, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

ZI = FamilyParameter("zi", "probability of a zero beside the family's own", "Beta(1, 1)", 0.0, 1.0)


def _below_one(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 0) & (y < 1)


BELOW_ONE = ResponseRule(
    "numbers from 0 to just below 1",
    _below_one,
    "Divide percentages by 100. Where some are exactly 1, take family='zero_one_inflated_beta'; of "
    "counts among a number of trials 'binomial' or 'beta_binomial', with trials=.",
)


@dataclass(frozen=True, init=False, repr=False)
class ZeroInflatedPoisson(WithZeros):
    r"""Counts with more zeros than a Poisson has: some rows cannot be anything else.

    .. math:: p(y_i \mid \eta_i, \pi) = \pi \, 1(y_i = 0) + (1 - \pi)
              \frac{\mu_i^{y_i} e^{-\mu_i}}{y_i!}, \quad \mu_i = e^{\eta_i}, \quad
              E(y_i) = (1 - \pi) \mu_i

    The parameter ``zi`` is pi, the probability that a row is zero whatever its predictor; exp(eta)
    is the mean of the others, of whose zeros there may be some, too.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``; coefficients are logarithms of ratios of rates.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdlePoisson : where zeros are of one kind.
    ZeroInflatedNegativeBinomial : counts that scatter more.

    References
    ----------
    Lambert (1992), Zero-inflated Poisson regression, doi:10.2307/1269547.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> y, eta = np.array([0.0, 3.0]), np.log(np.array(2.0))
    >>> bl.ZeroInflatedPoisson().log_density(y, eta, {"zi": 0.5}, None).round(4)
    array([-0.5662, -2.4055])
    >>> bl.ZeroInflatedPoisson().mean(eta, {"zi": 0.5}).round(12)
    np.float64(1.0)
    """

    name: ClassVar[str] = "zero_inflated_poisson"
    component: ClassVar[type[Member]] = Poisson
    share: ClassVar[FamilyParameter] = ZI
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (ZI,)
    response: ClassVar[ResponseRule] = COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False


@dataclass(frozen=True, init=False, repr=False)
class ZeroInflatedNegativeBinomial(WithZeros):
    r"""Counts that scatter more than Poisson's, with more zeros than that explains.

    .. math:: p(y_i \mid \eta_i, s, \pi) = \pi \, 1(y_i = 0)
              + (1 - \pi) \, p_{NB}(y_i \mid \mu_i, s), \quad \mu_i = e^{\eta_i}

    ``shape`` is s, as of `NegativeBinomial`, and ``zi`` pi, as of `ZeroInflatedPoisson`. Both make
    zeros: where a small shape explains them the data hardly tell pi.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``; coefficients are logarithms of ratios of rates.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdleNegativeBinomial : where zeros are of one kind.

    References
    ----------
    Ridout, Hinde & Demétrio (2001), A score test for testing a zero-inflated Poisson regression
    model against zero-inflated negative binomial alternatives,
    doi:10.1111/j.0006-341X.2001.00219.x.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> phi, eta = {"shape": 1.0, "zi": 0.5}, np.log(np.array(2.0))
    >>> bl.ZeroInflatedNegativeBinomial().log_density(np.array([0.0, 3.0]), eta, phi, None).round(4)
    array([-0.4055, -3.0082])
    """

    name: ClassVar[str] = "zero_inflated_negbinomial"
    component: ClassVar[type[Member]] = NegativeBinomial
    share: ClassVar[FamilyParameter] = ZI
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE, ZI)
    response: ClassVar[ResponseRule] = COUNTS
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False


@dataclass(frozen=True, init=False, repr=False)
class ZeroInflatedBinomial(WithZeros):
    r"""Successes among several trials, with more rows without any than a binomial has.

    .. math:: p(y_i \mid \eta_i, \pi) = \pi \, 1(y_i = 0) + (1 - \pi) \binom{n_i}{y_i}
              \mu_i^{y_i} (1 - \mu_i)^{n_i - y_i}, \quad \mu_i = g^{-1}(\eta_i)

    The parameter ``zi`` is pi, the probability of a row without successes whatever its predictor:
    of a site that is not inhabited, say, among sites where an animal was looked for n times.

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
    BetaBinomial : successes that scatter more.

    References
    ----------
    Hall (2000), Zero-inflated Poisson and binomial regression with random effects,
    doi:10.1111/j.0006-341X.2000.01030.x.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> y, eta, trials = np.array([0.0, 2.0]), np.array(0.0), np.array(2.0)
    >>> bl.ZeroInflatedBinomial().log_density(y, eta, {"zi": 0.5}, trials).round(4)
    array([-0.47  , -2.0794])
    """

    name: ClassVar[str] = "zero_inflated_binomial"
    component: ClassVar[type[Member]] = Binomial
    share: ClassVar[FamilyParameter] = ZI
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (ZI,)
    response: ClassVar[ResponseRule] = SUCCESSES
    discrete: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False


@dataclass(frozen=True, init=False, repr=False)
class ZeroInflatedBeta(WithZeros):
    r"""Proportions that are no counts, of which some are exactly zero.

    .. math:: p(y_i \mid \eta_i, \phi, \pi) = \pi \;\; (y_i = 0), \quad
              (1 - \pi) \, p_{Beta}(y_i \mid \mu_i, \phi) \;\; (0 < y_i < 1), \quad
              \mu_i = g^{-1}(\eta_i)

    The parameter ``zi`` is pi, the probability of a zero, and ``phi`` the precision of the others,
    as of `Beta`. eta is of the others alone: zeros do not tell of it.

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
    ZeroOneInflatedBeta : with exact ones, too.

    References
    ----------
    Ospina & Ferrari (2012), A general class of zero-or-one inflated beta regression models,
    doi:10.1016/j.csda.2011.10.005.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> y, phi = np.array([0.0, 0.2]), {"phi": 4.0, "zi": 0.3}
    >>> bl.ZeroInflatedBeta().log_density(y, np.array(0.0), phi, None).round(4)
    array([-1.204 , -0.3975])
    """

    name: ClassVar[str] = "zero_inflated_beta"
    component: ClassVar[type[Member]] = Beta
    share: ClassVar[FamilyParameter] = ZI
    links: ClassVar[tuple[str, ...]] = UNIT_LINKS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (PHI, ZI)
    response: ClassVar[ResponseRule] = BELOW_ONE
    atoms: ClassVar[tuple[float, ...]] = (0.0,)
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False
