"""Rows keep their labels: weights, columns and predictions go to the rows they belong to."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl

QUICK = {
    "parametrization": "marginal",
    "sampler": "importance",
    "draws": 100,
    "chains": 2,
    "random_seed": 1,
    "progressbar": False,
}
FORMULA = "y ~ x + (1 | g)"
rng = np.random.default_rng(12)
group = np.repeat(np.arange(8), 6)
TABLE = pd.DataFrame({"x": rng.normal(size=48), "g": group.astype(str)})
TABLE["y"] = 0.5 * TABLE.x + rng.normal(0, 1, 8)[group] + rng.normal(size=48)
WEIGHTS = pd.Series(np.linspace(0.2, 5, 48), index=TABLE.index)
HOLES = TABLE.copy()
HOLES.loc[[0, 3, 20], "x"] = np.nan


def labels_of(array):
    return list(pd.Index(array["obs"].to_numpy()))


def named(prefix):
    return TABLE.set_axis([f"{prefix}{k}" for k in range(48)])


@pytest.mark.parametrize(
    "arrange",
    [
        lambda table: table.sample(frac=1, random_state=3),
        lambda table: table.iloc[::-1],
        lambda table: table.sort_values("y"),
        lambda table: table.iloc[5:40],
    ],
)
@pytest.mark.parametrize("fit", [bl.fit_reml, lambda *a, **k: bl.fit_bayes(*a, **k, **QUICK)])
def test_weights_follow_the_index_of_the_table(arrange, fit):
    table = arrange(TABLE)
    by_index = fit(FORMULA, table, weights=WEIGHTS)
    by_position = fit(FORMULA, table, weights=WEIGHTS[table.index].to_numpy())
    numbers = [
        one.fixed_effects if hasattr(one, "fixed_effects") else bl.fixed_effects(one)
        for one in (by_index, by_position)
    ]
    pd.testing.assert_frame_equal(*numbers)


@pytest.mark.parametrize(
    ("table", "weights"),
    [
        (TABLE[TABLE.x > 0], pd.Series(np.ones((TABLE.x > 0).sum()))),
        (named("a"), WEIGHTS),
        (TABLE.set_axis(np.repeat(np.arange(24), 2)), WEIGHTS),
        (TABLE.iloc[::-1], WEIGHTS.set_axis(np.repeat(np.arange(24), 2))),
    ],
)
def test_weights_that_no_row_claims_are_refused_with_a_way_out(table, weights):
    with pytest.raises(bl.DataError, match=r"pandas Series whose index is not the table's"):
        bl.build_design(FORMULA, table, weights=weights)
    assert len(bl.build_design(FORMULA, table, weights=weights.to_numpy()[: len(table)]).y)


def test_weights_without_an_index_beside_them_go_by_position():
    shuffled = WEIGHTS.sample(frac=1, random_state=1)
    columns = {name: TABLE[name].to_numpy() for name in TABLE}
    design = bl.build_design(FORMULA, columns, weights=shuffled)
    np.testing.assert_array_equal(design.weights, shuffled)


@pytest.mark.parametrize(
    "order", [np.arange(48)[::-1], np.random.default_rng(1).permutation(48), np.arange(10, 40)]
)
def test_series_with_different_indexes_are_aligned_as_a_table_of_them_is(order):
    given = {"y": TABLE.y.iloc[order], "x": TABLE.x, "g": TABLE.g}
    with pytest.warns(bl.DataWarning) if len(order) < 48 else np.errstate():
        ours = bl.build_design(FORMULA, given)
    with pytest.warns(bl.DataWarning) if len(order) < 48 else np.errstate():
        theirs = bl.build_design(FORMULA, pd.DataFrame(given))
    np.testing.assert_array_equal(ours.y, theirs.y)
    np.testing.assert_array_equal(ours.X, theirs.X)
    np.testing.assert_array_equal(ours.obs, theirs.obs)


def test_series_that_cannot_be_aligned_are_refused():
    twice = TABLE.x.set_axis(np.repeat(np.arange(24), 2))
    with pytest.raises(bl.DataError, match="indexes differ, and cannot be aligned"):
        bl.build_design(FORMULA, {"y": TABLE.y, "x": twice, "g": TABLE.g})


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(48),
        pd.RangeIndex(47, -1, -1),
        pd.Index([f"row {k}" for k in range(48)]),
        pd.date_range("2024-01-01", periods=48, freq="D"),
        pd.Index(np.linspace(0, 1, 48)),
        pd.CategoricalIndex([f"row {k}" for k in range(48)]),
    ],
    ids=["range", "reversed", "text", "dates", "floats", "categories"],
)
def test_predictions_carry_the_index_of_the_table(index, tmp_path):
    table = HOLES.set_axis(index)
    with pytest.warns(bl.DataWarning, match="Dropped 3 of 48"):
        fit = bl.fit_bayes(FORMULA, table, **QUICK)
    fit.to_netcdf(tmp_path / "fit.nc")
    for tree in (fit, xr.load_datatree(tmp_path / "fit.nc")):
        table["fit"] = bl.predict_table(tree)["mean"]
        assert table["fit"].isna().sum() == 3
        rows = table.dropna()
        again = bl.predict_table(tree, rows)["mean"]
        pd.testing.assert_series_equal(rows["fit"], again, check_names=False, check_index=False)
        assert list(again.index) == list(rows.index)
        assert labels_of(bl.predict(tree)) == list(again.index)
        likelihood = bl.add_log_likelihood(tree)["log_likelihood"]["y"]
        assert labels_of(likelihood) == list(again.index)
        likelihood = bl.log_likelihood(tree, rows)
        assert labels_of(likelihood) == list(again.index)
        contrasts = bl.compare_predictions(tree, {"x": [0, 1]}, average=False)
        assert contrasts["obs"].tolist() == again.index.tolist()


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning", "ignore:Pareto k")
def test_leave_one_out_names_rows():
    fit = bl.fit_bayes(FORMULA, HOLES.set_axis(named("r").index), **QUICK)
    assert labels_of(bl.loo(fit).elpd_i)[:3] == ["r1", "r2", "r4"]


def test_a_prior_tree_carries_the_index():
    tree = bl.sample_prior(FORMULA, named("r"), draws=3, random_seed=1)
    for name in ("prior_predictive", "observed_data", "constant_data"):
        assert labels_of(tree[name])[:2] == ["r0", "r1"]


def test_rows_without_an_index_are_numbered_as_in_the_table():
    columns = {name: HOLES[name].to_numpy() for name in HOLES}
    with pytest.warns(bl.DataWarning):
        fit = bl.fit_bayes(FORMULA, columns, **QUICK)
    assert bl.predict_table(fit).index[:3].tolist() == [1, 2, 4]
    levels = pd.MultiIndex.from_arrays([HOLES.g, np.arange(48)])
    with pytest.warns(bl.DataWarning):
        design = bl.build_design(FORMULA, HOLES.set_axis(levels))
    assert design.obs[:3].tolist() == [1, 2, 4]


@pytest.mark.parametrize("change", ["numbers", "no coordinate"])
def test_trees_written_before_are_read_as_they_were(change):
    fit = bl.fit_bayes(FORMULA, TABLE, **QUICK)
    for name in ("observed_data", "constant_data"):
        rows = fit[name].to_dataset().drop_vars("obs")
        fit[name] = rows if change == "no coordinate" else rows.assign_coords(obs=np.arange(48))
    assert bl.predict_table(fit).index.tolist() == list(range(48))
    assert bl.refit_reml(fit).n_levels == {"g": 8}
