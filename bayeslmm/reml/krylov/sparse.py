"""REML and ML by a sparse Cholesky factor of all effects: exact, as the dense criterion is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.sparse.criteria import criterion_sparsely
from bayeslmm.gram.border.sparse_factor import pattern_of, sparse_effects, sparse_work
from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.kernels.densities import ML, REML
from bayeslmm.reml.krylov.record import sampling_variances
from bayeslmm.reml.search import Objective, Search, search_criterion, search_objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

# In scaled variables, whose standard errors are about 1.4.
_DIFFERENCE = 0.05


class SparseObjective(Objective):
    """The criterion of `Objective`, with Q factored as a sparse matrix.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.
    """

    def __init__(self, gram: Gram, *, restricted: bool) -> None:
        # Refuses a factor that fills up before anything is searched.
        pattern_of(sparse_effects(gram))
        super().__init__(gram, REML if restricted else ML)

    @property
    def dof(self) -> int:
        """Degrees of freedom of sigma."""
        return self.gram.n - (len(self.gram.coef) if self.kind == REML else 0)

    def work(self) -> float:
        """Count the multiplications of an evaluation, as dense ones."""
        return sparse_work(self.gram)

    def evaluate(self, packed: Floats, gradient: bool) -> tuple[float, Floats, float]:
        """Compute the criterion at packed relative factors, its gradient, and sigma."""
        lams, held = unpack_factors(self.gram, packed), (self.at, self.direction)
        return criterion_sparsely(self.gram, lams, self.kind, held, gradient=gradient)


def search_by_factor(gram: Gram, *, restricted: bool) -> Search:
    """Minimise the profiled criterion by a dense factor, or by a sparse one of related levels.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    Search
    """
    search = search_sparsely if gram.by_nodes else search_criterion
    return search(gram, restricted=restricted)


def search_sparsely(gram: Gram, *, restricted: bool) -> Search:
    """Minimise the profiled criterion as `search_criterion` does, by a sparse factor of Q.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    Search
    """
    return search_objective(SparseObjective(gram, restricted=restricted))


def variances_sparsely(
    gram: Gram, factors: Sequence[Floats], *, restricted: bool
) -> dict[str, float]:
    """Compute sampling variances of a fit's parameters on their lines, by differences.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Lambda at the estimates.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    dict of str to float
        All but fixed effects; NaN on the boundary.
    """
    objective = SparseObjective(gram, restricted=restricted)
    names, _, variances = sampling_variances(objective, *surroundings(objective, factors))
    return dict(zip(names, variances.tolist(), strict=True))


def surroundings(
    objective: SparseObjective, factors: Sequence[Floats]
) -> tuple[Floats, Floats, list[tuple[float, float, float]]]:
    """Compute where estimates are, and the criterion's curvature and best sigmas around them.

    Parameters
    ----------
    objective : SparseObjective
        The criterion.
    factors : sequence of ndarray, shapes (q, q)
        Lambda at the estimates.

    Returns
    -------
    x : ndarray, shape (k,)
        In scaled variables.
    curvature : ndarray, shape (k, k)
    beside : list of tuple of float
        For each variable the best sigma at x less and x plus a difference, and that difference.
    """
    x, beside = objective.locate(factors), []
    for unit in np.eye(len(x)):
        sigmas = []
        for sign in (-1.0, 1.0):
            objective(x + sign * _DIFFERENCE * unit, gradient=False)
            sigmas.append(objective.sigma)
        beside.append((sigmas[0], sigmas[1], _DIFFERENCE))
    return x, objective.curvature(x), beside
