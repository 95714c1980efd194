"""A known covariance given by its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from bayeslmm.errors import names_keywords
from bayeslmm.relationships.matrix import (
    check_labels,
    check_symmetric,
    labels_of,
    numbers_of,
    require_positive_definite,
)
from bayeslmm.relationships.nodes import NodePrecision
from bayeslmm.relationships.relationship import Relationship
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.relationships.relationship import Arrays


@dataclass(frozen=True, eq=False)
class PrecisionMatrix(Relationship):
    """The inverse of a covariance, by its entries that are not zero."""

    rows: Ints
    cols: Ints
    values: Floats

    @property
    def kind(self) -> str:
        """``"precision"``."""
        return "precision"

    @cached_property
    def _inverse(self) -> Floats:
        m = len(self.labels)
        Q = sparse.csr_array((self.values, (self.rows, self.cols)), shape=(m, m)).toarray()
        with single_blas_thread():  # see `LevelMap.matrix`
            A = cho_solve(cho_factor(Q, lower=True), np.eye(m))
        return np.asarray((A + A.T) / 2.0)

    def covariance(self) -> Floats:
        """Return the inverse."""
        return self._inverse

    def nodes_of(self, levels: Sequence[str]) -> NodePrecision:
        """Return all labels as nodes, of which the levels are some."""
        places = self.places(levels).astype(np.int64)
        variances = self._inverse.diagonal()[places]
        return NodePrecision(
            len(self.labels), places, self.rows, self.cols, self.values, variances
        )  # fmt: skip

    def arrays(self) -> Arrays:
        """Return the entries that are not zero."""
        return {"rows": self.rows, "cols": self.cols, "values": self.values}


@names_keywords
def precision(matrix: Any, levels: Sequence[object] | None = None) -> Relationship:
    r"""Return a known covariance of levels, given by its inverse Q.

    .. math:: \operatorname{Cov}(b_i, b_j) = [Q^{-1}]_{ij} G

    Programs for animal models hand out the inverse of a relationship matrix, which is sparse.

    Parameters
    ----------
    matrix : DataFrame, array-like or scipy.sparse matrix, shape (m, m)
        Q, symmetric and positive definite; of a DataFrame the index labels it.
    levels : sequence, optional
        The m labels, where the matrix has none.

    Returns
    -------
    Relationship
        For ``known={"A": ...}``, beside ``(1 | gr(g, cov=A))`` in the formula.

    Raises
    ------
    DataError
        If labels are missing or doubled, or the matrix is not square, finite, symmetric and
        positive definite.

    References
    ----------
    Henderson, C. R. (1976). A simple method for computing the inverse of a numerator relationship
    matrix used in prediction of breeding values. Biometrics 32, 69-83.
    https://doi.org/10.2307/2529339

    Examples
    --------
    >>> A = precision([[2.0, -1.0], [-1.0, 2.0]], ["a", "b"])
    >>> A.covariance().round(4)
    array([[0.6667, 0.3333],
           [0.3333, 0.6667]])
    """
    labels = labels_of(matrix, levels, "precision")
    given: Any = matrix
    whole = given.toarray() if sparse.issparse(matrix) else given
    values = numbers_of(whole, "precision")
    check_labels(labels, len(values), "precision")
    check_symmetric(values, labels, "precision")
    values = (values + values.T) / 2.0
    require_positive_definite(values, labels, "precision")
    rows, cols = np.nonzero(values)
    return PrecisionMatrix(labels, rows.astype(np.int64), cols.astype(np.int64), values[rows, cols])
