"""What compiled code reads of factors' covariances: standard deviations and partial correlations.

Of structures with fewer numbers it sees `BlockCovariance.compiled_form`. Its hands are
`fill_factors` and `pull_back_factors` of `kernels.marginal_density`: L and its pull-back, as
`CovarianceStructure` defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.kernels.marginal_density import block_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Ints
    from bayeslmm.model.covariance.block_covariance import BlockCovariance


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

    Examples
    --------
    >>> from bayeslmm.model.covariance.block_covariance import BlockCovariance
    >>> G = BlockCovariance.of_blocks("g", ("Intercept", "x", "z"), ((0, 1), (2,)))
    >>> covariance_table([G])  # one factor, three columns, their sets
    array([1, 3, 0, 0, 1])
    """
    return block_table([(G.n_columns, G.independent) for G in covariances])
