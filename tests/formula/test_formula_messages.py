"""Habits from elsewhere, and slips: each is named, under a caret, with what to write instead."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula.mixed_formula import parse_formula


@pytest.mark.parametrize(
    ("formula", "culprit", "way_out"),
    [
        # R's words
        ("y ~ as.factor(x) + (1 | g)", "as.factor", r"write C\(x\)"),
        ("y ~ x + (1 | as.factor(g))", "as.factor", r"write the column alone, as in \(1 \| g\)"),
        ("y ~ x + (1 | factor(g))", "factor", r"write the column alone, as in \(1 \| g\)"),
        ("y ~ as.numeric(x)", "as.numeric", "make the column numeric in the table"),
        ("y ~ ordered(h)", "ordered", r"C\(x, Poly\)"),
        ("y ~ relevel(h, ref = 'q')", "relevel", r"C\(x, Treatment\('b'\)\)"),
        ("y ~ ln(x) + (1 | g)", "ln", r"write log\(x\)"),
        ("y ~ x + I(ln(x))", "ln", r"write log\(x\)"),
        ("y ~ x + Error(g)", "Error", r"write \(1 \| g\)"),
        ("y ~ d$x + (1 | g)", "$", "name the column alone and give the table as data"),
        ("y ~ x + (1 | g), data = d", ",", "arguments of the call"),
        ("cbind(y, x) ~ 1 + (1 | g)", "cbind", r"are mvbind\(a, b\)"),
        # brms's
        ("y ~ mo(x) + (1 | g)", "mo", r"write C\(x\)"),
        ("y ~ me(x, e) + (1 | g)", "me", "write x itself"),
        ("y ~ gp(x)", "gp", r"s\(x\)"),
        ("bf(y ~ x + (1 | g))", "bf", "without bf"),
        ("y | weights(w) ~ x + (1 | g)", "|", "weights='w'"),
        # slips
        ("y = x + (1 | g)", "=", "'~' between response and predictors"),
        ("y ~ x %% z", "%", r"inside I\(\)"),
        ("y ~ y + (1 | g)", "y", "response 'y' stands on the right"),
        ("y ~ x + (y | g)", "y", "response 'y' stands on the right"),
        ("y ~ x + (1 | y)", "y", "response 'y' stands on the right"),
        ("y ~ x + (1 | g/y)", "y", "response 'y' stands on the right"),
        ("y ~ x + offset(y)", "offset(y)", "response 'y' stands on the right"),
        ("y ~ x*I(y**2)", "I(y**2)", "response 'y' stands on the right"),
        ("log(y) ~ y + x", "y", r"response 'log\(y\)' is computed from 'y'"),
    ],
)
def test_a_wrong_word_is_marked_and_its_replacement_told(formula, culprit, way_out):
    with pytest.raises(FormulaError, match=way_out) as caught:
        parse_formula(formula)
    start, end = caught.value.span
    marked = formula[start:end]
    assert marked == culprit or marked.startswith(f"{culprit}(")
    assert "^" in str(caught.value)


@pytest.mark.parametrize("formula", ["I(y - x) ~ x", "log(y/w) ~ w + (1 | g)", "`y` ~ yy + y2"])
def test_a_response_computed_from_several_columns_may_depend_on_one_of_them(formula):
    # The change since the first measurement on the first measurement is a common model.
    parse_formula(formula)


TABLE = pd.DataFrame(
    {
        "y": np.arange(8.0),
        "x": [0.0, 1.0, 1.5, 1.0] * 2,
        "g": list("aabbccdd"),
        "words": list("abcdefgh"),
        "f": [0.5, 1.0] * 4,
    }
)
FORMULA = "y ~ x + (1 | g)"


@pytest.mark.parametrize("verb", [bl.build_design, bl.fit_reml, bl.fit_bayes])
def test_swapped_arguments_are_recognised(verb):
    with pytest.raises(FormulaError, match="The formula comes first, then the data"):
        verb(TABLE, FORMULA)


def test_a_path_is_no_table():
    with pytest.raises(DataError, match=r"pandas\.read_csv\('d\.csv'\)"):
        bl.build_design(FORMULA, "d.csv")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("words ~ x + (1 | g)", "holds text.*Convert it to numbers"),
        ("y ~ x + (1 | f)", r"holds the number 0\.5: levels"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named_with_a_way_out(formula, message):
    with pytest.raises(DataError, match=message):
        bl.build_design(formula, TABLE)


def test_refused_gaps_say_how_to_go_on():
    gaps = TABLE.assign(x=[np.nan, *TABLE["x"][1:]])
    with pytest.raises(DataError, match=r"x 1; .*missing='drop'"):
        bl.build_design(FORMULA, gaps, missing="raise")


@pytest.mark.parametrize("verb", [bl.fit_reml, bl.fit_bayes])
def test_a_constant_response_is_refused_once(verb, recwarn):
    with pytest.raises(DataError, match="'y' is 3 in every row"):
        verb(FORMULA, TABLE.assign(y=3.0))
    assert not [warning for warning in recwarn if "every row" in str(warning.message)]
