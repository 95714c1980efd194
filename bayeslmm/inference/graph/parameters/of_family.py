"""A family's parameters in a graph: one number, several, or a predictor of each row.

What a predictor is stands in `bayeslmm.model.predictors`; a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.ordinal.sticks import THRESHOLD
from bayeslmm.inference.graph.parameters.thresholds import add_thresholds, read_thresholds
from bayeslmm.inference.graph.prior_vectors import prior_vector, read_vector
from bayeslmm.model.predictors import predictors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import FamilyParameter
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.predictors import Predictor
    from bayeslmm.model.priors.prior import Prior

Named = dict[str, Any]
# From a predictor to its parameter, by the name of the link.
_INVERSE: Mapping[str, Callable[[Any], Any]] = {
    "identity": lambda eta: eta,
    "log": pt.exp,
    "logit": pt.sigmoid,
}


def add_family_parameters(model: Model) -> Named:
    """Add those parameters, or the coefficients of their predictors, named as in a result tree.

    Returns
    -------
    dict of str to tensor
        By the names of the result tree.
    """
    modelled = {one.parameter.name: one for one in predictors_of(model.stated.design)}
    named: Named = add_thresholds(model) if isinstance(model.family, Ordered) else {}
    for parameter in _others(model):
        name = parameter.name
        if name in modelled:
            if modelled[name].rows.coef:
                named[modelled[name].variable] = _coefficients(model, modelled[name])
            continue
        priors = _priors(model, parameter.entries)
        dim = parameter.dim or None
        named[name] = prior_vector(name, priors, dim, scalar=not parameter.labels)
    return named


def _others(model: Model) -> list[FamilyParameter]:
    """Return a family's parameters but thresholds, which follow from sticks."""
    return [one for one in model.family_parameters if one.name != THRESHOLD]


def _priors(model: Model, entries: Sequence[str]) -> list[Prior]:
    return [model.priors.parameters[name] for name in entries]


def _centered_name(one: Predictor) -> str:
    return f"{one.variable}_centered"


def _moves_intercept(one: Predictor) -> bool:
    return any(one.centers)


def _coefficients(model: Model, one: Predictor) -> Any:
    """Add the coefficients of centered columns; return those of the columns as they are."""
    dim = names.coef_dim(one.parameter.name)
    priors = _priors(model, [entry.name for entry in one.entries])
    raw = centered = prior_vector(_centered_name(one), priors, dim)
    if _moves_intercept(one):
        moved = centered[0] - (np.asarray(one.centers) * centered).sum()
        raw = pt.set_subtensor(centered[0], moved)
    return pm.Deterministic(one.variable, raw, dims=dim)


def rows_of_predictors(model: Model, named: Named) -> Named:
    """Return the parameters that have predictors, of each row.

    Parameters
    ----------
    model : Model
        What is assumed.
    named : dict of str to tensor
        Coefficients, and random effects (m, q), by the names of the result tree.

    Returns
    -------
    dict of str to tensor, each of shape (n,)
        By the parameters' names.
    """
    return {
        one.parameter.name: _INVERSE[one.link.name](_predictor(one, named))
        for one in predictors_of(model.stated.design)
    }


def _predictor(one: Predictor, named: Named) -> Any:
    name, eta = one.parameter.name, pt.zeros(len(one.rows.columns))
    if one.rows.coef:
        gamma, centers = named[one.variable], np.asarray(one.centers)
        columns = pm.Data(f"{name}_columns_data", one.rows.columns - centers)
        if _moves_intercept(one):
            gamma = pt.inc_subtensor(gamma[0], (centers * gamma).sum())
        eta = (columns * gamma[None, :]).sum(axis=1)
    if one.rows.offset is not None:
        eta = eta + pm.Data(f"{name}_offset_data", one.rows.offset)
    for effects in (*one.effects, *one.shared):
        Z = pm.Data(f"Z_{effects.name}_in_{name}_data", effects.columns)
        index = pm.Data(f"index_{effects.name}_in_{name}_data", effects.index)
        eta = eta + (Z * named[names.effects(effects.name)][index]).sum(axis=1)
    return eta


def read_family_parameters(model: Model, values: Values, beta: Floats | None) -> dict[str, Floats]:
    """Return draws of what `add_family_parameters` added from those of the free variables.

    Parameters
    ----------
    model : Model
        What is assumed.
    values : mapping of str to ndarray, shape (chain, draw, ...)
        Draws of the free variables.
    beta : ndarray, shape (chain, draw, p), or None
        Draws of the fixed effects.
    """
    modelled = {one.parameter.name: one for one in predictors_of(model.stated.design)}
    found: dict[str, Floats] = {}
    if isinstance(model.family, Ordered):
        found |= read_thresholds(model, values, beta)
    for parameter in _others(model):
        one = modelled.get(parameter.name)
        if one is not None and not one.rows.coef:
            continue
        if one is not None:
            priors = _priors(model, [entry.name for entry in one.entries])
            centered = read_vector(_centered_name(one), priors, values)
            found[one.variable] = model.priors.raw_predictor(one.variable, centered)
        elif parameter.labels:
            priors = _priors(model, parameter.entries)
            found[parameter.name] = read_vector(parameter.name, priors, values)
        else:
            found[parameter.name] = values[parameter.name]
    return found
