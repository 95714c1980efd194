"""A design's rows as the quadrature kernels read them: sorted by level, and by Z within levels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.kernels.families.by_row import SAME_IN_ALL
from bayeslmm.kernels.families.codes import INFLATED
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.compiled_rows import compiled_rows, family_code, why_not_compiled
from bayeslmm.model.family_numbers import phi_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.kernels.families.by_row import PhiRows

MOST_COLUMNS = 2


def why_not(design: Design) -> str:
    """Return why the effects of a design cannot be integrated out by quadrature; empty if they can.

    Parameters
    ----------
    design : Design
        Rows, family and grouping factors.

    Returns
    -------
    str
        In words that follow "because".
    """
    factors = design.factors
    if why := why_not_compiled(design):
        return why
    if len(factors) != 1:
        count = f"{len(factors)} grouping factors" if factors else "no grouping factor"
        return f"the model has {count}, and quadrature integrates the effects of exactly one"
    if len(factors[0].terms) > 1 and family_code(design.family) in INFLATED:
        return (
            "levels of zeros alone may have several modes, which quadrature finds along one column "
            "of effects only"
        )
    return _why_not(factors[0])


def _why_not(factor: GroupingFactor) -> str:
    if factor.latent is not None:
        return f"rows have several latent levels of {factor.name!r}, which no level integrates"
    if (q := len(factor.terms)) > MOST_COLUMNS:
        return (
            f"effects by {factor.name!r} have {q} columns, and the number of nodes grows with "
            f"the power of them: at most {MOST_COLUMNS} can be integrated out"
        )
    return ""


def level_rows(design: Design, centers: tuple[float, ...]) -> LevelRows:
    """Return a design's rows for the kernels.

    Parameters
    ----------
    design : Design
        With one grouping factor of one or two columns; see `why_not`.
    centers : tuple of float, length p
        What is subtracted from the columns of X: zero from the intercept.

    Returns
    -------
    LevelRows
        Levels in the design's order.
    """
    factor = design.factors[0]
    y, known, offset = compiled_rows(design)
    return lay_out(
        family_code(design.family),
        X=design.X - np.asarray(centers) if any(centers) else design.X,
        Z=factor.columns,
        y=y,
        known=known,
        offset=offset,
        level=factor.index,
        n_levels=len(factor.levels),
        phi_of=partial(phi_rows, design),
    )


def lay_out(
    code: int,
    *,
    X: Floats,
    Z: Floats,
    y: Floats,
    known: Floats,
    offset: Floats,
    level: Ints,
    n_levels: int,
    phi_of: Callable[[Ints], PhiRows] = lambda _: SAME_IN_ALL,
) -> LevelRows:
    """Return rows in any order as the kernels read them.

    Parameters
    ----------
    code : int
        Of family and link.
    X, Z : ndarray, shapes (n, p) and (n, q)
        Columns of fixed and random effects.
    y, known, offset : ndarray, shape (n,)
        Responses, trials or weights, known parts of eta.
    level : ndarray of int, shape (n,)
        Each row's level.
    n_levels : int
        How many there are.
    phi_of : callable
        From the order of the rows to the parameters of each.
    """
    n = len(y)
    order = np.lexsort((*Z.T[::-1], level))
    Z, level = Z[order], level[order]
    fresh = np.ones(n)
    fresh[1:] = (Z[1:] != Z[:-1]).any(axis=1) | (level[1:] != level[:-1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(level, minlength=n_levels))])
    return LevelRows(
        code,
        for_kernels("X", X[order], np.float64, (n, None)),
        for_kernels("Z", Z, np.float64, (n, None)),
        for_kernels("y", y[order], np.float64, (n,)),
        for_kernels("known", known[order], np.float64, (n,)),
        for_kernels("offset", offset[order], np.float64, (n,)),
        for_kernels("starts", starts, np.int64, (None,)),
        for_kernels("fresh", fresh, np.float64, (n,)),
        phi_of(order),
    )
