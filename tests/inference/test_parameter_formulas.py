"""Parameters with predictors of their own: graph, priors, draws, predictions against NumPy."""

import json

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import stats
from scipy.special import expit, gammaln

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, KeywordError, TreeError
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.nuts.compile import free_variables
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.model.priors.priors import Priors

# Draws of priors stand for those of posteriors.
pytestmark = [
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning"),
]
# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
N = 60
RNG = np.random.default_rng(11)
ROWS = pd.DataFrame(
    {
        "y": RNG.poisson(3, N),
        "p": RNG.beta(3, 4, N),
        "x": RNG.normal(5, 1, N),
        "f": np.tile(["u", "v"], N // 2),
        "g": np.repeat(list("abcdefghij"), 6),
        "h": np.tile(list("pqr"), N // 3),
    }
)
FORMULA, SHAPE = "y ~ f + (1 | g)", "~ x + offset(x) + (1 | h)"
TIGHT = {
    "Intercept": "Normal(1, 0.2)", "beta": "Normal(0, 0.2)", "sd": "HalfNormal(0.3)",
    "beta_shape[Intercept]": "Normal(1, 0.3)", "beta_shape": "Normal(0, 0.2)",
    "sd_shape": "HalfNormal(0.3)",
}  # fmt: skip


def design(shape=SHAPE):
    return bl.build_design(FORMULA, ROWS, family="negbinomial", shape=shape)


@pytest.fixture(scope="module")
def tree():
    """Draws of the priors, as if they were of a posterior: both chains are the same."""
    drawn = bl.sample_prior(design(), draws=150, random_seed=1, priors=TIGHT)["prior"]
    values = {str(k): np.repeat(v.to_numpy(), 2, axis=0) for k, v in drawn.data_vars.items()}
    return bl.adopt(values, FORMULA, ROWS, family="negbinomial", shape=SHAPE, priors=TIGHT)


def flat(tree, name):
    """A variable's draws, chains laid end to end."""
    values = tree["posterior"][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def shapes(gamma, b):
    """The shape of each row and draw by hand, (n, s)."""
    x, h = ROWS["x"].to_numpy(), np.searchsorted(list("pqr"), ROWS["h"])
    return np.exp(gamma[:, :1] + gamma[:, 1:] * x + x + b[:, h, 0]).T


def means(beta, b):
    """Expected responses by hand, (n, s)."""
    g = np.searchsorted(list("abcdefghij"), ROWS["g"])
    return np.exp(beta[:, :1] + beta[:, 1:] * (ROWS["f"] == "v").to_numpy() + b[:, g, 0]).T


def log_density(y, mu, shape):
    """Of the negative binomial, by its definition."""
    return (
        gammaln(y + shape) - gammaln(shape) - gammaln(y + 1)
        + shape * np.log(shape / (mu + shape)) + y * np.log(mu / (mu + shape))
    )  # fmt: skip


def test_the_whole_density_is_priors_offsets_and_likelihood():
    graph = bl.build_model(design(), priors=TIGHT)
    rng = np.random.default_rng(8)
    values = {
        value.name: v.start + 0.3 * rng.normal(size=v.shape)
        for value, v in zip(graph.value_vars, free_variables(graph), strict=True)
    }
    total = graph.compile_logp(jacobian=False, mode=SLOW_BUT_INSTANT)(values)
    beta, gamma = values["beta_centered"], values["beta_shape_centered"]
    sd, sd_shape = np.exp(values["sd_g_log__"]), np.exp(values["sd_shape_h_log__"])
    z, z_shape = values["z_g"], values["z_shape_h"]
    v, x = (ROWS["f"] == "v").to_numpy(float), ROWS["x"].to_numpy()
    g = np.unique(ROWS["g"], return_inverse=True)[1]
    h = np.unique(ROWS["h"], return_inverse=True)[1]
    eta = beta[0] + beta[1] * (v - v.mean()) + (z * sd)[g, 0]
    log_shape = gamma[0] + gamma[1] * (x - x.mean()) + x + (z_shape * sd_shape)[h, 0]
    expected = (
        log_density(ROWS["y"].to_numpy(), np.exp(eta), np.exp(log_shape)).sum()
        + stats.norm.logpdf(np.concatenate([z, z_shape])).sum()
        + stats.halfnorm.logpdf([sd[0], sd_shape[0]], scale=0.3).sum()
        + stats.norm.logpdf(beta, [1.0, 0.0], 0.2).sum()
        + stats.norm.logpdf(gamma, [1.0, 0.0], [0.3, 0.2]).sum()
    )
    # Differences of logarithms of gamma functions leave eleven digits.
    np.testing.assert_allclose(total, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("family", "response", "said"),
    [
        ("gamma", "p", {"shape": "~ x"}),
        ("beta", "p", {"phi": "~ 0 + f"}),
        ("student", "x", {"nu": "~ f"}),
        ("student", "x", {"nu": "~ f", "sigma": "~ f + (1 | g)"}),
        ("skew_normal", "x", {"alpha": "~ f", "sigma": "~ f + (1 | g)"}),
    ],
)
def test_graphs_of_families_are_their_densities_by_rows(family, response, said):
    built = bl.build_design(f"{response} ~ 1", ROWS, family=family, **said)
    graph = bl.build_model(built)
    tree = bl.sample_prior(built, draws=1, random_seed=5, priors={"Intercept": "Normal(0, 0.1)"})
    drawn = {str(k): v.to_numpy()[0, 0] for k, v in tree["prior"].data_vars.items()}
    # Values of free variables that give these draws.
    given = {}
    for name in ("sigma_by", "sigma", "beta_sigma"):
        if name in drawn:
            given[name] = drawn[name]
    model = Model.of(built)
    for name, value in drawn.items():
        if name.startswith("beta"):
            variable = "beta_centered" if name == "beta" else f"{name}_centered"
            given[variable] = model.priors.centered_predictor(name, value)
        elif name.startswith("sd_"):
            given[name] = value
            given[name.replace("sd_", "z_", 1)] = drawn[name.replace("sd_", "b_", 1)] / value
    (observed,) = graph.observed_RVs
    replaced = [given[v.name] for v in graph.free_RVs]
    found = graph.compile_logp(vars=[observed], sum=False, mode=SLOW_BUT_INSTANT)(
        {
            graph.rvs_to_values[v].name: (
                np.log(value) if graph.rvs_to_values[v].name.endswith("_log__") else value
            )
            for v, value in zip(graph.free_RVs, replaced, strict=True)
        }
    )[0]
    as_fit = {str(k): np.repeat(v.to_numpy(), 4, axis=1) for k, v in tree["prior"].items()}
    fit = bl.adopt(as_fit, built)
    expected = bl.add_log_likelihood(fit)["log_likelihood"][response].to_numpy()[0, 0]
    # PyMC's own densities keep nine digits.
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_defaults_say_of_the_parameter_what_its_own_prior_does():
    stated = bl.resolve_priors(design("~ x")).parameters
    own = bl.resolve_priors(bl.build_design(FORMULA, ROWS, family="negbinomial"))
    quartiles = np.array([0.25, 0.5, 0.75])
    told = np.log(own.parameters["shape"].quantile(quartiles))
    intercept = stated["beta_shape[Intercept]"].quantile(quartiles)
    assert intercept[1] == pytest.approx(told[1], rel=1e-6)
    assert intercept[2] - intercept[0] == pytest.approx(told[2] - told[0], rel=1e-6)
    spread = ROWS["x"].std()
    assert stated["beta_shape[x]"].numbers == pytest.approx((0.0, 1.0 / spread))
    by_group = bl.resolve_priors(design("~ 0 + f")).parameters
    assert by_group["beta_shape[f[u]]"] == by_group["beta_shape[f[v]]"]
    assert by_group["beta_shape[f[u]]"] == stated["beta_shape[Intercept]"]


def test_keys_of_priors_reach_coefficients_and_effects():
    priors = bl.resolve_priors(design(), TIGHT)
    assert Priors.from_json(priors.to_json()) == priors
    assert str(priors.parameters["beta_shape[Intercept]"]) == "Normal(mu=1, sigma=0.3)"
    assert str(priors.parameters["beta_shape[x]"]) == "Normal(mu=0, sigma=0.2)"
    assert "shape" not in priors.parameters
    with pytest.raises(bl.PriorError, match="no parameter 'shape'"):
        bl.resolve_priors(design(), {"shape": "HalfNormal(1)"})
    # Stated at the columns' means: of draws of the intercept as trees have it the density is that.
    values = np.array([[0.7, 0.2]])
    density = priors.log_densities(
        {"beta": np.zeros((1, 2)), "sd_g": np.ones((1, 1)), "sd_shape_h": np.ones((1, 1)),
         "beta_shape": values}
    )["beta_shape"]  # fmt: skip
    at_mean = 0.7 + 0.2 * ROWS["x"].mean()
    expected = stats.norm.logpdf(at_mean, 1, 0.3) + stats.norm.logpdf(0.2, 0, 0.2)
    np.testing.assert_allclose(density, expected, rtol=1e-12)


def test_prior_draws_are_responses_of_their_own_shapes():
    drawn = bl.sample_prior(design(), draws=4000, random_seed=3, priors=TIGHT)
    of = {str(name): values.to_numpy()[0] for name, values in drawn["prior"].data_vars.items()}
    mu = means(of["beta"], of["b_g"]).T
    shape = shapes(of["beta_shape"], of["b_shape_h"]).T
    y = drawn["prior_predictive"]["y"].to_numpy()[0]
    standard = (y - mu) / np.sqrt(mu + mu**2 / shape)
    # 240,000 squares of mean one, a sd of about three, dependent within draws: within a few %.
    assert np.mean(standard**2) == pytest.approx(1.0, abs=0.05)


def test_densities_and_residuals_of_rows_have_their_own_shapes(tree):
    found = bl.add_log_likelihood(tree)["log_likelihood"]["y"].to_numpy().reshape(-1, N).T
    mu = means(flat(tree, "beta"), flat(tree, "b_g"))
    shape = shapes(flat(tree, "beta_shape"), flat(tree, "b_shape_h"))
    expected = log_density(ROWS["y"].to_numpy()[:, None], mu, shape)
    # Differences of logarithms of gamma functions.
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    pearson = (ROWS["y"].to_numpy()[:, None] - mu) / np.sqrt(mu + mu**2 / shape)
    np.testing.assert_allclose(bl.residuals(tree, kind="pearson"), pearson.mean(axis=1), rtol=1e-9)
    assert np.isfinite(bl.loo(tree).elpd)


def test_new_rows_and_levels_are_predicted(tree):
    new = pd.DataFrame({"f": ["u", "u"], "x": [4.0, 5.0], "g": ["a", "a"], "h": ["q", "new"]})
    with pytest.raises(bl.DataError, match="new"):
        bl.predict(tree, new)
    drawn = bl.predict(
        tree, new, kind="response", new_levels={"shape_h": "population"}, random_seed=2
    )
    assert drawn.shape == (2, 150, 2)
    with pytest.raises(ArgumentError, match="depend on its shape"):
        bl.predict(tree, new, new_levels="average")
    # Without the effects in shape their column is not needed.
    alone = bl.predict(tree, new.drop(columns="h"), random_effects=["g"])
    np.testing.assert_array_equal(alone, bl.predict(tree, new, new_levels="population"))


def test_levels_are_left_out_by_quadrature_over_shapes_of_rows(tree):
    found = bl.loo(tree, unit="group")
    assert np.isfinite(found.elpd)
    built = bl.build_design("y ~ (1 | h)", ROWS, family="negbinomial", shape="~ (1 | h)")
    drawn = bl.sample_prior(built, draws=20, random_seed=1)["prior"]
    values = {str(k): np.repeat(v.to_numpy(), 2, axis=0) for k, v in drawn.data_vars.items()}
    other = bl.adopt(values, built)
    with pytest.raises(TreeError, match="over those in shape"):
        bl.loo(other, unit="group")


def test_tables_name_coefficients_and_effects(tree):
    table = bl.variance_components(tree).set_index(["factor", "term", "quantity"])
    gamma = tree["posterior"]["beta_shape"].to_numpy()[..., 1].mean()
    row = table.loc[("shape", "x", "coefficient of log(shape)"), "mean"]
    assert row == pytest.approx(gamma, rel=1e-12)
    assert ("shape_h", "Intercept", "sd of log(shape)") in table.index
    assert bl.random_effects(tree, "shape_h")["level"].tolist() == list("pqr")
    held = bl.hypothesis(tree, "beta_shape[x] > 0")["probability"].item()
    assert held == (tree["posterior"]["beta_shape"].to_numpy()[..., 1] > 0).mean()
    assert "coefficient of log(shape)" in str(bl.summary(tree))
    dims = {name: array.dims[2:] for name, array in tree["posterior"].data_vars.items()}
    assert dims["beta_shape"] == ("shape_coef",)
    assert dims["b_shape_h"] == ("shape_h", "shape_h_term")


@pytest.mark.parametrize("ask", [bl.icc, bl.r_squared])
def test_variances_of_rows_in_general_are_refused(tree, ask):
    with pytest.raises(TreeError, match="one shape for all rows"):
        ask(tree)


def test_means_over_a_grid_read_the_columns_of_every_predictor(tree):
    found = bl.marginal_means(tree, "f")
    beta = tree["posterior"]["beta"].to_numpy()
    assert found["mean"].iloc[1] == pytest.approx(np.exp(beta.sum(axis=-1)).mean(), rel=1e-12)
    contrast = bl.compare_predictions(tree, {"x": [4, 5]})
    # The mean of a negative binomial response does not depend on its shape.
    assert abs(contrast["mean"].item()) < 1e-12


def test_a_simulated_response_has_the_given_coefficients():
    rows = pd.concat([ROWS] * 400, ignore_index=True)
    built = bl.build_design("p ~ 1", rows, family="beta", phi="~ x + (1 | h)")
    y, effects = bl.simulate_response(
        built, beta=[0.4], sd={"phi_h": 0.5}, parameters={"beta_phi": [-3.0, 1.0]}, random_seed=2
    )
    h = np.searchsorted(list("pqr"), rows["h"])
    phi = np.exp(-3.0 + rows["x"].to_numpy() + effects["phi_h"][h, 0])
    mu = expit(0.4)
    standard = (y - mu) / np.sqrt(mu * (1 - mu) / (1 + phi))
    # 24,000 squares of mean one and a sd of about 1.4.
    assert np.mean(standard**2) == pytest.approx(1.0, abs=0.04)
    one_by_one = {"beta_phi[Intercept]": -3.0, "beta_phi[x]": 1.0}
    again, _ = bl.simulate_response(
        built, beta=[0.4], sd={"phi_h": 0.5}, parameters=one_by_one, random_seed=2
    )
    np.testing.assert_array_equal(again, y)
    for given, words in (
        ({}, "beta_phi"),
        ({"beta_phi": [1.0]}, "2 are due"),
        ({"phi": 2.0}, "beta_phi"),
    ):
        with pytest.raises(ArgumentError, match=words):
            bl.simulate_response(built, beta=[0.4], sd={"phi_h": 0.5}, parameters=given)


def test_a_fit_keeps_its_formulas_and_says_why_it_is_nuts(tree):
    asked = SamplerSettings(sampler="auto", parametrization="auto")
    chosen, reasons = choose_method(Model.of(design()), asked)
    assert (chosen.sampler, chosen.parametrization) == ("nutpie", "noncentered")
    assert "shape has random effects" in reasons["sampler_reason"]
    assert json.loads(tree.attrs["design"])["formulas"] == {"shape": SHAPE}
    with pytest.raises(KeywordError, match="predictors of their own in fit_bayes"):
        bl.fit_ml(FORMULA, ROWS, family="negbinomial", shape="~ x")
    with pytest.raises(ArgumentError, match="one shape for all rows"):
        bl.fit_ml(design())


@pytest.fixture(scope="module")
def fit():
    rows = pd.concat([ROWS] * 4, ignore_index=True)
    built = bl.build_design("p ~ f + (1 | g)", rows, family="beta", phi="~ x")
    y, _ = bl.simulate_response(
        built, beta=[0.3, -0.5], sd={"g": 0.4}, parameters={"beta_phi": [-2.0, 1.0]}, random_seed=4
    )
    return bl.fit_bayes(
        "p ~ f + (1 | g)", rows.assign(p=y), family="beta", phi="~ x", draws=100, tune=200,
        chains=2, random_seed=1, progressbar=False, sampler="nutpie",
    )  # fmt: skip


def test_coefficients_are_found_again(fit):
    drawn = flat(fit, "beta_phi")
    # 240 rows tell the slope with an error of 0.1; four of the posterior's sds.
    assert (abs(drawn.mean(axis=0) - [-2.0, 1.0]) < 4 * drawn.std(axis=0)).all()
    assert drawn.std(axis=0)[1] < 0.25
    assert fit.attrs["sampler"] == "nutpie"
    # Drawn at the columns' means, and kept as coefficients of the columns themselves.
    assert np.corrcoef(drawn.T)[0, 1] < -0.9
    again = bl.update(fit, priors={"beta_phi": "Normal(0, 2)"}, draws=20, tune=50, chains=1)
    assert json.loads(again.attrs["design"])["formulas"] == {"phi": "~ x"}


def _logp(y, eta, lapse):
    p = 0.5 * lapse + (1 - lapse) * pt.sigmoid(eta)
    return pt.log(pt.switch(pt.eq(y, 1), p, 1 - p))


def test_parameters_of_a_family_of_the_users_own_take_formulas_too():
    parameter = bl.FamilyParameter("lapse", "share of lapses", "Beta(1, 19)", upper=1.0)
    family = bl.custom_family(
        "lapsing", _logp, parameters=[parameter], response="binary", link="logit"
    )
    rows = ROWS.assign(right=(ROWS["x"] > 5).astype(int))
    built = bl.build_design("right ~ x", rows, family=family, lapse="~ f")
    drawn = bl.sample_prior(built, draws=2, random_seed=3)["prior"]
    values = {str(k): np.repeat(v.to_numpy(), 4, axis=1) for k, v in drawn.data_vars.items()}
    found = bl.add_log_likelihood(bl.adopt(values, built))["log_likelihood"]["right"].to_numpy()
    beta, gamma = drawn["beta"].to_numpy()[0], drawn["beta_lapse"].to_numpy()[0]
    lapse = expit(gamma[:, :1] + gamma[:, 1:] * (rows["f"] == "v").to_numpy())
    p = 0.5 * lapse + (1 - lapse) * expit(beta[:, :1] + beta[:, 1:] * rows["x"].to_numpy())
    expected = stats.bernoulli.logpmf(rows["right"].to_numpy(), p)
    # Where p is within rounding of one, log(1 - p) has few digits.
    np.testing.assert_allclose(found[0, ::4], expected, rtol=1e-6)
    with pytest.raises(KeywordError, match="no argument 'lapse'"):
        bl.build_design("right ~ x", rows, family="bernoulli", lapse="~ f")
    other = bl.FamilyParameter("lapse_rate", "share of lapses", "Beta(1, 19)", upper=1.0)
    clumsy = bl.custom_family("clumsy", _logp, parameters=[other], response="binary", link="logit")
    with pytest.raises(ArgumentError, match="call it by one word"):
        bl.build_design("right ~ x", rows, family=clumsy, lapse_rate="~ f")
