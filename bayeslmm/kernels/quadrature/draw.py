"""Effects drawn back level by level, given everything else: independence Metropolis.

Effects of one column are proposed from the density itself, interpolated linearly between nodes;
those of two from a t distribution at the level's mode. Levels of t responses may have several
modes: there proposals come from a t at each, and some from the whole width of the effects' prior.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.by_row import lent, open_phi, set_phi
from bayeslmm.kernels.families.codes import STUDENT
from bayeslmm.kernels.quadrature.axes import farthest_of
from bayeslmm.kernels.quadrature.generator import generator, uniform
from bayeslmm.kernels.quadrature.level import (
    DENSITY_ONLY,
    MODE,
    MODES,
    MORE_NODES,
    QUICKLY,
    ROOT,
    level_entry,
    open_work,
    set_grid_words,
    set_phi_words,
    solve_level,
    solved_grid,
)
from bayeslmm.kernels.quadrature.of_zeros import ZERO_POINTS
from bayeslmm.kernels.quadrature.proposals import (
    choose,
    draw_interpolated,
    fill_masses,
    fill_shares,
    propose,
)
from bayeslmm.kernels.quadrature.rows import (
    DENSITY,
    GRID,
    U,
    columns_of,
    level_code,
    part_of,
    set_constants,
    set_predictors,
)
from bayeslmm.kernels.quadrature.several import FOUND_HEIGHT, MODE_WIDTH, MOST_MODES
from bayeslmm.kernels.quadrature.together import (
    EFFECT,
    LATE,
    LEVEL_ROOT,
    NODE_DENSITY,
    NODE_EFFECT,
    NODE_LINES,
    NODE_Z,
    can_split,
    find_modes_together,
    open_levels,
    open_nodes,
    set_densities_together,
    suits_together,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints, Words
    from bayeslmm.kernels.quadrature.rows import LevelRows, Rule

_TOLERANCE = 1e-2


@inner_ieee
def _draw_one(
    state: Words,
    code: int,
    grid: Floats,
    masses: Floats,
    own: Floats,
    words: Ints,
    lo: int,
    hi: int,
    steps: int,
    solved: Floats,
) -> tuple[float, int]:
    """Draw one level's effect of one column; return it and how many steps were accepted."""
    count, N = steps + 1, grid.shape[1]
    more, rest = own[: GRID * count].reshape((GRID, count)), own[GRID * count :]
    z, log_weight, proposed = rest[:count], rest[count : 2 * count], rest[2 * count : 3 * count]
    effect, density = part_of(grid, U, 0, N), part_of(grid, DENSITY, 0, N)
    fill_masses(effect, density, masses)
    for k in range(count):
        u, proposed[k] = draw_interpolated(state, effect, density, masses)
        z[k] = (u - solved[MODE]) * solved[ROOT]
        log_weight[k] = 0.0
    set_grid_words(words, more, z, log_weight)
    solve_level(code, 1, words, lo, hi, 0.0, 0.0, 0.0, MORE_NODES)
    return choose(state, more[U], more[DENSITY], proposed)


@inner_ieee
def _draw_together(
    state: Words,
    code: int,
    phi: Floats,
    starts: Ints,
    table: Floats,
    modes: Floats,
    levels: Floats,
    nodes: Floats,
    places: Ints,
    more: Floats,
    ends: Ints,
    masses: Floats,
    proposed: Floats,
    out: Floats,
    accepted: Ints,
) -> bool:
    """Draw the effects of all levels but those that are late; return whether that can be done."""
    find_modes_together(code, phi, starts, table, modes, _TOLERANCE, levels)
    split, most = can_split(code, phi, table, levels, nodes[NODE_Z, nodes.shape[1] - 1])
    if not split:
        return False
    set_densities_together(code, phi, starts, table, levels, nodes, places, most)
    for j in range(len(starts) - 1):
        a, b = places[j], places[j + 1]
        effect, density = part_of(nodes, NODE_EFFECT, a, b), part_of(nodes, NODE_DENSITY, a, b)
        fill_masses(effect, density, masses)
        for k in range(ends[j], ends[j + 1]):
            u, proposed[k] = draw_interpolated(state, effect, density, masses)
            more[NODE_Z, k] = (u - levels[EFFECT, j]) * levels[LEVEL_ROOT, j]
    split, most = can_split(code, phi, table, levels, farthest_of(more[NODE_Z]))
    if not split:
        return False
    set_densities_together(code, phi, starts, table, levels, more, ends, most)
    for j in range(len(starts) - 1):
        if levels[LATE, j] == 0.0:
            a, b = ends[j], ends[j + 1]
            effect, density = part_of(more, NODE_EFFECT, a, b), part_of(more, NODE_DENSITY, a, b)
            u, count = choose(state, effect, density, proposed[a:b])
            out[j, 0] = u
            accepted[j] += count
    return True


@inner_ieee
def _draw_by_steps(
    state: Words,
    code: int,
    q: int,
    words: Ints,
    lo: int,
    hi: int,
    steps: int,
    solved: Floats,
    shares: Floats,
) -> tuple[float, float, int]:
    """Draw one level's effects from t proposals; return them and how many were accepted."""
    modes, several = solved[MODES:].reshape((MOST_MODES, MODE_WIDTH)), code == STUDENT
    if several:
        fill_shares(q, modes, shares)
    else:
        # A single mode is what was solved for, in the same order.
        for k in range(FOUND_HEIGHT):
            modes[0, k] = solved[k]
    u, v, here, accepted = 0.0, 0.0, -math.inf, 0
    for step in range(steps + 1):
        one, two, log_proposal = propose(state, q, modes, shares, several)
        density = solve_level(code, q, words, lo, hi, one, two, 0.0, DENSITY_ONLY)
        ratio = density - log_proposal
        if step == 0 or not math.log(uniform(state)) > ratio - here:
            u, v, here = one, two, ratio
            if step > 0:
                accepted += 1
    return u, v, accepted


@level_entry
def draw_effects(
    rows: LevelRows,
    rule: Rule,
    Ls: Floats,
    betas: Floats,
    numbers: Floats,
    modes: Floats,
    steps: Ints,
    seed: int,
    out: Floats,
    accepted: Ints,
) -> None:
    """Draw each level's effects given y, L, beta and phi, for many points one by one.

    Parameters
    ----------
    rows : LevelRows
        The data.
    rule : Rule
        Of one column, equally spaced nodes of constant log weight, between which the density is
        interpolated; of two, one node.
    Ls, betas, numbers : ndarray, shapes (s, q, q), (s, p), (s, m)
        Points, as of `log_marginals`.
    modes : ndarray, shape (J, q)
        Where to begin the search for each level's mode.
    steps : ndarray of int64, shape (J,)
        Metropolis steps by level, after a first draw from the proposal.
    seed : int
        Of the random numbers.
    out : ndarray, shape (s, J, q)
        Filled with effects b = L u.
    accepted : ndarray of int64, shape (J,)
        What the numbers of accepted steps are added to.
    """
    state = generator(seed)
    table, grid, solved, words = open_work(rows, rule)
    own_phi = open_phi(rows.phi, numbers.shape[1])
    phi = lent(own_phi)
    family, starts, q = rows.code, rows.starts, rows.Z.shape[1]
    code = level_code(family, phi)
    set_phi_words(words, phi)
    J, columns = len(starts) - 1, columns_of(rows.X)
    longest = max(grid.shape[1], ZERO_POINTS)
    constant, shares, masses = np.empty(J), np.empty(MOST_MODES), np.zeros(longest + 1)
    own = np.zeros((GRID + 3) * (np.max(steps) + 1))
    together, levels = suits_together(rows), open_levels(rows)
    nodes, places = open_nodes(rule.z, rule.log_weight, J if together else 0)
    ends = np.zeros(J + 1, np.int64)
    for j in range(J):
        ends[j + 1] = ends[j] + steps[j] + 1
    more, proposed = np.zeros((NODE_LINES, ends[J])), np.zeros(ends[J])
    for s in range(len(out)):
        L = Ls[s]
        set_predictors(columns, rows.Z, rows.offset, L, betas[s], table)
        if s == 0 or numbers.shape[1] > 0:
            set_phi(rows.phi, numbers[s], own_phi)
            set_constants(family, phi, starts, table, constant)
        drawn = together and _draw_together(
            state, code, phi, starts, table, modes, levels, nodes, places, more, ends, masses,
            proposed, out[s], accepted,
        )  # fmt: skip
        for j in range(J):
            if drawn and levels[LATE, j] == 0.0:
                out[s, j, 0] *= L[0, 0]
                continue
            lo, hi = starts[j], starts[j + 1]
            u, v = modes[j, 0], modes[j, q - 1] if q == 2 else 0.0
            solve_level(code, q, words, lo, hi, u, v, _TOLERANCE, QUICKLY)
            if q == 1 and code != STUDENT:
                here = solved_grid(words, solved)
                u, count = _draw_one(
                    state, code, here, masses, own, words, lo, hi, steps[j], solved
                )
                set_grid_words(words, grid, rule.z, rule.log_weight)
            else:
                u, v, count = _draw_by_steps(
                    state, code, q, words, lo, hi, steps[j], solved, shares
                )
            accepted[j] += count
            out[s, j, 0] = L[0, 0] * u
            if q == 2:
                out[s, j, 1] = L[1, 0] * u + L[1, 1] * v
