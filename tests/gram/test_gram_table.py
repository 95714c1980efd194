"""One table, wherever it is held: the same cross-products, the same fits, the same refusals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from engine_tables import ENGINES, held_by

from bayeslmm import DataError, FormulaError
from bayeslmm.design.build import build_design
from bayeslmm.errors import DataWarning
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.streaming.from_table import gram_from_table
from bayeslmm.tables.engines.find import engine_of

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning")

FORMULA = "log(y) ~ center(x) * sort + (x | g) + (1 | h)"


def make_table():
    """Labels, whole numbers, missing values, weights, and a column that no formula here uses."""
    rng = np.random.default_rng(5)
    n = 500
    table = pd.DataFrame(
        {
            "y": np.exp(rng.normal(size=n)),
            "x": 10.0 + rng.normal(size=n),
            "sort": rng.choice(["plain", "fancy", "odd"], size=n),
            "g": [f"g{k}" for k in rng.integers(12, size=n)],
            "h": rng.integers(7, size=n),
            "w": rng.uniform(0.5, 2.0, size=n),
            "unused": "text",
        }
    )
    effect = rng.normal(size=12)[[int(label[1:]) for label in table["g"]]]
    table["y"] *= np.exp(effect + 0.7 * rng.normal(size=7)[table["h"]])
    table.loc[[3, 77], "x"] = np.nan
    return table


TABLE = make_table()


def blocks(gram):
    """Every number of a Gram, by name."""
    found = {"scale": gram.scale, "origin": gram.origin, "cross": gram.cross}
    for k, factor in enumerate(gram.factors):
        for name in ("scale", "within", "with_fixed"):
            found[f"{name} {k}"] = getattr(factor, name)
    for k, pair in enumerate(gram.pairs):
        found |= {f"rows {k}": pair.rows, f"cols {k}": pair.cols, f"pairs {k}": pair.values}  # noqa: PD011
    return found


@pytest.fixture(scope="module")
def expected():
    with pytest.warns(DataWarning, match="Dropped 2 of 500 rows for missing values: x 2"):
        return gram_from_table(FORMULA, TABLE, weights="w")


@pytest.fixture(params=ENGINES)
def held(request, tmp_path):
    return lambda table=TABLE: held_by(request.param, table, request, tmp_path)


def test_every_engine_gives_the_same_cross_products(held, expected):
    data = held()
    with pytest.warns(DataWarning, match="Dropped 2 of 500 rows for missing values: x 2"):
        gram = gram_from_table(FORMULA, data, weights="w")
    # Means that transforms learn differ by rounding, as sums do.
    assert replace(gram.state, transforms={}) == replace(expected.state, transforms={})
    centers = [g.state.transforms["center(x)"]["center"] for g in (gram, expected)]
    assert centers[0] == pytest.approx(centers[1], rel=1e-14)
    assert (gram.n, gram.coef) == (498, expected.coef)
    wanted = blocks(expected)
    for name, found in blocks(gram).items():
        # Sums in another order: rounding of some hundred terms, relative to the block's largest.
        np.testing.assert_allclose(
            found, wanted[name], rtol=0, atol=1e-12 * np.abs(wanted[name]).max(), err_msg=name
        )


def test_a_column_that_is_not_there_is_named_before_any_row_is_read(held):
    with pytest.raises(FormulaError, match=r"no column 'xx'. Did you mean 'x'\?\n    y ~ xx"):
        gram_from_table("y ~ xx + (1 | g)", held())
    with pytest.raises(DataError, match=r"no column 'ww' for the weights"):
        gram_from_table("y ~ x + (1 | g)", held(), weights="ww")


def test_a_column_of_the_wrong_type_is_named(held):
    with pytest.raises(DataError, match="response 'unused' is not numeric"):
        gram_from_table("unused ~ x + (1 | g)", held())
    dated = TABLE.assign(x=pd.Timestamp("2020-01-01"))
    with pytest.raises(DataError, match="'x' holds dates and times"):
        gram_from_table("y ~ x + (1 | g)", held(dated))


def test_a_table_without_rows_is_refused(held):
    with pytest.raises(DataError, match="it has no rows"):
        gram_from_table("y ~ x + (1 | g)", held(TABLE.iloc[:0]))


def test_in_memory_the_cross_products_are_those_of_the_design():
    import polars as pl
    import pyarrow as pa

    table = TABLE.dropna()
    design = Gram.from_design(build_design(FORMULA, table, weights="w"))
    for data in (table, pl.from_pandas(table), pa.table(table)):
        gram = gram_from_table(FORMULA, data, weights="w")
        for name, found in blocks(gram).items():
            wanted = blocks(design)[name]
            np.testing.assert_allclose(
                found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max(), err_msg=name
            )


@pytest.mark.parametrize("ask", ["fit_reml", "fit_bayes", "prior_study", "sample_prior"])
def test_the_kind_of_data_is_asked_for_once(monkeypatch, ask):
    import polars as pl

    import bayeslmm as bl

    asked = []

    def count(data):
        asked.append(data)
        return engine_of(data)

    monkeypatch.setattr("bayeslmm.tables.sources.engine_of", count)
    how = {"parametrization": "marginal", "sampler": "importance"}
    sampled = {**how, "draws": 20, "progressbar": False}
    options = {"fit_bayes": sampled, "prior_study": {**sampled, "scenarios": {"flat": "flat"}}}
    lazy = pl.from_pandas(TABLE.dropna()).lazy()
    getattr(bl, ask)("y ~ x + (1 | g)", lazy, **options.get(ask, {}))
    assert asked == [lazy]


def test_columns_that_no_formula_names_are_not_read():
    import polars as pl

    poisoned = pl.from_pandas(TABLE).lazy().with_columns(pl.col("unused").cast(int))
    assert gram_from_table("y ~ 1 + (1 | g)", poisoned).n == 500
    with pytest.raises(DataError, match="polars could not read column 'unused'"):
        gram_from_table("y ~ unused + (1 | g)", poisoned)


def test_text_that_a_worker_cannot_code_is_told_as_it_would_be_here(dask_client):
    import dask.dataframe as dd

    mixed = TABLE.assign(sort=["plain"] * 499 + [None])
    with pytest.raises(DataError) as here:
        gram_from_table("y ~ sort + (1 | g)", mixed, missing="raise")
    with pytest.raises(DataError) as there:
        gram_from_table("y ~ sort + (1 | g)", dd.from_pandas(mixed, npartitions=1), missing="raise")
    assert str(here.value).endswith(str(there.value))


def test_a_worker_that_lacks_the_package_is_told_of():
    import polars as pl

    engine = engine_of(pl.LazyFrame({"y": [1.0]}))
    error = engine.failure(ModuleNotFoundError("No module named 'bayeslmm'"), ["y"])
    assert "install it, with the same versions, where they do" in str(error)


def test_every_engine_gives_the_same_fits(held):
    from bayeslmm import fit_bayes, fit_reml

    formula, complete = "y ~ x + (1 | g)", TABLE.dropna()
    data = held(complete)
    reml = [fit_reml(formula, source) for source in (complete, data)]
    # The search stops where its criterion no longer falls: estimates agree to its root.
    assert reml[1].criterion == pytest.approx(reml[0].criterion, rel=1e-12)
    assert reml[1].sigma == pytest.approx(reml[0].sigma, rel=1e-6)
    settings = {"parametrization": "marginal", "sampler": "importance", "draws": 100}
    trees = [
        fit_bayes(formula, source, random_seed=4, progressbar=False, **settings)
        for source in (complete, data)
    ]
    assert trees[1].attrs["parametrization"] == "marginal"
    for name, here in trees[0]["posterior"].data_vars.items():
        # Seeded draws are smooth functions of the cross-products: rounding of the mode's search.
        np.testing.assert_allclose(trees[1]["posterior"][name], here, rtol=1e-6, err_msg=name)


def test_a_parametrization_that_needs_rows_is_refused_before_any_is_read():
    import polars as pl

    from bayeslmm import ArgumentError, fit_bayes

    def unread(frame):
        raise AssertionError

    lazy = pl.from_pandas(TABLE).lazy().map_batches(unread)
    with pytest.raises(ArgumentError, match=r"this LazyFrame are not in memory: .* Or collect"):
        fit_bayes("y ~ x + (1 | g)", lazy, parametrization="noncentered")


def test_other_functions_ask_for_a_table_in_memory():
    import polars as pl

    with pytest.raises(DataError, match=r"lazy: collect it first. \(fit_bayes, fit_reml and"):
        build_design("y ~ x + (1 | g)", pl.from_pandas(TABLE).lazy())
