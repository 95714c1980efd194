r"""`PatternCorrelation`: groups that were observed at few positions, some of them missing.

Groups with the same observed positions P have the same correlations C_PP, and so the same entries
of the inverse, :math:`\omega^P = C_{PP}^{-1}`: a base for each pattern and pair of positions.

.. math:: \log |C| = \sum_P n_P \log |C_{PP}|
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.residual.correlation import Pairs
from bayeslmm.model.residual.visits.shape import ByArm

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.model.residual.visits.shape import PositionShape

# The diagonal of a correlation matrix' inverse is at least one; less is lost digits.
_LOST_DIGITS = 1e-8


@dataclass(frozen=True, eq=False)
class Block:
    """The patterns of groups with the same number of rows.

    Attributes
    ----------
    arms : ndarray of int64, shape (P,)
        Arm of each pattern.
    at : ndarray of int64, shape (P, k)
        Numbers of the observed positions, ascending.
    counts : ndarray, shape (P,)
        Number of groups.
    rows : ndarray of int64, shape (number of groups, k)
        Rows of the groups, in the positions' order.
    which : ndarray of int64, shape (number of groups,)
        Pattern of each group.
    """

    arms: Ints
    at: Ints
    counts: Floats
    rows: Ints
    which: Ints

    @cached_property
    def pairs(self) -> tuple[Ints, Ints]:
        """Pairs of positions, the later one first."""
        return np.tril_indices(self.at.shape[1])

    @cached_property
    def n_bases(self) -> int:
        """How many entries its inverses have, on and below the diagonals."""
        return len(self.at) * len(self.pairs[0])


@dataclass(frozen=True, eq=False)
class PatternCorrelation(ByArm):
    """Correlations of a shape, for groups with any pattern of missing positions.

    Attributes
    ----------
    blocks : tuple of Block
        Patterns by their number of rows.
    """

    shapes: tuple[PositionShape, ...]
    blocks: tuple[Block, ...]

    @cached_property
    def pairs(self) -> Pairs:
        """Return all pairs of rows within groups."""
        base, offset = [], 0
        for block in self.blocks:
            n = len(block.pairs[0])
            base.append((offset + block.which[:, None] * n + np.arange(n)).ravel())
            offset += block.n_bases
        first = np.concatenate([block.rows[:, block.pairs[0]].ravel() for block in self.blocks])
        second = np.concatenate([block.rows[:, block.pairs[1]].ravel() for block in self.blocks])
        return Pairs(first, second, np.concatenate(base), offset)

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Invert C of each pattern; log|C| is infinite where it is singular."""
        matrices = self._matrices(phi)
        omegas, total = [], np.zeros(len(phi))
        for block in self.blocks:
            omega, logdet = invert(_submatrices(matrices, block))
            i, j = block.pairs
            omegas.append(omega[:, :, i, j].reshape(len(phi), block.n_bases))
            total = total + logdet @ block.counts
        return np.concatenate(omegas, axis=1), total

    def pull_back(self, phi: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        r"""Carry the gradients through :math:`d\omega = -\omega \, dC \, \omega`."""
        matrices = self._matrices(phi[None])
        d_matrices, offset = np.zeros(matrices.shape[1:]), 0
        for block in self.blocks:
            omega = invert(_submatrices(matrices, block))[0][0]
            i, j = block.pairs
            given = d_omega[offset : offset + block.n_bases].reshape(len(block.at), len(i))
            d_inverse = np.zeros(omega.shape)
            d_inverse[:, i, j] += 0.5 * given
            d_inverse[:, j, i] += 0.5 * given
            back = d_logdet * block.counts[:, None, None] * omega - omega @ d_inverse @ omega
            place = block.arms[:, None, None], block.at[:, :, None], block.at[:, None, :]
            np.add.at(d_matrices, place, back)
            offset += block.n_bases
        parts = zip(self.shapes, self.by_arm(phi), d_matrices, strict=True)
        return np.concatenate([shape.pull_back(theta, d) for shape, theta, d in parts])

    def _matrices(self, phi: Floats) -> Floats:
        """C of all positions in each arm, shape (s, A, T, T)."""
        parts = zip(self.shapes, np.moveaxis(self.by_arm(phi), -2, 0), strict=True)
        return np.stack([shape.correlations(theta, shape.times) for shape, theta in parts], axis=1)


def _submatrices(matrices: Floats, block: Block) -> Floats:
    """C_PP of each pattern, shape (s, P, k, k)."""
    at = block.at
    return matrices[:, block.arms[:, None, None], at[:, :, None], at[:, None, :]]


def invert(matrices: Floats) -> tuple[Floats, Floats]:
    """Invert correlation matrices (..., k, k), and compute log-determinants (...).

    A matrix that is singular to rounding has an infinite log-determinant, so that its density is
    zero, and the identity in its inverse's place.

    Examples
    --------
    >>> inverse, logdet = invert(np.array([[[1.0, 0.6], [0.6, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    >>> inverse[0].round(4), logdet.round(4)
    (array([[ 1.5625, -0.9375],
           [-0.9375,  1.5625]]), array([-0.4463,     inf]))
    """
    sign, logdet = np.linalg.slogdet(matrices)
    good = (sign > 0.0) & np.isfinite(logdet)
    identity = np.eye(matrices.shape[-1])
    safe = matrices if good.all() else np.where(good[..., None, None], matrices, identity)
    inverse = np.linalg.inv(safe)
    good &= (np.einsum("...kk->...k", inverse) > 1.0 - _LOST_DIGITS).all(axis=-1)
    if good.all():
        return inverse, logdet
    return np.where(good[..., None, None], inverse, identity), np.where(good, logdet, np.inf)


def blocks_of(group: Ints, arm: Ints, position: Ints, times: Floats, *, shift: bool) -> list[Block]:
    """Return the patterns of groups, by their number of rows.

    Parameters
    ----------
    group, arm, position : ndarray of int64, shape (n,)
        Of each row; a position occurs once in a group, and a group belongs to one arm.
    times : ndarray, shape (T,)
        Where the positions are.
    shift : bool
        Whether patterns that differ by a shift in time are the same.
    """
    order = np.lexsort((position, group))
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    out = []
    for k in np.unique(sizes).tolist():
        rows = order[starts[sizes == k][:, None] + np.arange(k)]
        at, arms = position[rows], arm[rows[:, 0]]
        keys = times[at] - times[at[:, :1]] if shift else at
        _, example, which, counts = np.unique(
            np.column_stack([arms, keys]), axis=0,
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        out.append(
            Block(arms[example], at[example], counts.astype(np.float64), rows, which.ravel())
        )
    return out
