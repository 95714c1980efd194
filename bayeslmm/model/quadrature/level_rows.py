"""A design's rows as the quadrature kernels read them: sorted by level, and by Z within levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.kernels.families.codes import INFLATED
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.compiled_rows import compiled_rows, family_code, why_not_compiled
from bayeslmm.model.family_numbers import phi_rows

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor

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
    if factor.structures:
        return "G has a structure, and quadrature takes unstructured and diagonal ones"
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
        What is subtracted from the columns of X that are not the intercept.

    Returns
    -------
    LevelRows
        Levels in the design's order.
    """
    factor, n = design.factors[0], design.n
    order = np.lexsort((*factor.columns.T[::-1], factor.index))
    X = design.X.copy()
    if any(centers):
        X[:, 1:] -= np.asarray(centers)[1:]
    Z, level = factor.columns[order], factor.index[order]
    fresh = np.ones(n)
    fresh[1:] = (Z[1:] != Z[:-1]).any(axis=1) | (level[1:] != level[:-1])
    y, known, offset = compiled_rows(design)
    counts = np.bincount(level, minlength=len(factor.levels))
    starts = np.concatenate([[0], np.cumsum(counts)])
    return LevelRows(
        family_code(design.family),
        for_kernels("X", X[order], np.float64, (n, None)),
        for_kernels("Z", Z, np.float64, (n, None)),
        for_kernels("y", y[order], np.float64, (n,)),
        for_kernels("known", known[order], np.float64, (n,)),
        for_kernels("offset", offset[order], np.float64, (n,)),
        for_kernels("starts", starts, np.int64, (None,)),
        for_kernels("fresh", fresh, np.float64, (n,)),
        phi_rows(design, order),
    )
