"""The coordinates of a Gram: chosen for all rows, and changed without losing digits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.gram.sums import DEPENDENT, reference_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.blocks import CrossProducts, Strata


# Coordinates are kept while mean squares lie within this factor of one, and correlations leave
# this part of a column: worse ones cost log10 of it digits, better ones are not worth the work.
_SPREAD = 16.0
_REST = 0.05


def change_coordinates[G: CrossProducts](
    gram: G, scale: Floats, slope: Floats, factor_scales: Sequence[Floats]
) -> G:
    """Return a Gram in other coordinates.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    scale : ndarray, shape (p, p)
        R of the coordinates to be taken.
    slope : ndarray, shape (p,)
        Their coefficients, subtracted from y.
    factor_scales : sequence of ndarray, shapes (q, q)
        Their M, factor by factor.

    Returns
    -------
    Gram
        The same rows' cross-products.
    """
    p = len(gram.coef)
    turn = np.eye(p + 1)
    turn[:p, :p] = _change(scale, gram.scale)
    turn[:p, p] = _difference(gram.slope, turn[:p, :p], slope)
    turns = [_change(to, f.scale) for to, f in zip(factor_scales, gram.factors, strict=True)]
    if all(np.array_equal(one, np.eye(len(one))) for one in (turn, *turns)):
        return gram
    factors = tuple(
        replace(
            f,
            scale=to,
            within=M.T @ f.within @ M,
            with_fixed=M.T @ f.with_fixed @ turn,
            fixed=None if f.fixed is None else turn.T @ f.fixed @ turn,
        )
        for f, to, M in zip(gram.factors, factor_scales, turns, strict=True)
    )
    pairs = tuple(
        replace(pair, values=turns[pair.first].T @ pair.values @ turns[pair.second])
        for pair in gram.pairs
    )
    return replace(
        gram,
        factors=factors,
        pairs=pairs,
        scale=scale,
        slope=slope,
        cross=turn.T @ gram.cross @ turn,
        strata=_each(
            gram.strata, lambda part: change_coordinates(part, scale, slope, factor_scales)
        ),
    )


def _each(strata: Strata | None, turned: Callable[[CrossProducts], CrossProducts]) -> Strata | None:
    """Return strata whose cross-products were all carried into other coordinates."""
    return None if strata is None else replace(strata, grams=tuple(map(turned, strata.grams)))


def common_coordinates[G: CrossProducts](a: G, b: G) -> G:
    """Return `a` in coordinates in which the rows of `b` can be added without losing digits.

    Parameters
    ----------
    a, b : Gram
        Of one model.

    Returns
    -------
    Gram
        `a`, in its own coordinates where they suit the rows of both.
    """
    p = len(a.coef)
    scale = _common_scale(a.scale, a.cross[:p, :p], b.scale, b.cross[:p, :p], a.n + b.n)
    factor_scales = [
        _common_scale(f.scale, f.within.sum(axis=0), g.scale, g.within.sum(axis=0), a.n + b.n)
        for f, g in zip(a.factors, b.factors, strict=True)
    ]
    slope = _best_slope([a, b], scale, tolerance=4.0)
    return change_coordinates(a, scale, slope, factor_scales)


def orthogonal[G: CrossProducts](gram: G) -> G:
    """Return a Gram in coordinates chosen from all of its rows, as if they were summed at once."""
    if gram.n == 0:
        return gram
    p = len(gram.coef)
    scale = _of_moments([(gram.scale, gram.cross[:p, :p])], gram.n)
    scales = [_of_moments([(f.scale, f.within.sum(axis=0))], gram.n) for f in gram.factors]
    return change_coordinates(gram, scale, _best_slope([gram], scale, tolerance=1.0), scales)


def with_columns[G: CrossProducts](gram: G, keep: Sequence[int]) -> G:
    """Return a Gram without fixed-effects columns that others span."""
    places = list(keep)
    Q, R = np.linalg.qr(gram.scale[:, places])
    signs = np.where(np.diag(R) < 0.0, -1.0, 1.0)
    Q, R = Q * signs, R * signs[:, None]
    p, k = Q.shape
    turn = np.zeros((p + 1, k + 1))
    turn[:p, :k], turn[p, k] = Q, 1.0
    slope = Q.T @ gram.slope
    turn[:p, k] = gram.slope - Q @ slope
    return replace(
        gram,
        coef=tuple(gram.coef[j] for j in places),
        factors=tuple(
            replace(
                f,
                with_fixed=f.with_fixed @ turn,
                fixed=None if f.fixed is None else turn.T @ f.fixed @ turn,
            )
            for f in gram.factors
        ),
        scale=R,
        slope=slope,
        cross=turn.T @ gram.cross @ turn,
        scales=None if gram.scales is None else gram.scales.keep(places),
        strata=_each(gram.strata, lambda part: with_columns(part, places)),
    )


def with_levels[G: CrossProducts](gram: G, place: int, keep: NDArray[np.int64]) -> G:
    """Return a Gram without levels of a factor that no row has."""
    factor = gram.factors[place]
    moved = np.full(len(factor.levels), -1, dtype=np.int64)
    moved[keep] = np.arange(len(keep))
    less = replace(
        factor,
        levels=factor.levels[keep],
        within=factor.within[keep],
        with_fixed=factor.with_fixed[keep],
        counts=factor.counts[keep],
        fixed=None if factor.fixed is None else factor.fixed[keep],
        log_weights=None if factor.log_weights is None else factor.log_weights[keep],
        arms=None if factor.arms is None else factor.arms.chosen(keep.tolist()),
    )
    pairs = []
    for pair in gram.pairs:
        if pair.first == place:
            pair = replace(pair, rows=moved[pair.rows])  # noqa: PLW2901 - the same pair
        if pair.second == place:
            pair = replace(pair, cols=moved[pair.cols])  # noqa: PLW2901
        pairs.append(pair)
    factors = tuple(less if k == place else f for k, f in enumerate(gram.factors))
    return replace(gram, factors=factors, pairs=tuple(pairs))


def root_of(scale: Floats, cross: Floats) -> Floats:
    """Return U with U'U = R' cross R, without forming the product.

    Examples
    --------
    >>> root = root_of(np.array([[1.0, 2.0], [0.0, 1.0]]), 4.0 * np.eye(2))
    >>> (root.T @ root).round(12).tolist()
    [[4.0, 8.0], [8.0, 20.0]]
    """
    # What is left of a dependent column is tiny: it keeps its digits in units of its own.
    length = np.sqrt(np.maximum(np.diag(cross), 0.0))
    size = np.where(length > 0.0, length, 1.0)
    values, vectors = np.linalg.eigh(cross / size / size[:, None])
    # A column of zeros, as of a level that no row has yet, gets no part of the others' rounding.
    vectors[length == 0.0] = 0.0
    return (np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * size) @ scale


def _common_scale(mine: Floats, here: Floats, other: Floats, there: Floats, n: int) -> Floats:
    """Return R where it suits both batches; else one chosen from both."""
    if len(mine) == 0 or n == 0:
        return mine
    turn = _change(mine, other)
    if _suits((here + turn.T @ there @ turn) / n):
        return mine
    return _of_moments([(mine, here), (other, there)], n)


def _suits(moments: Floats) -> bool:
    squares = np.diag(moments)
    # What is left of a dependent column is rounding in any coordinates.
    real = squares > DEPENDENT**2
    if np.any(squares[real] > _SPREAD) or np.any(squares[real] < 1.0 / _SPREAD):
        return False
    length = np.sqrt(squares[real])
    correlations = moments[np.ix_(real, real)] / length / length[:, None]
    return bool(not len(length) or np.linalg.eigvalsh(correlations)[0] > _REST)


def _of_moments(parts: Sequence[tuple[Floats, Floats]], n: int) -> Floats:
    roots = np.vstack([root_of(scale, cross) for scale, cross in parts])
    # Only the triangular factor of these rows matters, in units of one row.
    return reference_scale(roots * np.sqrt(len(roots) / n))


def _best_slope(grams: Sequence[CrossProducts], scale: Floats, tolerance: float) -> Floats:
    """Return the first Gram's slope, unless it leaves `tolerance` times as much as the best one."""
    p = len(scale)
    slope = grams[0].slope
    if p:
        slope = solve_triangular(_change(scale, grams[0].scale), slope)
    cross = np.zeros((p + 1, p + 1))
    for gram in grams:
        turn = np.eye(p + 1)
        turn[:p, :p] = _change(scale, gram.scale)
        turn[:p, p] = _difference(gram.slope, turn[:p, :p], slope)
        cross += turn.T @ gram.cross @ turn
    best, *_ = np.linalg.lstsq(cross[:p, :p], cross[:p, p], rcond=DEPENDENT)
    left = cross[p, p] - cross[p, :p] @ best
    return slope + best if cross[p, p] > tolerance * left else slope


def _difference(mine: Floats, turn: Floats, other: Floats) -> Floats:
    """Compute mine - turn other; large levels cancel first, and exactly."""
    diagonal = np.diag(turn)
    return (mine - diagonal * other) - (turn - np.diag(diagonal)) @ other


def _change(to: Floats, of: Floats) -> Floats:
    """Compute R_of R_to^-1."""
    if len(to) == 0 or np.array_equal(to, of):
        return np.eye(len(to))
    turn: Floats = solve_triangular(to, of.T, trans=1).T
    return turn
