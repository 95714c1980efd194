"""What a response must be: one rule for each kind of response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bayeslmm.arrays import Floats

type Known = Literal["weights", "trials", "ends"]


@dataclass(frozen=True)
class ResponseRule:
    """What responses of a family are.

    Attributes
    ----------
    kind : str
        In words, e.g. ``"counts: 0, 1, 2, ..."``.
    allowed : callable
        (y, known) -> whether each row's response is possible.
    advice : str
        What to do where one is not.
    known : str or None
        What may be known of the rows: ``"weights"``, ``"trials"``, the other ``"ends"`` of
        censored responses, or nothing.
    binary : bool
        Whether two categories, or booleans, may stand for 0 and 1.
    ordered : bool
        Whether it is categories in an order, numbered from 1.
    """

    kind: str
    allowed: Callable[[Floats, Floats | None], Any]
    advice: str
    known: Known | None = None
    binary: bool = False
    ordered: bool = False

    def check(self, y: Floats, known: Floats | None, name: str, labels: Any, family: str) -> None:
        """Raise unless every response is possible; rows without a response (NaN) are.

        Parameters
        ----------
        y : ndarray, shape (n,)
            Responses.
        known : ndarray, shape (n,), or None
            Weights or trials.
        name : str
            The response's name.
        labels : sequence of length n
            The rows' labels.
        family : str
            The family's name.

        Raises
        ------
        DataError
            With the first row that is not.
        """
        possible = np.isnan(y) | self.allowed(y, known)
        if possible.all():
            return
        first = int(np.flatnonzero(~possible)[0])
        of = f" of {known[first]:g} trials" if self.known == "trials" and known is not None else ""
        count = int((~possible).sum())
        others = f" (and in {count - 1} more)" if count > 1 else ""
        raise DataError(
            f"family={family!r} is for {self.kind}, and the response {name!r} is {y[first]:g}{of} "
            f"in row {labels[first]}{others}. {self.advice}"
        )


def _counts(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y >= 0) & (np.floor(y) == y) & np.isfinite(y)


def _positive(y: Floats, known: Floats | None) -> Any:  # noqa: ARG001
    return (y > 0) & np.isfinite(y)


COUNTS = ResponseRule(
    "counts: 0, 1, 2, ...",
    _counts,
    "Of a rate, give the count, with the exposure in the formula: count ~ x + "
    "offset(log(exposure)). For positive measurements take family='gamma' or 'lognormal'.",
)
POSITIVE = ResponseRule(
    "positive numbers",
    _positive,
    "Where some are exactly zero take family='hurdle_gamma' or 'hurdle_lognormal'; for numbers of "
    "either sign take family='gaussian' or 'student'.",
)
