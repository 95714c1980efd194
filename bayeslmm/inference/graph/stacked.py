"""Stacked rows in PyMC: a likelihood for each response, or one of all categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.softmax import Categorical
from bayeslmm.families.stacked import OfCategories, OfResponses, of_response
from bayeslmm.inference.graph.likelihood import add_response, add_rows
from bayeslmm.inference.graph.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.stack import Stack

# Dimension of the observations whose categories are told.
_OBSERVATION = "observation"


def add_likelihood(design: Design, eta: Any, parameters: Mapping[str, Any]) -> None:
    """Add the observed response, or all of several, to the open PyMC model.

    Parameters
    ----------
    design : Design
        The rows.
    eta : tensor, shape (n,)
        Their linear predictors.
    parameters : mapping of str to tensor
        The family's parameters by name.
    """
    family = design.family
    if isinstance(family, OfCategories) and design.stack is not None:
        _categories(family, design, eta)
    elif isinstance(family, OfResponses) and design.stack is not None:
        for k in range(len(family.members)):
            _response(family, design.stack, k, eta, parameters)
    else:
        add_response(family, design, eta, parameters)


def _response(
    family: OfResponses, stack: Stack[Design], k: int, eta: Any, parameters: Mapping[str, Any]
) -> None:
    """Add the rows of one response."""
    member, part, response = family.members[k], stack.parts[k], names.stored(stack.names[k])
    dim = of_response(names.OBS, response)
    pm.modelcontext(None).add_coord(dim, np.arange(part.n))
    rows = stack.rows_of(k)
    y = part.y.astype(np.int64) if member.discrete else part.y
    data = pm.Data(of_response("response_data", response), y, dims=dim)
    own = {p.name: parameters[of_response(p.name, stack.names[k])] for p in member.parameters}
    observed = {"observed": data, "dims": dim}
    of_rows = eta[pm.Data(of_response("rows_data", response), rows, dims=dim)]
    suffix = f"_{response}"
    add_rows(member, Rows(response, member.link.name, of_rows, own, part.known, observed, suffix))


def _categories(family: OfCategories, design: Design, eta: Any) -> None:
    """Add counts of categories, or which one it is, by observation."""
    counts = family.apart(design.y)
    m = len(counts)
    pm.modelcontext(None).add_coord(_OBSERVATION, np.arange(m))
    predictors = eta.reshape((m, family.count))
    name = names.stored(design.response)
    if isinstance(family.member, Categorical):
        # Zero where no other category is: the reference.
        code = np.asarray(counts @ np.arange(1, family.count + 1), dtype=np.int64)
        pm.CustomDist(
            name, predictors, logp=_log_category, dist=_draw_category, signature="(k)->()",
            observed=pm.Data("response_data", code, dims=_OBSERVATION), dims=_OBSERVATION,
            dtype="int64",
        )  # fmt: skip
        return
    assert design.trials is not None  # noqa: S101 - of counts
    totals = np.asarray(family.apart(design.trials)[..., 0], dtype=np.int64)
    whole = np.column_stack([totals - counts.sum(axis=1), counts]).astype(np.int64)
    pm.CustomDist(
        name, pm.Data("trials_data", totals, dims=_OBSERVATION), predictors, logp=_log_counts,
        dist=_draw_counts, signature="(),(k)->(c)", observed=pm.Data("response_data", whole),
        dtype="int64",
    )  # fmt: skip


def _log_probabilities(predictors: Any) -> Any:
    """Compute log p of all categories, the reference first; none overflows."""
    whole = pt.concatenate([pt.zeros_like(predictors[..., :1]), predictors], axis=-1)
    return whole - pt.logsumexp(whole, axis=-1, keepdims=True)


def _log_category(code: Any, predictors: Any) -> Any:
    places = pt.arange(predictors.shape[-1] + 1)
    mine = pt.eq(code[..., None], places)
    return pt.switch(mine, _log_probabilities(predictors), 0.0).sum(axis=-1)


def _draw_category(predictors: Any, size: Any) -> Any:
    return pm.Categorical.dist(p=pt.exp(_log_probabilities(predictors)), size=size)


def _log_counts(counts: Any, trials: Any, predictors: Any) -> Any:
    ways = pt.gammaln(trials + 1.0) - pt.gammaln(counts + 1.0).sum(axis=-1)
    return ways + (counts * _log_probabilities(predictors)).sum(axis=-1)


def _draw_counts(trials: Any, predictors: Any, size: Any) -> Any:
    return pm.Multinomial.dist(n=trials, p=pt.exp(_log_probabilities(predictors)), size=size)
