"""Where searches for relative factors begin: variances by the method of moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.least_squares import all_parts, least_squares_left, residual_squares

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.relative import FreeSet, RelativeFactors, StructuredSet

# Guards a division where a column of the random effects is zero in every row.
TINY = 1e-300
# Variances between levels that are so many times the one within are where the search begins: from
# elsewhere its scaled variables are orders of magnitude off.
FAR = 400.0


def start_by_moments(relative: RelativeFactors) -> tuple[Floats, Floats]:
    """Start standard deviations by moments; expected curvature of the criterion there.

    For least-squares residuals r and one column z, E sum_i (z_i'r)^2 is about
    sigma^2 sum_i a_i + v sum_i a_i^2 with a_i = z_i'z_i. The expected curvature in an entry
    (row, col) of Theta is 4 or 2 (off the diagonal) sum_i theta_c^2 a_ir a_ic / (D_ir D_ic) with
    D = 1 + theta^2 a, as for balanced data. Correlations begin at none, or in the middle of where
    they may lie.

    Parameters
    ----------
    relative : RelativeFactors
        Whose variables.

    Returns
    -------
    start, curvature : ndarray, shape (relative.size,)
    """
    gram = relative.gram
    sets: list[FreeSet | StructuredSet] = [*relative.free, *relative.structured]
    if not sets:
        return np.zeros(0), np.zeros(0)
    total = gram.cross[-1, -1] / gram.n
    moments = [own.moments(gram) for own in sets]
    variance = [np.zeros(a.shape[1]) for a, _ in moments]
    residual = total
    for _ in range(5):
        variance = [
            np.maximum(
                (s - residual * a.sum(axis=0)) / np.maximum(np.sum(a * a, axis=0), TINY), 0.0
            )
            for a, s in moments
        ]
        explained = [
            own.columns_each * float(v.sum()) for own, v in zip(sets, variance, strict=True)
        ]
        residual = max(total - sum(explained), 0.05 * total)
    highest = max(float(v.max()) for v in variance)
    within = _within(gram, highest / FAR)
    start, curvature = np.zeros(relative.size), np.ones(relative.size)
    at = 0
    for own, (a, _), v in zip(sets, moments, variance, strict=True):
        ratio = v / within
        theta = np.sqrt(np.where(ratio > FAR, ratio, np.clip(v / residual, 0.02, 20.0)))
        shrunk = a / (1.0 + theta**2 * a)
        rows, cols = own.entries
        expected = theta[cols] ** 2 * np.sum(shrunk[:, rows] * shrunk[:, cols], axis=0)
        to = slice(at, at + len(rows))
        start[to] = np.where(rows == cols, theta[cols], 0.0)
        curvature[to] = np.where(rows == cols, 4.0, 2.0) * expected
        at += own.size
    return start, np.maximum(curvature, 1e-8)


def _within(gram: Gram, enough: float) -> float:
    """Compute sigma^2 from what all effects leave of y; infinite where nothing, or enough."""
    parts = all_parts(gram)
    if least_squares_left(gram, parts) > enough * gram.n:
        return np.inf
    judged = residual_squares(gram, parts)
    if judged is None or judged[1] >= gram.n:
        return np.inf
    return max(judged[0] / (gram.n - judged[1]), TINY)
