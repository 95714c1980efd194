"""Log marginal likelihoods with the effects of one factor integrated out, and their gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.quadrature.level import (
    MODE,
    MODE_2,
    QUICKLY,
    ROOT,
    ROOT_2,
    ROOT_BELOW,
    SOLVED,
    TOTAL,
    level_entry,
    solve_level,
)
from bayeslmm.kernels.quadrature.rows import open_grid, open_table, set_constants, set_predictors
from bayeslmm.kernels.quadrature.slopes import add_slopes

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule


@level_entry
def log_marginals(
    rows: LevelRows,
    rule: Rule,
    Ls: Floats,
    betas: Floats,
    phis: Floats,
    modes: Floats,
    tolerance: float,
    task: int,
    by_level: Floats,
    out: Floats,
) -> None:
    """Compute log p(y | L, beta, phi) at many points, one by one.

    Parameters
    ----------
    rows : LevelRows
        The data.
    rule : Rule
        Nodes and weights.
    Ls, betas, phis : ndarray, shapes (s, q, q), (s, p), (s, number of parameters)
        Points: G = L L', fixed effects, family parameters.
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
    table, grid, q = open_table(rows), open_grid(rows, rule), rows.Z.shape[1]
    code, starts, z, log_weight = rows.code, rows.starts, rule.z, rule.log_weight
    J = len(starts) - 1
    constant, solved = np.empty(J), np.empty(SOLVED)
    for s in range(len(out)):
        phi = phis[s]
        set_predictors(rows.X, rows.Z, rows.offset, Ls[s], betas[s], table)
        if s == 0 or len(phi) > 0:
            set_constants(code, phi, starts, table, constant)
        out[s] = 0.0
        for j in range(J):
            lo, hi = starts[j], starts[j + 1]
            u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
            value = constant[j] + solve_level(
                code, phi, q, table, grid, z, log_weight, lo, hi, u, v, tolerance, task, solved
            )
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
    phi: Floats,
    modes: Floats,
    tolerance: float,
    d_L: Floats,
    d_beta: Floats,
    d_phi: Floats,
) -> float:
    """Compute log p(y | L, beta, phi), and fill its derivatives; `modes` become the modes."""
    table, grid, q = open_table(rows), open_grid(rows, rule), rows.Z.shape[1]
    code, starts, X, Z = rows.code, rows.starts, rows.X, rows.Z
    z, log_weight = rule.z, rule.log_weight
    constant, solved = np.empty(len(starts) - 1), np.empty(SOLVED)
    set_predictors(X, Z, rows.offset, L, beta, table)
    set_constants(code, phi, starts, table, constant)
    d_L[:], d_beta[:], d_phi[:] = 0.0, 0.0, 0.0
    value = 0.0
    for j in range(len(starts) - 1):
        lo, hi = starts[j], starts[j + 1]
        u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
        value += constant[j] + solve_level(
            code, phi, q, table, grid, z, log_weight, lo, hi, u, v, tolerance, QUICKLY, solved
        )
        modes[j, 0] = solved[MODE]
        if q == 2:
            modes[j, 1] = solved[MODE_2]
        root = (solved[ROOT], solved[ROOT_BELOW], solved[ROOT_2])
        add_slopes(code, phi, table, grid, z, lo, hi, root, solved[TOTAL], X, Z, d_L, d_beta, d_phi)
    return value


@level_entry
def log_marginal_and_slopes(
    rows: LevelRows,
    rule: Rule,
    L: Floats,
    beta: Floats,
    phi: Floats,
    modes: Floats,
    tolerance: float,
    d_L: Floats,
    d_beta: Floats,
    d_phi: Floats,
) -> float:
    """Call `marginal_with_slopes`, see there."""
    return marginal_with_slopes(rows, rule, L, beta, phi, modes, tolerance, d_L, d_beta, d_phi)
