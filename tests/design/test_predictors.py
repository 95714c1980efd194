"""Formulas of family parameters: what is refused, how rows are coded, and coded anew."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, FormulaError, KeywordError

TABLE = {
    "y": [1, 2, 4, 3, 5, 0],
    "x": [0.0, 1.0, 0.0, 1.0, 2.0, 2.0],
    "f": list("uvuvuv"),
    "g": list("aabbba"),
    "h": list("ccddcd"),
}


def built(**said):
    return bl.build_design("y ~ x + (1 | g)", TABLE, family="negbinomial", **said)


def test_columns_offset_and_effects_of_a_predictor():
    (rows,) = built(shape="shape ~ x + offset(x) + (x | h)").predictors
    assert rows.parameter == "shape"
    assert rows.coef == ("Intercept", "x")
    np.testing.assert_array_equal(rows.columns, np.column_stack([np.ones(6), TABLE["x"]]))
    np.testing.assert_array_equal(rows.offset, TABLE["x"])
    (factor,) = rows.factors
    assert factor.name == "shape_h"
    assert factor.terms == ("Intercept", "x")
    assert factor.levels.tolist() == ["c", "d"]
    assert factor.index.tolist() == [0, 0, 1, 1, 0, 1]


def test_one_number_is_what_it_is_without_a_formula():
    design = built(shape="~ 1")
    assert design.predictors == ()
    assert design.state == built().state


def test_new_rows_are_coded_as_the_training_rows_were():
    state = built(shape="~ center(x) + f + (1 | h)").state
    again = DesignState.from_json(state.to_json())
    assert again == state
    new = rebuild_design(again, {"x": [3.0], "f": ["v"], "g": ["a"], "h": ["z"]})
    (rows,) = new.predictors
    np.testing.assert_array_equal(rows.columns, [[1.0, 2.0, 1.0]])
    assert rows.factors[0].levels.tolist() == ["c", "d", "z"]
    assert rows.factors[0].n_known == 2


def test_effects_that_are_left_out_need_no_column():
    state = built(shape="~ x + (1 | h)").state
    (rows,) = rebuild_design(state, {"x": [3.0], "g": ["a"]}, in_parameters=()).predictors
    assert not rows.factors[0].columns.any()
    assert rows.factors[0].name == "shape_h"


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"zi": "~ x"}, ArgumentError, "'negbinomial' does not have: it has shape"),
        ({"shap": "~ x"}, KeywordError, "Did you mean 'shape'"),
        ({"shape": "x"}, FormulaError, "begins with a tilde"),
        ({"shape": "~ y"}, FormulaError, "'y' stands in shape= too"),
        ({"shape": "~ w"}, FormulaError, "no column 'w'"),
        ({"shape": "~ s(x)"}, FormulaError, "no smooth in shape"),
        ({"shape": "~ ar1(0 + x | g)"}, FormulaError, "Effects in shape"),
        ({"shape": "~ x + I(2 * x)"}, bl.DataError, "In the formula of shape"),
    ],
)
def test_what_is_no_formula_of_a_parameter_is_refused(said, error, words):
    with pytest.raises(error, match=words):
        built(**said)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gaussian"])
def test_a_family_without_the_parameter_is_named(family):
    with pytest.raises(ArgumentError, match=f"{family!r} does not have"):
        bl.build_design("y ~ x", {"y": [0, 1, 1], "x": [0, 1, 3]}, family=family, phi="~ x")
