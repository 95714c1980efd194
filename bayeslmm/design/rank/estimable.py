"""Which rows' expected values a design of lower rank determines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.coding import TableCoder
from bayeslmm.design.columns.memory import restore
from bayeslmm.design.rows import read_rows
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.design.state import DesignState

TOLERANCE = 1e-8  # of a row's length: what rounding leaves of a combination of the other rows


def full_columns(state: DesignState, data: Mapping[str, Any]) -> Floats:
    """Return the fixed-effects columns of rows, those that the fit dropped among them.

    Parameters
    ----------
    state : DesignState
        How the training rows were coded.
    data : mapping of str to array
        The rows.

    Returns
    -------
    ndarray, shape (n, p + dropped)
    """
    terms = model_terms(parse_formula(state.formula)).only(())
    rows = read_rows(terms, read_table(data), None, "raise", need_response=False, training=False)
    return TableCoder(terms, rows, restore(state.transforms), state.columns).fixed()[0]


def span(rows: Floats, scale: Floats | None = None) -> tuple[Floats, Floats]:
    """Return an orthonormal basis (r, p) of rows, and each column's scale (p,), if not given.

    Examples
    --------
    >>> basis, scale = span(np.array([[1.0, 10.0], [2.0, 20.0]]))
    >>> basis.shape, scale
    ((1, 2), array([ 2., 20.]))
    """
    if scale is None:
        scale = np.abs(rows).max(axis=0)
        scale[scale == 0] = 1.0
    triangle = np.linalg.qr(rows / scale, mode="r")
    _, values, basis = np.linalg.svd(triangle, full_matrices=False)
    return basis[values > TOLERANCE * values.max()], scale


def is_estimable(combinations: Floats, basis: Floats, scale: Floats) -> Any:
    r"""Return whether each row l of `combinations` is one of the training rows.

    .. math:: l = \sum_i a_i x_i

    Then l' beta is the same for every solution of the normal equations.

    Parameters
    ----------
    combinations : ndarray, shape (k, p)
    basis, scale : ndarray
        From `span` of the training rows.

    Returns
    -------
    ndarray of bool, shape (k,)

    References
    ----------
    Searle, S. R. (1971). Linear Models. Wiley, section 5.4.

    Examples
    --------
    >>> is_estimable(np.array([[3.0, 30.0], [3.0, 31.0]]), *span(np.array([[1.0, 10.0]])))
    array([ True, False])
    """
    scaled = combinations / scale
    rest = scaled - (scaled @ basis.T) @ basis
    return np.abs(rest).max(axis=1) <= TOLERANCE * np.maximum(np.abs(scaled).max(axis=1), 1.0)
