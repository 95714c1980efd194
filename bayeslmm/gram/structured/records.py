r"""`Records`: the pairs of rows that R^-1 joins.

.. math:: R^{-1} = \sum_k c_k(\phi) P_k, \quad
          P_k = \sum_{m : k_m = k} \omega_m \, e_{a_m} e_{b_m}'

with unit vectors e of rows. Pairs are ordered: for two different rows (a, b) and (b, a) both stand
here. Where R^-1 joins all rows of a group in the same way, the sum of these vectors stands for
them: one pair in the place of as many as the group has pairs of rows.
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
        Rows a and b; a number from n on is a sum of rows.
    base : ndarray of int64, shape (m,)
        The base k that the pair belongs to.
    factor : ndarray, shape (m,), or None
        omega; one everywhere where None.
    n_bases : int
        K.
    member : ndarray of int64, shape (n,), or None
        The sum n + member that each row is in; None where there are no sums.
    """

    first: Ints
    second: Ints
    base: Ints
    factor: Floats | None
    n_bases: int
    member: Ints | None = None

    @classmethod
    def symmetric(
        cls,
        first: Ints,
        second: Ints,
        base: Ints,
        n_bases: int,
        factor: Floats | None = None,
        *,
        member: Ints | None = None,
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
        member : ndarray of int64, shape (n,), optional
            The sum that each row is in.
        """
        back = first != second
        return cls(
            np.concatenate([first, second[back]]),
            np.concatenate([second, first[back]]),
            np.concatenate([base, base[back]]),
            None if factor is None else np.concatenate([factor, factor[back]]),
            n_bases,
            member,
        )

    def split(self, label: Ints) -> Records:
        """Return the same with sums of rows that share a label each.

        Parameters
        ----------
        label : ndarray of int64, shape (n,)
            Of each row.
        """
        if self.member is None:
            return self
        member, record, first, second = split_sums(self.member, self.first, self.second, label)
        factor = None if self.factor is None else self.factor[record]
        return Records(first, second, self.base[record], factor, self.n_bases, member)

    def of_sums(self, values: Ints) -> Ints:
        """Return what rows have, shape (n,), followed by what the rows of each sum share."""
        return values if self.member is None else with_sums(values, self.member)

    def added(self, columns: Floats) -> Floats:
        """Return columns of rows, shape (n, q), followed by those of the sums."""
        if self.member is None:
            return columns
        added = np.zeros((int(self.member.max(initial=-1)) + 1, columns.shape[1]))
        np.add.at(added, self.member, columns)
        return np.concatenate([columns, added])


def with_sums(values: Ints, member: Ints) -> Ints:
    """Return what rows have, shape (n,), followed by what the rows of each sum share.

    Examples
    --------
    >>> with_sums(np.array([7, 7, 9]), np.array([0, 0, 1])).tolist()
    [7, 7, 9, 7, 9]
    """
    shared = np.zeros(int(member.max(initial=-1)) + 1, dtype=np.int64)
    shared[member] = values
    return np.concatenate([values, shared])


def split_sums(
    member: Ints, first: Ints, second: Ints, label: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Split sums of rows by a label, and pairs of sums into all pairs of their parts.

    Parameters
    ----------
    member : ndarray of int64, shape (n,)
        The sum n + member that each row is in.
    first, second : ndarray of int64, shape (m,)
        Pairs, of rows or of sums.
    label : ndarray of int64, shape (n,)
        Of each row.

    Returns
    -------
    member : ndarray of int64, shape (n,)
        The part that each row is in.
    record : ndarray of int64
        Of each new pair the old one.
    first, second : ndarray of int64
        The new pairs.

    Examples
    --------
    >>> one = np.zeros(1, np.int64)
    >>> found = split_sums(np.array([0, 0, 0]), one + 3, one + 3, np.array([5, 8, 5]))
    >>> [values.tolist() for values in found]
    [[0, 1, 0], [0, 0, 0, 0], [3, 3, 4, 4], [3, 4, 3, 4]]
    """
    n = len(member)
    label = np.unique(label, return_inverse=True)[1]
    width = int(label.max(initial=0)) + 1
    keys, parts = np.unique(member * width + label, return_inverse=True)
    count = np.bincount(keys // width, minlength=int(member.max(initial=-1)) + 1)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    of_sums = np.flatnonzero(first >= n)
    one, other = first[of_sums] - n, second[of_sums] - n
    sizes = count[one] * count[other]
    pair = np.repeat(np.arange(len(of_sums)), sizes)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    i, j = np.divmod(place, count[other[pair]])
    of_rows = np.flatnonzero(first < n)
    return (
        parts.ravel(),
        np.concatenate([of_rows, of_sums[pair]]),
        np.concatenate([first[of_rows], n + start[one[pair]] + i]),
        np.concatenate([second[of_rows], n + start[other[pair]] + j]),
    )
