r"""A family's parameters row by row, from the coefficients of their predictors, and slopes back.

.. math:: \phi_{rj} = h_j(x_{rj}' \gamma_j + o_{rj})
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import as_pointer, carray, inner_ieee, inner_ieee_fast
from bayeslmm.kernels.families.elementary import quick_exp

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

# The h of a parameter: by its link. Of SCALED the first number is a factor and not a coefficient,
# phi = number exp(x' gamma + o), and its column is not looked at.
IDENTITY, LOG, LOGIT, SCALED = range(4)


class PhiRows(NamedTuple):
    """How the parameters of rows follow from numbers: coefficients, or a parameter itself.

    A parameter that is the same in all rows has one column, of ones. Where there are no columns
    at all the numbers are the parameters of every row.
    """

    columns: Floats  # (m, n): each number's, those of one parameter after those of another
    offset: Floats  # (k, n)
    first: Ints  # (k + 1,): parameter j has the numbers from first[j] to first[j + 1]
    links: Ints  # (k,)


SAME_IN_ALL = PhiRows(
    np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(1, np.int64), np.zeros(0, np.int64)
)


@inner_ieee
def phi_at(phi: Floats, r: int) -> Floats:
    """Return a row's parameters, of a table of one row or as many as there are rows.

    It does not keep the table alive: to count who refers to it would take longer than most rows.
    """
    k = phi.shape[1]
    address = phi.ctypes.data + 8 * k * min(r, phi.shape[0] - 1)
    own: Floats = carray(as_pointer(address), (k,), np.float64)
    return own


@inner_ieee
def lent(table: Floats) -> Floats:
    """Return a table of parameters that is not kept alive by what it is handed to, see `phi_at`."""
    own: Floats = carray(as_pointer(table.ctypes.data), table.shape, np.float64)
    return own


@inner_ieee
def open_phi(by_row: PhiRows, n_numbers: int) -> Floats:
    """Return a table of parameters for `set_phi`, shape (1, k) or (n, k), of zeros."""
    if by_row.columns.shape[0] == 0:
        return np.zeros((1, n_numbers))
    return np.zeros((by_row.columns.shape[1], len(by_row.links)))


@inner_ieee_fast
def _inverse(link: int, line: Floats) -> None:
    """Turn predictors into parameters."""
    if link in (LOG, SCALED):
        for r in range(len(line)):
            line[r] = quick_exp(line[r])
    elif link == LOGIT:
        for r in range(len(line)):
            line[r] = 1.0 / (1.0 + quick_exp(-line[r]))


@inner_ieee_fast
def set_phi(by_row: PhiRows, numbers: Floats, phi: Floats) -> None:
    """Fill a table from `open_phi`."""
    if by_row.columns.shape[0] == 0:
        for j in range(len(numbers)):
            phi[0, j] = numbers[j]
        return
    n, line = phi.shape[0], np.empty(phi.shape[0])
    for j in range(phi.shape[1]):
        for r in range(n):
            line[r] = by_row.offset[j, r]
        link, begin = by_row.links[j], by_row.first[j]
        factor = numbers[begin] if link == SCALED else 1.0
        for c in range(begin + (1 if link == SCALED else 0), by_row.first[j + 1]):
            number, column = numbers[c], by_row.columns[c]
            for r in range(n):
                line[r] += number * column[r]
        _inverse(link, line)
        for r in range(n):
            phi[r, j] = factor * line[r]


@inner_ieee_fast
def set_number_slopes(
    by_row: PhiRows, numbers: Floats, phi: Floats, d_phi: Floats, d_numbers: Floats
) -> None:
    """Fill derivatives in the numbers from those in each row's parameters."""
    if by_row.columns.shape[0] == 0:
        for j in range(len(d_numbers)):
            d_numbers[j] = d_phi[0, j]
        return
    n, line = phi.shape[0], np.empty(phi.shape[0])
    for j in range(phi.shape[1]):
        link = by_row.links[j]
        for r in range(n):
            value = phi[r, j]
            slope = value * (1.0 - value) if link == LOGIT else value
            line[r] = d_phi[r, j] * (1.0 if link == IDENTITY else slope)
        begin = by_row.first[j]
        if link == SCALED:
            total = 0.0
            for r in range(n):
                total += line[r]
            d_numbers[begin] = total / numbers[begin]
            begin += 1
        for c in range(begin, by_row.first[j + 1]):
            total, column = 0.0, by_row.columns[c]
            for r in range(n):
                total += line[r] * column[r]
            d_numbers[c] = total
