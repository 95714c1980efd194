r"""The coupling of crossed effects at given relative factors, as a matrix that is never formed.

With F = M Lambda, and for each level :math:`D_i = I + F' W_i F = L_i L_i'` and
:math:`S_i = L_i^{-1} F'`,

.. math:: \log|V| = \sum_i \log|D_i| + \log|I - A|, \qquad
          A = S (K' \Gamma K - E) S', \quad \Gamma_i = F D_i^{-1} F',

where S and the columns of A are the border's, and :math:`\Gamma` is that of the factor that is
eliminated. With two crossed factors the eigenvalues of A lie in [0, 1).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.coupling import couple_in_single

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.blocks import CrossProducts
    from bayeslmm.gram.border.coupling import Coupling
    from bayeslmm.gram.border.sparse_products import SparseProducts


class FactorBlocks:
    """One factor's blocks at a relative factor, a matrix for each level.

    Parameters
    ----------
    within : ndarray, shape (m, q, q)
        W_i, cross-products of each level's columns.
    F : ndarray, shape (q, q)
        M Lambda.

    Attributes
    ----------
    logdet : float
        Sum of log|D_i|.
    lower, S, N, gamma, inverse : ndarray, shapes (m, q, q)
        L_i, L_i^-1 F', (I + F F' W_i)^-1, F D_i^-1 F', and D_i^-1.
    """

    def __init__(self, within: Floats, F: Floats) -> None:
        self.within, self.F = within, F
        q = len(F)
        if q == 1:
            f, w = float(F[0, 0]), within
            D = 1.0 + f * f * w
            self.lower, self.inverse = np.sqrt(D), 1.0 / D
            self.S = f / self.lower
            self.gamma, self.N = f * f * self.inverse, self.inverse
            self.logdet = float(np.log(D).sum())
            self.lower_inverse = 1.0 / self.lower
            return
        D = np.eye(q) + F.T @ within @ F
        self.lower = np.linalg.cholesky(D)
        self.lower_inverse = np.linalg.inv(self.lower)
        self.inverse = np.swapaxes(self.lower_inverse, 1, 2) @ self.lower_inverse
        self.S = self.lower_inverse @ F.T
        self.gamma = F @ self.inverse @ F.T
        # I - Sigma W (I + Sigma W)^-1 without an inverse of F, which may be singular.
        self.N = np.eye(q) - self.gamma @ within
        diagonal = np.diagonal(self.lower, axis1=1, axis2=2)
        self.logdet = 2.0 * float(np.log(diagonal).sum())


def times[T: np.floating](blocks: Floats, X: NDArray[T], *, transposed: bool = False) -> NDArray[T]:
    """Multiply a block-diagonal matrix, shape (m, q, q), with columns, shape (m q, B)."""
    m, q, _ = blocks.shape
    own = blocks.astype(X.dtype, copy=False)
    if q == 1:
        return np.asarray(own[:, :, 0] * X)
    columns = X.reshape(m, q, -1)
    out = np.empty_like(columns)
    for i in range(q):
        out[:, i] = 0.0
        for j in range(q):
            entries = own[:, j, i] if transposed else own[:, i, j]
            out[:, i] += entries[:, None] * columns[:, j]
    return out.reshape(X.shape)


class Operator:
    """A and the blocks around it at one set of relative factors.

    Parameters
    ----------
    products : SparseProducts
        What does not depend on them.
    gram : CrossProducts
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Lambda of each factor.

    Attributes
    ----------
    blocks : tuple of FactorBlocks
        Of each factor, in the Gram's order.
    """

    def __init__(
        self, products: SparseProducts, gram: CrossProducts, factors: Sequence[Floats]
    ) -> None:
        self.products, self.gram = products, gram
        self.blocks = tuple(
            FactorBlocks(factor.within, factor.scale @ lam)
            for factor, lam in zip(gram.factors, factors, strict=True)
        )

    @property
    def eliminated(self) -> FactorBlocks:
        """Blocks of the factor that is eliminated."""
        return self.blocks[self.products.first]

    @property
    def logdet_blocks(self) -> float:
        """Sum of log|D_i| over all levels of all factors."""
        return sum(own.logdet for own in self.blocks)

    def on_border[T: np.floating](
        self, name: str, X: NDArray[T], *, transposed: bool = False
    ) -> NDArray[T]:
        """Multiply a block-diagonal matrix of the border, such as ``"S"``, with columns."""
        parts = [
            times(getattr(self.blocks[k], name), X[self.products.columns(k)], transposed=transposed)
            for k in self.products.border
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def across[T: np.floating](self, X: NDArray[T]) -> NDArray[T]:
        """Multiply K with columns of the border."""
        return np.asarray(self.products.in_precision("K", X) @ X)

    def met[T: np.floating](self, across: NDArray[T], X: NDArray[T]) -> NDArray[T]:
        """Compute K' Gamma K X - E X from K X and X, columns of the border."""
        out = self.products.in_precision("K_transposed", across) @ times(
            self.eliminated.gamma, across
        )
        if self.products.E is not None:
            out -= self.products.in_precision("E", X) @ X
        return np.asarray(out)

    @cached_property
    def _in_single(self) -> Coupling:
        return couple_in_single(
            self.products, self.eliminated.S, [self.blocks[k].S for k in self.products.border]
        )

    def __call__[T: np.floating](self, X: NDArray[T]) -> NDArray[T]:
        """Multiply A with columns, shape (n_border, B), in their own precision."""
        if X.dtype == np.float32:
            return np.asarray(self._in_single.multiply(X), dtype=X.dtype)
        pushed = self.on_border("S", X, transposed=True)
        return self.on_border("S", self.met(self.across(pushed), pushed))
