"""Correlations that a user gives for a structure: one number for it, or its matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.model.covariance.of_matrix import OfMatrix

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.model.covariance.block_covariance import BlockCovariance

# Correlations as they are printed in a program, and powers of them.
_SAME = 1e-6


def with_one_correlation(covariance: BlockCovariance, matrix: Floats) -> Floats:
    """Return a matrix of one correlation with the structures that have one in its place.

    Parameters
    ----------
    covariance : BlockCovariance
        Of a factor.
    matrix : ndarray, shape (q, q)
        The same number off the diagonal, or zero.

    Returns
    -------
    ndarray, shape (q, q)
        Of ``ar1()``, for example, with the number as the correlation of neighbours.
    """
    out = matrix.copy()
    for structure, columns in covariance.members:
        if not isinstance(structure, OfMatrix) or not structure.parameters:
            continue
        low, high = structure.values(np.array([0.0])), structure.values(np.array([1.0]))
        given = matrix[columns[1], columns[0]]
        if not low[0] < given < high[0]:
            raise ArgumentError(
                f"The correlation of {covariance.terms[columns[0]]!r} and others by "
                f"{covariance.name!r} is from {low[0]:.3g} to {high[0]:.3g}; it was {given:g}."
            )
        C = structure.correlation_factor((given - low) / (high - low))
        out[np.ix_(columns, columns)] = C @ C.T
    return out


def require_structure(covariance: BlockCovariance, matrix: Floats) -> None:
    """Raise unless correlations are those of a factor's structures.

    Parameters
    ----------
    covariance : BlockCovariance
        Of a factor.
    matrix : ndarray, shape (q, q)
        Correlations.

    Raises
    ------
    ArgumentError
        Naming the columns.
    """
    for structure, columns in covariance.members:
        if isinstance(structure, OfMatrix):
            own = matrix[np.ix_(columns, columns)]
            C = structure.correlation_factor(structure.near(own))
            if not np.allclose(C @ C.T, own, rtol=0.0, atol=_SAME):
                named = ", ".join(covariance.terms[j] for j in columns)
                raise ArgumentError(
                    f"These correlations of {named} by {covariance.name!r} are none that the "
                    "structure of the formula has; a number stands for its one correlation."
                )
