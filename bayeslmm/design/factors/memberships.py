"""Rows that have several levels of one factor, as ``mm(g1, g2)`` says: members and their shares."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from bayeslmm.errors import DataError, FormulaError
from bayeslmm.relationships.level_map import LevelMap
from bayeslmm.tables.levels import LevelSet, level_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.rows import Rows
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.tables.column import Column

_KINDS = {"number": "numbers", "boolean": "booleans", "text": "text", "category": "categories"}


def read_members(
    rows: Rows, text: str, terms: Sequence[RandomTerm], known: Sequence[str] | None
) -> tuple[Ints, NDArray[np.str_], LevelMap]:
    r"""Return each row's combination of members and shares, the members, and what makes effects.

    .. math:: u_i = \sum_m w_{im} b_{g_m(i)}, \qquad \sum_m w_{im} = 1

    Parameters
    ----------
    rows : Rows
        Of the table.
    text : str
        The formula as it was written, for messages.
    terms : sequence of RandomTerm
        All terms of the factor.
    known : sequence of str or None
        The members of the training rows; None on these themselves.

    Returns
    -------
    index : ndarray of int64, shape (n,)
        Each row's combination.
    levels : ndarray of str, shape (m,)
        The members that have a share in some row; on new rows those that the training rows did not
        have come last.
    latent : LevelMap
        Shares of the members in each combination.

    Raises
    ------
    FormulaError
        If terms of the factor have different weights.
    DataError
        If the columns of members hold labels of different kinds, or weights are no shares.

    References
    ----------
    Browne, Goldstein & Rasbash (2001). Multiple membership multiple classification (MMMC) models.
    Statistical Modelling 1(2), 103-124. https://doi.org/10.1177/1471082X0100100202
    """
    first = terms[0]
    _refuse_two_weights(text, terms)
    columns = [rows.columns[name] for name in first.variables]
    coded = [level_codes(column) for column in columns]
    if known is None:
        _require_one_kind(first, columns)
        levels = reduce(or_, map(LevelSet.of, columns)).labels()
    else:
        given = [label for _, labels in coded for label in labels.tolist()]
        levels = np.array(list(dict.fromkeys([*known, *given])), dtype=str)
    place = pd.Index(levels.astype(object))
    members = np.column_stack(
        [place.get_indexer(labels.astype(object))[codes] for codes, labels in coded]
    )
    index, shares = _combinations(members, _shares(rows, first), len(levels))
    if known is None:  # a label that no row has a share in only fills its place
        some = np.unique(shares.indices)
        levels, shares = levels[some], csr_array(shares[:, some])
    return index, levels, LevelMap(lambda: shares, len(levels), tells_latent=True)


def _combinations(members: Ints, shares: Floats, n_levels: int) -> tuple[Ints, csr_array]:
    """Return each row's distinct combination of members and shares, and what these are."""
    order = np.argsort(members, axis=1, kind="stable")
    members = np.take_along_axis(members, order, axis=1).astype(np.int64)
    shares = np.take_along_axis(shares, order, axis=1)
    for k in range(1, members.shape[1]):  # a label that stands twice in a row has both shares
        twice = members[:, k] == members[:, k - 1]
        shares[twice, k] += shares[twice, k - 1]
        shares[twice, k - 1] = 0.0
    keys = [*shares.T, *members.T]
    by_key = np.lexsort(keys)
    new = np.zeros(len(members), dtype=bool)
    for key in keys:
        new[1:] |= np.diff(key[by_key]) != 0
    index = np.empty(len(members), dtype=np.int64)
    index[by_key] = np.cumsum(new)
    one = by_key[np.flatnonzero(new | (np.arange(len(new)) == 0))]
    ends = np.arange(len(one) + 1) * members.shape[1]
    found = csr_array((shares[one].ravel(), members[one].ravel(), ends), shape=(len(one), n_levels))
    found.eliminate_zeros()
    return index, found


def _shares(rows: Rows, term: RandomTerm) -> Floats:
    """Return the weights of each row's members, scaled to sum one, shape (n, members)."""
    count = len(term.variables)
    if not term.weights:
        return np.full((rows.n, count), 1.0 / count)
    weights = np.column_stack([_weights(rows, term, name) for name in term.weights])
    largest = weights.max(axis=1)
    if (nothing := np.flatnonzero(largest == 0.0)).size:
        raise DataError(
            f"The weights {_listed(term.weights)} of {term.factor!r} are all zero in row "
            f"{rows.labels[nothing[0]]}: one of its levels, at least, has a share. Leave "
            "such rows out of the table."
        )
    scaled = weights / largest[:, None]  # sums of the largest numbers would overflow
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _weights(rows: Rows, term: RandomTerm, name: str) -> Floats:
    column = rows.columns[name]
    if column.kind != "number":
        raise DataError(
            f"The weights of {term.factor!r} in column {name!r} are not numbers: it holds "
            f"{column.instead_of_numbers(rows.labels)}."
        )
    values = column.array.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))
    if wrong.size:
        raise DataError(
            f"Weights of {term.factor!r} are finite and not negative; {wrong.size} in column "
            f"{name!r} are not so, the first is {values[wrong[0]]:g} in row "
            f"{rows.labels[wrong[0]]}. A level without a share in its row has weight 0."
        )
    return values


def _require_one_kind(term: RandomTerm, columns: Sequence[Column]) -> None:
    first = columns[0]
    for other in columns[1:]:
        if other.kind != first.kind:
            raise DataError(
                f"{term.factor!r} has its levels in columns of one kind, and {first.name!r} holds "
                f"{_KINDS[first.kind]}, {other.name!r} {_KINDS[other.kind]}: make all of them text "
                "in the table."
            )


def _refuse_two_weights(text: str, terms: Sequence[RandomTerm]) -> None:
    for term in terms:
        if term.weights != terms[0].weights:
            raise FormulaError(
                f"{term.factor!r} stands twice, with different weights: its terms have the same.",
                text or str(term),
                term.span if text else None,
            )


def _listed(names: Sequence[Any]) -> str:
    return " and ".join(map(repr, names))
