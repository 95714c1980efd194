"""Solutions of (I - A) x = b for many b at once, by conjugate gradients in lockstep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.errors import NumericalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Columns, Floats

# Never reached by a model whose factors cross: thousands say that something is wrong.
MOST_STEPS = 1000


# Products of single precision that are summed in it, before double takes over.
_CHUNK = 256


def inner(X: Columns, Y: Columns) -> Floats:
    """Compute the inner product of each column of X with that of Y, in double precision."""
    if X.dtype == np.float64:
        return np.asarray(np.einsum("nb,nb->b", X, Y))
    n, whole = len(X), len(X) - len(X) % _CHUNK
    parts = [(A[:whole].reshape(-1, _CHUNK, X.shape[1]), A[whole:]) for A in (X, Y)]
    first = np.einsum("cnb,cnb->cb", parts[0][0], parts[1][0]) if n >= _CHUNK else 0.0
    rest = np.einsum("nb,nb->b", parts[0][1], parts[1][1])
    return np.asarray(np.sum(first, axis=0, dtype=np.float64) + rest)


class Iterated[T: np.floating](NamedTuple):
    """A solution of (I - A) x = b."""

    x: NDArray[T]  # (n, B)
    residual: NDArray[T]  # (n, B): b - (I - A) x
    steps: int  # products with A


def solve[T: np.floating](
    multiply: Callable[[NDArray[T]], NDArray[T]],
    right: NDArray[T],
    tolerance: float,
    start: NDArray[T] | None = None,
) -> Iterated[T]:
    """Solve (I - A) x = b to a residual relative to b, that of the worst column.

    Parameters
    ----------
    multiply : callable
        From columns, shape (n, B), to A times them.
    right : ndarray, shape (n, B)
        Columns b. Their precision is that of everything but inner products.
    tolerance : float
        Of the residual's length beside that of b.
    start : ndarray, shape (n, B), optional
        Where to begin; at zero without.

    Returns
    -------
    Iterated

    Raises
    ------
    NumericalError
        If a thousand steps are not enough.

    References
    ----------
    Hestenes & Stiefel (1952). Methods of conjugate gradients for solving linear systems. Journal
    of Research of the National Bureau of Standards 49:409-436. doi:10.6028/jres.049.044

    Examples
    --------
    >>> A = np.array([[0.5, 0.1], [0.1, 0.2]])
    >>> found = solve(lambda X: A @ X, np.ones((2, 1)), 1e-9)
    >>> ((np.eye(2) - A) @ found.x).round(6).tolist()
    [[1.0], [1.0]]
    """
    kind = right.dtype
    enough = tolerance**2 * inner(right, right)
    x = np.zeros_like(right) if start is None else start.astype(kind)
    residual = right.copy() if start is None else right - x + multiply(x)
    direction, square, steps = residual.copy(), inner(residual, residual), int(start is not None)
    moving = np.empty_like(right)
    while np.any(square > enough):
        if steps == MOST_STEPS:
            raise NumericalError(
                f"Conjugate gradients did not solve for the crossed effects in {MOST_STEPS} steps: "
                "standard deviations of the effects are too large beside sigma, or the levels "
                "hang together in a long chain. border='dense' takes no steps."
            )
        moved = multiply(direction)
        np.subtract(direction, moved, out=moved)
        curved = inner(direction, moved)
        # A column that is solved already moves no more.
        along = np.divide(square, curved, out=np.zeros_like(square), where=curved > 0.0)
        x += np.multiply(direction, along.astype(kind), out=moving)
        residual -= np.multiply(moved, along.astype(kind), out=moving)
        new = inner(residual, residual)
        share = np.divide(new, square, out=np.zeros_like(square), where=square > 0.0)
        direction *= share.astype(kind)
        direction += residual
        square, steps = new, steps + 1
    return Iterated(x, residual, steps)
