r"""Beta and all effects given relative factors, without a dense matrix: drawn, or their moments.

By iterations, with :math:`\tilde u = L' u` the border's effects are

.. math:: \tilde u \sim N\big((I - A)^{-1} r, \; \sigma^2 (I - A)^{-1}\big)

given beta and sigma. By a sparse factor all effects are :math:`N(Q^{-1} F' Z' r, \sigma^2 Q^{-1})`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm.gram.border.draws import draw_given_beta
from bayeslmm.gram.border.moments import own_blocks
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.gram.told import Solved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.border.operator import Operator
    from bayeslmm.gram.border.probes import Probes
    from bayeslmm.gram.border.sparse_factor import SparseEffects
    from bayeslmm.gram.gram import Gram
    from bayeslmm.kernels.sparse.cholesky import SparseFactor

# Of means of effects, in which draws scatter; that of T is its square.
_TOLERANCE = 1e-6
# Probes for covariances at one of some relative factors, over which they are averaged.
_FEW = 8


class Given(Protocol):
    """Effects at one set of relative factors.

    Attributes
    ----------
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r].
    """

    T: Floats

    def draw(self, beta: Floats, sigma: Floats, rng: np.random.Generator) -> list[Floats]:
        """Draw effects for fixed effects (s, p) and sigmas (s,); shapes (s, m, q)."""
        ...

    def solved(self, rng: np.random.Generator) -> Solved:
        """Return what moments of effects follow from."""
        ...


class GivenByIterations:
    """Effects by conjugate gradients, probes and the Lanczos method; see `Given`.

    Parameters
    ----------
    operator : Operator
        A.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    probes : Probes
        With directions for covariances.
    """

    def __init__(self, operator: Operator, factors: Sequence[Floats], probes: Probes) -> None:
        self._operator, self._factors, self._probes = operator, factors, probes
        self._solution = solve_fixed(operator, _TOLERANCE)
        self.T = self._solution.T

    def draw(self, beta: Floats, sigma: Floats, rng: np.random.Generator) -> list[Floats]:
        """Draw effects for fixed effects and sigmas."""
        return draw_given_beta(
            self._operator, self._solution, self._factors, (beta, sigma), rng,
            precision=self._probes.precision,
        )  # fmt: skip

    def solved(self, rng: np.random.Generator) -> Solved:
        """Return T, the effects of [Xs r], and covariances by a few probes of their own."""
        probes = self._probes.fresh(_FEW, rng)
        return Solved(self.T, self._solution.effects, own_blocks(self._operator, probes))


class GivenBySparseFactor:
    """Effects by a sparse factor of Q; see `Given`.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    effects : SparseEffects
        The same, laid out.
    factor : SparseFactor
        Of Q.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    found : tuple of ndarray
        T, and Q^-1 F'Z'[Xs r].
    """

    def __init__(
        self,
        gram: Gram,
        effects: SparseEffects,
        factor: SparseFactor,
        factors: Sequence[Floats],
        found: tuple[Floats, Floats],
    ) -> None:
        self._gram, self._effects, self._factor, self._factors = gram, effects, factor, factors
        self.T, self._joint = found

    def draw(self, beta: Floats, sigma: Floats, rng: np.random.Generator) -> list[Floats]:
        """Draw effects for fixed effects and sigmas."""
        gram = self._gram
        left = np.vstack([-(gram.scale @ (beta - gram.origin).T), np.ones(len(sigma))])
        normals = rng.standard_normal((len(self._joint), len(sigma)))
        u = self._joint @ left + sigma * self._factor.half_solve_transposed(normals)
        return [
            np.ascontiguousarray(np.moveaxis(own.reshape(-1, len(lam), len(sigma)), 2, 0) @ lam.T)
            for own, lam in zip(self._split(u), self._factors, strict=True)
        ]

    def solved(self, rng: np.random.Generator) -> Solved:  # noqa: ARG002 - nothing is drawn
        """Return T, the effects of [Xs r], and covariances by the selected inverse."""
        own, _ = self._effects.inverse_blocks(self._factor)
        return Solved(self.T, self._split(self._joint), own)

    def _split(self, columns: Floats) -> list[Floats]:
        return [self._effects.of_levels(k, columns) for k in range(len(self._factors))]
