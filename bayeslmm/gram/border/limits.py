"""Borders of crossed effects that this machine's memory cannot hold are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError
from bayeslmm.resources import memory

if TYPE_CHECKING:
    from bayeslmm.gram.gram import Gram


def require_border(gram: Gram, what: str, instead: str) -> None:
    """Raise unless memory holds the border's dense matrix; nothing is computed yet.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    what : str
        What would factor it, for the message.
    instead : str
        What to do, for the message.

    Raises
    ------
    ArgumentError
        If two such matrices do not fit: the least that is useful.
    """
    border, available = gram.n_border, memory()
    needed = 8 * border**2
    if available is not None and 2 * needed > available:
        raise ArgumentError(
            f"{what} would factor a dense matrix of {border:,} x {border:,} crossed effects at "
            f"every step: {needed:,} bytes each time, of {available:,} bytes that this machine "
            f"has. {instead}"
        )
