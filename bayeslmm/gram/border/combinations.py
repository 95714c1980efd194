r"""Covariances of combinations x'beta + c'b of all effects given y and the relative factors.

With :math:`U = \Lambda' Z' V^{-1} X` the mean of b given beta moves with
beta by :math:`-\Lambda U`, so that

.. math:: \mathrm{Cov}(C \beta + D b \mid y) = A \, \mathrm{Cov}(\beta) A' +
          \sigma^2 D \Lambda Q^{-1} \Lambda' D', \qquad A = C - D \Lambda U.

Both parts are blocks of one T: that of a Gram whose fixed columns are those of X and, for each
combination, one whose cross-products with Z are D's weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.gram.border.choice import KRYLOV, SPARSE
from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.gram.border.sparse_factor import cross_sparsely
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import pack_factors
from bayeslmm.gram.reduction import reduce_exactly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_array

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.relationships.level_map import LevelMap

# Numbers of right-hand sides that are held at a time: 64 MB.
_NUMBERS = 2**23


class Combinations(NamedTuple):
    """Weights of all effects.

    Attributes
    ----------
    fixed : ndarray, shape (k, p)
        Of the fixed effects.
    random : sequence of sequence of csr_array, shapes (k, m)
        Of each grouping factor those of each column's effects, level by level.
    """

    fixed: Floats
    random: Sequence[Sequence[csr_array]]


def combinations_at_a_time(gram: Gram) -> int:
    """Return how many combinations `covariance_of_combinations` should be given at most."""
    columns = sum(int(np.prod(factor.within.shape[:2])) for factor in gram.factors)
    return max(_NUMBERS // max(columns, 1), 16)


def covariance_of_combinations(
    gram: Gram,
    factors: Sequence[Floats],
    sigma: float,
    combinations: Combinations,
    method: str,
) -> Floats:
    """Compute the covariance of combinations of the effects given y, under a flat prior of beta.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    combinations : Combinations
        k of them.
    method : {"dense", "sparse", "krylov"}
        How crossed effects are solved for, see `border.choice.Border`.

    Returns
    -------
    ndarray, shape (k, k)

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> mean_of_a = Combinations(np.ones((1, 1)), [[csr_array([[1.0, 0.0]])]])
    >>> gram = Gram.from_design(design)
    >>> covariance_of_combinations(gram, [np.eye(1)], 1.0, mean_of_a, "dense")
    array([[0.41666667]])
    """
    fixed = combinations.fixed
    p, count = fixed.shape[1], len(fixed)
    loaded = _loaded(gram, combinations.random, count)
    T = _cross(loaded, gram, factors, method)
    inverse = np.linalg.inv(gram.scale)
    covariance = sigma**2 * np.linalg.inv(T[:p, :p])
    moved = fixed @ inverse + T[p : p + count, :p]
    found = moved @ covariance @ moved.T - sigma**2 * T[p : p + count, p : p + count]
    return np.asarray(0.5 * (found + found.T))


def _cross(loaded: Gram, gram: Gram, factors: Sequence[Floats], method: str) -> Floats:
    if method == SPARSE:
        return cross_sparsely(gram, factors, loaded)
    if method == KRYLOV:
        return solve_fixed(Operator(sparse_products(loaded), loaded, factors)).T
    return np.asarray(reduce_exactly(loaded, pack_factors(gram, factors)[None]).cross[0])


def _loaded(gram: Gram, random: Sequence[Sequence[csr_array]], count: int) -> Gram:
    """Return a Gram with a fixed column for each combination, behind those of X."""
    p = len(gram.coef)
    width = p + count + 1
    kept = [*range(p), width - 1]
    factors = []
    for factor, weights in zip(gram.factors, random, strict=True):
        levels, q, _ = factor.with_fixed.shape
        with_fixed = np.zeros((levels, q, width))
        with_fixed[:, :, kept] = factor.with_fixed
        # Weights of b = M^-1 bs, where the cross-products are of bs; of latent levels b = T v.
        latent = factor.latent if factor.nodes is None else None
        own = np.stack([_of_latent(latent, each) for each in weights], axis=1)
        with_fixed[:, :, p:-1] = np.einsum("ji,kjm->mik", np.linalg.inv(factor.scale), own)
        factors.append(replace(factor, with_fixed=with_fixed, fixed=None))
    cross, scale = np.zeros((width, width)), np.eye(width - 1)
    cross[np.ix_(kept, kept)] = gram.cross
    scale[:p, :p] = gram.scale
    return replace(
        gram,
        coef=(*gram.coef, *map(str, range(count))),
        factors=tuple(factors),
        scale=scale,
        slope=np.concatenate([gram.slope, np.zeros(count)]),
        cross=cross,
    )


def _of_latent(latent: LevelMap | None, weights: csr_array) -> Floats:
    """Return weights of the levels that cross-products have, shape (k, M)."""
    if latent is None or latent.tells_latent:
        return np.asarray(weights.toarray())
    found = weights @ latent.matrix
    return np.asarray(found if isinstance(found, np.ndarray) else found.toarray())
