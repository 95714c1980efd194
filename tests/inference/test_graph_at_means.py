"""Models whose priors stand at columns' means name the effects and G as trees hold them."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayeslmm as bl
from bayeslmm.model.model import Model

FORMULAS = ["y ~ x + (x | g)", "y ~ x + (x + z || h) + (1 + z + x | g)", "y ~ 1 + (f + x || g)"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    n = 60
    table = {
        "x": rng.normal(20, 1, n), "z": rng.normal(-7, 0.5, n), "y": rng.normal(size=n),
        "f": rng.choice(list("ab"), n), "g": np.arange(n) % 10, "h": np.arange(n) % 7,
    }  # fmt: skip
    return pd.DataFrame(table)


def drawn(model, names):
    """One draw of variables from the prior, by name; two streams that differ must not share one."""
    return dict(zip(names, pm.draw([model[name] for name in names], random_seed=3), strict=True))


@pytest.mark.parametrize("parametrization", ["noncentered", "centered"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_linear_predictor_is_that_of_the_named_effects_and_the_rows(
    table, formula, parametrization
):
    design = bl.build_design(formula, table)
    model = bl.build_model(design, parametrization=parametrization)
    names = ["mu", "beta", *(f"b_{factor.name}" for factor in design.factors)]
    values = drawn(model, names)
    expected = design.X @ values["beta"]
    for factor in design.factors:
        expected += (factor.columns * values[f"b_{factor.name}"][factor.index]).sum(axis=1)
    # Sums of some hundreds cancel down to units: three digits of sixteen.
    np.testing.assert_allclose(values["mu"], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("parametrization", "free"), [("noncentered", None), ("marginal", "sd_g_at_means")]
)
def test_named_scales_lead_to_those_that_the_priors_are_of(table, parametrization, free):
    design = bl.build_design(FORMULAS[0], table)
    model = bl.build_model(design, parametrization=parametrization)
    (prior,) = Model.of(design).priors.factors
    assert prior.shift.columns == (0, 1)
    names = ["sd_g", "corr_g", "z_g", "b_g"] if free is None else ["sd_g", "corr_g", free]
    values = drawn(model, names)
    sd, corr = prior.shift.to_means(values["sd_g"], values["corr_g"])
    if free is not None:
        np.testing.assert_allclose(sd, values[free], rtol=1e-9)
        return
    # Effects at the means are z L' with the Cholesky factor of G there.
    root = np.linalg.cholesky(sd[:, None] * corr * sd)
    at_means = values["z_g"] @ root.T
    np.testing.assert_allclose(prior.shift.raw_effects(at_means), values["b_g"], rtol=1e-7)


def test_pymc_predicts_from_a_tree_and_adopted_draws_are_a_tree(table):
    how = {"sampler": "importance", "random_seed": 1, "progressbar": False, "draws": 500}
    fit = bl.fit_bayes(FORMULAS[0], table, **how)
    model = bl.build_model(FORMULAS[0], table)
    with model:
        freeze = ["beta", "b_g", "sigma"]
        found = pm.sample_posterior_predictive(
            fit, freeze_vars=freeze, progressbar=False, random_seed=2
        )
    ours = bl.predict(fit, kind="response", random_seed=3)
    theirs = found["posterior_predictive"]["y"]
    spread = ours.std(("chain", "draw")).to_numpy()
    # Means of 2,000 replicates differ by sqrt(2 / 2000) sds; of sixty rows none by five of those.
    off = ours.mean(("chain", "draw")).to_numpy() - theirs.mean(("chain", "draw")).to_numpy()
    assert np.abs(off / spread).max() < 5 * np.sqrt(2 / 2000)
    np.testing.assert_allclose(theirs.std(("chain", "draw")), spread, rtol=5 * np.sqrt(1 / 2000))
    draws = {name: fit["posterior"][name] for name in ("beta", "sigma", "sd_g", "corr_g", "b_g")}
    again = bl.adopt({k: v.to_numpy() for k, v in draws.items()}, FORMULAS[0], table)
    for name, values in draws.items():
        np.testing.assert_allclose(again["posterior"][name], values)
    for name, values in fit["log_prior"].data_vars.items():
        np.testing.assert_allclose(again["log_prior"][name], values, rtol=1e-9)
