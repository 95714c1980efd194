r"""`Records`: the pairs of rows that R^-1 joins.

.. math:: R^{-1} = \sum_k c_k(\phi) P_k, \quad
          P_k = \sum_{m : k_m = k} \omega_m \, e_{a_m} e_{b_m}'

with unit vectors e of rows. Pairs are ordered: for two different rows (a, b) and (b, a) both stand
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class Records:
    """Pairs of rows, each of one base.

    Attributes
    ----------
    first, second : ndarray of int64, shape (m,)
        Rows a and b.
    base : ndarray of int64, shape (m,)
        The base k that the pair belongs to.
    factor : ndarray, shape (m,), or None
        omega; one everywhere where None.
    n_bases : int
        K.
    """

    first: Ints
    second: Ints
    base: Ints
    factor: Floats | None
    n_bases: int

    @classmethod
    def symmetric(
        cls, first: Ints, second: Ints, base: Ints, n_bases: int, factor: Floats | None = None
    ) -> Records:
        """Return records of pairs that are given once, each in both orders.

        Parameters
        ----------
        first, second, base : ndarray of int64, shape (m,)
            Rows and base of each pair; first and second may be equal.
        n_bases : int
            K.
        factor : ndarray, shape (m,), optional
            omega.
        """
        back = first != second
        return cls(
            np.concatenate([first, second[back]]),
            np.concatenate([second, first[back]]),
            np.concatenate([base, base[back]]),
            None if factor is None else np.concatenate([factor, factor[back]]),
            n_bases,
        )
