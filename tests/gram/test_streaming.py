"""Cross-products summed batch by batch: the same as from one table, or refused by name."""

import operator
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from batches import assert_same_bits, assert_same_sums, cut, sent, table

from bayeslmm.design.build import build_design
from bayeslmm.errors import ArgumentError, DataError, DataWarning, FormulaError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.streaming.first_pass import Reading
from bayeslmm.gram.streaming.from_batches import gram_from_batches
from bayeslmm.gram.streaming.second_pass import BatchCoding

FORMULAS = [
    "y ~ x * f + scale(z) + b + c + (x | g) + (1 | h)",
    "y ~ 0 + f + center(x) + (1 | g/h)",
    "log(y) ~ x + C(g > 20) + offset(z) + (x || g)",
    "scale(y) ~ I(z**2) + C(f, Sum) + (c | g)",
]


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_batches_give_the_gram_and_the_state_of_the_whole_table(formula, weights):
    data = table()
    batches = cut(data, 5, 5, 1000, 1001)  # one of five rows, one of none, one of a single row
    gram = gram_from_batches(formula, batches, weights=weights, progressbar=False)
    design = build_design(formula, data, weights=weights)
    # The intercept's 20 + 50 against spreads of 1: two digits of the sums are spent on the level.
    assert_same_sums(gram, Gram.from_design(design), digits=1e-11)
    for part in ("formula", "columns", "coef", "dropped", "terms", "levels"):
        assert getattr(gram.state, part) == getattr(design.state, part)
    for call, kept in design.state.transforms.items():
        for name, value in kept.items():
            mine = gram.state.transforms[call][name]
            if isinstance(value, float):
                # Means and variances merged over batches differ in their last digits.
                assert mine == pytest.approx(value, rel=1e-12, abs=1e-14)
            else:
                assert mine == value


def test_levels_that_come_late_leave_columns_of_zeros_as_they_are():
    data = table(600).sort_values("f")  # the third level begins in the fourth batch
    formula = "y ~ x * f + z + (x | g)"
    batches = cut(data, 150, 290, 300, 450)
    coding = reduce(operator.add, (Reading.of(formula, batch) for batch in batches)).settle()
    parts = [coding.gram(batch) for batch in batches]
    # A batch without rows makes no difference, wherever it comes.
    parts.insert(2, coding.empty())
    gram = coding.finish(reduce(operator.add, parts))
    assert_same_sums(gram, Gram.from_design(build_design(formula, data)), digits=1e-11)


@pytest.mark.parametrize(
    "call",
    ["C(dose)", "C(half)", "C(dose, Sum)", "C(dose, levels=[2, 5, 10])", "C(I(dose * 2))"],
)
@pytest.mark.parametrize("side", ["y ~ {} + (1 | g)", "y ~ 1 + (0 + {} || g)"])
def test_categories_made_of_numbers_need_no_one_among_them(call, side):
    data = table(600)
    data["dose"] = np.resize([2, 5, 10], 600)
    data["half"] = np.resize([0.5, 2.5], 600)
    formula = side.format(call)
    gram = gram_from_batches(formula, cut(data, 100), progressbar=False)
    assert_same_sums(gram, Gram.from_design(build_design(formula, data)), digits=1e-11)


def test_readings_codings_and_grams_travel_between_processes():
    data = table(300)
    batches = cut(data, 100, 200)
    formula = "y ~ x * f + b + c + (x | g) + (1 | g:h)"
    read = [sent(Reading.of(formula, batch)) for batch in batches]
    left = Reading.from_json((read[0] + read[1]).to_json()) + read[2]
    right = read[0] + (read[1] + read[2])
    assert left.to_json() == right.to_json()
    coding = sent(BatchCoding.from_json(left.settle().to_json()))
    grams = [sent(coding.gram(batch)) for batch in batches]
    whole = coding.finish(reduce(operator.add, grams))
    assert_same_bits(whole, gram_from_batches(formula, batches, progressbar=False))


def test_threads_sum_in_the_order_of_the_batches():
    batches = cut(table(), *range(100, 3000, 100))
    one = gram_from_batches(FORMULAS[0], batches, cores=1, progressbar=False)
    assert_same_bits(
        gram_from_batches(FORMULAS[0], lambda: iter(batches), cores=3, progressbar=False), one
    )


def test_arrow_batches_csv_and_parquet_files_are_read(tmp_path):
    data = table(500).drop(columns="c")
    formula = "y ~ x + f + (x | g)"
    expected = Gram.from_design(build_design(formula, data))
    arrow = pa.Table.from_pandas(data)
    data.to_csv(tmp_path / "rows.csv", index=False)
    data.to_parquet(tmp_path / "rows.parquet")
    folder = tmp_path / "parts"
    folder.mkdir()
    for k, part in enumerate(cut(data, 200)):
        part.to_csv(folder / f"part-{k}.csv", index=False)
    sources = [
        arrow.to_batches(max_chunksize=70),
        arrow,
        data,
        data.to_dict("list"),
        tmp_path / "rows.csv",
        str(tmp_path / "rows.parquet"),
        folder,
        lambda: pd.read_csv(tmp_path / "rows.csv", chunksize=130),
    ]
    for source in sources:
        assert_same_sums(
            gram_from_batches(formula, source, progressbar=False), expected, digits=1e-11
        )


def test_large_tables_are_cut(monkeypatch):
    monkeypatch.setattr("bayeslmm.tables.batches.ROWS", 130)
    data = table(500)
    gram = gram_from_batches("y ~ x + (1 | g)", [data], progressbar=False)
    assert_same_bits(
        gram,
        gram_from_batches("y ~ x + (1 | g)", cut(data, 130, 260, 390), progressbar=False),
    )


def test_rows_with_missing_values_are_dropped_and_counted_once():
    data = table()
    data.loc[::97, "z"] = np.nan
    data.loc[5:200, "h"] = None
    formula = "y ~ x + z + (1 | g) + (1 | h)"
    with pytest.warns(DataWarning, match=r"Dropped \d+ of 3000 rows.*z 31.*h 196") as told:
        gram = gram_from_batches(formula, cut(data, 10, 150, 160), progressbar=False)
    assert len(told) == 1
    with pytest.warns(DataWarning) as also:
        expected = Gram.from_design(build_design(formula, data))
    assert str(told[0].message) == str(also[0].message)
    assert_same_sums(gram, expected, digits=1e-11)
    halves = [data.iloc[1:97], data.iloc[98:238].assign(z=[np.nan, *range(139)])]
    with pytest.raises(DataError, match=r"In batch 1 \(counted from 0\): 1 of 140 rows lack"):
        gram_from_batches("y ~ x + z + (1 | g)", halves, missing="raise", progressbar=False)


def test_a_column_that_one_batch_lacks_entirely_costs_that_batch_only():
    data = table(400)
    batches = cut(data, 100, 200)
    batches[1] = batches[1].assign(f=None)
    with pytest.warns(DataWarning, match="Dropped 100 of 400 rows for missing values: f 100"):
        gram = gram_from_batches("y ~ x + f + (1 | g)", batches, progressbar=False)
    whole = build_design("y ~ x + f + (1 | g)", pd.concat([batches[0], batches[2]]))
    assert_same_sums(gram, Gram.from_design(whole), digits=1e-11)


def test_given_levels_make_one_pass_do():
    data = table()
    formula = "y ~ x + f + (x | g) + (1 | h)"
    levels = {"g": range(60), "f": list("abc"), "h": list("uvwxyz")}
    with pytest.warns(DataWarning, match="Dropped 10 of 60 levels of 'g' that no row has"):
        gram = gram_from_batches(formula, iter(cut(data, 900)), levels=levels, progressbar=False)
    assert_same_sums(gram, Gram.from_design(build_design(formula, data)), digits=1e-11)


def refusals():
    data = table(200)
    two = cut(data, 100)
    text = [two[0], two[1].assign(g=two[1].g.astype(str))]
    half = [two[0], two[1].assign(x=two[1].x > 50)]
    late = [two[0], two[1].assign(g=999)]
    labels = {"g": range(50)}
    return {
        "an unseen level": (late, {"levels": labels}, DataError, "batch 1.*'999'.*50 levels"),
        "levels left out": (two, {"levels": {"k": [1]}}, DataError, "leaves out 'g'"),
        "levels twice": (two, {"levels": {"g": [1, 1]}}, DataError, "level of 'g' twice"),
        "levels as a list": (
            two,
            {"levels": [1, 2]},
            ArgumentError,
            "mapping from grouping factor",
        ),
        "text": (text, {}, DataError, "'g' holds numbers in one batch.*text in another"),
        "booleans": (half, {}, DataError, "'x' holds numbers in one batch.*booleans in another"),
        "a missing column": ([two[0], two[1].drop(columns="x")], {}, FormulaError, "no column 'x'"),
        "no batches": ([], {}, DataError, "no batch came"),
        "empty batches": ([data[:0], data[:0]], {}, DataError, "no rows in any batch"),
        "nothing complete": ([data.assign(x=np.nan)], {}, DataError, "'x' has only missing values"),
        "an iterator": (iter(two), {}, ArgumentError, "read once only.*lambda"),
        "no table": ([1, 2], {}, DataError, "A batch must be a pandas"),
        "no batches at all": (5, {}, ArgumentError, "iterable of tables.*not int"),
        "weights by row": (two, {"weights": data.w}, ArgumentError, "name of a column"),
        "no cores": (two, {"cores": 0}, ArgumentError, "cores is a whole number"),
        "one level": ([data.assign(g=1)], {}, DataError, "'g' has one level only"),
        "no file": ("nowhere.csv", {}, DataError, "no file or folder 'nowhere.csv'"),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_cannot_be_summed_is_refused_by_name(case):
    batches, options, kind, words = refusals()[case]
    with pytest.raises(kind, match=f"(?s){words}"):
        gram_from_batches("y ~ x + (1 | g)", batches, progressbar=False, **options)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ poly(x, 2) + (1 | g)", r"poly\(x, 2\) learns knots or orthogonal columns"),
        ("y ~ bs(x, df=5) + (1 | g)", r"bs\(x, df=5\) learns"),
        ("y ~ center(scale(x)) + (1 | g)", r"learns from scale\(x\), which itself"),
    ],
)
def test_transforms_that_take_all_rows_at_once_are_refused(formula, words):
    with pytest.raises(DataError, match=words):
        gram_from_batches(formula, [table(50)], progressbar=False)


def test_raw_powers_and_given_levels_in_calls_need_no_rows():
    data = table(500)
    formula = "y ~ poly(x, 2, raw=True) + C(f, levels=['a', 'b', 'c']) + (1 | g)"
    batches = cut(data, 200)
    gram = gram_from_batches(
        formula, iter(batches), levels={"g": range(50), "f": "abc"}, progressbar=False
    )
    # x is 50 +- 2: its square is known from x but for a thousandth.
    expected = Gram.from_design(build_design(formula, data))
    assert_same_sums(gram, expected, digits=1e-9)


def test_a_stateful_transform_is_refused_where_levels_promise_one_pass():
    with pytest.raises(DataError, match=r"center\(x\) learns from all rows"):
        gram_from_batches(
            "y ~ center(x) + (1 | g)", [table(50)], levels={"g": range(50)}, progressbar=False
        )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.RankDeficiencyWarning")
def test_dependent_columns_are_found_wherever_the_rows_are_cut(seed):
    rng = np.random.default_rng(seed)
    data = table(60)
    data["twice"], data["is_a"] = 2 * data.x, (data.f == data.f.iloc[0]) * 1.0
    data = data.iloc[rng.permutation(60)]
    for right in ("x + twice", "f + is_a + z", "0 + f + x + twice"):
        batches = cut(data, int(rng.integers(1, 30)), int(rng.integers(31, 59)))
        formula = f"y ~ {right} + (1 | g)"
        gram = gram_from_batches(formula, batches, rank_deficient="drop", progressbar=False)
        whole = build_design(formula, data, rank_deficient="drop")
        assert gram.state.dropped == whole.state.dropped != ()
        assert gram.state.dependence.agrees(whole.state.dependence)


def test_dependent_columns_are_found_from_the_cross_products():
    data = table(300)
    data["twice"] = 2 * data.x
    with pytest.raises(DataError, match=r"twice = 2 \* x"):
        gram_from_batches("y ~ x + twice + (1 | g)", cut(data, 100), progressbar=False)
    with pytest.warns(DataWarning, match=r"Dropped.*twice = 2 \* x"):
        gram = gram_from_batches(
            "y ~ x + twice + z + (1 | g)", cut(data, 100), rank_deficient="drop", progressbar=False
        )
    assert (gram.coef, gram.state.dropped) == (("Intercept", "x", "z"), ("twice",))
    with pytest.warns(DataWarning):
        whole = build_design("y ~ x + twice + z + (1 | g)", data, rank_deficient="drop")
    assert_same_sums(gram, Gram.from_design(whole), digits=1e-11)
    with pytest.raises(DataError, match=r"'x' and 'I\(x\)' of 'g' are the same"):
        gram_from_batches("y ~ x + (x + I(x) | g)", cut(data, 100), progressbar=False)


def test_rows_that_change_between_the_passes_are_noticed():
    data = table(300)
    passes = iter([cut(data, 100), cut(data[:250], 100)])
    with pytest.raises(DataError, match="first pass saw 300 complete rows and the second one 250"):
        gram_from_batches("y ~ x + (1 | g)", lambda: next(passes), progressbar=False)


def test_the_progress_bar_tells_rows_and_rate(capfd):
    gram_from_batches("y ~ x + (1 | g)", cut(table(300), 100))
    shown = capfd.readouterr()
    assert "300 rows" in shown.out + shown.err
    assert "/s" in shown.out + shown.err
