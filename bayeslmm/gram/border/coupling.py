r"""The coupling of crossed effects as sparse matrices in single precision.

With each level's S multiplied into its cross-products, :math:`A = C'C - \tilde E` is two sparse
products and no more; in single precision they move half as many bytes, which is what they cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import block_diag, bsr_matrix, csr_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Columns, Floats
    from bayeslmm.gram.border.sparse_products import SparseProducts


@dataclass(frozen=True, eq=False)
class Coupling:
    """A = C'C - E in single precision.

    Attributes
    ----------
    C, C_transposed : csr_matrix
        S_i K_ij S_j' of each pair of levels.
    E : csr_matrix or None
        Of pairs of levels of the border, scaled alike; None where there are none.
    """

    C: Any
    C_transposed: Any
    E: Any

    def multiply(self, X: Columns) -> Columns:
        """Multiply A with columns, shape (n_border, B), in single precision."""
        out = self.C_transposed @ (self.C @ X)
        if self.E is not None:
            out -= self.E @ X
        return np.asarray(out)


def couple_in_single(
    products: SparseProducts, eliminated: Floats, border: Sequence[Floats]
) -> Coupling:
    """Scale cross-products by each level's S.

    Parameters
    ----------
    products : SparseProducts
        The cross-products.
    eliminated : ndarray, shape (m, q, q)
        S of the factor that is eliminated.
    border : sequence of ndarray, shapes (m, q, q)
        S of the others.

    Returns
    -------
    Coupling
    """
    own, others = _diagonal([eliminated]), _diagonal(border)
    between = None if products.E is None else _scaled(others, products.E, others)
    return Coupling(
        _scaled(own, products.K, others), _scaled(others, products.K_transposed, own), between
    )


def _diagonal(blocks: Sequence[Floats]) -> Any:
    """Return a vector where all blocks are single numbers, else a sparse matrix."""
    if all(own.shape[1] == 1 for own in blocks):
        return np.concatenate([own.ravel() for own in blocks]).astype(np.float32)
    return block_diagonal(blocks).astype(np.float32)


def _scaled(left: Any, matrix: Any, right: Any) -> Any:
    """Compute left matrix right' in single precision."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        data = matrix.data.astype(np.float32)
        data *= right[matrix.indices]
        data *= np.repeat(left, np.diff(matrix.indptr))
        return csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape, copy=False)
    first, second = (
        block_diagonal([own[:, None, None]]) if isinstance(own, np.ndarray) else own
        for own in (left, right)
    )
    return (first @ matrix.astype(np.float32) @ second.T).tocsr()


def block_diagonal(blocks: Sequence[Floats]) -> Any:
    """Return a sparse matrix of blocks, one array of shape (m, q, q) after the other."""
    parts = [
        bsr_matrix((own, np.arange(len(own)), np.arange(len(own) + 1))).tocsr() for own in blocks
    ]
    return parts[0] if len(parts) == 1 else block_diag(parts, format="csr")
