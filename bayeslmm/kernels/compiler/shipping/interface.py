"""Which kernels the machine code holds, and for which arguments; others are compiled when called.

Those of response families stand in a library of their own: their loops gain from wider
instructions than all processors have.

Letters are those of `compiler.words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bayeslmm.kernels import (
    densities,
    linked_density,
    reduce,
    sums,
    target,
)
from bayeslmm.kernels.compiler.shipping.modules import TupleOf
from bayeslmm.kernels.elimination import draws, factorization
from bayeslmm.kernels.families import rows as family_rows
from bayeslmm.kernels.families.by_row import PhiRows
from bayeslmm.kernels.laplace_chain import moves, observed
from bayeslmm.kernels.laplace_chain import rows as plan_rows
from bayeslmm.kernels.laplace_chain.curvature import Curvature
from bayeslmm.kernels.laplace_chain.mode import Prior, State
from bayeslmm.kernels.laplace_chain.moves import Proposed
from bayeslmm.kernels.laplace_chain.walk import Walk
from bayeslmm.kernels.quadrature import draw, level, marginal
from bayeslmm.kernels.quadrature import target as quadrature_target
from bayeslmm.kernels.quadrature.rows import LevelRows, Rule
from bayeslmm.kernels.sparse import factor, inverse, ordering, symbolic
from bayeslmm.kernels.structured import density, rows

if TYPE_CHECKING:
    from bayeslmm.kernels.compiler.jit import CFunction

_TUPLES: dict[str, TupleOf] = {}


def arguments_of(text: str) -> list[str | TupleOf]:
    """Return arguments of a text of letters and names of tuples."""
    return [_TUPLES.get(word, word) for word in text.split()]


for _kind, _text in (
    (PhiRows, "d2 d2 q1 q1"),
    (LevelRows, "q d2 d2 d1 d1 d1 q1 d1 PhiRows"),
    (Rule, "d1 d1"),
    (plan_rows.Rows, "q ? d d1 d1 d1 d2 d2 q2 q2 q2 q1 d1 PhiRows"),
    (Prior, "d1 d2 d"),
    (Curvature, "? d d1 d2 d2 d2 d1"),
    (State, "d1 d2 Curvature d d d1 d1 d1 d q"),
    (Proposed, "d2 d2 d2 d2 d1"),
    (Walk, "d2 q2 d2 q1 q q d1 d1 d2 d d2 d3 d2 d2 d1 d1"),
):
    _TUPLES[_kind.__name__] = TupleOf(_kind, arguments_of(_text))


class Part(NamedTuple):
    """What stands in one library."""

    name: str
    functions: tuple[CFunction, ...]
    # One row for each kernel that Python calls.
    entries: tuple[tuple[Any, str], ...]
    # What the library calls and does not offer.
    needs: tuple[CFunction, ...] = ()
    # Whether there is one for each level of a processor's extensions.
    levels: bool = False


CORE = Part(
    "core",
    (
        factorization.factorize_c,
        factorization.pull_back_c,
        linked_density.density_c,
        target.target_c,
        target.copy_point_c,
    ),
    (
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
        (symbolic.elimination_tree, "q1 q1"),
        (symbolic.factor_pattern, "q1 q1 q1 q1"),
        (factor.factorize_sparse, "q1 q1 d1 q1 q1 q1 d1 d1"),
        (factor.solve_lower, "q1 q1 d1 d2"),
        (factor.solve_upper, "q1 q1 d1 d2"),
        (inverse.selected_inverse, "q1 q1 d1 d1"),
        (ordering.minimum_degree, "q1 q1 q"),
    ),
)
FAMILIES = Part(
    "families",
    (level.level_c, quadrature_target.target_c),
    (
        (family_rows.rows, "q d1 d1 d1 d1"),
        (marginal.log_marginals, "LevelRows Rule d3 d2 d2 d2 d q d2 d1"),
        (marginal.log_marginal_and_slopes, "LevelRows Rule d2 d1 d1 d2 d d2 d1 d1"),
        (draw.draw_effects, "LevelRows Rule d3 d2 d2 d2 q1 q d3 q1"),
        (plan_rows.locate, "q1 d1 q2"),
        (plan_rows.constant_of, "Rows"),
        (moves.laplace_many, "Rows Prior d2 d2 d2 d2 d"),
        (moves.begin, "Rows Prior d1 d1 d1 d1 d"),
        (moves.sweep, "Rows Prior State d1 d Proposed Walk d2 d2 d1 q d"),
        (observed.observed_laplace, "Rows Prior d1 d1 d1"),
    ),
    needs=(factorization.factorize_c,),
    levels=True,
)
PARTS = (CORE, FAMILIES)
