"""PyMC models: one module per parametrization over shared components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayeslmm.arguments import takes_formulas
from bayeslmm.errors import DataWarning, names_keywords, warn
from bayeslmm.gram.gram_design import design_of
from bayeslmm.inference.graph import centered, marginal, noncentered
from bayeslmm.inference.parametrization import (
    CENTERED,
    MARGINAL,
    NONCENTERED,
    check_parametrization,
    choose_parametrization,
)
from bayeslmm.model.exact_fit import no_residuals
from bayeslmm.model.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    import numpy as np
    import pymc as pm
    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import KnownLike
    from bayeslmm.results.kept_effects import EffectsStore


@dataclass(frozen=True)
class Parametrization:
    """How a model is written for the sampler.

    Attributes
    ----------
    build : callable
        model -> PyMC model.
    recover : callable
        (model, draws of the free variables by name, store of effects) -> the tree's posterior
        variables other than random effects, which go to the store.
    """

    build: Callable[[Model], pm.Model]
    recover: Callable[[Model, Values, EffectsStore], dict[str, NDArray[np.float64]]]


PARAMETRIZATIONS: Mapping[str, Parametrization] = {
    NONCENTERED: Parametrization(noncentered.build, noncentered.recover),
    CENTERED: Parametrization(centered.build, centered.recover),
    MARGINAL: Parametrization(marginal.build, marginal.recover),
}


def parametrization_named(name: str) -> Parametrization:
    """Look a parametrization up by its name.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    check_parametrization(name)
    return PARAMETRIZATIONS[name]


@names_keywords
@takes_formulas
def build_model(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    priors: PriorsLike | None = None,
    parametrization: str = "noncentered",
    weights: str | ArrayLike | None = None,
    rank_deficient: str = "raise",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    **formulas: Unpack[ParameterFormulas],
) -> pm.Model:
    r"""Build the PyMC model of a mixed model, for those who sample or extend it themselves.

    .. math:: y = X \beta + \sum_k Z_k b_k + e, \quad b_{ki} \sim N(0, G_k), \quad
              e_i \sim N(0, \sigma^2 / w_i)

    with :math:`G_k = L_k L_k'` under an LKJ-Cholesky prior. Named variables and dimensions are
    those of the result tree (``beta``, ``sd_<factor>``, ``corr_<factor>``, ``b_<factor>``,
    ``sigma``). Where the random effects are variables, ``model["mu"]`` is the linear predictor
    :math:`X \beta + \sum_k Z_k b_k + o`, unless the response or a factor is called so; samplers
    neither compute nor keep it.

    Parameters
    ----------
    formula : str, MixedFormula or Design
        A formula in lme4's grammar, or a design that is already built.
    data : table, optional
        Any eager table that narwhals reads; not with a `Design`.
    priors : mapping, str, PriorScheme or Priors, optional
        See `resolve_priors`.
    parametrization : str, default "noncentered"
        ``"noncentered"``, ``"centered"``, ``"marginal"`` (random effects, and fixed effects with
        normal priors, integrated out) or ``"auto"``, see `choose_parametrization`.
    weights : str or array-like, optional
        Column name or one positive number per row: Var(e_i) = sigma^2 / w_i.
    rank_deficient : {"raise", "drop"}
        As in `fit_bayes`.
    family, link, trials
        As in `fit_bayes`.
    residual, sigma, se, known
        As in `fit_bayes`. Parameters of the residuals have the names of the result tree; one
        log-density is computed of all rows together where rows are correlated.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.

    Returns
    -------
    pymc.Model
        `pm.sample` and the rest of PyMC work as on any model. One call is refused: predicting with
        `pm.sample_posterior_predictive` from a trace that lacks parameters, which PyMC would draw
        from their priors. For a tree of `fit_bayes`, write ``freeze_vars=["beta", "b_g", "sigma"]``
        (for a factor g), or take `add_posterior_predictive`.

    Raises
    ------
    FormulaError, DataError, PriorError, ArgumentError
        If the model cannot be built as asked.

    Warns
    -----
    DataWarning
        If effects fit the response exactly: with a normal likelihood there is no posterior.

    References
    ----------
    .. [1] Betancourt & Girolami (2015). Hamiltonian Monte Carlo for hierarchical models.
       doi:10.1201/b18502-5

    Examples
    --------
    >>> from bayeslmm import load_dataset
    >>> model = build_model("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> sorted(v.name for v in model.free_RVs)
    ['G_Subject', 'beta_centered', 'sigma', 'z_Subject']

    PyMC's `do` and `observe` put a likelihood of one's own in the place of the normal one. They
    copy no starting values, of which each ``G_<factor>`` has one:

    >>> import pymc as pm
    >>> model.set_initval(model["G_Subject"], None)
    >>> heavy_tailed = pm.StudentT.dist(nu=4, mu=model["mu"], sigma=model["sigma"])
    >>> y = load_dataset("sleepstudy")["Reaction"].to_numpy()
    >>> robust = pm.observe(pm.do(model, {"Reaction": heavy_tailed}), {"Reaction": y})
    >>> [v.name for v in robust.observed_RVs]
    ['Reaction']
    """
    design = design_of(
        formula,
        data,
        weights=weights,
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
    model = Model.of(design, priors).at_means
    # A warning and no error: what is built may be given another likelihood, or another response.
    plain = model.design.residual is None and model.family.gaussian_scale is not None
    if plain and (problem := no_residuals(model.gram, model.priors.sigma)):
        warn(problem, DataWarning)
    chosen, _ = choose_parametrization(parametrization, model, graph=True)
    return parametrization_named(chosen).build(model)
