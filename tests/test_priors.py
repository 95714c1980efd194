"""Priors: reading them, their densities against SciPy and PyMC, defaults worked by hand."""

import math

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytensor.compile.mode import Mode
from scipy import integrate

import bayeslmm as bl
from bayeslmm.distributions import FAMILIES, Prior, lkj_log_density
from bayeslmm.errors import PriorError
from bayeslmm.prior_set import Priors

SLOW_BUT_INSTANT = Mode(linker="py", optimizer=None)
EXAMPLES = {
    "Normal": "Normal(1, 2)",
    "StudentT": "StudentT(3, 1, 2)",
    "Cauchy": "Cauchy(1, 2)",
    "Laplace": "Laplace(1, 2)",
    "Logistic": "Logistic(1, 2)",
    "TruncatedNormal": "TruncatedNormal(1, 2, 0, 5)",
    "Uniform": "Uniform(0, 4)",
    "HalfNormal": "HalfNormal(2)",
    "HalfCauchy": "HalfCauchy(2)",
    "HalfStudentT": "HalfStudentT(3, 2)",
    "Exponential": "Exponential(0.5)",
    "Gamma": "Gamma(2, 0.5)",
    "InverseGamma": "InverseGamma(3, 2)",
    "LogNormal": "LogNormal(0.5, 0.8)",
    "Weibull": "Weibull(1.5, 2)",
    "ChiSquared": "ChiSquared(4)",
}


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def design(sleepstudy):
    return bl.build_design("Reaction ~ Days + (Days | Subject)", sleepstudy)


def test_every_family_has_an_example():
    assert set(EXAMPLES) == set(FAMILIES)


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_a_priors_density_is_pymcs(text):
    prior = Prior.parse(text)
    x = np.array([0.3, 1.0, 2.7, 3.9])
    distribution = getattr(pm, prior.family).dist(**dict(prior.parameters))
    expected = pm.logp(distribution, x).eval(mode=SLOW_BUT_INSTANT)
    # PyTensor keeps constants such as log(2) in single precision: 2e-9 of each.
    np.testing.assert_allclose(prior.log_density(x), expected, atol=1e-8)


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_a_priors_quantiles_invert_its_probabilities(text):
    prior = Prior.parse(text)
    low, high = prior.quantile([0.2, 0.7])
    mass, _ = integrate.quad(lambda x: np.exp(prior.log_density(x)), low, high, epsabs=1e-12)
    assert mass == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_printing_and_reading_a_prior_is_the_identity(text):
    prior = Prior.parse(text)
    assert Prior.parse(str(prior)) == prior


def test_parameters_by_name_by_position_and_alternative():
    assert Prior.parse("Normal(sigma=2, mu=1)") == Prior.parse(" Normal(1, 2) ")
    assert Prior.parse("Exponential(scale=4)") == Prior.parse("Exponential(0.25)")
    assert Prior.parse("Gamma(mu=4, sigma=2)") == Prior.parse("Gamma(4, 1)")
    assert Prior.parse("Normal(-1e3, +2.5)").numbers == (-1000.0, 2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Normal(0, 10", "cannot be read"),
        ("", "cannot be read"),
        ("10", "is not a distribution"),
        ("pm.Normal(0, 1)", "is not a distribution"),
        ("Normla(0, 1)", "Did you mean 'Normal'"),
        ("Normal(0, 1, 2)", "gives 3 numbers"),
        ("Normal(0, sd=1)", "no parameter 'sd'"),
        ("Normal(0, mu=1)", "'mu' twice"),
        ("Normal(0, 1, sigma=2)", "'sigma' twice"),
        ("HalfStudentT(sigma=1)", "needs a value for nu"),
        ("Normal(0, -1)", "sigma must be positive, not -1"),
        ("Normal(0, 0)", "sigma must be positive, not 0"),
        ("Normal(inf, 1)", "must be a finite number"),
        ("Uniform(2, 1)", "lower < upper"),
        ("Normal(x, 1)", "only numbers"),
        ("Normal(__import__('os').getcwd(), 1)", "only numbers"),
        ("Normal(*[0, 1])", "only numbers"),
        ("Normal(**{'mu': 0})", r"uses '\*\*'"),
        ("Normal(True, 1)", "only numbers"),
    ],
)
def test_what_cannot_be_a_prior_is_refused_by_its_reason(text, message):
    with pytest.raises(PriorError, match=message):
        Prior.parse(text)


PIECES = st.one_of(
    st.sampled_from(
        [
            *FAMILIES,
            "LKJ",
            "Normal",
            "(",
            ")",
            ",",
            "=",
            "-",
            "+",
            "mu",
            "sigma",
            "lambda: 0",
            "__import__('os')",
            "inf",
            "nan",
            "1e400",
            "0",
            "3",
            " ",
            "**",
            "[",
            "]",
            "'",
            ".",
            ":=",
            "\n",
            "\x00",
        ]
    ),
    st.floats().map(str),
    st.text(max_size=6),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=10).map("".join))
def test_no_text_raises_anything_but_a_prior_error(text):
    try:
        prior = Prior.parse(text)
    except PriorError:
        return
    assert Prior.parse(str(prior)).family == prior.family


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_numbers_survive_the_json_exactly(mu, sigma):
    prior = Prior.of("Normal", mu=mu, sigma=sigma)
    priors = Priors(("Intercept",), (prior,), (0.0,), (), Prior.parse("HalfNormal(1)"), {})
    assert Priors.from_json(priors.to_json()) == priors


def test_text_is_never_executed(tmp_path):
    victim = tmp_path / "made"
    with pytest.raises(PriorError):
        Prior.parse(f"Normal(open({str(victim)!r}, 'w').write('x'), 1)")
    assert not victim.exists()


def test_the_lkj_density_integrates_to_one_over_three_correlations():
    rng = np.random.default_rng(0)
    # Importance sampling over the cube (-1, 1)^3: 4 Monte Carlo standard errors of 2e5 points.
    r = rng.uniform(-1, 1, size=(200_000, 3))
    corr = np.tile(np.eye(3), (len(r), 1, 1))
    for k, (i, j) in enumerate([(1, 0), (2, 0), (2, 1)]):
        corr[:, i, j] = corr[:, j, i] = r[:, k]
    inside = np.linalg.eigvalsh(corr)[:, 0] > 0
    density = np.zeros(len(r))
    density[inside] = np.exp(lkj_log_density(corr[inside], 2.0))
    values = 8 * density
    assert abs(values.mean() - 1) <= 4 * values.std() / math.sqrt(len(r))


def test_the_defaults_by_hand(design, sleepstudy):
    y, x = sleepstudy["Reaction"].to_numpy(), sleepstudy["Days"].to_numpy()
    s_y, s_x = y.std(ddof=1), x.std(ddof=1)
    priors = bl.resolve_priors(design)
    listed = {name: (prior.family, prior.numbers) for name, prior in priors.entries()}
    assert listed == {
        "Intercept": ("Normal", (y.mean(), 2.5 * s_y)),
        "Days": ("Normal", (0.0, 2.5 * s_y / s_x)),
        "sd_Subject[Intercept]": ("HalfStudentT", (3.0, s_y)),
        "sd_Subject[Days]": ("HalfStudentT", (3.0, s_y / s_x)),
        "corr_Subject": ("LKJ", (2.0,)),
        "sigma": ("HalfStudentT", (3.0, s_y)),
    }
    # 56.33 ms and 2.88 days: the numbers a reader can check in the table.
    assert (round(s_y, 2), round(s_x, 2)) == (56.33, 2.88)


def test_without_an_intercept_categories_are_centered_at_the_responses_mean():
    machines = bl.load_dataset("machines")
    priors = bl.resolve_priors(bl.build_design("score ~ 0 + Machine + (1 | Worker)", machines))
    means = [prior.numbers[0] for prior in priors.beta]
    np.testing.assert_allclose(means, machines["score"].mean(), rtol=1e-10)


def test_regression_through_the_origin_scales_by_root_mean_squares(sleepstudy):
    priors = bl.resolve_priors(bl.build_design("Reaction ~ 0 + Days + (1 | Subject)", sleepstudy))
    y, x = sleepstudy["Reaction"].to_numpy(), sleepstudy["Days"].to_numpy()
    expected = 2.5 * math.sqrt((y**2).mean() / (x**2).mean())
    assert priors.beta[0].numbers == pytest.approx((0.0, expected))


def test_the_most_specific_key_wins(design):
    priors = bl.resolve_priors(
        design,
        {
            "beta": "Normal(0, 5)",
            "sd": "HalfNormal(7)",
            "sd_Subject[Days]": "Exponential(0.1)",
            "corr": "LKJ(4)",
        },
    )
    listed = {name: str(prior) for name, prior in priors.entries()}
    assert listed["Days"] == "Normal(mu=0, sigma=5)"
    assert listed["Intercept"].startswith("Normal(mu=298.5")
    assert listed["sd_Subject[Intercept]"] == "HalfNormal(sigma=7)"
    assert listed["sd_Subject[Days]"] == "Exponential(lam=0.1)"
    assert listed["corr_Subject"] == "LKJ(eta=4)"
    origins = priors.describe()["origin"]
    assert origins["sd_Subject[Days]"] == "user"
    assert origins["sigma"] == "default"


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"sigm": "HalfNormal(1)"}, "Did you mean 'sigma'"),
        ({"sd_subject": "HalfNormal(1)"}, "Did you mean 'sd_Subject'"),
        ({"corr_Batch": "LKJ(2)"}, "keys are 'Intercept', 'Days', 'beta', 'sd', 'sd_Subject'"),
        ({"sd": "Normal(0, 1)"}, "includes negative values, but 'sd' is a standard deviation"),
        ({"sigma": "Uniform(-1, 1)"}, "includes negative values"),
        ({"corr": "Normal(0, 1)"}, "must be LKJ"),
        ({"Days": "LKJ(2)"}, "a distribution of numbers, not LKJ"),
        ({"sigma": 3}, "must be text such as"),
        ({3: "Normal(0, 1)"}, "parameter names"),
        ({"sigma": "HalfNormal"}, r"priors\['sigma'\]: The prior 'HalfNormal'"),
        ("HalfNormal(1)", "must be a mapping"),
    ],
)
def test_priors_that_do_not_suit_the_model_are_refused(design, priors, message):
    with pytest.raises(PriorError, match=message):
        bl.resolve_priors(design, priors)


def test_the_correlations_key_is_unknown_where_nothing_is_correlated(sleepstudy):
    design = bl.build_design("Reaction ~ Days + (1 | Subject)", sleepstudy)
    with pytest.raises(PriorError, match="no parameter 'corr'"):
        bl.resolve_priors(design, {"corr": "LKJ(2)"})


def test_resolved_priors_belong_to_their_model(design, sleepstudy):
    priors = bl.resolve_priors(design)
    assert bl.resolve_priors(design, priors) is priors
    other = bl.build_design("Reaction ~ Days + (1 | Subject)", sleepstudy)
    with pytest.raises(PriorError, match="another model"):
        bl.resolve_priors(other, priors)


def test_centering_moves_the_intercept_and_back(design):
    priors = bl.resolve_priors(design)
    beta = np.array([[250.0, 10.0]])
    assert priors.centered_beta(beta)[0] == pytest.approx([250 + 4.5 * 10, 10])
    np.testing.assert_allclose(priors.raw_beta(priors.centered_beta(beta)), beta, rtol=1e-14)


def test_the_log_prior_of_draws_by_hand(design):
    priors = bl.resolve_priors(design, {"corr": "LKJ(3)"})
    corr = np.array([[1.0, 0.4], [0.4, 1.0]])
    draws = {
        "beta": np.array([250.0, 10.0]),
        "sigma": np.array(25.0),
        "sd_Subject": np.array([24.0, 6.0]),
        "corr_Subject": corr,
    }
    result = priors.log_densities(draws)
    listed = dict(priors.entries())
    assert result["beta"] == pytest.approx(
        listed["Intercept"].log_density(295.0) + listed["Days"].log_density(10.0)
    )
    # For two columns LKJ(eta) is a Beta(eta, eta) on (1 + r) / 2: here (1 - r^2)^2 * 15 / 16.
    assert np.exp(result["corr_Subject"]) == pytest.approx((1 - 0.16) ** 2 * 15 / 16)
    assert set(result) == {"beta", "sd_Subject", "corr_Subject", "sigma"}


def test_a_constant_response_has_no_scale_for_priors():
    table = pd.DataFrame({"y": [2.0] * 6, "g": list("aabbcc")})
    with pytest.warns(bl.DataWarning), pytest.raises(bl.DataError, match="same value in every row"):
        bl.resolve_priors(bl.build_design("y ~ 1 + (1 | g)", table))
