"""Compiled joint draws of the effects for many draws of sigma that share one relative factor.

Where a factorization is dear and a triangular solve is memory-bound, all draws of one relative
factor are solved for together; log|V| and T come along at no cost.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.densities import HEAD, to_plan
from bayeslmm.kernel_draws import draw_fixed, fixed_in_plan, solve_together, spread_effects
from bayeslmm.kernels import open_layout
from bayeslmm.linked_kernels import factorize, linked_entry

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@linked_entry
def draw_shared(
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
) -> tuple[Floats, Floats]:
    """Replace standard normals by exact joint draws of beta and all b, cell by cell.

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

    Returns
    -------
    logdet : ndarray, shape (n_cells,)
        log|V|; -inf where Q cannot be factored.
    cross : ndarray, shape (n_cells, p + 1, p + 1)
        T in the coordinates of the Gram.
    """
    lay, p = open_layout(ints, floats), ints[1] - 1
    inverse = floats[HEAD + p * p : HEAD + 2 * p * p].reshape(p, p)
    origin = floats[HEAD + 2 * p * p : HEAD + 2 * p * p + p]
    logdets, cross = np.empty(len(lams)), np.empty((len(lams), p + 1, p + 1))
    for cell in range(len(lams)):
        first, end = starts[cell], starts[cell + 1]
        ok, logdet, T, panel, border, right = factorize(
            ints, floats, to_plan(ints, floats, lams[cell], False)
        )
        logdets[cell] = logdet if ok else -math.inf
        cross[cell] = T
        beta = np.empty((end - first, p))
        for d in range(first, end):
            if fixed_given:
                beta[d - first] = fixed_in_plan(floats, fixed[d])
                continue
            beta[d - first] = draw_fixed(
                floats, T, sigmas[d], prior_mean, prior_precision, fixed[d]
            )
            for i in range(p):
                fixed[d, i] = origin[i] if ok else math.nan
                for k in range(p):
                    fixed[d, i] += inverse[i, k] * beta[d - first, k]
        if not ok:
            random[first:end] = math.nan
            continue
        v = solve_together(lay, panel, border, right, beta, sigmas[first:end], random[first:end])
        spread_effects(lay, lams[cell], v, random[first:end])
    return logdets, cross
