"""Rows of data beside an elimination plan: sums of cross-products with weights, and of scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import entry, inner, inner_fast
from bayeslmm.kernels.families.by_row import SAME_IN_ALL, PhiRows, phi_at
from bayeslmm.kernels.families.codes import BINOMIAL_LOGIT, POISSON
from bayeslmm.kernels.families.elementary import quick_exp
from bayeslmm.kernels.families.rows import constant_at, row_at
from bayeslmm.kernels.layout import (
    ABOVE,
    BLOCK,
    COLUMN,
    FIRST,
    LAMBDA,
    LEVELS,
    NODE,
    PANEL,
    SECOND,
    START,
    TOUCH,
    WIDTH,
    Layout,
    open_layout,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


# Rows whose product of factors up to 2 is a number.
_BLOCK = 512


class Rows(NamedTuple):
    """Rows y_r ~ family(eta_r), eta = X beta + Z b + offset, and where a plan has their sums.

    Factors stand in the plan's order: the chain, finest first, then the border.
    """

    family: int  # `families.codes`
    single: bool  # whether `known` is one in every row
    constant: float  # what does not depend on eta, where it does not depend on phi either
    y: Floats  # (n,)
    known: Floats  # (n,): weights or trials
    offset: Floats  # (n,)
    fixed: Floats  # (p, n): X'
    random: Floats  # (sum of q, n): the columns of all Z
    level: Ints  # (K, n)
    beside: Ints  # (n_chain * n_border_factors, n): columns of the nodes' panels
    block: Ints  # (pairs of border factors, n): places in the border's blocks
    ints: Ints  # the plan's
    floats: Floats  # the plan's; their cross-products are those of any weights
    phi: PhiRows = SAME_IN_ALL  # how the family's parameters follow from a point's numbers


@inner
def first_of_border(lay: Layout) -> int:
    """Return the place of the border's first column in a joint solution."""
    if lay.n_chain < lay.factors.shape[0]:
        return int(lay.factors[lay.n_chain, COLUMN])
    last = lay.factors[lay.n_chain - 1]
    return int(last[COLUMN] + last[LEVELS] * last[WIDTH])


@inner
def n_random(lay: Layout) -> int:
    """Count the columns of all random effects."""
    return first_of_border(lay) + len(lay.border_factor)


@inner
def _ascending(keys: Ints) -> Ints:
    """Return what sorts keys, by merging: Numba's own takes lists, which shipped code lacks."""
    n, width = len(keys), 1
    order, merged = np.arange(n), np.empty(n, np.int64)
    while width < n:
        for lo in range(0, n, 2 * width):
            i, middle, hi = lo, min(lo + width, n), min(lo + 2 * width, n)
            j = middle
            for k in range(lo, hi):
                if j == hi or (i < middle and keys[order[i]] <= keys[order[j]]):
                    merged[k] = order[i]
                    i += 1
                else:
                    merged[k] = order[j]
                    j += 1
        order, merged = merged, order
        width *= 2
    return order


@entry
def locate(ints: Ints, floats: Floats, level: Ints) -> tuple[Ints, Ints]:
    """Find where each row's cross-products belong.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    level : ndarray of int64, shape (K, n)
        Each row's levels, factors in the plan's order.

    Returns
    -------
    beside, block : ndarray of int64
        As in `Rows`; -1 where the plan has no place for them.
    """
    lay = open_layout(ints, floats)
    K, n = level.shape
    n_border, first = K - lay.n_chain, first_of_border(lay)
    beside = np.full((lay.n_chain * n_border, n), -1)
    block = np.full((n_border * (n_border + 1) // 2, n), -1)
    for r in range(n):
        for f in range(lay.n_chain):
            node = lay.factors[f, NODE] + level[f, r]
            before = lay.factors[f, WIDTH] + lay.factors[f, ABOVE]
            for h in range(n_border):
                g = lay.n_chain + h
                column = lay.factors[g, COLUMN] - first + level[g, r] * lay.factors[g, WIDTH]
                begin, end = lay.nodes[node, TOUCH], lay.nodes[node + 1, TOUCH]
                at = begin + np.searchsorted(lay.touched[begin:end], column)
                if at < end and lay.touched[at] == column:
                    beside[f * n_border + h, r] = before + at - begin
    nb = len(lay.border_factor)
    order = _ascending(lay.pairs[:, FIRST] * nb + lay.pairs[:, SECOND])
    keys = np.empty(len(order), np.int64)
    for k in range(len(order)):
        keys[k] = lay.pairs[order[k], FIRST] * nb + lay.pairs[order[k], SECOND]
    for r in range(n):
        k = 0
        for h in range(n_border):
            g = lay.n_chain + h
            one = lay.factors[g, COLUMN] - first + level[g, r] * lay.factors[g, WIDTH]
            for i in range(h + 1):
                e = lay.n_chain + i
                two = lay.factors[e, COLUMN] - first + level[e, r] * lay.factors[e, WIDTH]
                key = one * nb + two
                at = np.searchsorted(keys, key)
                if at < len(keys) and keys[at] == key:
                    block[k, r] = lay.pairs[order[at], BLOCK]
                k += 1
    return beside, block


@inner_fast
def times_blocks(lay: Layout, lam: Floats, source: Floats, target: Floats, turned: bool) -> None:
    """Write target = Lambda source, or Lambda' source where `turned`, level by level."""
    for f in range(lay.factors.shape[0]):
        q, at, column = lay.factors[f, WIDTH], lay.factors[f, LAMBDA], lay.factors[f, COLUMN]
        for i in range(lay.factors[f, LEVELS]):
            start = column + i * q
            for r in range(q):
                total = 0.0
                for k in range(q):
                    entry_at = at + (k * q + r if turned else r * q + k)
                    total += lam[entry_at] * source[start + k]
                target[start + r] = total


@inner_fast
def predictors(rows: Rows, lay: Layout, b: Floats, beta: Floats, eta: Floats) -> None:
    """Write X beta + Z b, without the offset."""
    n, at = len(eta), 0
    for r in range(n):
        eta[r] = 0.0
    for j in range(len(beta)):
        value = beta[j]
        for r in range(n):
            eta[r] += value * rows.fixed[j, r]
    for f in range(rows.level.shape[0]):
        q, first = lay.factors[f, WIDTH], lay.factors[f, COLUMN]
        for k in range(q):
            column = first + k
            for r in range(n):
                eta[r] += rows.random[at, r] * b[column + rows.level[f, r] * q]
            at += 1


@inner_fast
def score(rows: Rows, lay: Layout, slope: Floats, d_b: Floats, d_beta: Floats) -> None:
    """Write Z' and X' times the rows' derivatives."""
    n, at = len(slope), 0
    for i in range(len(d_b)):
        d_b[i] = 0.0
    for j in range(len(d_beta)):
        total = 0.0
        for r in range(n):
            total += slope[r] * rows.fixed[j, r]
        d_beta[j] = total
    for f in range(rows.level.shape[0]):
        q, first = lay.factors[f, WIDTH], lay.factors[f, COLUMN]
        for k in range(q):
            column = first + k
            for r in range(n):
                d_b[column + rows.level[f, r] * q] += slope[r] * rows.random[at, r]
            at += 1


@inner
def row_terms(rows: Rows, phi: Floats, eta: Floats, slope: Floats, weight: Floats) -> float:
    """Write each row's derivative and weight at `eta` (without offset); return the sum of log p.

    The parameters are a table of one row or of all rows, see `families.by_row`. What does not
    depend on eta is left out.
    """
    if rows.family == BINOMIAL_LOGIT and rows.single:
        return binary_terms(rows, eta, slope, weight)
    if rows.family == POISSON:
        return poisson_terms(rows, eta, slope, weight)
    total, own, each = 0.0, phi_at(phi, 0), phi.shape[0] > 1
    for r in range(len(eta)):
        if each:
            own = phi_at(phi, r)
        value, slope[r], weight[r] = row_at(
            rows.family, eta[r] + rows.offset[r], rows.y[r], rows.known[r], own
        )
        total += value
    return total


@inner_fast
def binary_terms(rows: Rows, eta: Floats, slope: Floats, weight: Floats) -> float:
    """Do what `row_at` does for single trials with logit, in vector instructions.

    Of the rows' logarithms log(1 + exp(-|eta|)) only one is taken for each block of rows: of the
    product.
    """
    total, first, n = 0.0, 0, len(eta)
    while first < n:
        end, product, part = min(first + _BLOCK, n), 1.0, 0.0
        for r in range(first, end):
            x, y = eta[r] + rows.offset[r], rows.y[r]
            t = quick_exp(-abs(x))
            large = 1.0 / (1.0 + t)
            small = t * large
            mu = large if x > 0.0 else small
            slope[r] = (1.0 - y) * -mu + y * (small if x > 0.0 else large)
            weight[r] = large * small
            part += y * x - max(x, 0.0)
            product *= 1.0 + t
        total += part - math.log(product)
        first = end
    return total


@inner_fast
def poisson_terms(rows: Rows, eta: Floats, slope: Floats, weight: Floats) -> float:
    """Do what `row_at` does for counts with a log link, in vector instructions."""
    total = 0.0
    for r in range(len(eta)):
        x = eta[r] + rows.offset[r]
        mu = quick_exp(x)
        slope[r] = rows.y[r] - mu
        weight[r] = mu
        total += rows.y[r] * x - mu
    return total


@inner
def row_constants(rows: Rows, phi: Floats) -> float:
    """Return what `row_terms` leaves out."""
    if phi.shape[1] == 0:
        return rows.constant
    return sum_of_constants(rows, phi)


@inner
def sum_of_constants(rows: Rows, phi: Floats) -> float:
    """Sum over rows what does not depend on eta."""
    total = 0.0
    for r in range(len(rows.y)):
        total += constant_at(rows.family, rows.y[r], rows.known[r], phi_at(phi, r))
    return total


@entry
def constant_of(rows: Rows) -> float:
    """Return `Rows.constant` of a family without parameters."""
    return sum_of_constants(rows, np.empty((1, 0)))


@inner_fast
def weighted_sums(rows: Rows, lay: Layout, weight: Floats, right: Floats) -> None:
    """Overwrite the layout's cross-products by those of rows with weights.

    Parameters
    ----------
    rows : Rows
        The rows.
    lay : Layout
        Of the floats to overwrite.
    weight : ndarray, shape (n,)
        w.
    right : ndarray, shape (n,)
        What stands for w y on the right-hand side; y's own square is left at zero.
    """
    lay.border_fixed[:] = 0.0
    lay.panels[:] = 0.0
    lay.blocks[:] = 0.0
    p, n, at = rows.fixed.shape[0], len(weight), 0
    for i in range(p):
        for j in range(i + 1):
            total = 0.0
            for r in range(n):
                total += weight[r] * rows.fixed[i, r] * rows.fixed[j, r]
            lay.cross[i, j] = total
            lay.cross[j, i] = total
        total = 0.0
        for r in range(n):
            total += right[r] * rows.fixed[i, r]
        lay.cross[i, p] = total
        lay.cross[p, i] = total
    for f in range(rows.level.shape[0]):
        for k in range(lay.factors[f, WIDTH]):
            if f < lay.n_chain:
                add_to_panels(rows, lay, f, k, at, weight, right)
            else:
                add_to_border(rows, lay, f, k, at, weight, right)
        at += lay.factors[f, WIDTH]


@inner_fast
def add_to_panels(
    rows: Rows, lay: Layout, f: int, k: int, at: int, weight: Floats, right: Floats
) -> None:
    """Add all rows to the panels of one chain factor's k-th column; its first is at `at`."""
    n_chain, n_border = lay.n_chain, rows.level.shape[0] - lay.n_chain
    p, first = rows.fixed.shape[0], lay.factors[f, NODE]
    for r in range(len(weight)):
        node, z = first + rows.level[f, r], rows.random[at + k, r]
        v, spot = weight[r] * z, at
        line = lay.nodes[node, START] + k * lay.nodes[node, PANEL]
        for g in range(f, n_chain):
            for _ in range(lay.factors[g, WIDTH]):
                lay.panels[line + spot - at] += v * rows.random[spot, r]
                spot += 1
        for h in range(n_border):
            beside = line + rows.beside[f * n_border + h, r]
            for c in range(lay.factors[n_chain + h, WIDTH]):
                lay.panels[beside + c] += v * rows.random[spot, r]
                spot += 1
        end = line + lay.nodes[node, PANEL] - p - 1
        for j in range(p):
            lay.panels[end + j] += v * rows.fixed[j, r]
        lay.panels[end + p] += right[r] * z


@inner_fast
def add_to_border(
    rows: Rows, lay: Layout, f: int, k: int, at: int, weight: Floats, right: Floats
) -> None:
    """Add all rows to the border's blocks of one factor's k-th column; its first is at `at`."""
    n_chain, p, before = lay.n_chain, rows.fixed.shape[0], 0
    for g in range(n_chain):
        before += lay.factors[g, WIDTH]
    q, h = lay.factors[f, WIDTH], f - n_chain
    first = lay.factors[f, COLUMN] - lay.factors[n_chain, COLUMN] + k
    for r in range(len(weight)):
        z, spot = rows.random[at + k, r], before
        v, line = weight[r] * z, first + rows.level[f, r] * q
        for j in range(p):
            lay.border_fixed[line, j] += v * rows.fixed[j, r]
        lay.border_fixed[line, p] += right[r] * z
        for i in range(h + 1):
            wide = lay.factors[n_chain + i, WIDTH]
            block = rows.block[h * (h + 1) // 2 + i, r] + k * wide
            for c in range(wide):
                lay.blocks[block + c] += v * rows.random[spot, r]
                spot += 1
