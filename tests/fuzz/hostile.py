"""Tables, formulas, priors and settings such as nobody means and everybody sends once."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
from hypothesis import strategies as st

# Reserved by the result tree, or odd in a formula, a dimension or a file.
NAMES = ("x", "z", "f", "g", "h", "chain", "draw", "obs", "beta", "sigma", "coef", "b_g", "sd_g",
         "größe", "my x", "x.1", "Intercept", "weights", "lambda", "y")  # fmt: skip
NUMBERS = (0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300, 1e16, 5e-324)
ODD_VALUES = (None, np.nan, "", " ", "a", 1, 2.5, True, b"raw", (1, 2), Decimal("1.5"), 10**30,
              dt.date(2020, 1, 1), 1j, [1], {"a": 1}, pd.NA, pd.NaT)  # fmt: skip
LABELS = ("a", "b", "c", "", "ä", "a:b", "a\0", "1", "Intercept", None)


def _numbers(rng, n):
    return rng.normal(size=n)


# Name of a kind of column: how to fill n rows of it.
COLUMNS = {
    "plain": _numbers,
    "shifted": lambda rng, n: 1e9 + rng.normal(size=n),
    "huge": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(60, 308),
    "tiny": lambda rng, n: rng.normal(size=n) * 10.0 ** -rng.integers(60, 308).astype(float),
    "spoiled": lambda rng, n: np.where(
        rng.random(n) < 0.1, rng.choice(NUMBERS), rng.normal(size=n)
    ),
    "specials": lambda rng, n: rng.choice(NUMBERS, n),
    "constant": lambda rng, n: np.full(n, rng.choice(NUMBERS)),
    "whole": lambda rng, n: rng.integers(0, 4, n),
    "big_whole": lambda rng, n: rng.integers(2**62, 2**63 - 1, n),
    "unsigned": lambda rng, n: rng.integers(0, 5, n).astype(np.uint8),
    "small_float": lambda rng, n: rng.normal(size=n).astype(np.float16),
    "booleans": lambda rng, n: rng.random(n) < 0.5,
    "object_whole": lambda rng, n: np.array([int(k) for k in rng.integers(0, 3, n)], dtype=object),
    "object_wide": lambda rng, n: np.array([10**25 + int(k) for k in range(n)], dtype=object),
    "mixed": lambda rng, n: pd.Series(
        [ODD_VALUES[k] for k in rng.integers(0, len(ODD_VALUES), n)], dtype=object
    ),
    "nearly_numbers": lambda rng, n: pd.Series(
        [rng.choice([1.5, 2.5]) if rng.random() < 0.9 else rng.choice(["x", ""]) for _ in range(n)],
        dtype=object,
    ),
    "labels": lambda rng, n: np.array([LABELS[k] for k in rng.integers(0, 3, n)], dtype=object),
    "odd_labels": lambda rng, n: np.array(
        [LABELS[k] for k in rng.integers(0, len(LABELS), n)], dtype=object
    ),
    "each_its_own": lambda rng, n: np.array([f"row {k}" for k in range(n)], dtype=object),
    "missing": lambda rng, n: np.full(n, None, dtype=object),
    "categories": lambda rng, n: pd.Categorical(
        rng.choice(["a", "b"], n), categories=["unused", "b", "a"], ordered=bool(rng.random() < 0.5)
    ),
    "number_categories": lambda rng, n: pd.Categorical(rng.choice([1.5, 2.5], n)),
    "no_categories": lambda rng, n: pd.Categorical([None] * n),
    "dates": lambda rng, n: pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="D"),
    "zoned": lambda rng, n: pd.date_range("2020-01-01", periods=n, tz="Europe/Vienna"),
    "durations": lambda rng, n: pd.to_timedelta(np.arange(n), unit="h"),
    "periods": lambda rng, n: pd.period_range("2020-01", periods=n, freq="M"),
    "intervals": lambda rng, n: pd.cut(rng.normal(size=n), [-9, 0, 9]),
    "nullable": lambda rng, n: pd.array(
        [None if rng.random() < 0.1 else int(k) for k in rng.integers(0, 3, n)], dtype="Int64"
    ),
    "nullable_booleans": lambda rng, n: pd.array(
        [[None, True, False][k] for k in rng.integers(0, 3, n)], dtype="boolean"
    ),
    "text": lambda rng, n: pd.array(rng.choice(["a", "b", "c"], n), dtype="string"),
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
    "sparse": lambda rng, n: pd.arrays.SparseArray(rng.integers(0, 2, n).astype(float)),
}  # fmt: skip
KINDS = sorted(COLUMNS)
SIZES_OF_TABLES = (0, 1, 2, 3, 7, *(24,) * 8, 40)


@st.composite
def tables(draw, hostility=3):
    """Draw a table with the columns y, x, z, f, g, h, up to `hostility` of them hostile."""
    # One generator for all choices: Hypothesis' own crowd around the simplest.
    rng = np.random.default_rng(draw(st.integers(0, 2**64 - 1)))
    n = int(rng.choice(SIZES_OF_TABLES))
    kinds = {"y": "plain", "x": "plain", "z": "whole", "f": "categories", "g": "labels",
             "h": "whole", "beta": "plain", "sigma": "labels", "größe": "plain", "chain": "labels",
             "draw": "plain", "obs": "labels"}  # fmt: skip
    for _ in range(rng.integers(0, hostility + 1)):
        kinds[str(rng.choice(["y", "x", "z", "f", "g", "h", "chain"]))] = str(rng.choice(KINDS))
    table = pd.DataFrame({name: pd.Series(COLUMNS[kind](rng, n)) for name, kind in kinds.items()})
    if rng.random() < 0.7:
        return table
    try:
        return SHAPES[rng.integers(len(SHAPES))](table)
    except (NotImplementedError, TypeError, ValueError):  # pandas has no such index
        return table


def _twice(table):
    return pd.concat([table, table[["x"]]], axis=1)


# What else may be odd of a table.
SHAPES = (
    lambda table: table.to_dict("list"),
    lambda table: dict(table.items()),
    lambda table: table.set_index(["g", "h"]),
    lambda table: table.set_index(["g", "h"], drop=False),
    lambda table: table.set_axis(range(table.shape[1]), axis=1),
    lambda table: table.set_axis(pd.MultiIndex.from_product([["top"], table.columns]), axis=1),
    _twice,
    lambda table: table.iloc[::-1].set_axis([0] * len(table)),
    lambda table: table.to_numpy(),
    lambda table: table.iloc[:, :0],
    lambda table: table["y"],
    lambda table: table.to_dict("records"),
    lambda table: {name: column.to_numpy()[:, None] for name, column in table.items()},
    lambda table: {**table.to_dict("list"), "x": [1.0]},
    lambda table: {**table.to_dict("list"), "g": "a", 3: 4},
    lambda table: None,
)

ATOMS = st.sampled_from(
    [
        *("x", "z", "f", "g", "h", "beta", "sigma", "größe", "`größe`", "`my x`", "chain", "draw"),
        *("obs", "nowhere", "1", "0", "-1", "2", "x.1", "y", "lambda"),
        *("log(x)", "log(z)", "sqrt(x)", "exp(x)", "I(x^2)", "I(x / z)", "I(x ** 40)", "I(1 / 0)"),
        *("poly(x, 2)", "poly(z, 9)", "poly(x, 0)", "bs(x, df=4)", "bs(x, df=1)", "cr(x, df=3)"),
        *("cr(x, df=4, constraints='center')", "scale(x)", "scale(f)", "center(z)", "C(f)", "C(z)"),
        *("C(f, Sum)", "C(f, Treatment('b'))", "C(f, Treatment('zz'))", "C(x)", "np.log(z)"),
        *("log10(z)", "I(x > 0)", "poly(x, degree=1e9)", "bs(x, df=10**9)", "I(10**9**9)"),
        *(
            "offset(x)",
            "offset(f)",
            "offset(log(z))",
            "x(1)",
            "__import__('os')",
            "'text'",
            "1e400",
        ),
    ]
)
TERMS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(
            "{0} {1} {2}".format,
            inner,
            st.sampled_from(["+", "+", "*", ":", "-", "/", "%in%", "^", "**"]),
            inner,
        ),
        inner.map("({})".format),
        inner.map("({})^2".format),
    ),
    max_leaves=4,
)
RANDOM = st.builds(
    "({} {} {})".format,
    st.one_of(st.just("1"), st.just("1"), TERMS.map("0 + {}".format), TERMS),
    st.sampled_from(["|", "|", "||"]),
    st.sampled_from(
        ["g", "g", "h", "f", "g:h", "g/h", "chain", "sigma", "obs", "x", "nowhere", "(g|h)", "C(z)"]
    ),
)
WHOLE = st.builds(
    lambda response, fixed, random: f"{response} ~ " + " + ".join([fixed, *random]),
    st.sampled_from(["y", "y", "y", "y", "log(y)", "I(y * 2)", "x", "beta", "f", "", "y + x"]),
    st.one_of(st.sampled_from(["1", "x", "x + z"]), TERMS),
    st.lists(RANDOM, max_size=3),
)
GENTLE = st.sampled_from(
    ["y ~ x + (1 | g)", "y ~ x + z + (x | g)", "y ~ f * x + (1 | g) + (1 | h)", "y ~ 1 + (1 | g/h)",
     "y ~ 0 + x + (0 + x | g)", "y ~ chain + (1 | obs)", "y ~ beta + größe + (beta || sigma)"]
)  # fmt: skip


@st.composite
def _broken(draw):
    text = draw(WHOLE)
    at = draw(st.integers(0, len(text)))
    cut = draw(st.integers(0, 3))
    return text[:at] + draw(st.text("()|~+*:`'\"\\0eé\n\0[]{}", max_size=3)) + text[at + cut :]


FORMULAS = st.one_of(
    GENTLE, GENTLE, WHOLE, WHOLE, _broken(),
    st.sampled_from([None, 3, b"y ~ x", "", "~", ["y ~ x"], np.str_("y ~ x + (1 | g)")]),
)  # fmt: skip

SIZES = st.sampled_from(
    ["0", "1", "-1", "1e-300", "1e300", "inf", "-inf", "nan", "3", "2.5", "1e400",
     "'a'", "None", "1/2"]
)  # fmt: skip
FAMILIES = st.sampled_from(
    [
        *(
            "Normal",
            "HalfNormal",
            "StudentT",
            "HalfStudentT",
            "HalfCauchy",
            "Cauchy",
            "Exponential",
        ),
        *("Gamma", "InverseGamma", "Uniform", "LogNormal", "LKJ", "Laplace", "Logistic", "Beta"),
        *("TruncatedNormal", "Triangular", "Weibull", "Wald", "Pareto", "SkewNormal", "Flat"),
        *("normal", "Dirichlet", "os.system", "Gumbel", "ExGaussian", "AsymmetricLaplace"),
    ]
)
PRIOR_TEXTS = st.builds(
    lambda family, sizes: f"{family}({', '.join(sizes)})",
    FAMILIES,
    st.lists(SIZES, max_size=3),
)
PRIOR_VALUES = st.one_of(
    PRIOR_TEXTS, PRIOR_TEXTS,
    st.sampled_from(["", "Normal", "Normal(0, 1", "Normal(mu=0, mu=1)", "Normal(0, sigma=2)", None,
                     3, ("Normal", 0, 1), {"family": "Normal"}, ["Normal(0, 1)"], "((((", "\0",
                     "HalfNormal(2)", "Exponential(1)", "Normal(0, 3)", "LKJ(2)", {"g": "LKJ(2)"}]),
)  # fmt: skip
PRIOR_KEYS = st.sampled_from(
    ["Intercept", "beta", "b", "x", "sd", "sigma", "corr", "sd_g", "sd_g[x]", "sd_g[Intercept]",
     "corr_g", "sd_nowhere", "b[x]", "", "slope", "slopes", None, 3, ("sd", "g"), "sd[", "fixed"]
)  # fmt: skip
PRIORS = st.one_of(
    st.none(),
    st.dictionaries(PRIOR_KEYS, PRIOR_VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["Intercept", "sd", "sigma", "x"]), PRIOR_VALUES, max_size=3),
    st.sampled_from(["default", "brms", "flat", "", "nowhere", 3, ["brms"], "{}", "Normal(0, 1)",
                     b"brms", ()]),
)  # fmt: skip

ODD = [
    0, 1, 2, 5, -1, 2**31, 2**63, 10**30, 1.0, 0.5, np.int64(3), np.uint8(2), np.float32(0.5),
     np.nan, np.inf, True, None, "", "1", "a", "auto", "all", "g", [], [1], ["g"], {}, {"g": ["a"]},
     {"g": "population"}, b"1", 1j, np.array([1, 2]), np.array(3), pd.NA, ("g", "h"), {"x": [0, 1]},
     {"x": "slope"}, {"nowhere": [1]}, {"g": None}, {None: None}, object]  # fmt: skip
STATEMENTS = st.one_of(
    st.sampled_from(
        ["x > 0", "sd_g[x] < 10", "sigma > 1", "x == 1", "x > nan", "x >", "__import__('os')",
         "x ** 1000 ** 1000 > 0", "x > 0 and sigma > 1", "abs(x) < 1", "1 < 2", "nowhere > 0",
         "x > 10**400", "(x", "x/0 > 1", "sqrt(x) > 0", "log(x) > 0", "exp(1000*x) > 1", "", "x",
         "x; y", "x > 0\n", "x := 3", "lambda: 1", "[x for x in y]", "f'{x}'", "x[0] > 0",
         "x if x else 1 > 0", "x.real > 0", "     x>0", "(" * 500 + "x" + ")" * 500 + " > 0",
         "-" * 5000 + "x > 0", "0" * 5000 + "1 > x", "10**10**10 > x", "1e999 > x", "x > 1_000",
         "'a' > x", "x > True", None, 3, ("x > 0", 3), b"x", ["x > 0", "sigma > x"], []]
    ),
    st.text("x><=&|+-*/()0.1sigma[] ", max_size=15),
)  # fmt: skip
