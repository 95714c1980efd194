"""Text in the width of a terminal: sentences between words, tables with names and numbers whole."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_GAP = 2
_INDENT = 1
_STACKED = 4  # what stands under a name that has a line of its own


def wrapped(text: str, width: int) -> str:
    """Break sentences between words; lines that are laid out already stay as they are.

    Examples
    --------
    >>> print(wrapped("one two three", 8))
    one two
      three
    >>> print(wrapped("    y ~ x + (1 | g)", 8))
        y ~ x + (1 | g)
    """
    return "\n".join(
        line if line.startswith(" ") or "  " in line.strip() else _filled(line, width)
        for line in text.split("\n")
    )


def _filled(line: str, width: int) -> str:
    return textwrap.fill(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def table_lines(frame: pd.DataFrame, width: int) -> list[str]:
    """Lay a table out in a width, numbers with four significant digits.

    Where it is too wide, texts wrap between words; where that is not enough, the names that its
    index has stand on lines of their own. Names and numbers stay whole whatever the width.

    Parameters
    ----------
    frame : DataFrame
        Its index is shown where it has a name.
    width : int
        Of the terminal, in characters.

    Returns
    -------
    list of str
        A heading, a rule, and the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.Index(["sd_Subject[Days]"], name="parameter")
    >>> table = pd.DataFrame({"mean": [6.4851], "verdict": ["as expected"]}, index=index)
    >>> print(*table_lines(table, 80), sep=chr(10))
     parameter          mean  verdict
     ------------------------------------
     sd_Subject[Days]  6.485  as expected
    """
    labels = [name for name in frame.index.names if name is not None]
    shown = frame.reset_index() if labels else frame
    columns = [_Column(str(name), shown[name], whole=name in labels) for name in shown]
    widths = _widths(columns, width - _INDENT)
    if widths is None and 0 < len(labels) < len(columns):
        return _stacked(columns[: len(labels)], columns[len(labels) :], width)
    return _lines(columns, widths or [column.natural for column in columns], _INDENT)


class _Column:
    """The cells of a column as text."""

    def __init__(self, name: str, values: pd.Series[Any], *, whole: bool) -> None:
        self.name = name
        self.numeric = values.dtype.kind in "fiu"
        self.cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values]
        texts = [name, *self.cells]
        self.natural = max(map(cell_len, texts))
        self.least = self.natural
        if not (whole or self.numeric):
            self.least = max(cell_len(word) for text in texts for word in text.split() or [""])


def _widths(columns: Sequence[_Column], room: int) -> list[int] | None:
    """Narrow the widest texts until all columns fit; None where they cannot."""
    widths = [column.natural for column in columns]
    while sum(widths) + _GAP * (len(widths) - 1) > room:
        able = [k for k, column in enumerate(columns) if widths[k] > column.least]
        if not able:
            return None
        widths[max(able, key=lambda k: widths[k])] -= 1
    return widths


def _lines(columns: Sequence[_Column], widths: Sequence[int], indent: int) -> list[str]:
    header = _row(columns, [column.name for column in columns], widths, indent)
    rule = " " * indent + "-" * (sum(widths) + _GAP * (len(widths) - 1))
    rows = zip(*(column.cells for column in columns), strict=True)
    body = [line for row in rows for line in _row(columns, row, widths, indent)]
    return [*header, rule, *body]


def _row(
    columns: Sequence[_Column], cells: Sequence[str], widths: Sequence[int], indent: int
) -> list[str]:
    """Return a row's lines: several where a text wraps."""
    blocks = [
        [cell] if column.numeric or cell_len(cell) <= width else _broken(cell, width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ]
    lines = []
    for parts in zip_longest(*blocks, fillvalue=""):
        placed = [
            " " * (width - cell_len(part)) + part
            if column.numeric
            else part + " " * (width - cell_len(part))
            for column, part, width in zip(columns, parts, widths, strict=True)
        ]
        lines.append((" " * indent + (" " * _GAP).join(placed)).rstrip())
    return lines


def _broken(cell: str, width: int) -> list[str]:
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]


def _stacked(names: Sequence[_Column], columns: Sequence[_Column], width: int) -> list[str]:
    """Give each row's names a line of their own, and what belongs to them the lines below."""
    widths = _widths(columns, width - _STACKED) or [column.natural for column in columns]
    heading = (" " * _GAP).join(name.name for name in names)
    body: list[str] = []
    header = _row(columns, [column.name for column in columns], widths, _STACKED)
    rule = " " * _INDENT + "-" * (sum(widths) + _GAP * (len(widths) - 1) + _STACKED - _INDENT)
    for k in range(len(columns[0].cells)):
        body.append(" " * _INDENT + (" " * _GAP).join(name.cells[k] for name in names))
        body += _row(columns, [column.cells[k] for column in columns], widths, _STACKED)
    return [" " * _INDENT + heading, *header, rule, *body]
