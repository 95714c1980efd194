r"""Means and covariances of effects given relative factors, without a dense matrix.

Means are exact, to the tolerance of conjugate gradients. Of the covariances

.. math:: (I - A)^{-1} = I + A + A^2 (I - A)^{-1},

and only what the last term has in each level's own block is by probes: with 32 of them standard
deviations of effects are off by a tenth of a per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.choice import KRYLOV, PROBES, SPARSE, choose_border
from bayeslmm.gram.border.conjugate_gradients import solve
from bayeslmm.gram.border.operator import Operator, times
from bayeslmm.gram.border.probes import Probes
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.gram.border.sparse_factor import conditional_sparsely
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import conditional
from bayeslmm.gram.told import Conditional, Solved, conditional_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Columns, Floats
    from bayeslmm.gram.gram import Gram

# Of solutions for covariances, whose chance is ten times as large.
_TOLERANCE = 1e-4


def conditional_by_probes(
    gram: Gram,
    factors: Sequence[Floats],
    sigma: float,
    *,
    count: int,
    seed: int,
) -> Conditional:
    """Compute what `likelihood.conditional` does, with probes for covariances of effects.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    count : int
        Probes.
    seed : int
        Of their signs.

    Returns
    -------
    Conditional
    """
    operator = Operator(sparse_products(gram), gram, factors)
    solution = solve_fixed(operator)
    probes = Probes(operator, count, np.random.default_rng([seed, 8]))
    solved = Solved(solution.T, solution.effects, own_blocks(operator, probes))
    return conditional_from(gram, list(factors), sigma, solved)


def conditional_as(
    method: str,
    gram: Gram,
    factors: Sequence[Floats],
    sigma: float,
    probes: tuple[int, int] | None = None,
) -> Conditional:
    """Compute moments of all effects as a border is solved.

    Parameters
    ----------
    method : {"dense", "sparse", "krylov"}
        See `choice.Border`.
    gram : Gram
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    probes : tuple of int, optional
        Number of probes, and their seed.

    Returns
    -------
    Conditional
    """
    if method == SPARSE:
        return conditional_sparsely(gram, factors, sigma)
    if method == KRYLOV:
        count, seed = probes or (PROBES, 1)
        return conditional_by_probes(gram, factors, sigma, count=count, seed=seed)
    return conditional(gram, factors, sigma)


def conditional_moments(gram: Gram, factors: Sequence[Floats], sigma: float) -> Conditional:
    """Compute moments of all effects: as `likelihood.conditional`, or by probes where it is large.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.

    Returns
    -------
    Conditional
    """
    return conditional_as(choose_border(gram).method, gram, factors, sigma)


def own_blocks(operator: Operator, probes: Probes) -> list[Floats]:
    """Compute each level's own block of Q^-1, shapes (m, q, q), factor after factor.

    Parameters
    ----------
    operator : Operator
        A.
    probes : Probes
        For what is not exact.
    """
    products, eliminated = operator.products, operator.eliminated
    z = probes.columns
    beyond = solve(operator, z, _TOLERANCE).x - z
    ahead = operator(z)
    m, q, _ = eliminated.gamma.shape
    met = np.zeros((m, q, q))
    out = [np.zeros(0)] * len(operator.blocks)
    for k, squares in products.squares.items():
        blocks = operator.blocks[k]
        met += (squares @ blocks.gamma.ravel()).reshape(m, q, q)
        there = (squares.T @ eliminated.gamma.ravel()).reshape(blocks.gamma.shape)
        rows = products.columns(k)
        rest = _outer(ahead[rows], beyond[rows], blocks.gamma.shape, probes.count)
        out[k] = _turned(blocks.lower_inverse, blocks.S @ there @ np.swapaxes(blocks.S, 1, 2)
                         + rest)  # fmt: skip
    coupled = [
        times(eliminated.S, operator.across(operator.on_border("S", columns, transposed=True)))
        for columns in (z, beyond)
    ]
    rest = _outer(coupled[0], coupled[1], eliminated.gamma.shape, probes.count)
    exact = eliminated.S @ met @ np.swapaxes(eliminated.S, 1, 2)
    out[products.first] = _turned(eliminated.lower_inverse, exact + rest)
    return out


def _outer(X: Columns, Y: Columns, shape: tuple[int, ...], count: int) -> Floats:
    """Average x_i y_i' of each level over probes, and add the directions', symmetric."""
    share = np.ones(X.shape[1])
    share[:count] = 1.0 / count
    a, b = X.reshape(*shape[:2], -1), (Y * share).reshape(*shape[:2], -1)
    product = a @ np.swapaxes(b, 1, 2)
    return np.asarray(0.5 * (product + np.swapaxes(product, 1, 2)))


def _turned(lower_inverse: Floats, inside: Floats) -> Floats:
    """Compute L^-T (I + inside) L^-1."""
    q = inside.shape[1]
    return np.asarray(np.swapaxes(lower_inverse, 1, 2) @ (np.eye(q) + inside) @ lower_inverse)
