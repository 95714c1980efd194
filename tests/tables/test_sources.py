"""What data are: each kind recognised, nothing read before it is asked for, and then once."""

from pathlib import Path

import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from engine_tables import ENGINES, held_by

from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.tables.sources import (
    BatchStream,
    CsvFiles,
    EagerTable,
    EngineTable,
    Source,
    open_source,
)

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning")

TABLE = pd.DataFrame({"x": [1, 2, 3], "y": [0.5, 1.5, 2.5], "z": list("abc")})


def rows_of(batches):
    return [value for batch in batches for value in nw.from_native(batch)["x"].to_list()]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: TABLE, "DataFrame"),
        (lambda: pl.from_pandas(TABLE), "DataFrame"),
        (lambda: pa.table(TABLE), "Table"),
        (lambda: pa.RecordBatch.from_pandas(TABLE), "RecordBatch"),
        (lambda: nw.from_native(TABLE), "DataFrame"),
    ],
)
def test_tables_in_memory_are_one_batch(make, word):
    source = open_source(make())
    assert isinstance(source, EagerTable)
    assert (source.has_rows, source.description) == (True, word)
    batches = source.batches(["x"])
    assert batches.repeatable
    assert rows_of(batches) == rows_of(batches) == [1, 2, 3]


def test_a_mapping_is_a_table():
    source = open_source({"x": [1, 2]})
    assert isinstance(source, EagerTable)
    assert list(source.batches([])) == [{"x": [1, 2]}]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_hold_their_rows(engine, request, tmp_path):
    data = held_by(engine, TABLE, request, tmp_path)
    source = open_source(data)
    assert isinstance(source, EngineTable)
    assert (source.has_rows, source.description) == (False, type(data).__name__)
    if engine in ("dask", "spark"):
        with pytest.raises(ArgumentError, match="table does not come in batches: give it to fit_"):
            source.batches(["x"])
    else:
        assert sorted(rows_of(source.batches(["x", "nothing"]))) == [1, 2, 3]


class Address:
    """A path of a class of its own."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Address])
def test_paths_are_read_by_what_they_lead_to(kind, tmp_path):
    TABLE.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "folder").mkdir()
    TABLE.to_csv(tmp_path / "folder" / "part.TSV", sep="\t", index=False)
    TABLE.to_parquet(tmp_path / "rows.parquet")
    for name, wanted in [
        ("rows.csv", CsvFiles),
        ("folder", CsvFiles),
        ("rows.parquet", EngineTable),
    ]:
        source = open_source(kind(tmp_path / name))
        assert type(source) is wanted
        assert not source.has_rows
        assert source.description in ("str", "PosixPath", "WindowsPath", "Address")
        batches = source.batches(["x"])
        found = list(batches)
        assert [nw.from_native(pa.table(batch)).columns for batch in found] == [["x"]]
        assert rows_of(map(pa.table, batches)) == [1, 2, 3]


def test_no_file_is_opened_before_its_rows_are_asked_for(tmp_path):
    for name in ("nothing.csv", "nothing", "nothing.parquet"):
        assert not open_source(tmp_path / name).has_rows
    with pytest.raises(DataError, match=r"There is no file or folder '.*nothing.csv'"):
        list(open_source(tmp_path / "nothing.csv").batches(["x"]))
    with pytest.raises(DataError, match=r"There is no file or folder '.*nothing.parquet'"):
        open_source(tmp_path / "nothing.parquet").batches(["x"])


def test_files_of_an_engine_are_opened_once(tmp_path, monkeypatch):
    import bayeslmm.tables.sources as module

    opened = []
    open_files = module.open_files

    def count(path):
        opened.append(path)
        return open_files(path)

    monkeypatch.setattr(module, "open_files", count)
    TABLE.to_parquet(tmp_path / "rows.parquet")
    source = open_source(tmp_path / "rows.parquet")
    assert opened == []
    assert source.engine.columns == ("x", "y", "z")
    assert rows_of(source.batches(["x"])) == rows_of(source.batches(["x"])) == [1, 2, 3]
    assert opened == [tmp_path / "rows.parquet"]


def test_batches_may_be_read_again_unless_they_are_an_iterator():
    tables = [TABLE[:1], TABLE[1:]]
    for given, repeatable in [
        (tables, True),
        (tuple(tables), True),
        (lambda: iter(tables), True),
        (iter(tables), False),
        ((table for table in tables), False),
    ]:
        source = open_source(given)
        assert isinstance(source, BatchStream)
        batches = source.batches(["x"])
        assert batches.repeatable is repeatable
        assert rows_of(batches) == [1, 2, 3]


@pytest.mark.parametrize("nothing", [None, 3, object()])
def test_what_is_no_data_says_so_when_it_is_read(nothing):
    source = open_source(nothing)
    message = f"path of a CSV or Parquet file or folder, not {type(nothing).__name__}"
    with pytest.raises(ArgumentError, match=message):
        source.batches(["x"])


def test_a_source_is_returned_as_it_is():
    for data in (TABLE, [TABLE], "rows.csv", pl.from_pandas(TABLE).lazy()):
        source = open_source(data)
        assert isinstance(source, Source)
        assert open_source(source) is source
