"""Draws from the priors, in NumPy: parameters, effects and responses before any data are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.arguments import takes_formulas
from bayeslmm.design.factors.arms import own_effects
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.families.parameters import with_parameters
from bayeslmm.gram.gram_design import design_of
from bayeslmm.inference.memory import require_effects
from bayeslmm.model.model import Model
from bayeslmm.model.predictors import parameters_of_rows
from bayeslmm.model.priors.of_variables import by_variable
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.model.residual.entry import draw_entries
from bayeslmm.results.kept_effects import DRAWS, KeptEffects
from bayeslmm.results.write import (
    by_response,
    data_groups,
    draws_dataset,
    known_groups,
    levels_group,
    root_attributes,
    sample_coordinates,
)

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import ArrayLike

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import KnownLike


@names_keywords
@takes_formulas
def sample_prior(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    priors: PriorsLike | None = None,
    draws: int = 1000,
    random_seed: int | None = None,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    **formulas: Unpack[ParameterFormulas],
) -> xr.DataTree:
    r"""Draw parameters and responses from the priors; nothing is compiled.

    .. math:: \beta, \phi, G_k \sim \text{priors}, \quad b_{ki} \sim N(0, G_k), \quad
              \eta = X \beta + \sum_k Z_k b_k + o, \quad
              \tilde y_i \sim p(\cdot \mid \eta_i, \phi)

    with the family's density p and parameters phi: N(eta, sigma^2 / w) for the Gaussian, or
    N(eta, R) of all rows together where the residuals have a structure.

    Parameters
    ----------
    formula : str, MixedFormula or Design
        The model, as in `fit_bayes`, or a design that is already built.
    data : table, path or Gram, optional
        The rows; not with a `Design`. From cross-products, or rows held elsewhere, come parameters
        and effects, but no responses.
    priors : mapping, str, PriorScheme or Priors, optional
        See `resolve_priors`.
    draws : int
        How many, independent of each other.
    random_seed : int, optional
        The same seed gives the same draws.
    weights : str or array-like, optional
        As in `fit_bayes`.
    missing : {"drop", "raise"}
        As in `fit_bayes`.
    rank_deficient : {"raise", "drop"}
        As in `fit_bayes`.
    family, link, trials, residual, sigma, se, known
        As in `fit_bayes`.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.

    Returns
    -------
    xarray.DataTree
        ``prior``: the variables of a posterior (``beta``, the family's parameters such as
        ``sigma``, ``sd_<factor>``, ``corr_<factor>``, ``b_<factor>``) with one chain, in the same
        units. ``prior_predictive``: responses (chain, draw, obs), where there are rows.
        ``observed_data`` and ``constant_data``, or ``cross_products``, as in a fit.

    Raises
    ------
    FormulaError, DataError, PriorError
        As `fit_bayes` does.
    ArgumentError
        If `draws` is no positive whole number, or memory does not hold so many.

    References
    ----------
    .. [1] Gabry, Simpson, Vehtari, Betancourt & Gelman (2019). Visualization in Bayesian workflow.
       JRSS A 182(2):389-402. doi:10.1111/rssa.12378

    Examples
    --------
    >>> import bayeslmm as bl
    >>> tree = bl.sample_prior(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"), random_seed=1
    ... )
    >>> tree["prior"]["b_Subject"].shape, tree["prior_predictive"]["Reaction"].shape
    ((1, 1000, 18, 2), (1, 1000, 180))
    """
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise ArgumentError(f"draws must be a positive whole number, not {draws!r}.")
    design = design_of(
        formula,
        data,
        weights=weights,
        missing=missing,
        rank_deficient=rank_deficient,
        family=family,
        link=link,
        trials=trials,
        residual=residual,
        sigma=sigma,
        se=se,
        known=known,
        **formulas,
    )
    require_effects(design, KeptEffects.of(design, DRAWS), int(draws))
    model = Model.of(design, priors)
    rng = np.random.default_rng(random_seed)
    values = draw_parameters(model.priors, int(draws), rng)
    phi, known = None, dict(model.priors.parameters)
    if design.residual is not None:
        structure = model.structured_residual.without_effects
        own = [known.pop(entry.name) for entry in structure.entries]
        phi = draw_entries(structure.entries, own, int(draws), rng)
        values |= structure.variables(phi)
    for variable, priors_of_it in by_variable(known).items():
        if variable in known:
            values[variable] = known[variable].draw(int(draws), rng)
        else:
            drawn = _columns(priors_of_it, int(draws), rng)
            values[variable] = model.priors.raw_predictor(variable, drawn)
    level = model.priors.level(values.get(names.BETA))
    values = with_parameters(model.family, values, level)
    factors = (*design.factors, *model.parameter_factors)
    for factor, stated in zip(factors, model.priors.all_factors, strict=True):
        effects = stated.shift.raw_effects(_effects(factor, values, rng))
        values[names.effects(factor.name)] = own_effects(factor, effects)
    values = model.priors.raw_scales(values)
    if phi is not None:
        in_sigma = [values[names.effects(f.name)] for f in model.sigma_factors]
        phi = np.concatenate([phi, *(b.reshape(len(b), -1) for b in in_sigma)], axis=1)
    prior = draws_dataset(design, {name: value[None] for name, value in values.items()})
    predictive = (
        {"prior_predictive": _predictive(model, values, phi, rng)} if design.has_rows else {}
    )
    groups = {"prior": prior, **predictive, **data_groups(design), **levels_group(design)}
    tree = xr.DataTree.from_dict(groups | known_groups(design))
    tree.attrs = root_attributes(model)
    return tree


def _predictive(
    model: Model, values: dict[str, Floats], phi: Floats | None, rng: np.random.Generator
) -> xr.Dataset:
    """Draw responses; `phi` are draws of the parameters of a residual structure, if any."""
    design = model.design.coded_rows
    eta = _linear_predictor(design, values)
    if phi is None or design.residual is None:
        response = _drawn(model, eta, values, rng)
    else:
        residuals = DrawnResiduals(model.structured_residual, design.residual, phi)
        response = _with_residuals(model, eta, residuals, values, rng)
    told, labels = {names.stored(design.response): response}, design.obs
    if design.stack is not None:
        told, labels = by_response(design, response), design.stack.labels
    variables = {name: (("chain", "draw", names.OBS), drawn[None]) for name, drawn in told.items()}
    coords = {**sample_coordinates((1, len(response))), names.OBS: labels}
    return xr.Dataset(variables, coords=coords)


def _drawn(
    model: Model, eta: Floats, values: dict[str, Floats], rng: np.random.Generator
) -> Floats:
    """Draw responses, shape (s, n), of rows that are independent given eta."""
    design = model.design.coded_rows
    if design.stack is None:
        return model.family.draw(eta, parameters_of_rows(design, values), design.known, rng)
    # Families of stacked rows have these first.
    known = None if design.known is None else design.known[:, None]
    own = {name: values[name][None] for name in model.priors.parameters}
    return model.family.draw(eta.T, own, known, rng).T


def _with_residuals(
    model: Model,
    eta: Floats,
    residuals: DrawnResiduals,
    values: dict[str, Floats],
    rng: np.random.Generator,
) -> Floats:
    """Draw responses, shape (s, n), from eta and the residuals' covariance."""
    rows = np.arange(eta.shape[1])
    scale = model.family.gaussian_scale
    if scale is not None:
        return scale.inverse(eta + residuals.draw(rows, rng).T)
    besides = parameters_of_rows(model.design, values)
    own = {**besides, names.SIGMA: residuals.sd(rows).T}
    return model.family.draw(eta, own, None, rng)


def draw_parameters(priors: Priors, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draw fixed effects, standard deviations and correlations.

    Parameters
    ----------
    priors : Priors
        The model's.
    size : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray
        ``beta`` (size, p) on the original scale, ``sd_<factor>`` (size, q) and ``corr_<factor>``
        (size, q, q) of what their priors are stated on.
    """
    values: dict[str, Floats] = {}
    if priors.coef:
        values[names.BETA] = priors.raw_beta(_columns(priors.beta, size, rng))
    for factor in priors.all_factors:
        covariance = factor.covariance
        values[covariance.sd_name] = covariance.column_sds(_columns(factor.sd, size, rng))
        if covariance.has_correlations:
            drawn = covariance.draw_correlations(factor.eta, size, rng)
            values[covariance.corr_name] = drawn
            values |= covariance.parameters_of(drawn)
    return values


def _columns(priors: Any, size: int, rng: np.random.Generator) -> Floats:
    return np.stack([prior.draw(size, rng) for prior in priors], axis=-1)


def _effects(factor: FactorData, values: dict[str, Floats], rng: np.random.Generator) -> Floats:
    sd = values[names.sd(factor.name)]
    m = len(factor.levels) if factor.latent is None else factor.latent.n_latent
    z = rng.standard_normal((len(sd), m, len(factor.terms)))
    corr = values.get(names.corr(factor.name))
    if corr is not None:
        # LKJ with a small eta draws correlations that rounding makes singular.
        jitter = 1e-12 * np.eye(corr.shape[-1])
        z = z @ np.swapaxes(np.linalg.cholesky(corr + jitter), -1, -2)
    drawn = z * sd[:, None, :]
    return drawn if factor.latent is None else factor.latent.told(drawn)


def _linear_predictor(design: Design, values: dict[str, Floats]) -> Floats:
    """Compute eta = X beta + sum_k Z_k b_k + offset, shape (s, n)."""
    size, n = len(next(iter(values.values()))), len(design.y)
    eta = np.zeros((size, n)) if design.offset is None else np.tile(design.offset, (size, 1))
    if design.coef:
        eta += values[names.BETA] @ design.X.T
    for factor in design.factors:
        effects = factor.indexed(values[names.effects(factor.name)])
        for k, column in enumerate(factor.columns.T):
            eta += effects[:, factor.index, k] * column
    return eta
