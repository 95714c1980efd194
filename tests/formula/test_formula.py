"""Formulas: text in, canonical values out, and a caret under every mistake."""

import pytest

from bayeslmm.errors import FormulaError
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.random_terms import RandomTerm

CANONICAL = {
    # fixed part
    "y ~ 1": "y ~ 1",
    "y ~ x": "y ~ 1 + x",
    "y ~ 0 + x": "y ~ 0 + x",
    "y ~ x + 0": "y ~ 0 + x",
    "y ~ x - 1": "y ~ 0 + x",
    "y ~ x + -1": "y ~ 0 + x",
    "y ~ 0 + x + 1": "y ~ 1 + x",
    "y ~ (0 + x)": "y ~ 0 + x",
    "y ~ 0": "y ~ 0",
    "y ~ x + x": "y ~ 1 + x",
    "y ~ x:z + z:x": "y ~ 1 + x:z",
    "y ~ x:z + x": "y ~ 1 + x + x:z",
    "y ~ a * b": "y ~ 1 + a + b + a:b",
    "y ~ a * b * c": "y ~ 1 + a + b + c + a:b + a:c + b:c + a:b:c",
    "y ~ a * b - a:b": "y ~ 1 + a + b",
    "y ~ a * b - a": "y ~ 1 + b + a:b",
    "y ~ (a + b + c)^2": "y ~ 1 + a + b + c + a:b + a:c + b:c",
    "y ~ (a + b + c)**2 - a:b": "y ~ 1 + a + b + c + a:c + b:c",
    "y ~ (a + b)^9": "y ~ 1 + a + b + a:b",
    "y ~ a / b": "y ~ 1 + a + a:b",
    "y ~ a / (b + c)": "y ~ 1 + a + a:b + a:c",
    "y ~ (a + b) / c": "y ~ 1 + a + b + a:b:c",
    "y ~ a + b %in% a": "y ~ 1 + a + b:a",
    "y ~ (((a + b)^2)^2 + c)": "y ~ 1 + a + b + c + a:b",
    "y ~ a:(b + c)": "y ~ 1 + a:b + a:c",
    "y ~ a - (b + a) + c": "y ~ 1 + c",
    # calls
    "y ~ I(x^2)": "y ~ 1 + I(x ** 2)",
    "y ~ I(x**2) + I(x ^ 2)": "y ~ 1 + I(x ** 2)",
    "y ~ poly(x,2,raw=TRUE)": "y ~ 1 + poly(x, 2, raw=True)",
    "y ~ np.log(x)+log( x )": "y ~ 1 + np.log(x) + log(x)",
    "y ~ log(log)": "y ~ 1 + log(log)",
    "y ~ log(lambda)": "y ~ 1 + log(lambda)",
    "y ~ `my x` * log(`my x`)": "y ~ 1 + `my x` + log(`my x`) + `my x`:log(`my x`)",
    "y ~ x.1 + log(x.1)": "y ~ 1 + x.1 + log(x.1)",
    'y ~ C(f, Treatment("b"))': "y ~ 1 + C(f, Treatment('b'))",
    "y ~ C(f, contr.sum)": "y ~ 1 + C(f, contr.sum)",
    "y ~ bs(x, df=5, degree=3)": "y ~ 1 + bs(x, df=5, degree=3)",
    "y ~ bs(x, knots=[1, -2.5])": "y ~ 1 + bs(x, knots=[1, -2.5])",
    "y ~ I(x > 3)": "y ~ 1 + I(x > 3)",
    "y ~ größe": "y ~ 1 + größe",
    # response and offset
    "log(y) ~ x": "log(y) ~ 1 + x",
    "`my y` ~ x": "`my y` ~ 1 + x",
    "(y) ~ x": "y ~ 1 + x",
    "y ~ offset(z) + x": "y ~ 1 + x + offset(z)",
    "y ~ x + offset(log(z)) + offset(2 * z)": "y ~ 1 + x + offset(log(z)) + offset(I(2 * z))",
    # random part
    "y ~ (1|g)": "y ~ 1 + (1 | g)",
    "y ~ x + (x|g)": "y ~ 1 + x + (1 + x | g)",
    "y ~ x + (1 + x|g)": "y ~ 1 + x + (1 + x | g)",
    "y ~ x + (0 + x|g)": "y ~ 1 + x + (0 + x | g)",
    "y ~ x + (x - 1|g)": "y ~ 1 + x + (0 + x | g)",
    "y ~ x + (x||g)": "y ~ 1 + x + (1 + x || g)",
    "y ~ (x * f|g)": "y ~ 1 + (1 + x + f + x:f | g)",
    "y ~ (poly(x, 2)|g)": "y ~ 1 + (1 + poly(x, 2) | g)",
    "y ~ (1|a/b)": "y ~ 1 + (1 | a) + (1 | a:b)",
    "y ~ (x|a/b/c)": "y ~ 1 + (1 + x | a) + (1 + x | a:b) + (1 + x | a:b:c)",
    "y ~ (1|a/(b/c))": "y ~ 1 + (1 | a) + (1 | a:b) + (1 | a:b:c)",
    "y ~ (1|a:b)": "y ~ 1 + (1 | a:b)",
    "y ~ (1|(a:b))": "y ~ 1 + (1 | a:b)",
    "y ~ (x|g:h)": "y ~ 1 + (1 + x | g:h)",
    "y ~ (1|`my g`)": "y ~ 1 + (1 | `my g`)",
    "y ~ (1|g) + (0 + x|g) + (1|h)": "y ~ 1 + (1 | g) + (0 + x | g) + (1 | h)",
    "y ~ x + (1|g) - 1": "y ~ 0 + x + (1 | g)",
    "y ~ (x + (1|g))": "y ~ 1 + x + (1 | g)",
    "y ~ 0 + (1|g)": "y ~ 0 + (1 | g)",
    "y ~ x\n  + (1|g)": "y ~ 1 + x + (1 | g)",
}


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items())
def test_every_spelling_has_its_canonical_form_and_that_form_is_stable(text, canonical):
    parsed = parse_formula(text)
    assert str(parsed) == canonical
    assert parse_formula(canonical) == parsed
    assert str(parse_formula(canonical)) == canonical


def test_the_parts_of_a_formula_are_its_attributes():
    parsed = parse_formula("log(y) ~ x + offset(z) + (x || a/b)")
    assert parsed == MixedFormula(
        response="log(y)",
        fixed="1 + x",
        offsets=("z",),
        random=(
            RandomTerm("1 + x", ("a",), correlated=False),
            RandomTerm("1 + x", ("a", "b"), correlated=False),
        ),
    )
    assert parsed.random[1].factor == "a:b"
    assert parsed.text[slice(*parsed.random[0].span)] == "(x || a/b)"


def test_text_and_span_are_no_part_of_the_value():
    assert parse_formula("y~x+(1|g)") == parse_formula("y ~ 1 + x  +  (1 | g)")
    assert hash(parse_formula("y~(x|g)")) == hash(parse_formula("y ~ (1 + x | g)"))


# text, a part of the message, and what the caret stands under
REFUSED = [
    ("y x", "No '~'", None),
    ("y ~", "Nothing stands after the '~'", "~"),
    ("~ x", "No response", "~"),
    ("y ~ x ~ z", "one '~'", "~"),
    ("y ~ x +", "stops where a term is due", ""),
    ("y ~ x * * z", "cannot stand here", "*"),
    ("y ~ x z", "cannot stand here", "z"),
    ("y ~ (x", "never closed: unbalanced", "("),
    ("y ~ x)", "closes nothing: unbalanced", ")"),
    ("y ~ log(x", "never closed: unbalanced", "("),
    ("y ~ (x]", "closes nothing: unbalanced", "]"),
    ("y ~ ()", "Empty parentheses", "()"),
    ("y ~ log()", "Empty parentheses", "log()"),
    ("y ~ `x", "not closed", "`x"),
    ("y ~ 'x", "not closed", "'x"),
    ("y ~ 3x", "backticks", "3x"),
    ("y ~ x § z", "no meaning", "§"),
    ("y ~ ( | g)", "Nothing stands before the bar", "|"),
    ("y ~ (1 | )", "Nothing stands after the bar", ")"),
    ("y ~ (1 | g | h | k)", "A second bar", "|"),
    ("y ~ 1 | g", "needs parentheses", "|"),
    ("y ~ x + 1 || g", "needs parentheses", "||"),
    ("y ~ (1 | a + b)", "One grouping factor", "a + b"),
    ("y ~ (1 | a * b)", r"(1 | a) + (1 | b) + (1 | a:b)", "a * b"),
    ("y ~ (1 | log(g))", "not a call", "log(g)"),
    ("y ~ (1 | 1)", "not a number", "1"),
    ("y ~ (1 | a:(b/c))", "ambiguous", "a:(b/c)"),
    ("y ~ (1 | a:a)", "names a column twice", "a:a"),
    ("y ~ (1 | a/a)", "names a column twice", "a/a"),
    ("y ~ (0 | g)", "No column is left to vary", "0"),
    ("y ~ ((1 | g) | h)", "inside bars", "(1 | g)"),
    ("y ~ (offset(x) | g)", "inside bars", "offset(x)"),
    ("y ~ x - (1 | g)", "leave it out", "(1 | g)"),
    ("y ~ x * (1 | g)", "only be added", "(1 | g)"),
    ("y ~ offset(x):z", "only be added", "offset(x)"),
    ("y ~ x - offset(z)", "leave it out", "offset(z)"),
    ("y1 + y2 ~ x", "of two responses, mvbind(a, b) ~ ...", "y1 + y2"),
    ("cbind(y1, y2) ~ x", "two measurements are mvbind", "cbind"),
    ("y / 100 ~ x", "Arithmetic goes inside I()", "100"),
    ("y - 1 ~ x", "I(y / 100)", "y - 1"),
    ("(1 | g) ~ x", "right of the '~'", "(1 | g)"),
    ("y ~ .", "name the columns", "."),
    ("y ~ 2 * x", "Only 0 and 1", "2"),
    ("y ~ 1:x", "switches the intercept", "1"),
    ("y ~ (0 + x) * z", "switches the intercept", "0"),
    ("y ~ x > 3", "I(x > 3)", ">"),
    ("y ~ x[0]", "Indexing", "["),
    ("y ~ 'x'", "cannot stand here", "'x'"),
    ("y ~ (a + b)^x", "whole number", "x"),
    ("y ~ (a + b)^0", "1 or more", "0"),
    ("y ~ x^1.5", "whole number", "1.5"),
    ("y ~ " + "*".join("abcdefghijklmnop"), "more than 2000 terms", "*".join("abcdefghijklmnop")),
    # structures and terms that others have
    ("y ~ foo(x | g)", "A bar inside foo()", "foo(x | g)"),
    ("y ~ factor(x)", "write C(x)", "factor(x)"),
    ("y ~ ns(x, 3)", "cr(x", "ns(x, 3)"),
    ("y ~ lgo(x)", "Did you mean 'log'?", "lgo(x)"),
    # settings of calls
    ("y ~ log(x, 2)", "log() takes x", "log(x, 2)"),
    ("y ~ poly(x, degre=2)", "knows: degree, raw", "poly(x, degre=2)"),
    ("y ~ poly(x, 2, degree=3)", "knows: degree, raw", "poly(x, 2, degree=3)"),
    ("y ~ poly(x, z)", "written out", "z"),
    ("y ~ C(f, Foo)", "Contrasts are one of", "Foo"),
    ("y ~ C(f, Sum(2))", "Contrasts are one of", "Sum(2)"),
]


@pytest.mark.parametrize(("text", "message", "culprit"), REFUSED)
def test_a_mistake_is_named_and_pointed_at(text, message, culprit):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert message in caught.value.message
    if culprit is None:
        assert caught.value.span is None
    else:
        assert text[slice(*caught.value.span)] == culprit
        assert "^" in str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n", 3, None, ["y ~ x"]])
def test_what_is_no_text_or_empty_is_refused(text):
    with pytest.raises(FormulaError, match=r"empty|is text"):
        parse_formula(text)


@pytest.mark.parametrize("depth", [500, 5000, 100_000])
def test_deep_nesting_is_refused_instead_of_crashing(depth):
    with pytest.raises(FormulaError):
        parse_formula("y ~ " + "(" * depth + "x" + "-(z)" + ")" * depth + "[0]")


def test_a_thousand_terms_are_read():
    names = [f"x{i}" for i in range(1000)]
    assert parse_formula("y ~ " + " + ".join(names)).fixed == " + ".join(["1", *names])


ATTACKS = [
    "y ~ __import__('os').system('touch {marker}')",
    "y ~ I(__import__('os').system('touch {marker}'))",
    "y ~ I(open('{marker}', 'w'))",
    'y ~ exec(\'open("{marker}", "w")\')',
    "y ~ eval('1')",
    "y ~ I(x.__class__.__mro__)",
    "y ~ log(x).tofile('{marker}')",
    "y ~ I(x.tofile('{marker}'))",
    "y ~ np.save('{marker}', x)",
    "y ~ I(np.save('{marker}', x))",
    "y ~ np.lib.npyio.save('{marker}', x)",
    "y ~ I([open('{marker}', 'w') for i in x])",
    "y ~ I((lambda: open('{marker}', 'w'))())",
    "y ~ I((z := open('{marker}', 'w')))",
    "y ~ I(f\"{{open('{marker}', 'w')}}\")",
    "y ~ I(x[open('{marker}', 'w')])",
    "y ~ I(x if open('{marker}', 'w') else x)",
    "y ~ I(x and open('{marker}', 'w'))",
    "y ~ I({{'a': open('{marker}', 'w')}})",
    "y ~ I(getattr(x, 'tofile')('{marker}'))",
    "y ~ poly(x, degree=open('{marker}', 'w'))",
    "y ~ poly(x, *[2])",
    "y ~ poly(x, **dict(degree=2))",
    "y ~ C(x, contrasts=open('{marker}', 'w'))",
    "y ~ C(x, Treatment(open('{marker}', 'w')))",
    "y ~ bs(x, knots=[open('{marker}', 'w')])",
    "y ~ offset(open('{marker}', 'w'))",
    "open('{marker}', 'w') ~ x",
    "y ~ (I(open('{marker}', 'w')) | g)",
    "y ~ (1 | open('{marker}', 'w'))",
    "y ~ I(await_(x))",
    "y ~ scale(x, _state=x)",
    "y ~ `open`('{marker}', 'w')",
    "y ~ I(x @ x)",
    "y ~ I(not x)",
    "y ~ I(1j * x)",
    "y ~ I(...)",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_formula_cannot_run_code(attack, tmp_path):
    marker = tmp_path / "executed"
    text = attack.format(marker=marker)
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert caught.value.span is not None
    assert not marker.exists()
