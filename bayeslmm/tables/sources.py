"""What `data` is, decided once: a table in memory, batches, CSV files, or a table of an engine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.errors import ArgumentError
from bayeslmm.tables.batches import Batches, present, read_csv
from bayeslmm.tables.engines.arrow_dataset import ArrowEngine, open_files
from bayeslmm.tables.engines.engine import Engine, StreamingEngine
from bayeslmm.tables.engines.find import engine_of
from bayeslmm.tables.table import is_eager

if TYPE_CHECKING:
    from collections.abc import Sequence

_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """Data as they were given, and what it takes to read them.

    Attributes
    ----------
    given : object
        What was given.
    has_rows : bool
        Whether this process has the rows; else they are a file's or an engine's, and to be fetched.
    """

    given: Any
    has_rows: ClassVar[bool]

    @property
    def description(self) -> str:
        """What was given, in a word for messages: the name of its type."""
        return type(self.given).__name__

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Batches:
        """Return the rows in batches; none is read yet.

        Parameters
        ----------
        columns : sequence of str
            The columns to read, where the source can choose.

        Returns
        -------
        Batches

        Raises
        ------
        ArgumentError
            If the rows do not come in batches.
        DataError
            If the path of an engine's files leads to nothing that can be read.
        """


class EagerTable(Source):
    """A table in memory, or a mapping of columns."""

    has_rows = True

    def batches(self, columns: Sequence[str]) -> Batches:  # noqa: ARG002 - all are there
        """Return the table as the only batch; see `Source.batches`."""
        return Batches(lambda: [self.given])


class BatchStream(Source):
    """Batches that this process hands over: an iterable, or a function that returns one anew."""

    has_rows = True

    def batches(self, columns: Sequence[str]) -> Batches:  # noqa: ARG002 - theirs to choose
        """Return the batches; see `Source.batches`."""
        if callable(self.given):
            return Batches(self.given)
        if not isinstance(self.given, Iterable):
            raise ArgumentError(
                "batches is an iterable of tables, a function that returns one, or the path of a "
                f"CSV or Parquet file or folder, not {self.description}."
            )
        # An iterator is its own iterator: whoever reads it again finds it empty.
        return Batches(lambda: self.given, repeatable=iter(self.given) is not self.given)


class CsvFiles(Source):
    """The path of a CSV file, or of a folder that holds some."""

    has_rows = False

    def batches(self, columns: Sequence[str]) -> Batches:
        """Return Arrow's record batches of the files; see `Source.batches`."""
        return Batches(partial(read_csv, Path(self.given), tuple(columns)))


@dataclass(frozen=True, eq=False)
class EngineTable(Source):
    """A table that an engine holds, or the path of files that pyarrow reads as one.

    Attributes
    ----------
    open_engine : callable
        Returns the engine; files are opened then.
    """

    open_engine: Callable[[], Engine]
    has_rows = False

    @cached_property
    def engine(self) -> Engine:
        """The engine, opened when it is first asked for.

        Raises
        ------
        DataError
            If a path leads to nothing that can be read.
        """
        return self.open_engine()

    def batches(self, columns: Sequence[str]) -> Batches:
        """Return the pieces that the engine streams; see `Source.batches`."""
        engine = self.engine
        if not isinstance(engine, StreamingEngine):
            raise ArgumentError(
                f"A {engine.name} table does not come in batches: give it to fit_bayes or "
                "fit_reml in place of a table."
            )
        return Batches(lambda: engine.tables(present(engine.columns, columns)))


def open_source(data: Any) -> Source:
    """Return what kind of data something is; no row is read, and no file opened.

    Parameters
    ----------
    data : object
        A table in memory or a mapping of columns; an iterable of such, or a function that returns
        one; a table that an engine holds; a path. A source is returned as it is.

    Returns
    -------
    EagerTable, BatchStream, CsvFiles or EngineTable
        Whatever is nothing of the kind is a `BatchStream`, which says so when it is read.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"y": [1.0, 2.0]})
    >>> for data in (table, [table], "rows.csv", "rows.parquet", table.lazy()):
    ...     source = open_source(data)
    ...     print(type(source).__name__, source.description, source.has_rows)
    EagerTable DataFrame True
    BatchStream list True
    CsvFiles str False
    EngineTable str False
    EngineTable LazyFrame False
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if _is_csv(path):
            return CsvFiles(data)
        return EngineTable(data, lambda: ArrowEngine(open_files(path)))
    engine = engine_of(data)
    if engine is not None:
        return EngineTable(data, lambda: engine)
    if isinstance(data, Mapping) or is_eager(data):
        return EagerTable(data)
    return BatchStream(data)


def _is_csv(path: Path) -> bool:
    """Return whether a path is that of a CSV file, or of a folder that holds one."""
    if path.is_dir():
        return any(_is_csv(file) for file in path.iterdir() if not file.name.startswith((".", "_")))
    return path.name.lower().endswith(_CSV)
