"""A family's parameters by name, as NumPy's verbs take them, and as columns, as kernels do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.ordered import Ordered
from bayeslmm.families.sticks import STICK, THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def variables_of(family: Family) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return a family's variables in a result tree: their dimension and its labels, if any.

    Parameters
    ----------
    family : Family
        Whose.

    Returns
    -------
    dict of str to (str, tuple of str)
        Its parameters, and what is drawn in their place.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for parameter in (*family.parameters, *family.free):
        _, labels = found.get(parameter.name, ("", ()))
        more = tuple(label for label in parameter.labels if label not in labels)
        found[parameter.name] = (parameter.dim, (*labels, *more))
    return found


def with_parameters(
    family: Family, drawn: Mapping[str, Floats], level: Floats | float
) -> dict[str, Floats]:
    """Return draws with the parameters that follow from them: thresholds, of ordered categories.

    Parameters
    ----------
    family : Family
        Whose.
    drawn : mapping of str to ndarray, shape (...) or (..., labels)
        What is drawn, by name; labels stand last here, as in result trees.
    level : ndarray, shape (...), or float
        X beta at the predictors' means, of which the priors speak.

    Returns
    -------
    dict of str to ndarray
    """
    if not isinstance(family, Ordered):
        return dict(drawn)
    thresholds = np.moveaxis(family.thresholds(np.moveaxis(drawn[STICK], -1, 0)), 0, -1)
    return {**drawn, THRESHOLD: thresholds + np.asarray(level)[..., None]}


def free_columns_to_kernels(family: Family, columns: Floats) -> Floats:
    """Return the columns that compiled code takes, shape (s, k), from those that are drawn."""
    if not isinstance(family, Ordered):
        return columns
    return np.ascontiguousarray(family.thresholds(np.ascontiguousarray(columns.T)).T)


def pull_back(family: Family, columns: Floats, slopes: Floats) -> Floats:
    """Carry a gradient in what compiled code takes to what is drawn, shapes (k,)."""
    return family.pull_back(columns, slopes) if isinstance(family, Ordered) else slopes
