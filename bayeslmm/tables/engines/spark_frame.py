"""Spark dataframes: `mapInArrow` on the executors, partial results combined there in groups."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.tables.engines.engine import Engine
from bayeslmm.tables.engines.pieces import gathered
from bayeslmm.tables.engines.tasks import Outcome, apply, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Partitions whose results one task combines before they travel to the driver.
FAN_IN = 16
_SCHEMA = "part long, bucket long, outcome binary"


@dataclass(frozen=True, eq=False)
class SparkEngine(Engine):
    """A Spark dataframe, of a classic session or of Spark Connect.

    Attributes
    ----------
    frame : pyspark.sql.DataFrame
        The query; it runs once per pass.
    """

    frame: Any
    name: ClassVar[str] = "Spark"

    def _column_names(self) -> Sequence[str]:
        return list(self.frame.columns)

    def reduce[T](
        self,
        columns: Sequence[str],
        function: Callable[[Any], T],
        combine: Callable[[T, T], T],
    ) -> T:
        """Return the reduction, on executors that have this package installed; see `Engine`."""
        from pyspark.sql.functions import col  # noqa: PLC0415 -- its dataframe has imported it

        # Plain names on the way: `mapInArrow` of Spark 4 trips over names with dots.
        chosen = [col(_quoted(name)).alias(f"c{k}") for k, name in enumerate(columns)]
        on_partition = partial(_map_partition, function, combine, list(columns))
        try:
            collected = (
                self.frame.select(*chosen)
                .mapInArrow(on_partition, _SCHEMA)
                .groupBy("bucket")
                # Without type hints: Spark would read those of `_merge_bucket`, and warn.
                .applyInArrow(lambda table: _merge_bucket(combine, table), _SCHEMA)
                .collect()
            )
        except Exception as error:
            raise self.failure(error, columns) from error
        outcome = _in_order(combine, ((row["part"], bytes(row["outcome"])) for row in collected))
        if outcome.error is not None:
            raise outcome.error
        if outcome.value is None:
            raise self.no_rows()
        return outcome.value


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _map_partition[T](
    function: Callable[[Any], T],
    combine: Callable[[T, T], T],
    columns: list[str],
    batches: Iterable[Any],
) -> Iterator[Any]:
    from pyspark import TaskContext  # noqa: PLC0415 -- runs on an executor

    context: Any = TaskContext.get()
    part = context.partitionId()
    tables = (table.rename_columns(columns) for table in gathered(batches))
    outcome = merge(combine, (apply(function, table) for table in tables))
    yield from _written(part, outcome).to_batches()


def _merge_bucket[T](combine: Callable[[T, T], T], table: Any) -> Any:
    parts, outcomes = (table[name].to_pylist() for name in ("part", "outcome"))
    outcome = _in_order(combine, zip(parts, outcomes, strict=True))
    return _written(min(parts), outcome)


def _written[T](part: int, outcome: Outcome[T]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 -- runs on an executor, which has it

    row = {"part": [part], "bucket": [part // FAN_IN], "outcome": [pickle.dumps(outcome)]}
    return pa.table(row)


def _in_order[T](combine: Callable[[T, T], T], rows: Iterable[tuple[int, bytes]]) -> Outcome[T]:
    """Return the results combined in the partitions' order: rounding is the same each time."""
    ordered = sorted(rows, key=lambda row: row[0])
    return merge(combine, (pickle.loads(outcome) for _, outcome in ordered))  # noqa: S301 -- ours
