"""Rows, and rows per second, while batches are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Task, TaskID


class RowProgress:
    """A progress bar that counts rows.

    Parameters
    ----------
    shown : bool
        Whether there is anything to see.
    """

    def __init__(self, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _Rows(),
            TimeElapsedColumn(),
            disable=not shown,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, description: str, done: tuple[int, ...], total: int | None) -> None:
        """Begin a pass, of which some batches may be done."""
        self._task = self._progress.add_task(description, total=total, before=sum(done))
        self._progress.advance(self._task, sum(done))

    def advance(self, rows: int) -> None:
        """Count the rows of a batch."""
        if self._task is not None:
            self._progress.advance(self._task, rows)


class _Rows(ProgressColumn):
    """Rows so far, and the rate of this process."""

    def render(self, task: Task) -> Text:
        rows, before = int(task.completed), int(task.fields.get("before", 0))
        seconds = task.elapsed or 0.0
        rate = (rows - before) / seconds if seconds > 0 else 0.0
        return Text(f"{rows:,} rows, {rate:,.0f}/s")
