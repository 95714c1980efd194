"""Group-by sums of cross-products, and the coordinates in which they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.blas import dtrsm

from bayeslmm.errors import DataError
from bayeslmm.gram.blocks import GramFactor
from bayeslmm.kernels.sums import sum_by_level, sum_pairs

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor


# Below this fraction of its length, what is left of a column after projection is rounding.
DEPENDENT = 1e-11


def reference_scale(columns: Floats) -> Floats:
    """Compute an upper-triangular R such that columns R^-1 are orthogonal, of mean square one.

    The first entry is rounded to a power of two, so the first column's mean square lies between
    1/2 and 2. A column that others span keeps its own length on the diagonal, so that R can be
    inverted.

    Parameters
    ----------
    columns : ndarray, shape (n, q)
        Rows already scaled by sqrt(w).

    Returns
    -------
    ndarray, shape (q, q)
        R, with a positive diagonal.

    Examples
    --------
    >>> reference_scale(np.array([[1.0, 1.0], [1.0, 3.0]])).round(12).tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """
    n, q = columns.shape
    R = np.zeros((q, q))
    if q == 0:
        return R
    upper = np.linalg.qr(columns, mode="r") / np.sqrt(n)
    R[: len(upper)] = upper
    length = np.sqrt(np.sum(R * R, axis=0))
    R *= np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]
    # A power of two divides exactly: subtracting multiples of an intercept then rounds nothing.
    R[0] *= 2.0 ** np.rint(np.log2(R[0, 0])) / R[0, 0] if R[0, 0] > 0.0 else 1.0
    dependent = np.diag(R) <= DEPENDENT * length
    R[dependent] = 0.0
    R[dependent, dependent] = np.where(length > 0.0, length, 1.0)[dependent]
    return R + 0.0


def to_reference(columns: Floats, scale: Floats) -> Floats:
    """Compute columns R^-1.

    Parameters
    ----------
    columns : ndarray, shape (n, q)
        The columns.
    scale : ndarray, shape (q, q)
        R.

    Returns
    -------
    ndarray, shape (n, q)
        The columns in R's coordinates, C-ordered.

    Examples
    --------
    >>> to_reference(np.array([[2.0], [4.0]]), np.array([[2.0]])).tolist()
    [[1.0], [2.0]]
    """
    if columns.shape[1] == 0:
        return np.zeros(columns.shape)
    # R'Y = columns' is the same system, and the transpose of a C-ordered array is free.
    return np.asarray(dtrsm(1.0, scale, columns.T, side=0, trans_a=1)).T.copy(order="C")


def reference_columns(columns: Floats, root: Floats | None) -> tuple[Floats, Floats]:
    """Return columns in well-conditioned coordinates, their rows weighted.

    Parameters
    ----------
    columns : ndarray, shape (n, q)
        The columns, not weighted.
    root : ndarray, shape (n,), or None
        Square roots of weights.

    Returns
    -------
    reference : ndarray, shape (n, q)
        diag(root) columns R^-1. Weights come last, since products with them round.
    scale : ndarray, shape (q, q)
        R.

    Examples
    --------
    >>> reference, scale = reference_columns(np.array([[1.0, 1.0], [1.0, 3.0]]), None)
    >>> reference.round(12).tolist()
    [[1.0, -1.0], [1.0, 1.0]]
    """
    if root is None:
        scale = reference_scale(columns)
        return to_reference(columns, scale), scale
    scale = reference_scale(columns * root[:, None])
    return to_reference(columns, scale) * root[:, None], scale


def pair_sums(
    first_index: Ints, first: Floats, second_index: Ints, second: Floats
) -> tuple[Ints, Ints, Floats]:
    """Compute Z_i'Z_j over the rows of each pair of levels that occurs.

    Parameters
    ----------
    first_index, second_index : ndarray of int64, shape (n,)
        Each row's level of either factor.
    first, second : ndarray, shape (n, q)
        Each factor's columns.

    Returns
    -------
    rows, cols : ndarray of int64, shape (n_pairs,)
        The pairs, in lexicographic order.
    values : ndarray, shape (n_pairs, q_first, q_second)
        Their cross-products.

    Examples
    --------
    >>> one = np.ones((3, 1))
    >>> rows, cols, values = pair_sums(np.array([0, 1, 1]), one, np.array([0, 0, 0]), one)
    >>> rows.tolist(), cols.tolist(), values.ravel().tolist()
    ([0, 1], [0, 0], [1.0, 2.0])
    """
    width = int(second_index.max(initial=-1)) + 1
    keys, place = np.unique(first_index * width + second_index, return_inverse=True)
    values = sum_pairs(place, first, second, len(keys))
    rows, cols = np.divmod(keys, width)
    return rows, cols, values


# Numbers in the levels' own cross-products of fixed effects: 16 MB.
_MOST_OWN = 2_000_000


def _weighted_response(design: Design) -> tuple[Floats | None, Floats]:
    y = design.gaussian_response
    if design.offset is not None:
        y = y - design.offset
    if len(y) == 0:
        raise DataError("The design has no rows.")
    if not np.all(np.isfinite(y)):
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        what = f"Response {design.response!r}"
        raise DataError(f"{what} (less its offset) is {y[row]} in row {row}; drop such rows first.")
    _require_finite_columns(design.X, design.coef, "Fixed-effect column")
    for factor in design.factors:
        kind = f"Random-effect column of factor {factor.name!r},"
        _require_finite_columns(factor.columns, factor.terms, kind)
    if design.weights is None:
        return None if design.likweights is None else np.sqrt(design.likweights), y
    bad = np.flatnonzero(~((design.weights > 0.0) & np.isfinite(design.weights)))
    if len(bad):
        msg = (
            f"The weight of row {bad[0]} is {design.weights[bad[0]]:g}, and {len(bad)} of "
            f"{len(y)} weights are not positive finite numbers. A weight w means "
            "Var(e) = sigma^2 / w: drop rows that should not count."
        )
        raise DataError(msg)
    counted = design.weights if design.likweights is None else design.weights * design.likweights
    return np.sqrt(counted), y


def log_weights(design: Design) -> Floats | None:
    """Return log w of each row, as often as it counts; None without weights."""
    if design.weights is None:
        return None
    logs = 2.0 * np.log(np.sqrt(design.weights))
    return logs if design.likweights is None else np.asarray(logs * design.likweights)


def _project(
    X: Floats, Xs: Floats, y: Floats, root: Floats | None, scale: Floats
) -> tuple[Floats, Floats]:
    """Return coefficients and residuals of y on columns that are orthogonal but for rounding."""
    squares = np.einsum("ij,ij->j", Xs, Xs)
    slope = np.zeros(Xs.shape[1])
    # Weights come last here too: a weighted response with mean 1e6 would round its deviations.
    plain = Xs if root is None else to_reference(X, scale)
    # The level goes first: a response with mean 1e6 then keeps the digits of its deviations.
    for part in (slice(0, 1), slice(1, None)):
        weighted = y if root is None else y * root
        slope[part] = (Xs[:, part].T @ weighted) / np.where(squares[part] > 0, squares[part], 1.0)
        y = y - plain[:, part] @ slope[part]
    return slope, y if root is None else y * root


def _require_finite_columns(columns: Floats, names: tuple[str, ...], kind: str) -> None:
    total = columns.sum(axis=0)  # one pass; NaN and infinities survive a sum
    for name, value in zip(names, total, strict=True):
        if not np.isfinite(value):
            raise DataError(f"{kind} {name!r} has values that are not finite numbers.")


def _factor_sums(
    factor: GroupingFactor, Zs: Floats, fixed: Floats, M: Floats, logs: Floats | None
) -> GramFactor:
    m, width = factor.n_indexed, fixed.shape[1]
    within, with_fixed = sum_by_level(factor.index, Zs, fixed, m)
    own = None
    if m * width**2 <= _MOST_OWN:
        own, _ = sum_by_level(factor.index, fixed, fixed[:, :0], m)
    return GramFactor(
        name=factor.name,
        levels=np.arange(m).astype(str) if factor.has_members else factor.levels,
        terms=factor.terms,
        blocks=factor.blocks,
        structures=factor.structures,
        scale=M,
        within=within,
        with_fixed=with_fixed,
        counts=np.bincount(factor.index, minlength=m),
        fixed=own,
        log_weights=None if logs is None else np.bincount(factor.index, logs, minlength=m),
        arms=factor.arms,
    )
