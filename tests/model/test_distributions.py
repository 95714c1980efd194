"""Distributions of priors: reading them, and their numbers against PyMC and SciPy."""

import math

import numpy as np
import pymc as pm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymc.distributions import continuous
from pytensor.compile.mode import Mode
from scipy import integrate

from bayeslmm.errors import PriorError
from bayeslmm.model.priors.distributions import FAMILIES, POWERS
from bayeslmm.model.priors.prior import Prior

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
    "SkewNormal": "SkewNormal(2, 1, 2)",
    "SkewStudentT": "SkewStudentT(3, 5, 1, 2)",
    "AsymmetricLaplace": "AsymmetricLaplace(0.7, 1, 2)",
    "ExGaussian": "ExGaussian(1, 2, 3)",
    "Gumbel": "Gumbel(1, 2)",
    "Moyal": "Moyal(1, 2)",
    "Triangular": "Triangular(0, 5, 2)",
    "Pareto": "Pareto(3, 0.2)",
    "Rice": "Rice(1, 2)",
    "Wald": "Wald(1, 2, 0.1)",
    "Beta": "Beta(2, 3)",
    "Kumaraswamy": "Kumaraswamy(2, 3)",
    "LogitNormal": "LogitNormal(0.5, 0.8)",
}


ON_THE_UNIT_INTERVAL = {"Beta", "Kumaraswamy", "LogitNormal"}


# Improper, no numbers as parameters, angles, and a density that is an infinite series.
NO_PRIORS_HERE = {"Flat", "HalfFlat", "Interpolated", "VonMises", "PolyaGamma"}


def test_every_family_has_an_example():
    assert set(EXAMPLES) == set(FAMILIES)


def test_every_continuous_distribution_of_pymc_is_a_family_or_known_not_to_suit():
    assert set(FAMILIES) | NO_PRIORS_HERE == set(continuous.__all__)
    assert not set(FAMILIES) & NO_PRIORS_HERE


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_a_priors_density_is_pymcs(text):
    prior = Prior.parse(text)
    x = np.array([0.3, 1.0, 2.7, 3.9])
    if prior.family in ON_THE_UNIT_INTERVAL:
        x = np.array([0.05, 0.3, 0.98, 1.2])
    distribution = getattr(pm, prior.family).dist(**dict(prior.parameters))
    expected = pm.logp(distribution, x).eval(mode=SLOW_BUT_INSTANT)
    # PyTensor keeps constants such as log(2) in single precision: 2e-8 of each, and the skewed
    # Student's t takes seven of them here.
    np.testing.assert_allclose(prior.log_density(x), expected, atol=1e-6)


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_a_priors_quantiles_invert_its_probabilities(text):
    prior = Prior.parse(text)
    low, high = prior.quantile([0.2, 0.7])
    mass, _ = integrate.quad(lambda x: np.exp(prior.log_density(x)), low, high, epsabs=1e-12)
    assert mass == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_a_priors_draws_have_its_quantiles(text):
    prior = Prior.parse(text)
    draws = prior.draw(4000, np.random.default_rng(1))
    below = (draws[:, None] < prior.quantile([0.1, 0.5, 0.9])).mean(axis=0)
    # 4.5 binomial standard errors at 1/2, where they are largest: 29 families, three levels each.
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=4.5 * 0.5 / math.sqrt(4000))


@pytest.mark.parametrize(
    "text",
    [EXAMPLES[family] for family in POWERS if family != "LKJ"],
)
@pytest.mark.parametrize("alpha", [0.8, 1.25])
def test_a_powered_prior_is_the_density_to_that_power(text, alpha):
    prior = Prior.parse(text)
    x = prior.quantile([0.1, 0.35, 0.6, 0.9])
    ratio = prior.powered(alpha).log_density(x) - alpha * prior.log_density(x)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-11)


def test_powers_without_a_proper_distribution_are_refused():
    with pytest.raises(PriorError, match="no proper distribution"):
        Prior.parse("HalfCauchy(1)").powered(0.5)
    with pytest.raises(PriorError, match="no distribution with a name"):
        Prior.parse("Weibull(2, 1)").powered(2)
    assert Prior.parse("LKJ(3)").powered(2) == Prior.parse("LKJ(5)")


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_printing_and_reading_a_prior_is_the_identity(text):
    prior = Prior.parse(text)
    assert Prior.parse(str(prior)) == prior


@pytest.mark.parametrize(
    "parameters",
    [
        ("Normal", {"mu": 1, "tau": 4}),
        ("HalfNormal", {"tau": 4}),
        ("StudentT", {"nu": 3, "mu": 1, "lam": 4}),
        ("HalfStudentT", {"nu": 3, "lam": 4}),
        ("Exponential", {"scale": 4}),
        ("Gamma", {"mu": 4, "sigma": 2}),
        ("InverseGamma", {"mu": 4, "sigma": 2}),
        ("Beta", {"mu": 0.4, "sigma": 0.2}),
        ("Beta", {"mu": 0.4, "nu": 5}),
        ("Wald", {"mu": 1, "phi": 2}),
        ("Wald", {"lam": 3, "phi": 2}),
        ("Rice", {"b": 1.5, "sigma": 2}),
        ("AsymmetricLaplace", {"q": 0.3, "mu": 1, "b": 2}),
    ],
    ids=str,
)
def test_alternative_parameters_mean_what_they_mean_in_pymc(parameters):
    family, numbers = parameters
    x = np.array([0.2, 0.9])
    expected = pm.logp(getattr(pm, family).dist(**numbers), x).eval(mode=SLOW_BUT_INSTANT)
    np.testing.assert_allclose(Prior.of(family, **numbers).log_density(x), expected, atol=1e-8)


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
        ("Normal(0)", r"Normal needs a value for sigma; its parameters are Normal\(mu, sigma\)"),
        ("Normal(sigma=2)", "Normal needs a value for mu;"),
        ("StudentT(3)", "StudentT needs a value for mu and for sigma;"),
        ("HalfStudentT(3)", "HalfStudentT needs a value for sigma;"),
        ("Normal()", "Normal needs a value for mu and for sigma;"),
        ("Normal(tau=1)", "Normal needs a value for mu;"),
        ("Wald(1)", "Wald needs a value for lam;"),
        ("LKJ()", "LKJ needs a value for eta;"),
        ("Normal(0, -1)", "sigma must be positive, not -1"),
        ("Normal(0, 0)", "sigma must be positive, not 0"),
        ("Normal(inf, 1)", "must be a finite number"),
        ("Uniform(2, 1)", "lower < upper"),
        ("Triangular(0, 1, 2)", "mode c between its ends"),
        ("Normal(0, tau=-1)", "no Normal distribution with mu=0, tau=-1"),
        ("Gamma(mu=1, sigma=0)", "no Gamma distribution with mu=1, sigma=0"),
        ("Exponential(scale=0)", "no Exponential distribution with scale=0"),
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


def test_bounds_that_are_not_there_may_be_left_out():
    assert Prior.parse("TruncatedNormal(0, 2, lower=0)") == Prior.parse(
        "TruncatedNormal(0, 2, 0, inf)"
    )
    assert Prior.parse("Wald(1, 2)") == Prior.parse("Wald(1, 2, 0)")


@pytest.mark.parametrize("family", [*FAMILIES, "LKJ"])
def test_no_family_makes_up_a_location_or_a_scale(family):
    with pytest.raises(PriorError, match=f"{family} needs a value for"):
        Prior.parse(f"{family}()")


def test_text_is_never_executed(tmp_path):
    victim = tmp_path / "made"
    with pytest.raises(PriorError):
        Prior.parse(f"Normal(open({str(victim)!r}, 'w').write('x'), 1)")
    assert not victim.exists()


# The parameters of each distribution that is evaluated by special functions: usual and extreme.
EVALUATED = {
    "Normal": [(1.5, 2.5), (1e6, 1e-3)],
    "StudentT": [(0.3, 1, 2), (1, 0, 1), (3, 1, 2), (4.5, -1, 0.1), (300, 1, 2)],
    "Cauchy": [(1, 2)],
    "HalfNormal": [(2,)],
    "HalfCauchy": [(2,)],
    "Exponential": [(3,)],
    "Gamma": [(0.01, 2), (0.5, 2), (1, 2), (2, 0.1), (30, 2)],
}


def test_every_evaluated_distribution_is_listed():
    own = {name for name, family in FAMILIES.items() if family.evaluated}
    # SciPy has no half-t; PyMC's is compared above.
    assert own - {"HalfStudentT"} == set(EVALUATED)


@pytest.mark.parametrize(
    ("name", "numbers"), [(name, each) for name in EVALUATED for each in EVALUATED[name]]
)
def test_special_functions_give_scipy_s_numbers(name, numbers):
    own, theirs = FAMILIES[name].evaluated(*numbers), FAMILIES[name].frozen(*numbers)
    values = [-np.inf, -1e8, -30, -1, -0.1, 0, 1e-12, 0.1, 0.5, 1, 3, 10, 100, 1e6, np.nan]
    below = 1 - 1e-6
    probabilities = [0, 1e-300, 1e-9, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, below, 1, np.nan, -0.1, 1.1]
    assert tuple(own.support()) == tuple(theirs.support())
    # Constants and quantiles of one algorithm, or of two that are good to some ten digits; half of
    # a distribution reads its quantiles at (1 + q) / 2, which costs four digits at 1e-6 from 1.
    np.testing.assert_allclose(own.logpdf(values), theirs.logpdf(values), rtol=1e-11)
    np.testing.assert_allclose(own.ppf(probabilities), theirs.ppf(probabilities), rtol=1e-9)
    assert own.logpdf(np.inf) == -np.inf
