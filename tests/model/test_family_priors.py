"""Default priors on the scale of each family's link, against numbers worked by hand."""

import math

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import DataError, PriorError
from bayeslmm.model.priors.priors import Priors
from bayeslmm.names import INTERCEPT

X = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
SD_X = math.sqrt(3.5)
G = list("aabbcc")
EXPOSURE = np.array([1.0, 2.0, 4.0, 1.0, 2.0, 2.0])
Y01 = np.array([0, 1, 1, 0, 1, 1])
COUNTS = np.array([0, 3, 4, 1, 2, 8])
TRIALS = np.array([5, 5, 5, 10, 10, 15])
POSITIVE = np.array([0.5, 1.0, 2.0, 1.5, 4.0, 3.0])
SHARES = np.array([0.1, 0.3, 0.5, 0.7, 0.2, 0.6])


def priors(y, formula="y ~ x + (x | g)", given=None, **how):
    table = {"y": y, "x": X, "g": G, "exposure": EXPOSURE, "n": TRIALS}
    return bl.resolve_priors(bl.build_design(formula, table, **how), given)


def normal(prior):
    assert prior.family == "Normal"
    return list(prior.numbers)


def cloglog(p):
    return math.log(-math.log1p(-p))


# Half a success is added, and half a failure: (4 + 0.5) / (6 + 1), (18 + 0.5) / (50 + 1).
P, Q = 4.5 / 7, 18.5 / 51
PROBIT_P = 0.366106356800570  # the normal quantile of 4.5 / 7
LEVELS = {
    "bernoulli": (Y01, {}, math.log(P / (1 - P)), 2.5),
    "bernoulli probit": (Y01, {"link": "probit"}, PROBIT_P, 1.5),
    "bernoulli cloglog": (Y01, {"link": "cloglog"}, cloglog(P), 2.5),
    "binomial": (COUNTS, {"trials": "n"}, math.log(Q / (1 - Q)), 2.5),
    "poisson": (COUNTS, {}, math.log(3.0), 2.5),
    "negbinomial": (COUNTS, {}, math.log(3.0), 2.5),
    "gamma": (POSITIVE, {}, math.log(2.0), 2.5),
    # The shares add up to 2.4.
    "beta": (SHARES, {}, math.log(2.9 / 4.1), 2.5),
}


@pytest.mark.parametrize("case", LEVELS)
def test_defaults_stand_on_the_links_scale(case):
    y, how, level, width = LEVELS[case]
    found = priors(y, family=case.split()[0], **how)
    assert normal(found.beta[0]) == pytest.approx([level, width])
    assert normal(found.beta[1]) == pytest.approx([0.0, width / SD_X])
    sds = [(prior.family, *prior.numbers) for prior in found.factors[0].sd]
    assert sds == [
        ("HalfStudentT", 3.0, width),
        ("HalfStudentT", 3.0, pytest.approx(width / SD_X)),
    ]
    assert found.factors[0].eta == 2.0


@pytest.mark.parametrize(
    ("family", "y", "parameters"),
    [
        ("bernoulli", Y01, {}),
        ("poisson", COUNTS, {}),
        ("negbinomial", COUNTS, {"shape": "InverseGamma(alpha=0.5, beta=0.5)"}),
        ("gamma", POSITIVE, {"shape": "InverseGamma(alpha=0.5, beta=0.5)"}),
        ("beta", SHARES, {"phi": "InverseGamma(alpha=0.5, beta=0.5)"}),
    ],
)
def test_families_have_their_parameters_priors_and_no_others(family, y, parameters):
    found = priors(y, family=family)
    assert {name: str(prior) for name, prior in found.parameters.items()} == parameters
    again = Priors.from_json(found.to_json())
    assert again == found
    listed = [name for name, _ in found.entries()]
    assert listed == ["Intercept", "x", "sd_g[Intercept]", "sd_g[x]", "corr_g", *parameters]


def test_the_prior_of_a_shape_is_half_normal_in_its_inverse_root():
    # P(shape > s) = P(1 / sqrt(shape) < 1 / sqrt(s)) = erf(1 / sqrt(2 s)).
    shape = priors(COUNTS, family="negbinomial").parameters["shape"]
    for quantile in (0.1, 0.5, 0.9):
        s = float(shape.quantile(np.array([quantile]))[0])
        assert math.erf(1 / math.sqrt(2 * s)) == pytest.approx(1 - quantile)


def test_student_has_the_gaussians_priors_and_one_of_nu():
    gaussian, student = priors(POSITIVE), priors(POSITIVE, family="student")
    assert student.beta == gaussian.beta
    assert student.sigma == gaussian.sigma
    assert list(student.parameters) == ["sigma", "nu"]
    assert str(student.parameters["nu"]) == "Gamma(alpha=2, beta=0.1)"


def test_the_lognormals_priors_are_those_of_the_logarithm():
    of_log = priors(POSITIVE, formula="log(y) ~ x + (x | g)")
    found = priors(POSITIVE, family="lognormal")
    assert found.beta == of_log.beta
    assert found.factors == of_log.factors
    assert dict(found.parameters) == dict(of_log.parameters)


def test_an_offset_of_exposures_leaves_the_rate():
    found = priors(COUNTS, "y ~ x + offset(log(exposure)) + (1 | g)", family="poisson")
    # 18 events in 12 units of exposure.
    assert normal(found.beta[0]) == pytest.approx([math.log(1.5), 2.5])


def test_an_offset_of_a_logit_is_taken_off_by_its_mean():
    found = priors(Y01, "y ~ x + offset(x)", family="bernoulli")
    assert normal(found.beta[0])[0] == pytest.approx(math.log(P / (1 - P)) - 2.5)


@pytest.mark.parametrize(
    ("family", "y", "level"),
    [
        ("bernoulli", np.zeros(6), math.log(0.5 / 6.5)),
        ("bernoulli", np.ones(6), math.log(6.5 / 0.5)),
        ("poisson", np.zeros(6), math.log(0.5 / 6)),
        ("negbinomial", np.zeros(6), math.log(0.5 / 6)),
        ("poisson", np.full(6, 7), math.log(7)),
        ("gamma", np.full(6, 7.0), math.log(7)),
        ("beta", np.full(6, 0.5), 0.0),
    ],
)
def test_responses_without_variation_have_a_finite_prior(family, y, level):
    found = priors(y, family=family)
    assert normal(found.beta[0]) == pytest.approx([level, 2.5])
    assert all(np.isfinite(prior.numbers).all() for _, prior in found.entries())


@pytest.mark.parametrize("n", [1, 10**6])
@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_no_or_only_successes_have_a_finite_prior_however_many(n, share, link):
    found = priors(np.full(6, n * share), family="binomial", link=link, trials=n)
    mean, width = normal(found.beta[0])
    assert np.isfinite(mean)
    assert width in (1.5, 2.5)


@pytest.mark.parametrize("family", ["student", "lognormal"])
def test_a_constant_response_has_no_scale_where_the_link_is_the_identity(family):
    with pytest.raises(DataError, match="no variation"):
        priors(np.full(6, 2.0), family=family)


def test_columns_without_an_intercept_carry_the_level():
    table = {"y": Y01, "f": list("uvuvuv")}
    found = bl.resolve_priors(bl.build_design("y ~ 0 + f", table, family="bernoulli"))
    level = math.log(P / (1 - P))
    # Each dummy of three ones in six has the sd sqrt(0.3).
    assert [normal(prior) for prior in found.beta] == [
        pytest.approx([level, 2.5 / math.sqrt(0.3)])
    ] * 2
    origin = bl.resolve_priors(bl.build_design("y ~ 0 + x", {"y": Y01, "x": X}, family="bernoulli"))
    assert normal(origin.beta[0]) == pytest.approx([0.0, 2.5 / math.sqrt(np.mean(X**2))])


def test_users_set_the_familys_parameters_by_their_names():
    found = priors(COUNTS, given={"shape": "Exponential(1)"}, family="negbinomial")
    assert str(found.parameters["shape"]) == "Exponential(lam=1)"
    assert found.origins["shape"] == "user"
    with pytest.raises(PriorError, match=r"includes negative values, but 'shape' is positive"):
        priors(COUNTS, given={"shape": "Normal(0, 1)"}, family="negbinomial")


@pytest.mark.parametrize("key", ["sigma", "shape", "nu"])
def test_parameters_that_the_family_lacks_are_refused_with_those_that_it_has(key):
    with pytest.raises(PriorError, match=f"no parameter '{key}'.*keys are '{INTERCEPT}', 'x'"):
        priors(Y01, given={key: "HalfNormal(1)"}, family="bernoulli")


def test_priors_of_another_family_are_not_taken():
    of_poisson = priors(COUNTS, family="poisson")
    with pytest.raises(PriorError, match="another model"):
        priors(COUNTS, given=of_poisson, family="negbinomial")
