"""Priors of a model: the user's over the defaults, defaults worked by hand, densities of draws."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayeslmm as bl
from bayeslmm.errors import PriorError
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.priors import Priors


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def design(sleepstudy):
    return bl.build_design("Reaction ~ Days + (Days | Subject)", sleepstudy)


class PriorOfAnotherPackage:
    """What `pymc_extras.prior.Prior` looks like from outside."""

    def __init__(self, distribution, transform=None, **parameters):
        self.distribution = distribution
        self.parameters = parameters
        self.transform = transform
        self.dims = ("coef",)


def test_prior_objects_of_pymc_extras_are_read_by_their_shape(design):
    priors = bl.resolve_priors(
        design, {"sigma": PriorOfAnotherPackage("HalfNormal", sigma=np.int64(3))}
    )
    assert priors.sigma == Prior.parse("HalfNormal(3)")


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (PriorOfAnotherPackage("HalfNormal", sigma=[1.0, 2.0]), "parameters must be numbers"),
        (
            PriorOfAnotherPackage("HalfNormal", sigma=PriorOfAnotherPackage("Gamma")),
            "parameters must be numbers",
        ),
        (PriorOfAnotherPackage("Normal", transform="exp", mu=0, sigma=1), "transformed by 'exp'"),
        (PriorOfAnotherPackage("ZeroSumNormal", sigma=1), "can use"),
        (PriorOfAnotherPackage("HalfNormal", sd=1), r"priors\['sigma'\].*no parameter 'sd'"),
    ],
)
def test_prior_objects_that_say_more_than_a_distribution_are_refused(design, prior, message):
    with pytest.raises(PriorError, match=message):
        bl.resolve_priors(design, {"sigma": prior})


def test_pymc_extras_own_prior(design):
    extras = pytest.importorskip("pymc_extras.prior")
    prior = extras.Prior("HalfStudentT", nu=3, sigma=20)
    assert bl.resolve_priors(design, {"sd": prior}).factors[0].sd[0] == Prior.parse(
        "HalfStudentT(3, 20)"
    )


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_numbers_survive_the_json_exactly(mu, sigma):
    prior = Prior.of("Normal", mu=mu, sigma=sigma)
    sigma = {"sigma": Prior.parse("HalfNormal(1)")}
    priors = Priors(("Intercept",), (prior,), (0.0,), (), sigma, {})
    assert Priors.from_json(priors.to_json()) == priors


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
        ("HalfNormal(1)", "given by a mapping such as"),
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
    with pytest.raises(bl.DataError, match="'y' is 2 in every row"):
        bl.resolve_priors(bl.build_design("y ~ 1 + (1 | g)", table))


KEYS = st.sampled_from(["sigma", "sd", "sd_Subject[Days]", "corr", "beta", "Days", "scheme", "x"])
PRIORS = st.one_of(
    st.sampled_from(["HalfNormal(1)", "Normal(0, 1)", "LKJ(2)", "brms", "Uniform(-1, 2)"]),
    st.text(max_size=12),
    st.none() | st.integers() | st.floats() | st.lists(st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(priors=st.dictionaries(KEYS, PRIORS, max_size=4))
def test_no_mapping_raises_anything_but_a_prior_error(design, priors):
    try:
        resolved = bl.resolve_priors(design, priors)
    except PriorError:
        return
    assert all(prior.support[0] >= 0 for factor in resolved.factors for prior in factor.sd)


@pytest.mark.parametrize(
    ("key", "parameter"),
    [
        ("poly(x,2)[1]", "poly(x, 2)[1]"),
        ("beta[poly(x,2)[2]]", "poly(x, 2)[2]"),
        ("I(z^2)", "I(z ** 2)"),
        ("I(z**2)", "I(z ** 2)"),
        ("z:w", "w:z"),
        ("beta[z:w]", "w:z"),
        ("sd_g[z:w]", "sd_g[w:z]"),
    ],
)
def test_keys_may_be_spelt_as_in_the_formula(key, parameter):
    rng = np.random.default_rng(1)
    table = {name: rng.normal(size=40) for name in "yxzw"} | {"g": np.repeat(np.arange(8), 5)}
    formula = "y ~ poly(x,2) + I(z^2) + w:z + (w:z | g)"
    design = bl.build_design(formula, table)
    scheme = {key: "Gamma(3, 2)"}
    changed = bl.resolve_priors(design, scheme).describe()["distribution"]
    usual = bl.resolve_priors(design).describe()["distribution"]
    assert [name for name in changed.index if changed[name] != usual[name]] == [parameter]
    exact = f"beta[{parameter}]" if key.startswith("beta") else parameter
    with pytest.raises(PriorError, match="Two priors"):
        bl.resolve_priors(design, scheme | {exact: "Gamma(4, 2)"} | {f" {exact}": "Gamma(4, 2)"})
