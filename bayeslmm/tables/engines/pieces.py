"""Small Arrow batches gathered to tables worth a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.tables.engines.engine import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def gathered(batches: Iterable[Any], rows: int = ROWS) -> Iterator[Any]:
    """Iterate over tables of enough rows, put together from record batches.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        Of any size.
    rows : int
        How many rows are enough; a batch is never cut.

    Yields
    ------
    pyarrow.Table
        In the batches' order.

    Examples
    --------
    >>> import pyarrow as pa
    >>> batches = [pa.record_batch({"x": [k, k]}) for k in range(3)]
    >>> [table["x"].to_pylist() for table in gathered(batches, rows=3)]
    [[0, 0, 1, 1], [2, 2]]
    """
    import pyarrow as pa  # noqa: PLC0415 -- who has Arrow batches has imported it

    waiting: list[Any] = []
    n = 0
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
            n += batch.num_rows
        if n >= rows:
            yield pa.Table.from_batches(waiting)
            waiting, n = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)
