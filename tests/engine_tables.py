"""One table, held by each engine in several pieces."""

from itertools import pairwise
from pathlib import Path

import pytest

ENGINES = ["polars", "dataset", "folder", "duckdb", "dask", "spark"]


def held_by(engine, table, request, folder):
    """Give a table to an engine; Spark and Dask start when first asked for."""
    if engine == "polars":
        polars = pytest.importorskip("polars")
        return polars.from_pandas(table).lazy()
    if engine == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        path = write_folder(table, folder / "duckdb")
        return duckdb.sql(f"from read_parquet('{path}/*.parquet')")
    path = write_folder(table, folder / engine)
    if engine == "folder":
        return str(path)
    if engine == "dataset":
        dataset = pytest.importorskip("pyarrow.dataset")
        return dataset.dataset(path, format="parquet")
    if engine == "dask":
        request.getfixturevalue("dask_client")
        frames = pytest.importorskip("dask.dataframe")
        return frames.read_parquet(path)
    return request.getfixturevalue("spark").read.parquet(str(path))


def write_folder(table, folder, files=4):
    """Write a table as a folder of Parquet files of different sizes."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    n = len(table)
    cuts = [0, *sorted({(n * (k + 1) ** 2) // files**2 for k in range(files)})]
    for k, (first, last) in enumerate(pairwise(cuts)):
        table.iloc[first:last].to_parquet(folder / f"part-{k}.parquet", index=False)
    if not list(folder.glob("*.parquet")):
        table.to_parquet(folder / "part-0.parquet", index=False)
    return folder
