"""Borders of crossed effects that memory, or patience, cannot hold as a matrix are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.choice import LARGEST_DENSE
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


def require_dense(gram: Gram, what: str) -> None:
    """Raise where thousands of values would each factor a matrix that fits do without.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    what : str
        What takes them, for the message.

    Raises
    ------
    ArgumentError
        Beyond the columns up to which ``border="auto"`` is dense.
    """
    if gram.n_border > LARGEST_DENSE:
        raise ArgumentError(
            f"{what} takes a dense matrix of {gram.n_border:,} x {gram.n_border:,} crossed effects "
            f"each, and is kept to {LARGEST_DENSE:,} columns: fit the model under other priors "
            "with bl.update(fit, priors=...), and compare."
        )


def require_few(border: int, what: str, instead: str) -> None:
    """Raise where each of many steps would factor a dense matrix that is too large for them.

    Parameters
    ----------
    border : int
        Its columns.
    what : str
        What takes the steps, for the message.
    instead : str
        What to do.

    Raises
    ------
    ArgumentError
        Beyond the columns up to which ``border="auto"`` is dense.
    """
    if border > LARGEST_DENSE:
        raise ArgumentError(
            f"{what} factors a dense matrix of {border:,} x {border:,} crossed effects at every "
            f"step, and is kept to {LARGEST_DENSE:,} columns: {instead}"
        )
