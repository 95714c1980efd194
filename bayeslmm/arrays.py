"""Names of array types, and the door through which arrays go to compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Columns of iterations, in single or double precision.
Columns = NDArray[np.floating]
Words = NDArray[np.uint64]
# The columns of a random-effects term that are correlated with each other, block by block.
type Blocks = tuple[tuple[int, ...], ...]


def for_kernels[S: np.generic](
    name: str, array: ArrayLike, kind: type[S], shape: tuple[int | None, ...]
) -> NDArray[S]:
    """Return an array as compiled code reads it: through a pointer, with sizes told beforehand.

    Parameters
    ----------
    name : str
        What it is, for the message.
    array : array_like
        Of any layout; it is copied if it is not C-contiguous, aligned, and of this type already.
    kind : type
        ``np.float64`` or ``np.int64``.
    shape : tuple of int or None
        What compiled code takes for granted; None stands for any length.

    Returns
    -------
    ndarray
        The same numbers.

    Raises
    ------
    TypeError
        If its numbers are of another kind, such as complex ones.
    ValueError
        If the shape differs.

    Examples
    --------
    >>> pairs = np.array([[1.0, 9.0], [2.0, 9.0]])
    >>> for_kernels("prior mean", pairs[:, 0], np.float64, (2,)).strides
    (8,)
    >>> for_kernels("prior mean", pairs, np.float64, (2,))
    Traceback (most recent call last):
    ValueError: prior mean has shape (2, 2), and compiled code reads (2,)
    """
    found = np.asarray(array)
    wanted = tuple(a if b is None else b for a, b in zip(found.shape, shape, strict=False))
    if len(found.shape) != len(shape) or found.shape != wanted:
        raise ValueError(f"{name} has shape {found.shape}, and compiled code reads {shape}")
    if not np.can_cast(found.dtype, kind, "same_kind"):
        raise TypeError(f"{name} holds {found.dtype}, and compiled code reads {np.dtype(kind)}")
    return np.require(found, kind, ["C_CONTIGUOUS", "ALIGNED"])


def distinct(keys: Ints, bound: int) -> tuple[Ints, Ints]:
    """Return the different values of keys, and the place of each key among them.

    Parameters
    ----------
    keys : ndarray of int64, shape (n,)
        Not negative.
    bound : int
        Above all keys: up to a few times as many as there are keys, nothing is sorted.

    Returns
    -------
    values : ndarray of int64, shape (m,)
        Ascending.
    places : ndarray of int64, shape (n,)

    Examples
    --------
    >>> [array.tolist() for array in distinct(np.array([7, 2, 7]), 8)]
    [[2, 7], [1, 0, 1]]
    """
    if bound > 4 * len(keys):
        values, places = np.unique(keys, return_inverse=True)
        return values, places
    seen = np.zeros(bound, dtype=bool)
    seen[keys] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[keys]


def positions(labels: Sequence[str], wanted: Iterable[str]) -> NDArray[np.intp]:
    """Return where each of `wanted` stands among `labels`; -1 for those that are not there."""
    where = {label: position for position, label in enumerate(labels)}
    return np.array([where.get(str(label), -1) for label in wanted], dtype=np.intp)
