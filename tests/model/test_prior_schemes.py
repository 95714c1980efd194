"""Prior schemes against numbers worked by hand on two tables.

sleepstudy: 180 rows, mean 298.50789, sd 56.328757 (n - 1) or 56.172069 (n), median 288.65080,
median absolute deviation 40.0 (with 1.4826: 59.3); Days takes 0..9 equally often: mean 4.5,
variance 8.25 (n). machines: 54 rows, mean 59.65, sd 8.0762580 or 8.0011284, median 61.6, median
absolute deviation 5.75 (8.525); a dummy of 18 ones has mean 1/3 and variance 2/9 (n).
"""

import math

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import PriorError
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.schemes import SCHEMES, PriorScheme

SLEEP_SD, SLEEP_SD_N = 56.328757, 56.172069
DAYS_SD, DAYS_SD_N = math.sqrt(8.25 * 180 / 179), math.sqrt(8.25)
SCORE_SD, SCORE_SD_N = 8.0762580, 8.0011284
DUMMY_SD, DUMMY_SD_N = math.sqrt(2 / 9 * 54 / 53), math.sqrt(2 / 9)
BAMBI_DAYS = 2.5 * SLEEP_SD_N / DAYS_SD_N
BAMBI_INTERCEPT = math.hypot(2.5 * SLEEP_SD_N, 4.5 * BAMBI_DAYS)
BAMBI_DUMMY = 2.5 * SCORE_SD_N / DUMMY_SD_N
BAMBI_SCORE = math.sqrt((2.5 * SCORE_SD_N) ** 2 + 2 * (BAMBI_DUMMY / 3) ** 2)
BAMBI_WORKER_DUMMY = BAMBI_DUMMY

SLEEP = {
    "brms": {
        "Intercept": ("StudentT", 3, 288.7, 59.3),
        "Days": ("Normal", 0, 100 * SLEEP_SD / DAYS_SD),
        "sd_Subject[Intercept]": ("HalfStudentT", 3, 59.3),
        "sd_Subject[Days]": ("HalfStudentT", 3, 59.3),
        "corr_Subject": ("LKJ", 1),
        "sigma": ("HalfStudentT", 3, 59.3),
    },
    "rstanarm": {
        "Intercept": ("Normal", 298.50789, 140.82189),
        "Days": ("Normal", 0, 2.5 * SLEEP_SD / DAYS_SD),
        "sd_Subject[Intercept]": ("Exponential", 1 / SLEEP_SD),
        "sd_Subject[Days]": ("Exponential", 1 / SLEEP_SD),
        "corr_Subject": ("LKJ", 1),
        "sigma": ("Exponential", 1 / SLEEP_SD),
    },
    "bambi": {
        "Intercept": ("Normal", 298.50789, BAMBI_INTERCEPT),
        "Days": ("Normal", 0, BAMBI_DAYS),
        "sd_Subject[Intercept]": ("HalfNormal", BAMBI_INTERCEPT),
        "sd_Subject[Days]": ("HalfNormal", BAMBI_DAYS),
        "corr_Subject": ("LKJ", 2),
        "sigma": ("HalfStudentT", 4, SLEEP_SD_N),
    },
    "half_cauchy": {
        "Intercept": ("Normal", 298.50789, 563.28757),
        "Days": ("Normal", 0, 10 * SLEEP_SD / DAYS_SD),
        "sd_Subject[Intercept]": ("HalfCauchy", SLEEP_SD),
        "sd_Subject[Days]": ("HalfCauchy", SLEEP_SD / DAYS_SD),
        "corr_Subject": ("LKJ", 1),
        "sigma": ("HalfCauchy", SLEEP_SD),
    },
    "flat": {
        "Intercept": ("Normal", 298.50789, 5632.8757),
        "Days": ("Normal", 0, 100 * SLEEP_SD / DAYS_SD),
        "sd_Subject[Intercept]": ("HalfNormal", 100 * SLEEP_SD),
        "sd_Subject[Days]": ("HalfNormal", 100 * SLEEP_SD / DAYS_SD),
        "corr_Subject": ("LKJ", 1),
        "sigma": ("HalfNormal", 100 * SLEEP_SD),
    },
}
MACHINES = {
    "weakly_informative": {
        "Intercept": ("Normal", 59.65, 2.5 * SCORE_SD),
        "Machine[T.B]": ("Normal", 0, 2.5 * SCORE_SD / DUMMY_SD),
        "sd_Worker[Intercept]": ("HalfStudentT", 3, SCORE_SD),
        "sd_Worker[Machine[T.C]]": ("HalfStudentT", 3, SCORE_SD / DUMMY_SD),
        "sigma": ("HalfStudentT", 3, SCORE_SD),
    },
    "brms": {
        "Intercept": ("StudentT", 3, 61.6, 8.5),
        "Machine[T.B]": ("Normal", 0, 100 * SCORE_SD / DUMMY_SD),
        "sd_Worker[Intercept]": ("HalfStudentT", 3, 8.5),
        "sd_Worker[Machine[T.C]]": ("HalfStudentT", 3, 8.5),
        "sigma": ("HalfStudentT", 3, 8.5),
    },
    "rstanarm": {
        "Intercept": ("Normal", 59.65, 2.5 * SCORE_SD),
        "Machine[T.B]": ("Normal", 0, 2.5 * SCORE_SD / DUMMY_SD),
        "sd_Worker[Intercept]": ("Exponential", 1 / SCORE_SD),
        "sd_Worker[Machine[T.C]]": ("Exponential", 1 / SCORE_SD),
        "sigma": ("Exponential", 1 / SCORE_SD),
    },
    "bambi": {
        "Intercept": ("Normal", 59.65, BAMBI_SCORE),
        "Machine[T.B]": ("Normal", 0, BAMBI_DUMMY),
        "sd_Worker[Intercept]": ("HalfNormal", BAMBI_SCORE),
        "sd_Worker[Machine[T.C]]": ("HalfNormal", BAMBI_WORKER_DUMMY),
        "sigma": ("HalfStudentT", 4, SCORE_SD_N),
    },
    "half_cauchy": {
        "Intercept": ("Normal", 59.65, 10 * SCORE_SD),
        "Machine[T.B]": ("Normal", 0, 10 * SCORE_SD / DUMMY_SD),
        "sd_Worker[Intercept]": ("HalfCauchy", SCORE_SD),
        "sd_Worker[Machine[T.C]]": ("HalfCauchy", SCORE_SD / DUMMY_SD),
        "sigma": ("HalfCauchy", SCORE_SD),
    },
    "flat": {
        "Intercept": ("Normal", 59.65, 100 * SCORE_SD),
        "Machine[T.B]": ("Normal", 0, 100 * SCORE_SD / DUMMY_SD),
        "sd_Worker[Intercept]": ("HalfNormal", 100 * SCORE_SD),
        "sd_Worker[Machine[T.C]]": ("HalfNormal", 100 * SCORE_SD / DUMMY_SD),
        "sigma": ("HalfNormal", 100 * SCORE_SD),
    },
}


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.build_design("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def machines():
    return bl.build_design("score ~ Machine + (Machine | Worker)", bl.load_dataset("machines"))


def assert_priors(design, scheme, expected):
    listed = dict(bl.resolve_priors(design, scheme).entries())
    for parameter, (family, *numbers) in expected.items():
        prior = listed[parameter]
        assert prior.family == family, parameter
        # The hand-worked standard deviations have eight digits.
        assert prior.numbers == pytest.approx(numbers, rel=2e-7), parameter


@pytest.mark.parametrize("scheme", SLEEP)
def test_schemes_by_hand_on_a_numeric_predictor(sleepstudy, scheme):
    assert_priors(sleepstudy, scheme, SLEEP[scheme])


@pytest.mark.parametrize("scheme", MACHINES)
def test_schemes_by_hand_on_dummy_columns(machines, scheme):
    assert_priors(machines, scheme, MACHINES[scheme])


def test_bambis_numbers_are_those_that_bambi_prints_for_sleepstudy(sleepstudy):
    # The documented output of Bambi for this model: 261.0092, 48.8915 and 56.1721.
    assert (round(BAMBI_INTERCEPT, 4), round(BAMBI_DAYS, 4)) == (261.0092, 48.8915)
    listed = dict(bl.resolve_priors(sleepstudy, "bambi").entries())
    assert round(listed["sigma"].numbers[1], 4) == 56.1721


def test_brms_never_goes_below_a_scale_of_two_and_a_half():
    table = {"y": np.array([0.1, 0.2, 0.3, 0.5, 0.2, 0.9]), "g": list("aabbcc")}
    priors = bl.resolve_priors(bl.build_design("y ~ 1 + (1 | g)", table), "brms")
    assert priors.sigma == Prior.parse("HalfStudentT(3, 2.5)")
    assert priors.beta[0] == Prior.parse("StudentT(3, 0.2, 2.5)")  # round(0.25, 1), half to even


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "probability"])
@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ 0 + Days + (0 + Days | Subject)",
        "Reaction ~ 0 + (1 | Subject)",
        "Reaction ~ Days + (Days || Subject)",
        "Reaction ~ Days",
        "Reaction ~ offset(Days) + (1 | Subject)",
    ],
)
def test_every_scheme_gives_proper_priors_for_every_kind_of_model(scheme, formula):
    design = bl.build_design(formula, bl.load_dataset("sleepstudy"))
    priors = bl.resolve_priors(design, scheme)
    for _, prior in priors.entries():
        if prior.family != "LKJ":
            assert np.isfinite(prior.quantile([0.05, 0.5, 0.95])).all()


def test_single_priors_stand_over_the_scheme_whatever_their_keys(sleepstudy):
    priors = bl.resolve_priors(sleepstudy, {"scheme": "half_cauchy", "sd": "HalfNormal(3)"})
    assert set(priors.factors[0].sd) == {Prior.parse("HalfNormal(3)")}
    assert priors.sigma.family == "HalfCauchy"
    origins = priors.describe()["origin"]
    assert origins["sd_Subject[Days]"] == "user"
    assert origins["sigma"] == "half_cauchy"


def test_what_a_scheme_leaves_out_keeps_the_default(sleepstudy):
    mine = PriorScheme("mine", lambda design: {"sd": "HalfNormal(9)", "corr": "LKJ(5)"})
    priors = bl.resolve_priors(sleepstudy, mine)
    assert priors.sigma == bl.resolve_priors(sleepstudy).sigma
    assert dict(priors.describe()["origin"]) == {
        "Intercept": "default",
        "Days": "default",
        "sd_Subject[Intercept]": "mine",
        "sd_Subject[Days]": "mine",
        "corr_Subject": "mine",
        "sigma": "default",
    }


def test_a_scheme_may_name_general_parameters_that_the_model_lacks():
    design = bl.build_design("Reaction ~ 0 + Days", bl.load_dataset("sleepstudy"))
    mine = PriorScheme("mine", lambda design: {"sd": "HalfNormal(9)", "Intercept": "Normal(0, 1)"})
    assert bl.resolve_priors(design, mine) is not None


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ("brsm", "no prior scheme 'brsm'. Did you mean 'brms'"),
        ({"scheme": "rstan"}, "Did you mean 'rstanarm'"),
        ({"scheme": 3}, r"'beta\[scheme\]'"),
        ({"shceme": "brms"}, "Did you mean 'scheme'"),
        (3, "not int"),
        (PriorScheme("mine", lambda design: {"sdd": "HalfNormal(1)"}), "scheme 'mine'.*'sdd'"),
        (
            PriorScheme("mine", lambda design: {"sd": "HalfNormal(x)"}),
            "scheme 'mine'.*only numbers",
        ),
    ],
)
def test_schemes_that_do_not_exist_are_refused(sleepstudy, priors, message):
    with pytest.raises(PriorError, match=message):
        bl.resolve_priors(sleepstudy, priors)


def test_scheme_priors_survive_json(sleepstudy):
    priors = bl.resolve_priors(sleepstudy, "brms")
    assert type(priors).from_json(priors.to_json()) == priors
