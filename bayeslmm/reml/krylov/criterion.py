r"""The profiled criterion from log|V| and T, and its gradient in T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


@dataclass(frozen=True, eq=False)
class Finished:
    """The criterion with beta and sigma at their best.

    Attributes
    ----------
    value : float
        -2 log (restricted) likelihood.
    sigma : float
    Tbar : ndarray, shape (p + 1, p + 1)
        Its derivative in T.
    """

    value: float
    sigma: float
    Tbar: Floats


def finish(gram: Gram, T: Floats, logdet: float, *, restricted: bool) -> Finished:
    """Compute the criterion from what depends on the relative factors.

    (n - p)(1 + log(2 pi r / (n - p))) + log|V| + log|X'V^-1 X| - sum log w, r the generalised
    residual sum of squares; without `restricted`, n for n - p and no log|X'V^-1 X|.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    T : ndarray, shape (p + 1, p + 1)
        [Xs r]' V^-1 [Xs r].
    logdet : float
        log|V|.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    Finished
        Its value is infinite where the response is fitted exactly.
    """
    p = len(T) - 1
    covariance = np.linalg.inv(T[:p, :p]) if p else np.zeros((0, 0))
    direction = np.append(-covariance @ T[:p, p], 1.0)
    dof, square = gram.n - (p if restricted else 0), float(direction @ T @ direction)
    if not square > 0.0:
        return Finished(np.inf, np.nan, np.zeros_like(T))
    Tbar = np.outer(direction, direction) * (dof / square)
    value = dof * (1.0 + np.log(2.0 * np.pi * square / dof)) + logdet - gram.sum_log_weights
    if restricted and p:
        Tbar[:p, :p] += covariance
        value -= float(np.linalg.slogdet(covariance)[1])
        value += 2.0 * float(np.log(np.abs(np.diag(gram.scale))).sum())
    return Finished(float(value), float(np.sqrt(square / dof)), Tbar)
