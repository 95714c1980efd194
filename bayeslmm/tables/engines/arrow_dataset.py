"""Pyarrow datasets, and files and folders of Parquet or Arrow read as such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.errors import DataError
from bayeslmm.tables.engines.engine import ROWS, StreamingEngine
from bayeslmm.tables.engines.pieces import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "ipc",
}


@dataclass(frozen=True, eq=False)
class ArrowEngine(StreamingEngine):
    """A pyarrow dataset.

    Attributes
    ----------
    dataset : pyarrow.dataset.Dataset
        Files, or tables in memory.
    """

    dataset: Any
    name: ClassVar[str] = "pyarrow"

    def _column_names(self) -> Sequence[str]:
        return list(self.dataset.schema.names)

    def _pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        # Arrow's own read-ahead of 16 batches of 16 files would fill memory with wide tables.
        scanner = self.dataset.scanner(
            columns=list(columns), batch_size=ROWS, batch_readahead=4, fragment_readahead=2
        )
        yield from gathered(scanner.to_batches())


def open_files(path: Path) -> Any:
    """Return a file, or a folder of files in one format, as a dataset; no row is read.

    Parameters
    ----------
    path : Path
        A file, or a folder, whose subfolders may be partitions named ``column=value``.

    Returns
    -------
    pyarrow.dataset.Dataset

    Raises
    ------
    DataError
        If nothing is there, its format is not known, or pyarrow cannot read it.
    """
    import pyarrow as pa  # noqa: PLC0415 -- most tables need no Arrow
    import pyarrow.dataset as ds  # noqa: PLC0415

    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}.")
    try:
        return ds.dataset(path, format=_format(path), partitioning="hive")
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"pyarrow could not open {str(path)!r}: {first}") from error


def _format(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    suffixes = {file.suffix.lower() for file in files if not file.name.startswith(("_", "."))}
    formats = {_FORMATS[suffix] for suffix in suffixes if suffix in _FORMATS}
    if len(formats) == 1:
        return formats.pop()
    what = f"files in {len(formats)} formats" if formats else "no file that can be read as a table"
    raise DataError(
        f"{str(path)!r} holds {what}; give one format, by its ending: {', '.join(_FORMATS)}."
    )
