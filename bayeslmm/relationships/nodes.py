"""`NodePrecision`: related levels as some of the nodes of a graph with a sparse precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class NodePrecision:
    r"""A known covariance of levels by the inverse P of that of nodes, of which they are some.

    .. math:: u = (u_1, \dots, u_N) \sim N(0,\; P^{-1} \otimes G), \qquad b_i = u_{place(i)}

    Of a phylogeny the nodes are its tips and forks, of a pedigree animals and their ancestors: who
    is related to whom through others alone has no entry in P.

    Attributes
    ----------
    count : int
        N.
    place : ndarray of int64, shape (m,)
        The node of each level, no two levels at the same.
    rows, cols : ndarray of int64
        Where P has entries, both triangles; those of one place that stand several times are added.
    values : ndarray
        The entries.
    variances : ndarray, shape (m,)
        What the known covariance has on its diagonal, level by level.
    """

    count: int
    place: Ints
    rows: Ints
    cols: Ints
    values: Floats
    variances: Floats

    def arrays(self) -> Iterator[NDArray[np.float64] | NDArray[np.int64]]:
        """Iterate over the arrays that tell P from others, in one order."""
        yield from (self.place, self.rows, self.cols, self.values)
