"""Marginal log-densities of a single factor's levels, by the compiled likelihood of quadrature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.analysis.checks import group_quadrature
from bayeslmm.analysis.checks.group_quadrature import NODES, TRIED, GroupIntegrals
from bayeslmm.families.parameters import columns_of
from bayeslmm.model.quadrature.level_rows import why_not
from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.split import level_likelihood
from bayeslmm.resources import usable_cores

if TYPE_CHECKING:
    from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design


def level_integrals(
    design: Design, predictor: LinearPredictor, roots: Floats
) -> GroupIntegrals | None:
    """Compute what `group_integrals` does, where one factor is all there is; tests tie the two.

    Parameters
    ----------
    design : Design
        The rows.
    predictor : LinearPredictor
        Of the rows, the factor's effects at zero.
    roots : ndarray, shape (s, q, q)
        Lower triangular L with G = L L'.

    Returns
    -------
    GroupIntegrals or None
        None where the compiled likelihood does not know the model, its nodes do not settle, levels
        may have several modes, or a parameter follows a formula.
    """
    # With densities of several modes the compiled nodes stand around the highest alone.
    if why_not(design) or design.predictors or not design.family.log_concave:
        return None
    likelihood = level_likelihood(design, (0.0,) * len(design.coef), 1)
    columns = columns_of(design.family, predictor.phi, predictor.size)
    points = Points(roots, np.ascontiguousarray(predictor.beta.T), columns)
    tried = np.unique(np.linspace(0, len(points) - 1, TRIED).round().astype(np.intp))
    some = Points(points.L[tried], points.beta[tried], points.phi[tried])
    nodes, error = group_quadrature.enough_nodes(
        NODES[roots.shape[-1]], lambda count: likelihood.with_nodes(count).by_level(some)
    )
    if not error < group_quadrature.TOLERANCE:
        return None
    values = likelihood.with_nodes(nodes).by_level(points, threads=usable_cores())
    return GroupIntegrals(values, nodes, error) if np.isfinite(values).all() else None
