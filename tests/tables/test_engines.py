"""Engines as such: columns, map and reduce, and how they fail. No model is fitted here."""

import sys
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from engine_tables import ENGINES, held_by, write_folder

from bayeslmm.errors import DataError, FormulaError
from bayeslmm.tables.engines.find import engine_of
from bayeslmm.tables.engines.pieces import gathered
from bayeslmm.tables.engines.tasks import Outcome, merge, portable
from bayeslmm.tables.sources import open_source

# PySpark 4.3 warns of pandas 3 on import, because of its pandas API, which is not used here.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning")

TABLE = pd.DataFrame(
    {
        "y": np.arange(40) / 8.0,
        "x": np.arange(40) % 3,
        "a column.with `all` \"sorts\" of 'signs'": np.arange(40),
        "g": [f"g{k % 7}" for k in range(40)],
    }
)
ODD = TABLE.columns[2]


def sum_and_names(table):
    """What is mapped: eager pandas, polars and pyarrow tables alike."""
    names = tuple(table.column_names if hasattr(table, "column_names") else table.columns)
    return float(np.sum(table["y"].to_numpy())), names, [int(table[ODD].to_numpy()[0])]


def pool(a, b):
    assert a[1] == b[1]
    return a[0] + b[0], a[1], a[2] + b[2]


def fail(table):
    raise FormulaError("No such thing.", "y ~ x", (4, 5))


def crash(table):
    raise ZeroDivisionError("a bug, not bad data")


@pytest.fixture(params=ENGINES)
def held(request, tmp_path):
    return lambda table=TABLE: held_by(request.param, table, request, tmp_path)


def test_an_engine_reads_the_columns_asked_for_in_one_order(held):
    engine = open_source(held()).engine
    assert engine.columns == tuple(TABLE.columns)
    total, names, firsts = engine.reduce(["y", ODD], sum_and_names, pool)
    assert total == TABLE["y"].sum()  # eighths add exactly
    assert names == ("y", ODD)
    # Spark reads large files first, but it combines in one order each time.
    assert firsts == sorted(firsts) or engine.name == "Spark"
    assert engine.reduce(["y", ODD], sum_and_names, pool)[2] == firsts


def test_what_the_function_raises_comes_out_as_it_is(held):
    engine = open_source(held()).engine
    with pytest.raises(FormulaError, match=r"No such thing.\n    y ~ x\n        \^"):
        engine.reduce(["y"], fail, pool)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        engine.reduce(["y"], crash, pool)


def test_an_empty_table_is_refused(held):
    with pytest.raises(DataError, match=r"The \w+ table is empty: it has no rows."):
        open_source(held(TABLE.iloc[:0])).engine.reduce(["y"], sum_and_names, pool)


def test_tables_in_memory_and_other_objects_belong_to_no_engine():
    import narwhals as nw
    import polars as pl
    import pyarrow as pa

    for data in (TABLE, pl.from_pandas(TABLE), pa.table(TABLE), {"y": [1.0]}, None, 3):
        assert engine_of(data) is None
        assert engine_of(nw.from_native(data, pass_through=True)) is None


def test_narwhals_wrapping_is_taken_off():
    import narwhals as nw
    import polars as pl

    assert engine_of(nw.from_native(pl.LazyFrame({"y": [1.0]}))).name == "polars"


def test_recognising_a_table_imports_no_engine():
    import subprocess

    code = (
        "import sys; from bayeslmm.tables.engines.find import engine_of; import pandas as pd;"
        "assert engine_of(pd.DataFrame({'y': [1.0]})) is None;"
        "print(*{'duckdb', 'dask', 'pyspark', 'polars', 'pyarrow.dataset'} & set(sys.modules))"
    )
    done = subprocess.run(  # noqa: S603 -- the code above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_a_lazy_query_that_fails_names_the_column():
    import duckdb
    import polars as pl

    lazy = pl.LazyFrame({"y": [1.0, 2.0], "t": ["1", "two"]}).with_columns(pl.col("t").cast(int))
    with pytest.raises(DataError, match="polars could not read column 't': InvalidOperationError"):
        engine_of(lazy).reduce(["y", "t"], sum_and_names, pool)
    assert engine_of(lazy).reduce(["y"], lambda table: table["y"].sum(), pool) == 3.0
    with pytest.raises(DataError, match="polars could not read the table: ColumnNotFoundError"):
        _ = engine_of(lazy.select("nothing")).columns
    relation = duckdb.sql("select i as y, cast('a' || i as int) as t from range(10) r(i)")
    with pytest.raises(DataError, match="DuckDB could not read column 't': Conversion"):
        engine_of(relation).reduce(["t"], sum_and_names, pool)


def test_two_columns_of_one_name_are_refused():
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["y", "y"])
    with pytest.raises(DataError, match="more than one column named y"):
        _ = engine_of(ds.dataset(table)).columns


def test_paths_are_checked(tmp_path):
    with pytest.raises(DataError, match=r"There is no file or folder '.*nothing'"):
        _ = open_source(tmp_path / "nothing").engine
    with pytest.raises(DataError, match="no file that can be read as a table"):
        _ = open_source(tmp_path).engine
    folder = write_folder(TABLE, tmp_path / "both")
    TABLE.to_feather(folder / "more.feather")
    with pytest.raises(DataError, match="files in 2 formats"):
        _ = open_source(str(folder)).engine
    (tmp_path / "broken.parquet").write_bytes(b"not Parquet")
    with pytest.raises(DataError, match=r"pyarrow could not open '.*broken.parquet'"):
        _ = open_source(tmp_path / "broken.parquet").engine


def test_a_folder_may_hold_partitions(tmp_path):
    TABLE.to_parquet(tmp_path / "parts", partition_cols=["x"])
    engine = open_source(tmp_path / "parts").engine
    assert set(engine.columns) == set(TABLE.columns)
    assert engine.reduce(["x"], lambda t: int(t["x"].to_numpy().sum()), add) == 39


def test_a_damaged_file_in_the_middle_leaves_no_half_result(tmp_path):
    folder = write_folder(TABLE, tmp_path / "folder", files=3)
    files = sorted(Path(folder).glob("*.parquet"))
    content = files[1].read_bytes()
    files[1].write_bytes(b"\0" * 200 + content[200:])
    with pytest.raises(DataError, match="pyarrow could not read columns 'y'"):
        open_source(folder).engine.reduce(["y", ODD], sum_and_names, pool)


def test_small_batches_are_gathered_and_none_is_lost():
    import pyarrow as pa

    batches = [pa.record_batch({"x": list(range(k))}) for k in (0, 5, 3, 0, 9, 1)]
    tables = list(gathered(batches, rows=6))
    assert [len(table) for table in tables] == [8, 9, 1]
    assert pa.concat_tables(tables)["x"].to_pylist() == [
        value for batch in batches for value in batch["x"].to_pylist()
    ]


def test_errors_and_nothing_pass_through_a_reduction():
    problem = ValueError("no")
    outcomes = [Outcome(), Outcome(2), Outcome(), Outcome(3)]
    assert merge(add, outcomes).value == 5
    assert merge(add, [*outcomes, Outcome(error=problem), Outcome(1)]).error is problem
    assert merge(add, []).is_empty
    assert isinstance(merge(add, [Outcome(1), Outcome("a")]).error, TypeError)


def test_a_formula_error_travels_with_its_caret():
    import pickle

    error = FormulaError("No such thing.", "y ~ x", (4, 5))
    travelled = pickle.loads(pickle.dumps(portable(error)))  # noqa: S301 -- from here
    assert (str(travelled), travelled.span) == (str(error), (4, 5))


def test_many_partitions_are_combined_on_the_workers_first(dask_client):
    import dask.dataframe as dd

    engine = engine_of(dd.from_pandas(TABLE, npartitions=20))
    total, _, firsts = engine.reduce(["y", ODD], sum_and_names, pool)
    assert (total, firsts) == (TABLE["y"].sum(), list(range(0, 40, 2)))


def test_many_partitions_are_combined_on_the_executors_first(spark, tmp_path):
    path = write_folder(TABLE, tmp_path / "rows")
    frame = spark.read.parquet(str(path)).repartition(18)
    total, _, firsts = engine_of(frame).reduce(["y", ODD], sum_and_names, pool)
    assert total == TABLE["y"].sum()
    assert 16 < len(firsts) <= 18  # a partition may be empty
