"""Compiled conditionals: moments of the effects given Lambda, and exact joint draws of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.densities import (
    fixed_in_working,
    fixed_posterior,
    prior_in_working,
    to_working,
)
from bayeslmm.kernels.elimination.eliminate import copy_square
from bayeslmm.kernels.elimination.factorization import factorize, linked_entry
from bayeslmm.kernels.elimination.solve import (
    back_substitute,
    joint_modes,
    node_column,
    selected_inverse,
)
from bayeslmm.kernels.lapack import dense_half_solve
from bayeslmm.kernels.layout import (
    COLUMN,
    FACTOR,
    LAMBDA,
    LEVELS,
    NODE,
    PANEL,
    START,
    WIDTH,
    Layout,
    Working,
    open_layout,
    open_working,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@linked_entry
def condition(
    ints: Ints, floats: Floats, lam: Floats
) -> tuple[bool, float, Floats, Floats, Floats]:
    """Factor Q; return T, the joint modes U and each level's own block of Q^-1.

    Returns
    -------
    ok : bool
        False where a pivot overflowed.
    logdet : float
        log|V|.
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r].
    joint : ndarray, shape (n_columns, p + 1)
        U = Lambda'Z'V^-1 [Xs r], in the plan's order of columns.
    blocks : ndarray
        The q * q blocks of Q^-1, level by level in the same order.
    """
    lay = open_layout(ints, floats)
    scaled = to_working(open_working(ints, floats), lam, False)
    ok, logdet, T, panel, border, right = factorize(ints, floats, scaled)
    if not ok:
        return False, logdet, T, right, panel
    joint = joint_modes(lay, panel, border, right)
    inverse = selected_inverse(lay, panel, border)
    return True, logdet, T, joint, own_blocks(lay, inverse, border)


@inner
def own_blocks(lay: Layout, inverse: Floats, border: Floats) -> Floats:
    """Collect each level's own block of Q^-1 from panels and border."""
    total, at = 0, 0
    for f in range(lay.factors.shape[0]):
        total += lay.factors[f, LEVELS] * lay.factors[f, WIDTH] ** 2
    out = np.empty(total)
    first = lay.factors[lay.n_chain, COLUMN] if len(lay.border_factor) > 0 else 0
    for f in range(lay.factors.shape[0]):
        q = lay.factors[f, WIDTH]
        for i in range(lay.factors[f, LEVELS]):
            for r in range(q):
                for c in range(q):
                    if f < lay.n_chain:
                        node = lay.factors[f, NODE] + i
                        spot = lay.nodes[node, START] + r * lay.nodes[node, PANEL] + c
                        out[at] = inverse[spot]
                    else:
                        column = lay.factors[f, COLUMN] - first + i * q
                        out[at] = border[column + r, column + c]
                    at += 1
    return out


@inner
def draw_fixed(
    working: Working, T: Floats, sigma: float, mean: Floats, precision: Floats, z: Floats
) -> Floats:
    """Draw R (beta - origin) from its conditional, given standard normals z; shape (p,)."""
    p = len(z)
    inner_mean, inner_precision = prior_in_working(working, mean, precision)
    beta, _, L, _, rank = fixed_posterior(T, sigma, inner_mean, inner_precision)
    out = np.empty(p)
    for i in range(p - 1, -1, -1):
        total = z[i]
        for k in range(i + 1, p):
            total -= L[k, i] * out[k]
        out[i] = total / L[i, i] if rank == p else math.nan
    for i in range(p):
        out[i] += beta[i, 0]
    return out


@inner
def solve_together(
    lay: Layout,
    panel: Floats,
    border: Floats,
    right: Floats,
    beta: Floats,
    sigma: Floats,
    random: Floats,
) -> Floats:
    """Solve L' v = Y (-beta, 1) + sigma z for all rows z of `random`; shape (n_columns, rows)."""
    count, nb, p = len(sigma), len(lay.border_factor), beta.shape[1]
    out, side = np.empty((random.shape[1], count)), np.empty((count, nb))
    first = random.shape[1] - nb
    for node in range(lay.nodes.shape[0] - 1):
        column, ld = node_column(lay, node), lay.nodes[node, PANEL]
        for r in range(lay.factors[lay.nodes[node, FACTOR], WIDTH]):
            last = lay.nodes[node, START] + (r + 1) * ld - 1
            for d in range(count):
                total = panel[last] + sigma[d] * random[d, column + r]
                for j in range(p):
                    total -= panel[last - p + j] * beta[d, j]
                out[column + r, d] = total
    if nb > 0:
        for d in range(count):
            for i in range(nb):
                total = right[p, i] + sigma[d] * random[d, first + i]
                for j in range(p):
                    total -= right[j, i] * beta[d, j]
                side[d, i] = total
        dense_half_solve(border, side, True)
        for d in range(count):
            for i in range(nb):
                out[first + i, d] = side[d, i]
    back_substitute(lay, panel, out)
    return out


@inner
def spread_effects(lay: Layout, lam: Floats, v: Floats, random: Floats) -> None:
    """Write b = Lambda v for every column of v into the rows of `random`."""
    for f in range(lay.factors.shape[0]):
        q, at, column = lay.factors[f, WIDTH], lay.factors[f, LAMBDA], lay.factors[f, COLUMN]
        for d in range(v.shape[1]):
            for i in range(lay.factors[f, LEVELS]):
                for r in range(q):
                    total = 0.0
                    for k in range(q):
                        total += lam[at + r * q + k] * v[column + i * q + k, d]
                    random[d, column + i * q + r] = total


@inner
def same(a: Floats, b: Floats) -> bool:
    """Return whether two packed factors are equal, so that a factorization can be used again."""
    for i in range(len(a)):
        if a[i] != b[i]:
            return False
    return True


@linked_entry
def draw_joint(
    ints: Ints,
    floats: Floats,
    lams: Floats,
    starts: Ints,
    sigmas: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
    fixed: Floats,
    random: Floats,
    fixed_given: bool,
    want_reduced: bool,
) -> tuple[Floats, Floats]:
    """Replace standard normals by exact joint draws of beta and all b, cell by cell.

    The draws of a cell share one Lambda and are solved for together; consecutive cells with equal
    Lambda share the factorization.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    lams : ndarray, shape (n_cells, n_lambda)
        Packed relative factors.
    starts : ndarray of int64, shape (n_cells + 1,)
        Draws ``starts[c]`` to ``starts[c + 1]`` belong to cell c.
    sigmas : ndarray, shape (n_draws,)
        Residual standard deviations.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Normal prior of beta; zero precision is flat.
    fixed : ndarray, shape (n_draws, p)
        Standard normals in, draws of beta out.
    random : ndarray, shape (n_draws, n_columns)
        Standard normals in, draws of b out, in the plan's order of columns; NaN where Q cannot
        be factored.
    fixed_given : bool
        True where `fixed` holds beta itself: it stays, and only b is drawn, given beta.
    want_reduced : bool
        Otherwise both arrays returned are empty.

    Returns
    -------
    logdet : ndarray, shape (n_cells,)
        log|V|; -inf where Q cannot be factored.
    cross : ndarray, shape (n_cells, p + 1, p + 1)
        T in the coordinates of the Gram.
    """
    lay, working = open_layout(ints, floats), open_working(ints, floats)
    p = len(working.origin)
    kept = len(lams) if want_reduced else 0
    logdets, cross = np.empty(kept), np.empty((kept, p + 1, p + 1))
    for cell in range(len(lams)):
        first, end = starts[cell], starts[cell + 1]
        if cell == 0 or not same(lams[cell], lams[cell - 1]):
            ok, logdet, T, panel, border, right = factorize(
                ints, floats, to_working(working, lams[cell], False)
            )
        if want_reduced:
            logdets[cell] = logdet if ok else -math.inf
            copy_square(T, cross[cell])
        # Loops: an array assigned to another's row brings two seconds of error messages with it.
        beta = np.empty((end - first, p))
        for d in range(first, end):
            if fixed_given:
                drawn = fixed_in_working(working, fixed[d])
            else:
                drawn = draw_fixed(working, T, sigmas[d], prior_mean, prior_precision, fixed[d])
            for i in range(p):
                beta[d - first, i] = drawn[i]
            if fixed_given:
                continue
            for i in range(p):
                fixed[d, i] = working.origin[i] if ok else math.nan
                for k in range(p):
                    fixed[d, i] += working.R_inverse[i, k] * drawn[k]
        if not ok:
            random[first:end] = math.nan
            continue
        v = solve_together(lay, panel, border, right, beta, sigmas[first:end], random[first:end])
        spread_effects(lay, lams[cell], v, random[first:end])
    return logdets, cross


# Letters of the arguments of `draw_joint`, see `compiler.words`.
DRAW_ARGUMENTS = "q1 d1 d2 q1 d1 d1 d2 d2 d2 ? ?"


def compile_draws() -> None:
    """Compile the draws of effects, which need the factorization only."""
    draw_joint.compile(DRAW_ARGUMENTS)  # type: ignore[attr-defined]
