"""Inner products of the parts of V = sum_a theta_a V_a, from cross-products.

With M = I - X (X'X)^-1 X' the restricted likelihood knows of variances what tr(M V_a M V_b) leaves
apart: where a combination of the V_a has no length, the data do not tell it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import lower_entries

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.gram.gram import Gram

# Of pairs of levels, and of products of all pairs of columns, beyond which a pair is written out.
_FEW_PAIRS, _MANY_PRODUCTS = 1000, 10**6


@dataclass(frozen=True)
class Columns:
    """A factor's columns in orthogonal coordinates, set by set, with X's part taken apart.

    Attributes
    ----------
    turn : ndarray, shape (q, q)
        C with Z R^-1 = Zs C.
    root : ndarray, shape (q, q)
        R, block by block.
    rows, cols : ndarray of int, shape (n_entries,)
        Place of each variance and covariance.
    within : ndarray, shape (m, q, q)
        Their cross-products, level by level.
    along : ndarray, shape (m, q, p)
        Their cross-products F_i with orthonormal columns that span X.
    """

    turn: Floats
    root: Floats
    rows: Ints
    cols: Ints
    within: Floats
    along: Floats

    @cached_property
    def moved(self) -> Floats:
        """sum_i F_i[r, a] F_i[c, b] at [r, c, a, b], shape (q, q, p, p)."""
        m, q, p = self.along.shape
        flat = self.along.reshape(m, -1)
        found: Floats = (flat.T @ flat).reshape(q, p, q, p).transpose(0, 2, 1, 3)
        return found

    def moved_trace(self) -> Floats:
        """sum_i F_i F_i', shape (q, q)."""
        return np.asarray(np.einsum("iqa,ira->qr", self.along, self.along, optimize=True))


def orthogonal(factor: GramFactor, unit: Floats) -> Columns:
    """Turn a factor's columns; Xs @ unit are orthonormal."""
    q, p = len(factor.terms), len(unit)
    turn, root = np.eye(q), factor.scale
    rows, cols = lower_entries(q)
    within, along = factor.within, factor.with_fixed[:, :, :p] @ unit
    sets = covariance_of(factor).independent
    if len(sets) > 1:
        turn, root = np.zeros((q, q)), np.zeros((q, q))
        places = []
        for columns in sets:
            at = np.array(columns)
            R = np.linalg.qr(factor.scale[:, at], mode="r")
            turn[:, at] = solve_triangular(R, factor.scale[:, at].T, trans=1).T
            root[np.ix_(at, at)] = R
            places.append(at[np.array(lower_entries(len(at)))])
        rows, cols = np.concatenate(places, axis=1)
        within, along = turn.T @ within @ turn, turn.T @ along
    return Columns(turn, root, rows, cols, within, along)


def inner_products(gram: Gram, columns: list[Columns]) -> tuple[Floats, Floats]:
    """Compute tr(M V_a M V_b), residual variance last, and tr(V_a V_a)."""
    starts = np.cumsum([0, *(len(own.rows) for own in columns)])
    products = np.zeros((starts[-1] + 1,) * 2)
    sizes = np.empty(starts[-1] + 1)
    products[-1, -1], sizes[-1] = gram.n - len(gram.coef), gram.n
    for k, own in enumerate(columns):
        at = slice(starts[k], starts[k + 1])
        mine, theirs, shared = gram.own_blocks(k)
        shared = own.turn.T @ shared @ own.turn
        if _are_few(own, own):
            products[at, at] = _of_few(own, own, mine, theirs, shared)
            sizes[at] = _picked(shared, own, own).diagonal()
        else:
            unmixed = _sum_products(shared, shared)
            sizes[at] = _at(unmixed, own, own).diagonal()
            fitted = own.along[mine] @ np.swapaxes(own.along[theirs], 1, 2)
            products[at, at] = _at(_off_fixed(own, own, shared, fitted, unmixed), own, own)
        left = np.sum(own.within, axis=0) - own.moved_trace()
        products[at, -1] = products[-1, at] = left[own.rows, own.cols]
        for m, other in enumerate(columns[:k]):
            to = slice(starts[m], starts[m + 1])
            mine, theirs, shared = gram.pair_of(k, m).seen_from(k)
            shared = own.turn.T @ shared @ other.turn
            if _are_few(own, other):
                products[at, to] = _of_few(own, other, mine, theirs, shared)
                products[to, at] = products[at, to].T
                continue
            fitted = own.along[mine] @ np.swapaxes(other.along[theirs], 1, 2)
            off = _off_fixed(own, other, shared, fitted, _sum_products(shared, shared))
            products[at, to] = _at(off, own, other)
            products[to, at] = products[at, to].T
    return products, sizes


def _are_few(own: Columns, other: Columns) -> bool:
    """Return whether few pairs of levels have many columns, as those of smooths by a category."""
    pairs = len(own.within) * len(other.within)
    columns = own.within.shape[1] * other.within.shape[1]
    return pairs <= _FEW_PAIRS and columns**2 > _MANY_PRODUCTS


def _of_few(own: Columns, other: Columns, mine: Ints, theirs: Ints, shared: Floats) -> Floats:
    """Compute tr(M V_a M V_b) where pairs of levels are few: each one's D is written out."""
    D = -np.einsum("iqa,jra->ijqr", own.along, other.along, optimize=True)
    np.add.at(D, (mine, theirs), shared)
    return _picked(D.reshape(-1, *D.shape[2:]), own, other)


def _picked(blocks: Floats, own: Columns, other: Columns) -> Floats:
    """Sum (B[r, s] B[c, t] + B[r, t] B[c, s]) / 2 over blocks B, for each two entries."""
    r, c, s, t = own.rows[:, None], own.cols[:, None], other.rows, other.cols
    total = np.zeros((len(own.rows), len(other.rows)))
    for B in blocks:
        total += (B[r, s] * B[c, t] + B[r, t] * B[c, s]) / 2.0
    return total


def _off_fixed(
    own: Columns, other: Columns, shared: Floats, fitted: Floats, unmixed: Floats
) -> Floats:
    """Compute sum_ij D_ij[r, s] D_ij[c, t], D = Z_i' M Z_j, at [r, s, c, t].

    D = C - F_i F_j', where C, `shared`, is zero but for pairs of levels that share rows, of which
    `fitted` are F_i F_j'.
    """
    q, width = len(own.moved), len(other.moved)
    mixed = _sum_products(shared, fitted)
    everywhere = own.moved.reshape(q * q, -1) @ other.moved.reshape(width * width, -1).T
    total: Floats = unmixed - mixed - mixed.transpose(2, 3, 0, 1)
    return total + everywhere.reshape(q, q, width, width).transpose(0, 2, 1, 3)


def _sum_products(a: Floats, b: Floats) -> Floats:
    """Compute sum_i a_i[r, s] b_i[c, t] at [r, s, c, t]."""
    q, width = a.shape[1:]
    flat = a.reshape(len(a), -1).T @ b.reshape(len(b), -1)
    return flat.reshape(q, width, q, width)


def _at(products: Floats, own: Columns, other: Columns) -> Floats:
    """Pick tr(V_rc V_st) = (rs, ct) / 2 + (rt, cs) / 2 for each two entries."""
    r, c, s, t = own.rows[:, None], own.cols[:, None], other.rows, other.cols
    picked: Floats = (products[r, s, c, t] + products[r, t, c, s]) / 2.0
    return picked
