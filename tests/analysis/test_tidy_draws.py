"""Draws as data frames."""

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

CROSSED = "y ~ x + (x | g) + (1 | h)"
TABLE = {**trees.TINY, "h": np.array(list("pqpqpqpqp"))}


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree(CROSSED, TABLE, chains=3, draws=20)


def test_a_row_for_each_draw_and_no_random_effects(idata):
    table = bl.tidy_draws(idata)
    assert list(table.columns) == [
        ".chain", ".draw", "Intercept", "x", "sd_g[Intercept]", "sd_g[x]",
        "corr_g[Intercept,x]", "sd_h[Intercept]", "sigma",
    ]  # fmt: skip
    assert len(table) == 60
    one = table[(table[".chain"] == 2) & (table[".draw"] == 7)].iloc[0]
    at = idata["posterior"].isel(chain=2, draw=7)
    assert one["x"] == at["beta"].sel(coef="x").item()
    assert one["corr_g[Intercept,x]"] == at["corr_g"].to_numpy()[1, 0]


def test_variables_stand_for_all_their_numbers(idata):
    table = bl.tidy_draws(idata, ["b_h", "sigma"])
    assert list(table.columns)[2:] == ["b_h[p,Intercept]", "b_h[q,Intercept]", "sigma"]
    effects = idata["posterior"]["b_h"].to_numpy().reshape(60, 2)
    np.testing.assert_array_equal(table.iloc[:, 2:4], effects)


@pytest.mark.parametrize("name", ["b_g[a,x]", "x", "beta[x]", "sd_g[ x ]"])
def test_names_are_read_as_elsewhere(idata, name):
    assert bl.tidy_draws(idata, name).shape == (60, 3)


def test_long_and_wide_hold_the_same(idata):
    wide, long = (bl.tidy_draws(idata, ["beta", "sd_g[x]"], form=form) for form in bl_forms())
    assert list(long.columns) == [".chain", ".draw", "variable", "value"]
    assert len(long) == 3 * 60  # a row for each number, no product of dimensions
    place = [".chain", ".draw"]
    back = long.pivot_table("value", place, "variable", observed=True).reset_index()
    pd.testing.assert_frame_equal(
        back.rename_axis(columns=None)[list(wide.columns)], wide, check_column_type=False
    )


def bl_forms():
    return ("wide", "long")


def test_expressions_have_the_names_that_they_are_given(idata):
    table = bl.tidy_draws(
        idata, {"a/b": "sd_g[x] / sigma", "own": lambda posterior: posterior["sigma"] ** 2}
    )
    plain = bl.tidy_draws(idata)
    np.testing.assert_allclose(table["a/b"], plain["sd_g[x]"] / plain["sigma"])
    np.testing.assert_allclose(table["own"], plain["sigma"] ** 2)


def test_thinned_draws_keep_their_labels(idata):
    thinned = idata.isel(draw=slice(1, None, 5))
    assert sorted(bl.tidy_draws(thinned, "sigma")[".draw"].unique()) == [1, 6, 11, 16]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("sgima", "no quantity 'sgima'. Did you mean 'sigma'"),
        ("sd_g[x] / sigma", "an expression is given by a mapping"),
        ([], "names nothing"),
        ({"r": "sd_q / 2"}, "quantity 'r'"),
    ],
)
def test_what_is_unknown_is_refused(idata, asked, message):
    with pytest.raises(ArgumentError, match=message):
        bl.tidy_draws(idata, asked)


def test_a_form_and_effects_that_there_are_not_are_refused(idata):
    with pytest.raises(ArgumentError, match="form is 'wide' or 'long'"):
        bl.tidy_draws(idata, form="lnog")
    moments = bl.fit_bayes(
        "y ~ x + (1 | g)", TABLE, parametrization="marginal", sampler="importance", draws=100,
        effects="moments", random_seed=1, progressbar=False,
    )  # fmt: skip
    with pytest.raises(TreeError, match="keeps no draws of 'b_g'"):
        bl.tidy_draws(moments, "b_g")
