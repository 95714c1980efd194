"""Discrimination of ordered categories: verbs, graph, predictions and refusals against NumPy."""

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import stats
from scipy.special import expit, ndtr

import bayeslmm as bl
from bayeslmm.analysis.prediction.average_mean import averaged_over
from bayeslmm.families.registry import family_of
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.nuts.compile import free_variables
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model

# Draws of priors stand for those of posteriors.
pytestmark = [
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning"),
]
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
FAMILIES = [family_of(*both) for both in (
    ("cumulative", "logit"), ("cumulative", "probit"), ("cumulative", "cloglog"),
    ("sratio", "logit"), ("acat", "logit"))]  # fmt: skip
CUTS = np.array([-1.2, 0.1, 0.9])
RNG = np.random.default_rng(2)
N = 48
ROWS = pd.DataFrame(
    {
        "y": 1 + RNG.integers(0, 4, N),
        "x": RNG.normal(size=N),
        "old": np.tile(["no", "yes"], N // 2),
        "g": np.repeat(list("abcdefgh"), N // 8),
    }
)
FORMULA, DISC = "y ~ x + (1 | g)", "~ old + (1 | g)"
TIGHT = {"beta": "Normal(0, 0.5)", "sd": "HalfNormal(0.5)", "sd_disc": "HalfNormal(0.3)"}


def design(family="cumulative", disc=DISC, **more):
    return bl.build_design(FORMULA, ROWS, family=family, disc=disc, **more)


def adopted(family="cumulative", disc=DISC):
    """Draws of the priors, as if they were of a posterior: both chains are the same."""
    drawn = bl.sample_prior(design(family, disc), draws=120, random_seed=1, priors=TIGHT)["prior"]
    values = {str(k): np.repeat(v.to_numpy(), 2, axis=0) for k, v in drawn.data_vars.items()}
    return bl.adopt(values, FORMULA, ROWS, family=family, disc=disc, priors=TIGHT)


@pytest.fixture(scope="module")
def tree():
    return adopted()


def flat(tree, name):
    values = tree["posterior"][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_discrimination_multiplies_predictors_and_thresholds(family):
    eta, disc = RNG.normal(size=(6, 5)), RNG.uniform(0.3, 3.0, (6, 5))
    phi = {"threshold": CUTS[:, None, None], "disc": disc}
    scaled = {"threshold": disc * CUTS[:, None, None]}
    expected = family.probabilities(disc * eta, scaled)
    np.testing.assert_allclose(family.probabilities(eta, phi), expected, rtol=1e-12)
    y = RNG.integers(1, 5, (6, 5)).astype(float)
    for verb in (family.log_density, family.cdf, family.cdf_below):
        np.testing.assert_allclose(
            verb(y, eta, phi, None), verb(y, disc * eta, scaled, None), rtol=1e-12
        )
    step = 1e-5
    differences = (family.mean(eta + step, phi) - family.mean(eta - step, phi)) / (2 * step)
    np.testing.assert_allclose(family.mean_slope(eta, phi), differences, rtol=1e-6, atol=1e-9)
    latent = family.latent_variance(family.mean(eta, phi), phi)
    np.testing.assert_allclose(latent * disc**2, family.latent_variance(eta, scaled))


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_probabilities_are_averaged_as_narrowly_as_discrimination_asks(family):
    nodes = np.linspace(-9.0, 9.0, 6001)
    weights = stats.norm.pdf(nodes)
    eta, variance, disc = np.array([[0.4]]), np.array([[1.5]]), np.array([[4.0]])
    points = eta + np.sqrt(variance) * nodes
    whole = {"threshold": CUTS[:, None, None], "disc": disc}
    by_hand = family.probabilities(points, whole) @ weights / weights.sum()
    phi = {"threshold": CUTS[:, None], "disc": disc}
    found = averaged_over(family, family.probabilities, eta, variance, phi)
    # The package's points aim at nine digits.
    np.testing.assert_allclose(found[..., 0], by_hand, rtol=1e-7)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_graphs_have_the_density_of_each_row(family):
    given = design(family.name, "~ old + x + (1 | g)", link=family.link.name)
    graph = bl.build_model(given, priors=TIGHT)
    rng = np.random.default_rng(8)
    values = {
        value.name: v.start + 0.3 * rng.normal(size=v.shape)
        for value, v in zip(graph.value_vars, free_variables(graph), strict=True)
    }
    by_row = graph.compile_logp(vars=graph.observed_RVs, sum=False, mode=SLOW_BUT_INSTANT)(values)
    gamma, x = values["beta_disc_centered"], ROWS["x"].to_numpy()
    g = np.unique(ROWS["g"], return_inverse=True)[1]
    z, z_disc = values["z_g"], values["z_disc_g"]
    sd, sd_disc = np.exp(values["sd_g_log__"]), np.exp(values["sd_disc_g_log__"])
    # No center of the columns: thresholds are of the rows without any of them.
    old = (ROWS["old"] == "yes").to_numpy(float)
    disc = np.exp(gamma @ [old, x] + (z_disc * sd_disc)[g, 0])
    eta = values["beta_centered"] @ (x - x.mean())[None] + (z * sd)[g, 0]
    # Thresholds are at the mean of x; they and eta move together.
    sticks = np.exp(values["stick_interval__"]) if "stick_interval__" in values else None
    sticks = expit(values["stick_logodds__"]) if sticks is None else sticks / (1 + sticks)
    member = given.family
    phi = {"threshold": member.thresholds(sticks), "disc": disc}
    expected = member.log_density(ROWS["y"].to_numpy(float), eta, phi, None)
    np.testing.assert_allclose(by_row[0], expected, rtol=1e-9)


def test_a_formula_without_coefficients_leaves_one_at_the_middle():
    given = design(disc="~ (1 | g)")
    assert given.predictors[0].coef == ()
    assert design(disc="~ 1").predictors == ()
    assert (
        design(disc="~ 1").family.parameters
        == bl.build_design(FORMULA, ROWS, family="cumulative").family.parameters
    )
    tree = adopted("sratio", "~ (1 | g)")
    assert "beta_disc" not in tree["posterior"]
    assert "disc" not in tree["posterior"]
    g = np.unique(ROWS["g"], return_inverse=True)[1]
    disc = np.exp(flat(tree, "b_disc_g")[:, g, 0])
    eta = flat(tree, "beta") @ ROWS["x"].to_numpy()[None] + flat(tree, "b_g")[:, g, 0]
    stop = expit(disc * (flat(tree, "threshold")[:, :1] - eta))
    found = bl.predict(tree, kind="probability").to_numpy()
    np.testing.assert_allclose(found.reshape(240, N, 4)[..., 0], stop, rtol=1e-10)
    assert "sd of log(disc)" in str(bl.summary(tree))


def test_predictions_have_each_rows_own(tree):
    assert tree["posterior"]["beta_disc"].coords["disc_coef"].to_numpy().tolist() == ["old[T.yes]"]
    rows = {"x": [0.5, 0.5], "old": ["no", "yes"], "g": ["b", "b"]}
    found = bl.predict(tree, rows, kind="probability").to_numpy().reshape(240, 2, 4)
    cuts, b = flat(tree, "threshold"), flat(tree, "b_g")[:, 1, 0]
    eta = 0.5 * flat(tree, "beta")[:, 0] + b
    for row in (0, 1):
        disc = np.exp(row * flat(tree, "beta_disc")[:, 0] + flat(tree, "b_disc_g")[:, 1, 0])
        at_most = expit(disc[:, None] * (cuts - eta[:, None]))
        np.testing.assert_allclose(np.cumsum(found[:, row], axis=1)[:, :3], at_most, rtol=1e-9)
    with pytest.raises(bl.BayesLMMError, match="follows a formula"):
        bl.icc(tree)


def test_a_simulated_response_is_cut_as_sharply_as_said():
    table = pd.DataFrame({"old": np.repeat(["no", "yes"], 20_000), "g": "a", "y": 1})
    table["y"] = 1 + np.arange(len(table)) % 3
    given = bl.build_design("y ~ 1", table, family="cumulative", link="probit", disc="~ old")
    cuts, gamma = np.array([-0.5, 0.8]), 0.9
    y, _ = bl.simulate_response(
        given, beta=[], sd={}, parameters={"threshold": cuts, "beta_disc": [gamma]}, random_seed=1
    )
    for old, disc in (("no", 1.0), ("yes", np.exp(gamma))):
        shares = [(y[table["old"] == old] <= k).mean() for k in (1, 2)]
        # Four standard errors of a share of 20,000 rows.
        np.testing.assert_allclose(shares, ndtr(disc * cuts), atol=0.015)


def test_priors_are_of_differences_of_its_logarithm():
    told = bl.describe_priors(FORMULA, ROWS, family="cumulative", disc="~ old + x")
    # One per spread of a column that is no mean away: its root mean square.
    size = np.sqrt(np.mean(ROWS["x"] ** 2))
    assert told.loc["beta_disc[x]", "distribution"] == f"Normal(mu=0, sigma={1 / size:.6g})"
    asked = {"beta_disc": "Normal(0, 0.5)", "threshold": "Dirichlet(2)"}
    model = Model.of(design(disc="~ old"), asked)
    assert str(model.priors.parameters["beta_disc[old[T.yes]]"]) == "Normal(mu=0, sigma=0.5)"
    assert str(model.priors.parameters["stick[1|2]"]) == "Beta(alpha=2, beta=6)"


def test_the_scale_of_the_thresholds_stands_for_an_intercept():
    with pytest.raises(bl.FormulaError, match=r"scale of the thresholds.*leave the 0"):
        design(disc="~ 0 + old")
    with pytest.raises(bl.ArgumentError, match=r"family 'poisson' does not have"):
        bl.build_design(FORMULA, ROWS, family="poisson", disc="~ old")
    for sampler in ("quadrature", "laplace_chain"):
        with pytest.raises(bl.ArgumentError, match="one discrimination for all rows"):
            bl.fit_bayes(FORMULA, ROWS, family="cumulative", disc="~ old", sampler=sampler)


def test_nuts_samples_it_and_the_tree_says_why():
    asked = SamplerSettings(sampler="auto", parametrization="auto")
    chosen, reasons = choose_method(Model.of(design(disc="~ old")), asked)
    assert chosen.sampler == "nutpie"
    assert "discrimination" in reasons["sampler_reason"]


@pytest.mark.slow
def test_what_responses_were_drawn_from_is_found_again():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({
        "y": 1 + np.arange(900) % 4, "x": rng.normal(size=900),
        "old": np.tile(["no", "yes"], 450), "g": np.repeat(np.arange(45), 20),
    })  # fmt: skip
    how = {"family": "cumulative", "disc": DISC}
    truth = {"threshold": CUTS, "beta_disc": [0.7]}
    table["y"] = bl.simulate_response(
        bl.build_design(FORMULA, table, **how), beta=[0.8], sd={"g": [0.7], "disc_g": [0.4]},
        parameters=truth, random_seed=rng,
    )[0].astype(int)  # fmt: skip
    tree = bl.fit_bayes(FORMULA, table, random_seed=1, progressbar=False, chains=2, **how)
    expected = {"beta": 0.8, "beta_disc": 0.7, "sd_g": 0.7, "sd_disc_g": 0.4, "threshold": CUTS}
    for name, true in expected.items():
        drawn = flat(tree, name)
        away = (drawn.mean(axis=0) - true) / drawn.std(axis=0)
        assert (2 * stats.norm.sf(np.abs(away)) > 1e-3).all(), name
