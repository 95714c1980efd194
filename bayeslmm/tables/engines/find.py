"""Tables that an engine holds: recognised without importing the engine, read by its own means.

Polars LazyFrames, pyarrow datasets, DuckDB relations, Dask and Spark dataframes. Each is seen as
named columns and one verb: map a function over pieces of the rows, and reduce what it returns.
Nothing here knows what a model is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bayeslmm.tables.engines.arrow_dataset import ArrowEngine
from bayeslmm.tables.engines.dask_frame import DaskEngine
from bayeslmm.tables.engines.duckdb_relation import DuckDBEngine
from bayeslmm.tables.engines.polars_lazy import PolarsEngine
from bayeslmm.tables.engines.spark_frame import SparkEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.tables.engines.engine import Engine


def _is_arrow_dataset(data: Any) -> bool:
    module = sys.modules.get("pyarrow.dataset")
    return module is not None and isinstance(data, module.Dataset)


def _is_spark(data: Any) -> bool:
    known = nw.dependencies
    return known.is_pyspark_dataframe(data) or known.is_pyspark_connect_dataframe(data)


# Each test looks at what is imported already: who has an engine's table has imported the engine.
_ENGINES: tuple[tuple[Callable[[Any], bool], Callable[[Any], Engine]], ...] = (
    (nw.dependencies.is_polars_lazyframe, PolarsEngine),
    (_is_arrow_dataset, ArrowEngine),
    (nw.dependencies.is_duckdb_relation, DuckDBEngine),
    (nw.dependencies.is_dask_dataframe, DaskEngine),
    (_is_spark, SparkEngine),
)


def engine_of(data: Any) -> Engine | None:
    """Return the engine that holds a table.

    Parameters
    ----------
    data : table
        A polars LazyFrame, pyarrow dataset, DuckDB relation, Dask or Spark dataframe, or one of
        these in narwhals' wrapping.

    Returns
    -------
    Engine or None
        None if the rows are in memory, or the object is no table at all.

    Examples
    --------
    >>> import polars as pl
    >>> engine = engine_of(pl.LazyFrame({"y": [1.0, 2.0, 4.0], "g": ["a", "a", "b"]}))
    >>> engine.name, engine.columns
    ('polars', ('y', 'g'))
    >>> engine.reduce(["y"], lambda table: float(table["y"].sum()), lambda a, b: a + b)
    7.0
    >>> engine_of({"y": [1.0, 2.0]}) is None
    True
    """
    if isinstance(data, nw.DataFrame):  # eager, and narwhals' own tests would warn of it
        return None
    if isinstance(data, nw.LazyFrame):
        data = data.to_native()
    return next((make(data) for is_held, make in _ENGINES if is_held(data)), None)
