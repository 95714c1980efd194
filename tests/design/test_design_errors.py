"""What a table can get wrong: each mistake has a message that names it."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayeslmm.design.build import build_design
from bayeslmm.errors import (
    ArgumentError,
    DataError,
    FormulaError,
    RankDeficiencyWarning,
)

N = 24


def table(**changes):
    rng = np.random.default_rng(7)
    columns = {
        "y": rng.normal(size=N),
        "x": rng.normal(size=N),
        "z": rng.normal(size=N),
        "Days": np.tile(np.arange(4.0), 6),
        "g": np.repeat(list("abcdef"), 4),
        "f": np.tile(list("uvw"), 8),
    }
    return columns | changes


def put(values, position, value):
    changed = list(values)
    changed[position] = value
    return changed


X = table()["x"]
DATES = [dt.datetime(2020, 1, 1 + i, tzinfo=dt.UTC) for i in range(N)]

# formula, what is changed in the table, error, message
REFUSED = {
    "misspelt predictor": (
        *("y ~ days + (1 | g)", {}, FormulaError),
        "no column 'days'. Did you mean 'Days'?",
    ),
    "misspelt column in a call": (*("y ~ log(dais)", {}, FormulaError), "no column 'dais'"),
    "misspelt grouping factor": ("y ~ x + (1 | gg)", {}, FormulaError, "no column 'gg'"),
    "misspelt response": ("yy ~ x", {}, FormulaError, "no column 'yy'. Did you mean 'y'?"),
    "attribute read as a column": ("y ~ I(x.T)", {}, FormulaError, "no column 'x.T'"),
    "nothing in the table": ("y ~ x", None, DataError, "it has no columns"),
    "no rows": ("y ~ x", {k: [] for k in table()}, DataError, "it has no rows"),
    "unequal lengths": ("y ~ x", {"x": [1.0]}, DataError, "differ in length: y 24, x 1"),
    "scalar column": ("y ~ x", {"x": 3.0}, DataError, "'x' is the single value 3.0"),
    "matrix column": ("y ~ x", {"x": np.ones((N, 2))}, DataError, "'x' has 2 dimensions"),
    "ragged column": ("y ~ x", {"x": [[1], [1, 2]] * 12}, DataError, "values such as list"),
    "all missing": ("y ~ x", {"x": [np.nan] * N}, DataError, "'x' has only missing values"),
    "every row lacks something": (
        *("y ~ x + z", {"x": [np.nan, 1.0] * 12, "z": [1.0, np.nan] * 12}, DataError),
        "Every row lacks a value somewhere: x 12, z 12",
    ),
    "infinite predictor": (
        *("y ~ x", {"x": put(X, 5, np.inf)}, DataError),
        "'x' is not finite in 1 of 24 rows; the first is row 5 (counted from 0), with inf",
    ),
    "infinite after a transform": (
        *("y ~ log(Days)", {}, DataError),
        "'log(Days)' is not finite in 6 of 24 rows; the first is row 0",
    ),
    "undefined after a transform": ("y ~ sqrt(x)", {}, DataError, "'sqrt(x)' is not finite"),
    "overflow": ("y ~ I(10.0 ** (x * 1e6))", {}, DataError, "is not finite"),
    "a constant that overflows": ("y ~ I(x + 9**9**9)", {}, DataError, "is not finite"),
    "infinite random column": (
        *("y ~ (log(Days) | g)", {}, DataError),
        "random-effects column 'log(Days)' is not finite",
    ),
    "infinite response": (
        *("y ~ x", {"y": put(X, 3, -np.inf)}, DataError),
        "response 'y' is not finite in 1 of 24 rows; the first is row 3",
    ),
    "infinite response after a transform": ("log(Days) ~ x", {}, DataError, "response 'log(Days)'"),
    "infinite offset": ("y ~ x + offset(log(Days))", {}, DataError, "offset(log(Days))"),
    "text response": ("f ~ x", {}, DataError, "'f' is not numeric: column 'f' holds text"),
    "boolean response": ("y ~ x", {"y": [True, False] * 12}, DataError, "holds booleans"),
    "response of several columns": ("poly(y, 2) ~ x", {}, DataError, "more than one column"),
    "categorical response": ("C(Days) ~ x", {}, DataError, "is not numeric"),
    "offset of labels": ("y ~ x + offset(f)", {}, DataError, "offset(f) is not numeric"),
    "float grouping factor": (
        *("y ~ (1 | x)", {"x": [0.5, 1.5] * 12}, DataError),
        "The grouping factor 'x' holds the number",
    ),
    "one level": ("y ~ (1 | g)", {"g": ["a"] * N}, DataError, "one level only, 'a'"),
    "one series": (
        "y ~ ar1(0 + Days | g)",
        {"g": ["a"] * N},
        DataError,
        "residual='ar1(Days | g)'",
    ),
    "one level of a fixed effect": ("y ~ f", {"f": ["a"] * N}, DataError, "one level only, 'a'"),
    "one boolean": ("y ~ f", {"f": [True] * N}, DataError, "one level only, 'True'"),
    "one level of C()": ("y ~ C(f)", {"f": [3] * N}, DataError, "one level only, '3'"),
    "the intercept twice": (
        *("y ~ (x | g) + (1 | g)", {}, FormulaError),
        "'Intercept' stands twice on 'g'",
    ),
    "a slope twice": ("y ~ (0 + x | g) + (x || g)", {}, FormulaError, "'x' stands twice on 'g'"),
    "a factor spelt twice": (
        *("y ~ (1 | g:f) + (0 + x | f:g)", {}, FormulaError),
        "'g:f' and 'f:g' are the same",
    ),
    "equal random columns": (
        *("y ~ (x + z || g)", {"z": X}, DataError),
        "'x' and 'z' of 'g' are the same",
    ),
    "ambiguous labels": (
        *("y ~ (1 | a:b)", {"a": ["u:v", "u"] * 12, "b": ["w", "v:w"] * 12}, DataError),
        "have the same label",
    ),
    "more coefficients than rows": (
        *("y ~ C(i)", {"i": np.arange(N)}, DataError),
        "24 coefficients (Intercept, C(i)[T.1]",
    ),
    "rank-deficient": (
        *("y ~ x + z + I(x - 2 * z)", {}, DataError),
        "cannot be told apart: I(x - 2 * z) = x - 2 * z",
    ),
    "constant predictor": ("y ~ x", {"x": [2.0] * N}, DataError, "x = 2 * Intercept"),
    "zero predictor": ("y ~ x", {"x": [0] * N}, DataError, "x = 0"),
    "numbers as text": ("y ~ x", {"x": ["1.5", "2.5"] * 12}, DataError, "write C(x)"),
    "numbers as text among objects": (
        *("y ~ x", {"x": np.array(["1", "2"] * 12, dtype=object)}, DataError),
        "numbers written as text, such as '1'",
    ),
    "numbers as text in arithmetic": (
        *("y ~ I(x + 1)", {"x": ["1", "2"] * 12}, DataError),
        "arithmetic needs numbers",
    ),
    "dates": ("y ~ x", {"x": DATES}, DataError, "'x' holds dates and times"),
    "dates without time": ("y ~ x", {"x": [d.date() for d in DATES]}, DataError, "dates and times"),
    "datetimes of numpy": (
        *("y ~ x", {"x": np.arange(N).astype("datetime64[D]")}, DataError),
        "dates and times",
    ),
    "durations": ("y ~ x", {"x": np.arange(N).astype("timedelta64[s]")}, DataError, "dates and"),
    "dates as a grouping factor": ("y ~ (1 | x)", {"x": DATES}, DataError, "dates and times"),
    "complex numbers": ("y ~ x", {"x": X + 1j}, DataError, "complex numbers"),
    "lists": ("y ~ x", {"x": pd.Series([[1, 2]] * N)}, DataError, "values such as list"),
    "mixture": (
        "y ~ x",
        {"x": pd.Series([1, "a"] * 12)},
        DataError,
        "numbers, and text in 12 of 24 rows",
    ),
    "categories alike as text": (
        *("y ~ x", {"x": pd.Categorical([1, "1"] * 12, categories=[1, "1"])}, DataError),
        "read the same as text",
    ),
    "labels in arithmetic": ("y ~ log(f)", {}, DataError, "log(f) cannot be computed"),
    "labels compared by size": ("y ~ I(f > 'u')", {}, DataError, "cannot be computed"),
    "text in arithmetic": ("y ~ I(x + 'a')", {}, DataError, "arithmetic needs numbers, not 'a'"),
    "a base that is no level": (
        *("y ~ C(f, Treatment('q'))", {}, DataError),
        "'q' is none of the levels 'u', 'v', 'w'",
    ),
    "levels that leave values out": (
        *("y ~ C(f, levels=['u', 'v'])", {}, DataError),
        "level 'w' is not among those of levels=: 'u', 'v'",
    ),
    "polynomial of labels": ("y ~ poly(f, 2)", {}, DataError, "arithmetic needs numbers"),
    "polynomial of too high a degree": (
        *("y ~ poly(Days, 4)", {}, DataError),
        "degree 4 needs more than 4 distinct values",
    ),
    "polynomial of no degree": ("y ~ poly(x, 0)", {}, DataError, "a whole number from 1 on"),
    "spline with too few degrees": ("y ~ bs(x, df=2)", {}, DataError, "cannot be computed"),
    "spline with too many degrees": (
        "y ~ bs(x, df=9999)",
        {},
        DataError,
        "needs more rows than",
    ),
    "knots of text": ("y ~ bs(x, knots=['a'])", {}, DataError, "cannot be computed"),
    "polynomial of a polynomial": ("y ~ poly(poly(x, 2), 2)", {}, DataError, "one column"),
    "transform of a constant": ("y ~ scale(x)", {"x": [1.0] * N}, DataError, "not finite"),
    "a column called Intercept": (
        *("y ~ Intercept", {"Intercept": X}, DataError),
        "would both be called Intercept",
    ),
}


ODD = np.where(np.arange(N) == 5, "five", np.arange(N).astype(str)).astype(object)
CELL = f"numbers, and text in 1 of {N} rows: 'five' in row 'r5'"
WITH_A_WORD = {
    "response": ("x ~ Days", {}, f"column 'x' holds {CELL}"),
    "function of the response": ("log(x) ~ Days", {}, f"column 'x' holds {CELL}"),
    "predictor": ("y ~ x", {}, f"Column 'x' holds {CELL}. Mend it, or make it a missing"),
    "slope": ("y ~ (x | g)", {}, f"Column 'x' holds {CELL}"),
    "arithmetic": ("y ~ I(x**2)", {}, f"column 'x' holds {CELL}"),
    "transform": ("y ~ scale(x)", {}, f"column 'x' holds {CELL}"),
    "offset": ("y ~ offset(x)", {}, f"holds {CELL}"),
    "weights": ("y ~ Days", {"weights": "x"}, f"'x' are not numbers: it holds {CELL}"),
    "weights of their own": ("y ~ Days", {"weights": ODD}, "not numbers: 'five' in row 5"),
}


@pytest.mark.parametrize("case", WITH_A_WORD)
def test_a_cell_that_is_no_number_is_named_by_row_and_value(case):
    formula, options, message = WITH_A_WORD[case]
    data = pd.DataFrame(table(x=ODD)).set_index(pd.Index([f"r{k}" for k in range(N)]))
    with pytest.raises(DataError) as caught:
        build_design(formula, data, **options)
    assert message in str(caught.value)


def test_few_words_among_numbers_are_labels_where_they_are_said_to_be_or_many():
    few = np.where(np.arange(N) == 5, "five", (np.arange(N) % 6).astype(str))
    with pytest.raises(DataError, match=r"write C\(x\) if they are labels"):
        build_design("y ~ x", table(x=few))
    assert len(build_design("y ~ C(x)", table(x=few)).coef) == 7
    many = np.where(np.arange(N) % 3 == 0, "none", (np.arange(N) % 5).astype(str))
    assert len(build_design("y ~ x", table(x=many)).coef) == 6


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_table_is_refused_by_name(case):
    formula, changes, error, message = REFUSED[case]
    data = {} if changes is None else table(**changes)
    with pytest.raises(error) as caught:
        build_design(formula, data)
    assert message in str(caught.value)
    if error is FormulaError:
        assert caught.value.span is not None


def test_the_caret_stands_under_the_misspelt_column():
    with pytest.raises(FormulaError) as caught:
        build_design("y ~ x + days + (1 | g)", table())
    assert caught.value.text[slice(*caught.value.span)] == "days"


def test_the_caret_stands_under_the_repeated_term():
    with pytest.raises(FormulaError) as caught:
        build_design("y ~ (x | g) + (1 | g)", table())
    assert caught.value.text[slice(*caught.value.span)] == "(1 | g)"


def test_two_columns_of_one_name_are_refused():
    data = pd.DataFrame(np.ones((4, 3)), columns=["y", "x", "x"])
    with pytest.raises(DataError, match="more than one column named x"):
        build_design("y ~ x", data)


def test_a_lazy_table_is_refused():
    with pytest.raises(DataError, match="collect it first"):
        build_design("y ~ x", pl.DataFrame(table()).lazy())


@pytest.mark.parametrize("data", [None, 3, "table.csv", np.ones((3, 2)), [1, 2], pd.Series([1])])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(DataError, match="must be a pandas"):
        build_design("y ~ x", data)


WRONG_WEIGHTS = [
    (np.zeros(N), "24 are not, the first is 0"),
    (put(np.ones(N), 4, -2.0), "1 are not, the first is -2"),
    (put(np.ones(N), 4, np.inf), "the first is inf"),
    (np.ones(3), r"shape \(3,\) for 24 rows"),
    (["a"] * N, "not numbers"),
    ("f", "in column 'f' are not numbers"),
    ("dais", "no column 'dais' for the weights. Did you mean 'Days'"),
]


@pytest.mark.parametrize(("weights", "message"), WRONG_WEIGHTS)
def test_weights_are_positive_numbers_one_a_row(weights, message):
    with pytest.raises(DataError, match=message):
        build_design("y ~ x", table(), weights=weights)


def test_levels_and_columns_are_not_counted_against_rows():
    # What variances can be told from is judged by matrices: tests/model/test_identification.py.
    assert len(build_design("y ~ x + (1 | g)", table(g=np.arange(N))).factors[0].levels) == N
    assert len(build_design("y ~ x + (Days + x + z | g)", table()).factors[0].terms) == 4


def test_dependent_columns_are_dropped_on_request_the_earlier_ones_stay():
    formula = "y ~ x + I(2 * x) + f + C(f, Treatment('w'))"
    with pytest.warns(RankDeficiencyWarning, match=r"I\(2 \* x\) = 2 \* x; C\(f"):
        design = build_design(formula, table(), rank_deficient="drop")
    assert design.coef == ("Intercept", "x", "f[T.v]", "f[T.w]")
    assert design.state.dropped == (
        "I(2 * x)",
        "C(f, Treatment('w'))[T.u]",
        "C(f, Treatment('w'))[T.v]",
    )
    assert np.linalg.matrix_rank(design.X) == 4


def test_an_empty_cell_of_an_interaction_is_a_dependent_column():
    a, b = np.tile(list("pqr"), 8), np.repeat(list("stuv"), 6)
    b[(a == "r") & (b == "v")] = "s"
    with pytest.raises(DataError, match=r"a\[T.r\]:b\[T.v\] = 0"):
        build_design("y ~ a * b", table(a=a, b=b))


def test_a_factor_of_too_many_levels_does_not_fill_the_memory():
    n = 200_000
    data = {"y": np.arange(n) % 7.0, "g": np.arange(n) // 2}
    with pytest.raises(DataError, match="belongs right of a bar"):
        build_design("y ~ C(g)", data)


@pytest.mark.parametrize(
    "choice", [{"missing": "ignore"}, {"rank_deficient": "keep"}, {"response": "no"}]
)
def test_an_unknown_choice_is_refused(choice):
    with pytest.raises(ArgumentError, match="; it was"):
        build_design("y ~ x", table(), **choice)


def test_decimals_and_small_floats_are_numbers():
    design = build_design("y ~ x", table(x=[Decimal(i) / 4 for i in range(N)]))
    assert design.X[3, 1] == 0.75
    assert build_design("y ~ x", table(x=X.astype(np.float32))).X.dtype == np.float64


def test_integers_of_any_size_are_labels():
    large = np.repeat(np.array([2**64 - 1, 2**63, 5], dtype=np.uint64), 8)
    (factor,) = build_design("y ~ (1 | g)", table(g=large)).factors
    assert factor.levels.tolist() == ["5", str(2**63), str(2**64 - 1)]
    with pytest.raises(DataError, match="whole numbers beyond 64 bits"):
        build_design("y ~ (1 | g)", table(g=pd.Series([2**70, 1] * 12, dtype=object)))


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_extreme_scales_are_neither_dependent_nor_infinite(scale):
    assert build_design("y ~ x + z", table(x=X * scale)).coef == ("Intercept", "x", "z")


def test_infinities_of_both_signs_are_counted():
    with pytest.raises(DataError, match="not finite in 2 of 24"):
        build_design("y ~ x", table(x=put(put(X, 0, np.inf), 1, -np.inf)))


def test_a_column_that_shadows_a_function_is_only_a_column():
    data = table(log=np.arange(1.0, N + 1), I=X, np=X)
    design = build_design("y ~ log(log) + I(I + 1)", data)
    np.testing.assert_allclose(design.X[:, 1], np.log(np.arange(1.0, N + 1)), rtol=1e-15)
    np.testing.assert_array_equal(design.X[:, 2], X + 1)


def test_the_callers_variables_are_out_of_reach():
    secret = X  # noqa: F841 - a frame-reading evaluator would find it
    with pytest.raises(FormulaError, match="no column 'secret'"):
        build_design("y ~ I(secret * 2)", table())
