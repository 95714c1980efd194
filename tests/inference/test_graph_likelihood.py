"""The graph's likelihoods against the families', and the linear predictor as a named node."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

import bayeslmm as bl
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.inference.graph.build import build_model

# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
FORMULA = "y ~ x + offset(z) + (x | g) + (1 | h)"
EXPLICIT = ("noncentered", "centered")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(7)
    n = 30
    return pd.DataFrame(
        {
            "y": rng.normal(3, 2, n),
            "x": rng.normal(1, 1, n),
            "z": rng.normal(0, 1, n),
            "g": rng.choice(list("pqrs"), n),
            "h": rng.choice(list("uvw"), n),
            "w": rng.uniform(0.5, 2, n),
        }
    )


def random_point(model, seed):
    rng = np.random.default_rng(seed)
    start = model.initial_point(random_seed=1)
    return {name: value + 0.3 * rng.normal(size=value.shape) for name, value in start.items()}


def evaluated(model, point, *wanted):
    """Values of named nodes at a point."""
    graphs = model.replace_rvs_by_values([model[name] for name in wanted])
    function = model.compile_fn(
        graphs, inputs=model.value_vars, mode=SLOW_BUT_INSTANT, on_unused_input="ignore"
    )
    return function(point)


def log_densities(model, point):
    """Log-density of each row given everything else."""
    function = model.compile_logp(vars=[model["y"]], sum=False, mode=SLOW_BUT_INSTANT)
    return function(point)[0]


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("parametrization", EXPLICIT)
def test_the_gaussian_of_the_graph_is_the_familys(table, parametrization, weights):
    model = build_model(FORMULA, table, parametrization=parametrization, weights=weights)
    w = None if weights is None else table[weights].to_numpy()
    for seed in range(5):
        point = random_point(model, seed)
        mu, sigma = evaluated(model, point, "mu", "sigma")
        expected = GAUSSIAN.log_density(table["y"].to_numpy(), mu, {"sigma": sigma}, w)
        np.testing.assert_allclose(log_densities(model, point), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parametrization", EXPLICIT)
def test_mu_is_the_linear_predictor_with_random_part_and_offset(table, parametrization):
    model = build_model(FORMULA, table, parametrization=parametrization)
    point = random_point(model, 1)
    mu, beta, b_g, b_h = evaluated(model, point, "mu", "beta", "b_g", "b_h")
    design = bl.build_design(FORMULA, table)
    expected = design.X @ beta + design.offset
    for factor, b in zip(design.factors, (b_g, b_h), strict=True):
        expected += np.sum(factor.columns * b[factor.index], axis=1)
    np.testing.assert_allclose(mu, expected, rtol=1e-12)
    assert model.named_vars_to_dims["mu"] == ("obs",)


@pytest.mark.parametrize("parametrization", EXPLICIT)
def test_samplers_neither_compute_nor_keep_mu(table, parametrization):
    model = build_model("y ~ x + (1 | g)", table, parametrization=parametrization)
    # What PyMC and nutpie store of each draw.
    derived = [*model.unobserved_RVs, *model.unobserved_value_vars]
    assert model["mu"] not in derived
    assert "mu" not in {variable.name for variable in derived}
    with model:
        idata = pm.sample(
            draws=2,
            tune=2,
            chains=1,
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
            compile_kwargs={"mode": SLOW_BUT_INSTANT},
        )
    assert {"beta", "b_g"} <= set(idata["posterior"].data_vars)
    assert "mu" not in idata["posterior"]
    assert "mu" not in idata["constant_data"]


@pytest.mark.parametrize("parametrization", EXPLICIT)
def test_another_likelihood_takes_the_place_of_the_normal_one(table, parametrization):
    model = build_model(FORMULA, table, parametrization=parametrization)
    point = random_point(model, 2)
    mu, sigma = evaluated(model, point, "mu", "sigma")
    rest = model.compile_logp(vars=model.free_RVs, mode=SLOW_BUT_INSTANT)(point)
    model.set_initval(model["G_g"], None)
    heavy_tailed = pm.StudentT.dist(nu=4, mu=model["mu"], sigma=model["sigma"])
    y = table["y"].to_numpy()
    robust = pm.observe(pm.do(model, {"y": heavy_tailed}), {"y": y})
    expected = stats.t(4, mu, sigma).logpdf(y)
    np.testing.assert_allclose(log_densities(robust, point), expected, rtol=1e-9)
    # The data are counted once: nothing is left of the normal likelihood.
    whole = robust.compile_logp(mode=SLOW_BUT_INSTANT)(point)
    assert whole == pytest.approx(rest + expected.sum(), rel=1e-9)


def test_a_response_or_factor_may_be_called_mu(table):
    by_factor = build_model("y ~ x + (1 | mu)", table.rename(columns={"g": "mu"}))
    assert by_factor.named_vars_to_dims["b_mu"] == ("mu", "mu_term")
    by_response = build_model("mu ~ x + (1 | g)", table.rename(columns={"y": "mu"}))
    assert [v.name for v in by_response.observed_RVs] == ["mu"]
