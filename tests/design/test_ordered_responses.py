"""Responses of ordered categories: their order, their numbers, and thresholds for an intercept."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayeslmm as bl
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import DataError, FormulaError

WORDS = ["low", "high", "middle", "low", "high", "middle", "low", "high"]
ORDER = ["low", "middle", "high"]
X = [0.0, 1.0, 2.0, 1.5, 0.5, 3.0, 2.5, 1.0]
F = list("abcabcab")


def table(y):
    return pd.DataFrame({"y": y, "x": X, "f": F})


@pytest.fixture
def ordered():
    return table(pd.Categorical(WORDS, ORDER, ordered=True))


def design_of(data, formula="y ~ x", **options):
    return bl.build_design(formula, data, family="cumulative", **options)


@pytest.mark.parametrize(
    "given",
    [
        table(pd.Categorical(WORDS, ORDER, ordered=True)),
        pl.DataFrame({"y": pl.Series(WORDS, dtype=pl.Enum(ORDER)), "x": X, "f": F}),
        table([ORDER.index(word) + 1 for word in WORDS]),
        table([ORDER.index(word) + 1.0 for word in WORDS]),
    ],
    ids=["pandas", "polars", "whole", "floats"],
)
def test_categories_are_numbered_from_one_in_their_order(given):
    design = design_of(given)
    assert design.y.tolist() == [1.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 3.0]
    assert len(design.family.categories) == 3
    assert design.coef == ("x",)


def test_thresholds_stand_in_the_place_of_an_intercept(ordered):
    assert design_of(ordered, "y ~ x + f").coef == ("x", "f[T.b]", "f[T.c]")
    assert design_of(ordered, "y ~ 1").coef == ()
    with pytest.raises(FormulaError, match=r"thresholds in the place of an intercept.*leave the 0"):
        design_of(ordered, "y ~ 0 + f")


def test_a_constant_column_is_one_of_the_thresholds(ordered):
    ordered["one"] = 2.0
    with pytest.raises(DataError, match=r"one = 2 \* Intercept"):
        design_of(ordered, "y ~ x + one")


def test_new_rows_are_coded_as_the_training_rows(ordered):
    state = DesignState.from_json(design_of(ordered, "y ~ x + f").state.to_json())
    assert state.response_levels == tuple(ORDER)
    new = pd.DataFrame({"y": pd.Categorical(["high"], ORDER, ordered=True), "x": 1.0, "f": "b"})
    again = rebuild_design(state, new)
    assert again.y.tolist() == [3.0]
    assert again.X.tolist() == [[1.0, 1.0, 0.0]]
    assert again.family.categories == tuple(ORDER)
    assert np.isnan(rebuild_design(state, new.drop(columns="y")).y).all()
    with pytest.raises(DataError, match="is 'none' in some rows, and the model's cat"):
        rebuild_design(state, new.assign(y=["none"]))


def test_dropped_columns_follow_from_thresholds_too(ordered):
    ordered["shifted"] = 3.0 + 2.0 * ordered["x"]
    with pytest.warns(bl.RankDeficiencyWarning):
        design = design_of(ordered, "y ~ x + shifted", rank_deficient="drop")
    assert design.coef == ("x",)
    state = DesignState.from_json(design.state.to_json())
    assert state == design.state
    assert rebuild_design(state, ordered).coef == ("x",)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (
            WORDS,
            r"have no order: make the column an ordered categorical, pandas.Categorical\(table",
        ),
        (pd.Categorical(WORDS), "have no order"),
        ([True, False] * 4, "holds booleans: family='bernoulli'"),
        ([0, 1, 2, 0, 1, 2, 0, 1], "is 0 in row 0 .*Number the categories from 1"),
        ([1.5, 1, 2, 1, 1, 2, 1, 1], "is 1.5 in row 0"),
        ([1] * 8, "has one category only"),
    ],
    ids=["text", "unordered", "booleans", "zero", "fractions", "one"],
)
def test_other_responses_are_refused_with_the_way_out(y, words):
    with pytest.raises(DataError, match=words):
        design_of(table(y))


def test_numbers_beyond_the_training_rows_are_refused():
    state = design_of(table([1, 2, 3, 1, 2, 3, 1, 2])).state
    with pytest.raises(DataError, match="is 4 in some rows, and the model's categories are 1 to 3"):
        rebuild_design(state, {"y": [4], "x": [1.0]})


def test_simulated_categories_need_no_response(ordered):
    design = design_of(ordered.drop(columns="y"), response="optional")
    y, _ = bl.simulate_response(
        design, beta={"x": 0.0}, parameters={"threshold": [-40.0, 40.0]}, random_seed=1
    )
    assert y.tolist() == [2.0] * 8
    for wrong, words in [
        ([1.0, 0.0], "goes up"),
        (1.0, "from the lowest up"),
        ([], "numbers, from"),
    ]:
        with pytest.raises(bl.ArgumentError, match=words):
            bl.simulate_response(design, beta={"x": 0.0}, parameters={"threshold": wrong})


def test_a_family_may_know_more_categories_than_occur():
    family = bl.Cumulative(categories=["1", "2", "3", "4"])
    design = bl.build_design("y ~ x", table([1, 2, 3, 1, 2, 3, 1, 2]), family=family)
    assert design.family == family
    assert design.state.response_levels == ("1", "2", "3", "4")
    named = bl.Cumulative(categories=["none", *ORDER])
    design = bl.build_design("y ~ x", table(WORDS), family=named)
    assert design.y.tolist() == [2.0, 4.0, 3.0, 2.0, 4.0, 3.0, 2.0, 4.0]
    with pytest.raises(DataError, match="the model's categories are 'low', 'middle'"):
        bl.build_design("y ~ x", table(WORDS), family=bl.Cumulative(categories=ORDER[:2]))
