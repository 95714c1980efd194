"""Dask dataframes: one task per partition, results combined as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.tables.engines.engine import Engine
from bayeslmm.tables.engines.tasks import Outcome, apply, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Results that one task combines.
FAN_IN = 8


@dataclass(frozen=True, eq=False)
class DaskEngine(Engine):
    """A Dask dataframe.

    Attributes
    ----------
    frame : dask.dataframe.DataFrame
        Its partitions are pandas dataframes.
    """

    frame: Any
    name: ClassVar[str] = "Dask"

    def _column_names(self) -> Sequence[Any]:
        return list(self.frame.columns)

    def reduce[T](
        self,
        columns: Sequence[str],
        function: Callable[[Any], T],
        combine: Callable[[T, T], T],
    ) -> T:
        """Return the reduction, on the client's workers or on Dask's threads; see `Engine`."""
        from dask.delayed import delayed  # noqa: PLC0415 -- who has its dataframe has imported it

        on_partition = delayed(partial(apply, function), pure=False)
        on_results = delayed(partial(merge, combine), pure=False)
        try:
            # Before the tasks are made: dask then reads these columns only.
            parts = self.frame[list(columns)].to_delayed(optimize_graph=True)
            level = [on_partition(part) for part in parts]
            while len(level) > 1:
                level = [
                    on_results(level[first : first + FAN_IN])
                    for first in range(0, len(level), FAN_IN)
                ]
            outcome: Outcome[T] = level[0].compute()
        except Exception as error:
            raise self.failure(error, columns) from error
        if outcome.error is not None:
            raise outcome.error
        if outcome.value is None:
            raise self.no_rows()
        return outcome.value
