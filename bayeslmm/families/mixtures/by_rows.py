"""Draws that take random numbers of several kinds, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters


def drawn_by_rows(
    draw: Callable[[Floats, Parameters, Floats | None], Floats],
    eta: Floats,
    phi: Parameters,
    known: Floats | None,
) -> Floats:
    """Draw row by row, so that rows drawn in chunks are those drawn at once.

    Parameters
    ----------
    draw : callable
        (eta, phi, known) -> draws of eta's shape, for one row: numbers of one kind for all its
        entries, then those of another.
    eta : ndarray
        Linear predictors; rows along the first of several axes, of one axis all are one row.
    phi, known
        As in `Family.draw`.

    Returns
    -------
    ndarray
        Of eta's shape.
    """
    if eta.ndim < 2:
        return draw(eta, phi, known)
    whole = {name: np.broadcast_to(values, eta.shape) for name, values in phi.items()}
    trials = None if known is None else np.broadcast_to(known, eta.shape)
    found = np.empty(eta.shape)
    for i in range(len(eta)):
        row = {name: values[i] for name, values in whole.items()}
        found[i] = draw(eta[i], row, None if trials is None else trials[i])
    return found
