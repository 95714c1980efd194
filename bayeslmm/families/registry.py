"""Families by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.families.beta import Beta
from bayeslmm.families.binomial import Bernoulli, Binomial
from bayeslmm.families.derived.censored import PREFIX, Censored, censored
from bayeslmm.families.derived.custom import CustomFamily, remembered
from bayeslmm.families.gamma import Gamma
from bayeslmm.families.gaussian import Gaussian
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.member import Member
from bayeslmm.families.mixtures.beta_binomial import BetaBinomial
from bayeslmm.families.mixtures.hurdle import (
    HurdleGamma,
    HurdleLogNormal,
    HurdleNegativeBinomial,
    HurdlePoisson,
)
from bayeslmm.families.mixtures.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from bayeslmm.families.mixtures.zero_inflated import (
    ZeroInflatedBeta,
    ZeroInflatedBinomial,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from bayeslmm.families.mixtures.zero_one import ZeroOneInflatedBeta
from bayeslmm.families.negbinomial import NegativeBinomial
from bayeslmm.families.ordinal.ordered import AdjacentCategory, Cumulative, Ordered, StoppingRatio
from bayeslmm.families.parameters import with_modelled
from bayeslmm.families.poisson import Poisson
from bayeslmm.families.several.softmax import Categorical, Multinomial
from bayeslmm.families.tails.skew_normal import SkewNormal
from bayeslmm.families.tails.student import StudentT
from bayeslmm.families.times.inverse_gaussian import InverseGaussian
from bayeslmm.families.times.shifted_lognormal import ShiftedLogNormal
from bayeslmm.families.times.weibull import Exponential, Weibull

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from bayeslmm.families.family import Family

FAMILIES: Mapping[str, Callable[[str | None], Family]] = {
    member.name: member
    for member in (
        Gaussian,
        Bernoulli,
        Binomial,
        Poisson,
        NegativeBinomial,
        Gamma,
        LogNormal,
        Weibull,
        Exponential,
        InverseGaussian,
        ShiftedLogNormal,
        Beta,
        StudentT,
        Cumulative,
        StoppingRatio,
        AdjacentCategory,
        SkewNormal,
        BetaBinomial,
        ZeroInflatedPoisson,
        ZeroInflatedNegativeBinomial,
        ZeroInflatedBinomial,
        ZeroInflatedBeta,
        ZeroOneInflatedBeta,
        HurdlePoisson,
        HurdleNegativeBinomial,
        HurdleGamma,
        HurdleLogNormal,
        TruncatedPoisson,
        TruncatedNegativeBinomial,
    )
}

# Of a response whose rows have several predictors, one for each category but the reference.
OF_CATEGORIES: Mapping[str, Callable[[str | None], Family]] = {
    member.name: member for member in (Categorical, Multinomial)
}

_ALL = {**FAMILIES, **OF_CATEGORIES}

# What brms, Bambi, glmmTMB, Stan and statsmodels call the same thing.
_OTHER_NAMES = {
    "gaussian": ("normal", "norm", "linear"),
    "bernoulli": ("binary", "logistic", "logit", "bernoulli_logit"),
    "binomial": ("binomial_logit",),
    "poisson": ("poisson_log", "count"),
    "negbinomial": (
        "nb", "nb2", "nbinom", "nbinom2", "negative_binomial", "negative.binomial",
        "negativebinomial", "neg_binomial", "neg_binomial_2", "neg_binomial_2_log",
    ),
    "lognormal": ("lognorm", "log_normal"),
    "inverse_gaussian": (
        "inverse.gaussian", "inversegaussian", "inverse-gaussian", "wald", "inv_gaussian",
    ),
    "exponential": ("exp", "expon"),
    "shifted_lognormal": ("shiftedlognormal", "shifted_log_normal"),
    "skew_normal": ("skewnormal", "skewnorm", "skew-normal"),
    "beta": ("beta_family", "betar", "beta_regression", "beta_proportion"),
    "cumulative": (
        "ordinal", "ordered", "clm", "clmm", "polr", "ordered_logistic", "ordered_probit",
        "proportional_odds",
    ),
    "sratio": ("stopping_ratio", "sequential", "continuation_ratio", "cratio"),
    "acat": ("adjacent", "adjacent_category", "partial_credit"),
    "categorical": ("softmax", "categorical_logit", "multinom"),
    "student": ("t", "student_t", "studentt", "t_family", "scat", "robust"),
    "beta_binomial": ("betabinomial", "beta-binomial", "betabinom"),
    "zero_inflated_poisson": ("zip", "zero-inflated poisson", "zeroinflatedpoisson"),
    "zero_inflated_negbinomial": (
        "zinb", "zero_inflated_negativebinomial", "zero-inflated negative binomial",
        "zero_inflated_nbinom2",
    ),
    "zero_inflated_binomial": ("zib", "zero-inflated binomial"),
    "zero_inflated_beta": ("beinf0", "zero-inflated beta"),
    "zero_one_inflated_beta": ("zoib", "beinf", "zero-one-inflated beta"),
    "hurdle_poisson": ("hurdlepoisson",),
    "hurdle_negbinomial": ("hurdle_negativebinomial", "hurdle_nbinom2"),
    "hurdle_gamma": ("zigamma", "zero_inflated_gamma"),
    "hurdle_lognormal": ("zero_inflated_lognormal", "hurdle_lognorm"),
    "truncated_poisson": ("ztpoisson", "zero_truncated_poisson"),
    "truncated_negbinomial": ("truncated_nbinom2", "zero_truncated_negbinomial"),
}  # fmt: skip
_PEERS = {other: name for name, others in _OTHER_NAMES.items() for other in others}
# What is not here, and what stands nearest.
_LEVEL_A_ROW = "a Poisson or binomial model with a level for every row, (1 | row)"
_NOT_HERE = {
    "family='negbinomial', or " + _LEVEL_A_ROW: ("quasipoisson", "quasi", "genpoisson", "compois"),
    "family='beta_binomial', or " + _LEVEL_A_ROW: ("quasibinomial",),
    "family='gamma' or 'lognormal' for positive responses": (
        "tweedie",
    ),
    "family='shifted_lognormal' for times, and family='bernoulli' for choices, a model each": (
        "wiener", "ddm", "drift_diffusion", "hddm",
    ),
    "family='weibull' with cens= for times of events, of which some are censored": (
        "cox", "coxph", "survival", "cox_ph",
    ),
}  # fmt: skip
_NEAREST = {other: near for near, others in _NOT_HERE.items() for other in others}
# R's and Python's calls: binomial(probit), binomial(link = "probit"), Gamma().
_CALL = re.compile(r"\s*([\w.]+)\s*\(\s*(?:link\s*=\s*)?[\"']?(\w*)[\"']?\s*\)\s*")


def family_of(family: str | Family, link: str | None = None) -> Family:
    """Return the family of this name, or the one that is given, with this link.

    Parameters
    ----------
    family : str or Family
        A name such as ``"poisson"``, or a family such as ``Bernoulli(link="probit")``.
    link : str, optional
        The link's name; by default the family's own, or the default of the family of this name.

    Returns
    -------
    Family
        The family.

    Raises
    ------
    ArgumentError
        If there is no such family, it does not have this link, or a family is given that has
        another one.

    Examples
    --------
    >>> family_of("bernoulli", "probit")
    Bernoulli(link='probit')
    >>> family_of("nbinom2")
    Traceback (most recent call last):
    bayeslmm.errors.ArgumentError: There is no family 'nbinom2': it is called 'negbinomial' here.
    """
    if isinstance(family, str) and family.startswith(PREFIX):
        return censored(family_of(family.removeprefix(PREFIX), link))
    if isinstance(family, str):
        if family in _ALL:
            return _ALL[family](link)
        own = remembered(family)
        if own is None:
            raise ArgumentError(_no_such_family(family))
        family = own
    if not isinstance(family, Member | CustomFamily | Censored):
        raise ArgumentError(_no_family(family))
    if link not in {None, family.link.name}:
        raise ArgumentError(
            f"link={link!r} stands beside family={family!r}, which has a link already: give one "
            "of the two."
        )
    return family


def bound_family(
    family: Family, categories: Sequence[str] | None, modelled: Container[str] = ()
) -> Family:
    """Return a family that knows the categories of its response, where it is of ordered ones.

    Parameters
    ----------
    family : Family
        Any.
    categories : sequence of str, or None
        Labels of the response's categories, the lowest first.
    modelled : container of str
        Parameters that have formulas (`with_modelled`).

    Examples
    --------
    >>> bound_family(family_of("acat"), ("no", "some", "all")).parameters[0].labels
    ('no|some', 'some|all')
    """
    if isinstance(family, Ordered) and categories is not None:
        family = family.with_categories(categories)
    return with_modelled(family, modelled)


def _no_such_family(name: str) -> str:
    if call := _CALL.fullmatch(name):
        inner, link = call.groups()
        beside = f", link={link!r}" if link else ""
        return (
            f"A family's name stands without brackets, its link beside it: write "
            f"family={_known_as(inner) or inner!r}{beside} instead of family={name!r}."
        )
    if known := _known_as(name):
        return f"There is no family {name!r}: it is called {known!r} here."
    if near := _NEAREST.get(name.casefold()):
        return f"There is no family {name!r} here; nearest is {near}."
    return (
        f"There is no family {name!r}.{nearest(name, _ALL)} There are {_listed()}; one of "
        "your own is known by its name once custom_family(...) has made it in this process."
    )


def _no_family(value: object) -> str:
    if isinstance(value, type) and issubclass(value, Member):
        return f"family is the class {value.__name__}: write {value.__name__}()."
    return (
        f"family is a name or a family of bayeslmm, such as bl.Bernoulli(link='probit'), and not "
        f"{value!r}. The names are {_listed()}."
    )


def _known_as(name: str) -> str | None:
    """Return what a family of another package is called here, or None."""
    folded = name.casefold()
    return folded if folded in _ALL else _PEERS.get(folded)


def _listed() -> str:
    *others, last = _ALL
    return f"{', '.join(others)} and {last}"
