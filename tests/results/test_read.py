"""Reading a result tree: its factors and coefficients come from what the fit wrote down."""

import numpy as np
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.formula import mixed_formula
from bayeslmm.results import read

DATA = trees.TINY | {"a": np.array(["u", "v", "u", "v", "u", "v", "u", "v", "u"])}


def test_factors_stand_in_the_formulas_order_whatever_order_a_file_gave_them(monkeypatch):
    tree = trees.random_tree("y ~ x + (1 | g) + (0 + x | a) + (0 + x | g)", DATA, draws=10)
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = posterior[sorted(map(str, posterior.data_vars))]
    monkeypatch.setattr(mixed_formula, "tokenize", pytest.fail)  # no parser is needed
    assert read.factor_names(tree) == ("g", "a")
    assert [info.terms for info in read.factors(tree)] == [("Intercept", "x"), ("x",)]


def test_a_fit_without_coefficients_needs_no_variable_of_them():
    tree = trees.random_tree("y ~ 0 + (1 | g)", DATA, draws=10)
    tree["posterior"] = tree["posterior"].to_dataset().drop_vars(names.BETA)
    assert read.coefficients(tree) == ()
    assert read.draws(tree, names.BETA).shape == (4, 10, 0)


@pytest.mark.parametrize("design", ["", "{}", "[]", "{", "null", '{"version": 0}'])
def test_a_tree_whose_coding_is_not_readable_is_refused(design):
    tree = trees.random_tree("y ~ x + (1 | g)", DATA, draws=10)
    tree.attrs["design"] = design
    with pytest.raises(DataError, match="design's state"):
        read.factor_names(tree)


WALK = {
    "predict": bl.predict,
    "predict_table": bl.predict_table,
    "summary": lambda tree: bl.summary(tree).fixed,
    "fixed_effects": bl.fixed_effects,
    "random_effects": bl.random_effects,
    "coefficients": bl.coefficients,
    "variance_components": bl.variance_components,
    "r_squared": bl.r_squared,
    "icc": bl.icc,
    "shrinkage": bl.shrinkage,
    "hypothesis": lambda tree: bl.hypothesis(tree, "x > 0"),
    "compare_predictions": lambda tree: bl.compare_predictions(tree, {"x": [0, 1]}),
    "add_log_likelihood": lambda tree: bl.add_log_likelihood(tree)["log_likelihood"]["y"],
    "diagnose": lambda tree: bl.diagnose(tree).table,
    "compare_reml": bl.compare_reml,
    "prior_sensitivity": bl.prior_sensitivity,
    "marginal_covariance": lambda tree: bl.marginal_covariance(tree, level="a"),
    "check_groups": lambda tree: bl.check_groups(tree, random_seed=1),
}


@pytest.fixture(scope="module")
def fitted():
    return bl.fit_bayes(
        "y ~ x + (1 | g)", DATA, parametrization="marginal", sampler="importance", draws=100,
        chains=2, random_seed=1, progressbar=False,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("question", WALK)
@pytest.mark.parametrize("selection", [{"chain": 0}, {"chain": 1}])
def test_one_chain_is_one_chain(fitted, question, selection):
    alone = WALK[question](fitted.isel(selection))
    kept = WALK[question](fitted.isel({dim: [at] for dim, at in selection.items()}))
    if hasattr(kept, "equals"):
        assert alone.equals(kept)
    else:
        np.testing.assert_array_equal(np.asarray(alone), np.asarray(kept))


@pytest.mark.parametrize("selection", [{"draw": 3}, {"chain": 1, "draw": 3}])
def test_one_draw_is_one_draw(fitted, selection):
    alone = bl.predict(fitted.isel(selection))
    kept = bl.predict(fitted.isel({dim: [at] for dim, at in selection.items()}))
    assert alone.dims == ("chain", "draw", "obs")
    np.testing.assert_array_equal(alone, kept)


def test_a_saved_fit_without_random_effects_is_judged_and_summarised(tmp_path):
    rng = np.random.default_rng(1)
    table = {"x": rng.normal(size=30), "y": rng.normal(size=30)}
    how = {"sampler": "importance", "draws": 100, "random_seed": 1, "progressbar": False}
    fit = bl.fit_bayes("y ~ x", table, **how)
    fit.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as stored:
        again = stored.load()
    assert str(bl.summary(again)) == str(bl.summary(fit))
    assert str(bl.diagnose(again)) == str(bl.diagnose(fit))
