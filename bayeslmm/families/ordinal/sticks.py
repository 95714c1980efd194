r"""Sticks: fractions that break a unit length into the probabilities of ordered categories.

.. math:: s_k = P(Y = k \mid Y \ge k), \quad p_k = s_k \prod_{j < k} (1 - s_j), \quad
          p_K = \prod_j (1 - s_j)

Probabilities that are Dirichlet(a_1, ..., a_K) have sticks that are independent,
s_k ~ Beta(a_k, a_{k+1} + ... + a_K) (Connor & Mosimann 1969, doi:10.1080/01621459.1969.10500963).
They are what priors of thresholds are stated on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri_exp

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.links import CLOGLOG, LOGIT, ROOT_2PI

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats

STICK = "stick"
THRESHOLD = "threshold"
CUT = "threshold_cut"
# The Dirichlet prior's concentration on each category: flat on their probabilities.
FLAT = 1.0


def cut_labels(categories: Sequence[str]) -> tuple[str, ...]:
    """Return what the thresholds between categories are called.

    Examples
    --------
    >>> cut_labels(("low", "middle", "high"))
    ('low|middle', 'middle|high')
    """
    return tuple(f"{a}|{b}" for a, b in pairwise(categories))


def stick_parameter(label: str, others: int) -> FamilyParameter:
    """Return a stick under a flat prior of the categories' probabilities.

    Parameters
    ----------
    label : str
        Of its threshold.
    others : int
        Number of categories above.
    """
    return FamilyParameter(
        STICK,
        "share of a category among those from it up",
        f"Beta({FLAT:g}, {others * FLAT:g})",
        upper=1.0,
        labels=(label,),
        dim=CUT,
    )


def shapes(concentration: Sequence[float]) -> list[tuple[float, float]]:
    """Return the Beta shapes of the sticks of a Dirichlet distribution.

    Examples
    --------
    >>> shapes([1.0, 1.0, 2.0])
    [(1.0, 3.0), (1.0, 2.0)]
    """
    above = np.cumsum(np.asarray(concentration, dtype=float)[::-1])[::-1]
    return [(float(a), float(b)) for a, b in zip(concentration[:-1], above[1:], strict=True)]


def log_probabilities(sticks: Floats) -> Floats:
    """Compute log p of each category, shape (K, ...), from sticks (K - 1, ...)."""
    rest = np.cumsum(np.log1p(-sticks), axis=0)
    before = np.concatenate([np.zeros((1, *sticks.shape[1:])), rest])
    before[:-1] += np.log(sticks)
    return before


def observed_sticks(y: Floats, count: int) -> Floats:
    """Return the sticks of a response's shares, shape (count,), half a row added to each category.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Numbers of categories, from 1.
    count : int
        K - 1.

    Examples
    --------
    >>> observed_sticks(np.array([1.0, 3.0, 3.0]), 2)
    array([0.33333333, 0.16666667])
    """
    rows = np.bincount(y.astype(np.int64), minlength=count + 2)[1:] + 0.5
    return np.asarray(rows[:-1] / np.cumsum(rows[::-1])[::-1][:-1])


def threshold_at(link: str, log_rest: Floats) -> Floats:
    """Compute the c with log(1 - F(c)) = `log_rest`, F the inverse of a link by its name."""
    if link == LOGIT.name:
        return np.asarray(np.log(-np.expm1(log_rest)) - log_rest)
    if link == CLOGLOG.name:
        return np.asarray(np.log(-log_rest))
    return np.asarray(-ndtri_exp(log_rest))


def threshold_slope(link: str, log_rest: Floats) -> Floats:
    """Differentiate `threshold_at` in its second argument; negative."""
    if link == LOGIT.name:
        return np.asarray(1.0 / np.expm1(log_rest))
    if link == CLOGLOG.name:
        return np.asarray(1.0 / log_rest)
    c = ndtri_exp(log_rest)
    return np.asarray(-ROOT_2PI * np.exp(log_rest + 0.5 * np.square(c)))
