"""A known covariance given as a matrix with labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arguments import label
from bayeslmm.errors import DataError, DataWarning, names_keywords, warn
from bayeslmm.relationships.relationship import Relationship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bayeslmm.arrays import Floats
    from bayeslmm.relationships.relationship import Arrays

# Files of numbers with 6 digits are symmetric up to these parts of the diagonal.
_SYMMETRIC = 1e-8
# An inverse of a relationship matrix has no positive entry beside the diagonal, or few; of a
# covariance of relatives most are positive.
_MOST_NEGATIVE = 0.9
# Part of a pedigree's precision that is zero; correlations that rounding leaves of zero.
_SPARSE = 0.1
_ROUNDED = 1e-9


@dataclass(frozen=True, eq=False)
class CovarianceMatrix(Relationship):
    """A covariance matrix A, symmetric and positive definite."""

    matrix: Floats

    @property
    def kind(self) -> str:
        """``"covariance"``."""
        return "covariance"

    def covariance(self) -> Floats:
        """Return A."""
        return self.matrix

    def arrays(self) -> Arrays:
        """Return A."""
        return {"matrix": self.matrix}


@names_keywords
def known_covariance(matrix: ArrayLike, levels: Sequence[object] | None = None) -> Relationship:
    r"""Return a known covariance of levels, given as a matrix.

    .. math:: \operatorname{Cov}(b_i, b_j) = A_{ij} G

    Parameters
    ----------
    matrix : DataFrame or array-like, shape (m, m)
        A, symmetric and positive definite; of a DataFrame the index labels it.
    levels : sequence, optional
        The m labels, where the matrix has none. There may be more than the data have: effects of
        the others can be foretold.

    Returns
    -------
    Relationship
        For ``known={"A": ...}``, beside ``(1 | gr(g, cov=A))`` in the formula.

    Raises
    ------
    DataError
        If labels are missing or doubled, or the matrix is not square, finite, symmetric and
        positive definite, or nearly all covariances are negative, as those of a precision.

    Warns
    -----
    DataWarning
        Where some are negative and the inverse's are not, as those of a pedigree's precision.

    References
    ----------
    Lynch, M. & Walsh, B. (1998). Genetics and Analysis of Quantitative Traits, chapter 26.
    Sinauer.

    Examples
    --------
    >>> known_covariance([[1.0, 0.5], [0.5, 1.0]], ["a", "b"]).covariance_of(["b", "a"])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    labels = labels_of(matrix, levels, "covariance")
    values = numbers_of(matrix, "covariance")
    check_labels(labels, len(values), "covariance")
    check_symmetric(values, labels, "covariance")
    _refuse_precision(values)
    values = (values + values.T) / 2.0
    require_positive_definite(values, labels, "covariance")
    _warn_of_precision(values)
    return CovarianceMatrix(labels, values)


def labels_of(matrix: Any, levels: Sequence[object] | None, what: str) -> tuple[str, ...]:
    """Return labels: those given, or those of a DataFrame's index, which its columns repeat.

    Raises
    ------
    DataError
        If there are none, or rows and columns have others.
    """
    way = "known_covariance(matrix, levels)"
    if what == "precision":
        way = "precision(matrix, levels)"
    if levels is not None:
        if isinstance(levels, str):
            raise DataError("levels is a list of labels, one for each row of the matrix.")
        return tuple(map(label, levels))
    index = getattr(matrix, "index", None)
    if index is None or callable(index) or not hasattr(matrix, "columns"):
        raise DataError(
            "A matrix of numbers does not say which levels it is of: give a pandas DataFrame with "
            f"the levels as index and columns, or {way}."
        )
    rows, columns = tuple(map(label, index)), tuple(map(label, matrix.columns))
    if rows == columns:
        return rows
    if sorted(rows) == sorted(columns):
        raise DataError(
            f"Rows and columns of the known {what} have the same labels in another order: take "
            "A.loc[A.index, A.index]."
        )
    lacking = next((row for row in rows if row not in columns), "")
    raise DataError(
        f"Index and columns of a known {what} are both its levels, and {lacking!r} is no column: "
        "of a file that was written with labels, read pandas.read_csv(path, index_col=0)."
    )


def numbers_of(matrix: Any, what: str) -> Floats:
    """Return a square matrix of numbers.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        values = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"The known {what} holds something that is no number.") from None
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not len(values):
        raise DataError(f"A known {what} is a square matrix; this has the shape {values.shape}.")
    return values


def check_labels(labels: Sequence[str], size: int, what: str) -> None:
    """Raise unless there is one label for each row, and no label twice.

    Raises
    ------
    DataError
        Naming the label that stands twice.
    """
    if len(labels) != size:
        raise DataError(
            f"The known {what} has {size:,} rows and {len(labels):,} labels: one for each is due."
        )
    if len(set(labels)) < len(labels):
        twice = max(labels, key=Counter(labels).__getitem__)
        raise DataError(
            f"The known {what} names the level {twice!r} twice: each level has one row."
        )


def check_symmetric(values: Floats, labels: Sequence[str], what: str) -> None:
    """Raise unless a matrix is finite and symmetric.

    Raises
    ------
    DataError
        Naming the first pair of levels where it is not.
    """
    odd = ~np.isfinite(values)
    if odd.any():
        i, j = np.argwhere(odd)[0]
        raise DataError(
            f"The known {what} of {labels[i]!r} and {labels[j]!r} is {values[i, j]}: give a number."
        )
    size = np.sqrt(np.abs(np.outer(np.diag(values), np.diag(values))))
    odd = np.abs(values - values.T) > _SYMMETRIC * np.maximum(size, np.abs(values).max() * 1e-6)
    if odd.any():
        i, j = np.argwhere(odd)[0]
        raise DataError(
            f"The known {what} is not symmetric: {values[i, j]:g} for {labels[i]!r} and "
            f"{labels[j]!r}, {values[j, i]:g} for {labels[j]!r} and {labels[i]!r}. Of one triangle "
            "make a whole matrix, as with A + A.T - np.diag(np.diag(A))."
        )


def _refuse_precision(values: Floats) -> None:
    """Raise where a covariance looks like the inverse of one."""
    apart = values[~np.eye(len(values), dtype=bool)]
    there = apart[apart != 0.0]
    if len(values) > 2 and len(there) and np.mean(there < 0.0) > _MOST_NEGATIVE:
        raise DataError(
            f"{np.mean(there < 0.0):.0%} of the known covariances between levels are negative, as "
            "in an inverse: if this is a precision (A^-1, as MCMCglmm's inverseA gives it), write "
            "precision(matrix, levels)."
        )


def _warn_of_precision(values: Floats) -> None:
    """Warn where a covariance has zeros and negative entries, and its inverse has no negative one.

    So has the inverse of a pedigree's matrix, in which mates are positive, parents negative, and
    others zero. Genomic matrices of centered markers have negative entries, and no zeros.
    """
    scale = np.sqrt(np.diag(values))
    unit = values / scale / scale[:, None]
    zeros = np.mean(np.abs(unit) < _ROUNDED)
    if len(values) < 3 or unit.min() > -_ROUNDED or zeros < _SPARSE:
        return
    inverse = np.linalg.inv(unit)
    if inverse.min() > -_ROUNDED * inverse.max():
        warn(
            "The known covariance has zeros and negative entries, its inverse no negative one: "
            "as of a precision of relatives (A^-1, as MCMCglmm's inverseA gives it), whose "
            "covariances are positive. If it is one, write precision(matrix, levels); a "
            "covariance is right as it is.",
            DataWarning,
        )


def require_positive_definite(values: Floats, labels: Sequence[str], what: str) -> None:
    """Raise unless a symmetric matrix is positive definite, so that it can be inverted.

    Raises
    ------
    DataError
        Naming two levels whose rows are the same, if that is why.
    """
    diagonal = np.diag(values)
    if (diagonal <= 0.0).any():
        i = int(np.argmin(diagonal))
        raise DataError(
            f"The known {what} of {labels[i]!r} with itself is {diagonal[i]:g}: variances are "
            "positive."
        )
    scale = np.sqrt(diagonal)
    lowest = np.linalg.eigvalsh(values / scale / scale[:, None])[0]
    if lowest > len(values) * np.finfo(float).eps:
        return
    unit = np.tril(values / scale / scale[:, None], -1)
    i, j = divmod(int(np.argmax(unit)), len(unit))
    alike = (
        f" The levels {labels[i]!r} and {labels[j]!r} have a correlation of {unit[i, j]:.6g}: let "
        "them be one level, or"
        if unit[i, j] > 1.0 - 1e-8
        else " Of genomic relationships"
    )
    raise DataError(
        f"The known {what} is not positive definite: its smallest eigenvalue (of correlations) is "
        f"{lowest:.2g}.{alike} add a small number to the diagonal, as in A + 0.01 * np.eye(len(A))."
    )
