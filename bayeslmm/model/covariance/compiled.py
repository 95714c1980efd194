"""What compiled code reads of factors' covariances; it knows unstructured and diagonal structures.

Its hands are `fill_factors` and `pull_back_factors` of `kernels.marginal_density`: L and its
pull-back, as `CovarianceStructure` defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.kernels.marginal_density import block_table
from bayeslmm.model.covariance.diagonal import Diagonal
from bayeslmm.model.covariance.unstructured import Unstructured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Ints
    from bayeslmm.model.covariance.block_covariance import BlockCovariance


COMPILED = (Unstructured, Diagonal)


def covariance_table(covariances: Iterable[BlockCovariance]) -> Ints:
    """Return what tells compiled code which columns are correlated.

    Parameters
    ----------
    covariances : iterable of BlockCovariance
        Factor by factor.

    Returns
    -------
    ndarray of int64, shape (1 + K + sum of q,)
        See `block_table`.

    Raises
    ------
    TypeError
        If a structure has no compiled form.

    Examples
    --------
    >>> from bayeslmm.model.covariance.block_covariance import BlockCovariance
    >>> G = BlockCovariance.of_blocks("g", ("Intercept", "x", "z"), ((0, 1), (2,)))
    >>> covariance_table([G])  # one factor, three columns, their sets
    array([1, 3, 0, 0, 1])
    """
    table = []
    for G in covariances:
        for structure, _ in G.members:
            if not isinstance(structure, COMPILED):
                raise TypeError(f"{structure} of {G.name!r} has no compiled form.")
        table.append((G.n_columns, G.independent))
    return block_table(table)
