r"""T = [X y]' V^-1 [X y] and the effects that belong to it, by conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.conjugate_gradients import solve
from bayeslmm.gram.border.operator import times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.border.operator import Operator

# The error of T is the square of this, that of effects this itself.
TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Solution:
    """What is left of [X y] given the relative factors.

    Attributes
    ----------
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r], in the coordinates of the Gram.
    effects : tuple of ndarray, shapes (m q, p + 1)
        Q^-1 F' Z' [Xs r], with Q = I + F'Z'Z F, of each factor in the Gram's order.
    scaled : ndarray, shape (n_border, p + 1)
        The border's solution in the operator's coordinates, where a next search may begin.
    steps : int
        Of conjugate gradients.
    """

    T: Floats
    effects: tuple[Floats, ...]
    scaled: Floats
    steps: int


def right_sides(operator: Operator) -> tuple[Floats, Floats]:
    """Compute S Z'[Xs r] of the eliminated factor, and the border's right-hand sides."""
    products = operator.products
    own = _fixed(operator, products.first)
    others = np.concatenate([_fixed(operator, k) for k in products.border])
    taken = products.K_transposed @ times(operator.eliminated.gamma, own)
    return times(operator.eliminated.S, own), operator.on_border("S", others - taken)


def _fixed(operator: Operator, place: int) -> Floats:
    blocks = operator.gram.factors[place].with_fixed
    return np.ascontiguousarray(blocks.reshape(-1, blocks.shape[2]))


def given_border[T: np.floating](
    operator: Operator, own: NDArray[T], scaled: NDArray[T]
) -> NDArray[T]:
    """Compute L_i' u of the eliminated factor's levels given the border's, in its coordinates.

    Parameters
    ----------
    operator : Operator
        A.
    own : ndarray, shape (m q, B)
        S Z'[Xs r], or combinations of its columns.
    scaled : ndarray, shape (n_border, B)
        L_j' u of the border's levels.
    """
    coupled = operator.across(operator.on_border("S", scaled, transposed=True))
    return np.asarray(own - times(operator.eliminated.S, coupled))


def solve_fixed(
    operator: Operator, tolerance: float = TOLERANCE, start: Floats | None = None
) -> Solution:
    """Compute T and the effects of each column of [Xs r].

    Parameters
    ----------
    operator : Operator
        At some relative factors.
    tolerance : float
        Residual of the solution beside its right-hand side.
    start : ndarray, shape (n_border, p + 1), optional
        The solution at relative factors nearby.

    Returns
    -------
    Solution
    """
    own, right = right_sides(operator)
    scaled, residual, steps = solve(operator, right, tolerance, start)
    # With the second term its error is a square of the solution's, off the diagonal too.
    explained = right.T @ scaled + scaled.T @ residual
    T = operator.gram.cross - own.T @ own - 0.5 * (explained + explained.T)
    first = given_border(operator, own, scaled)
    effects = list(split_border(operator, operator.on_border("lower_inverse", scaled,
                                                             transposed=True)))  # fmt: skip
    effects.insert(
        operator.products.first, times(operator.eliminated.lower_inverse, first, transposed=True)
    )
    return Solution(T, tuple(effects), scaled, steps)


def split_border(operator: Operator, columns: Floats) -> list[Floats]:
    """Split columns of the border, shape (n_border, B), by factor."""
    return [columns[operator.products.columns(k)] for k in operator.products.border]


def unexplained(operator: Operator, solution: Solution) -> list[Floats]:
    """Compute Z'V^-1[Xs r] of each factor, shapes (m q, p + 1), from the joint solution."""
    products = operator.products
    pushed = [
        times(np.broadcast_to(own.F, own.within.shape), effects)
        for own, effects in zip(operator.blocks, solution.effects, strict=True)
    ]
    border = np.concatenate([pushed[k] for k in products.border])
    across = products.K_transposed @ pushed[products.first]
    if products.E is not None:
        across = across + products.E @ border
    meeting = split_border(operator, across)
    meeting.insert(products.first, products.K @ border)
    return [
        _fixed(operator, k) - times(own.within, pushed[k]) - meeting[k]
        for k, own in enumerate(operator.blocks)
    ]


def slopes_of_T(  # noqa: N802 - T is a matrix
    Tbar: Floats, residuals: Sequence[Floats], effects: Sequence[Floats], widths: Sequence[int]
) -> list[Floats]:
    """Compute d<Tbar, T> / dF of each factor: -2 sum over levels of (Z_i'V^-1[Xs r]) Tbar U_i'.

    Parameters
    ----------
    Tbar : ndarray, shape (p + 1, p + 1)
    residuals, effects : sequence of ndarray, shapes (m q, p + 1)
        Z'V^-1[Xs r], and U = Q^-1 F'Z'[Xs r], of each factor.
    widths : sequence of int
        q of each.
    """
    out = []
    for left, own, q in zip(residuals, effects, widths, strict=True):
        a = left.reshape(-1, q, left.shape[1])
        b = (own @ Tbar).reshape(-1, q, left.shape[1])
        out.append(-2.0 * np.einsum("mrc,msc->rs", a, b))
    return out
