"""PyMC's `sample_posterior_predictive` on our models: right, or refused in a sentence."""

import re
import warnings

import numpy as np
import pymc as pm
import pytest
import trees
from pymc.exceptions import ImplicitFreezeWarning

import bayeslmm as bl
from bayeslmm.errors import TreeError

FORMULAS = {
    "correlated": "y ~ x + (x | g)",
    "intercepts": "y ~ x + (1 | g)",
    "several blocks": "y ~ x + (1 | g) + (0 + x | g)",
}
WEIGHTS = np.linspace(0.5, 2, 9)
DRAWS = 4 * 500
QUIET = {"progressbar": False, "random_seed": 1}


def known_tree(formula, table=trees.TINY):
    q = 1 if formula == FORMULAS["intercepts"] else 2
    values = {
        "beta": [1.0, 2.0],
        "sigma": 3.0,
        "sd_g": [2.0, 1.0][:q],
        "b_g": np.array([[1.0, 0.5], [0.0, 0.0], [-1.0, -0.5]])[:, :q],
    }
    if formula == FORMULAS["correlated"]:
        values["corr_g"] = [[1.0, 0.5], [0.5, 1.0]]
    draws = trees.constant_draws((4, DRAWS // 4), **values)
    return trees.make_tree(formula, table, draws, weights=WEIGHTS)


def asked_for(idata):
    """The way out that the refusal of the plain call gives, as a list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitFreezeWarning)
        with pytest.raises(TreeError, match="from the prior") as refused:
            pm.sample_posterior_predictive(idata, **QUIET)
    found = re.search(r"freeze_vars=\[(.*?)\]", str(refused.value))[1]
    return [name.strip(" '") for name in found.split(",")]


@pytest.mark.parametrize("parametrization", ["noncentered", "centered"])
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_replicates_have_the_conditional_mean_and_sd(formula, parametrization):
    idata = known_tree(formula)
    with bl.build_model(
        formula, trees.TINY, weights=WEIGHTS, parametrization=parametrization
    ) as model:
        names = asked_for(idata)
        assert set(names) - {"sd_g"} == {"beta", "b_g", "sigma"}
        # Warnings are errors here: the call that is advised is also a quiet one.
        drawn = pm.sample_posterior_predictive(idata, freeze_vars=names, **QUIET)
    assert isinstance(model, pm.Model)
    found = drawn["posterior_predictive"]["y"]
    mean, sd = bl.predict(idata).values[0, 0], 3 / np.sqrt(WEIGHTS)
    # Five Monte Carlo standard errors of a mean and of a standard deviation.
    error = np.abs(found.mean(("chain", "draw")) - mean) / (sd / np.sqrt(DRAWS))
    spread = np.abs(found.std(("chain", "draw")) / sd - 1) * np.sqrt(2 * DRAWS)
    assert error.max() < 5
    assert spread.max() < 5


def test_a_far_column_loses_no_digits_by_predicting_from_beta():
    table = {**trees.TINY, "x": trees.TINY["x"] + 2000.0}
    idata = known_tree(FORMULAS["intercepts"], table)
    with bl.build_model(FORMULAS["intercepts"], table) as model:
        given = {model["beta"]: np.array([1.0, 2.0]), model["b_g"]: np.zeros((3, 1))}
        found = model["mu"].eval(given)
    # Centers of 2000 times a slope of 2 are added and taken away: ulp(4000) is 4.5e-13.
    np.testing.assert_allclose(found, 1 + 2 * table["x"], rtol=0, atol=4e-12)
    assert idata["posterior"].sizes["g"] == 3


def test_a_model_with_effects_integrated_out_is_refused():
    idata = known_tree(FORMULAS["correlated"])
    with (
        bl.build_model(FORMULAS["correlated"], trees.TINY, parametrization="marginal"),
        pytest.warns(ImplicitFreezeWarning),
        pytest.raises(TreeError, match="parametrization='noncentered'"),
    ):
        pm.sample_posterior_predictive(idata, **QUIET)


def test_draws_from_the_prior_are_pymcs_own():
    with bl.build_model(FORMULAS["intercepts"], trees.TINY):
        prior = pm.sample_prior_predictive(draws=5, random_seed=1)
    assert prior["prior_predictive"]["y"].shape == (1, 5, 9)


def test_a_trace_of_pymcs_own_predicts_as_it_is_also_with_effects_of_new_levels():
    # What `pm.sample` returns holds the free variables; those of a prior's draws are the same.
    with bl.build_model(FORMULAS["intercepts"], trees.TINY):
        trace = pm.sample_prior_predictive(draws=400, random_seed=1)
        trace["posterior"] = trace["prior"]
        sigma = trace["posterior"]["sigma"].to_numpy()
        plain = pm.sample_posterior_predictive(trace, **QUIET)["posterior_predictive"]["y"]
        b = trace["posterior"]["b_g"].sel(g=trees.TINY["g"])[..., 0].to_numpy()
        beta = trace["posterior"]["beta"].to_numpy()
        mean = beta[..., :1] + beta[..., 1:] * trees.TINY["x"] + b
        scaled = (plain - mean) / sigma[..., None]
        # 3600 standard normal numbers: five standard errors of their sd.
        assert abs(float(scaled.std()) - 1) < 5 / np.sqrt(2 * 3600)
        new = pm.sample_posterior_predictive(trace, sample_vars=["z_g"], var_names=["y"], **QUIET)[
            "posterior_predictive"
        ]["y"]
    sd = trace["posterior"]["sd_g"].to_numpy()
    spread = np.sqrt(sd**2 + sigma[..., None] ** 2)
    fixed = beta[..., :1] + beta[..., 1:] * trees.TINY["x"]
    one_row = ((new - fixed) / spread)[..., 0]
    # 400 independent standard normal numbers: five standard errors of their sd.
    assert abs(float(one_row.std()) - 1) < 5 / np.sqrt(2 * 400)
