"""DuckDB relations, streamed as Arrow batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.tables.engines.engine import ROWS, StreamingEngine
from bayeslmm.tables.engines.pieces import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, eq=False)
class DuckDBEngine(StreamingEngine):
    """A DuckDB relation.

    Attributes
    ----------
    relation : duckdb.DuckDBPyRelation
        The query; it runs once per pass.
    """

    relation: Any
    name: ClassVar[str] = "DuckDB"

    def _column_names(self) -> Sequence[str]:
        return list(self.relation.columns)

    def _pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        query = self.relation.project(", ".join(map(_quoted, columns)))
        # `fetch_record_batch` is its name before DuckDB 1.4, and deprecated after.
        read = getattr(query, "to_arrow_reader", None) or query.fetch_record_batch
        yield from gathered(read(ROWS))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
