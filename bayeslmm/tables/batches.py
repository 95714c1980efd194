"""Rows in batches, whatever hands them over: lists, functions, files, or an engine's tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path


# Rows worked on at a time: larger tables are cut. With ten columns it is some 40 MB.
ROWS = 500_000


@dataclass(frozen=True, eq=False)
class Batches:
    """Rows that come in batches.

    Attributes
    ----------
    open : callable
        Returns the tables from the first one on: anything eager that narwhals reads, mappings of
        columns, or record batches.
    repeatable : bool
        Whether `open` does so at each call, or once only.

    Examples
    --------
    >>> batches = Batches(lambda: [{"x": [1, 2]}, {"x": [3]}])
    >>> batches.repeatable, [len(batch["x"]) for batch in batches]
    (True, [2, 1])
    """

    open: Callable[[], Iterable[Any]]
    repeatable: bool = True

    def __iter__(self) -> Iterator[Any]:
        """Iterate over tables of at most `ROWS` rows."""
        for table in self.open():
            yield from _pieces(table)


def in_order[T](function: Callable[[Any], T], items: Iterable[Any], cores: int) -> Iterator[T]:
    """Iterate over a function's results in the items' order; threads work on a few items ahead.

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


def _pieces(table: Any) -> Iterator[Any]:
    """Iterate over pieces of a large table; narwhals knows no record batches."""
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


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Iterate over the rows of a CSV file, or of a folder of them, by Arrow's reader.

    Parameters
    ----------
    path : Path
        The file or folder; names that end in ``.tsv`` or ``.tsv.gz`` stand for tabs.
    columns : sequence of str
        The columns to read; those that are not there are left out.

    Yields
    ------
    pyarrow.RecordBatch

    Raises
    ------
    DataError
        If nothing is there, or it cannot be read.
    """
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
        scanner = found.scanner(columns=present(found.schema.names, columns), batch_readahead=2)
        yield from scanner.to_batches()
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{str(path)!r} cannot be read as CSV: {first}") from error


def present(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Return the wanted columns that a source has; who needs the others tells of them.

    Examples
    --------
    >>> present(["a", "b", "c"], ["c", "d", "a"])
    ['c', 'a']
    """
    there = set(names)
    return [name for name in wanted if name in there]


def count_rows(table: Any) -> int:
    """Return the number of rows of a table, or of a mapping of columns."""
    if isinstance(table, Mapping):
        return len(next(iter(table.values()), ()))
    return len(nw.from_native(table))
