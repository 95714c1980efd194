"""Columns whose names every tree has for itself: chains, draws, sigma, coefficients."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm import names

QUICK = {
    "parametrization": "marginal",
    "sampler": "importance",
    "draws": 200,
    "chains": 2,
    "random_seed": 1,
    "progressbar": False,
}
rng = np.random.default_rng(5)
group = np.repeat(np.arange(8), 6)
TABLE = pd.DataFrame({"x": np.tile(np.arange(6.0), 8), "g": [f"g{k}" for k in group]})
TABLE["y"] = 5 - 2 * TABLE.x + rng.normal(0, 1, 8)[group] + rng.normal(0, 0.5, 48)


@pytest.fixture(scope="module")
def plain():
    return bl.fit_bayes("y ~ x + (x | g)", TABLE, **QUICK)


@pytest.mark.filterwarnings("ignore:Pareto k")
@pytest.mark.parametrize("name", ["chain", "draw", "sigma", "beta", "coef", "obs"])
def test_a_factor_may_have_any_name_that_the_tree_has(name, plain, tmp_path):
    table = TABLE.rename(columns={"g": name})
    fit = bl.fit_bayes(f"y ~ x + (x | {name})", table, **QUICK)
    for one, other in [
        (bl.random_effects(fit), bl.random_effects(plain)),
        (bl.coefficients(fit), bl.coefficients(plain)),
    ]:
        numbers = one.select_dtypes("number")
        pd.testing.assert_frame_equal(numbers, other.select_dtypes("number"))
    fit.to_netcdf(tmp_path / "fit.nc")
    back = xr.load_datatree(tmp_path / "fit.nc")
    np.testing.assert_array_equal(bl.predict(back), bl.predict(plain))
    assert bl.prior_sensitivity(fit).shape == bl.prior_sensitivity(plain).shape
    left_out = bl.loo(fit, unit="group")
    assert left_out.elpd == bl.loo(plain, unit="group").elpd


@pytest.mark.parametrize("name", ["chain", "draw", "sigma"])
def test_such_a_factor_has_priors_and_graphs(name):
    table = TABLE.rename(columns={"g": name})
    formula = f"y ~ x + (1 | {name})"
    prior = bl.sample_prior(formula, table, draws=5, random_seed=1)
    assert prior["prior"][f"b_{name}"].dims == ("chain", "draw", f"{name}_level", f"{name}_term")
    for parametrization in ("noncentered", "centered", "marginal"):
        assert bl.build_model(formula, table, parametrization=parametrization).free_RVs


def test_effects_kept_in_part_name_all_levels():
    table = TABLE.rename(columns={"g": "chain"})
    fit = bl.fit_bayes("y ~ x + (1 | chain)", table, effects={"chain": ["g1", "g5"]}, **QUICK)
    assert set(bl.random_effects(fit)["level"]) == {"g1", "g5"}
    with pytest.raises(bl.TreeError, match="keeps the draws of 2 of 8"):
        bl.predict(fit)


@pytest.mark.parametrize("name", ["chain", "draw", "beta", "coef", "obs", "iteration"])
def test_a_predictor_may_have_any_name_but_sigma(name, plain):
    table = TABLE.rename(columns={"x": name})
    fit = bl.fit_bayes(f"y ~ {name} + ({name} | g)", table, **QUICK)
    np.testing.assert_array_equal(bl.predict(fit), bl.predict(plain))
    ours, theirs = bl.prior_sensitivity(fit), bl.prior_sensitivity(plain)
    np.testing.assert_allclose(ours["prior"], theirs["prior"])
    assert list(ours.index) == [
        item.replace("x", names.scalar(name)) if item == "x" else item.replace("x]", f"{name}]")
        for item in theirs.index
    ]


@pytest.mark.parametrize("name", ["sigma", "sd_g", "corr_g"])
@pytest.mark.parametrize(
    "fit",
    [
        bl.build_design,
        bl.fit_reml,
        bl.sample_prior,
        bl.build_model,
        lambda formula, table: bl.fit_bayes(formula, table, **QUICK),
        bl.fit_bayes,
        lambda formula, table: bl.gram_from_batches(formula, [table[:24], table[24:]]),
    ],
)
def test_a_coefficient_named_as_a_variance_parameter_is_refused_on_every_path(fit, name):
    with pytest.raises(bl.DataError, match=f"fixed effect is called '{name}'.* rename"):
        fit(f"y ~ {name} + ({name} | g)", TABLE.rename(columns={"x": name}))


@pytest.mark.parametrize(
    ("formula", "renamed"),
    [
        ("y ~ x + (1 | `site/plot`)", {"g": "site/plot"}),
        ("y ~ x + (1 | `g `)", {"g": "g "}),
        ("y ~ x + (1 | g) + (1 | g_term)", {"h": "g_term"}),
        ("y ~ x + (1 | g) + (1 | b_g)", {"h": "b_g"}),
        ("y ~ x + (1 | chain) + (1 | chain_level)", {"g": "chain", "h": "chain_level"}),
        ("obs ~ x + (1 | g)", {"y": "obs"}),
        ("sigma ~ x + (1 | g)", {"y": "sigma"}),
    ],
)
@pytest.mark.parametrize("sampler", ["importance", "nutpie", "auto"])
def test_what_a_tree_cannot_hold_is_refused_before_sampling(formula, renamed, sampler, monkeypatch):
    monkeypatch.setattr("bayeslmm.inference.fit.METHODS", {})
    table = TABLE.assign(h=np.tile(list("pqrs"), 12)).rename(columns=renamed)
    with pytest.raises(bl.DataError, match="rename that column"):
        bl.fit_bayes(formula, table, **{**QUICK, "sampler": sampler})


@pytest.mark.parametrize("name", ["chain", "draw"])
def test_quantities_are_not_named_as_the_dimensions(name, plain):
    with pytest.raises(bl.ArgumentError, match=f"'{name}' has a meaning in every fit"):
        bl.prior_sensitivity(plain, {name: "x / sigma"})


@pytest.mark.parametrize(
    ("formula", "renamed"),
    [
        ("`blood pressure` ~ x + (x | g)", {"y": "blood pressure"}),
        ("`%fat` ~ x + (x | g)", {"y": "%fat"}),
        ("`a/b` ~ x + (x | g)", {"y": "a/b"}),
        ("log(`blood pressure` + 99) ~ x + (x | g)", {"y": "blood pressure"}),
        ("y ~ `%x` + (`%x` | g)", {"x": "%x"}),
        ("y ~ `x ` + (`x ` | g)", {"x": "x "}),
        ("y ~ x + (x | `%g`)", {"g": "%g"}),
    ],
)
def test_names_in_backticks_can_be_saved(formula, renamed, tmp_path):
    fit = bl.fit_bayes(formula, TABLE.rename(columns=renamed), **QUICK)
    fit.to_netcdf(tmp_path / "fit.nc")
    back = xr.load_datatree(tmp_path / "fit.nc")
    np.testing.assert_array_equal(bl.predict(back), bl.predict(fit))
    pd.testing.assert_frame_equal(bl.coefficients(back), bl.coefficients(fit))
    assert bl.refit_reml(back).formula == bl.refit_reml(fit).formula


def test_a_backticked_response_with_a_tree_s_name_is_refused():
    with pytest.raises(bl.DataError, match="rename that column"):
        bl.sample_prior("`b_g` ~ x + (1 | g)", TABLE.rename(columns={"y": "b_g"}))
