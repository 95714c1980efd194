"""The covariances of random effects as points of real lines, where likelihoods bend alike.

Standard deviations have their logarithms for coordinates, partials the inverse hyperbolic tangents
of their places in their intervals; all is well where no parameter is on its bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.model.covariance.of_matrix import OfMatrix
from bayeslmm.model.covariance.partial_correlations import partials_of_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData
    from bayeslmm.model.covariance.block_covariance import BlockCovariance


def line_point(factors: Sequence[FactorData], roots: Sequence[Floats]) -> Floats:
    """Return coordinates of G, factor by factor: of its standard deviations, then its partials.

    Parameters
    ----------
    factors : sequence of FactorData
        Grouping factors.
    roots : sequence of ndarray, shapes (q, q)
        L with G = L L', lower triangular.

    Returns
    -------
    ndarray, shape (number of parameters of G,)
        Not finite where a standard deviation is zero or a matrix is singular.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> line_point(design.factors, [np.array([[1.0, 0.0], [0.6, 0.8]])]).round(3)
    array([0.   , 0.   , 0.693])
    """
    parts = [np.zeros(0)]
    with np.errstate(all="ignore"):
        for factor, L in zip(factors, roots, strict=True):
            covariance = covariance_of(factor)
            sd, corr = sd_corr_from_factor(L)
            parts.append(np.log(sd[list(covariance.sd_leads)]))
            partials = _partials(covariance, L / sd[:, None], corr)
            between = np.array(covariance.in_unit_interval, dtype=bool)
            parts.append(np.arctanh(np.where(between, 2.0 * partials - 1.0, partials)))
    return np.concatenate(parts)


def line_roots(factors: Sequence[FactorData], point: Floats) -> list[Floats]:
    """Return the roots L_k of G_k at coordinates as `line_point` has them."""
    roots, at = [], 0
    for factor in factors:
        covariance = covariance_of(factor)
        a, b = at + covariance.n_sds, at + covariance.n_sds + covariance.n_partials
        line = np.tanh(point[a:b])
        between = np.array(covariance.in_unit_interval, dtype=bool)
        partials = np.where(between, 0.5 * (1.0 + line), line)
        roots.append(covariance.factor(np.exp(point[at:a]), partials))
        at = b
    return roots


def _partials(covariance: BlockCovariance, unit: Floats, corr: Floats) -> Floats:
    parts = []
    for structure, columns in covariance.members:
        at = np.ix_(columns, columns)
        if isinstance(structure, OfMatrix):
            parts.append(structure.near(corr[at]))
        elif structure.n_partials:
            parts.append(partials_of_factor(unit[at]))
    return np.concatenate([np.zeros(0), *parts])
