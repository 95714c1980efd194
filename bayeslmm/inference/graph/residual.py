"""Residuals with a structure in a graph: their parameters, each row's scale, and the response.

What a structure is stands in `bayeslmm.model.residual`, by inverses; here it is written once more,
by conditional distributions and dense matrices. Tests hold the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.gaussian import Gaussian
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.tails.student import StudentT
from bayeslmm.inference.graph.prior_vectors import prior_vector, read_vector
from bayeslmm.inference.graph.residual_correlation import Logarithmic, joint_of
from bayeslmm.model.covariance.partial_correlations import correlation_factor, correlation_of
from bayeslmm.model.residual.entry import by_variable
from bayeslmm.model.residual.scale import LogLinearSigma, NoSigma, SigmaByStratum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.predictors import EffectsInParameter
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.residual.entry import Entry
    from bayeslmm.model.residual.structured import StructuredResiduals

Named = dict[str, Any]


def add_parameters(model: Model) -> Named:
    """Add the parameters of the residuals' covariance, named and laid out as in a result tree.

    Returns
    -------
    dict of str to tensor
        By the names of the result tree.
    """
    structure, named = model.structured_residual, {}
    for variable, entries in by_variable(structure.entries).items():
        priors = [model.priors.parameters[entry.name] for entry in entries]
        dims = structure.dims[variable]
        if entries[0].is_matrix:
            named[variable] = _matrices(variable, entries, priors, dims)
        elif len(dims) < 2:
            named[variable] = prior_vector(
                variable, priors, next(iter(dims), None), scalar=not dims
            )
        else:
            flat = prior_vector(_flat_name(variable), priors, None)
            shape = [len(structure.coords[dim]) for dim in dims]
            named[variable] = pm.Deterministic(variable, flat.reshape(shape), dims=dims)
    return named


def read_parameters(model: Model, values: Values) -> dict[str, Floats]:
    """Return draws of the residuals' covariance parameters from those of the free variables."""
    structure, found = model.structured_residual, {}
    shape = next(iter(values.values())).shape[:2]
    for variable, entries in by_variable(structure.entries).items():
        priors = [model.priors.parameters[entry.name] for entry in entries]
        dims = structure.dims[variable]
        sizes = [len(structure.coords[dim]) for dim in dims]
        if entries[0].is_matrix:
            partials = 2.0 * values[_partial_name(variable)] - 1.0
            matrices = correlation_of(correlation_factor(partials, sizes[-1]))
            found[variable] = matrices.reshape(*shape, *sizes)
        elif not dims:
            found[variable] = values[variable]
        else:
            name = variable if len(dims) == 1 else _flat_name(variable)
            found[variable] = read_vector(name, priors, values).reshape(*shape, *sizes)
    if found:
        # With what is told beside the parameters, such as a correlation at one unit of time.
        alone = structure.without_effects
        found = alone.variables(alone.phi(found)) | found
    return found


def add_structured_response(model: Model, eta: Any, named: Named) -> None:
    """Add the observed response y = eta + e, or log(y) = eta + e, to the open PyMC model."""
    structure, family = model.structured_residual, model.family
    design = model.design.coded_rows
    observed = {
        "observed": pm.Data("response_data", design.y, dims=names.OBS),
        "dims": names.OBS,
    }
    name, sd = names.stored(design.response), row_scales(structure, named)
    if structure.rows.correlation is None:
        more = {parameter.name: named[parameter.name] for parameter in model.family_parameters}
        INDEPENDENT[family.name](name, mu=eta, sigma=sd, **more, **observed)
        return
    joint = joint_of(structure.rows, named)
    if family.name == LogNormal.name:
        joint = Logarithmic(joint.parameter, joint.signature, joint.density, joint.drawn)
    pm.CustomDist(
        name, eta, sd, joint.parameter, logp=joint.log_density, random=joint.draw,
        signature=f"(n),(n),{joint.signature}->(n)", dtype="float64", **observed,
    )  # fmt: skip


# Independent residuals with scales of their own, as the family's likelihood is.
INDEPENDENT: Mapping[str, Callable[..., Any]] = {
    Gaussian.name: pm.Normal,
    LogNormal.name: pm.LogNormal,
    StudentT.name: pm.StudentT,
}


def row_scales(structure: StructuredResiduals, named: Named) -> Any:
    """Return each row's standard deviation, shape (n,); named for those who look for it."""
    sd = SIGMAS[type(structure.scale)](structure.scale, named)
    for one in structure.effects:
        sd = sd * pt.exp(_log_factor(one, named))
    if structure.se is not None:
        sd = pt.sqrt(sd**2 + pm.Data("se_data", structure.se) ** 2)
    rows = sd[pm.Data("residual_cell_data", structure.cell, dims=names.OBS)]
    if structure.relative is None:
        return rows
    return rows * pm.Data("se_data", structure.relative, dims=names.OBS)


def _log_factor(effects: EffectsInParameter, named: Named) -> Any:
    """Return what a factor's effects add to each cell's log(sigma), shape (n_cells,)."""
    Z = pm.Data(f"Z_{effects.name}_data", effects.columns)
    index = pm.Data(f"index_{effects.name}_data", effects.index)
    return (Z * named[names.effects(effects.name)][index]).sum(axis=1)


def _no_sigma(scale: NoSigma, _named: Named) -> Any:
    return pt.ones(scale.n_cells)


def _by_stratum(scale: SigmaByStratum, named: Named) -> Any:
    return pt.atleast_1d(named[scale.variable]).ravel()[scale.which]


def _log_linear(scale: LogLinearSigma, named: Named) -> Any:
    columns = pm.Data("sigma_columns_data", scale.columns)
    return named[names.SIGMA] * pt.exp((columns * named[names.BETA_SIGMA][None, :]).sum(axis=1))


# Standard deviations of cells, apart from known standard errors.
SIGMAS: Mapping[type, Callable[[Any, Named], Any]] = {
    NoSigma: _no_sigma,
    SigmaByStratum: _by_stratum,
    LogLinearSigma: _log_linear,
}


def _flat_name(variable: str) -> str:
    """Name the free variable of what has two dimensions in a result tree."""
    return f"{variable}_flat"


def _partial_name(variable: str) -> str:
    """Name the free variable behind correlation matrices: (1 + partial correlation) / 2."""
    return f"{variable}_partial"


def _matrices(
    variable: str, entries: list[Entry], priors: list[Prior], dims: tuple[str, ...]
) -> Any:
    """Add correlation matrices under LKJ priors, by independent Betas of their partials."""
    offsets = np.array([entry.partials for entry in entries])
    shapes = offsets + np.array([[prior.numbers[0]] for prior in priors])
    name = _partial_name(variable)
    shape = pm.Data(f"{name}_shape", shapes)
    partials = 2.0 * pm.Beta(name, alpha=shape, beta=shape, shape=shapes.shape) - 1.0
    matrices = [_correlation(partials[k], shapes.shape[1]) for k in range(len(shapes))]
    whole = pt.stack(matrices) if len(dims) > 2 else matrices[0]
    return pm.Deterministic(variable, whole, dims=dims)


def _correlation(partials: Any, count: int) -> Any:
    """Write the correlation matrix of canonical partial correlations, row by row, as a graph."""
    size = round(0.5 + np.sqrt(0.25 + 2.0 * count))
    unit, at = pt.zeros((size, size)), 0
    for i in range(size):
        left: Any = pt.ones(())
        for j in range(i):
            unit = unit[i, j].set(partials[at] * left)
            left = left * pt.sqrt(1.0 - partials[at] ** 2)
            at += 1
        unit = unit[i, i].set(left)
    return (unit[:, None, :] * unit[None, :, :]).sum(axis=2)
