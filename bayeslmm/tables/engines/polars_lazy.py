"""Polars LazyFrames, read through the streaming engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.tables.engines.engine import ROWS, StreamingEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, eq=False)
class PolarsEngine(StreamingEngine):
    """A polars LazyFrame.

    Attributes
    ----------
    frame : polars.LazyFrame
        The query; it runs once per pass.
    """

    frame: Any
    name: ClassVar[str] = "polars"

    def _column_names(self) -> Sequence[str]:
        return list(self.frame.collect_schema())

    def _pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        query = self.frame.select(list(columns))
        if hasattr(query, "collect_batches"):
            yield from query.collect_batches(chunk_size=ROWS, engine="streaming")
        else:  # before polars 1.34: the columns that the formula uses have to fit into memory
            yield query.collect()
