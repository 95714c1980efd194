import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.analysis.summaries import level_tables, tables
from bayeslmm.analysis.summaries import text as summary_text
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.results import read as tree

FORMULA = "y ~ x + (x | g)"
INTERVAL = ["eti95_lb", "eti95_ub"]


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree(FORMULA, trees.TINY)


def test_fixed_effects_are_the_draws_mean_sd_median_and_quantiles(idata):
    table = tables.fixed_effects(idata)
    draws = idata["posterior"]["beta"].to_numpy().reshape(-1, 2)
    assert list(table.index) == ["Intercept", "x"]
    assert list(table.columns) == [
        *("mean", "sd", "median"),
        *INTERVAL,
        *("mcse_mean", "ess_bulk", "ess_tail", "r_hat"),
    ]
    np.testing.assert_allclose(table["mean"], draws.mean(axis=0))
    np.testing.assert_allclose(table["sd"], draws.std(axis=0, ddof=1))
    np.testing.assert_allclose(table["median"], np.median(draws, axis=0))
    np.testing.assert_allclose(table[INTERVAL].T, np.quantile(draws, [0.025, 0.975], axis=0))


def test_diagnostics_are_arviz_s_own(idata):
    import arviz as az

    ours = tables.fixed_effects(idata, ci_prob=0.8, ci_kind="hdi")
    theirs = az.summary(
        idata, var_names=["beta"], round_to="none", ci_prob=0.8, ci_kind="hdi", kind="all"
    )
    shared = ["mean", "sd", "hdi80_lb", "hdi80_ub", "ess_bulk", "r_hat", "mcse_mean"]
    # The same routines on the same draws: nothing but rounding may differ.
    np.testing.assert_allclose(ours[shared], theirs[shared].astype(float), rtol=1e-10)
    # Vehtari et al. (2021) put the tails at 5 % and 95 %; az.summary follows its rcParams instead.
    tail = az.ess(idata, var_names=["beta"], method="tail", prob=(0.05, 0.95))
    np.testing.assert_allclose(ours["ess_tail"], tail["beta"], rtol=1e-10)


def test_interval_columns_name_kind_and_probability(idata):
    table = level_tables.random_effects(idata, ci_prob=0.9, ci_kind="hdi")
    assert {"hdi90_lb", "hdi90_ub"} <= set(table.columns)


def test_variance_components_hold_sd_variance_correlation_and_residual(idata):
    table = tables.variance_components(idata)
    labels = [tuple(row) for row in table.iloc[:, :4].itertuples(index=False)]
    assert labels == [
        ("g", "Intercept", "", "sd"),
        ("g", "x", "", "sd"),
        ("g", "Intercept", "", "variance"),
        ("g", "x", "", "variance"),
        ("g", "Intercept", "x", "corr"),
        ("Residual", "", "", "sd"),
        ("Residual", "", "", "variance"),
    ]
    posterior = idata["posterior"]
    sd = posterior["sd_g"].to_numpy()[..., 1]
    assert table.loc[3, "mean"] == pytest.approx((sd**2).mean())
    # The posterior mean of the variance, which is not the squared mean of the sd.
    assert table.loc[3, "mean"] > sd.mean() ** 2
    assert table.loc[4, "mean"] == pytest.approx(posterior["corr_g"].to_numpy()[..., 1, 0].mean())
    assert table.loc[5, "mean"] == pytest.approx(posterior["sigma"].to_numpy().mean())


def test_columns_of_different_blocks_have_no_correlation_row():
    data = {**trees.TINY, "z": np.array([0.3, 0.1, 0.7, 0.2, 0.9, 0.5, 0.4, 0.8, 0.6])}
    idata = trees.random_tree("y ~ x + (1 + x | g) + (0 + z | g)", data)
    table = tables.variance_components(idata)
    pairs = table.loc[table["quantity"] == "corr", ["term", "term_bis"]]
    assert pairs.to_numpy().tolist() == [["Intercept", "x"]]


def test_uncorrelated_columns_have_no_correlation_row():
    idata = trees.random_tree("y ~ x + (x || g)", trees.TINY)
    assert "corr" not in set(tables.variance_components(idata)["quantity"])


def test_random_effects_come_level_by_level(idata):
    table = level_tables.random_effects(idata)
    assert table[["factor", "level", "term"]].to_numpy().tolist()[:3] == [
        ["g", "a", "Intercept"],
        ["g", "a", "x"],
        ["g", "b", "Intercept"],
    ]
    draws = idata["posterior"]["b_g"].to_numpy()
    assert table.loc[5, "mean"] == pytest.approx(draws[..., 2, 1].mean())
    assert "r_hat" not in table
    assert "r_hat" in level_tables.random_effects(idata, "g", diagnostics=True)


def test_coefficients_are_fixed_plus_random_effects():
    shared = trees.constant_draws(
        beta=[10.0, 2.0], sigma=1.0, sd_g=[1.0], b_g=[[1.0], [-1.0], [0.5]]
    )
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, shared)
    means = level_tables.coefficients(idata).set_index(["level", "coef"])["mean"]
    assert means["a", "Intercept"] == 11
    assert means["c", "Intercept"] == 10.5
    # No random slope: every level has the population's.
    assert means["a", "x"] == means["b", "x"] == 2


def test_a_random_effect_without_a_fixed_one_varies_around_zero():
    draws = trees.constant_draws(beta=[10.0], sigma=1.0, sd_g=[1.0], b_g=[[1.0], [-1.0], [0.5]])
    idata = trees.make_tree("y ~ 1 + (0 + x | g)", trees.TINY, draws)
    means = level_tables.coefficients(idata).set_index(["level", "coef"])["mean"]
    assert means["b", "x"] == -1
    assert means["b", "Intercept"] == 10


def test_factors_come_in_the_order_of_the_formula_even_from_a_sorted_file():
    data = {**trees.TINY, "a": np.array(list("pqpqpqpqp"))}
    idata = trees.random_tree("y ~ x + (1 | g) + (1 | a)", data)
    posterior = idata["posterior"].to_dataset()
    idata["posterior"] = posterior[sorted(posterior.data_vars)]
    assert tree.factor_names(idata) == ("g", "a")


def test_summary_prints_model_sizes_effects_components_and_verdict(idata):
    text = str(bl.summary(idata))
    order = [
        "y ~ 1 + x + (1 + x | g)",
        "9 rows; g: 3 levels",
        "4 chains of 250 after 10 of tuning, noncentered by nutpie, seed 1",
        "Fixed effects (95 % equal-tailed interval)",
        "Variance components",
        "corr Intercept, x",
        "Residual",
        "Diagnostics: no problem found",
    ]
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)


def test_summary_of_a_model_without_random_effects():
    idata = trees.random_tree("y ~ x", trees.TINY)
    assert "Residual" in str(bl.summary(idata))
    assert level_tables.random_effects(idata).empty


def test_summary_in_a_notebook_is_a_table_and_escapes_names(idata):
    shown = bl.summary(idata)._repr_html_()
    assert shown.count("<table>") == 2
    copied = idata.copy()
    copied.attrs = {**idata.attrs, "formula": "y ~ x + I(x<2) + (x | g)"}
    heading = summary_text._heading(copied)
    broken = summary_text.ModelSummary(
        tuple(heading), *(getattr(bl.summary(idata), name) for name in ("fixed", "components")),
        problems=(), ci_prob=0.95, ci_kind="eti", chains=4, draws=4000,
    )  # fmt: skip
    assert "I(x&lt;2)" in broken._repr_html_()


def test_a_summary_of_few_weighted_draws_says_so():
    idata = bl.fit_bayes(
        "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), draws=5, random_seed=1,
        parametrization="marginal", sampler="importance", progressbar=False,
    )  # fmt: skip
    assert "but 20 draws are few: means and intervals are noisy" in str(bl.summary(idata))


def test_summaries_and_predictions_compile_nothing(idata, tmp_path):
    # How fast they are is measured by benchmarks/posterior_analysis.py.
    path = tmp_path / "fit.nc"
    idata.to_netcdf(path)
    code = (
        "import sys, xarray as xr, bayeslmm as bl;"
        "idata = xr.load_datatree(sys.argv[1]);"
        "str(bl.summary(idata)); bl.diagnose(idata); bl.icc(idata); bl.predict_table(idata);"
        "print({'pymc', 'pytensor', 'nutpie'} & set(sys.modules))"
    )
    out = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-W", "ignore", "-c", code, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout.strip() == "set()"


def test_a_tree_read_from_netcdf_in_a_new_process_gives_the_same_table(idata, tmp_path):
    path = tmp_path / "fit.nc"
    idata.to_netcdf(path)
    code = (
        "import sys, xarray as xr, bayeslmm as bl;"
        "idata = xr.open_datatree(sys.argv[1]);"
        "print(repr(bl.fixed_effects(idata)['mean'].tolist()));"
        "assert 'pymc' not in sys.modules"
    )
    out = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert eval(out.stdout) == tables.fixed_effects(idata)["mean"].tolist()  # noqa: S307


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (pd.DataFrame({"x": [1]}), "DataFrame"),
        ("fit.nc", "open_datatree"),
        (xr.DataTree(), "not made by bayeslmm"),
    ],
)
def test_what_is_no_tree_of_ours_is_refused(thing, message):
    with pytest.raises(TreeError, match=message):
        tables.fixed_effects(thing)


def test_a_missing_group_or_variable_is_named(idata):
    bare = idata.copy()
    del bare["observed_data"]
    with pytest.raises(TreeError, match="no group 'observed_data'"):
        bl.summary(bare)
    lacking = idata.copy()
    lacking["posterior"] = lacking["posterior"].to_dataset().drop_vars("sigma")
    with pytest.raises(TreeError, match="no variable 'sigma'"):
        tables.variance_components(lacking)


def test_an_unknown_factor_gets_a_hint():
    idata = trees.random_tree("y ~ x + (1 | g)", trees.TINY)
    with pytest.raises(TreeError, match="Did you mean 'g'"):
        level_tables.random_effects(idata, "G")


@pytest.mark.parametrize("bad", [{"ci_prob": 95}, {"ci_prob": 0}, {"ci_kind": "wald"}])
def test_intervals_that_make_no_sense_are_refused(idata, bad):
    with pytest.raises(ArgumentError, match="ci_"):
        tables.fixed_effects(idata, **bad)


def test_trees_with_nested_factors_survive_a_file(tmp_path):
    data = {
        **trees.TINY,
        "room": np.array([1, 2, 1, 1, 2, 2, 1, 2, 2]),
        "day": np.array([True, False, True, True, False, False, True, True, False]),
    }
    idata = trees.random_tree("y ~ x + day + (1 | g/room)", data)
    idata.to_netcdf(tmp_path / "fit.nc")
    read = xr.open_datatree(tmp_path / "fit.nc")
    assert tree.factor_names(read) == ("g", "g:room")
    for ask in (level_tables.random_effects, level_tables.coefficients, tables.variance_components):
        pd.testing.assert_frame_equal(ask(read), ask(idata))
    np.testing.assert_array_equal(bl.predict(read), bl.predict(idata))


@pytest.mark.parametrize(
    ("fixed", "varying"),
    [("x*z", "z:x"), ("x:z:w", "w:x:z"), ("x*f", "f*x"), ("x:I(z > 0)", "I(z > 0):x")],
)
def test_coefficients_add_an_interaction_that_is_spelt_the_other_way(fixed, varying):
    rng = np.random.default_rng(3)
    table = {name: rng.normal(size=60) for name in "yxzw"}
    table |= {"f": np.tile(list("pq"), 30), "g": np.repeat(list("abcdefghij"), 6)}
    idata = trees.random_tree(f"y ~ {fixed} + ({varying} || g)", table)
    lines, effects = bl.coefficients(idata), bl.random_effects(idata)
    beta = bl.fixed_effects(idata)["mean"]
    pairs = {term: names.matching(term, beta.index) for term in effects["term"]}
    spelt = [(coef, term) for term, coef in pairs.items() if coef not in {term, None}]
    assert spelt
    for coef, term in spelt:
        own = lines[lines["coef"] == coef]["mean"].to_numpy()
        np.testing.assert_allclose(own, beta[coef] + effects[effects["term"] == term]["mean"])
        assert term not in set(lines["coef"])


@pytest.mark.parametrize("diagnostics", [False, True])
def test_tables_of_no_level_have_the_columns_of_any(idata, diagnostics):
    alone = trees.random_tree("y ~ x", trees.TINY)
    for table in (level_tables.random_effects, level_tables.coefficients):
        none, some = (table(tree, diagnostics=diagnostics) for tree in (alone, idata))
        assert none.empty
        assert list(none.columns) == list(some.columns)
