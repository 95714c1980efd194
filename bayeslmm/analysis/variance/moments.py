"""Averages over rows, computed from cross-products where those determine them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import TreeError
from bayeslmm.gram.file import gram_of_dataset
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.strata import laid_out_as
from bayeslmm.results import read
from bayeslmm.results.residual import residual_draws, residual_structure

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.arrays import Floats


def tree_gram(idata: xr.DataTree) -> Gram | None:
    """Return the cross-products that a tree was fitted to; None where it holds rows."""
    read.require_tree(idata)
    if not read.from_cross_products(idata):
        return None
    return gram_of_dataset(Gram, read.group(idata, names.CROSS_PRODUCTS))


def weighted_parts(idata: xr.DataTree, gram: Gram) -> list[tuple[Gram, Floats]]:
    r"""Return the cross-products that add up to W'R^-1 W, and what each is multiplied by.

    .. math:: W' R^{-1} W = \sum_k c_k \, W_k' W_k, \quad
              \log |R| = -\sum_k (n_k \log c_k + \sum \log w)

    Parameters
    ----------
    idata : DataTree
        Draws.
    gram : Gram
        What they were fitted to.

    Returns
    -------
    list of (Gram, ndarray of shape (s,))
        All rows and 1 / sigma^2, or the rows of each stratum; levels and coordinates are alike.
    """
    structure = residual_structure(idata)
    if structure is None or gram.strata is None:
        return [(gram, 1.0 / read.flat_draws(idata, names.SIGMA) ** 2)]
    weights, _ = structure.coefficients(residual_draws(idata, structure))
    parts = [laid_out_as(gram, part) for part in gram.strata.grams]
    return [(part, weights[:, k]) for part, k in zip(parts, structure.cell.tolist(), strict=True)]


def require_unweighted(gram: Gram) -> None:
    """Raise unless every row was summed with weight one, as averages over rows need.

    Raises
    ------
    TreeError
        If the rows had weights.
    """
    if gram.scales is not None and gram.scales.weights is not None:
        raise TreeError(
            "This is an average over rows, each counted once, and these cross-products count each "
            "row by its weight. Fit to the rows themselves to see it."
        )


def second_moments(gram: Gram, place: int) -> Floats:
    r"""Compute the mean over rows of z z' for a factor's columns, shape (q, q)."""
    require_unweighted(gram)
    factor = gram.factors[place]
    moments: Floats = factor.scale.T @ factor.within.sum(axis=0) @ factor.scale / gram.n
    return moments


def level_sums(gram: Gram, place: int) -> Floats:
    """Compute each level's sum over rows of z, for a factor's columns, shape (m, q).

    Raises
    ------
    TreeError
        If neither the fixed nor the factor's own columns hold a column of ones.
    """
    require_unweighted(gram)
    factor = gram.factors[place]
    if gram.coef[:1] == (names.INTERCEPT,):
        # The plan's first fixed column is constant, at the inverse of the first scale.
        sums: Floats = factor.with_fixed[:, :, 0] * gram.scale[0, 0] @ factor.scale
        return sums
    if names.INTERCEPT in factor.terms:
        products = level_products(gram, place)
        return np.asarray(products[:, factor.terms.index(names.INTERCEPT)])
    raise TreeError(
        f"The cross-products of {factor.name!r} hold no sums over rows of its columns "
        f"({', '.join(factor.terms)}): the model has no intercept. Fit to the rows to see this."
    )


def fixed_covariance(gram: Gram) -> Floats:
    """Compute the sample covariance over rows (divisor n - 1) of the fixed-effects columns."""
    require_unweighted(gram)
    p, n = len(gram.coef), gram.n
    if n < 2:
        return np.zeros((p, p))
    cross = gram.cross[:p, :p]
    if gram.coef[:1] == (names.INTERCEPT,):
        # The first column is constant, so sums of the others stand beside it: no cancellation.
        means = cross[0] * gram.scale[0, 0] / n
    else:
        assert gram.scales is not None  # noqa: S101 - whoever fits a Gram has checked it
        means = np.array([column.mean for column in gram.scales.fixed])
        means = np.linalg.solve(gram.scale.T, means)
    centered = cross - n * np.outer(means, means)
    if gram.coef[:1] == (names.INTERCEPT,):
        centered[0] = centered[:, 0] = 0.0
    covariance: Floats = gram.scale.T @ centered @ gram.scale / (n - 1)
    return covariance


def level_products(gram: Gram, place: int) -> Floats:
    """Compute each level's Z_i' W_i Z_i, shape (m, q, q)."""
    factor = gram.factors[place]
    products: Floats = factor.scale.T @ factor.within @ factor.scale
    return products
