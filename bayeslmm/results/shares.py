"""Probabilities as shares of draws, kept off zero and one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats


def share_of_draws(holds: NDArray[np.bool_]) -> Floats:
    r"""Compute the probability of statements from the draws in which they hold.

    The share of draws; where S draws agree they cannot tell the probability from zero or one, and
    Laplace's rule of succession takes the place of the share,

    .. math:: \frac{k}{S} \quad (0 < k < S), \qquad \frac{k + 1}{S + 2} \quad (k = 0, k = S),

    so that odds are 1 / (S + 1) or S + 1 at most.

    Parameters
    ----------
    holds : ndarray of bool, shape (chain, draw, ...)

    Returns
    -------
    ndarray, shape (...)

    References
    ----------
    Jaynes, E. T. (2003). Probability Theory: The Logic of Science, chapter 18. Cambridge
    University Press. https://doi.org/10.1017/CBO9780511790423

    Examples
    --------
    >>> share_of_draws(np.array([[True, True, False, True]])).item()
    0.75
    >>> share_of_draws(np.ones((4, 1000), dtype=bool)).round(5).item()
    0.99975
    """
    total = holds.shape[0] * holds.shape[1]
    count = np.sum(holds, axis=(0, 1), dtype=np.float64)
    agree = (count == 0) | (count == total)
    share: Floats = np.where(agree, (count + 1.0) / (total + 2.0), count / total)
    return share


def error_of_agreement(total: int) -> float:
    r"""Compute the standard error of the probability of what holds in all draws, or in none.

    Parameters
    ----------
    total : int
        Number of draws, S.

    Returns
    -------
    float
        The standard deviation of a Beta(S + 1, 1), about 1 / S.

    Examples
    --------
    >>> round(error_of_agreement(4000), 6)
    0.00025
    """
    mean = (total + 1.0) / (total + 2.0)
    return float(np.sqrt(mean * (1.0 - mean) / (total + 3.0)))
