"""Refits from a tree alone: the same numbers as from the table, and refusals of other trees."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr

from bayeslmm.analysis.reml_comparison.refit import refit_reml, tree_design
from bayeslmm.design.build import build_design
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import DataWarning, TreeError
from bayeslmm.reml.fit import fit_reml
from bayeslmm.tables.datasets import load_dataset


def table(n=60, seed=4):
    rng = np.random.default_rng(seed)
    g = np.repeat([f"g{i}" for i in range(10)], n // 10)
    return pd.DataFrame(
        {
            "y": np.exp(rng.normal(size=n) + np.repeat(rng.normal(size=10), n // 10)),
            "x": rng.normal(size=n),
            "when": rng.integers(0, 9, size=n),
            "flag": rng.random(n) > 0.5,
            "kind": pd.Categorical(rng.choice(list("abc"), n), ["c", "a", "b"]),
            "w": rng.uniform(0.5, 2.0, n),
            "weights": rng.uniform(1.0, 5.0, n),
            "g": g,
            "id": np.tile(np.arange(6) + 300, n // 6),
        }
    )


def marked(formula, data, weights=None):
    """A tree as `fit_bayes` makes it, with the fingerprint of its data."""
    tree = trees.random_tree(formula, data, draws=20, weights=weights)
    tree.attrs["data_fingerprint"] = fingerprint(build_design(formula, data, weights=weights))
    return tree


CASES = {
    "plain": ("y ~ x + (x | g)", None),
    "weights": ("y ~ x + (1 | g)", "w"),
    "offset": ("y ~ when + offset(x) + (1 | g)", None),
    "boolean": ("y ~ flag * x + (flag | g)", None),
    "order of categories": ("y ~ kind + (1 | g)", None),
    "learnt columns": ("log(y) ~ poly(when, 2) + scale(x) + (1 | g)", "w"),
    "numbered levels": ("y ~ x + (1 | id) + (1 | g)", None),
    "a column named weights": ("y ~ weights + (1 | g)", None),
}


def assert_same(ours, theirs):
    assert ours.formula == theirs.formula
    # The same numbers go into the same search; 1e-8 leaves room for the order of sums.
    assert ours.criterion == pytest.approx(theirs.criterion, rel=1e-8)
    pd.testing.assert_frame_equal(ours.fixed_effects, theirs.fixed_effects, rtol=1e-8)
    np.testing.assert_allclose(ours.theta, theirs.theta, rtol=1e-8, atol=1e-8)
    for name, modes in theirs.random_effects.items():
        pd.testing.assert_frame_equal(ours.random_effects[name], modes, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "from a file"])
def test_a_refit_is_the_fit_of_the_table(case, stored, tmp_path):
    formula, weights = CASES[case]
    tree = marked(formula, table(), weights)
    if stored:
        tree.to_netcdf(tmp_path / "tree.nc")
        tree = xr.open_datatree(tmp_path / "tree.nc").load()
    assert_same(refit_reml(tree), fit_reml(formula, table(), weights=weights))


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_rows_that_the_fit_dropped_stay_dropped():
    data = table()
    data.loc[[3, 17], "x"] = np.nan
    with pytest.warns(DataWarning):
        tree = marked("y ~ x + (1 | g)", data)
    with pytest.warns(DataWarning):
        theirs = fit_reml("y ~ x + (1 | g)", data)
    ours = refit_reml(tree)
    assert ours.n_obs == 58
    assert_same(ours, theirs)


def test_ml_is_on_request_and_singular_fits_do_not_warn():
    tree = marked("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff2"))
    fit = refit_reml(tree, method="ML")
    assert fit.method == "ML"
    assert fit.is_singular


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_another_process_refits_without_loading_a_sampler(tmp_path):
    path = tmp_path / "tree.nc"
    marked("y ~ kind + (x | g)", table()).to_netcdf(path)
    code = (
        "import sys, xarray, bayeslmm as bl;"
        f"tree = xarray.open_datatree({str(path)!r}).load();"
        "bl.compare_reml(tree); bl.compare_random_effects(tree);"
        "print(bl.refit_reml(tree).criterion, 'pymc' in sys.modules, 'pytensor' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    criterion, *loaded = done.stdout.split()
    assert loaded == ["False", "False"]
    assert float(criterion) == pytest.approx(fit_reml("y ~ kind + (x | g)", table()).criterion)


def test_changed_rows_are_refused_by_their_fingerprint_or_let_through_on_request():
    tree = marked("y ~ x + (1 | g)", table())
    tree["observed_data"] = tree["observed_data"].to_dataset() + 1.0
    with pytest.raises(TreeError, match=r"fingerprint.*check_data=False"):
        refit_reml(tree)
    design = tree_design(tree, check_data=False)
    np.testing.assert_allclose(design.y, table()["y"] + 1.0)


def without(tree, group):
    kept = {name: tree[name].to_dataset() for name in tree.children if name != group}
    other = xr.DataTree.from_dict(kept)
    other.attrs = tree.attrs
    return other


@pytest.mark.parametrize("group", ["constant_data", "observed_data", "posterior"])
def test_a_lost_group_is_named_with_the_way_to_get_it(group):
    tree = without(marked("y ~ x + (1 | g)", table()), group)
    with pytest.raises(TreeError, match=f"no group '{group}'.*`fit_bayes` returned"):
        refit_reml(tree)


def test_a_lost_column_is_named():
    tree = marked("y ~ x + (1 | g)", table())
    tree["constant_data"] = tree["constant_data"].to_dataset().drop_vars("x")
    with pytest.raises(TreeError, match=r"cannot be coded as the fit coded them: .*'x'"):
        refit_reml(tree)


def test_levels_that_were_not_drawn_are_named():
    tree = marked("y ~ x + (1 | g)", table())
    rows = tree["constant_data"].to_dataset()
    rows["g"] = ("obs", np.where(rows["g"] == "g3", "new", rows["g"]))
    tree["constant_data"] = rows
    with pytest.raises(TreeError, match=r"'new' was not drawn"):
        refit_reml(tree)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("design", "{}", "cannot be coded"),
        ("design", "no JSON", "cannot be coded"),
    ],
)
def test_a_broken_state_is_an_error_about_the_tree(attribute, value, message):
    tree = marked("y ~ x + (1 | g)", table())
    tree.attrs[attribute] = value
    with pytest.raises(TreeError, match=message):
        refit_reml(tree)


@pytest.mark.parametrize("other", [None, pd.DataFrame({"y": [1.0]}), xr.DataTree()])
def test_anything_else_is_no_result_tree(other):
    with pytest.raises(TreeError):
        refit_reml(other)
