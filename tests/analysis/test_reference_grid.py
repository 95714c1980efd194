"""A reference grid's levels, the rows that count, and contrasts of a fit of lower rank."""

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, RankDeficiencyWarning

TRIAL = trees.trial()


@pytest.fixture(scope="module")
def reml():
    return bl.fit_reml("y ~ arm * C(week) + sex + age + (1 | subject)", TRIAL)


def confounded():
    """A treatment crossed with four sites, three of which lie in one region."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "t": np.tile(["a", "b", "c"], 32),
            "site": np.repeat(["p", "q", "r", "s"], 24),
            "region": np.repeat(["n", "o"], [72, 24]),
            "g": np.tile(np.repeat([f"g{i}" for i in range(8)], 3), 4),
        }
    )
    return table.assign(y=rng.normal(0, 1, 96) + (table["t"] == "b") * 2 + (table["site"] == "q"))


def test_contrasts_are_determined_where_their_means_are_not():
    table = confounded()
    with pytest.warns(RankDeficiencyWarning):
        fit = bl.fit_reml("y ~ t + site + region + (1 | g)", table, rank_deficient="drop")
    with pytest.raises(ArgumentError, match="do not determine the mean at t = a"):
        bl.marginal_means(fit, "t")
    without = bl.fit_reml("y ~ t + site + (1 | g)", table)
    # The same column space, searched twice: nine digits.
    for kind in ("pairwise", "reference", "sequential", "meandev"):
        found, right = (bl.marginal_means(f, "t", contrasts=kind) for f in (fit, without))
        pd.testing.assert_frame_equal(found, right, rtol=1e-6)
    # By site, whose means hang together with the region's.
    found, right = (
        bl.marginal_means(f, "t", by="site", contrasts="pairwise") for f in (fit, without)
    )
    pd.testing.assert_frame_equal(found, right, rtol=1e-6)
    # Differences of differences, from which all that is additive cancels.
    twice = {"contrasts": "pairwise", "by_contrasts": "reference"}
    found = bl.marginal_means(fit, "t", by="region", **twice)
    np.testing.assert_allclose(found[["estimate", "std_error"]], 0, atol=1e-7)
    with pytest.raises(ArgumentError, match="determine the contrast = region: o"):
        bl.marginal_means(fit, "region", contrasts="pairwise")
    # Weights that do not sum to zero are a mean again.
    with pytest.raises(ArgumentError, match="determine the contrast = a"):
        bl.marginal_means(fit, "t", contrasts=[[1, 0, 0]])


def test_a_posterior_of_lower_rank_has_those_contrasts_too():
    table, options = confounded(), {"parametrization": "marginal", "sampler": "importance"}
    with pytest.warns(RankDeficiencyWarning):
        fit, without = (
            bl.fit_bayes(formula, table, rank_deficient="drop", random_seed=1, **options)
            for formula in ("y ~ t + region + site + (1 | g)", "y ~ t + site + (1 | g)")
        )
    found, right = (bl.marginal_means(f, "t", contrasts="pairwise") for f in (fit, without))
    # Independent draws: within some Monte Carlo errors, which are a sixtieth of the sd or less.
    assert (np.abs(found["mean"] - right["mean"]) < 0.1 * right["sd"]).all()


@pytest.mark.parametrize(
    ("column", "value", "average", "message"),
    [
        ("age", None, "balanced", r"2 of \d+ rows of data lack a value of 'age'.*first is row 3"),
        ("age", None, "rows", r"2 of \d+ rows of data lack a value of 'age'.*first is row 3"),
        ("sex", None, "rows", "lack a value of 'sex'"),
        ("week", np.nan, "rows", "lack a value of 'week'"),
        ("age", "old", "balanced", "'age' held numbers"),
        ("age", "old", "rows", "'age' held numbers"),
    ],
)
def test_rows_that_lack_values_are_named(reml, column, value, average, message):
    table = TRIAL.astype({column: object})
    table.loc[[3, 8], column] = value
    if value is None and column == "age":
        table = table.astype({"age": float})
    with pytest.raises(DataError, match=message):
        bl.marginal_means(reml, "arm", data=table, average=average)
    # What does not count may be missing.
    assert len(bl.marginal_means(reml, "arm", data=table, at={column: TRIAL[column].iloc[0]})) == 3


@pytest.mark.parametrize("value", [np.nan, None, [50, None]])
def test_a_missing_value_is_none_to_set(reml, value):
    with pytest.raises(ArgumentError, match="at gives 'age' a missing value"):
        bl.marginal_means(reml, "arm", at={"age": value})


def test_levels_of_a_balanced_grid_are_the_fit_s_whatever_data_holds(reml):
    some = TRIAL[(TRIAL["week"] != 4) & (TRIAL["sex"] == "f")]
    found = bl.marginal_means(reml, "arm", data=some)
    right = bl.marginal_means(reml, "arm", at={"age": some["age"].mean()})
    pd.testing.assert_frame_equal(found, right)
    assert bl.marginal_means(reml, "week", data=some)["week"].tolist() == [0, 4, 12]


def test_focal_groups_are_the_fit_s_whatever_data_holds():
    tree = trees.random_tree("y ~ arm + (1 | site)", TRIAL, draws=10)
    options = {"average": "rows", "random_effects": "all"}
    found = bl.marginal_means(tree, "site", data=TRIAL[TRIAL["site"] != "v"], **options)
    assert found["site"].tolist() == ["u", "v", "w"]


def test_cross_products_tell_the_levels_that_were_coded():
    table = TRIAL.assign(visit=TRIAL["week"].map({0: 1, 4: 2, 12: 5}))
    formula = "y ~ arm * C(visit) + (1 | subject)"
    fit = bl.fit_reml(formula, table)
    summed = bl.fit_reml(formula, bl.gram_from_table(formula, table))
    for of in ("arm", "visit"):
        for data in (None, table[table["visit"] > 1]):
            found = bl.marginal_means(summed, of, data=data)
            right = bl.marginal_means(fit, of)
            # Two ways to sum agree to some nine digits; visits are whole numbers of either type.
            pd.testing.assert_frame_equal(found, right, rtol=1e-6, check_dtype=False)
