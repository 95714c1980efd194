"""A family's parameters by name, as NumPy's verbs take them, and as columns, as kernels do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, Parameters


def named_parameters(family: Family, columns: Floats) -> dict[str, Floats]:
    """Return a family's parameters by name from one column for each of their numbers.

    Parameters
    ----------
    family : Family
        Whose.
    columns : ndarray, shape (..., number of entries)
        In the order of `FamilyParameter.entries`.

    Returns
    -------
    dict of str to ndarray, shape (...) or (labels, ...)

    Examples
    --------
    >>> from bayeslmm.families.negbinomial import NegativeBinomial
    >>> named_parameters(NegativeBinomial(), np.array([[2.0], [3.0]]))
    {'shape': array([2., 3.])}
    """
    found, at = {}, 0
    for parameter in family.parameters:
        count = len(parameter.entries)
        own = columns[..., at : at + count]
        found[parameter.name] = np.moveaxis(own, -1, 0) if parameter.labels else own[..., 0]
        at += count
    return found


def columns_of(family: Family, phi: Parameters, size: int) -> Floats:
    """Return draws of a family's parameters, one column for each number: undo `named_parameters`.

    Parameters
    ----------
    family : Family
        Whose.
    phi : mapping of str to ndarray, shape (s,) or (labels, s)
        Draws by name.
    size : int
        s, for families without parameters.

    Returns
    -------
    ndarray, shape (s, number of entries)
    """
    rows = [np.atleast_2d(phi[parameter.name]) for parameter in family.parameters]
    return np.ascontiguousarray(np.concatenate(rows).T) if rows else np.empty((size, 0))
