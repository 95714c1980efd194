"""Thresholds of ordered categories in a graph, and the sticks that are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.links import CLOGLOG, LOGIT
from bayeslmm.families.ordinal.ordered import AdjacentCategory, Cumulative, Ordered
from bayeslmm.families.ordinal.sticks import CUT, STICK, THRESHOLD
from bayeslmm.families.parameters import free_parameters, with_parameters
from bayeslmm.inference.graph.prior_vectors import prior_vector, read_vector

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.prior import Prior

ROOT_2 = float(np.sqrt(2.0))


def add_thresholds(model: Model) -> dict[str, Any]:
    """Add sticks with their priors to the open model, and the thresholds that they make.

    Returns
    -------
    dict of str to tensor, shape () or (labels,)
    """
    sticks = prior_vector(STICK, _stick_priors(model), CUT)
    cuts = thresholds(cast("Ordered", model.family), sticks) + level(model)
    return {STICK: sticks, THRESHOLD: pm.Deterministic(THRESHOLD, cuts, dims=CUT)}


def _stick_priors(model: Model) -> list[Prior]:
    sticks = [one for one in free_parameters(model.family) if one.name == STICK]
    return [model.priors.parameters[name] for one in sticks for name in one.entries]


def read_thresholds(model: Model, values: Values, beta: Floats | None) -> dict[str, Floats]:
    """Return draws of sticks and thresholds from those of the free variables.

    Parameters
    ----------
    model : Model
        What is assumed.
    values : mapping of str to ndarray, shape (chain, draw, ...)
        Draws of the free variables.
    beta : ndarray, shape (chain, draw, p), or None
        Draws of the fixed effects.
    """
    sticks = read_vector(STICK, _stick_priors(model), values)
    return with_parameters(model.family, {STICK: sticks}, model.priors.level(beta))


def level(model: Model) -> Any:
    """Return X beta at the columns' centers, of which sticks speak; 0 where there are none."""
    if not model.family.response.ordered or not model.design.coef:
        return 0.0
    graph = pm.modelcontext(None)
    if "X_centers" not in graph.named_vars:
        pm.Data("X_centers", np.asarray(model.priors.centers), dims=names.COEF)
    return (graph["X_centers"] * graph[names.BETA]).sum()


def thresholds(family: Ordered, sticks: Any) -> Any:
    """Compute the thresholds, shape (K - 1,), at which eta = 0 gives these sticks."""
    rest = pt.log1p(-sticks)
    if family.name == AdjacentCategory.name:
        own, above = pt.log(sticks) - rest, pt.log(sticks[1:])
        return own - pt.concatenate([above, pt.zeros(1)])
    if family.name == Cumulative.name:
        rest = pt.cumsum(rest)
    if family.link.name == LOGIT.name:
        return pt.log(pt.expm1(-rest))
    if family.link.name == CLOGLOG.name:
        return pt.log(-rest)
    return ROOT_2 * pt.erfcinv(2.0 * pt.exp(rest))
