"""How many nodes a likelihood needs: as many as move it no more when they are doubled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points

# By the number of columns. Few nodes can be worse than one: none is taken for granted.
LADDERS: dict[int, Sequence[int]] = {
    1: (7, 11, 15, 21, 31, 41, 61, 81, 121),
    2: (7, 9, 11, 15, 21, 31),
}
TOLERANCE = 0.01


@dataclass(frozen=True)
class NodeError:
    """How far a number of nodes is off.

    Attributes
    ----------
    n_nodes : int
        K for each column.
    error : float
        Largest change of the log marginal likelihood at some points when K becomes 2 K + 1.
    """

    n_nodes: int
    error: float

    @property
    def enough(self) -> bool:
        """Whether the change is below 0.01."""
        return self.error < TOLERANCE


def node_error(likelihood: LevelLikelihood, points: Points, *, threads: int = 1) -> NodeError:
    """Compare a likelihood with that of twice as many nodes.

    Parameters
    ----------
    likelihood : LevelLikelihood
        By some number of nodes.
    points : Points
        Where it matters: the mode, and two standard deviations to either side.
    threads : int
        That work side by side.

    Returns
    -------
    NodeError
        Points that have no density by both are left out; infinite where one alone gives one.
    """
    K = likelihood.n_nodes
    here = likelihood.values(points, threads=threads)
    there = likelihood.with_nodes(2 * K + 1).values(points, threads=threads)
    both = np.isfinite(here) & np.isfinite(there)
    if not both.any() or (np.isfinite(here) != np.isfinite(there)).any():
        return NodeError(K, np.inf)
    return NodeError(K, float(np.abs(there[both] - here[both]).max()))
