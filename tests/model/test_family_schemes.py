"""Prior schemes of other families, against numbers of the packages' sources.

brms: R/priors.R, `def_scale_prior` and `def_dpar_prior`, and R/family-lists.R (negative binomial).
Bambi 0.21: bambi/priors/scaler.py and bambi/defaults. rstanarm: its vignette on priors.
"""

import math

import numpy as np
import pytest
import trees
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.errors import PriorError
from bayeslmm.families.registry import family_of
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.schemes import SCHEMES

SD_X = float(np.std(trees.TINY["x"], ddof=1))
SD_X_N = float(np.std(trees.TINY["x"]))
MEAN_X = float(trees.TINY["x"].mean())
COUNTS = [0.0, 3.0, 1.0, 4.0, 2.0, 7.0, 0.0, 1.0, 5.0]


def priors(scheme, family, *, link=None, formula=trees.TINY_FORMULA, **changes):
    data = trees.family_data(family) | changes
    trials = "size" if family in trees.OF_TRIALS else None
    design = bl.build_design(formula, data, family=family, link=link, trials=trials)
    return bl.resolve_priors(design, scheme)


def shown(found):
    return {name: str(prior) for name, prior in found.entries()}


def prior(text):
    return str(Prior.parse(text))


def test_brms_for_probabilities_is_the_same_whatever_the_data():
    for family, link in (("bernoulli", "logit"), ("binomial", "probit"), ("beta", "cloglog")):
        found = shown(priors("brms", family, link=link))
        assert found["Intercept"] == prior("StudentT(3, 0, 2.5)")
        assert found["sd_g[Intercept]"] == found["sd_g[x]"] == prior("HalfStudentT(3, 2.5)")
        assert found["corr_g"] == prior("LKJ(1)")
    assert found["phi"] == prior("Gamma(0.01, 0.01)")


def test_brms_for_counts_takes_median_and_spread_of_the_logarithm():
    # The median of the counts is 2: log 2 = 0.7; |log y - log 2| has the median log 2, and
    # 1.4826 log 2 = 1.0 is below 2.5.
    found = shown(priors("brms", "poisson"))
    assert found["Intercept"] == prior("StudentT(3, 0.7, 2.5)")
    wide = [0.0, 0.0, 0.0, 0.0, 1.0, 1000.0, 1000.0, 1000.0, 1000.0]
    # log 0.1 = -2.3 takes the place of log 0: median 0, and of |log y| log 10 and log 1000 the
    # median is log 10; 1.4826 log 10 = 3.4.
    found = shown(priors("brms", "negbinomial", y=wide))
    assert found["Intercept"] == prior("StudentT(3, 0.0, 3.4)")
    assert found["sd_g[x]"] == prior("HalfStudentT(3, 3.4)")
    assert found["shape"] == prior("InverseGamma(0.4, 0.3)")
    assert shown(priors("brms", "gamma"))["shape"] == prior("Gamma(0.01, 0.01)")


def test_brms_moves_the_intercept_by_the_mean_offset():
    found = priors("brms", "poisson", formula="y ~ x + offset(x) + (1 | g)")
    assert found.beta[0].numbers == pytest.approx([3.0, 0.7 - MEAN_X, 2.5])


def test_brms_for_student_and_lognormal_is_the_gaussians():
    gaussian, student = shown(priors("brms", "gaussian")), shown(priors("brms", "student"))
    assert student.pop("nu") == prior("Gamma(2, 0.1)")
    assert student == gaussian
    of_log = shown(priors("brms", "gaussian", formula="log(y) ~ x + (x | g)"))
    assert shown(priors("brms", "lognormal")) == of_log


@pytest.mark.parametrize(
    ("family", "link", "width"),
    [
        ("bernoulli", "logit", 2.5),
        ("binomial", "probit", 2.5 * math.sqrt(8 / math.pi)),
        ("binomial", "cloglog", 2.5),
        ("poisson", None, 2.5),
        ("gamma", None, 2.5),
        ("beta", "logit", 2.5),
    ],
)
def test_rstanarm_is_of_standardised_predictors(family, link, width):
    found = priors("rstanarm", family, link=link)
    assert found.beta[0].numbers == pytest.approx([0.0, width])
    assert found.beta[1].numbers == pytest.approx([0.0, width / SD_X])
    assert {str(sd) for sd in found.factors[0].sd} == {prior("Exponential(1)")}
    for parameter in found.parameters.values():
        assert str(parameter) == prior("Exponential(1)")


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "negbinomial", "gamma", "beta"])
def test_bambi_takes_mean_zero_and_sd_one(family):
    found = priors("bambi", family)
    slope = 2.5 / SD_X_N
    whole = math.hypot(2.5, slope * MEAN_X)
    assert found.beta[0].numbers == pytest.approx([0.0, whole])
    assert found.beta[1].numbers == pytest.approx([0.0, slope])
    assert [sd.numbers[0] for sd in found.factors[0].sd] == pytest.approx([whole, slope])
    for parameter in found.parameters.values():
        assert str(parameter) == prior("HalfCauchy(1)")


def test_bambi_scales_student_responses_as_gaussian_ones():
    gaussian, student = shown(priors("bambi", "gaussian")), shown(priors("bambi", "student"))
    assert student.pop("nu") == prior("Gamma(2, 0.1)")
    assert student == gaussian


@pytest.mark.parametrize(("link", "unit"), [("logit", 1.0), ("probit", 0.6), ("cloglog", 1.0)])
def test_half_cauchy_and_flat_are_in_units_of_the_link(link, unit):
    defaults = priors(None, "bernoulli", link=link)
    mean = defaults.beta[0].numbers[0]
    cauchy, flat = (priors(scheme, "bernoulli", link=link) for scheme in ("half_cauchy", "flat"))
    assert cauchy.beta[0].numbers == pytest.approx([mean, 10 * unit])
    assert cauchy.beta[1].numbers == pytest.approx([0, 10 * unit / SD_X])
    assert [sd.numbers[0] for sd in cauchy.factors[0].sd] == pytest.approx([unit, unit / SD_X])
    assert flat.beta[1].numbers == pytest.approx([0, 100 * unit / SD_X])
    assert flat.factors[0].sd[0].numbers == pytest.approx([100 * unit])


def test_half_cauchy_leaves_the_familys_parameters_to_the_defaults():
    found = priors("half_cauchy", "negbinomial")
    assert str(found.parameters["shape"]) == prior("InverseGamma(0.5, 0.5)")
    assert found.origins["shape"] == "default"


def test_probability_is_nearly_uniform_in_the_mean():
    for link, width in (("logit", 0.03), ("probit", 1e-9), ("cloglog", 0.08)):
        found = priors("probability", "bernoulli", link=link)
        at = bl.Bernoulli(link).link.link(np.linspace(0.1, 0.9, 9))
        mu, sigma = found.beta[0].numbers
        np.testing.assert_allclose(norm.cdf(at, mu, sigma), np.linspace(0.1, 0.9, 9), atol=width)
    sds = [sd.numbers[0] for sd in priors("probability", "beta").factors[0].sd]
    assert sds == pytest.approx([1.0, 1 / SD_X])


@pytest.mark.parametrize(
    ("scheme", "family", "message"),
    [
        ("rstanarm", "student", "'rstanarm': rstanarm has no family like 'student'"),
        ("rstanarm", "lognormal", "no family like 'lognormal'"),
        ("bambi", "lognormal", "Bambi has no family like 'lognormal'"),
        ("probability", "poisson", "'probability': it is for means between 0 and 1"),
        ("probability", "gaussian", "those of family='gaussian' are not"),
    ],
)
def test_schemes_refuse_what_they_have_no_priors_for(scheme, family, message):
    with pytest.raises(PriorError, match=message):
        priors(scheme, family)


OF_ZEROS = ("inflated", "hurdle", "truncated", "beta_binomial")
REFUSED = {
    ("rstanarm", "student"),
    ("rstanarm", "lognormal"),
    ("rstanarm", "weibull"),
    ("rstanarm", "exponential"),
    ("rstanarm", "shifted_lognormal"),
    ("rstanarm", "skew_normal"),
    ("bambi", "shifted_lognormal"),
    ("bambi", "skew_normal"),
    ("bambi", "lognormal"),
    *(("probability", family) for family in trees.ORDERED),
    *(
        ("rstanarm", family)
        for family in trees.RESPONSES
        if any(word in family for word in OF_ZEROS)
    ),
    *(
        ("bambi", family)
        for family in trees.RESPONSES
        if "inflated_beta" in family or "truncated" in family
    ),
    *(
        ("probability", family)
        for family in trees.RESPONSES
        if "logit" not in family_of(family).links
    ),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", trees.RESPONSES)
@pytest.mark.parametrize("formula", ["y ~ 0 + x + (0 + x | g)", "y ~ x", "y ~ 1 + (x || g)"])
def test_every_scheme_is_proper_or_refused(scheme, family, formula):
    if family in trees.ORDERED:  # which have thresholds in the place of an intercept
        formula = formula.replace("y ~ 0 +", "y ~ 1 +")
    if (scheme, family) in REFUSED:
        with pytest.raises(PriorError, match=scheme):
            priors(scheme, family, formula=formula)
        return
    found = priors(scheme, family, formula=formula)
    for _, one in found.entries():
        if one.family != "LKJ":
            assert np.isfinite(one.quantile([0.05, 0.5, 0.95])).all()
