"""What compiled code reads of factors' covariances: standard deviations and partial correlations.

Of structures with fewer numbers it sees `compiled_form`. Its hands are
`fill_factors` and `pull_back_factors` of `kernels.marginal_density`: L and its pull-back, as
`CovarianceStructure` defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.marginal_density import block_table
from bayeslmm.model.covariance.of_matrix import OfMatrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bayeslmm.arrays import Floats, Ints
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


def compiled_form(
    covariance: BlockCovariance, sd: Floats, partials: Floats
) -> tuple[Floats, Floats]:
    """Compute the sds (..., q) and canonical partial correlations of the same G.

    They are those of `BlockCovariance.independent` sets, which is what compiled code knows.

    Parameters
    ----------
    covariance : BlockCovariance
        The structure.
    sd, partials : ndarray, shapes (..., n_sds) and (..., n_partials)
        Its own numbers.

    Returns
    -------
    sds, canonical : ndarray, shapes (..., q) and (..., n_canonical)
    """
    parts = [
        structure.canonical(own) if isinstance(structure, OfMatrix) else own
        for (structure, _), own in zip(
            covariance.members, covariance.split_partials(partials), strict=True
        )
    ]
    return covariance.column_sds(sd), np.concatenate(parts, axis=-1)


def pull_back_compiled(
    covariance: BlockCovariance, partials: Floats, d_sds: Floats, d_canonical: Floats
) -> tuple[Floats, Floats]:
    """Carry a gradient in `compiled_form` at one point to its arguments.

    Parameters
    ----------
    covariance : BlockCovariance
        The structure.
    partials : ndarray, shape (n_partials,)
        Where.
    d_sds, d_canonical : ndarray, shapes (q,) and (n_canonical,)
        The gradient.

    Returns
    -------
    d_sd, d_partials : ndarray, shapes (n_sds,) and (n_partials,)
    """
    d_partials, at = [], 0
    for (structure, columns), own in zip(
        covariance.members, covariance.split_partials(partials), strict=True
    ):
        if not isinstance(structure, OfMatrix):
            d_partials.append(d_canonical[at : at + structure.n_partials])
            at += structure.n_partials
            continue
        count = len(columns) * (len(columns) - 1) // 2
        d_partials.append(structure.pull_back_canonical(own, d_canonical[at : at + count]))
        at += count
    return covariance.sum_shared(d_sds), np.concatenate(d_partials)
