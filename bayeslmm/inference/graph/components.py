"""Pieces that every parametrization is built from: coordinates, data, priors, the likelihood.

Data and prior hyperparameters enter as `pm.Data`, so that a compiled model can be given other
values. No `dot` stands in any graph: compiling Numba's BLAS wrappers costs minutes, element-wise
products and sums cost seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph.likelihood import add_response
from bayeslmm.model.covariance.partial_correlations import correlation_of
from bayeslmm.model.priors.distributions import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.inference.graph.ops import BentLog
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import FactorPriors, Priors

Values = Mapping[str, "NDArray[np.float64]"]
CENTERED_BETA = "beta_centered"


@dataclass(frozen=True)
class Scale:
    """The square root of G in a graph.

    Attributes
    ----------
    sd : tensor, shape (q,)
        Standard deviations.
    blocks : tuple of (columns, lower-triangular tensor or None)
        For each block of columns its Cholesky factor of G; None for a single column, whose
        factor is its sd.
    """

    sd: Any
    blocks: tuple[tuple[tuple[int, ...], Any], ...]


def open_model(design: ModelData) -> pm.Model:
    """Start a model with the coordinates of the result tree.

    Raises
    ------
    DataError
        If the names of the response and the factors cannot stand beside each other in a tree.
    """
    names.check(design.response, design.coef, [factor.name for factor in design.factors])
    coords: dict[str, Any] = {
        names.COEF: list(design.coef),
        names.OBS: np.arange(len(design.response_rows)),
    }
    for factor in design.factors:
        coords[names.level_dim(factor.name)] = factor.levels
        coords[names.term_dim(factor.name)] = list(factor.terms)
        coords[names.term_dim_bis(factor.name)] = list(factor.terms)
    return pm.Model(coords=coords)


def with_explicit_effects(
    model: Model, add_effects: Callable[[FactorData, Scale], Any]
) -> pm.Model:
    """Build a model whose random effects are variables; `add_effects` says how one factor's are."""
    design, priors = model.design, model.priors
    with open_model(design) as graph:
        fixed = fixed_part(model)
        effects = [
            add_effects(factor, scale_of(factor, factor_priors))
            for factor, factor_priors in zip(design.factors, priors.factors, strict=True)
        ]
        likelihood(model, linear_predictor(design.coded_rows, fixed, effects))
    return graph


def fixed_part(model: Model) -> Any:
    """Add the fixed effects and their columns; return X beta, shape (n,), or None without any.

    The free variables are the coefficients of centered columns, on which the priors are set;
    ``beta`` on the original scale is derived.
    """
    design, priors = model.design, model.priors
    if not design.coef:
        return None
    centers = np.asarray(priors.centers)
    X = pm.Data("X_data", design.coded_rows.X - centers, dims=(names.OBS, names.COEF))
    fixed_coefficients(priors)
    return (X * pm.modelcontext(None)[CENTERED_BETA][None, :]).sum(axis=1)


def fixed_coefficients(priors: Priors) -> Any:
    """Add the fixed effects; return them on the original scale, shape (p,)."""
    centered = prior_vector(CENTERED_BETA, priors.beta, names.COEF)
    beta = centered
    if priors.has_intercept and len(priors.coef) > 1:
        centers = pm.Data("X_centers", np.asarray(priors.centers), dims=names.COEF)
        beta = pt.set_subtensor(centered[0], centered[0] - (centers * centered).sum())
    return pm.Deterministic(names.BETA, beta, dims=names.COEF)


def recover_beta(priors: Priors, values: Values) -> NDArray[np.float64]:
    """Give the draws of ``beta`` on the original scale from those of the free variables."""
    return priors.raw_beta(read_vector(CENTERED_BETA, priors.beta, values))


def scale_of(factor: FactorData, priors: FactorPriors) -> Scale:
    """Add the priors of a factor's standard deviations and correlations.

    A correlated block gets an LKJ-Cholesky prior on G (`pm.LKJCholeskyCov`); where the block's
    standard deviations have priors of different families, the same prior is put together from
    separate standard deviations and `pm.LKJCorr`, because the former takes only one family.
    """
    single = [block[0] for block in factor.blocks if len(block) == 1]
    sd: list[Any] = [None] * len(factor.terms)
    if single:
        whole = len(single) == len(factor.terms)
        name = names.sd(factor.name) if whole else f"{names.sd(factor.name)}_uncorrelated"
        vector = prior_vector(
            name, [priors.sd[k] for k in single], names.term_dim(factor.name) if whole else None
        )
        for position, k in enumerate(single):
            sd[k] = vector[position]
        if whole:
            return Scale(vector, tuple(((k,), None) for k in single))
    blocks: list[tuple[tuple[int, ...], Any]] = []
    for block in factor.blocks:
        if len(block) == 1:
            blocks.append((block, None))
            continue
        chol, block_sd = _correlated_block(factor.name, block, priors)
        for position, k in enumerate(block):
            sd[k] = block_sd[position]
        blocks.append((block, chol))
    stacked = pm.Deterministic(
        names.sd(factor.name), pt.stack(sd), dims=names.term_dim(factor.name)
    )
    pm.Deterministic(
        names.corr(factor.name),
        _correlation(stacked, blocks),
        dims=(names.term_dim(factor.name), names.term_dim_bis(factor.name)),
    )
    return Scale(stacked, tuple(blocks))


def recover_scale(
    priors: FactorPriors, values: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the draws of a factor's sds, shape (..., q), and of its factor L, shape (..., q, q)."""
    single = [block[0] for block in priors.blocks if len(block) == 1]
    q = len(priors.terms)
    parts: list[tuple[tuple[int, ...], NDArray[np.float64]]] = []
    if single:
        whole = len(single) == q
        name = names.sd(priors.name) if whole else f"{names.sd(priors.name)}_uncorrelated"
        vector = read_vector(name, [priors.sd[k] for k in single], values)
        parts += [((k,), vector[..., i, None, None]) for i, k in enumerate(single)]
    parts += [(block, _read_block(priors, block, values)) for block in priors.correlated_blocks]
    lead = parts[0][1].shape[:-2]
    factor = np.zeros((*lead, q, q))
    for block, chol in parts:
        factor[(..., *np.ix_(block, block))] = chol
    return np.sqrt(np.square(factor).sum(axis=-1)), factor


def recover_shared(model: Model, values: Values) -> dict[str, NDArray[np.float64]]:
    """Give beta, sigma and every factor's sds and correlations from draws of the free variables."""
    result = {names.SIGMA: values[names.SIGMA]}
    if model.design.coef:
        result[names.BETA] = recover_beta(model.priors, values)
    for factor in model.priors.factors:
        sd, chol = recover_scale(factor, values)
        result[names.sd(factor.name)] = sd
        if factor.corr is not None:
            result[names.corr(factor.name)] = correlation_of(chol / sd[..., None])
    return result


def likelihood(model: Model, mean: Any) -> None:
    """Add sigma, the linear predictor mean + offset under its name, and the observed response."""
    design = model.design.coded_rows
    (name,) = model.residual.parameters
    sigma = prior_vector(name, (model.priors.sigma,), None, scalar=True)
    if design.offset is not None:
        mean = mean + pm.Data("offset_data", design.offset, dims=names.OBS)
    _name_linear_predictor(design, mean)
    add_response(model.family, design, mean, sigma)


def _name_linear_predictor(design: Design, mean: Any) -> None:
    """Make the linear predictor a named node, unless the response or a factor has that name.

    No `pm.Deterministic`, which samplers would compute and keep for every draw and row.
    """
    taken = {names.stored(design.response), *(factor.name for factor in design.factors)}
    if names.LINEAR_PREDICTOR not in taken:
        mean.name = names.LINEAR_PREDICTOR
        pm.modelcontext(None).add_named_variable(mean, dims=names.OBS)


def linear_predictor(design: Design, fixed: Any, effects: Sequence[Any]) -> Any:
    """Add up X beta and every factor's rows of b times their columns, shape (n,)."""
    mean = fixed
    for factor, b in zip(design.factors, effects, strict=True):
        Z = pm.Data(
            f"Z_{factor.name}_data", factor.columns, dims=(names.OBS, names.term_dim(factor.name))
        )
        index = pm.Data(f"index_{factor.name}_data", factor.index, dims=names.OBS)
        part = (Z * b[index]).sum(axis=1)
        mean = part if mean is None else mean + part
    return pt.zeros(len(design.y)) if mean is None else mean


def prior_vector(
    name: str,
    priors: Sequence[Prior],
    dim: str | None,
    *,
    scalar: bool = False,
    transform: Callable[[str, list[int]], BentLog | None] | None = None,
) -> Any:
    """Add one random variable per family among `priors`; return them as a vector in order.

    The common case, one family, gives one variable called `name`; otherwise each family's
    variable carries the family's name behind `name`, and `name` itself is derived. `transform`
    gives the transform of a variable, by its name and the places that it fills.
    """
    groups = _by_family(priors)
    if len(groups) == 1:
        parameters = _hyperparameters(name, priors, scalar=scalar)
        if transform is not None:
            parameters |= _transformed(parameters, transform(name, list(range(len(priors)))))
        family = getattr(pm, priors[0].family)
        if scalar or dim is not None:
            return family(name, **parameters, dims=dim)
        return family(name, **parameters, shape=len(priors))
    pieces = []
    for family_name, positions in groups.items():
        part = f"{name}_{family_name}"
        parameters = _hyperparameters(part, [priors[k] for k in positions], scalar=False)
        if transform is not None:
            parameters |= _transformed(parameters, transform(part, positions))
        family = getattr(pm, family_name)
        pieces.append(family(part, **parameters, shape=len(positions)))
    order = np.argsort(np.concatenate(list(groups.values())))
    vector = pt.concatenate(pieces)[order]
    return vector if dim is None else pm.Deterministic(name, vector, dims=dim)


def _transformed(parameters: Mapping[str, Any], transform: BentLog | None) -> dict[str, Any]:
    """Give the keyword arguments that put a variable on another scale."""
    if transform is None:
        return {}
    name, value = next(iter(parameters.items()))
    # PyMC lets a transform use only what the variable's own distribution depends on.
    anchored = value + 0.0 * transform.scale + 0.0 * transform.bend
    return {name: anchored, "default_transform": transform}


def read_vector(name: str, priors: Sequence[Prior], values: Values) -> NDArray[np.float64]:
    """Read back what `prior_vector` added: draws of the vector, shape (..., k)."""
    groups = _by_family(priors)
    if len(groups) == 1:
        return values[name]
    pieces = [values[f"{name}_{family}"] for family in groups]
    order = np.argsort(np.concatenate(list(groups.values())))
    return np.concatenate(pieces, axis=-1)[..., order]


def _by_family(priors: Sequence[Prior]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for k, prior in enumerate(priors):
        groups.setdefault(prior.family, []).append(k)
    return groups


def _hyperparameters(name: str, priors: Sequence[Prior], *, scalar: bool) -> dict[str, Any]:
    parameters = {}
    for k, parameter in enumerate(FAMILIES[priors[0].family].parameters):
        numbers = np.array([prior.numbers[k] for prior in priors])
        parameters[parameter] = pm.Data(f"{name}_{parameter}", numbers[0] if scalar else numbers)
    return parameters


def _block_name(factor: str, block: tuple[int, ...], terms: tuple[str, ...]) -> str:
    return f"G_{factor}" if len(block) == len(terms) else f"G_{factor}_{block[0]}"


def _correlated_block(factor: str, block: tuple[int, ...], priors: FactorPriors) -> tuple[Any, Any]:
    """Add the LKJ-Cholesky prior of one block; return its Cholesky factor and its sds."""
    assert priors.corr is not None  # noqa: S101 - a block of two columns always has one
    name = _block_name(factor, block, priors.terms)
    sds = [priors.sd[k] for k in block]
    eta = pm.Data(f"{name}_eta", priors.corr.numbers[0])
    if len(_by_family(sds)) > 1:
        sd = prior_vector(f"{name}_sd", sds, None)
        return sd[:, None] * pm.LKJCorr(name, n=len(block), eta=eta), sd
    parameters = _hyperparameters(f"{name}_sd", sds, scalar=False)
    # The median of each prior on the diagonal: PyMC's own starting value runs a compiled loop.
    start = np.diag([float(prior.quantile(0.5)) for prior in sds])[np.tril_indices(len(block))]
    chol, _, sd = pm.LKJCholeskyCov(
        name,
        n=len(block),
        eta=eta,
        sd_dist=getattr(pm, sds[0].family).dist(**parameters, shape=len(block)),
        store_in_trace=False,
        initval=start,
    )
    return chol, sd


def _read_block(
    priors: FactorPriors, block: tuple[int, ...], values: Values
) -> NDArray[np.float64]:
    name = _block_name(priors.name, block, priors.terms)
    sds = [priors.sd[k] for k in block]
    if len(_by_family(sds)) > 1:
        sd = read_vector(f"{name}_sd", sds, values)
        return sd[..., :, None] * values[name]
    packed = values[name]
    chol = np.zeros((*packed.shape[:-1], len(block), len(block)))
    chol[(..., *np.tril_indices(len(block)))] = packed
    return chol


def _correlation(sd: Any, blocks: Sequence[tuple[tuple[int, ...], Any]]) -> Any:
    corr = pt.eye(sum(len(block) for block, _ in blocks))
    for block, chol in blocks:
        if chol is None:
            continue
        unit = chol / sd[list(block)][:, None]
        rows, columns = np.ix_(block, block)
        corr = corr[rows, columns].set((unit[:, None, :] * unit[None, :, :]).sum(axis=2))
    return corr
