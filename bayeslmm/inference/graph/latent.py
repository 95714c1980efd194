"""Effects of latent levels as those that rows have, T v, in a graph without `dot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymc as pm

from bayeslmm.relationships.level_map import padded_rows

if TYPE_CHECKING:
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
