"""Zeros, and what is beyond them: a hurdle, and positive responses of those who passed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bayeslmm import names
from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.gamma import SHAPE as GAMMA_SHAPE
from bayeslmm.families.gamma import Gamma
from bayeslmm.families.links import IDENTITY, LOG
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.member import POSITIVE_MEANS, Member
from bayeslmm.families.mixtures.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from bayeslmm.families.mixtures.with_zeros import WithZeros
from bayeslmm.families.negbinomial import SHAPE
from bayeslmm.families.response import COUNTS, ResponseRule

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import MeanForm

HU = FamilyParameter("hu", "probability of a zero", "Beta(1, 1)", 0.0, 1.0)
SIGMA = FamilyParameter(
    names.SIGMA, "residual standard deviation of the logarithm of positive responses"
)


def _not_negative(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 0) & np.isfinite(y)


NOT_NEGATIVE = ResponseRule(
    "zeros and positive numbers",
    _not_negative,
    "For numbers of either sign take family='gaussian' or 'student'.",
)


@dataclass(frozen=True, init=False, repr=False)
class HurdlePoisson(WithZeros):
    r"""Counts whose zeros are of one kind: whether there is anything, and how much then.

    .. math:: p(y_i \mid \eta_i, \pi) = \pi \;\; (y_i = 0), \quad
              (1 - \pi) \frac{\mu_i^{y_i} e^{-\mu_i}}{y_i! \, (1 - e^{-\mu_i})} \;\; (y_i > 0),
              \quad \mu_i = e^{\eta_i}

    The parameter ``hu`` is pi, the probability of a zero. eta is of the positive counts alone, see
    `TruncatedPoisson`: zeros do not tell of it.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean that counts would have without a hurdle.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    ZeroInflatedPoisson : where zeros are of two kinds.

    References
    ----------
    Mullahy (1986), Specification and testing of some modified count data models,
    doi:10.1016/0304-4076(86)90002-3.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> y, eta = np.array([0.0, 3.0]), np.log(np.array(2.0))
    >>> bl.HurdlePoisson().log_density(y, eta, {"hu": 0.5}, None).round(4)
    array([-0.6931, -2.2601])
    """

    name: ClassVar[str] = "hurdle_poisson"
    component: ClassVar[type[Member]] = TruncatedPoisson
    share: ClassVar[FamilyParameter] = HU
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (HU,)
    response: ClassVar[ResponseRule] = COUNTS
    mean_form: ClassVar[MeanForm] = "curved"
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True


@dataclass(frozen=True, init=False, repr=False)
class HurdleNegativeBinomial(WithZeros):
    r"""Counts whose zeros are of one kind, and that scatter more than Poisson's beyond.

    .. math:: p(y_i \mid \eta_i, s, \pi) = \pi \;\; (y_i = 0), \quad
              (1 - \pi) \frac{p_{NB}(y_i \mid \mu_i, s)}{1 - (1 + \mu_i / s)^{-s}} \;\;
              (y_i > 0), \quad \mu_i = e^{\eta_i}

    ``hu`` is pi, the probability of a zero, and ``shape`` s, as of `NegativeBinomial`; see
    `TruncatedNegativeBinomial` for the positive counts, the only ones that tell of eta.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean that counts would have without a hurdle.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    ZeroInflatedNegativeBinomial : where zeros are of two kinds.

    References
    ----------
    Mullahy (1986), Specification and testing of some modified count data models,
    doi:10.1016/0304-4076(86)90002-3.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi, eta = {"shape": 1.0, "hu": 0.5}, np.log(np.array(2.0))
    >>> bl.HurdleNegativeBinomial().log_density(np.array([0.0, 3.0]), eta, phi, None).round(4)
    array([-0.6931, -2.6027])
    """

    name: ClassVar[str] = "hurdle_negbinomial"
    component: ClassVar[type[Member]] = TruncatedNegativeBinomial
    share: ClassVar[FamilyParameter] = HU
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SHAPE, HU)
    response: ClassVar[ResponseRule] = COUNTS
    mean_form: ClassVar[MeanForm] = "curved"
    discrete: ClassVar[bool] = True
    latent_at_mean: ClassVar[bool] = True
    log_concave: ClassVar[bool] = False


@dataclass(frozen=True, init=False, repr=False)
class HurdleGamma(WithZeros):
    r"""Amounts of which some are exactly zero: expenses, rain, catches.

    .. math:: p(y_i \mid \eta_i, s, \pi) = \pi \;\; (y_i = 0), \quad
              (1 - \pi) \, p_{Gamma}(y_i \mid \mu_i, s) \;\; (y_i > 0), \quad
              \mu_i = e^{\eta_i}, \quad E(y_i) = (1 - \pi) \mu_i

    ``hu`` is pi, the probability of a zero, and ``shape`` s, as of `Gamma`. eta is of positive
    amounts alone: zeros do not tell of it.

    Parameters
    ----------
    link : str, default ``"log"``
        ``"log"``, of the mean of positive amounts.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdleLogNormal : positive amounts with a normal logarithm.

    References
    ----------
    Mullahy (1986), Specification and testing of some modified count data models,
    doi:10.1016/0304-4076(86)90002-3.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi, eta = {"shape": 1.0, "hu": 0.3}, np.log(np.array(2.0))
    >>> bl.HurdleGamma().log_density(np.array([0.0, 1.0]), eta, phi, None).round(4)
    array([-1.204 , -1.5498])
    """

    name: ClassVar[str] = "hurdle_gamma"
    component: ClassVar[type[Member]] = Gamma
    share: ClassVar[FamilyParameter] = HU
    links: ClassVar[tuple[str, ...]] = (LOG.name,)
    other_link: ClassVar[str] = POSITIVE_MEANS
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (GAMMA_SHAPE, HU)
    response: ClassVar[ResponseRule] = NOT_NEGATIVE
    atoms: ClassVar[tuple[float, ...]] = (0.0,)
    log_concave: ClassVar[bool] = True


@dataclass(frozen=True, init=False, repr=False)
class HurdleLogNormal(WithZeros):
    r"""Amounts of which some are exactly zero, the others with a normal logarithm.

    .. math:: p(y_i \mid \eta_i, \sigma, \pi) = \pi \;\; (y_i = 0), \quad
              (1 - \pi) \, p_{LN}(y_i \mid \eta_i, \sigma) \;\; (y_i > 0), \quad
              E(y_i) = (1 - \pi) \, e^{\eta_i + \sigma^2 / 2}

    ``hu`` is pi, the probability of a zero, and ``sigma`` the residual standard deviation of the
    logarithm of positive amounts, as of `LogNormal`.

    Parameters
    ----------
    link : str, default ``"identity"``
        ``"identity"``, of log y where y > 0: exp(eta) is the median of positive amounts.

    Raises
    ------
    ArgumentError
        If it is another link.

    See Also
    --------
    HurdleGamma : positive amounts whose mean is exp(eta).

    References
    ----------
    Mullahy (1986), Specification and testing of some modified count data models,
    doi:10.1016/0304-4076(86)90002-3.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> phi, eta = {"sigma": 1.0, "hu": 0.3}, np.array(0.0)
    >>> bl.HurdleLogNormal().log_density(np.array([0.0, 1.0]), eta, phi, None).round(4)
    array([-1.204 , -1.2756])
    """

    name: ClassVar[str] = "hurdle_lognormal"
    component: ClassVar[type[Member]] = LogNormal
    share: ClassVar[FamilyParameter] = HU
    links: ClassVar[tuple[str, ...]] = (IDENTITY.name,)
    other_link: ClassVar[str] = (
        "The predictor is the mean of log y where y is positive; for a mean of exp(eta) take "
        "family='hurdle_gamma'."
    )
    parameters: ClassVar[tuple[FamilyParameter, ...]] = (SIGMA, HU)
    response: ClassVar[ResponseRule] = NOT_NEGATIVE
    atoms: ClassVar[tuple[float, ...]] = (0.0,)
    log_concave: ClassVar[bool] = True
