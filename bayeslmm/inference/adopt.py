"""`adopt`: draws that another program made, as a result tree like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.arguments import takes_formulas
from bayeslmm.errors import NumericalError, TreeError, names_keywords
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.ordinal.sticks import STICK, THRESHOLD
from bayeslmm.gram.gram_design import design_of
from bayeslmm.inference.foreign_draws import ForeignDraws
from bayeslmm.inference.marginal.recovery import packed_factors, recover_effects
from bayeslmm.inference.memory import require_effects
from bayeslmm.inference.result import warn_of_sampling_problems
from bayeslmm.inference.structured.recovery import draw_effects
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.model.model import Model
from bayeslmm.model.predictors import predictors_of
from bayeslmm.model.priors.fixed_effects import integrates_beta
from bayeslmm.model.residual.entry import by_variable
from bayeslmm.results.kept_effects import DRAWS, EffectsStore, KeptEffects
from bayeslmm.results.write import UnconstrainedDraws, build_tree, statistics_by_draw

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import ArrayLike

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.relationships.known import KnownLike

# Correlations of programs with 32-bit numbers are one on the diagonal up to this.
_UNIT = 1e-4


@names_keywords
@takes_formulas
def adopt(
    trace: Any,
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    priors: PriorsLike | None = None,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    random_seed: int | None = None,
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    **formulas: Unpack[ParameterFormulas],
) -> xr.DataTree:
    r"""Turn draws that another program made into a result tree, on which everything works.

    The draws are taken for draws of the posterior under this formula, these rows and these priors:
    of a model of `build_model` that PyMC, nutpie or numpyro sampled, or of one's own with the same
    names. Where they hold the variance parameters :math:`\theta` only, as those of the marginal
    form do, the effects of a Gaussian response are drawn back exactly:

    .. math:: \beta, b \mid y, \theta \sim N

    Parameters
    ----------
    trace : DataTree, Dataset or mapping of str to array
        The family's parameters such as ``sigma`` (chain, draw), ``beta`` (..., p), and for each
        grouping factor g ``sd_g`` (..., q), ``b_g`` (..., m, q) and, where columns are correlated,
        ``corr_g`` (..., q, q), on the scales of a result tree. A tree's group ``posterior`` is
        read, and ``sample_stats`` kept. Coordinates are held against the model's, and put in its
        order; without any, the order is that of `build_design`. Other variables are left out.
    formula : str, MixedFormula or Design
        The model that was sampled.
    data : table or Gram, optional
        The rows that it was sampled on, or their cross-products; not with a `Design`.
    priors : mapping, str, PriorScheme or Priors, optional
        The priors that it was sampled with; see `resolve_priors`.
    weights : str or array-like, optional
        As in `fit_bayes`.
    missing : {"drop", "raise"}
        As in `fit_bayes`.
    random_seed : int, optional
        Seed of effects that are drawn back.
    family, link, trials, residual, sigma, se, known
        As in `fit_bayes`.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.

    Returns
    -------
    xarray.DataTree
        As `fit_bayes` gives it; its attribute ``sampler`` names the program, if the trace does.

    Raises
    ------
    TreeError
        If a variable is missing, or has another shape or other labels than the model's; or if
        there are standard deviations below zero, or matrices that are no correlations; or effects
        are missing that cannot be drawn back.
    NumericalError
        If draws are not finite.
    FormulaError, DataError, PriorError
        As `fit_bayes` does.

    Warns
    -----
    SamplingWarning
        As `fit_bayes` does, when the draws should not be trusted.

    References
    ----------
    .. [1] Lange, Carlin & Gelfand (1992). Hierarchical Bayes models for the progression of HIV
       infection. JASA 87(419):615-626. doi:10.1080/01621459.1992.10475258

    Examples
    --------
    >>> import bayeslmm as bl
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).normal([1500.0, 50.0, 40.0], 1.0, (4, 250, 3))
    >>> trace = {"beta": draws[..., :1], "sigma": draws[..., 1], "sd_Batch": draws[..., 2:]}
    >>> fit = bl.adopt(trace, "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), random_seed=1)
    >>> fit["posterior"]["b_Batch"].sizes["Batch"]  # drawn back
    6
    """
    design = design_of(
        formula, data, weights=weights, missing=missing, family=family, link=link, trials=trials,
        residual=residual, sigma=sigma, se=se, known=known, **formulas,
    )  # fmt: skip
    model = Model.of(design, priors)
    foreign = ForeignDraws.read(trace)
    variables = _parameters(model, foreign)
    shape = next(iter(variables.values())).shape[:2]
    kept = KeptEffects.of(design, DRAWS)
    require_effects(design, kept, shape[0] * shape[1])
    store = EffectsStore(design, kept, shape, rng=np.random.default_rng(random_seed))
    _add_effects(model, foreign, variables, store)
    _check(model, variables)
    stats = statistics_by_draw(foreign.stats) if foreign.stats is not None else xr.Dataset()
    tree = build_tree(model, variables, UnconstrainedDraws({}, stats, 0.0, 0.0), store)
    # What it took is the other program's to say.
    tree["sample_stats"].attrs = dict(foreign.times)
    tree.attrs["sampler"] = foreign.program
    warn_of_sampling_problems(tree)
    return tree


def _parameters(model: Model, foreign: ForeignDraws) -> dict[str, Floats]:
    """Take the family's parameters, sds, correlations and, if they are there, fixed effects."""
    design = model.design
    variables: dict[str, Floats] = {}
    if design.residual is not None:
        variables = _of_residuals(model.structured_residual, foreign)
    modelled = {one.parameter.name: one for one in predictors_of(design)}
    for parameter in model.family_parameters:
        if (one := modelled.get(parameter.name)) is not None:
            if not one.rows.coef:
                continue
            labels = {names.coef_dim(parameter.name): one.rows.coef}
            variables[one.variable] = foreign.variable(one.variable, labels)
        else:
            labels = {parameter.dim: parameter.labels} if parameter.labels else {}
            variables[parameter.name] = foreign.variable(parameter.name, labels)
    for factor in model.priors.all_factors:
        dims = (names.term_dim(factor.name), names.term_dim_bis(factor.name))
        labels = dict.fromkeys(dims, factor.terms)
        covariance = factor.covariance
        sd = {dims[0]: factor.terms}
        variables[covariance.sd_name] = foreign.variable(covariance.sd_name, sd)
        if covariance.has_correlations:
            variables[covariance.corr_name] = foreign.variable(covariance.corr_name, labels)
    for item in model.parameter_factors:
        variables[names.effects(item.name)] = _effects(item, foreign)
    effects = [names.effects(factor.name) for factor in design.factors]
    drawn_back = not any(name in foreign.names for name in effects)
    if design.coef and (names.BETA in foreign.names or not _integrated(model, drawn_back)):
        variables[names.BETA] = foreign.variable(names.BETA, {names.COEF: design.coef})
    if isinstance(model.family, Ordered):
        level = model.priors.level(variables.get(names.BETA))
        cuts = np.moveaxis(variables[THRESHOLD] - level[..., None], -1, 0)
        variables[STICK] = np.moveaxis(model.family.sticks(cuts), 0, -1)
    return variables


def _of_family(model: Model, foreign: ForeignDraws) -> dict[str, Floats]:
    """Take the response family's parameters, of several numbers in the model's order."""
    return {
        parameter.name: foreign.variable(
            parameter.name, {parameter.dim: parameter.labels} if parameter.labels else None
        )
        for parameter in model.family.parameters
    }


def _of_residuals(structure: StructuredResiduals, foreign: ForeignDraws) -> dict[str, Floats]:
    """Take the residuals' parameters, and what is told beside them."""
    found = {}
    for variable, entries in by_variable(structure.entries).items():
        labels = {dim: structure.coords[dim] for dim in structure.dims[variable]}
        values = found[variable] = foreign.variable(variable, labels)
        _require_finite(variable, values)
        lower, upper = entries[0].lower, entries[0].upper
        if entries[0].is_matrix:
            _require_correlations(variable, found)
        elif not (lower < float(values.min()) and float(values.max()) < upper):
            raise TreeError(
                f"The trace's {variable!r} goes from {values.min():.4g} to {values.max():.4g}, and "
                f"the model's lies between {lower:g} and {upper:g}: give it itself, on the scale "
                "of a result tree."
            )
    alone = structure.without_effects
    return alone.variables(alone.phi(found)) | found if found else {}


def _integrated(model: Model, drawn_back: bool) -> bool:
    """Whether fixed effects that are not there can be drawn, together with all random ones."""
    gaussian = model.family.gaussian_scale is not None and not model.parameter_factors
    return drawn_back and gaussian and integrates_beta(model.priors)


def _add_effects(
    model: Model, foreign: ForeignDraws, variables: dict[str, Floats], store: EffectsStore
) -> None:
    """Put random effects in the store: those that are there, or draws from their conditional."""
    factors = model.design.factors
    needed = {names.effects(factor.name): factor for factor in factors}
    if needed.keys() & foreign.names or (not factors and names.BETA in variables):
        taken = [_effects(factor, foreign) for factor in needed.values()]
        store.add([values.reshape(-1, *values.shape[2:]) for values in taken])
        return
    if model.family.gaussian_scale is None or model.parameter_factors:
        lacking = next(iter(needed), names.BETA)
        what = "effects in sigma" if model.sigma_factors else f"a {model.family.name} response"
        raise TreeError(
            f"The trace has no variable {lacking!r}, and given {what} "
            "effects cannot be drawn back: take the draws of all effects from the sampler."
        )
    _check(model, variables)
    given = variables.get(names.BETA)
    if model.design.residual is None:
        beta = recover_effects(model.gram, model.priors, variables, store, given)
    else:
        beta = _recover_structured(model, variables, store, given)
    if model.design.coef:
        variables[names.BETA] = beta


def _effects(factor: FactorData, foreign: ForeignDraws) -> Floats:
    """Take a factor's effects, shape (chain, draw, m, q)."""
    dims = (names.level_dim(factor.name), names.term_dim(factor.name))
    labels = dict(zip(dims, (tuple(map(str, factor.levels)), factor.terms), strict=True))
    values = foreign.variable(names.effects(factor.name), labels)
    _require_finite(names.effects(factor.name), values)
    return values


def _recover_structured(
    model: Model, variables: dict[str, Floats], store: EffectsStore, given: Floats | None
) -> Floats:
    """Draw the effects from their conditional, given the residuals' covariance of each draw."""
    structure, shape = model.structured_residual, next(iter(variables.values())).shape[:2]
    size = shape[0] * shape[1]
    phi = structure.phi(variables).reshape(size, -1)
    packed = packed_factors(model.priors, variables, size)
    fixed = np.zeros((size, 0)) if given is None else given.reshape(size, -1)
    drawn = draw_effects(StructuredTarget(model), packed, phi, fixed, store)
    return drawn.reshape(*shape, -1)


def _check(model: Model, variables: dict[str, Floats]) -> None:
    """Raise where draws are not on the scales of a result tree."""
    own = {parameter.name for parameter in model.family_parameters if parameter.lower == 0.0}
    for name, values in variables.items():
        _require_finite(name, values)
        of_family = model.design.residual is None and name in own
        if of_family or name.startswith(names.SD_PREFIX):
            low = float(values.min())
            if low < 0 or (of_family and low == 0):
                what = "a standard deviation does not: give it in the response's unit"
                if of_family and name != names.SIGMA:
                    what = "is a positive number: give it itself"
                raise TreeError(
                    f"The trace's {name!r} goes down to {low:.4g}, and {what}, not its logarithm."
                )
    for factor in model.priors.all_factors:
        if factor.covariance.has_correlations:
            _require_correlations(factor.covariance.corr_name, variables)


def _require_correlations(name: str, variables: dict[str, Floats]) -> None:
    corr = variables[name]
    off = np.abs(np.diagonal(corr, axis1=-2, axis2=-1) - 1.0).max()
    skew = np.abs(corr - np.swapaxes(corr, -1, -2)).max()
    if off > _UNIT or skew > _UNIT or np.linalg.eigvalsh(corr).min() < -_UNIT:
        raise TreeError(
            f"The trace's {name!r} holds matrices that are no correlation matrices (symmetric, "
            "ones on the diagonal, no negative eigenvalue). From a Cholesky factor L with rows of "
            "unit length they are L @ L.T."
        )


def _require_finite(name: str, values: Floats) -> None:
    if not np.isfinite(values).all():
        raise NumericalError(
            f"The trace's {name!r} holds {int((~np.isfinite(values)).sum())} numbers that are not "
            "finite. Take the draws after the sampler had found its way, or sample again."
        )
