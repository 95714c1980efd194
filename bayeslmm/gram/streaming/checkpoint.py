"""How far a sum over batches has come, kept in a file so that it survives the process."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import DataError
from bayeslmm.gram.file import (
    decode_header,
    encode_header,
    from_arrays,
    read_arrays,
    to_arrays,
    write_arrays,
)
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.streaming.first_pass import Reading
from bayeslmm.gram.streaming.second_pass import BatchCoding

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray


FORMAT, VERSION = "bayeslmm.checkpoint", 1
# Seconds between two writes, or longer where writing takes long: 5 % of the time at most.
INTERVAL, LEAST_SHARE = 20.0, 20.0


@dataclass(frozen=True, eq=False)
class Progress:
    """What has been summed.

    Attributes
    ----------
    job : mapping of str to str
        What is being summed: formula, weights, missing, levels.
    sizes : tuple of int
        Rows of each batch that is done, in this pass.
    total : int
        Rows of all batches, where the first pass has counted them; else 0.
    reading : Reading or None
        What the first pass has read so far.
    coding : BatchCoding or None
        What the second pass codes by; None during the first pass.
    gram : Gram or None
        The second pass's sum so far.
    lacking : mapping of str to int
        Rows that lack a value, by column, as the second pass counted them.
    """

    job: Mapping[str, str]
    sizes: tuple[int, ...] = ()
    total: int = 0
    reading: Reading | None = None
    coding: BatchCoding | None = None
    gram: Gram | None = None
    lacking: Mapping[str, int] | None = None


class Checkpoint:
    """A file that holds the progress of one job.

    Parameters
    ----------
    path : path or None
        The file; without one nothing is kept.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._written = time.monotonic()
        self._took = 0.0

    def resume(self, job: Mapping[str, str]) -> Progress:
        """Return how far a job has come; the start where there is no file.

        Raises
        ------
        DataError
            If the file is damaged, or belongs to another job.
        """
        if self.path is None or not self.path.exists():
            return Progress(job)
        arrays = read_arrays(self.path)
        header = decode_header(arrays, FORMAT, VERSION, str(self.path))
        for what, wanted in job.items():
            if header["job"].get(what) != wanted:
                raise DataError(
                    f"The checkpoint {str(self.path)!r} belongs to another sum: its {what} is "
                    f"{header['job'].get(what)}, and {wanted} is asked for. Delete it, or give "
                    "another path."
                )
        inner = {name[5:]: array for name, array in arrays.items() if name.startswith("gram_")}
        reading, coding = header["reading"], header["settled"]
        return Progress(
            job=job,
            sizes=tuple(arrays["sizes"].tolist()),
            total=header["total"],
            reading=None if reading is None else Reading.from_json(reading),
            coding=None if coding is None else BatchCoding.from_json(coding),
            gram=from_arrays(Gram, inner, str(self.path)) if inner else None,
            lacking=header["lacking"],
        )

    def keep(self, progress: Progress, *, now: bool = False) -> None:
        """Write the progress, if the last writing is long enough ago or it must be now."""
        start = time.monotonic()
        pause = max(INTERVAL, LEAST_SHARE * self._took)
        if self.path is None or not (now or start - self._written >= pause):
            return
        reading, coding = progress.reading, progress.coding
        header = {
            "format": FORMAT,
            "version": VERSION,
            "job": dict(progress.job),
            "total": progress.total,
            "reading": None if reading is None else reading.to_json(),
            "settled": None if coding is None else coding.to_json(),
            "lacking": progress.lacking,
        }
        arrays: dict[str, NDArray[Any]] = {
            "header": encode_header(header),
            "sizes": np.array(progress.sizes, dtype=np.int64),
        }
        if progress.gram is not None:
            gram = replace(progress.gram, state=None)
            arrays |= {f"gram_{name}": array for name, array in to_arrays(gram).items()}
        write_arrays(self.path, arrays)
        self._written = time.monotonic()
        self._took = self._written - start

    def remove(self) -> None:
        """Delete the file: the job is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
