import pandas as pd
import pytest

from bayeslmm.errors import DataError
from bayeslmm.tables.datasets import list_datasets, load_dataset

ROWS = {
    "sleepstudy": 180,
    "dyestuff": 30,
    "dyestuff2": 30,
    "penicillin": 144,
    "pastes": 60,
    "machines": 54,
    "rail": 18,
    "cake": 270,
    "exam": 4059,
    "mathachieve": 7185,
    "cbpp": 56,
    "contraception": 1934,
    "toenail": 1908,
    "epil": 236,
    "grouseticks": 403,
    "verbagg": 7584,
    "owls": 599,
    "salamanders": 644,
    "orthodont": 108,
    "ovary": 308,
    "bodyweight": 176,
    "dialyzer": 140,
    "bcg": 13,
    "mcycle": 133,
    "carnivora": 112,
    "wine": 72,
}


def test_every_table_is_listed_with_its_source():
    listed = list_datasets()
    assert list(listed.index) == list(ROWS)
    assert listed["title"].str.len().gt(10).all()
    assert listed["source"].str.contains(r"\(\d{4}\)").all()


@pytest.mark.parametrize(("name", "n_rows"), ROWS.items())
def test_a_table_has_its_rows_no_gaps_and_a_unit_for_every_number(name, n_rows):
    table = load_dataset(name)
    assert len(table) == n_rows
    assert not table.isna().any().any()
    numbers = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
    assert list(table.attrs["units"]) == numbers
    labels = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)]
    assert set(numbers) | set(labels) == set(table.columns)
    for column in labels:
        assert set(table[column].cat.categories) == set(table[column])


@pytest.mark.parametrize(
    ("name", "column", "mean"),
    [
        # lme4 1.1-31's REML fixed effects on the original tables: in a balanced design the fitted
        # line passes through the grand mean.
        ("sleepstudy", "Reaction", 251.405104848484 + 4.5 * 10.4672859595964),
        ("dyestuff", "Yield", 1527.5),
        ("penicillin", "diameter", 22.9722222222222),
        ("rail", "travel", 66.5),
        ("pastes", "strength", 60.0533333333333),
    ],
)
def test_means_are_those_that_another_program_found(name, column, mean):
    # 1e-9 relative: lme4's optimiser leaves the balanced estimate a few units of 1e-12 off.
    assert load_dataset(name)[column].mean() == pytest.approx(mean, rel=1e-9)


def test_level_orders_are_those_of_the_original_tables():
    assert list(load_dataset("machines")["Worker"].cat.categories) == ["6", "2", "4", "1", "3", "5"]
    assert list(load_dataset("rail")["Rail"].cat.categories) == ["2", "5", "1", "6", "3", "4"]
    school = load_dataset("mathachieve")
    assert list(school["Sector"].cat.categories) == ["Public", "Catholic"]
    assert list(load_dataset("exam")["school"].cat.categories[:3]) == ["1", "2", "3"]


def test_numbers_are_read_to_the_last_bit():
    assert load_dataset("mathachieve")["cses"].iloc[0] == -1.0936170212766


def test_a_table_may_be_changed_without_changing_the_next_one():
    table = load_dataset("rail")
    table["travel"] = 0
    table.attrs["units"]["travel"] = "km"
    assert load_dataset("rail")["travel"].sum() > 0
    assert load_dataset("rail").attrs["units"]["travel"] == "ns"


def test_an_unknown_table_is_refused_with_the_nearest_name():
    with pytest.raises(DataError, match=r"no bundled table 'sleepstdy'. Did you mean 'sleepstudy'"):
        load_dataset("sleepstdy")
