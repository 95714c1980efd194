import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.analysis.prediction.predictions import predict, predict_table
from bayeslmm.errors import ArgumentError, BayesLMMError, DataError

FORMULA = "y ~ x + (x | g)"
NEW = {"x": [0.0, 1.0, 2.0, 1.0], "g": ["a", "new", "new", "other"]}


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree(FORMULA, trees.TINY, draws=100)


def by_hand(idata):
    posterior = idata["posterior"]
    x = trees.TINY["x"]
    beta, effects = (posterior[name].to_numpy() for name in ("beta", "b_g"))
    own = effects[:, :, np.searchsorted(["a", "b", "c"], trees.TINY["g"])]
    return beta[..., :1] + own[..., 0] + (beta[..., 1:] + own[..., 1]) * x


def test_training_rows_give_the_fitted_linear_predictor(idata):
    found = predict(idata)
    assert found.dims == ("chain", "draw", "obs")
    assert found.name == "y"
    np.testing.assert_allclose(found, by_hand(idata), rtol=1e-10, atol=1e-10)


def test_a_saved_tree_predicts_the_same_in_another_process(idata, tmp_path):
    idata.to_netcdf(tmp_path / "fit.nc")
    code = (
        "import sys, numpy as np, xarray as xr;"
        "from bayeslmm import predict;"
        "np.save(sys.argv[2], predict(xr.open_datatree(sys.argv[1])).values);"
        "assert 'pymc' not in sys.modules"
    )
    out = tmp_path / "out.npy"
    subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(tmp_path / "fit.nc"), str(out)], check=True
    )
    np.testing.assert_allclose(np.load(out), by_hand(idata), rtol=1e-10, atol=1e-10)


def test_population_predictions_need_no_group_column(idata):
    found = predict(idata, {"x": [0.0, 3.0]}, random_effects="none").to_numpy()
    beta = idata["posterior"]["beta"].to_numpy()
    np.testing.assert_allclose(found[..., 0], beta[..., 0])
    np.testing.assert_allclose(found[..., 1], beta[..., 0] + 3 * beta[..., 1])


def test_one_factor_of_two_may_be_left_out_with_its_column():
    data = {**trees.TINY, "h": np.array(list("pqpqpqpqp"))}
    idata = trees.random_tree("y ~ x + (1 | g) + (1 | h)", data, draws=20)
    found = predict(idata, {"x": [1.0], "h": ["q"]}, random_effects=["h"])
    posterior = idata["posterior"]
    expected = posterior["beta"].sum("coef") + posterior["b_h"].sel(h="q").squeeze()
    np.testing.assert_allclose(found.to_numpy()[..., 0], expected)


def test_new_levels_are_refused_unless_a_policy_says_otherwise(idata):
    with pytest.raises(DataError, match=r"'new', 'other'.*new_levels="):
        predict(idata, NEW)
    population = predict(idata, NEW, new_levels="population").to_numpy()
    beta = idata["posterior"]["beta"].to_numpy()
    np.testing.assert_allclose(population[..., 2], beta[..., 0] + 2 * beta[..., 1])


def test_a_new_level_has_one_effect_in_all_rows_orders_and_chunks(idata, monkeypatch):
    options = {"new_levels": "sample", "random_seed": 5}
    found = predict(idata, NEW, **options)
    again = predict(idata, NEW, **options)
    assert found.equals(again)
    assert not found.equals(predict(idata, NEW, new_levels="sample", random_seed=6))
    order = [2, 3, 1, 0]
    turned = {name: np.array(values)[order] for name, values in NEW.items()}
    shuffled = predict(idata, turned, **options)
    np.testing.assert_array_equal(shuffled.to_numpy(), found.to_numpy()[..., order])
    alone = predict(idata, {"x": [2.0], "g": ["new"]}, **options)
    np.testing.assert_array_equal(alone.to_numpy()[..., 0], found.to_numpy()[..., 2])
    monkeypatch.setattr("bayeslmm.analysis.prediction.linear_predictor.CHUNK_BYTES", 1)
    assert found.equals(predict(idata, NEW, **options))


def test_new_levels_have_covariance_g():
    draws = trees.constant_draws(
        (4, 5000),
        beta=[0.0, 0.0],
        sigma=1.0,
        sd_g=[2.0, 1.0],
        corr_g=[[1.0, -0.6], [-0.6, 1.0]],
        b_g=np.zeros((3, 2)),
    )
    idata = trees.make_tree(FORMULA, trees.TINY, draws)
    rows = {"x": [0.0, 1.0], "g": ["new", "new"]}
    found = predict(idata, rows, new_levels="sample", random_seed=1).to_numpy()
    intercept = found[..., 0].ravel()
    slope = found[..., 1].ravel() - intercept
    # 20,000 independent draws: standard errors below 0.04 for 4, 0.02 for -1.2, 0.01 for 1.
    np.testing.assert_allclose(np.cov(intercept, slope), [[4, -1.2], [-1.2, 1]], rtol=0, atol=0.16)
    assert abs(intercept.mean()) < 4 * 2 / np.sqrt(20_000)


def test_thinned_predictions_are_some_of_all_predictions(idata):
    options = {"new_levels": "sample", "random_seed": 5}
    every = predict(idata, NEW, **options)
    some = predict(idata, NEW, draws=10, **options)
    assert some.sizes["draw"] == 10
    np.testing.assert_array_equal(some, every.sel(draw=some["draw"]))


def test_policies_may_differ_by_factor():
    data = {**trees.TINY, "h": np.array(list("pqpqpqpqp"))}
    idata = trees.random_tree("y ~ x + (1 | g) + (1 | h)", data, draws=20)
    rows = {"x": [1.0], "g": ["new"], "h": ["new"]}
    policies = {"g": "population", "h": "sample"}
    found = predict(idata, rows, new_levels=policies, random_seed=0).to_numpy()
    without_g = predict(
        idata, rows, random_effects=["h"], new_levels="sample", random_seed=0
    ).to_numpy()
    np.testing.assert_array_equal(found, without_g)
    with pytest.raises(DataError, match="'h'"):
        predict(idata, rows, new_levels={"g": "sample"})


def test_responses_scatter_by_sigma_over_the_root_of_the_weight():
    weights = np.array([1.0, 4.0, 1, 1, 1, 1, 1, 1, 1])
    draws = trees.constant_draws(
        (4, 5000), beta=[0.0, 0.0], sigma=3.0, sd_g=[1.0], b_g=np.zeros((3, 1))
    )
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, draws, weights=weights)
    found = predict(idata, kind="response", random_seed=1).to_numpy().reshape(-1, 9)
    # The relative standard error of an sd from 20,000 draws is 1 / sqrt(40,000) = 0.005.
    np.testing.assert_allclose(found.std(axis=0)[:2], [3, 1.5], rtol=0.02)
    new = {"x": [0.0], "g": ["a"], "w": [9.0]}
    again = predict(idata, new, kind="response", weights="w", random_seed=1)
    assert again.std() == pytest.approx(1, rel=0.02)


def test_responses_do_not_depend_on_the_size_of_a_chunk(idata, monkeypatch):
    found = predict(idata, kind="response", random_seed=1)
    monkeypatch.setattr("bayeslmm.analysis.prediction.linear_predictor.CHUNK_BYTES", 1)
    assert found.equals(predict(idata, kind="response", random_seed=1))


def test_the_table_describes_the_same_draws(idata):
    rows = {"x": [0.5, 1.5], "g": ["a", "b"]}
    table = predict_table(idata, rows, ci_prob=0.9)
    draws = predict(idata, rows).to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(table["mean"], draws.mean(axis=0))
    np.testing.assert_allclose(table["eti90_lb"], np.quantile(draws, 0.05, axis=0))


def test_the_posterior_mean_of_eta_needs_no_draws_of_it(idata):
    np.testing.assert_allclose(
        linear_predictor(idata).mean(), by_hand(idata).mean(axis=(0, 1)), rtol=1e-10, atol=1e-12
    )


def test_a_million_rows_stay_in_bounded_memory():
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import resource, numpy as np, trees
from bayeslmm.analysis.prediction.predictions import predict_table
idata = trees.random_tree({FORMULA!r}, trees.TINY, chains=4, draws=25)
n = 1_000_000
rows = {{"x": np.linspace(0, 2, n), "g": np.resize(np.array(["a", "b", "c"]), n)}}
predict_table(idata, {{name: values[:1000] for name, values in rows.items()}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(predict_table(idata, rows)) == n
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    out = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    scale = 1 if sys.platform == "darwin" else 1024
    # The draws alone would take 800 MB; columns, labels and chunks take less than this.
    assert int(out.stdout) * scale < 700 * 2**20


def test_roots_give_back_the_matrix_even_when_singular():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(50, 3, 3))
    cov = factor @ np.swapaxes(factor, 1, 2)
    cov[0] = np.ones((3, 3))
    cov[1] = 0
    cov[2, 1, :] = cov[2, :, 1] = 0
    root = covariance_roots(cov)
    np.testing.assert_allclose(root @ np.swapaxes(root, 1, 2), cov, atol=1e-10)
    np.testing.assert_allclose(root[3:], np.linalg.cholesky(cov[3:]), atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "means"}, "Did you mean 'mean'"),
        ({"random_effects": ["G"]}, "Did you mean 'g'"),
        ({"random_effects": 3}, "'all', 'none' or a list"),
        ({"new_levels": None}, "it was None"),
        ({"new_levels": "populations"}, "Did you mean 'population'"),
        ({"new_levels": {"h": "sample"}}, "'h'"),
        ({"draws": 0}, "draws"),
        ({"draws": 101}, "more than the 100"),
        ({"random_seed": -1}, "random_seed"),
        ({"random_seed": "one"}, "random_seed"),
    ],
)
def test_wrong_arguments_are_named(idata, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        predict(idata, **arguments)


@pytest.mark.parametrize(
    "rows",
    [
        {"X": [1.0], "g": ["a"]},
        {"x": [1.0]},
        {"x": ["high"], "g": ["a"]},
        {"x": [np.nan], "g": ["a"]},
        {"x": [1.0, 2.0], "g": ["a"]},
        pd.DataFrame({"x": [1.0]}),
        7,
    ],
)
def test_wrong_rows_raise_an_error_of_ours(idata, rows):
    with pytest.raises(BayesLMMError):
        predict(idata, rows)


def test_the_way_out_without_nested_grouping_columns_leaves_out_all_of_them():
    data = {**trees.TINY, "h": np.array(list("ppqqqqrrr"))}
    idata = trees.random_tree("y ~ x + (1 | h/g)", data)
    with pytest.raises(DataError, match=r"effects of 'h' and 'h:g' out: random_effects='none'"):
        predict_table(idata, {"x": [0.0]})
    assert len(predict_table(idata, {"x": [0.0]}, random_effects="none")) == 1
    with pytest.raises(DataError, match=r"effects of 'h:g' out: random_effects=\['h'\]"):
        predict_table(idata, {"x": [0.0], "h": ["p"]})
    assert len(predict_table(idata, {"x": [0.0], "h": ["p"]}, random_effects=["h"])) == 1


def test_a_grouping_column_that_is_missing_may_be_done_without(idata):
    with pytest.raises(DataError, match=r"grouping factor 'g'.*random_effects='none'"):
        predict(idata, {"x": [1.0]})
    two = trees.random_tree(
        "y ~ x + (1 | g) + (1 | h)", {**trees.TINY, "h": np.array(list("pqpqpqpqp"))}, draws=20
    )
    with pytest.raises(DataError, match=r"Did you mean 'G'.*random_effects=\['h'\]"):
        predict(two, {"x": [1.0], "h": ["p"], "G": ["a"]})


def test_tables_of_other_kinds_serve(idata):
    polars = pytest.importorskip("polars")
    rows = {"x": [0.5, 1.5], "g": ["a", "b"]}
    expected = predict(idata, rows)
    assert predict(idata, pd.DataFrame(rows)).equals(expected)
    assert predict(idata, polars.DataFrame(rows)).equals(expected)


WEIGHED = {
    "g": np.tile(list("abcdefgh"), 25),
    "w": np.random.default_rng(6).choice([0.25, 4.0], 200),
}
WEIGHED["y"] = np.random.default_rng(7).normal(size=200) / np.sqrt(WEIGHED["w"])


def weighed_fit(weights, rows=True):
    data, settings = WEIGHED, {"draws": 100, "chains": 1, "progressbar": False}
    if not rows:
        data = bl.gram_from_batches("y ~ 1 + (1 | g)", [WEIGHED], weights="w")
        weights = None
    return bl.fit_bayes(
        "y ~ 1 + (1 | g)", data, weights=weights, parametrization="marginal", random_seed=1,
        sampler="importance", **settings,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["table", "selection", "saved", "cross-products"])
def test_new_rows_have_the_weights_of_the_fit_s_own_column(kind, tmp_path):
    fit = weighed_fit("w", rows=kind != "cross-products")
    if kind == "saved":
        fit.to_netcdf(tmp_path / "fit.nc")
        fit = xr.load_datatree(tmp_path / "fit.nc")
    rows = (
        {name: values[:40] for name, values in WEIGHED.items()} if kind == "selection" else WEIGHED
    )
    given = bl.predict(fit, rows, kind="response", weights="w", random_seed=1)
    np.testing.assert_array_equal(bl.predict(fit, rows, kind="response", random_seed=1), given)
    table = bl.predict_table(fit, rows, kind="response", random_seed=1)
    np.testing.assert_allclose(table["mean"], given.mean(("chain", "draw")))
    np.testing.assert_array_equal(
        bl.log_likelihood(fit, rows), bl.log_likelihood(fit, rows, weights="w")
    )


@pytest.mark.parametrize("weights", ["w", WEIGHED["w"]])
def test_new_rows_without_the_fit_s_weights_are_told_so(weights):
    fit = weighed_fit(weights)
    rows = {name: WEIGHED[name] for name in ("y", "g")}
    with pytest.warns(bl.DataWarning, match="counts as of weight 1"):
        spread = bl.predict(fit, rows, kind="response", random_seed=1)
    with pytest.warns(bl.DataWarning, match="counts as of weight 1"):
        bl.log_likelihood(fit, rows)
    ones = bl.predict(fit, rows, kind="response", weights=np.ones(200), random_seed=1)
    np.testing.assert_array_equal(spread, ones)
    # The expected value has no weights to ask for.
    assert bl.predict(fit, rows).sizes["obs"] == 200


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA])
@pytest.mark.parametrize("every", [True, False])
def test_a_missing_label_is_no_particular_level(idata, absent, every):
    labels = [absent] * 2 if every else ["a", absent]
    rows = pd.DataFrame({"x": [0.0, 2.0], "g": pd.Series(labels, dtype=object)})
    named = rows.assign(g=["?", "?"] if every else ["a", "?"])
    found = predict(idata, rows, new_levels="population")
    np.testing.assert_array_equal(found, predict(idata, named, new_levels="population"))
    found = predict_table(idata, rows, new_levels={"g": "population"})
    expected = predict_table(idata, named, new_levels={"g": "population"})
    pd.testing.assert_frame_equal(found, expected)


def test_a_missing_label_inside_another_level_leaves_the_outer_effect():
    nested = {**trees.TINY, "h": np.array(list("ppqqqqrrr"))}
    idata = trees.random_tree("y ~ x + (1 | h) + (1 | h:g)", nested)
    rows = {"x": [1.0], "h": ["q"], "g": [None]}
    found = predict(idata, rows, new_levels="population")
    outer = predict(idata, {"x": [1.0], "h": ["q"]}, random_effects=["h"])
    np.testing.assert_allclose(found, outer)
    # The outer factor has no policy for it: its own missing labels are refused.
    with pytest.raises(DataError, match=r"lack values: h 1|'h' has only missing"):
        predict(idata, {"x": [1.0], "h": [None], "g": ["a"]}, new_levels={"h:g": "population"})


@pytest.mark.parametrize("policy", ["error", "sample"])
def test_a_missing_label_without_a_place_is_refused_with_a_way_out(idata, policy):
    rows = {"x": [0.0, 2.0], "g": ["a", None]}
    with pytest.raises(DataError, match=r"g 1; the first is row 1 .*new_levels='population'"):
        predict(idata, rows, new_levels=policy)


@pytest.mark.parametrize("function", [predict, predict_table, bl.log_likelihood])
def test_missing_values_of_new_rows_are_not_answered_by_an_argument_that_is_not_there(
    idata, function
):
    rows = {"x": [1.0, np.nan], "g": ["a", "b"], "y": [0.0, 1.0]}
    with pytest.raises(DataError, match="leave these rows out") as caught:
        function(idata, rows)
    assert "missing=" not in str(caught.value)
    assert function(idata, {name: values[:1] for name, values in rows.items()}) is not None
