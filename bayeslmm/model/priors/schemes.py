r"""Priors by rule: what other packages would choose for this model on these data.

A scheme is a name and a rule, `Design` -> priors by key, as in `resolve_priors`. In the formulas
:math:`s_y` is the standard deviation of the response (less its offset) and :math:`s_k` that of
column k, dummy columns included; where a column does not vary, its root mean square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import PriorError, nearest
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.priors.defaults import default_priors, root_mean_weight, unit
from bayeslmm.model.priors.prior import Prior, PriorLike

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale

# 100 standard deviations: over the likelihood's few, such a prior varies by less than 0.1 %.
_WIDE = 100.0


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


def brms(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow brms 2.23: one Student-t scale for everything.

    With s = max(2.5, round(mad(y), 1)), mad including the factor 1.4826: intercept
    StudentT(3, round(median(y), 1), s); sigma and every random-effect sd, of slopes too and
    whatever their units, HalfStudentT(3, 0, s); correlations LKJ(1).

    Not reproduced: flat coefficients, because a flat prior has no draws; they get
    Normal(0, 100 :math:`s_y / s_k`) (centered as in `default_priors` where there is no intercept).
    The response is taken less its offset.

    References
    ----------
    .. [1] Bürkner (2017). brms. Journal of Statistical Software 80(1). doi:10.18637/jss.v080.i01

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> brms(design)["beta[Intercept]"]
    Prior('StudentT(nu=3, mu=288.7, sigma=59.3)')
    """
    y = _response_rows(design)
    median = float(np.median(y))
    mad = 1.4826 * float(np.median(np.abs(y - median)))
    scale = max(2.5, round(mad, 1))
    half_t = Prior.of("HalfStudentT", nu=3.0, sigma=scale)
    chosen = _wide_coefficients(design)
    if names.INTERCEPT in design.coef:
        intercept = Prior.of("StudentT", nu=3.0, mu=round(median, 1), sigma=scale)
        chosen[_coef(names.INTERCEPT)] = intercept
    return chosen | {"sd": half_t, "corr": "LKJ(1)", names.SIGMA: half_t}


def rstanarm(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow rstanarm 2.32's autoscaled priors.

    Intercept Normal(mean(y), 2.5 :math:`s_y`), coefficients Normal(0, 2.5 :math:`s_y / s_k`), sigma
    Exponential(1 / :math:`s_y`), correlations LKJ(1) (decov's regularization 1).

    Not reproduced: decov(1, 1, 1, 1) for the random-effect sds, which ties them to sigma and to
    each other. There the variances of a term's q columns are sigma^2 times q tau^2 times a uniform
    simplex, tau ~ Gamma(1, 1). Here each sd is independently Exponential(1 / :math:`s_y`): decov's
    sigma tau with sigma at its prior mean and the simplex at its centre, whatever the columns'
    units. For q = 1 and sigma = :math:`s_y` it is decov exactly.

    References
    ----------
    .. [1] Goodrich, Gabry, Ali & Brilleman. rstanarm: Bayesian applied regression modeling via
       Stan, vignette "Prior distributions for rstanarm models".

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> rstanarm(design)["beta[Days]"]
    Prior('Normal(mu=0, sigma=48.8915)')
    """
    y = design.scales.response
    sd_y = y.scale()
    exponential = Prior.of("Exponential", lam=1 / sd_y)
    chosen = _normal_coefficients(design, 2.5 * sd_y, ddof=1)
    if names.INTERCEPT in design.coef:
        intercept = Prior.of("Normal", mu=y.mean, sigma=2.5 * sd_y)
        chosen[_coef(names.INTERCEPT)] = intercept
    return chosen | {"sd": exponential, "corr": "LKJ(1)", names.SIGMA: exponential}


def bambi(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow Bambi 0.21 (standard deviations with divisor n).

    Coefficients Normal(0, 2.5 :math:`s_y / s_k`) =: Normal(0, :math:`t_k`); intercept
    Normal(mean(y), t) with :math:`t^2 = (2.5 s_y)^2 + \sum_k t_k^2 \bar{x}_k^2`; sds of random
    intercepts HalfNormal(t), of random slopes HalfNormal(2.5 :math:`s_y / s_k`); sigma
    HalfStudentT(4, :math:`s_y`).

    Not reproduced: independent random effects. Bambi has no correlations; those of a correlated
    term keep this package's LKJ(2). Write ``||`` for Bambi's model.

    References
    ----------
    .. [1] Capretto et al. (2022). Bambi. Journal of Statistical Software 103(15).
       doi:10.18637/jss.v103.i15

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> bambi(design)["beta[Intercept]"]
    Prior('Normal(mu=298.508, sigma=261.009)')
    """
    scales = design.scales
    sd_y = scales.response.scale(ddof=0)
    width = 2.5 * sd_y
    chosen = _normal_coefficients(design, width, ddof=0)
    slopes = [
        (width / x.scale(ddof=0)) * x.mean
        for x, name in zip(scales.fixed, design.coef, strict=True)
        if name != names.INTERCEPT
    ]
    whole = float(np.sqrt(width**2 + np.sum(np.square(slopes))))
    if names.INTERCEPT in design.coef:
        mean = scales.response.mean
        chosen[_coef(names.INTERCEPT)] = Prior.of("Normal", mu=mean, sigma=whole)
    chosen |= _sds(
        design,
        lambda x, name: Prior.of(
            "HalfNormal",
            sigma=whole if name == names.INTERCEPT else width / x.scale(ddof=0),
        ),
    )
    return chosen | {names.SIGMA: Prior.of("HalfStudentT", nu=4.0, sigma=sd_y)}


def half_cauchy(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow the textbooks: normal coefficients, half-Cauchy scales.

    Coefficients Normal(0, 10 :math:`s_y / s_k`), intercept at the predictors' means
    Normal(mean(y), 10 :math:`s_y`), sds HalfCauchy(:math:`s_y / s_k`) (intercepts: :math:`s_y`),
    sigma HalfCauchy(:math:`s_y \sqrt{\bar{w}}`), w the weights, correlations LKJ(1).

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
    sd_y, root = design.scales.response.scale(), root_mean_weight(design.scales)
    chosen = _wide_coefficients(design, 10.0)
    chosen |= _sds(design, lambda x, name: Prior.of("HalfCauchy", beta=sd_y / unit(x, name)))
    return chosen | {"corr": "LKJ(1)", names.SIGMA: Prior.of("HalfCauchy", beta=sd_y * root)}


def flat(design: ModelData) -> dict[str, PriorLike]:
    r"""Be as flat as a proper prior can be, for comparison with REML.

    Coefficients Normal(0, 100 :math:`s_y / s_k`), intercept at the predictors' means
    Normal(mean(y), 100 :math:`s_y`), sds and sigma HalfNormal with 100 times the scale
    (:math:`s_y / s_k`; intercepts :math:`s_y`; sigma :math:`s_y \sqrt{\bar{w}}`, w the weights),
    correlations LKJ(1).

    The joint mode of the sds, correlations and sigma, fixed effects integrated out, is then REML's
    estimate. Means are not: with few levels a flat prior on an sd leaves it a long right tail, and
    with two or three levels the result hangs on the prior's width (Gelman 2006).

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
    wide = _WIDE * design.scales.response.scale()
    chosen = _wide_coefficients(design)
    chosen |= _sds(design, lambda x, name: Prior.of("HalfNormal", sigma=wide / unit(x, name)))
    return chosen | {"corr": "LKJ(1)", names.SIGMA: Prior.of("HalfNormal", sigma=wide * root)}


SCHEMES: Mapping[str, PriorScheme] = {
    rule.__name__: PriorScheme(rule.__name__, rule)
    for rule in (weakly_informative, brms, rstanarm, bambi, half_cauchy, flat)
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


def _coef(name: str) -> str:
    return f"{names.BETA}[{name}]"


def _normal_coefficients(design: ModelData, width: float, ddof: int) -> dict[str, PriorLike]:
    return {
        _coef(name): Prior.of("Normal", mu=0.0, sigma=width / x.scale(ddof))
        for x, name in zip(design.scales.fixed, design.coef, strict=True)
        if name != names.INTERCEPT
    }


def _wide_coefficients(design: ModelData, width: float = _WIDE) -> dict[str, PriorLike]:
    """Return the default normal priors with `width` in place of 2.5 standard deviations."""
    chosen: dict[str, PriorLike] = {}
    for name, prior in zip(design.coef, default_priors(design).beta, strict=True):
        mu, sigma = prior.numbers
        chosen[_coef(name)] = Prior.of("Normal", mu=mu, sigma=sigma * width / 2.5)
    return chosen


def _sds(design: ModelData, prior: Callable[[ColumnScale, str], Prior]) -> dict[str, PriorLike]:
    return {
        sd_name: prior(column, term)
        for factor, columns in zip(design.factors, design.scales.random, strict=True)
        for sd_name, column, term in zip(
            covariance_of(factor).sd_names, columns, factor.terms, strict=True
        )
    }


def _response_rows(design: ModelData) -> NDArray[np.float64]:
    """Return the response less its offset, shape (n,): medians need the rows themselves."""
    if not design.has_rows:
        raise PriorError(
            "The scheme 'brms' takes the median of the response, which cross-products do not "
            "tell. Choose another scheme, or write its priors out: StudentT(3, median, s) for the "
            "intercept and HalfStudentT(3, s) for sigma and every sd."
        )
    y = design.response_rows
    return y if design.offset is None else y - design.offset
