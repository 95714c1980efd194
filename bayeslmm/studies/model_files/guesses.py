"""What a table's columns may be to a model: its response, its groups, a predictor to show."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

FEWEST_LEVELS = 5  # fewer tell little of how much groups vary; they are rather a treatment


def names_of(table: pd.DataFrame) -> list[str]:
    """Return the names of a table's columns."""
    return [str(name) for name in table.columns]


def responses(table: pd.DataFrame) -> list[str]:
    """Return the columns of numbers, those with fractions and the most values first."""
    numbers = [name for name in names_of(table) if table[name].dtype.kind in "fiu"]

    def rank(name: str) -> tuple[bool, int]:
        values = table[name].dropna()
        return bool((values % 1 != 0).any()), int(values.nunique())

    varying = [name for name in numbers if table[name].min() < table[name].max()]
    return sorted(varying, key=rank, reverse=True)


def family(column: pd.Series) -> tuple[str, str] | None:
    """Return the family that a response seems to be of, and what shows it; None for any numbers.

    Examples
    --------
    >>> family(pd.Series([0, 1, 1, 0]))
    ('bernoulli', '0 or 1')
    >>> family(pd.Series([0, 3, 1, 12]))
    ('poisson', 'whole numbers from 0 to 12')
    """
    values = column.dropna()
    kinds = sorted(map(str, values.unique()))
    if values.dtype.kind not in "fiu":
        return ("bernoulli", " or ".join(map(repr, kinds))) if len(kinds) == 2 else None
    if values.empty or values.min() != 0 or (values % 1 != 0).any():
        return None
    most = values.max()
    if most == 1:
        return "bernoulli", "0 or 1"
    return ("poisson", f"whole numbers from 0 to {most:g}") if most > 1 else None


def groups(table: pd.DataFrame, response: str) -> list[tuple[str, ...]]:
    """Return what may group the rows, the likeliest first.

    Parameters
    ----------
    table : DataFrame
    response : str
        No group, and no sign of one.

    Returns
    -------
    list of tuple of str
        Pairs of an outer and an inner column, whose labels start again in each outer level; then
        single columns, labels before whole numbers.
    """
    candidates = [name for name in names_of(table) if name != response and _repeats(table[name])]

    def rank(name: str) -> tuple[bool, int, str]:
        return _is_whole(table[name]), -int(table[name].nunique()), name

    singles = [(name,) for name in sorted(candidates, key=rank)]
    return [*_pairs(table, response, candidates), *singles]


def varying_within(table: pd.DataFrame, group: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return those of some columns that take several values within a level of a group."""
    cells = _codes(table, group)
    return [name for name in names if not _constant(_codes(table, [name]), cells)]


def _repeats(column: pd.Series) -> bool:
    """Whether a column has levels enough, of several rows each."""
    values = column.dropna()
    return values.dtype.kind != "f" and FEWEST_LEVELS <= values.nunique() <= len(values) / 2


def _pairs(
    table: pd.DataFrame, response: str, candidates: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield pairs within whose cells other columns are constant, but not within either alone.

    Such columns are what is known of a person or a thing that needs both labels to be named.
    """
    codes = {name: _codes(table, [name]) for name in names_of(table)}
    most = max((int(codes[name].max()) + 1 for name in candidates), default=0)
    found = []
    for one, other in combinations(candidates, 2):
        cells = _codes(table, [one, other])
        count = int(cells.max()) + 1
        # A column with as many levels as there are cells names them better.
        if not most < count <= len(table) / 2 or _constant(codes[response], cells):
            continue
        others = [code for name, code in codes.items() if name not in {one, other, response}]
        signs = sum(
            _constant(code, cells)
            and not any(_constant(code, codes[name]) for name in (one, other))
            for code in others
        )
        # Numbers start again within names, rather than names within numbers; else as written.
        turned = _is_whole(table[one]) and not _is_whole(table[other])
        outer, inner = (other, one) if turned else (one, other)
        if signs and _is_numbered(table[inner]):
            found.append((not _is_numbered(table[outer]), -signs, (outer, inner)))
    yield from (pair for _, _, pair in sorted(found, key=lambda item: item[:2]))


def _is_whole(column: pd.Series) -> bool:
    return column.dtype.kind in "iu"


def _is_numbered(column: pd.Series) -> bool:
    """Whether a column holds labels, or whole numbers counted from 0 or 1 without a gap."""
    values = column.dropna()
    if not _is_whole(values):
        return True
    low, high = int(values.min()), int(values.max())
    return low in {0, 1} and high - low + 1 == values.nunique()


def _codes(table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.intp]:
    """Return the combinations of columns, numbered from 0; -1 where one of them is missing."""
    code, _ = pd.factorize(table[names[0]])
    for name in names[1:]:
        more, labels = pd.factorize(table[name])
        both = np.where((code < 0) | (more < 0), -1, code * len(labels) + more)
        code, _ = pd.factorize(pd.Series(both).where(both >= 0))
    return np.asarray(code, dtype=np.intp)


def _constant(values: NDArray[np.intp], cells: NDArray[np.intp]) -> bool:
    """Whether coded values do not change within any cell, missing ones aside."""
    present = (values >= 0) & (cells >= 0)
    values, cells = values[present], cells[present]
    seen = np.zeros(cells.max(initial=0) + 1, dtype=np.intp)
    seen[cells] = values
    return bool((seen[cells] == values).all())
