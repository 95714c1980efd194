"""Generated formulas and tables: printing is stable, and only the package's errors are raised."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslmm.design.build import build_design, rebuild_design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import BayesLMMError, FormulaError
from bayeslmm.formula.mixed_formula import parse_formula

NAMES = st.sampled_from(["x", "z", "f", "flag", "`my x`", "x.1"])
GROUPS = st.sampled_from(["g", "h", "k"])
CALLS = st.sampled_from(
    [
        *("log(z)", "I(x^2)", "I(x > 0)", "poly(x, 2)", "bs(x, df=4)", "scale(x)", "center(z)"),
        *("C(k)", "C(f, Sum)", "np.exp(x)", "I(`my x` * 2)", "C(f, Treatment('b'))"),
    ]
)
ATOMS = st.one_of(NAMES, CALLS)


def _join(children):
    return st.builds(
        "{0} {1} {2}".format, children, st.sampled_from(["+", "+", "*", ":", "-", "/"]), children
    )


TERMS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(_join(inner), inner.map("({})".format), inner.map("({})^2".format)),
    max_leaves=4,
)
SUMS = st.builds("{}{}".format, st.sampled_from(["", "1 + ", "0 + "]), TERMS)
FACTORS = st.one_of(
    GROUPS,
    st.sampled_from(["g:h", "g/h", "g/h/k", "(g:h)"]),
)
RANDOM = st.builds(
    "({} {} {})".format,
    st.one_of(st.just("1"), SUMS),
    st.sampled_from(["|", "||"]),
    FACTORS,
)
OFFSETS = st.sampled_from(["offset(x)", "offset(log(z))", "offset(2 * x)"])
RESPONSES = st.sampled_from(["y", "log(y)", "I(y / 2)"])
FORMULAS = st.builds(
    lambda response, fixed, extra: f"{response} ~ " + " + ".join([fixed, *extra]),
    RESPONSES,
    st.one_of(st.sampled_from(["0", "1"]), SUMS),
    st.lists(st.one_of(RANDOM, RANDOM, OFFSETS), max_size=3),
)


@given(FORMULAS)
@settings(max_examples=200, deadline=None)
def test_printing_and_parsing_again_is_the_identity(text):
    try:
        parsed = parse_formula(text)
    except FormulaError as error:
        if "No column is left to vary" in error.message:  # `(0 + x - x | g)`
            return
        raise
    assert parse_formula(str(parsed)) == parsed
    assert str(parse_formula(str(parsed))) == str(parsed)


@given(st.text(alphabet="yxg10+-*/:^|~()`'.,=<> ILCog[]&\\\n", max_size=40))
@settings(max_examples=400, deadline=None)
def test_no_text_raises_anything_but_a_formula_error(text):
    try:
        parsed = parse_formula(text)
    except FormulaError:
        return
    assert parse_formula(str(parsed)) == parsed


@st.composite
def tables(draw):
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = pd.DataFrame(
        {
            "y": rng.uniform(0.5, 3, n),
            "x": rng.normal(size=n),
            "z": rng.uniform(0.5, 3, n),
            "my x": rng.integers(0, 3, n),
            "x.1": rng.normal(size=n) * 10.0 ** draw(st.integers(-12, 12)),
            "f": pd.Categorical(rng.choice(list("abc"), n), categories=list("cab")),
            "flag": rng.random(n) < 0.5,
            "g": rng.choice(["s1", "s2", "s3"], n),
            "h": rng.choice(list("pqr"), n),
            "k": rng.integers(0, 3, n),
        }
    )
    spoiled = draw(st.sampled_from([None, None, None, "x", "z", "y"]))
    if spoiled and n:
        table.loc[draw(st.integers(0, n - 1)), spoiled] = draw(
            st.sampled_from([np.nan, np.inf, -1.0, 0.0])
        )
    return table


@given(FORMULAS, tables(), st.sampled_from(["raise", "drop"]))
@settings(max_examples=150, deadline=None)
def test_a_design_is_consistent_or_refused_with_the_packages_own_error(formula, table, policy):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            design = build_design(formula, table, rank_deficient=policy)
        except BayesLMMError:
            return
        again = rebuild_design(DesignState.from_json(design.state.to_json()), design.data)
    n = len(design.y)
    assert n == len(design.rows) <= len(table)
    assert design.X.shape == (n, len(design.coef))
    assert np.isfinite(design.X).all()
    assert np.linalg.matrix_rank(design.X / np.linalg.norm(design.X, axis=0), tol=1e-12) == len(
        design.coef
    )
    np.testing.assert_array_equal(again.X, design.X)
    for factor, other in zip(design.factors, again.factors, strict=True):
        assert sorted(j for block in factor.blocks for j in block) == list(range(len(factor.terms)))
        assert set(factor.index) == set(range(len(factor.levels)))
        np.testing.assert_array_equal(other.index, factor.index)
        np.testing.assert_array_equal(other.columns, factor.columns)
