"""gr(g, by=arm): columns of each arm, levels inside arms, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.design.factors.arms import UNTOLD
from bayeslmm.design.state import DesignState
from bayeslmm.errors import DataError, DataWarning, FormulaError

TABLE = {
    "y": np.array([1.0, 3, 2, 5, 4, 6, 5, 8, 1, 2]),
    "x": np.array([0.0, 1, 2, 0, 1, 2, 1, 3, 2, 5]),
    "g": list("aabbccddee"),
    "arm": list("ttttccccct"),
    "sex": [0, 0, 1, 1, 0, 0, 1, 1, 1, 1],
}
TABLE["arm"][-1] = "c"
FORMULA = "y ~ x + (x | gr(g, by=arm))"


def factor(formula, table=TABLE):
    return bl.build_design(formula, table).factors[0]


def refused(formula, table=TABLE, error=DataError):
    with pytest.raises(error) as caught:
        bl.build_design(formula, table)
    return str(caught.value)


def test_columns_are_those_of_the_spelt_out_term():
    found = factor(FORMULA)
    spelt = factor("y ~ x + (0 + arm + arm:x | g)")
    assert found.terms == ("arm[c]", "arm[c]:x", "arm[t]", "arm[t]:x")
    assert found.blocks == ((0, 1), (2, 3))
    order = [spelt.terms.index(term) for term in found.terms]
    np.testing.assert_array_equal(found.columns, spelt.columns[:, order])
    assert found.arms.level_labels == ("t", "t", "c", "c", "c")
    np.testing.assert_array_equal(found.arms.holds, [[0, 0, 1, 1]] * 2 + [[1, 1, 0, 0]] * 3)


def test_bars_say_which_columns_are_correlated():
    assert factor("y ~ x + (x || gr(g, by=arm))").blocks == ((0,), (1,), (2,), (3,))
    assert factor("y ~ x + (1 | gr(g, by=arm))").terms == ("arm[c]", "arm[t]")
    both = factor("y ~ x + (1 | g) + (0 + x | gr(g, by=arm))")
    assert both.terms == ("Intercept", "arm[c]:x", "arm[t]:x")
    np.testing.assert_array_equal(both.arms.holds, [[1, 0, 1]] * 2 + [[1, 1, 0]] * 3)
    two = factor("y ~ x + (1 | gr(g, by=arm)) + (0 + x | gr(g, by=arm))")
    assert two.blocks == ((0,), (1,), (2,), (3,))


@pytest.mark.parametrize(
    ("arms", "labels"),
    [
        ([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], ("0", "1")),
        (np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 0]), ("0", "1")),
        (np.array([True] * 4 + [False] * 6), ("False", "True")),
        (pd.Categorical(["t"] * 4 + ["c"] * 6, categories=["t", "c"]), ("t", "c")),
    ],
)
def test_arms_may_be_numbers_truth_values_or_categories(arms, labels):
    found = factor(FORMULA, {**TABLE, "arm": arms})
    assert found.arms.labels == labels
    assert found.arms.level_labels[0] == labels[1] or found.arms.level_labels[0] == "t"


def test_combinations_are_levels_in_arms_too():
    found = factor("y ~ x + (1 | gr(arm:sex, by=arm))", {**TABLE, "sex": [0, 1] * 5})
    assert found.levels.tolist() == ["c:0", "c:1", "t:0", "t:1"]
    assert found.arms.level_labels == ("c", "c", "t", "t")


def test_categories_without_rows_are_no_arms():
    arms = pd.Categorical(["t"] * 4 + ["c"] * 6, categories=["t", "none", "c"])
    with pytest.warns(DataWarning, match="Dropped 1 of 3 categories of 'arm'"):
        assert factor(FORMULA, pd.DataFrame({**TABLE, "arm": arms})).arms.labels == ("t", "c")


def test_rows_without_an_arm_are_left_out():
    table = pd.DataFrame({**TABLE, "arm": [None, *TABLE["arm"][1:]]})
    with pytest.warns(DataWarning, match="Dropped 1 of 10 rows for missing values: arm 1"):
        assert factor(FORMULA, table).arms.level_labels == ("t", "t", "c", "c", "c")


def test_a_level_in_two_arms_is_named_with_both():
    message = refused(FORMULA, {**TABLE, "arm": list("tcttcccccc")})
    assert "The level 'a' of 'g' is in two arms, 'arm' is 't' and 'c'" in message
    assert "write gr(arm:g, by=arm)" in message
    assert "(0 + arm | g)" in message


def test_the_ways_out_of_two_arms_exist():
    table = pd.DataFrame({**TABLE, "g": list("ababababab")})
    assert factor("y ~ x + (1 | gr(arm:g, by=arm))", table).arms is not None
    assert factor("y ~ x + (0 + arm | g)", table).arms is None


def test_an_arm_of_one_level_and_a_single_arm_are_refused():
    message = refused(FORMULA, {**TABLE, "arm": list("ttcccccccc")})
    assert "The arm 't' of 'arm' has one level only of 'g'" in message
    assert "(... | g)" in message
    assert "every row has 'arm' = 't'" in refused(FORMULA, {**TABLE, "arm": list("tttttttttt")})


def test_a_column_of_zeros_in_one_arm_is_named():
    x = np.where(np.array(TABLE["arm"]) == "t", 0.0, TABLE["x"])
    message = refused(FORMULA, {**TABLE, "x": x})
    assert "The random-effect column 'x' of 'g' is zero in every row of the arm 't'" in message


@pytest.mark.parametrize(
    ("terms", "column"),
    [
        ("(1 | g) + (x | gr(g, by=arm))", "'Intercept' stands twice on 'g'"),
        ("(x | gr(g, by=arm)) + (0 + x | g)", "'x' stands twice on 'g'"),
        ("(0 + arm | g) + (1 | gr(g, by=arm))", "'arm[c]' stands twice on 'g'"),
    ],
)
def test_a_column_stands_once_with_or_without_arms(terms, column):
    text = f"y ~ x + {terms}"
    message = refused(text, error=FormulaError)
    assert column in message
    second = message.split("\n")[2].index("^") - 4
    assert text[second:].startswith("(")
    assert second > text.index("(")


def test_measured_numbers_are_no_arms():
    assert "holds the number 0.5" in refused(FORMULA, {**TABLE, "arm": np.full(10, 0.5)})


def test_a_state_keeps_the_arms_and_goes_through_json():
    state = bl.build_design(FORMULA, TABLE).state
    assert DesignState.from_json(state.to_json()) == state
    text = state.to_json(levels=False)
    assert json.loads(text)["arms"]["g"]["levels"] is None
    arms = {"g": state.arms["g"].level_labels}
    assert DesignState.from_json(text, state.levels, arms=arms) == state
    plain = bl.build_design("y ~ x + (x | g)", TABLE).state
    assert "arms" not in json.loads(plain.to_json())


def test_new_rows_have_known_arms_and_levels_in_them():
    state = bl.build_design(FORMULA, TABLE).state
    new = {"x": [2.0, 2.0, 3.0], "g": ["a", "new", "c"], "arm": ["t", "c", "c"]}
    found = bl.rebuild_design(state, new).factors[0]
    assert found.levels.tolist() == ["a", "b", "c", "d", "e", "new"]
    np.testing.assert_array_equal(found.columns, [[0, 0, 1, 2], [1, 2, 0, 0], [1, 3, 0, 0]])
    assert found.arms.level_labels[-1] == "c"
    assert found.arms.levels[:5] == state.arms["g"].levels
    with pytest.raises(DataError, match="'a' of 'g' has 'arm' = 'c' here, and had 't'"):
        bl.rebuild_design(state, {**new, "arm": ["c", "c", "c"]})
    with pytest.raises(DataError, match=r"'arm' has the value 'u'.*There are c, t"):
        bl.rebuild_design(state, {**new, "arm": ["t", "u", "c"]})
    with pytest.raises(DataError, match="'new' of 'g' is in two arms"):
        bl.rebuild_design(state, {**new, "g": ["new", "new", "c"]})


def test_a_row_without_a_level_needs_no_arm():
    state = bl.build_design(FORMULA, TABLE).state
    new = pd.DataFrame({"x": [2.0, 3.0], "g": ["a", None], "arm": ["t", None]})
    found = bl.rebuild_design(state, new, no_level=["g", "arm"]).factors[0]
    np.testing.assert_array_equal(found.columns, [[0, 0, 1, 2], [0, 0, 0, 0]])
    assert found.arms.levels[-1] == UNTOLD


def test_default_priors_are_those_of_the_term_without_arms():
    rows = {**TABLE, "x": TABLE["x"] + 10.0}
    plain = bl.resolve_priors(bl.build_design("y ~ x + (x | g)", rows))
    parted = bl.resolve_priors(bl.build_design(FORMULA, rows))
    assert parted.factors[0].sd == plain.factors[0].sd * 2
    assert parted.factors[0].corr == plain.factors[0].corr
    (own,) = plain.factors[0].shift.sets
    assert parted.factors[0].shift.sets == (own, ((2, 3), own[1]))
    chosen = {"sd_g[arm[t]:x]": "HalfNormal(3)", "sd_g": "HalfNormal(4)"}
    priors = bl.resolve_priors(bl.build_design(FORMULA, rows), chosen)
    assert [str(p) for p in priors.factors[0].sd[2:]] == [
        "HalfNormal(sigma=4)",
        "HalfNormal(sigma=3)",
    ]
    again = bl.Priors.from_json(priors.to_json())
    assert again == priors


@pytest.mark.parametrize(
    ("term", "what"),
    [
        ("(1 | gr(g, by=arm, cov=A))", r"cov= beside by="),
        ("cs(0 + sex | gr(g, by=arm))", r"cs\(\) of gr\(by=\)"),
    ],
)
def test_what_stands_in_no_arm_is_refused_with_the_caret(term, what):
    with pytest.raises(FormulaError, match=what + " is not there") as caught:
        bl.build_design(f"y ~ x + {term}", TABLE)
    assert "^" in str(caught.value)


def test_a_factor_has_arms_or_known_relations():
    both = "y ~ x + (1 | gr(g, by=arm)) + (0 + x | gr(g, cov=A))"
    A = (np.eye(5), list("abcde"))
    with pytest.raises(FormulaError, match="different covariances of its levels"):
        bl.build_design(both, TABLE, known={"A": A})
