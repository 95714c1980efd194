"""What designs, priors and cross-products print of themselves."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.gram.gram_design import GramDesign

N = 400
RNG = np.random.default_rng(1)
TABLE = {
    "y": RNG.normal(size=N),
    "x": RNG.normal(size=N),
    "z": RNG.normal(size=N),
    "f": RNG.choice([f"<b>{k}" for k in range(60)], N),
    "g": RNG.choice([f"level {k}" for k in range(100)], N),
    "w": RNG.uniform(0.5, 2, N),
}
FORMULA = "y ~ x + z + offset(w) + (x + z | g) + (1 | f)"


@pytest.fixture(scope="module")
def design():
    return bl.build_design(FORMULA, TABLE, weights="w")


def test_a_design_says_what_it_is(design):
    assert repr(design).splitlines() == [
        "Design of y ~ 1 + x + z + offset(w) + (1 + x + z | g) + (1 | f)",
        "  400 rows of y, with weights and an offset",
        "  fixed effects: Intercept, x, z",
        f"  g: {len(design.factors[0].levels)} levels; columns Intercept, x, z, correlated",
        "  f: 60 levels; column Intercept",
    ]


@pytest.mark.parametrize(
    ("term", "words"),
    [("(x || g)", "uncorrelated"), ("(1 | g) + (0 + x + z | g)", "within: Intercept; x, z")],
)
def test_columns_are_correlated_or_not(term, words):
    assert repr(bl.build_design(f"y ~ x + {term}", TABLE)).endswith(words)


def test_cross_products_name_no_level(design):
    gram = bl.Gram.from_design(design)
    for value in (gram, GramDesign.of(FORMULA, gram), gram.factors[0]):
        assert "level 1" not in repr(value)
    assert "400 rows of y" in repr(gram)


def values(design):
    wide = bl.build_design("y ~ f + (1 | g)", TABLE)
    return [
        design, wide, *design.factors, bl.Gram.from_design(design), bl.resolve_priors(design),
        bl.resolve_priors(wide),
    ]  # fmt: skip


def test_texts_are_short_and_fit_into_80_columns(design):
    for value in values(design):
        lines = repr(value).splitlines()
        assert len(lines) < 30
        assert max(map(len, lines)) <= 80


def test_notebooks_show_labels_as_text(design):
    for value in values(design):
        shown = value._repr_html_()
        assert shown.startswith("<div>")
        assert "<b>" not in shown


def test_priors_are_listed_with_whose_choice_they_are(design):
    lines = repr(bl.resolve_priors(design, {"sigma": "HalfNormal(3)"})).splitlines()
    assert lines[0] == "Priors"
    assert lines[-2].split() == ["sigma", "HalfNormal(sigma=3)", "user"]
    assert lines[-1] == "The intercept's is for predictors at their means."
    many = repr(bl.resolve_priors(bl.build_design("y ~ f + (1 | g)", TABLE)))
    assert "(and 40 fixed effects more)" in many
