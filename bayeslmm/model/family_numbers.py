r"""What samplers know of a family's parameters: numbers, which kernels turn into those of each row.

A parameter stands there itself, or by the coefficients of its predictor, of centered columns:

.. math:: \phi_r = h((x_r - \bar x)' \gamma + o_r)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.kernels.families import by_row
from bayeslmm.kernels.families.by_row import SAME_IN_ALL, PhiRows
from bayeslmm.model.predictors import predictors_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import FamilyParameter
    from bayeslmm.model.model import Model
    from bayeslmm.model.predictors import Predictor
    from bayeslmm.model.priors.prior import Prior

_LINKS = {"identity": by_row.IDENTITY, "log": by_row.LOG, "logit": by_row.LOGIT}
# A typical step of a predictor.
_UNIT = 0.3


def _each(design: ModelData) -> Iterator[tuple[FamilyParameter, Predictor | None, slice]]:
    """Yield the family's parameters, their predictors, and the places of their numbers."""
    modelled = {one.parameter.name: one for one in predictors_of(design)}
    at = 0
    for parameter in design.family.parameters:
        one = modelled.get(parameter.name)
        end = at + len(parameter.entries if one is None else one.rows.coef)
        yield parameter, one, slice(at, end)
        at = end


def number_priors(model: Model) -> list[tuple[str, Prior]]:
    """Return the name and prior of each number, in the order of the family's parameters.

    Parameters
    ----------
    model : Model
        What is assumed.
    """
    found: list[tuple[str, Prior]] = []
    for parameter, one, _ in _each(model.design):
        entries = parameter.entries if one is None else [entry.name for entry in one.entries]
        found += [(name, model.priors.parameters[name]) for name in entries]
    return found


def number_units(model: Model) -> tuple[Floats, Floats]:
    """Return which numbers are coefficients, and typical steps of these, shapes (m,)."""
    coefficient, units = [], []
    for _, one, place in _each(model.design):
        coefficient += [one is not None] * (place.stop - place.start)
        if one is None:
            units += [_UNIT] * (place.stop - place.start)
            continue
        spread = np.sqrt(np.mean((one.rows.columns - one.centers) ** 2, axis=0))
        units += list(_UNIT / np.where(spread > 0.0, spread, 1.0))
    return np.array(coefficient, dtype=bool), np.array(units)


def family_variables(model: Model, numbers: Floats) -> dict[str, Floats]:
    """Return the variables of a result tree that numbers say.

    Parameters
    ----------
    model : Model
        What is assumed.
    numbers : ndarray, shape (..., m)
        Draws.

    Returns
    -------
    dict of str to ndarray, shape (...), (..., labels) or (..., coefficients)
    """
    found: dict[str, Floats] = {}
    for parameter, one, place in _each(model.design):
        own = numbers[..., place]
        if one is not None:
            found[one.variable] = model.priors.raw_predictor(one.variable, own)
        else:
            found[parameter.name] = own if parameter.labels else own[..., 0]
    return found


def parameters_at(model: Model, numbers: Floats) -> dict[str, Floats]:
    """Return the family's parameters by name at one point, as its verbs take them.

    Parameters
    ----------
    model : Model
        What is assumed.
    numbers : ndarray, shape (m,)
        The point.

    Returns
    -------
    dict of str to ndarray, shape (), (labels,) or (n,)
    """
    found: dict[str, Floats] = {}
    variables = family_variables(model, numbers)
    for parameter, one, _ in _each(model.design):
        if one is None:
            found[parameter.name] = variables[parameter.name]
        else:
            found[parameter.name] = one.values({one.variable: variables[one.variable][None]})[0]
    return found


def phi_rows(design: ModelData, order: Ints) -> PhiRows:
    """Return how kernels find the parameters of rows in numbers.

    Parameters
    ----------
    design : ModelData
        Rows, of which predictors have no random effects.
    order : ndarray of int64, shape (n,)
        Which row stands where.

    Returns
    -------
    PhiRows
    """
    if not design.predictors:
        return SAME_IN_ALL
    n = len(order)
    columns: list[Floats] = []
    offsets: list[Floats] = []
    first, links = [0], []
    for parameter, one, _ in _each(design):
        if one is None:
            count = len(parameter.entries)
            columns += [np.ones(n)] * count
            offsets += [np.zeros(n)] * count
            first += [first[-1] + k + 1 for k in range(count)]
            links += [by_row.IDENTITY] * count
            continue
        columns += list((one.rows.columns - one.centers)[order].T)
        offsets.append(np.zeros(n) if one.rows.offset is None else one.rows.offset[order])
        first.append(len(columns))
        links.append(_LINKS[one.link.name])
    return PhiRows(
        for_kernels("columns of parameters", np.stack(columns), np.float64, (None, n)),
        for_kernels("offsets of parameters", np.stack(offsets), np.float64, (None, n)),
        np.array(first, dtype=np.int64),
        np.array(links, dtype=np.int64),
    )
