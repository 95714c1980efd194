"""Missing values and unused categories: what is dropped, and how the user hears of it."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayeslmm.design.build import build_design
from bayeslmm.errors import DataError, DataWarning

N = 24


def table(**changes):
    rng = np.random.default_rng(7)
    columns = {
        "y": rng.normal(size=N),
        "x": rng.normal(size=N),
        "z": rng.normal(size=N),
        "g": np.repeat(list("abcdef"), 4),
        "f": np.tile(list("uvw"), 8),
    }
    return columns | changes


def put(values, position, value):
    changed = list(values)
    changed[position] = value
    return changed


X = table()["x"]


def test_missing_rows_are_dropped_with_a_count_by_column():
    data = table(x=put(put(X, 2, np.nan), 7, np.nan), g=put(table()["g"], 2, None))
    with pytest.warns(DataWarning, match=r"Dropped 2 of 24 rows .*: x 2, g 1\.") as caught:
        design = build_design("y ~ x + (1 | g)", data, weights=np.arange(1.0, N + 1))
    assert caught[0].filename == __file__
    assert len(design.y) == N - 2
    assert design.rows.tolist() == [i for i in range(N) if i not in (2, 7)]
    assert design.weights.tolist() == [i + 1.0 for i in design.rows]
    np.testing.assert_array_equal(design.X[:, 1], X[design.rows])
    with pytest.raises(DataError, match="2 of 24 rows lack values: x 2, g 1"):
        build_design("y ~ x + (1 | g)", data, missing="raise")


@pytest.mark.parametrize("absent", [None, pd.NA, np.nan, pd.NaT])
def test_every_kind_of_missing_label_is_seen(absent):
    with pytest.warns(DataWarning, match=": g 1"):
        build_design("y ~ (1 | g)", table(g=put(table()["g"], 0, absent)))


def test_missing_weights_drop_the_row():
    with pytest.warns(DataWarning, match="weights 1"):
        design = build_design("y ~ x", table(), weights=put(np.ones(N), 3, np.nan))
    assert 3 not in design.rows


def test_missing_values_of_other_columns_do_not_matter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(build_design("y ~ x", table(z=[np.nan] * N)).y) == N


def test_nullable_and_polars_integers_may_be_missing():
    values = put(list(range(N)), 5, None)
    for data in (
        pl.DataFrame(table() | {"x": pl.Series(values)}),
        pd.DataFrame(table() | {"x": pd.array(values, dtype="Int64")}),
    ):
        with pytest.warns(DataWarning, match="x 1"):
            design = build_design("y ~ x", data)
        assert design.X[5, 1] == 6


def test_unused_categories_are_dropped_with_a_note():
    g = pd.Categorical(table()["g"], categories=list("zabcdefq"))
    with pytest.warns(DataWarning, match="Dropped 2 of 8 categories of 'g' that no row has"):
        design = build_design("y ~ (1 | g)", table(g=g))
    assert design.factors[0].levels.tolist() == list("abcdef")
    f = pd.Categorical(table()["f"], categories=list("quvw"))
    with pytest.warns(DataWarning, match="categories of 'f'"):
        assert build_design("y ~ f", table(f=f)).coef == ("Intercept", "f[T.v]", "f[T.w]")


def _any_index(data):
    return pd.DataFrame(data, index=np.arange(5000)[::-1] % 17)


def _arrow(data):
    return pytest.importorskip("pyarrow").table(data)


@pytest.mark.parametrize("convert", [pd.DataFrame, _any_index, pl.DataFrame, _arrow, dict])
def test_large_tables_drop_the_same_rows(convert):
    n = 5000
    x = np.arange(n, dtype=float)
    x[::7] = np.nan
    data = {"y": np.sin(np.arange(n)), "x": x, "g": np.arange(n) % 50}
    with pytest.warns(DataWarning, match="Dropped 715 of 5000 rows"):
        design = build_design("y ~ x + (1 | g)", convert(data))
    np.testing.assert_array_equal(design.X[:, 1], x[design.rows])
    np.testing.assert_array_equal(design.y, data["y"][design.rows])
