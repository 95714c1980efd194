"""Every form of the grammar as matrices, column by column against hand-written ones."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayeslmm.design.build import build_design
from bayeslmm.formula.mixed_formula import parse_formula

X = np.array([0.5, 1.0, 2.0, 4.0, 3.0, 1.5, 2.5, 0.25, 5.0, 3.5, 1.25, 0.75])
Z = np.array([1.0, -1.0, 0.0, 2.0, 1.0, -2.0, 3.0, 1.5, -1.5, 0.5, 2.5, -0.5])
Y = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, 5.5, 3.5, 8.0, 7.0])
F = list("caabbcacbabc")  # categories in the order c, a, b: the reference is c
G = list("uuuvvvwwwuvw")
H = ["p", "q"] * 6
ONE = np.ones(12)


def is_(values, label):
    return np.array([float(value == label) for value in values])


A, B, C = is_(F, "a"), is_(F, "b"), is_(F, "c")
FLAG = X > 2


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "y": Y,
            "x": X,
            "z": Z,
            "f": pd.Categorical(F, categories=["c", "a", "b"]),
            "g": G,
            "h": H,
            "k": [2, 10, 2, 10, 3, 3, 2, 10, 3, 2, 3, 10],
            "flag": FLAG,
            "my x": Z,
            "log": X,
        }
    )


def same(columns, names, expected):
    assert list(names) == list(expected)
    for j, (name, column) in enumerate(expected.items()):
        # Sums of a dozen products of small numbers: rounding only.
        np.testing.assert_allclose(columns[:, j], column, rtol=1e-13, atol=1e-13, err_msg=name)


CENTERED = X - X.mean()
FIXED = {
    "y ~ 1": {"Intercept": ONE},
    "y ~ x": {"Intercept": ONE, "x": X},
    "y ~ 0 + x": {"x": X},
    "y ~ x - 1": {"x": X},
    "y ~ x + (1 | g) - 1": {"x": X},
    "y ~ f": {"Intercept": ONE, "f[T.a]": A, "f[T.b]": B},
    "y ~ 0 + f": {"f[c]": C, "f[a]": A, "f[b]": B},
    "y ~ f - 1": {"f[c]": C, "f[a]": A, "f[b]": B},
    "y ~ 0 + f + h": {"f[c]": C, "f[a]": A, "f[b]": B, "h[T.q]": is_(H, "q")},
    "y ~ g": {"Intercept": ONE, "g[T.v]": is_(G, "v"), "g[T.w]": is_(G, "w")},
    "y ~ flag": {"Intercept": ONE, "flag[T.True]": FLAG.astype(float)},
    "y ~ k": {"Intercept": ONE, "k": [2.0, 10, 2, 10, 3, 3, 2, 10, 3, 2, 3, 10]},
    "y ~ x * z": {"Intercept": ONE, "x": X, "z": Z, "x:z": X * Z},
    "y ~ x:z": {"Intercept": ONE, "x:z": X * Z},
    "y ~ (x + z)^2": {"Intercept": ONE, "x": X, "z": Z, "x:z": X * Z},
    "y ~ x * z - x:z": {"Intercept": ONE, "x": X, "z": Z},
    "y ~ x * z - x": {"Intercept": ONE, "z": Z, "x:z": X * Z},
    "y ~ x * f": {
        "Intercept": ONE,
        "x": X,
        "f[T.a]": A,
        "f[T.b]": B,
        "x:f[T.a]": X * A,
        "x:f[T.b]": X * B,
    },
    "y ~ x + x:f": {"Intercept": ONE, "x": X, "x:f[T.a]": X * A, "x:f[T.b]": X * B},
    "y ~ 0 + x:f": {"x:f[c]": X * C, "x:f[a]": X * A, "x:f[b]": X * B},
    "y ~ x / z": {"Intercept": ONE, "x": X, "x:z": X * Z},
    "y ~ z %in% x + x": {"Intercept": ONE, "x": X, "z:x": X * Z},
    "y ~ I(x^2) + I(x > 2)": {
        "Intercept": ONE,
        "I(x ** 2)": X**2,
        "I(x > 2)[T.True]": FLAG.astype(float),
    },
    "y ~ I(f == 'a')": {"Intercept": ONE, "I(f == 'a')[T.True]": A},
    "y ~ I(flag + flag)": {"Intercept": ONE, "I(flag + flag)": 2.0 * FLAG},
    "y ~ I(-x / 2 + 1)": {"Intercept": ONE, "I(-x / 2 + 1)": 1 - X / 2},
    "y ~ log(x) + np.sqrt(x)": {"Intercept": ONE, "log(x)": np.log(X), "np.sqrt(x)": X**0.5},
    "y ~ exp(x) + maximum(x, z)": {
        "Intercept": ONE,
        "exp(x)": np.exp(X),
        "maximum(x, z)": np.maximum(X, Z),
    },
    "y ~ log(log)": {"Intercept": ONE, "log(log)": np.log(X)},
    "y ~ `my x` + I(`my x`^2)": {"Intercept": ONE, "`my x`": Z, "I(`my x` ** 2)": Z**2},
    "y ~ center(x)": {"Intercept": ONE, "center(x)": CENTERED},
    "y ~ scale(x)": {"Intercept": ONE, "scale(x)": CENTERED / X.std(ddof=1)},
    "y ~ poly(x, 2, raw=TRUE)": {
        "Intercept": ONE,
        "poly(x, 2, raw=True)[1]": X,
        "poly(x, 2, raw=True)[2]": X**2,
    },
    "y ~ C(k)": {
        "Intercept": ONE,
        "C(k)[T.3]": is_([2, 10, 2, 10, 3, 3, 2, 10, 3, 2, 3, 10], 3),
        "C(k)[T.10]": is_([2, 10, 2, 10, 3, 3, 2, 10, 3, 2, 3, 10], 10),
    },
    "y ~ C(f, Treatment('b'))": {
        "Intercept": ONE,
        "C(f, Treatment('b'))[T.c]": C,
        "C(f, Treatment('b'))[T.a]": A,
    },
    "y ~ C(f, levels=['a', 'b', 'c'])": {
        "Intercept": ONE,
        "C(f, levels=['a', 'b', 'c'])[T.b]": B,
        "C(f, levels=['a', 'b', 'c'])[T.c]": C,
    },
    "y ~ C(f, Sum)": {"Intercept": ONE, "C(f, Sum)[S.c]": C - B, "C(f, Sum)[S.a]": A - B},
}


@pytest.mark.parametrize("formula", FIXED)
def test_fixed_effects_columns_are_those_written_by_hand(formula, table):
    design = build_design(formula, table)
    same(design.X, design.coef, FIXED[formula])
    np.testing.assert_array_equal(design.y, Y)


def test_orthogonal_polynomials_span_the_powers_and_are_orthonormal(table):
    design = build_design("y ~ poly(x, 2)", table)
    assert design.coef == ("Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]")
    basis = design.X[:, 1:]
    # The three-term recurrence is accurate to rounding at degree 2.
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-13)
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-13)
    powers = np.column_stack([ONE, X, X**2])
    residual = powers - design.X @ np.linalg.lstsq(design.X, powers, rcond=None)[0]
    np.testing.assert_allclose(residual, 0, atol=1e-12)


def test_splines_sum_to_one_and_have_the_columns_asked_for(table):
    design = build_design("y ~ 0 + bs(x, df=5, include_intercept=True)", table)
    assert design.X.shape == (12, 5)
    np.testing.assert_allclose(design.X.sum(axis=1), 1, rtol=1e-13)  # a partition of unity


RANDOM = {
    "y ~ (1 | g)": {"Intercept": ONE},
    "y ~ (x | g)": {"Intercept": ONE, "x": X},
    "y ~ (1 + x | g)": {"Intercept": ONE, "x": X},
    "y ~ (0 + x | g)": {"x": X},
    "y ~ (x - 1 | g)": {"x": X},
    "y ~ (f | g)": {"Intercept": ONE, "f[T.a]": A, "f[T.b]": B},
    "y ~ (0 + f | g)": {"f[c]": C, "f[a]": A, "f[b]": B},
    "y ~ (x + z | g)": {"Intercept": ONE, "x": X, "z": Z},
    "y ~ (0 + x:f | g)": {"x:f[c]": X * C, "x:f[a]": X * A, "x:f[b]": X * B},
    "y ~ (x * h | g)": {
        "Intercept": ONE,
        "x": X,
        "h[T.q]": is_(H, "q"),
        "x:h[T.q]": X * is_(H, "q"),
    },
    "y ~ (log(x) + I(z^2) | g)": {"Intercept": ONE, "log(x)": np.log(X), "I(z ** 2)": Z**2},
    "y ~ (flag | g)": {"Intercept": ONE, "flag[T.True]": FLAG.astype(float)},
}


@pytest.mark.parametrize("formula", [f for f in RANDOM if f != "y ~ (x * h | g)"])
def test_random_effects_columns_are_those_written_by_hand(formula, table):
    (factor,) = build_design(formula, table).factors
    same(factor.columns, factor.terms, RANDOM[formula])
    assert factor.blocks == (tuple(range(len(factor.terms))),)
    assert factor.levels.tolist() == ["u", "v", "w"]
    assert factor.index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2]
    assert factor.n_known == 3


@pytest.mark.parametrize("formula", RANDOM)
def test_double_bars_give_every_column_a_block_of_its_own(formula, table):
    (factor,) = build_design(formula.replace("|", "||"), table).factors
    same(factor.columns, factor.terms, RANDOM[formula])
    assert factor.blocks == tuple((j,) for j in range(len(factor.terms)))


def test_an_interaction_with_a_factor_varies_by_group():
    long = pd.DataFrame({"x": np.tile(X, 3), "y": np.tile(Y, 3), "h": H * 3, "g": np.repeat(G, 3)})
    (factor,) = build_design("y ~ (x * h | g)", long).factors
    q = np.tile(is_(H, "q"), 3)
    x = np.tile(X, 3)
    same(factor.columns, factor.terms, {"Intercept": 1, "x": x, "h[T.q]": q, "x:h[T.q]": x * q})


def test_polynomials_vary_by_group(table):
    design = build_design("y ~ poly(x, 2) + (poly(x, 2) | g)", table)
    np.testing.assert_array_equal(design.factors[0].columns, design.X)


def test_nesting_gives_the_outer_factor_and_the_combinations(table):
    design = build_design("y ~ (1 | h/g)", table)
    outer, inner = design.factors
    assert (outer.name, inner.name) == ("h", "h:g")
    assert outer.levels.tolist() == ["p", "q"]
    assert inner.levels.tolist() == ["p:u", "p:v", "p:w", "q:u", "q:v", "q:w"]
    labels = [f"{h}:{g}" for h, g in zip(H, G, strict=True)]
    assert inner.levels[inner.index].tolist() == labels
    assert inner.variables == ("h", "g")


def test_combinations_are_only_those_that_occur():
    table = {
        "y": [1.0, 2, 3, 4, 5, 7],
        "a": list("ssttss"),
        "b": [10, 9, 9, 9, 10, 9],
        "c": list("iiiiji"),
    }
    design = build_design("y ~ (1 | a/b/c)", table, weights=[1, 2, 1, 2, 1, 2])
    assert [factor.name for factor in design.factors] == ["a", "a:b", "a:b:c"]
    assert design.factors[1].levels.tolist() == ["s:9", "s:10", "t:9"]
    assert design.factors[2].levels.tolist() == ["s:9:i", "s:10:i", "s:10:j", "t:9:i"]
    assert design.factors[2].index.tolist() == [1, 0, 3, 3, 2, 0]


def test_terms_on_one_factor_are_gathered_into_blocks(table):
    design = build_design("y ~ (1 | g) + (1 | h) + (0 + x | g) + (0 + z + log(x) | g)", table)
    g, h = design.factors
    assert (g.name, h.name) == ("g", "h")
    assert g.terms == ("Intercept", "x", "z", "log(x)")
    assert g.blocks == ((0,), (1,), (2, 3))
    assert g.columns.shape == (12, 4)


def test_a_formula_without_bars_has_no_factors(table):
    assert build_design("y ~ x", table).factors == ()


def test_a_grouping_factor_may_also_be_a_fixed_effect(table):
    design = build_design("y ~ g + (1 | g)", table)
    assert design.coef == ("Intercept", "g[T.v]", "g[T.w]")


LEVELS = {
    "text is sorted": (["b", "a", "B", "b", "a", "B"], ["B", "a", "b"]),
    "integers by size": ([10, 9, 10, 9, 100, 100], ["9", "10", "100"]),
    "whole floats as integers": ([10.0, 9.0, 10.0, 9.0, 9.0, 9.0], ["9", "10"]),
    "booleans": ([True, False, True, False, True, True], ["False", "True"]),
    "categories in their order": (
        pd.Categorical(list("bacbac"), categories=list("cab")),
        ["c", "a", "b"],
    ),
    "ordered categories": (
        pd.Categorical(list("bacbac"), categories=list("cab"), ordered=True),
        ["c", "a", "b"],
    ),
    "categories of numbers": (pd.Categorical([3, 1, 3, 1, 3, 1], categories=[3, 1]), ["3", "1"]),
    "objects": (np.array(list("bacbac"), dtype=object), ["a", "b", "c"]),
    "fixed-width text": (np.array(list("bacbac")), ["a", "b", "c"]),
    "python's text type": (pd.Series(list("bacbac"), dtype="str"), ["a", "b", "c"]),
}


@pytest.mark.parametrize("case", LEVELS)
def test_levels_have_an_order(case):
    values, levels = LEVELS[case]
    table = pd.DataFrame({"y": Y[:6], "g": values})
    (factor,) = build_design("y ~ (1 | g)", table).factors
    assert factor.levels.tolist() == levels
    expected = [levels.index(str(v).removesuffix(".0")) for v in table["g"]]
    assert factor.index.tolist() == expected


def test_an_ordered_categorical_gets_treatment_contrasts(table):
    table["f"] = table["f"].cat.as_ordered()
    same(*_x(build_design("y ~ f", table)), {"Intercept": ONE, "f[T.a]": A, "f[T.b]": B})


def _x(design):
    return design.X, design.coef


def _arrow(table):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.Table.from_pandas(table, preserve_index=False)


CONTAINERS = {
    "pandas with any index": lambda t: t.set_index(np.arange(12)[::-1] % 5),
    "pandas nullable": lambda t: t.convert_dtypes(),
    "dict of columns": lambda t: {name: t[name].array for name in t.columns},
    "dict of lists": lambda t: {n: t[n].tolist() if n != "f" else t[n] for n in t.columns},
    "polars": lambda t: pl.DataFrame(
        {n: t[n].tolist() for n in t.columns},
        schema_overrides={"f": pl.Enum(["c", "a", "b"])},
    ),
    "pyarrow": _arrow,
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_kind_of_table_gives_the_same_design(kind, table):
    formula = "y ~ x * f + flag + C(k) + (x | g) + (1 | h) + offset(z)"
    expected = build_design(formula, table)
    design = build_design(formula, CONTAINERS[kind](table), weights=X)
    same(design.X, design.coef, dict(zip(expected.coef, expected.X.T, strict=True)))
    np.testing.assert_array_equal(design.y, expected.y)
    np.testing.assert_array_equal(design.offset, Z)
    np.testing.assert_array_equal(design.weights, X)
    for factor, other in zip(design.factors, expected.factors, strict=True):
        assert factor.levels.tolist() == other.levels.tolist()
        np.testing.assert_array_equal(factor.index, other.index)
        np.testing.assert_array_equal(factor.columns, other.columns)


def test_a_polars_categorical_is_sorted_like_text():
    # Its categories are shared between columns of the process, so they say nothing of order.
    pl.Series(["zebra", "b", "a"], dtype=pl.Categorical)
    table = pl.DataFrame({"y": Y[:4], "g": pl.Series(list("baab"), dtype=pl.Categorical)})
    assert build_design("y ~ (1 | g)", table).factors[0].levels.tolist() == ["a", "b"]


def test_transformed_responses_and_their_names(table):
    design = build_design("log(y) ~ x", table)
    assert design.response == "log(y)"
    np.testing.assert_allclose(design.y, np.log(Y), rtol=1e-15)
    np.testing.assert_allclose(build_design("I(y / 100) ~ x", table).y, Y / 100, rtol=1e-15)


def test_offsets_are_added_up(table):
    design = build_design("y ~ x + offset(log(x)) + offset(2 * z)", table)
    np.testing.assert_allclose(design.offset, np.log(X) + 2 * Z, rtol=1e-14)
    assert design.coef == ("Intercept", "x")
    assert build_design("y ~ x", table).offset is None


def test_weights_are_a_column_or_an_array(table):
    assert build_design("y ~ x", table).weights is None
    np.testing.assert_array_equal(build_design("y ~ z", table, weights="x").weights, X)
    np.testing.assert_array_equal(build_design("y ~ z", table, weights=list(X)).weights, X)


def test_the_data_that_the_formula_uses_are_kept(table):
    design = build_design("log(y) ~ x + flag + (1 | g)", table)
    assert set(design.data) == {"y", "x", "flag", "g"}
    assert design.data["flag"].dtype == bool
    assert isinstance(design.data["g"], pd.Categorical)
    assert design.rows.tolist() == list(range(12))


def test_a_response_can_be_left_for_a_simulation_to_draw(table):
    design = build_design("y ~ x + (1 | g)", table.drop(columns="y"), response="optional")
    assert np.isnan(design.y).all()
    assert design.factors[0].n_known == 3


def test_a_parsed_formula_serves_as_well_as_text(table):
    design = build_design(parse_formula("y ~ x"), table)
    assert design.coef == ("Intercept", "x")


def test_scales_far_from_one_are_no_obstacle():
    time = 1e9 + np.arange(12.0)
    table = pd.DataFrame({"y": Y * 1e-12, "t": time, "u": X * 1e12, "g": G})
    design = build_design("y ~ t + u + (1 | g)", table)
    assert design.coef == ("Intercept", "t", "u")


def test_what_was_given_is_not_changed(table):
    before = table.copy(deep=True)
    design = build_design("y ~ poly(x, 2) * f + (scale(z) | g)", table, weights="x")
    design.y[:] = 0
    pd.testing.assert_frame_equal(table, before)
