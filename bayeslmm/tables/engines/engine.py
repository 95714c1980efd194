"""What every engine offers: the names of its columns, and map and reduce over its rows."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from bayeslmm.errors import BayesLMMError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Rows of a piece, where an engine lets us choose: some 20 MB with ten columns.
ROWS = 2**18

_ERROR = re.compile(r"[\w.]*(Error|Exception)\b")


class Engine(ABC):
    """A table that an engine holds.

    Attributes
    ----------
    name : str
        What the engine is called.
    """

    name: ClassVar[str]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns; no row is read.

        Raises
        ------
        DataError
            If the engine cannot tell them, or two columns have one name.
        """
        try:
            names = tuple(map(str, self._column_names()))
        except Exception as error:
            raise self.failure(error, ()) from error
        repeated = [name for name, n in Counter(names).items() if n > 1]
        if repeated:
            raise DataError(f"The table has more than one column named {', '.join(repeated)}.")
        return names

    @abstractmethod
    def _column_names(self) -> Iterable[Any]:
        """Return the columns' names as the engine has them."""

    @abstractmethod
    def reduce[T](
        self,
        columns: Sequence[str],
        function: Callable[[Any], T],
        combine: Callable[[T, T], T],
    ) -> T:
        """Return a function's results on pieces of the rows, combined.

        Parameters
        ----------
        columns : sequence of str
            The columns to read; no other is.
        function : callable
            Takes an eager table of some rows, at least one. Runs where the engine runs its tasks,
            so that it and what it returns must be picklable for Dask and Spark.
        combine : callable
            Takes two results, in the order of their rows; it must be associative.

        Returns
        -------
        object
            The combination of all results.

        Raises
        ------
        DataError
            If there are no rows, or the engine fails to produce them.
        BayesLMMError
            What `function` and `combine` raise comes out as it is.
        """

    def failure(self, error: Exception, columns: Sequence[str]) -> BayesLMMError:
        """Return an error that says in the package's words that the engine could not produce rows.

        Parameters
        ----------
        error : Exception
            What it raised.
        columns : sequence of str
            The columns that were asked for.

        Returns
        -------
        BayesLMMError
            An error of this package stays what it is.
        """
        if isinstance(error, BayesLMMError):
            return error
        text = str(error)
        named = [name for name in columns if f"'{name}'" in text or f'"{name}"' in text]
        culprits = named or list(columns)
        what = f"column{'s' * (len(culprits) > 1)} {', '.join(map(repr, culprits))}"
        hint = ""
        if "No module named" in text:
            hint = (
                " Its workers run this package: install it, with the same versions, where they do."
            )
        return DataError(
            f"{self.name} could not read {what if culprits else 'the table'}: "
            f"{type(error).__name__}: {_gist(text)}{hint}"
        )

    def no_rows(self) -> DataError:
        """Return an error that says that the table is empty."""
        return DataError(f"The {self.name} table is empty: it has no rows.")


def _gist(text: str) -> str:
    """Return the line of an engine's message that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):  # of a worker: the error ends it
        lines = [line for line in lines if _ERROR.match(line)][::-1] or lines
    return lines[0][:300] if lines else "it does not say why"


class StreamingEngine(Engine):
    """An engine that hands its rows over in pieces, one after the other."""

    @abstractmethod
    def _pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        """Iterate over eager tables with these columns, from the first row on."""

    def tables(self, columns: Sequence[str]) -> Iterator[Any]:
        """Iterate over eager tables of some rows each, from the first row on at each call.

        Parameters
        ----------
        columns : sequence of str
            The columns to read; no other is.

        Yields
        ------
        table
            polars DataFrame or pyarrow Table, with at least one row.

        Raises
        ------
        DataError
            If the engine fails to produce rows, or there are none.
        """
        some = False
        try:
            for piece in self._pieces(columns):
                if len(piece):
                    some = True
                    yield piece
        except Exception as error:
            raise self.failure(error, columns) from error
        if not some:
            raise self.no_rows()

    def reduce[T](
        self,
        columns: Sequence[str],
        function: Callable[[Any], T],
        combine: Callable[[T, T], T],
    ) -> T:
        """Return the reduction, in this process; see `Engine.reduce`."""
        results = map(function, self.tables(columns))
        total = next(results)
        for result in results:
            total = combine(total, result)
        return total
