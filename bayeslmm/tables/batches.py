"""Rows in batches, whatever hands them over: lists, functions, files, or an engine's tables."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.tables.engines.engine import StreamingEngine
from bayeslmm.tables.engines.find import engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence


# Rows worked on at a time: larger tables are cut. With ten columns it is some 40 MB.
ROWS = 500_000
_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


class Batches:
    """Something that hands over rows, batch by batch, and perhaps more than once.

    Parameters
    ----------
    source : iterable, callable, path or table
        Tables (anything eager that narwhals reads, record batches too), a function that returns
        them anew at each call, the path of a CSV or Parquet file or folder, or one table.
    columns : sequence of str
        The columns to read, where the source can choose.

    Raises
    ------
    ArgumentError
        If it is nothing of the kind.

    Examples
    --------
    >>> batches = Batches([{"x": [1, 2]}, {"x": [3]}], ["x"])
    >>> batches.repeatable, [len(batch["x"]) for batch in batches]
    (True, [2, 1])
    """

    def __init__(self, source: Any, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.repeatable = True
        if isinstance(source, (str, os.PathLike)) and is_csv(Path(source)):
            self._open: Callable[[], Iterable[Any]] = lambda: _read_csv(Path(source), self.columns)
        elif (engine := engine_of(source)) is not None:
            if not isinstance(engine, StreamingEngine):
                raise ArgumentError(
                    f"A {engine.name} table does not come in batches: give it to fit_bayes or "
                    "fit_reml in place of a table."
                )
            self._open = lambda: engine.tables(_there(engine.columns, self.columns))
        elif isinstance(source, Mapping) or _is_table(source):
            self._open = lambda: [source]
        elif callable(source):
            self._open = source
        elif isinstance(source, Iterable):
            # An iterator is its own iterator: whoever reads it again finds it empty.
            self.repeatable = iter(source) is not source
            self._open = lambda: source
        else:
            raise ArgumentError(
                "batches is an iterable of tables, a function that returns one, or the path of a "
                f"CSV or Parquet file or folder, not {type(source).__name__}."
            )

    def __iter__(self) -> Iterator[Any]:
        """Iterate over tables of at most `ROWS` rows."""
        for table in self._open():
            yield from _pieces(table)


def in_order[T](function: Callable[[Any], T], items: Iterable[Any], cores: int) -> Iterator[T]:
    """Map a function over items in threads, a few ahead; results come in the items' order.

    Examples
    --------
    >>> list(in_order(abs, [-1, 2, -3], cores=2))
    [1, 2, 3]
    """
    if cores == 1:
        yield from map(function, items)
        return
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for task in waiting:
                task.cancel()


def _is_table(source: Any) -> bool:
    if type(source).__name__ == "RecordBatch":
        return True
    return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame)


def _pieces(table: Any) -> Iterator[Any]:
    """Cut a large table; narwhals knows no record batches."""
    if type(table).__name__ == "RecordBatch":
        import pyarrow as pa  # noqa: PLC0415 - who has a record batch has imported it

        table = pa.Table.from_batches([table])
    if isinstance(table, Mapping):
        yield table
        return
    frame = nw.from_native(table, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        raise DataError(
            "A batch must be a pandas, polars or pyarrow table, a record batch, or a mapping of "
            f"columns, not {type(table).__name__}."
        )
    if len(frame) <= ROWS:
        yield table
        return
    for first in range(0, len(frame), ROWS):
        yield frame[first : first + ROWS].to_native()


def is_csv(path: Path) -> bool:
    """Say whether a path is that of a CSV file, or of a folder that holds one."""
    if path.is_dir():
        return any(is_csv(file) for file in path.iterdir() if not file.name.startswith((".", "_")))
    return path.name.lower().endswith(_CSV)


def _read_csv(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    """Read a CSV file, or a folder of them, by Arrow's reader."""
    import pyarrow as pa  # noqa: PLC0415 - most tables need no Arrow
    from pyarrow import csv  # noqa: PLC0415
    from pyarrow import dataset as ds  # noqa: PLC0415

    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}.")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    tabs = files[0].name.lower().endswith((".tsv", ".tsv.gz"))
    form = ds.CsvFileFormat(
        parse_options=csv.ParseOptions(delimiter="\t" if tabs else ","),
        # Empty text is a missing label, as pandas reads it.
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
        read_options=csv.ReadOptions(block_size=16 * 2**20),
    )
    try:
        found = ds.dataset(path, format=form)
        scanner = found.scanner(columns=_there(found.schema.names, columns), batch_readahead=2)
        yield from scanner.to_batches()
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{str(path)!r} cannot be read as CSV: {first}") from error


def _there(names: Iterable[str], wanted: tuple[str, ...]) -> list[str]:
    """Choose the wanted columns that a source has; what is missing is told by who needs it."""
    present = set(names)
    return [name for name in wanted if name in present]


def count_rows(table: Any) -> int:
    """Return the number of rows of a table, or of a mapping of columns."""
    if isinstance(table, Mapping):
        return len(next(iter(table.values()), ()))
    return len(nw.from_native(table))
