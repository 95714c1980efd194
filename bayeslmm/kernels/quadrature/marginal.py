"""Log marginal likelihoods with the effects of one factor integrated out, and their gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.by_row import lent, open_phi, set_number_slopes, set_phi
from bayeslmm.kernels.quadrature.level import (
    MODE,
    MODE_2,
    QUICKLY,
    SPLIT,
    TOTAL,
    level_entry,
    open_work,
    set_phi_words,
    solve_level,
    solved_grid,
)
from bayeslmm.kernels.quadrature.rows import (
    columns_of,
    level_code,
    set_constants,
    set_predictors,
)
from bayeslmm.kernels.quadrature.slopes import add_level_phi_slopes, add_slopes, set_fixed_slopes
from bayeslmm.kernels.quadrature.together import (
    INTEGRAL,
    LATE,
    NODE_Z,
    can_split,
    find_modes_together,
    open_levels,
    open_nodes,
    set_densities_together,
    set_integrals,
    suits_together,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule


@inner_ieee
def _integrate_together(
    code: int,
    phi: Floats,
    starts: Ints,
    table: Floats,
    modes: Floats,
    tolerance: float,
    levels: Floats,
    nodes: Floats,
    places: Ints,
) -> bool:
    """Integrate all levels but those that are late; return whether that can be done."""
    find_modes_together(code, phi, starts, table, modes, tolerance, levels)
    farthest = nodes[NODE_Z, nodes.shape[1] - 1]
    split, most = can_split(code, phi, table, levels, farthest)
    if split:
        set_densities_together(code, phi, starts, table, levels, nodes, places, most)
        set_integrals(levels)
    return split


@level_entry
def log_marginals(
    rows: LevelRows,
    rule: Rule,
    Ls: Floats,
    betas: Floats,
    numbers: Floats,
    modes: Floats,
    tolerance: float,
    task: int,
    by_level: Floats,
    out: Floats,
) -> None:
    """Compute log p(y | L, beta, phi(numbers)) at many points, one by one.

    Parameters
    ----------
    rows : LevelRows
        The data.
    rule : Rule
        Nodes and weights.
    Ls, betas, numbers : ndarray, shapes (s, q, q), (s, p), (s, m)
        Points: G = L L', fixed effects, and what the family's parameters follow from (`PhiRows`).
    modes : ndarray, shape (J, q)
        Where to begin the search for each level's mode; left as they are.
    tolerance : float
        Of Newton's last step, see `climb`.
    task : int
        `level.QUICKLY` or `level.ROW_BY_ROW`.
    by_level : ndarray, shape (s, J) or (0, J)
        Filled with each level's log marginal likelihood where it has rows.
    out : ndarray, shape (s,)
        Filled with their sums; -inf where one cannot be computed.
    """
    table, _, _, words = open_work(rows, rule)
    own_phi = open_phi(rows.phi, numbers.shape[1])
    phi = lent(own_phi)
    family, starts, q = rows.code, rows.starts, rows.Z.shape[1]
    Z, offset, by_row, code = rows.Z, rows.offset, rows.phi, level_code(family, phi)
    J, columns = len(starts) - 1, columns_of(rows.X)
    set_phi_words(words, phi)
    constant, together = np.empty(J), task == QUICKLY and suits_together(rows)
    levels = open_levels(rows)
    nodes, places = open_nodes(rule.z, rule.log_weight, J if together else 0)
    for s in range(len(out)):
        set_predictors(columns, Z, offset, Ls[s], betas[s], table)
        if s == 0 or numbers.shape[1] > 0:
            set_phi(by_row, numbers[s], own_phi)
            set_constants(family, phi, starts, table, constant)
        solved_together = together and _integrate_together(
            code, phi, starts, table, modes, tolerance, levels, nodes, places
        )
        out[s] = 0.0
        for j in range(J):
            if solved_together and levels[LATE, j] == 0.0:
                value = constant[j] + levels[INTEGRAL, j]
            else:
                lo, hi = starts[j], starts[j + 1]
                u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
                value = constant[j] + solve_level(code, q, words, lo, hi, u, v, tolerance, task)
            if len(by_level) > 0:
                by_level[s, j] = value
            out[s] += value
        if not math.isfinite(out[s]):
            out[s] = -math.inf


@inner_ieee
def marginal_with_slopes(
    rows: LevelRows,
    rule: Rule,
    L: Floats,
    beta: Floats,
    numbers: Floats,
    modes: Floats,
    tolerance: float,
    d_L: Floats,
    d_beta: Floats,
    d_numbers: Floats,
) -> float:
    """Compute log p(y | L, beta, phi), and fill its derivatives; `modes` become the modes."""
    table, _, solved, words = open_work(rows, rule)
    own_phi = open_phi(rows.phi, len(numbers))
    own_slopes = np.zeros(own_phi.shape)
    phi, d_phi = lent(own_phi), lent(own_slopes)
    family, starts, Z, q = rows.code, rows.starts, rows.Z, rows.Z.shape[1]
    code, z = level_code(family, phi), rule.z
    set_phi(rows.phi, numbers, own_phi)
    columns, constant = columns_of(rows.X), np.empty(len(starts) - 1)
    set_phi_words(words, phi)
    set_predictors(columns, Z, rows.offset, L, beta, table)
    set_constants(family, phi, starts, table, constant)
    d_L[:] = 0.0
    value = 0.0
    for j in range(len(starts) - 1):
        lo, hi = starts[j], starts[j + 1]
        u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
        value += constant[j] + solve_level(code, q, words, lo, hi, u, v, tolerance, QUICKLY)
        modes[j, 0] = solved[MODE]
        if q == 2:
            modes[j, 1] = solved[MODE_2]
        split, grid = solved[SPLIT] > 0.0, solved_grid(words, solved)
        add_slopes(code, phi, table, grid, z, lo, hi, split, solved[TOTAL], Z, d_L)
        if len(numbers) > 0:
            add_level_phi_slopes(family, phi, table, grid, lo, hi, d_phi)
    set_fixed_slopes(columns, table, d_beta)
    set_number_slopes(rows.phi, own_phi, own_slopes, d_numbers)
    return value


@level_entry
def log_marginal_and_slopes(
    rows: LevelRows,
    rule: Rule,
    L: Floats,
    beta: Floats,
    numbers: Floats,
    modes: Floats,
    tolerance: float,
    d_L: Floats,
    d_beta: Floats,
    d_numbers: Floats,
) -> float:
    """Call `marginal_with_slopes`, see there."""
    return marginal_with_slopes(
        rows, rule, L, beta, numbers, modes, tolerance, d_L, d_beta, d_numbers
    )
