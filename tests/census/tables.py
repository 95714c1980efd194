"""Tables of the census's rows: each column a recipe, drawn in turn; the earlier ones are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd

type Column = Callable[[pd.DataFrame, np.random.Generator], object]


def blocks(count):
    """Levels of a factor, each with rows that follow each other, as equally many as can be."""
    return lambda rows, _: _labels(np.arange(len(rows)) * count // len(rows))


def levels(count):
    """Levels of a factor that crosses the others: as many rows each as can be, in any order."""
    return lambda rows, rng: _labels(rng.permutation(np.resize(np.arange(count), len(rows))))


def inside(outer, count):
    """Levels nested in those of another factor, `count` in each, with labels of their own."""

    def draw(rows, _):
        place = rows.groupby(outer).cumcount()
        size = rows.groupby(outer)[outer].transform("size")
        return rows[outer] + "." + (place * count // size).astype(str)

    return draw


def each_row():
    """A level for every row."""
    return lambda rows, _: _labels(np.arange(len(rows)))


def step(outer, count=None):
    """0, 1, 2, ... within each level of a factor; from 0 again after `count`."""
    return lambda rows, _: rows.groupby(outer).cumcount() % (count or len(rows))


def category(*labels, of=None):
    """One of the labels, as often as each other; `of`: the same for all rows of a level."""

    def draw(rows, rng):
        cell, count = _cells(rows, of)
        return np.array(labels)[rng.permutation(np.resize(np.arange(len(labels)), count))][cell]

    return draw


def number(low=None, high=None, *, of=None, whole=False):
    """Standard normal numbers, or between two ends; `of`: one for each level of a factor."""

    def draw(rows, rng):
        cell, count = _cells(rows, of)
        if low is None:
            return rng.standard_normal(count)[cell]
        if whole:
            return rng.integers(low, high, count, endpoint=True)[cell]
        return rng.uniform(low, high, count)[cell]

    return draw


def copy(column):
    """The same as another column."""
    return lambda rows, _: rows[column]


def from_columns(compute):
    """What a function makes of the earlier columns."""
    return lambda rows, _: compute(rows)


def draw_table(n, columns, rng):
    """Draw n rows of these columns, in their order."""
    rows = pd.DataFrame(index=pd.RangeIndex(n))
    for name, column in columns.items():
        rows[name] = np.asarray(column(rows, rng))
    return rows


def _labels(indices):
    width = len(str(indices.max()))
    return np.array([f"L{index:0{width}d}" for index in indices], dtype=object)


def _cells(rows, of):
    if of is None:
        return np.arange(len(rows)), len(rows)
    cell = rows.groupby(of if isinstance(of, list) else [of], sort=False).ngroup().to_numpy()
    return cell, cell.max() + 1
