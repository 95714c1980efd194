"""Pieces that every parametrization is built from: coordinates, data, priors, the likelihood.

Data and prior hyperparameters enter as `pm.Data`, so that a compiled model can be given other
values. No `dot` stands in any graph: compiling Numba's BLAS wrappers costs minutes, element-wise
products and sums cost seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.parameters import variables_of
from bayeslmm.inference.graph.covariance import Scale, recover_scale, scale_of
from bayeslmm.inference.graph.guarded_model import LinearMixedModel
from bayeslmm.inference.graph.latent import effects_of_rows
from bayeslmm.inference.graph.parameters.of_family import (
    add_family_parameters,
    read_family_parameters,
    rows_of_predictors,
)
from bayeslmm.inference.graph.parameters.thresholds import level
from bayeslmm.inference.graph.prior_vectors import prior_vector, read_vector
from bayeslmm.inference.graph.residual import (
    add_parameters,
    add_structured_response,
    read_parameters,
)
from bayeslmm.inference.graph.stacked import add_likelihood
from bayeslmm.model.covariance.partial_correlations import correlation_of
from bayeslmm.model.predictors import parameter_factors, predictors_of
from bayeslmm.model.residual.entry import by_variable
from bayeslmm.model.residual.of_design import parameter_entries, structured_residuals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.inference.graph.covariance import Origin
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.model.priors.priors import Priors

CENTERED_BETA = "beta_centered"


def open_model(design: ModelData) -> LinearMixedModel:
    """Start a model with the coordinates of the result tree, and the names that it has."""
    coords: dict[str, Any] = {
        names.COEF: list(design.coef),
        names.OBS: np.arange(len(design.response_rows)),
    }
    coords |= {dim: list(labels) for dim, labels in variables_of(design.family).values() if dim}
    for factor in design.factors:
        coords[names.level_dim(factor.name)] = factor.levels
        coords[names.term_dim(factor.name)] = list(factor.terms)
        coords[names.term_dim_bis(factor.name)] = list(factor.terms)
    if design.residual is not None:
        of_residuals = structured_residuals(design.residual).coords
        coords |= {dim: list(labels) for dim, labels in of_residuals.items()}
    for predictor in predictors_of(design):
        coords |= {dim: list(labels) for dim, labels in predictor.coords.items()}
    coords |= {p.dim: list(p.labels) for p in design.family.parameters if p.labels}
    graph = LinearMixedModel(coords=coords)
    graph.response = names.stored(design.response)
    graph.in_tree = tuple(
        [names.BETA] * bool(design.coef)
        + [
            name(factor.name)
            for factor in (*design.factors, *parameter_factors(design))
            for name in (names.sd, names.effects)
        ]
        + _of_family(design)
    )
    return graph


def _of_family(design: ModelData) -> list[str]:
    """Return the variables of a tree that the response's distribution depends on beside eta."""
    if design.family.response.ordered:
        return [parameter.name for parameter in design.family.parameters]
    return list(by_variable(parameter_entries(design)))


def with_explicit_effects(
    model: Model, add_effects: Callable[[FactorData, Scale], Any]
) -> pm.Model:
    """Build a model whose random effects are variables; `add_effects` says how one factor's are.

    Those in parameters are written by the same hand.
    """
    # Rows stay as they were stated: where G is of effects at columns' means, `Origin` leads back.
    design, priors = model.stated.design, model.priors
    with open_model(design) as graph:
        fixed = fixed_part(model)
        effects = []
        if model.parameter_factors:
            # Levels of many rows tell the sum of an intercept and the mean of its effects far
            # better than either: with 20 levels of 30 rows 2,000 draws were worth 48 for the
            # intercept with a diagonal mass matrix, and 1,178 with this one.
            graph.adaptation = "low_rank"
        factors = (*design.factors, *model.parameter_factors)
        for factor, factor_priors in zip(factors, priors.all_factors, strict=True):
            scale = scale_of(factor_priors)
            parameters = len(graph.free_RVs)
            effects.append(add_effects(factor, scale))
            graph.effects += [variable.name for variable in graph.free_RVs[parameters:]]
        of_mean, others = effects[: len(design.factors)], effects[len(design.factors) :]
        eta = linear_predictor(design.coded_rows, fixed, of_mean)
        likelihood(model, eta, (of_mean, others))
    return graph


def fixed_part(model: Model) -> Any:
    """Add the fixed effects and their columns; return X beta, shape (n,), or None without any.

    The free variables are the coefficients of centered columns, on which the priors are set;
    ``beta`` on the original scale is derived.
    """
    design, priors = model.design, model.priors
    if not design.coef:
        return None
    X = pm.Data("X_data", priors.center_columns(design.coded_rows.X), dims=(names.OBS, names.COEF))
    beta = fixed_coefficients(priors)
    centered = (X * _centered_again(beta, priors)[None, :]).sum(axis=1)
    return centered + level(model) if model.family.response.ordered else centered


def fixed_coefficients(priors: Priors) -> Any:
    """Add the fixed effects; return them on the original scale, shape (p,)."""
    centered = prior_vector(CENTERED_BETA, priors.beta, names.COEF)
    beta = centered
    if _moves_intercept(priors):
        pm.Data("X_centers", np.asarray(priors.centers), dims=names.COEF)
        beta = centered - _moved(centered, priors)
    return pm.Deterministic(names.BETA, beta, dims=names.COEF)


def _centered_again(beta: Any, priors: Priors) -> Any:
    """Return the coefficients of centered columns from those on the original scale.

    The linear predictor depends on ``beta`` itself, which result trees hold, so that PyMC can
    predict from them (`freeze_vars`).
    """
    if not _moves_intercept(priors):
        return beta
    return beta + _moved(beta, priors)


def _moved(beta: Any, priors: Priors) -> Any:
    """Return what the columns' means add to each intercept, shape (p,)."""
    centers = pm.modelcontext(None)["X_centers"]
    if not priors.intercepts:
        return pt.set_subtensor(pt.zeros_like(beta)[0], (centers * beta).sum())
    places = np.arange(len(priors.coef))[:, None] == priors.own_intercept[None, :]
    return pt.switch(places, (centers * beta)[None, :], 0.0).sum(axis=1)


def _moves_intercept(priors: Priors) -> bool:
    return priors.has_intercept and len(priors.coef) > 1


def recover_beta(priors: Priors, values: Values) -> NDArray[np.float64]:
    """Return the draws of ``beta`` on the original scale from those of the free variables."""
    return priors.raw_beta(read_vector(CENTERED_BETA, priors.beta, values))


def recover_parameters(model: Model, values: Values) -> dict[str, NDArray[np.float64]]:
    """Return beta, family parameters, sds and correlations from draws of the free variables."""
    result = {} if model.design.residual is None else read_parameters(model, values)
    if model.design.coef:
        result[names.BETA] = recover_beta(model.priors, values)
    result |= read_family_parameters(model, values, result.get(names.BETA))
    for factor in model.priors.all_factors:
        sd, chol = recover_scale(factor, values)
        covariance = factor.covariance
        result[covariance.sd_name] = sd
        if covariance.has_correlations:
            result[covariance.corr_name] = correlation_of(chol / sd[..., None])
            result |= covariance.parameters_of(result[covariance.corr_name])
    return result


def recover_in_parameters(
    model: Model,
    values: Values,
    read: Callable[[FactorData, FactorPriors, Values], NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Return the draws of random effects in parameters; `read` gives one factor's as sampled."""
    pairs = zip(model.parameter_factors, model.priors.parameter_factors, strict=True)
    return {
        names.effects(priors.name): priors.shift.raw_effects(read(factor, priors, values))
        for factor, priors in pairs
    }


def likelihood(
    model: Model, mean: Any, effects: tuple[Sequence[Any], Sequence[Any]] = ((), ())
) -> None:
    """Add the parameters beside G, mean + offset under its name, and the observed response.

    `effects` are the random effects of the mean's formula, factor by factor, and those in
    parameters, where they are variables.
    """
    design = model.design.coded_rows
    parameters = {} if design.residual is None else add_parameters(model)
    parameters |= add_family_parameters(model)
    named: dict[str, Any] = {}
    for factors, values in zip((design.factors, model.parameter_factors), effects, strict=True):
        named |= {names.effects(f.name): b for f, b in zip(factors, values, strict=False)}
    parameters |= named
    parameters |= rows_of_predictors(model, parameters)
    if design.offset is not None:
        mean = mean + pm.Data("offset_data", design.offset, dims=names.OBS)
    _name_linear_predictor(design, mean)
    if design.residual is not None:
        add_structured_response(model, mean, parameters)
    else:
        add_likelihood(design, mean, parameters)


def _name_linear_predictor(design: Design, mean: Any) -> None:
    """Make the linear predictor a named node, unless the response or a factor has that name.

    No `pm.Deterministic`, which samplers would compute and keep for every draw and row.
    """
    taken = {names.stored(design.response), *(factor.name for factor in design.factors)}
    if names.LINEAR_PREDICTOR not in taken:
        mean.name = names.LINEAR_PREDICTOR
        pm.modelcontext(None).add_named_variable(mean, dims=names.OBS)


def levels_with(factor: FactorData, columns: Sequence[int]) -> NDArray[np.intp]:
    """Return which levels have effects of columns of one set (`Arms`)."""
    if factor.arms is None:
        return np.arange(len(factor.levels))
    return np.flatnonzero(factor.arms.holds[:, columns[0]])


def put_together(
    factor: FactorData, parts: Sequence[tuple[tuple[int, ...], Any]], back: Origin | None
) -> Any:
    """Return effects, shape (m, q), from those of each set of columns, of the levels with them.

    Parameters
    ----------
    factor : FactorData
        The factor.
    parts : sequence of (tuple of int, tensor)
        Columns, and their effects, shape (levels with them, columns).
    back : Origin or None
        What leads from effects at columns' means to effects as they are.
    """
    if factor.arms is None:
        whole = pt.concatenate([part for _, part in parts], axis=1)
    else:
        whole = pt.zeros((len(factor.levels), len(factor.terms)))
        for columns, part in parts:
            whole = whole[np.ix_(levels_with(factor, columns), columns)].set(part)
    return back.raw_effects(whole) if back else whole


def read_together(
    factor: FactorData, parts: Sequence[tuple[tuple[int, ...], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return draws of effects, shape (chain, draw, m, q), as `put_together` lays them out."""
    first = parts[0][1]
    whole = np.zeros((*first.shape[:2], len(factor.levels), len(factor.terms)))
    for columns, part in parts:
        whole[..., levels_with(factor, columns)[:, None], list(columns)] = part
    return whole


def linear_predictor(design: Design, fixed: Any, effects: Sequence[Any]) -> Any:
    """Add up X beta and every factor's rows of b times their columns, shape (n,)."""
    mean = fixed
    for factor, b in zip(design.factors, effects, strict=True):
        Z = pm.Data(
            f"Z_{factor.name}_data", factor.columns, dims=(names.OBS, names.term_dim(factor.name))
        )
        index = pm.Data(f"index_{factor.name}_data", factor.index, dims=names.OBS)
        latent = factor.latent
        if latent is not None and latent.tells_latent:
            b = effects_of_rows(factor.name, latent, b)  # noqa: PLW2901 - of the rows
        part = (Z * b[index]).sum(axis=1)
        mean = part if mean is None else mean + part
    return pt.zeros(len(design.y)) if mean is None else mean
