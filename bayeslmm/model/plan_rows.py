"""A design's rows beside an elimination plan, as the compiled Laplace kernels read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.kernels.laplace_chain.rows import Rows, constant_of, locate
from bayeslmm.model.compiled_rows import compiled_rows, family_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.elimination_plan import EliminationPlan


def plan_rows(
    design: Design, plan: EliminationPlan, X: Floats, Z: Sequence[Floats]
) -> tuple[Rows, Ints]:
    """Return rows sorted by the levels of the plan's finest factor, and their order.

    Parameters
    ----------
    design : Design
        Response, offset, trials or weights, family and levels.
    plan : EliminationPlan
        Of the cross-products of the same factors, and of as many columns as X has.
    X : ndarray, shape (n, p)
        Columns of the fixed effects that the kernels are to see.
    Z : sequence of ndarray, shapes (n, q)
        Columns of each factor, in the design's order.

    Returns
    -------
    rows : Rows
        With cross-products of their own to overwrite.
    order : ndarray of int64, shape (n,)
        Which of the design's rows stands where.
    """
    n, family = design.n, design.family
    factors = [design.factors[k] for k in plan.order]
    leaf = factors[0].index if factors else np.zeros(n, np.int64)
    order = np.argsort(leaf, kind="stable")
    level = np.stack([factor.index[order] for factor in factors])
    level = for_kernels("levels", level, np.int64, (len(factors), n))
    floats = for_kernels("the plan's floats", plan.floats, np.float64, (None,)).copy()
    beside, block = locate(plan.ints, floats, level)
    y, known, offset = compiled_rows(design)

    def of_rows(name: str, values: Floats) -> Floats:
        return for_kernels(name, values[order], np.float64, (n,))

    rows = Rows(
        family=family_code(family),
        single=bool((known == 1.0).all()),
        constant=0.0,
        y=of_rows("y", y),
        known=of_rows("weights, trials or ends", known),
        offset=of_rows("offset", offset),
        fixed=for_kernels("X", X[order].T, np.float64, (X.shape[1], n)),
        random=for_kernels("Z", np.concatenate([Z[k][order].T for k in plan.order]), np.float64,
                           (None, n)),
        level=level,
        beside=beside,
        block=block,
        ints=plan.ints,
        floats=floats,
    )  # fmt: skip
    if not family.parameters:
        rows = rows._replace(constant=constant_of(rows))
    return rows, order
