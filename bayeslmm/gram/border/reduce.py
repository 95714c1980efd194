"""log|V| and T at many relative factors, by iterations or by a sparse factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.gram.border.given import GivenByIterations, GivenBySparseFactor
from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.probes import log_determinant
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.gram.border.sparse_factor import pattern_of, solve_effects, sparse_effects
from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.gram.reduction import Reduced
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.border.probes import Probes
    from bayeslmm.gram.border.sparse_products import SparseProducts
    from bayeslmm.gram.gram import Gram
    from bayeslmm.kernels.sparse.cholesky import SparseFactor

# Of solutions: the error of T is its square.
_TOLERANCE = 1e-7


class ProbedReduction:
    """What `reduction.reduce_exactly` computes, by iterations; remembers values by each probe.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    products : SparseProducts
        The same, laid out.
    probes : Probes
        For log|V|.

    Attributes
    ----------
    probes : Probes
    packed : list of ndarray, shape (n_lambda,)
        Relative factors so far.
    by_probe : list of ndarray, shape (B,)
        log|V| there by each probe.
    steps : list of int
        Of conjugate gradients, and of the Lanczos method, at most.
    """

    def __init__(self, gram: Gram, products: SparseProducts, probes: Probes) -> None:
        self._gram, self._products, self.probes = gram, products, probes
        self.packed: list[Floats] = []
        self.by_probe: list[Floats] = []
        self.steps = [0, 0]
        self._near: Floats | None = None

    def operator(self, packed: Floats) -> Operator:
        """Return A at packed relative factors, shape (n_lambda,)."""
        return Operator(self._products, self._gram, unpack_factors(self._gram, packed))

    def at(self, packed: Floats) -> GivenByIterations:
        """Return beta and effects given packed relative factors, shape (n_lambda,)."""
        factors = unpack_factors(self._gram, packed)
        return GivenByIterations(self.operator(packed), factors, self.probes)

    def __call__(self, packed: Floats) -> Reduced:
        """Compute log|V|, the mean over probes, and T at packed factors, shape (s, n_lambda)."""
        w = len(self._gram.coef) + 1
        logdet, cross = np.empty(len(packed)), np.empty((len(packed), w, w))
        with single_blas_thread():
            for k, own in enumerate(packed):
                operator = self.operator(own)
                solution = solve_fixed(operator, _TOLERANCE, self._near)
                found = log_determinant(operator, self.probes)
                self._near = solution.scaled
                self.packed.append(own)
                self.by_probe.append(found.values)
                self.steps = [max(self.steps[0], solution.steps), max(self.steps[1], found.steps)]
                logdet[k], cross[k] = found.mean, solution.T
        return Reduced(logdet, cross)


class SparseReduction:
    """What `reduction.reduce_exactly` computes, by a sparse factor of all effects.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    """

    def __init__(self, gram: Gram) -> None:
        self._gram, self._effects = gram, sparse_effects(gram)
        self._pattern = pattern_of(self._effects)

    def _factor(self, packed: Floats) -> tuple[list[Floats], list[Floats], SparseFactor | None]:
        lams = unpack_factors(self._gram, packed)
        F = [factor.scale @ lam for factor, lam in zip(self._gram.factors, lams, strict=True)]
        return lams, F, self._effects.factorize(self._pattern, F)

    def at(self, packed: Floats) -> GivenBySparseFactor:
        """Return beta and effects given packed relative factors, shape (n_lambda,)."""
        lams, F, factor = self._factor(packed)
        if factor is None:
            raise NumericalError(
                "The random effects' precision cannot be factored: a relative factor is too large."
            )
        found = solve_effects(self._effects, factor, F, self._gram.cross)
        return GivenBySparseFactor(self._gram, self._effects, factor, lams, found)

    def __call__(self, packed: Floats) -> Reduced:
        """Compute log|V| and T at packed factors, shape (s, n_lambda)."""
        w = len(self._gram.coef) + 1
        logdet, cross = np.full(len(packed), np.inf), np.full((len(packed), w, w), np.nan)
        with single_blas_thread():
            for k, own in enumerate(packed):
                _, F, factor = self._factor(own)
                if factor is None:
                    continue
                logdet[k] = self._effects.log_determinant(factor)
                cross[k], _ = solve_effects(self._effects, factor, F, self._gram.cross)
        return Reduced(logdet, cross)
