"""Borders of crossed effects that this machine's memory cannot hold are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError
from bayeslmm.resources import memory

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
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
    border, available = gram.plan.n_border, memory()
    needed = 8 * border**2
    if available is not None and 2 * needed > available:
        raise ArgumentError(
            f"{what} would factor a dense matrix of {border:,} x {border:,} crossed effects at "
            f"every step: {needed:,} bytes each time, of {available:,} bytes that this machine "
            f"has. {instead}"
        )


# Columns of a dense border of latent levels: a value takes some ten seconds at so many.
MOST_LATENT = 6000
# What pairs of latent columns take while their cross-products are turned and laid out.
_BYTES_A_PAIR = 80


def require_latent(design: Design) -> None:
    """Raise unless the latent levels of a design fit in memory; nothing is computed yet.

    Parameters
    ----------
    design : Design
        The rows.

    Raises
    ------
    ArgumentError
        If there are too many, with what to do.
    """
    sizes = {
        factor.name: factor.latent.n_latent * len(factor.terms)
        for factor in design.factors
        if factor.latent is not None
    }
    columns, available = sum(sizes.values()), memory()
    needed = _BYTES_A_PAIR * columns**2
    if columns <= MOST_LATENT and (available is None or needed <= available):
        return
    largest = max(sizes, key=sizes.__getitem__)
    raise ArgumentError(
        f"Effects of {sizes[largest]:,} levels (times columns) of {largest!r} hang together: every "
        f"step would factor a dense matrix of {columns:,} columns, of which at most {MOST_LATENT:,} "
        f"are taken, and {needed:,} bytes of memory. Leave rows of some levels out, or let fewer "
        "columns vary over them."
    )
