"""Formulas from other ones: dots stand for what stays."""

import pytest

import bayeslmm as bl
from bayeslmm.errors import FormulaError
from bayeslmm.formula.update import update_formula

OLD = bl.parse_formula("log(y) ~ x * z + offset(w) + (x | g) + (1 | a/b)")
SMALL = bl.parse_formula("y ~ x + (x | g)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (". ~ .", "y ~ x + (x | g)"),
        (". ~ . + z", "y ~ x + z + (x | g)"),
        (".~.+z", "y ~ x + z + (x | g)"),
        ("z ~ .", "z ~ x + (x | g)"),
        ("log(.) ~ .", "log(y) ~ x + (x | g)"),
        (". ~ . - x", "y ~ 1 + (x | g)"),
        (". ~ . - 1", "y ~ 0 + x + (x | g)"),
        (". ~ . * z", "y ~ x * z"),
        (". ~ .:z + (1 | g)", "y ~ x:z + (1 | g)"),
        (". ~ (.) * z + (x | g)", "y ~ x * z + (x | g)"),
        (". ~ . + (1 | h)", "y ~ x + (x | g) + (1 | h)"),
        (". ~ . - (x | g)", "y ~ x"),
        (". ~ . - (1 + x | g) + (x || g)", "y ~ x + (x || g)"),
        (". ~ . + offset(o)", "y ~ x + offset(o) + (x | g)"),
        (". ~ (. | h)", "y ~ 1 + (1 + x | h)"),
        (". ~ poly(x, 2) + (1 | g)", "y ~ poly(x, 2) + (1 | g)"),
        ("y ~ z", "y ~ z"),
        ("z + . ~ .", None),
    ],
)
def test_dots_stand_for_the_old_sides(text, expected):
    if expected is None:
        with pytest.raises(FormulaError):
            update_formula(SMALL, text)
        return
    assert update_formula(SMALL, text) == bl.parse_formula(expected)


def test_every_kind_of_term_stays_and_goes():
    assert update_formula(OLD, ". ~ .") == OLD
    less = update_formula(OLD, ". ~ . - x:z - offset(w) - (1 | a/b)")
    assert less == bl.parse_formula("log(y) ~ x + z + (x | g)")
    assert update_formula(less, ". ~ . + x:z + offset(w) + (1 | a/b)") == OLD


@pytest.mark.parametrize(
    ("text", "message", "under"),
    [
        (". ~ . - (1 | g)", r"no \(1 \| g\) to take away; there are: \(1 \+ x \| g\)", "(1 | g)"),
        (". ~ . - offset(w)", "no w to take away; there are: none", "offset(w)"),
        (". ~ x - .", "Nothing is left", "."),
        (". ~ x.", "stands by itself", "x."),
        (". + x", "one '~'", None),
        ("~ .", "Both sides", None),
        (". ~ . + (x", "never closed", None),
    ],
)
def test_what_cannot_be_done_is_shown(text, message, under):
    with pytest.raises(FormulaError, match=message) as error:
        update_formula(SMALL, text)
    if under is not None:
        start, end = error.value.span
        assert error.value.text[start:end] == under
