"""An estimate with its surroundings: from which a posterior's place and width follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.gram.border.reduce import SparseReduction
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.reml.krylov.sparse import SparseObjective, search_sparsely, surroundings
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.krylov.search import Found
    from bayeslmm.reml.relative import RelativeFactors


@dataclass(frozen=True, eq=False)
class Estimate:
    """A REML estimate in scaled variables.

    Attributes
    ----------
    relative : RelativeFactors
        Lambda as a function of step * x.
    step, x : ndarray, shape (k,)
    curvature : ndarray, shape (k, k)
        Of the criterion, there.
    beside : sequence of tuple of float
        For each variable the best sigma at x less and x plus a difference, and that difference.
    sigma : float
    dof : int
        Degrees of freedom of sigma.
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r] there.
    n_evaluations : int
        Of the criterion, or its gradient.
    """

    relative: RelativeFactors
    step: Floats
    x: Floats
    curvature: Floats
    beside: Sequence[tuple[float, float, float]]
    sigma: float
    dof: int
    T: Floats
    n_evaluations: int


def estimate_by_probes(found: Found) -> Estimate:
    """Return what was found by the root of the score."""
    score, root = found.score, found.root
    return Estimate(
        relative=score.relative,
        step=score.step,
        x=root.x,
        curvature=root.curvature,
        beside=[(low.sigma, high.sigma, h) for low, high, h in root.beside],
        sigma=root.score.sigma,
        dof=score.dof,
        T=solve_fixed(score.operator(root.x)).T,
        n_evaluations=score.n_evaluations,
    )


def estimate_sparsely(gram: Gram) -> Estimate:
    """Find the REML estimate by a sparse factor."""
    found = search_sparsely(gram, restricted=True)
    objective = SparseObjective(gram, restricted=True)
    x, curvature, beside = surroundings(objective, lambda_factors(gram, found.packed))
    return Estimate(
        relative=objective.relative,
        step=objective.step,
        x=x,
        curvature=curvature,
        beside=beside,
        sigma=found.sigma,
        dof=objective.dof,
        T=SparseReduction(gram)(found.packed[None]).cross[0],
        n_evaluations=found.n_evaluations + objective.n_evaluations,
    )
