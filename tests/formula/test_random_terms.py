"""Terms in bars: structures before them, calls and labels in them."""

import pytest

from bayeslmm.errors import FormulaError
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.random_terms import RandomTerm


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("us(x | g)", "(1 + x | g)"),
        ("diag(x | g)", "(1 + x || g)"),
        ("diag(0 + f | g, hom = TRUE)", "homdiag(0 + f | g)"),
        ("cs(f | g)", "cs(1 + f | g)"),
        ("cs(0 + f | g, hom=True)", "homcs(0 + f | g)"),
        ("ar1(0 + week | a/b)", "ar1(0 + week | a) + ar1(0 + week | a:b)"),
        ("ar1(0 + week | g, hom=False)", "hetar1(0 + week | g)"),
        ("hetar1(0 + week | g, het=FALSE)", "ar1(0 + week | g)"),
        ("(1 |p| g)", "(1 | g)"),
        ("(1 |p| g) + (0 + x |p| g)", "(1 + x | g)"),
        ("(0 + x:z |p| g) + (1 | h) + (x |p| (g))", "(1 + x + x:z | g) + (1 | h)"),
        ("(0 + f |p| g) + (0 + x |p| g)", "(0 + f + x | g)"),
        ("(1 |p| a/b) + (0 + x |p| a / b)", "(1 + x | a) + (1 + x | a:b)"),
        ("(1 |p| g) + (1 |q| h) + (0 + x |q| h)", "(1 | g) + (1 + x | h)"),
        ("(1 |p| gr(g, by=s)) + (0 + x |p| gr(g, by = s))", "(1 + x | gr(g, by=s))"),
        ("(x | gr(g, by = arm))", "(1 + x | gr(g, by=arm))"),
        ("(1 | gr(a:b, cov=A))", "(1 | gr(a:b, cov=A))"),
        ("(x || gr(g, by=arm, cov=A))", "(1 + x || gr(g, by=arm, cov=A))"),
        ("(1 | gr(g))", "(1 | g)"),
        ("(1 | mm(a, b))", "(1 | mm(a, b))"),
        ("(1 | mm(a, b, weights = cbind(u, v)))", "(1 | mm(a, b, weights=[u, v]))"),
        ("(1 | mm(a, `b c`, weights=c(u, `v w`)))", "(1 | mm(a, `b c`, weights=[u, `v w`]))"),
    ],
)
def test_a_term_is_printed_as_it_is_read_back(written: str, canonical: str) -> None:
    read = parse_formula(f"y ~ {written}")
    assert str(read) == f"y ~ 1 + {canonical}"
    assert parse_formula(str(read)) == read


def test_a_factor_is_parted_in_one_way() -> None:
    text = "y ~ (1 | gr(g, by=arm)) + (0 + x | gr(g, by=sex))"
    with pytest.raises(FormulaError, match="parted by 'arm' in one term and by 'sex'") as caught:
        model_terms(parse_formula(text))
    assert str(caught.value).split("\n")[2].index("^") - 4 == text.index("(0 + x")
    apart = model_terms(parse_formula("y ~ (1 | gr(g, by=arm)) + (1 | gr(h, by=sex))"))
    assert apart.grouping == ("g", "arm", "h", "sex")


def test_a_membership_term_names_its_factor() -> None:
    (term,) = parse_formula("y ~ (1 | mm(a, b))").random
    assert term == RandomTerm("1", ("a", "b"), several=True)
    assert term.factor == "mm(a,b)"


@pytest.mark.parametrize(
    ("term", "message", "culprit"),
    [
        ("ar1(week | g)", "Of random effects write ar1(0 + week | g); of residuals", "ar1"),
        ("toep(f | g)", "residual='toep(f | g)'", "toep"),
        ("cs(x || g)", "write one bar", "cs(x || g)"),
        ("cs(0 + f | g, hom=maybe)", "hom= is True or False", "maybe"),
        ("cs(0 + f | g, rho=1)", "cs() has no option rho", "rho"),
        ("rr(0 + f | g)", "There is no rr()", "rr"),
        ("propto(0 + g | g)", "gr(g, cov=A)", "propto"),
        ("(1 | gr(g, dist=t))", "gr() has by= and cov= here, no dist=", "dist"),
        ("(1 | gr(g, by=[a]))", "Expected one name", "[a]"),
        ("(1 | gr(a, b))", "gr() has one grouping factor", "gr(a, b)"),
        ("(1 | gr(a/b))", "gr() has one grouping factor", "gr(a/b)"),
        ("(1 | mm(a))", "mm() takes two columns or more", "mm(a)"),
        ("(1 | mm(a, b:d))", "mm() takes two columns or more", "mm(a, b:d)"),
        ("(1 | mm(a, a))", "names a column twice", "mm(a, a)"),
        ("(1 | mm(a, b, weights=u))", "Weights are columns", "u"),
        ("(1 | mm(a, b, weights=[u]))", "2 levels to a row, and 1", "mm(a, b, weights=[u])"),
        ("(1 | mm(a, b, scale=TRUE))", "mm() has weights= here, no scale=", "scale"),
        ("gr(g)", "gr() stands right of a bar", "gr(g)"),
        ("(1 |p| g) + (1 |p| h)", "The label 'p' stands on g and on h", "(1 |p| h)"),
        ("(1 |p| g) + (0 + x |p| a/g)", "Give each factor a label of its own", "(0 + x |p| a/g)"),
        ("(1 |p| g) + (1 |p| gr(g, by=s))", "on g and on gr(g, by=s)", "(1 |p| gr(g, by=s))"),
        ("(1 |p| g) + (x |p| g)", "have the intercept: write 0 +", "(x |p| g)"),
        ("(0 + a:b |p| g) + (b:a |p| g)", "have b:a: leave it out", "(b:a |p| g)"),
        ("(1 |p| g) + cs(0 + x |p| g)", "one unstructured G", "cs(0 + x |p| g)"),
    ],
)  # fmt: skip
def test_a_mistake_in_bars_is_named_and_pointed_at(term: str, message: str, culprit: str) -> None:
    text = f"y ~ {term}"
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    shown = str(caught.value).split("\n")
    assert message in shown[0]
    start = shown[2].index("^") - 4
    assert text[start : start + shown[2].count("^")] == culprit
