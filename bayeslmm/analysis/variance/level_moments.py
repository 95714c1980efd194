"""Sums over the rows of each level, and what related levels make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.design.grouping import GroupingFactor


def related_moments(
    item: GroupingFactor, index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute `_random_moments` where the effects that meet in one level are related."""
    q = item.columns.shape[1]
    upper = np.zeros((q, q))
    for level in np.unique(index):
        rows = np.flatnonzero(index == level)
        columns = item.columns[rows]
        upper += columns.T @ item.shared(rows) @ columns / len(rows)
    whole = item.scaled_columns.T @ item.scaled_columns / len(item.columns)
    upper /= len(item.columns)
    return upper, whole - upper


def total_products(item: GroupingFactor) -> NDArray[np.float64]:
    """Compute M with Var(1'Z b) = tr(G M)."""
    m = len(item.levels) if item.latent is None else len(item.latent.variances)
    sums = level_sums_of(item.columns, item.index, m)
    own = sums if item.latent is None else np.asarray(item.latent.matrix.T @ sums)
    return own.T @ own


def level_sums_of(
    columns: NDArray[np.float64], index: NDArray[np.int64], m: int = 0
) -> NDArray[np.float64]:
    """Compute the sum of each level's rows, shape (m, q)."""
    sums = [np.bincount(index, weights=column, minlength=m) for column in columns.T]
    return np.stack(sums, axis=-1)
