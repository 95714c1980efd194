"""A formula keeps the terms that it was parsed into; what is put together from text parses it."""

import ast
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from test_formula import CANONICAL
from test_formula_properties import FORMULAS

from bayeslmm.errors import FormulaError
from bayeslmm.formula import model_terms as model_terms_module
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.residual import parse_correlation, parse_sigma, residual_terms

CALLS = "log(y) ~ poly(x, 2, raw=TRUE) * `my x` + offset(2 * z) + (I(x^1e3) + C(f, Sum) || a/b)"


def everything(formula):
    """The terms with their calls' syntax trees, which their comparison leaves out."""
    terms = model_terms(formula)
    sides = [terms.fixed, *(side for _, side in terms.random)]
    atoms = [terms.response, *terms.offsets, *(atom for side in sides for atom in side.atoms)]
    trees = [ast.dump(atom.tree) if hasattr(atom, "tree") else atom.variables for atom in atoms]
    return terms.response, terms.offsets, sides, [term for term, _ in terms.random], trees


def by_hand(formula):
    return MixedFormula(formula.response, formula.fixed, formula.offsets, formula.random)


@pytest.mark.parametrize("text", [*CANONICAL, CALLS])
def test_kept_terms_are_those_of_the_canonical_text(text):
    parsed = parse_formula(text)
    assert (
        everything(parsed) == everything(by_hand(parsed)) == everything(parse_formula(str(parsed)))
    )


@given(FORMULAS)
@settings(max_examples=100, deadline=None)
def test_kept_terms_of_any_formula_are_those_of_its_canonical_text(text):
    try:
        parsed = parse_formula(text)
    except FormulaError:
        return
    assert everything(parsed) == everything(by_hand(parsed))


def test_what_was_parsed_is_not_parsed_again(monkeypatch):
    parsed = parse_formula(CALLS)
    copied = pickle.loads(pickle.dumps(parsed))  # noqa: S301 - our own bytes
    monkeypatch.setattr(model_terms_module, "tokenize", pytest.fail)
    assert everything(copied) == everything(parsed)


def test_changed_text_has_terms_of_its_own():
    parsed = parse_formula("y ~ x + (x | g)")
    changed = replace(parsed, fixed="1 + z")
    assert str(model_terms(changed).fixed) == "1 + z"
    assert model_terms(changed).predictors == ("z", "x")
    (term,) = parsed.random
    narrower = replace(parsed, random=(replace(term, columns="1"),))
    assert model_terms(narrower).random_variables == ()


def test_kept_terms_are_no_part_of_the_value():
    parsed = parse_formula(CALLS)
    assert parsed == by_hand(parsed)
    assert hash(parsed) == hash(by_hand(parsed))
    assert "atoms" not in repr(parsed)
    assert "sides" not in repr(parsed)


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [("corAR1", "ar1"), ("corCAR1", "ou"), ("corCompSymm", "cs"), ("corSymm", "us")],
)
def test_classes_of_nlme_are_answered_with_what_to_write(spelt, meant):
    with pytest.raises(FormulaError, match=rf"nlme's {spelt} is {meant}\(time \| group\) here"):
        parse_correlation(f"{spelt}(form = ~ time | group)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("~ offset(x)", "offset of log.sigma. is not fitted"),
        ("~ x + offset(z)", "offset of log.sigma. is not fitted"),
        ("~ 0", "has no column: '~ 1' is one sigma"),
        ("~ -1", "has no column"),
    ],
)
def test_formulas_that_say_nothing_of_sigma(text, message):
    with pytest.raises(FormulaError, match=message):
        parse_sigma(text)


@pytest.mark.parametrize(
    ("response", "residual", "sigma", "marked"),
    [
        ("y", None, "~ x + y", "y"),
        ("log(y)", None, "sigma ~ x:I(y^2)", "I(y^2)"),
        ("sigma", None, "sigma ~ 0 + sigma", "sigma"),
        ("`my y`", "ou(`my y` | g)", None, "`my y`"),
        ("y", "us(visit | y/g)", None, "y"),
        ("ar1", "ar1(week | ar1)", "~ x", "ar1"),
    ],
)
def test_residuals_do_not_depend_on_the_response(response, residual, sigma, marked):
    of_model = model_terms(parse_formula(f"{response} ~ x")).response
    with pytest.raises(FormulaError, match="it would explain itself") as raised:
        residual_terms(residual, sigma, of_model)
    _, shown, caret = str(raised.value).splitlines()
    start = caret.index("^")
    assert shown[start : start + caret.count("^")] == marked
    assert start == shown.rindex(marked)


def test_of_two_columns_in_a_response_one_may_explain_its_spread():
    change = model_terms(parse_formula("I(y - y0) ~ x")).response
    assert residual_terms(None, "~ y0", change).sigma_variables == ("y0",)


def test_structures_of_residuals_stand_beside_the_formula():
    with pytest.raises(FormulaError, match=r"residual='ar1\(week \| subject\)'"):
        parse_formula("y ~ x + ar1(week | subject)")


def test_known_standard_errors_are_an_argument():
    with pytest.raises(FormulaError, match=r"Known standard errors are an argument.*se="):
        parse_formula("y | se(sei) ~ 1 + (1 | study)")
