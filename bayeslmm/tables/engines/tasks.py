"""Functions sent to an engine's workers; what they raise comes back as a value.

An engine that sees a task fail tries it again, and tells the user of it in its own words. What this
package raises is about the data: trying again does not help, and the words are ours.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, eq=False)
class Outcome[T]:
    """What a task returned or raised.

    Attributes
    ----------
    value : object
        The result; None where there were no rows, or on an error.
    error : Exception or None
        What was raised.
    """

    value: T | None = None
    error: Exception | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there were no rows to work on."""
        return self.value is None and self.error is None


def apply[T](function: Callable[[Any], T], table: Any) -> Outcome[T]:
    """Return a function's outcome on a table, an empty one where the table has no rows.

    Examples
    --------
    >>> apply(len, [1, 2, 3]).value, apply(len, []).is_empty
    (3, True)
    >>> apply(lambda table: table["x"], [1]).error
    TypeError('list indices must be integers or slices, not str')
    """
    if not len(table):
        return Outcome()
    try:
        return Outcome(value=function(table))
    except Exception as error:  # noqa: BLE001 -- raised again where the user is
        return Outcome(error=portable(error))


def merge[T](combine: Callable[[T, T], T], outcomes: Iterable[Outcome[T]]) -> Outcome[T]:
    """Return the results combined in their order; the first error stands for all that follows.

    Examples
    --------
    >>> merge(max, [Outcome(1), Outcome(), Outcome(3)]).value
    3
    """
    total: Outcome[T] = Outcome()
    for outcome in outcomes:
        if outcome.error is not None:
            return outcome
        if total.value is None or outcome.value is None:
            total = outcome if total.is_empty else total
            continue
        try:
            total = Outcome(value=combine(total.value, outcome.value))
        except Exception as error:  # noqa: BLE001 -- raised again where the user is
            return Outcome(error=portable(error))
    return total


def portable(error: Exception) -> Exception:
    """Return an error that survives the way back: itself, or its words.

    Examples
    --------
    >>> portable(ValueError("no")), portable(ValueError(lambda: 0))
    (ValueError('no'), DataError('ValueError: <function <lambda> at 0x...>'))
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    except Exception:  # noqa: BLE001 -- classes may fail in any way
        return DataError(f"{type(error).__name__}: {error}")
    return error
