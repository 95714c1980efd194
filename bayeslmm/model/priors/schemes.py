r"""Priors by rule: what other packages would choose for this model on these data.

A scheme is a name and a rule, `Design` -> priors by key, as in `resolve_priors`. In the formulas
:math:`s_y` is the standard deviation of the response (less its offset) and :math:`s_k` that of
column k, dummy columns included; where a column does not vary, its root mean square. Of lognormal
responses they are those of the logarithm. Under other links than the identity each scheme says what
stands in the place of mean(y) and :math:`s_y`, and where it says nothing of a family's parameter,
that keeps its default. A scheme whose package has no such family refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.errors import PriorError, nearest
from bayeslmm.model.priors.defaults import root_mean_weight, unit
from bayeslmm.model.priors.package_schemes import bambi, brms, rstanarm
from bayeslmm.model.priors.prior import Prior, PriorLike
from bayeslmm.model.priors.scheme_parts import (
    WIDE,
    coef_key,
    sds_of,
    unit_of_eta,
    wide_coefficients,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.design.model_data import ModelData

# Mean and sd of an intercept, and of the sd of random intercepts, by link.
_PROBABLE = {"logit": (0.0, 1.5, 1.0), "probit": (0.0, 1.0, 0.55), "cloglog": (-0.58, 1.28, 0.71)}


@dataclass(frozen=True)
class PriorScheme:
    """A rule that derives priors from a design.

    Attributes
    ----------
    name : str
        Where a prior came from, as `Priors.describe` tells it.
    rule : callable
        Design -> mapping with the keys of `resolve_priors` (text or `Prior` values). What it
        leaves out keeps the default; ``"beta"``, ``"sd"``, ``"corr"`` and ``"Intercept"`` may be
        named whether or not the model has them.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> tight = PriorScheme("tight", lambda design: {"sd": f"HalfNormal({design.y.std() / 4:.3g})"})
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> bl.resolve_priors(design, {"scheme": tight, "sigma": "HalfNormal(50)"}).factors[0].sd
    (Prior('HalfNormal(sigma=14)'),)
    """

    name: str
    rule: Callable[[ModelData], Mapping[str, PriorLike]]


def weakly_informative(design: ModelData) -> dict[str, PriorLike]:  # noqa: ARG001 - a rule's shape
    r"""Change nothing: the package's defaults.

    Intercept at the predictors' means Normal(mean(y), 2.5 :math:`s_y`), coefficients
    Normal(0, 2.5 :math:`s_y / s_k`), random-effect sds HalfStudentT(3, :math:`s_y / s_k`)
    (intercepts: :math:`s_y`), correlations LKJ(2), sigma HalfStudentT(3, :math:`s_y`); see
    `default_priors` for models without an intercept.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> weakly_informative(design)
    {}
    """
    return {}


def half_cauchy(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow the textbooks: normal coefficients, half-Cauchy scales.

    Coefficients Normal(0, 10 :math:`s_y / s_k`), intercept at the predictors' means
    Normal(mean(y), 10 :math:`s_y`), sds HalfCauchy(:math:`s_y / s_k`) (intercepts: :math:`s_y`),
    sigma HalfCauchy(:math:`s_y \sqrt{\bar{w}}`), w the weights, correlations LKJ(1). Under other
    links than the identity with the link of the mean response and :math:`s_y = 1` (probit 0.6).

    Not reproduced: the books' fixed numbers for the scales, which depend on the units of their
    examples, and their intercept centered at zero; here both follow the data.

    References
    ----------
    .. [1] Gelman (2006). Prior distributions for variance parameters in hierarchical models.
       Bayesian Analysis 1(3):515-534. doi:10.1214/06-BA117A
    .. [2] Fahrmeir, Kneib, Lang & Marx (2013). Regression. Springer, chapter 7.
       doi:10.1007/978-3-642-34333-9

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> half_cauchy(design)["sigma"]
    Prior('HalfCauchy(beta=56.3288)')
    """
    sd_y, root = unit_of_eta(design), root_mean_weight(design.scales)
    chosen = wide_coefficients(design, 10.0)
    chosen |= sds_of(design, lambda x, name: Prior.of("HalfCauchy", beta=sd_y / unit(x, name)))
    return chosen | {"corr": "LKJ(1)", names.SIGMA: Prior.of("HalfCauchy", beta=sd_y * root)}


def flat(design: ModelData) -> dict[str, PriorLike]:
    r"""Be as flat as a proper prior can be, for comparison with REML.

    Coefficients Normal(0, 100 :math:`s_y / s_k`), intercept at the predictors' means
    Normal(mean(y), 100 :math:`s_y`), sds and sigma HalfNormal with 100 times the scale
    (:math:`s_y / s_k`; intercepts :math:`s_y`; sigma :math:`s_y \sqrt{\bar{w}}`, w the weights),
    correlations LKJ(1). Under other links than the identity with the link of the mean response and
    :math:`s_y = 1` (probit 0.6): probabilities are then thought to be 0 or 1, and where groups or
    cells have one outcome only, effects run far out.

    Of a Gaussian response the joint mode of the sds, correlations and sigma, fixed effects
    integrated out, is then REML's estimate. Means are not: with few levels a flat prior on an sd
    leaves it a long right tail, and with two or three levels the result hangs on the prior's width
    (Gelman 2006).

    References
    ----------
    .. [1] Gelman (2006), doi:10.1214/06-BA117A

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> flat(design)["sigma"]
    Prior('HalfNormal(sigma=5632.88)')
    """
    root = root_mean_weight(design.scales)
    wide = WIDE * unit_of_eta(design)
    chosen = wide_coefficients(design)
    chosen |= sds_of(design, lambda x, name: Prior.of("HalfNormal", sigma=wide / unit(x, name)))
    return chosen | {"corr": "LKJ(1)", names.SIGMA: Prior.of("HalfNormal", sigma=wide * root)}


def probability(design: ModelData) -> dict[str, PriorLike]:
    r"""Think every probability about equally likely, for binary, binomial and beta responses.

    Intercept at the predictors' means Normal(0, 1.5) for logit, Normal(0, 1) for probit (exactly
    uniform) and Normal(-0.58, 1.28) for cloglog (a uniform probability's mean and sd there); sds of
    random intercepts HalfNormal(1), for probit 0.55 and for cloglog 0.71, as the latent standard
    deviations are to logit's; of random slopes that by :math:`s_k`. Coefficients keep the default.
    The defaults, wider by themselves and together with effects, put most mass near 0 and 1.

    References
    ----------
    .. [1] McElreath (2020). Statistical Rethinking, 2nd ed., chapters 11 and 13.
       doi:10.1201/9780429029608

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = {"y": [0, 1, 1, 0, 1, 1], "g": list("aabbcc")}
    >>> design = bl.build_design("y ~ 1 + (1 | g)", table, family="bernoulli")
    >>> probability(design)["beta[Intercept]"]
    Prior('Normal(mu=0, sigma=1.5)')
    """
    link = design.family.link.name
    if link not in _PROBABLE or design.family.response.ordered:
        raise PriorError(
            f"it is for means between 0 and 1, and those of family={design.family.name!r} are not."
        )
    mean, width, sd = _PROBABLE[link]
    chosen: dict[str, PriorLike] = {}
    if names.INTERCEPT in design.coef:
        chosen[coef_key(names.INTERCEPT)] = Prior.of("Normal", mu=mean, sigma=width)
    return chosen | sds_of(design, lambda x, name: Prior.of("HalfNormal", sigma=sd / unit(x, name)))


SCHEMES: Mapping[str, PriorScheme] = {
    rule.__name__: PriorScheme(rule.__name__, rule)
    for rule in (weakly_informative, brms, rstanarm, bambi, half_cauchy, flat, probability)
}


def scheme_named(name: str) -> PriorScheme:
    """Return the scheme of a name.

    Raises
    ------
    PriorError
        If there is none of that name.
    """
    if name not in SCHEMES:
        raise PriorError(
            f"There is no prior scheme {name!r}.{nearest(name, SCHEMES)} The schemes are "
            f"{', '.join(SCHEMES)}; single priors are given by a mapping such as "
            "{'sigma': 'HalfCauchy(10)'}."
        )
    return SCHEMES[name]
