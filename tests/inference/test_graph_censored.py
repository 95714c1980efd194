"""PyMC's forms of censored responses and of likelihood weights against NumPy's."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from test_graph_families import SLOW_BUT_INSTANT, values_of

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.families.derived.censored import TAILS, censored
from bayeslmm.families.registry import family_of
from bayeslmm.inference.graph.likelihood import add_response

N = 24


def model_of(family, y, ends, likweights=None):
    with pm.Model(coords={"obs": np.arange(len(y))}) as model:
        eta = pm.Data("eta", np.zeros(len(y)), dims="obs")
        phi = {name: pm.Data(name, value) for name, value in values_of(family).items()}
        design = SimpleNamespace(y=y, response="y", known=ends, likweights=likweights)
        add_response(family, design, eta, phi)
    return model


def total_of(model, mode=SLOW_BUT_INSTANT):
    """eta -> the log-density of all rows, and its gradient."""
    logp, eta = model.logp(), pt.vector("at")
    outputs = pytensor.graph.clone_replace([logp, pt.grad(logp, model["eta"])], {model["eta"]: eta})
    return pytensor.function([eta], outputs, mode=mode)


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("kinds", ["all", "seen", "above"])
def test_censored_rows_are_the_familys(name, kinds):
    base = family_of(name)
    family, phi, rng = censored(base), values_of(base), np.random.default_rng(4)
    y = base.draw(rng.normal(0, 1.0, N), phi, None, rng)
    between = y + (3.0 if base.discrete else 0.8)
    places = np.arange(N) % 4 if kinds == "all" else np.full(N, ["seen", "above"].index(kinds))
    ends = np.choose(places, [y, np.full(N, np.inf), np.full(N, -np.inf), between])
    both = total_of(model_of(family, y, ends))
    for seed in range(3):
        eta = np.random.default_rng(seed).normal(0, 1.0, N)
        found, slope = both(eta)
        expected = family.log_density(y, eta, phi, ends)
        assert found == pytest.approx(expected.sum(), rel=1e-9)
        step = 1e-5
        up, down = (family.log_density(y, eta + s, phi, ends) for s in (step, -step))
        np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "weibull"])
@pytest.mark.parametrize("far", [-30.0, 30.0])
def test_gradients_of_censored_rows_are_finite_far_out(name, far):
    family = censored(family_of(name))
    y = np.array([1.0, 0.5, 2.0, 1.5])
    ends = np.array([1.0, np.inf, -np.inf, 2.5])
    found, slope = total_of(model_of(family, y, ends))(np.full(4, far))
    assert np.isfinite(found)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "poisson", "gamma", "weibull"])
def test_rows_count_as_often_as_is_said(name):
    family, rng = family_of(name), np.random.default_rng(5)
    phi = values_of(family)
    y = family.draw(rng.normal(0, 1.0, N), phi, None, rng)
    counted, eta = rng.uniform(0.2, 3.0, N), rng.normal(0, 1.0, N)
    found, _ = total_of(model_of(family, y, None, counted))(eta)
    expected = counted @ family.log_density(y, eta, phi, None)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["gaussian", "gamma", "student", "poisson", "weibull"])
def test_censored_rows_compile_for_nuts(name):
    family = censored(family_of(name))
    y = np.array([1.0, 2.0, 2.0, 1.0])
    ends = np.array([1.0, np.inf, -np.inf, 4.0])
    found, slope = total_of(model_of(family, y, ends), "NUMBA")(np.zeros(4))
    expected = family.log_density(y, np.zeros(4), values_of(family.base), ends).sum()
    assert found == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("shape", [None, "~ x + (1 | g)"])
def test_graphs_with_effects_have_the_density_of_each_censored_row(shape):
    rng = np.random.default_rng(6)
    t, cens = rng.weibull(1.5, N), np.tile(["none", "right", "left", "interval"], N // 4)
    rows = {"t": t, "x": rng.normal(size=N), "g": np.repeat(list("abcdef"), 4), "cens": cens}
    rows["upper"] = 1.5 * t
    more = {} if shape is None else {"shape": shape}
    design = bl.build_design(
        "t ~ x + (x | g)", rows, family="weibull", cens="cens", y2="upper", **more
    )
    graph = bl.build_model(design)
    values = {name: value + 0.1 for name, value in graph.initial_point(0).items()}
    by_row = graph.compile_logp(vars=graph.observed_RVs, sum=False, mode=SLOW_BUT_INSTANT)(values)
    named = [graph[names.LINEAR_PREDICTOR], *(graph[n] for n in ("shape", "beta_shape", "b_shape_g")
                             if n in graph.named_vars)]  # fmt: skip
    inputs = [graph.rvs_to_values[rv] for rv in graph.free_RVs]
    at = pytensor.function(
        inputs, graph.replace_rvs_by_values(named), mode=SLOW_BUT_INSTANT, on_unused_input="ignore"
    )
    eta, first, *others = at(*(values[one.name] for one in inputs))
    if others:
        b = others[0][np.repeat(np.arange(6), 4)][:, 0]
        first = np.exp(first[0] + first[1] * rows["x"] + b)
    ends = np.choose(np.tile(np.arange(4), N // 4), [t, np.inf, -np.inf, rows["upper"]])
    expected = design.family.log_density(t, eta, {"shape": first}, ends)
    np.testing.assert_allclose(by_row[0], expected, rtol=1e-9)
