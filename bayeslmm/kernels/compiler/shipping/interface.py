"""Which kernels the machine code holds, and for which arguments; others are compiled when called.

Not those of response families: their loops gain from wider instructions than all processors have.

Letters are those of `compiler.words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.kernels import (
    densities,
    linked_density,
    reduce,
    sums,
    target,
)
from bayeslmm.kernels.elimination import draws, factorization
from bayeslmm.kernels.structured import density, rows

if TYPE_CHECKING:
    from bayeslmm.kernels.compiler.jit import CFunction

C_FUNCTIONS: tuple[CFunction, ...] = (
    factorization.factorize_c,
    factorization.pull_back_c,
    linked_density.density_c,
    target.target_c,
    target.copy_point_c,
)

# One row for each kernel that Python calls.
ENTRIES: tuple[tuple[Any, str], ...] = (
    (densities.evaluate, "q1 d1 d1 d d1 d2 q ?"),
    (draws.condition, "q1 d1 d1"),
    (draws.draw_joint, draws.DRAW_ARGUMENTS),
    (linked_density.linked_density, "q1 d1 q1 d1 d1 d d1 d1 d2"),
    (reduce.reduce_factors, "q1 d1 d2"),
    (reduce.densities_from_reduced, "q1 d1 d1 d3 d1 d2 d1 d2"),
    (sums.sum_by_level, "q1 d2 d2 q"),
    (sums.sum_pairs, "q1 d2 d2 q"),
    (density.structured_density, "q1 d1 d1 d1 d1 d2 q"),
    (density.structured_values, "q1 d1 d2 d2 d1 d2 d2 d1 d2"),
    (rows.sum_products, "q1 q1 q1 d1 d2 d2 q"),
    (rows.add_slopes, "q1 q1 q1 d2 d2 d3 d1"),
)
