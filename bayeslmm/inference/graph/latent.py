"""Effects of latent levels as those that rows have, T v, in a graph without `dot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.level_map import LevelMap


def effects_of_rows(factor: str, latent: LevelMap, effects: Any) -> Any:
    """Return u = T v, shape (m, q), for v of shape (M, q).

    Where few latent levels make up each u, those are gathered; else all products are summed.

    Parameters
    ----------
    factor : str
        The grouping factor, after which the data are named.
    latent : LevelMap
        T.
    effects : tensor
        v.

    Returns
    -------
    tensor
    """
    places, weights = padded_rows(latent)
    w = pm.Data(f"map_{factor}_data", weights)
    if weights.shape[1] == latent.n_latent:
        return (w[:, :, None] * effects[None, :, :]).sum(axis=1)
    at = pm.Data(f"map_{factor}_places_data", places)
    return (w[:, :, None] * effects[at]).sum(axis=1)


def padded_rows(latent: LevelMap) -> tuple[Ints, Floats]:
    """Return the places and values of T's entries, each row filled up with zeros, shape (m, k).

    Where a row has all M entries, or nearly, all have: places are 0, 1, ..., M - 1.

    Examples
    --------
    >>> from bayeslmm.relationships.level_map import LevelMap
    >>> from scipy.sparse import csr_array
    >>> T = csr_array(np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    >>> places, weights = padded_rows(LevelMap(lambda: T, 4))
    >>> places.tolist(), weights.tolist()
    ([[0, 2], [1, 0]], [[0.5, 0.5], [1.0, 0.0]])
    """
    found = latent.matrix
    if isinstance(found, np.ndarray):
        return np.tile(np.arange(latent.n_latent), (len(found), 1)), found
    counts = np.diff(found.indptr)
    k, m = int(counts.max(initial=1)), found.shape[0]
    if 2 * k > latent.n_latent:
        return np.tile(np.arange(latent.n_latent), (m, 1)), found.toarray()
    row = np.repeat(np.arange(m), counts)
    place = np.arange(len(row)) - np.repeat(found.indptr[:-1], counts)
    places, weights = np.zeros((m, k), np.int64), np.zeros((m, k))
    places[row, place], weights[row, place] = found.indices, found.data
    return places, weights
