"""Smooths in formulas: what they ask for, their one spelling, and what is no smooth."""

import pytest

import bayeslmm as bl
from bayeslmm.errors import FormulaError
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.residual import parse_sigma
from bayeslmm.formula.smooth_terms import SmoothTerm
from bayeslmm.formula.update import update_formula


@pytest.mark.parametrize(
    ("text", "canonical", "term"),
    [
        ("s(x)", "s(x)", SmoothTerm("x")),
        ("s(x,k=20)", "s(x, k=20)", SmoothTerm("x", 20)),
        ('s(x, bs = "cr", k = 10)', "s(x)", SmoothTerm("x")),
        ("s(x, bs='ps', by=f)", "s(x, bs='ps', by=f)", SmoothTerm("x", 10, "ps", "f")),
        ("s(`my x`, by = `a b`)", "s(`my x`, by=`a b`)", SmoothTerm("`my x`", by="a b")),
        ("s(log(x),k=5)", "s(log(x), k=5)", SmoothTerm("log(x)", 5)),
        (
            "s(t, bs='cc', knots=c(0,24))",
            "s(t, bs='cc', knots=[0.0, 24.0])",
            SmoothTerm("t", basis="cc", knots=(0.0, 24.0)),
        ),
        (
            "s(t, knots=[-1, 0, 1e1, 24])",
            "s(t, k=4, knots=[-1.0, 0.0, 10.0, 24.0])",
            SmoothTerm("t", 4, knots=(-1.0, 0.0, 10.0, 24.0)),
        ),
    ],
)
def test_a_smooth_has_one_spelling_that_reads_the_same(text, canonical, term):
    formula = bl.parse_formula(f"y ~ z + {text} + (1 | g)")
    assert formula.smooths == (term,)
    assert str(formula) == f"y ~ 1 + z + {canonical} + (1 | g)"
    assert bl.parse_formula(str(formula)) == formula


def test_a_smooth_is_named_by_what_it_is_a_function_of():
    by = bl.parse_formula("y ~ s(x, k=5, by=f) + s(x)")
    assert [term.name for term in by.smooths] == ["s(x, by=f)", "s(x)"]


def test_smooths_read_their_columns_as_predictors():
    terms = model_terms(bl.parse_formula("y ~ z + s(log(x), by=f) + (1 | g)"))
    assert terms.predictors == ("z", "x", "f")
    assert terms.smooth_variables == ("x", "f")
    assert terms.only(()).smooths == terms.smooths


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (". ~ . - s(x, k=20)", "y ~ z + (1 | g)"),
        (". ~ . + s(w)", "y ~ z + s(x, k=20) + s(w) + (1 | g)"),
        (". ~ . - z - s(x,k=20) + s(x)", "y ~ 1 + s(x) + (1 | g)"),
    ],
)
def test_smooths_are_added_and_taken_away(change, expected):
    old = bl.parse_formula("y ~ z + s(x, k=20) + (1 | g)")
    assert update_formula(old, change) == bl.parse_formula(expected)


def test_a_smooth_that_is_not_there_cannot_be_taken_away():
    old = bl.parse_formula("y ~ s(x, k=20)")
    with pytest.raises(FormulaError, match=r"no s\(x\) to take away; there are: s\(x, k=20\)"):
        update_formula(old, ". ~ . - s(x)")


def test_a_column_called_s_is_a_column():
    assert bl.parse_formula("y ~ s + s:x").smooths == ()
    assert bl.parse_formula("y ~ s + s(s)").smooths == (SmoothTerm("s"),)


REFUSED = [
    ("y ~ s(x) * f", "is s(x, by=f)", "s(x)"),
    ("y ~ s(x):f", "can only be added", "s(x)"),
    ("y ~ x - s(x)", "cannot be taken away", "s(x)"),
    ("y ~ s(x, z)", "s(x) + s(z) for two curves", "s(x, z)"),
    ("y ~ te(x, z)", "smooths have one variable", "te(x, z)"),
    ("y ~ t2(x, z)", "smooths have one variable", "t2(x, z)"),
    ("y ~ s(x, bs='tp')", "thin plate splines take", "'tp'"),
    ("y ~ s(x, g, bs='fs')", "s(x, by=g)", "'fs'"),
    ("y ~ s(g, bs='re')", "(1 | g)", "'re'"),
    ("y ~ s(x, bs='xx')", "'cr' (cubic regression spline)", "'xx'"),
    ("y ~ s(x, bs=cr)", "'cr' (cubic regression spline)", "cr"),
    ("y ~ s(x, k=2)", "3 or more with bs='cr'", "2"),
    ("y ~ s(x, bs='cc', k=3)", "4 or more with bs='cc'", "3"),
    ("y ~ s(x, k=5.5)", "number of basis functions", "5.5"),
    ("y ~ s(x, k=n)", "number of basis functions", "n"),
    ("y ~ s(x, k=5, k=6)", "stands twice", "k"),
    ("y ~ s(x, m=2)", "no m=: penalties are on the second derivative", "m"),
    ("y ~ s(x, fx=TRUE)", "cr(x, df=5, constraints='center')", "fx"),
    ("y ~ s(x, by=a + b)", "one column", "a + b"),
    ("y ~ s(x, knots=3)", "ascending order", "3"),
    ("y ~ s(x, knots=[3, 1])", "ascending order", "[3, 1]"),
    ("y ~ s(x, knots=[a, b])", "ascending order", "[a, b]"),
    ("y ~ s(x, k=5, knots=[1, 2, 3])", "3 knots, and k=5", "s(x, k=5, knots=[1, 2, 3])"),
    ("y ~ s(x, bs='ps', knots=[1, 2, 3, 4])", "4 knots", "s(x, bs='ps', knots=[1, 2, 3, 4])"),
    ("y ~ s(x + z)", "one column or call", "x + z"),
    ("y ~ s(1)", "one column or call", "1"),
    ("y ~ s(x) + s(x, k=4)", "s(x) stands twice", "s(x, k=4)"),
    ("y ~ s(y)", "it would explain itself", "y"),
    ("y ~ s(x, by=y)", "it would explain itself", "s(x, by=y)"),
    ("y ~ (s(x) | g)", "no smooth inside bars", "s(x)"),
    ("y ~ log(s(x))", "stands by itself in the fixed part", "s(x)"),
    ("y ~ s(x | g)", "A bar inside s()", "s(x | g)"),
    ("s(y) ~ x", "right of the '~'", "s(y)"),
    ("y ~ s(x, k=)", "k= of what?", ")"),
    ("y ~ s(x, k)", "one variable", "s(x, k)"),
]


@pytest.mark.parametrize(("text", "message", "culprit"), REFUSED)
def test_what_is_no_smooth_is_pointed_at(text, message, culprit):
    with pytest.raises(FormulaError) as caught:
        bl.parse_formula(text)
    assert message in caught.value.message
    assert text[slice(*caught.value.span)] == culprit


def test_sigma_has_no_smooths():
    with pytest.raises(FormulaError, match=r"no smooth in sigma.*poly\(x, 2\)"):
        parse_sigma("~ s(x)")
