"""Designs rebuild themselves on new rows with the coding, knots, means and levels of the old."""

import json

import numpy as np
import pandas as pd
import pytest

from bayeslmm.design.build import build_design, rebuild_design
from bayeslmm.design.design import Design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, DataError, DataWarning, RankDeficiencyWarning
from bayeslmm.formula.mixed_formula import parse_formula

N = 40


@pytest.fixture
def table():
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "y": rng.uniform(1, 2, N),
            "x": rng.normal(3, 2, N),
            "z": rng.uniform(1, 5, N),
            "f": pd.Categorical(np.tile(list("cabb"), 10), categories=list("cab")),
            "flag": np.arange(N) % 3 == 0,
            "k": np.arange(N) % 4,
            "g": np.repeat([f"s{i}" for i in range(8)], 5),
            "h": np.tile(list("pqrst"), 8),
        }
    )


FORMULAS = [
    "y ~ x * f + (x | g)",
    "y ~ 0 + f:x + flag + (f || h)",
    "log(y) ~ poly(x, 3) + (poly(x, 2) | g) + (1 | h)",
    "y ~ bs(x, df=5) + center(z)",
    "y ~ bs(x, knots=[2, 4.5], degree=2) + I(z > 3)",
    "y ~ cr(x, df=4, constraints='center') + cc(z, df=3, constraints='center')",
    "scale(y) ~ scale(x) + C(k, Sum) + C(flag, Treatment(True)) + offset(log(z)) + (1 | g:h)",
    "y ~ C(k, levels=[3, 0, 2, 1]) + I(x / 3) + (1 | g/k)",
    "y ~ poly(x, 2, raw=True) + scale(log(z)) + (0 + scale(x) | g)",
    "y ~ C(f, Helmert) + C(flag)",
    "y ~ C(k, Poly) + C(x > 3)",
]


def identical(one, other):
    for a, b in ((one.X, other.X), (one.y, other.y), (one.offset, other.offset)):
        np.testing.assert_array_equal(a, b)  # to the last bit
    assert one.coef == other.coef
    assert [f.name for f in one.factors] == [f.name for f in other.factors]
    for a, b in zip(one.factors, other.factors, strict=True):
        np.testing.assert_array_equal(a.columns, b.columns)
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.levels, b.levels)
        assert (a.terms, a.blocks, a.n_known) == (b.terms, b.blocks, b.n_known)


# `(1 | g:h)` has a level for every row of this table, which unequal weights allow.
WEIGHTS = np.arange(1.0, N + 1)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_training_rows_rebuild_to_the_same_bits(formula, table):
    design = build_design(formula, table, weights=WEIGHTS)
    identical(rebuild_design(design.state, table), design)
    from_json = DesignState.from_json(design.state.to_json())
    assert from_json == design.state
    identical(rebuild_design(from_json, table), design)
    identical(rebuild_design(from_json, design.data), design)


@pytest.mark.parametrize("formula", FORMULAS)
def test_single_rows_are_coded_as_among_all(formula, table):
    design = build_design(formula, table, weights=WEIGHTS)
    for i in (0, 7, 39):
        row = rebuild_design(design.state, table.iloc[[i]], response="required")
        # One row goes through other vector instructions than forty: rounding only.
        np.testing.assert_allclose(row.X[0], design.X[i], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(row.y, design.y[[i]], rtol=1e-12)
        for new, old in zip(row.factors, design.factors, strict=True):
            assert new.levels[new.index[0]] == old.levels[old.index[i]]
            np.testing.assert_allclose(new.columns[0], old.columns[i], rtol=1e-12, atol=1e-12)


def test_a_state_is_not_changed_by_rebuilding(table):
    state = build_design("y ~ poly(x, 2) + C(k)", table).state
    before = state.to_json()
    rebuild_design(state, table.iloc[:3])
    assert state.to_json() == before


def test_levels_can_travel_apart_from_the_json(table):
    design = build_design("y ~ x + (1 | g) + (1 | h)", table)
    text = design.state.to_json(levels=False)
    assert "s3" not in text
    levels = {f.name: f.levels for f in design.factors}
    assert DesignState.from_json(text, levels=levels) == design.state
    with pytest.raises(DataError, match="lacks the levels"):
        DesignState.from_json(text)
    with pytest.raises(DataError, match="lacks the levels"):
        DesignState.from_json(text, levels={"g": levels["g"]})


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense", "3", None])
def test_what_is_no_state_is_refused(text):
    with pytest.raises(DataError, match="not the JSON of a design's state"):
        DesignState.from_json(text)


def test_another_version_of_the_state_is_refused(table):
    content = json.loads(build_design("y ~ x", table).state.to_json()) | {"version": 99}
    with pytest.raises(DataError, match="version 99"):
        DesignState.from_json(json.dumps(content))


def test_a_state_holds_nothing_that_could_be_run(table, tmp_path):
    marker = tmp_path / "executed"
    content = json.loads(build_design("y ~ x", table).state.to_json())
    content["formula"] = f"y ~ I(open('{marker}', 'w'))"
    with pytest.raises(ValueError, match=r"open\(\) is not a function"):
        rebuild_design(DesignState.from_json(json.dumps(content)), table)
    assert not marker.exists()


def test_unseen_levels_of_a_grouping_factor_follow_the_known_ones(table):
    design = build_design("y ~ x + (x | g) + (1 | g:h)", table, weights=WEIGHTS)
    new = table.iloc[[0, 1, 2, 3]].assign(g=["a new", "s2", "another", "a new"])
    g, gh = rebuild_design(design.state, new).factors
    assert g.n_known == 8
    assert g.levels.tolist() == [*(f"s{i}" for i in range(8)), "a new", "another"]
    assert g.index.tolist() == [8, 2, 9, 8]
    assert gh.n_known == 40
    assert gh.levels[gh.index].tolist() == ["a new:p", "s2:q", "another:r", "a new:s"]


def test_unseen_levels_of_a_fixed_effect_are_refused_by_name(table):
    state = build_design("y ~ f", table).state
    with pytest.raises(DataError, match="Column 'f': level 'q', 'r' is not among"):
        rebuild_design(state, {"f": ["a", "q", "r"]})
    state = build_design("y ~ C(k)", table).state
    with pytest.raises(DataError, match=r"C\(k\) .*level '9' is not among .*: '0', '1'"):
        rebuild_design(state, {"k": [1, 9]})
    state = build_design("y ~ flag", table).state
    assert rebuild_design(state, {"flag": [True, True]}).X.tolist() == [[1, 1], [1, 1]]


def test_a_spline_does_not_reach_beyond_its_knots_unasked(table):
    state = build_design("y ~ bs(x, df=4)", table).state
    with pytest.raises(DataError, match="beyond"):
        rebuild_design(state, {"x": [100.0]})
    state = build_design("y ~ bs(x, df=4, extrapolation='extend')", table).state
    assert np.isfinite(rebuild_design(state, {"x": [100.0]}).X).all()


def test_the_response_is_optional_and_may_be_partly_missing(table):
    state = build_design("log(y) ~ x", table).state
    assert np.isnan(rebuild_design(state, {"x": [1.0, 2.0]}).y).all()
    partly = rebuild_design(state, {"x": [1.0, 2.0], "y": [np.e, np.nan]})
    assert partly.y[0] == 1
    assert np.isnan(partly.y[1])
    with pytest.raises(DataError, match="new rows have no column 'y'"):
        rebuild_design(state, {"x": [1.0]}, response="required")


def test_a_column_that_is_absent_is_named_with_its_nearest(table):
    state = build_design("y ~ flag + (1 | g)", table).state
    with pytest.raises(DataError, match=r"no column 'flag'\. Did you mean 'Flag'"):
        rebuild_design(state, {"Flag": [True], "g": ["s1"]})
    with pytest.raises(DataError, match="no column 'g'"):
        rebuild_design(state, {"flag": [True]})


def test_population_predictions_need_no_grouping_column(table):
    state = build_design("y ~ x + (x | g) + (1 | h)", table).state
    assert rebuild_design(state, {"x": [1.0]}, factors=()).factors == ()
    (h,) = rebuild_design(state, {"x": [1.0], "h": ["q"]}, factors=("h",)).factors
    assert (h.name, h.index.tolist()) == ("h", [1])
    with pytest.raises(DataError, match="no grouping factor 'q'; there are: g, h"):
        rebuild_design(state, {"x": [1.0]}, factors=("q",))


def test_a_column_of_another_kind_is_refused(table):
    state = build_design("y ~ x + flag", table).state
    with pytest.raises(DataError, match="'x' held numbers in the training rows and holds text now"):
        rebuild_design(state, {"x": ["a"], "flag": [True]})
    with pytest.raises(DataError, match="'flag' held booleans"):
        rebuild_design(state, {"x": [1.0], "flag": [1.0]})


def test_missing_values_in_new_rows_are_refused_unless_dropping_is_asked_for(table):
    state = build_design("y ~ x", table).state
    with pytest.raises(DataError, match="1 of 2 rows lack values: x 1"):
        rebuild_design(state, {"x": [1.0, np.nan]})
    with pytest.warns(DataWarning, match="Dropped 1 of 2 rows"):
        assert rebuild_design(state, {"x": [1.0, np.nan]}, missing="drop").rows.tolist() == [0]


def test_dropped_columns_stay_dropped(table):
    with pytest.warns(RankDeficiencyWarning):
        design = build_design("y ~ x + I(2 * x) + z", table, rank_deficient="drop")
    again = rebuild_design(design.state, table.iloc[:2])
    assert again.coef == ("Intercept", "x", "z")
    np.testing.assert_array_equal(again.X, design.X[:2])


def test_new_rows_may_have_weights(table):
    state = build_design("y ~ x", table).state
    assert rebuild_design(state, {"x": [1.0], "w": [2.0]}, weights="w").weights.tolist() == [2.0]


def test_a_design_put_together_by_hand_has_no_state():
    empty = np.empty(0)
    design = Design(parse_formula("y ~ 1"), "y", empty, np.ones((0, 1)), ("a",), (), None, None)
    with pytest.raises(DataError, match="by hand"):
        _ = design.state


def test_an_unknown_choice_is_refused(table):
    with pytest.raises(ArgumentError, match="response is 'optional'"):
        rebuild_design(build_design("y ~ x", table).state, table, response="maybe")
