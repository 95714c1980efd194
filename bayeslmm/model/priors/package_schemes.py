"""What brms, rstanarm and Bambi would choose; see `bayeslmm.model.priors.schemes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import PriorError
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.model.priors.prior import Prior, PriorLike
from bayeslmm.model.priors.scheme_parts import coef_key, sds_of, wide_coefficients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.design.model_data import ModelData

# The normal density at zero over the logistic one: how much wider rstanarm makes probit priors.
_PROBIT = 1.5957691216057308
_SHAPE: Mapping[str, PriorLike] = {"shape": "InverseGamma(0.4, 0.3)"}
_VAGUE: Mapping[str, PriorLike] = {"shape": "Gamma(0.01, 0.01)", "phi": "Gamma(0.01, 0.01)"}
_BRMS_PARAMETERS: Mapping[str, Mapping[str, PriorLike]] = {
    **dict.fromkeys(("gamma", "weibull", "inverse_gaussian", "hurdle_gamma"), _VAGUE),
    "student": {"nu": "Gamma(2, 0.1)"},
    "skew_normal": {"alpha": "Normal(0, 4)"},
}
_INFLATED_BETA = ("zero_inflated_beta", "zero_one_inflated_beta")
_TRUNCATED = ("truncated_poisson", "truncated_negbinomial")
_NOT_IN_BAMBI = (
    "lognormal", "shifted_lognormal", "skew_normal", *_INFLATED_BETA, *_TRUNCATED,
)  # fmt: skip
_NOT_IN_RSTANARM = (
    "student", "skew_normal", "lognormal", "shifted_lognormal", "weibull", "exponential",
    "beta_binomial", "zero_inflated_poisson", "zero_inflated_negbinomial",
    "zero_inflated_binomial", "hurdle_poisson", "hurdle_negbinomial", "hurdle_gamma",
    "hurdle_lognormal", *_INFLATED_BETA, *_TRUNCATED,
)  # fmt: skip
# Whatever the family; shares have Beta(1, 1), as here.
_BRMS_OTHERS = {**_VAGUE, **_SHAPE}


def brms(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow brms 2.23: one Student-t scale for everything.

    Under the log link y is log(y) (of 0.1 for zeros), less the mean of the offset; under logit,
    probit and cloglog the intercept is StudentT(3, 0, 2.5) and s = 2.5. Shape of the negative
    binomial InverseGamma(0.4, 0.3), of other positive families, and phi of the beta, Gamma(0.01,
    0.01), nu Gamma(2, 0.1), alpha Normal(0, 4).

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
    median, scale = _brms_scale(design)
    half_t = Prior.of("HalfStudentT", nu=3.0, sigma=scale)
    chosen = wide_coefficients(design)
    if names.INTERCEPT in design.coef:
        intercept = Prior.of("StudentT", nu=3.0, mu=median, sigma=scale)
        chosen[coef_key(names.INTERCEPT)] = intercept
    own = {**_BRMS_OTHERS, **_BRMS_PARAMETERS.get(uncensored(design.family).name, {})}
    known = [parameter.name for parameter in design.family.parameters]
    of_family = {name: prior for name, prior in own.items() if name in known}
    return chosen | {"sd": half_t, "corr": "LKJ(1)", names.SIGMA: half_t} | of_family


def rstanarm(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow rstanarm 2.32's autoscaled priors.

    For families other than the Gaussian with mean(y) = 0 and :math:`s_y = 1` (probit 1.596, the
    quotient of the two densities at zero): intercept Normal(0, 2.5); shape and phi Exponential(1).
    It has no family of Student-t or skew normal responses, of positive ones the gamma and the
    inverse Gaussian alone, and none with zeros of their own.

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
    _require_family(design, "rstanarm", lacks=_NOT_IN_RSTANARM)
    y = design.scales.response
    mean, sd_y, width = y.mean, y.scale(), 1.0
    if uncensored(design.family).name != GAUSSIAN.name:
        mean, sd_y, width = 0.0, 1.0, _PROBIT if design.family.link.name == "probit" else 1.0
    exponential = Prior.of("Exponential", lam=1 / sd_y)
    chosen = _normal_coefficients(design, 2.5 * sd_y * width, ddof=1)
    if names.INTERCEPT in design.coef:
        intercept = Prior.of("Normal", mu=mean, sigma=2.5 * sd_y * width)
        chosen[coef_key(names.INTERCEPT)] = intercept
    # Of ordered categories rstanarm has the Dirichlet prior that is the default here, too.
    positive = () if design.family.response.ordered else design.family.parameters
    of_family = {parameter.name: exponential for parameter in positive}
    return chosen | {"sd": exponential, "corr": "LKJ(1)", **of_family}


def bambi(design: ModelData) -> dict[str, PriorLike]:
    r"""Follow Bambi 0.21 (standard deviations with divisor n).

    Coefficients Normal(0, 2.5 :math:`s_y / s_k`) =: Normal(0, :math:`t_k`); intercept
    Normal(mean(y), t) with :math:`t^2 = (2.5 s_y)^2 + \sum_k t_k^2 \bar{x}_k^2`; sds of random
    intercepts HalfNormal(t), of random slopes HalfNormal(2.5 :math:`s_y / s_k`); sigma
    HalfStudentT(4, :math:`s_y`), nu Gamma(2, 0.1). For families other than these with mean(y) = 0
    and :math:`s_y = 1`, whatever the link; shape and phi (alpha and kappa there) HalfCauchy(1),
    probabilities of zeros (one less psi there) Beta(2, 2). It has no lognormal family, shifted or
    not, no skew normal, and no beta with zeros.

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
    _require_family(design, "Bambi", lacks=_NOT_IN_BAMBI)
    scales = design.scales
    scaled = uncensored(design.family).name in {GAUSSIAN.name, "student"}
    sd_y = scales.response.scale(ddof=0) if scaled else 1.0
    width = 2.5 * sd_y
    chosen = _normal_coefficients(design, width, ddof=0)
    slopes = [
        (width / x.scale(ddof=0)) * x.mean
        for x, name in zip(scales.fixed, design.coef, strict=True)
        if name != names.INTERCEPT
    ]
    whole = float(np.sqrt(width**2 + np.sum(np.square(slopes))))
    if names.INTERCEPT in design.coef:
        mean = scales.response.mean if scaled else 0.0
        chosen[coef_key(names.INTERCEPT)] = Prior.of("Normal", mu=mean, sigma=whole)
    chosen |= sds_of(
        design,
        lambda x, name: Prior.of(
            "HalfNormal",
            sigma=whole if name == names.INTERCEPT else width / x.scale(ddof=0),
        ),
    )
    half_t = Prior.of("HalfStudentT", nu=4.0, sigma=sd_y)
    own: dict[str, PriorLike] = {
        names.SIGMA: half_t, "nu": "Gamma(2, 0.1)", "zi": "Beta(2, 2)", "hu": "Beta(2, 2)"
    }  # fmt: skip
    if design.family.name == "hurdle_lognormal":
        own[names.SIGMA] = "HalfNormal(1)"
    # Bambi orders thresholds that are normal; here their default prior stays.
    for parameter in () if design.family.response.ordered else design.family.parameters:
        chosen[parameter.name] = own.get(parameter.name, "HalfCauchy(1)")
    return chosen


def _normal_coefficients(design: ModelData, width: float, ddof: int) -> dict[str, PriorLike]:
    return {
        coef_key(name): Prior.of("Normal", mu=0.0, sigma=width / x.scale(ddof))
        for x, name in zip(design.scales.fixed, design.coef, strict=True)
        if name != names.INTERCEPT
    }


def _require_family(design: ModelData, package: str, *, lacks: tuple[str, ...]) -> None:
    """Raise where a package has no such family, and so no priors for it."""
    if (name := uncensored(design.family).name) in lacks:
        raise PriorError(
            f"{package} has no family like {name!r}. Take another scheme, or give single priors."
        )


def _brms_scale(design: ModelData) -> tuple[float, float]:
    """Return location and scale of brms's Student-t priors."""
    link = design.family.link.name
    if link not in {"identity", "log"}:
        return 0.0, 2.5
    y = _response_rows(design)
    if link == "log":
        y = np.log(np.where(design.response_rows == 0, 0.1, design.response_rows))
    median = float(np.median(y))
    mad = 1.4826 * float(np.median(np.abs(y - median)))
    offset = design.offset if link == "log" else None
    moved = 0.0 if offset is None else float(offset.mean())
    return round(median, 1) - moved, max(2.5, round(mad, 1))


def _response_rows(design: ModelData) -> NDArray[np.float64]:
    """Return the response less its offset, shape (n,): medians need the rows themselves."""
    if not design.has_rows:
        raise PriorError(
            "The scheme 'brms' takes the median of the response, which cross-products do not "
            "tell. Choose another scheme, or write its priors out: StudentT(3, median, s) for the "
            "intercept and HalfStudentT(3, s) for sigma and every sd."
        )
    y, offset = design.coded_rows.responses_of_eta
    return y if offset is None else y - offset
