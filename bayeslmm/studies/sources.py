"""Where the rows of a study come from: each kind of source is a frozen value that can load them."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from bayeslmm.errors import DataError, nearest
from bayeslmm.tables.datasets import load_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SEPARATORS = (",", ";", "\t", "|")
_LINES = 50  # that say how a file is written


class StudyData(Protocol):
    """A source of rows."""

    def load(self) -> pd.DataFrame:
        """Read the rows."""
        ...

    def describe(self) -> str:
        """Name the source in a few words."""
        ...


@dataclass(frozen=True, slots=True)
class BundledTable:
    """A table that comes with the package.

    Attributes
    ----------
    name : str
        One of `list_datasets`.

    Examples
    --------
    >>> BundledTable("rail").load().shape
    (18, 2)
    """

    name: str

    def load(self) -> pd.DataFrame:
        """Read the rows; DataError if there is no such table."""
        return load_dataset(self.name)

    def describe(self) -> str:
        """Name the source in a few words."""
        return f"bundled table {self.name!r}"


@dataclass(frozen=True, slots=True)
class FileTable:
    """A delimited text file: ``.csv`` or ``.tsv``, also with ``.gz`` behind it.

    Attributes
    ----------
    path : Path
    labels : tuple of str
        Columns to read as text although they look like numbers, such as subject numbers.
    levels : mapping from str to tuple of str
        Columns that are labels, with the order of their levels; the first is the reference.
    sep : str or None
        What separates columns; None for what the file's ending says.
    decimal : str
        The decimal point.
    missing_words : tuple of str
        What stands for a missing value, beside an empty field and pandas's own words (``NA``).
    """

    path: Path
    labels: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sep: str | None = None
    decimal: str = "."
    missing_words: tuple[str, ...] = ()

    def load(self) -> pd.DataFrame:
        """Read the rows.

        Returns
        -------
        DataFrame

        Raises
        ------
        DataError
            If the file cannot be read as a table, lacks a column named here, or has a label that is
            not among its column's levels.
        """
        table = self._read(self.separator)
        for column in (*self.labels, *self.levels):
            if column not in table:
                raise DataError(
                    f"The data file {str(self.path)!r} has no column {column!r}."
                    f"{nearest(column, map(str, table.columns))}"
                )
        for column, levels in self.levels.items():
            unknown = table.loc[~table[column].isin(levels) & table[column].notna(), column]
            if len(unknown):
                raise DataError(
                    f"Column {column!r} of {str(self.path)!r} holds {unknown.iloc[0]!r}, which is "
                    f"not among the levels given for it: {', '.join(map(repr, levels))}."
                )
            table[column] = pd.Categorical(table[column], categories=list(levels))
        return table

    @property
    def separator(self) -> str:
        """What separates columns: as given, or as the file's ending says."""
        if self.sep is not None:
            return self.sep
        suffixes = [suffix for suffix in self.path.suffixes if suffix != ".gz"]
        kind = suffixes[-1].lower() if suffixes else ""
        if kind not in _SEPARATORS:
            raise DataError(
                f"The data file {str(self.path)!r} must end in .csv or .tsv, with or without .gz, "
                'or its separator be given (sep = ";").'
            )
        return _SEPARATORS[kind]

    def describe(self) -> str:
        """Name the source in a few words."""
        return str(self.path)

    def _read(self, separator: str) -> pd.DataFrame:
        _refuse_other_separator(self.path, separator)
        try:
            with warnings.catch_warnings():
                # A row longer than the header: pandas would cut it and only warn.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                header = pd.read_csv(self.path, sep=separator, header=None, nrows=1, dtype=str)
                names = header.iloc[0].dropna()
                if twice := sorted(set(names[names.duplicated()])):
                    # pandas would rename the second one in silence.
                    raise DataError(
                        f"The data file {str(self.path)!r} has several columns named "
                        f"{', '.join(map(repr, twice))}."
                    )
                return pd.read_csv(
                    self.path,
                    sep=separator,
                    decimal=self.decimal,
                    na_values=list(self.missing_words),
                    dtype=dict.fromkeys((*self.labels, *self.levels), str),
                    index_col=False,
                )
        except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
            raise DataError(f"{str(self.path)!r} is not a table: {error}.") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{str(self.path)!r} is not text in UTF-8: {error.reason}.") from error
        except OSError as error:
            raise _unreadable(self.path, error) from error


def first_lines(path: Path) -> list[str]:
    """Return the first lines of a text file, also of one that is compressed.

    Raises
    ------
    DataError
        If there is no such file, or it is no text.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return [line for line, _ in zip(file, range(_LINES), strict=False)]
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not text in UTF-8: {error.reason}.") from error
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def columns_by(lines: Sequence[str], separator: str) -> int:
    """Return how many columns a separator makes, if all lines have as many; else 1."""
    counts = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
    return counts.pop() if len(counts) == 1 else 1


def nearest_file(path: Path) -> str:
    """Return a hint at a file of the same folder, as `nearest`."""
    folder = path.parent
    try:
        names = [file.name for file in folder.iterdir() if file.is_file()]
    except OSError:
        return ""  # no folder, or one that may not be read
    hint = nearest(path.name, names)
    for name in names:
        hint = hint.replace(f" {name!r}?", f" {str(folder / name)!r}?")
    return hint


def _unreadable(path: Path, error: OSError | EOFError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no data file {str(path)!r}.{nearest_file(path)}")
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{str(path)!r} cannot be read: {reason}.")


def _refuse_other_separator(path: Path, separator: str) -> None:
    """Raise if a separator finds one column where another one finds several in every line."""
    lines = first_lines(path)
    header = next(csv.reader(lines[:1], delimiter=separator), [])
    other = max(SEPARATORS, key=lambda one: columns_by(lines, one))
    if len(header) == 1 and other != separator and columns_by(lines, other) > 1:
        raise DataError(
            f"{str(path)!r} separates columns by {other!r}, not by {separator!r}: give "
            f"sep = {json.dumps(other)} under [data]."
        )


@dataclass(frozen=True, slots=True)
class PartOfTable:
    """Some rows of another source, with numbers counted from other origins.

    Attributes
    ----------
    source : StudyData
    between : mapping from column to (float, float)
        Rows are kept whose value is from the first to the second number, both included.
    origin : mapping from column to float
        What is subtracted from the column, after the rows are chosen.

    Examples
    --------
    >>> days = PartOfTable(BundledTable("sleepstudy"), {"Days": (2, 9)}, {"Days": 2})
    >>> table = days.load()
    >>> len(table), int(table["Days"].min()), int(table["Days"].max())
    (144, 0, 7)
    """

    source: StudyData
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)

    def load(self) -> pd.DataFrame:
        """Read the rows; DataError if a column is missing or no number, or no row is left."""
        table = self.source.load()
        for column in (*self.between, *self.origin):
            if column not in table:
                raise DataError(
                    f"{self.source.describe()} has no column {column!r}."
                    f"{nearest(column, map(str, table.columns))}"
                )
            if not pd.api.types.is_numeric_dtype(table[column]):
                raise DataError(
                    f"Column {column!r} of {self.source.describe()} holds labels; rows are chosen "
                    "and origins moved by numbers only."
                )
        for column, (low, high) in self.between.items():
            table = table[table[column].between(low, high)]
            if table.empty:
                raise DataError(
                    f"No row of {self.source.describe()} has {column} between {low} and {high}."
                )
        moved = {column: table[column] - origin for column, origin in self.origin.items()}
        return table.assign(**moved).reset_index(drop=True)

    def describe(self) -> str:
        """Name the source in a few words."""
        parts = [f"{column} from {low} to {high}" for column, (low, high) in self.between.items()]
        parts += [f"{column} counted from {origin}" for column, origin in self.origin.items()]
        return f"{self.source.describe()}, {', '.join(parts)}"
