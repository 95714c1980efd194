import numpy as np
import pytest
import trees

from bayeslmm.design.build import build_design
from bayeslmm.errors import ArgumentError
from bayeslmm.model.simulate import simulate_response

TRUTH = {
    "beta": {"Intercept": 1.0, "x": 2.0},
    "sd": {"g": [2.0, 1.0]},
    "corr": {"g": 0.5},
    "sigma": 0.5,
}


@pytest.fixture(scope="module")
def design():
    return build_design("y ~ x + (x | g)", trees.TINY)


def test_without_noise_the_response_is_the_linear_predictor(design):
    y, effects = simulate_response(design, **{**TRUTH, "sigma": 0}, random_seed=1)
    own = effects["g"][design.factors[0].index]
    x = trees.TINY["x"]
    np.testing.assert_allclose(y, 1 + own[:, 0] + (2 + own[:, 1]) * x)


def test_the_same_seed_gives_the_same_response(design):
    one, _ = simulate_response(design, **TRUTH, random_seed=1)
    again, _ = simulate_response(design, **TRUTH, random_seed=1)
    other, _ = simulate_response(design, **TRUTH, random_seed=2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_effects_and_residuals_have_the_asked_moments():
    m = 20_000
    data = {
        "y": np.random.default_rng(0).normal(size=3 * m),
        "x": np.tile([0.0, 1.0, 2.0], m),
        "g": np.repeat(np.arange(m), 3).astype(str),
    }
    weights = np.tile([1.0, 4.0, 1.0], m)
    design = build_design("y ~ x + (x | g)", data, weights=weights)
    y, effects = simulate_response(design, **TRUTH, random_seed=3)
    # Standard errors of (co)variances from 20,000 levels: below 0.04, 0.02 and 0.01.
    np.testing.assert_allclose(np.cov(effects["g"].T), [[4, 1], [1, 1]], rtol=0, atol=0.16)
    own = effects["g"][design.factors[0].index]
    residual = y - (1 + own[:, 0] + (2 + own[:, 1]) * data["x"])
    assert residual[weights == 1].std() == pytest.approx(0.5, rel=0.02)
    assert residual[weights == 4].std() == pytest.approx(0.25, rel=0.02)


def test_beta_may_come_in_order_and_an_offset_is_added():
    design = build_design("y ~ x + offset(z)", {**trees.TINY, "z": np.arange(9.0)})
    y, effects = simulate_response(design, beta=[1.0, 2.0], sigma=0)
    np.testing.assert_allclose(y, 1 + 2 * trees.TINY["x"] + np.arange(9))
    assert effects == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": {"Intercept": 1.0}}, "beta lacks x"),
        ({"beta": {"Intercept": 1.0, "X": 1.0}}, "Did you mean 'x'"),
        ({"beta": [1.0]}, "2 values"),
        ({"sd": {"G": 1.0}}, "Did you mean 'g'"),
        ({"sd": {}}, "sd lacks g"),
        ({"sd": {"g": [1.0, -1.0]}}, "zero or more"),
        ({"sd": {"g": [1.0, 1.0, 1.0]}}, "2 standard deviations"),
        ({"corr": {"g": 1.5}}, "no correlation matrix"),
        ({"corr": {"g": [[1, 0.2], [0.3, 1]]}}, "symmetric"),
        ({"sigma": -1}, "sigma"),
    ],
)
def test_impossible_truths_are_refused(design, change, message):
    with pytest.raises(ArgumentError, match=message):
        simulate_response(design, **{**TRUTH, **change})


def of_family(family, **columns):
    data = {"y": np.full(6, 0.5), "x": np.arange(6.0), "g": list("aabbcc")}
    return build_design("y ~ 1 + (1 | g)", data | columns, response="optional", family=family)


@pytest.mark.parametrize(
    ("family", "how", "message"),
    [
        ("beta", {}, r"needs phi: give parameters=\{'phi': 2.0\}"),
        ("beta", {"parameters": {"Phi": 1.0}}, "Did you mean 'phi'"),
        ("beta", {"sigma": 1.0}, "family='beta' has no parameter 'sigma'. It has phi"),
        ("beta", {"parameters": {"phi": 0.0}}, "phi is a positive number"),
        ("beta", {"parameters": {"phi": [1.0, 2.0]}}, "phi is one number"),
        ("beta", {"parameters": 3.0}, "maps names to numbers"),
        ("student", {"sigma": 1.0, "parameters": {"sigma": 1.0, "nu": 4.0}}, "given twice"),
        ("student", {}, "needs nu"),
    ],
)
def test_parameters_of_the_family_are_asked_for_by_name(family, how, message):
    with pytest.raises(ArgumentError, match=message):
        simulate_response(of_family(family), beta=[0.0], sd={"g": 1.0}, **how)


def test_a_family_without_sigma_takes_none():
    data = {"y": [0, 1, 1, 0], "x": np.arange(4.0)}
    design = build_design("y ~ x", data, family="bernoulli")
    with pytest.raises(ArgumentError, match=r"has no parameter 'sigma'\. It has none"):
        simulate_response(design, beta=[0.0, 0.0], sigma=1.0)


@pytest.mark.parametrize(
    ("family", "how", "parameters"),
    [
        ("bernoulli", {}, {}),
        ("binomial", {"trials": 5}, {}),
        ("poisson", {}, {}),
        ("negbinomial", {}, {"shape": 2.0}),
        ("gamma", {}, {"shape": 2.0}),
        ("lognormal", {}, {"sigma": 0.5}),
        ("beta", {}, {"phi": 4.0}),
        ("student", {}, {"sigma": 0.5, "nu": 8.0}),
        ("zero_inflated_poisson", {}, {"zi": 0.3}),
        ("hurdle_negbinomial", {}, {"shape": 2.0, "hu": 0.3}),
        ("beta_binomial", {"trials": 5}, {"phi": 4.0}),
    ],
)
def test_responses_have_the_familys_mean_and_variance(family, how, parameters):
    n = 40_000
    some = {"gamma": 1.0, "lognormal": 1.0, "beta": 0.5}.get(family, 1)
    design = build_design("y ~ 1", {"y": np.full(n, some) + 0 * np.arange(n)}, family=family, **how)
    y, _ = simulate_response(design, beta=[0.3], parameters=parameters, random_seed=2)
    eta, member = np.full(1, 0.3), design.family
    known = None if design.known is None else design.known[:1]
    mean = float(member.mean(eta, parameters)[0]) * (5 if "trials" in how else 1)
    variance = float(member.variance(eta, parameters, known)[0])
    # Five standard errors of a mean; of a variance ten per cent, also of heavy tails.
    assert y.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    assert y.var() == pytest.approx(variance, rel=0.1)
