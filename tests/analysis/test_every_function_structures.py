"""Each public function of a result: right of fits with a residual structure, or refused."""

import inspect
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import NumericalWarning

HERE = Path(__file__).parent
T = trees.STRUCTURED
EXACT = {"rtol": 1e-9, "atol": 1e-11}


NAMES = ("known", "known and strata", "ar1", "us by arm", "effects in sigma")


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def idata(name):
    return trees.structured_tree(name, chains=4, draws=25)


def loo(idata, name):
    with pytest.warns(NumericalWarning):
        by_row = bl.loo(idata)
    if name == "effects in sigma":
        with pytest.raises(bl.TreeError, match="over those in sigma, by 'g', there is none"):
            bl.loo(idata, unit="group")
        return
    with pytest.warns(NumericalWarning):
        by_group = bl.loo(idata, unit="group")
    assert np.isfinite([by_row.elpd, by_group.elpd]).all()


def compare_models(idata, name):
    with pytest.warns(NumericalWarning):
        table = bl.compare_models({"one": idata, "other": trees.structured_tree("strata")})
    assert np.isfinite(table["elpd"]).all()


def fixed_effects(idata, name):
    beta = idata["posterior"]["beta"].mean(("chain", "draw"))
    np.testing.assert_allclose(bl.fixed_effects(idata)["mean"], beta)


def random_effects(idata, name):
    posterior = idata["posterior"].mean(("chain", "draw"))
    held = [name for name in ("b_g", "b_sigma_g") if name in posterior]
    effects = np.concatenate([posterior[name].to_numpy().ravel() for name in held])
    table = bl.random_effects(idata)
    np.testing.assert_allclose(table["mean"], effects)
    if "b_sigma_g" in held:
        own = bl.random_effects(idata, "sigma_g")
        np.testing.assert_array_equal(own["mean"], table["mean"][table["factor"] == "sigma_g"])


def coefficients(idata, name):
    posterior = idata["posterior"].mean(("chain", "draw"))
    lines = (posterior["b_g"].to_numpy() + posterior["beta"].to_numpy()).ravel()
    np.testing.assert_allclose(bl.coefficients(idata)["mean"], lines)


def variance_components(idata, name):
    table = bl.variance_components(idata)
    own = table[table["factor"].str.startswith("Residual")]
    posterior = idata["posterior"]
    if name == "known":
        assert own.empty
    elif name == "us by arm":
        sd = posterior["sd_residual"].mean(("chain", "draw"))
        found = own[(own["factor"] == "Residual v") & (own["quantity"] == "sd")]
        np.testing.assert_allclose(found["mean"], sd.sel(residual_by="v"))
        assert found["term"].tolist() == ["one", "two", "three", "four"]
        corr = posterior["corr_residual"].mean(("chain", "draw")).sel(residual_by="w")
        found = own[(own["factor"] == "Residual w") & (own["quantity"] == "corr")]
        for _, row in found.iterrows():
            at = {"residual_time": row["term"], "residual_time_bis": row["term_bis"]}
            np.testing.assert_allclose(row["mean"], corr.sel(at))
        assert len(found) == 6
    elif name == "ar1":
        assert own["quantity"].tolist() == ["sd", "variance", "rho"]
        np.testing.assert_allclose(own["mean"].iloc[2], posterior["rho_residual"].mean())
    elif name == "effects in sigma":
        assert own["quantity"].tolist() == ["sd", "variance", "slope of log sd"]
        effects = table[table["factor"] == "sigma_g"]
        assert effects["quantity"].tolist() == ["sd of log sigma"] * 2 + ["corr"]
        sd = posterior["sd_sigma_g"].mean(("chain", "draw"))
        np.testing.assert_allclose(effects["mean"].iloc[:2], sd)
        assert effects[["term", "term_bis"]].iloc[2].tolist() == ["Intercept", "x"]
    else:
        np.testing.assert_allclose(
            own[own["quantity"] == "sd"]["mean"], posterior["sigma_by"].mean(("chain", "draw"))
        )


def summary(idata, name):
    text = str(bl.summary(idata))
    heading = {
        "known": "Residuals: known standard errors sei",
        "known and strata": "Residuals: sigma ~ 0 + arm, known standard errors sei",
        "ar1": "Residuals: ar1(week | g)",
        "us by arm": "Residuals: us(visit | arm/g)",
        "effects in sigma": "Residuals: sigma ~ arm + (x | g)",
    }
    assert heading[name] in text
    assert ("Residual w: sd and correlations (posterior means)" in text) == (name == "us by arm")
    assert "Residual" in bl.summary(idata)._repr_html_()


def diagnose(idata, name):
    held = {
        "known": set(),
        "known and strata": {"sigma_by[w]", "sigma_by[v]"},
        "ar1": {"sigma", "rho_residual"},
        "us by arm": {"sd_residual[v,one]", "corr_residual[w,one,four]"},
        "effects in sigma": {
            "beta_sigma[arm[T.v]]",
            "sd_sigma_g[x]",
            "corr_sigma_g[Intercept,x]",
            "b_sigma_g[b,x]",
        },
    }
    assert held[name] <= set(bl.diagnose(idata).table.index)


def tidy_draws(idata, name):
    table = bl.tidy_draws(idata)
    for variable in idata["posterior"].data_vars:
        if str(variable).startswith(("sigma", "rho", "sd_residual", "sd_sigma")):
            values = idata["posterior"][variable].to_numpy().reshape(100, -1)
            chosen = [c for c in table if c == variable or c.startswith(f"{variable}[")]
            np.testing.assert_array_equal(table[chosen], values)


def hypothesis(idata, name):
    statement = {
        "known": "sd_g[x] > 1",
        "known and strata": "sigma_by[v] > sigma_by[w]",
        "ar1": "rho_residual > 0.3",
        "us by arm": "corr_residual[v,one,two] > 0",
        "effects in sigma": "sd_sigma_g[x] > sd_sigma_g[Intercept]",
    }[name]
    table = bl.hypothesis(idata, statement)
    if name == "ar1":
        share = (idata["posterior"]["rho_residual"] > 0.3).mean()
        np.testing.assert_allclose(table["probability"], share, atol=0.02)


def compare_predictions(idata, name):
    found = bl.compare_predictions(idata, {"x": "slope"})
    np.testing.assert_allclose(found["mean"], idata["posterior"]["beta"][..., 1].mean(), rtol=1e-7)


def marginal_means(idata, name):
    found = bl.marginal_means(idata, "x", at={"x": [1]}, average="rows")
    np.testing.assert_allclose(found["mean"], idata["posterior"]["beta"].sum("coef").mean())


def plot_variance_partition(idata, name):
    bl.plot_variance_partition(idata)


def plot_fixed_effects(idata, name):
    bl.plot_fixed_effects(idata)


def plot_caterpillar(idata, name):
    bl.plot_caterpillar(idata)
    if name == "effects in sigma":
        figure = bl.plot_caterpillar(idata, "sigma_g")
        assert "on the scale of log(sigma)" in figure.get_supxlabel()


def plot_covariance(idata, name):
    bl.plot_covariance(idata)


def plot_levels(idata, name):
    bl.plot_levels(idata, "x", layout="overlay")


def plot_effect(idata, name):
    bl.plot_effect(idata, "x", at={"x": [0, 1]})


def plot_shrinkage(idata, name):
    bl.plot_shrinkage(idata)


def plot_trace(idata, name):
    bl.plot_trace(idata)


def plot_rank(idata, name):
    bl.plot_rank(idata)


def plot_ppc_groups(idata, name):
    bl.plot_ppc_groups(idata, statistic="mean")


def plot_check(idata, name):
    bl.plot_check(idata)


def plot_residual_correlation(idata, name):
    if name in ("known", "known and strata", "effects in sigma"):
        with pytest.raises(bl.ArgumentError, match="no correlation to show"):
            bl.plot_residual_correlation(idata)
    else:
        bl.plot_residual_correlation(idata)


def plot_forest(idata, name):
    # Studies have one estimate each: a fit with slopes, or without known errors, has no forest.
    with pytest.raises(bl.ArgumentError, match="A forest"):
        bl.plot_forest(idata)


RIGHT = {
    check.__name__: check
    for check in (
        loo, compare_models, fixed_effects, random_effects, coefficients, variance_components,
        summary, diagnose, tidy_draws, hypothesis, compare_predictions, marginal_means,
        plot_variance_partition, plot_fixed_effects, plot_caterpillar, plot_covariance,
        plot_levels, plot_effect, plot_shrinkage, plot_trace, plot_rank, plot_ppc_groups,
        plot_check, plot_residual_correlation, plot_forest,
    )
}  # fmt: skip
# Held to their equations for every structure elsewhere.
ELSEWHERE = {
    "add_log_likelihood": "test_residual_structures.py",
    "log_likelihood": "test_residual_structures.py",
    "add_posterior_predictive": "test_structured_predictions.py",
    "predict": "test_structured_predictions.py",
    "predict_table": "test_structured_predictions.py",
    "fitted": "test_residual_structures.py",
    "residuals": "test_residual_structures.py",
    "check_groups": "test_structured_predictions.py",
    "icc": "test_residual_structures.py",
    "r_squared": "test_residual_structures.py",
    "design_effect": "test_residual_structures.py",
    "heritability": "test_known_levels.py",
    "pagel_lambda": "test_known_levels.py",
    "marginal_covariance": "test_residual_structures.py",
    "shrinkage": "test_residual_structures.py",
    "prior_sensitivity": "test_structured_fits.py",
    "sensitivity_tree": "test_structured_fits.py",
    "implied_priors": "test_structured_fits.py",
    "update": "test_structured_fits.py",
    "compare_ml": "test_structured_fits.py",
    "plot_prior_posterior": "test_structured_fits.py",
    "plot_prior_sensitivity": "test_structured_fits.py",
    "plot_prior_predictive": "test_structured_fits.py",
    "compare_reml": "test_structured_fits.py",
    "compare_random_effects": "test_structured_fits.py",
    "refit_reml": "test_structured_fits.py",
    "plot_comparison": "test_structured_fits.py",
    "smooth_curves": "test_smooths.py",
    "response_of": "test_several_responses.py",
    "category_probabilities": "test_several_responses.py",
    "smooths": "test_smooths.py",
    "plot_smooth": "test_smooths.py",
    "plot_categories": "test_ordered_fits.py",
}
# Of fits by REML, whose structures have tests of their own.
OF_REML = {"confidence_intervals", "check_mode"}


@pytest.mark.parametrize("function", RIGHT)
def test_what_answers_is_right(function, idata, name):
    RIGHT[function](idata, name)
    plt.close("all")


def test_no_public_function_of_a_result_is_forgotten():
    signatures = (Path(bl.__file__).parent / "__init__.pyi").read_text()
    known = {*RIGHT, *ELSEWHERE, *OF_REML}
    for function in re.findall(r" as (\w+)", signatures):
        value = getattr(bl, function)
        if not inspect.isfunction(value):
            continue
        first = next(iter(inspect.signature(value).parameters), "")
        placed = function in known or first not in {"idata", "fit", "fits", "tree_of_draws"}
        assert placed, function
    for function, place in ELSEWHERE.items():
        assert function in (HERE / place).read_text()
