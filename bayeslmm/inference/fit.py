"""`fit_bayes`: a formula and a table in, a posterior out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.arguments import takes_formulas
from bayeslmm.design.response import warn_of_whole_numbers
from bayeslmm.errors import names_keywords
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.gram.border.choice import AUTO, PROBES
from bayeslmm.gram.gram_design import design_of, open_data
from bayeslmm.inference.memory import require_effects, require_steps
from bayeslmm.inference.method import METHODS, choose_method
from bayeslmm.inference.parametrization import refuse_without_rows
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.at_means import warn_of_far_columns
from bayeslmm.model.exact_fit import require_residuals, require_sigma, saturated
from bayeslmm.model.exact_means import require_dispersion
from bayeslmm.model.identification import warn_of_priors_alone, warn_of_single_trials
from bayeslmm.model.model import Model
from bayeslmm.reml.krylov.sparse import search_by_factor
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects

if TYPE_CHECKING:
    from typing import Unpack

    import xarray as xr
    from numpy.typing import ArrayLike

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import KnownLike
    from bayeslmm.results.kept_effects import EffectsLike


@names_keywords
@takes_formulas
def fit_bayes(
    formula: str | MixedFormula,
    data: Any,
    *,
    priors: PriorsLike | None = None,
    parametrization: str = "auto",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | None = None,
    target_accept: float | None = None,
    sampler: str = "auto",
    progressbar: bool = True,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    effects: EffectsLike = "draws",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    border: str = AUTO,
    probes: int = PROBES,
    **formulas: Unpack[ParameterFormulas],
) -> xr.DataTree:
    r"""Fit a Bayesian mixed model.

    .. math:: y = X \beta + \sum_k Z_k b_k + e, \quad b_{ki} \sim N(0, G_k), \quad
              e_i \sim N(0, \sigma^2 / w_i)

    or, with another family, :math:`y_i \sim p(\cdot \mid \eta_i)` given the linear predictor
    :math:`\eta = X \beta + \sum_k Z_k b_k + o`.

    Parameters
    ----------
    formula : str or MixedFormula
        A formula in lme4's grammar, e.g. ``"Reaction ~ Days + (Days | Subject)"``.
    data : table, path or Gram
        One row per observation: any eager table that narwhals reads, or a mapping of columns. Or
        the rows' cross-products (`gram_from_batches`), for ``parametrization="marginal"``; or what
        `gram_from_table` sums them from, elsewhere than in memory: a polars LazyFrame, pyarrow
        dataset, DuckDB relation, Dask or Spark dataframe, or the path of files.
    priors : mapping, str, PriorScheme or Priors, optional
        What to change in the default priors, e.g. ``{"sigma": "HalfCauchy(10)"}``, or a scheme
        such as ``"brms"``; see `resolve_priors`.
    parametrization : str, default "auto"
        ``"marginal"``, ``"noncentered"`` or ``"centered"``: the same posterior by other ways.
        ``"marginal"`` integrates the random effects out, and the fixed effects where their
        priors are normal, and draws them back exactly afterwards. ``"auto"`` takes it unless
        crossed factors make it the slower one, and then ``"noncentered"``; the result records the
        choice and its reason.
    draws, tune, chains : int
        Kept draws and tuning steps per chain, and number of chains.
    cores : int, optional
        Chains that run at a time; as many as the machine has cores if not given.
    random_seed : int, optional
        The same seed gives the same draws. One is drawn, and recorded, if not given.
    target_accept : float, optional
        Acceptance rate, between 0 and 1, that NUTS tunes its steps to. If not given 0.9; where
        draws of the non-centered form diverge, as near variance components of zero, all are drawn
        once more at 0.98.
    sampler : str, default "auto"
        ``"nutpie"`` or ``"pymc"``: NUTS. ``"importance"``, with the marginal form only:
        independent draws of the variance parameters, weighted exactly and resampled, in a second
        or less; `diagnose` shows how good the weights are (k-hat), and where they are not
        (0.7 or more) NUTS is run instead, with a warning. Of responses that are not Gaussian:
        ``"quadrature"`` integrates the effects of one grouping factor of one or two columns out
        numerically, ``"laplace_chain"`` moves all effects, nested and crossed, whitened at their
        mode, in an exact Markov chain. ``"auto"`` takes these where they suit, nutpie's NUTS
        where its gradients are quick, and importance sampling where they are not and few
        parameters are left; the result records the choice and its reason.
    progressbar : bool, default True
        Whether to show progress.
    weights : str or array-like, optional
        Column name or one positive number per row.
    missing : str, default "drop"
        ``"drop"`` leaves out rows with missing values, with a warning; ``"raise"`` refuses them.
    rank_deficient : str, default "raise"
        What to do with fixed-effects columns that earlier ones span, such as the empty cell of an
        interaction: refuse them, or ``"drop"`` them with a warning. The result's attribute
        ``dropped_columns`` names them; predictions that would depend on them are refused.
    effects : str or mapping, default "draws"
        Which random effects to keep: ``"draws"`` all of them; ``"moments"`` mean and sd per
        level, in the group ``effects_moments``; or a mapping from factor to one of the two, or to
        the labels of the levels whose draws to keep. With ``"marginal"``, memory is bounded by
        what is kept.
    family : str or Family, default "gaussian"
        How the response is distributed: ``"gaussian"``, ``"bernoulli"``, ``"binomial"``,
        ``"poisson"``, ``"negbinomial"``, ``"gamma"``, ``"lognormal"``, ``"beta"``,
        ``"student"``, and of ordered categories ``"cumulative"``, ``"sratio"``, ``"acat"``.
    link : str, optional
        The link, where it is not the family's default one, e.g. ``"probit"``.
    trials : str, array-like or int, optional
        Numbers of trials of a binomial response, or the column that holds them.
    residual : str, optional
        Structure of the residuals' covariance in mmrm's language, e.g.
        ``"ar1(week | subject)"``; independent without.
    sigma : str, optional
        Formula of log(sigma), e.g. ``"~ 0 + arm"`` for a sigma of each arm, ``"~ x"``, or
        ``"~ 1 + (1 | subject)"`` with random effects of its own, which are drawn by NUTS.
    se : str or array-like, optional
        Known standard errors, as in a meta-analysis, or the column that holds them. There is no
        sigma beside them unless ``sigma="~ 1"`` asks for one.
    known : mapping, optional
        Covariances of levels by the names that ``gr(g, cov=A)`` gives them in the formula, as in
        ``known={"A": A}``: effects of levels i and j then have the covariance :math:`A_{ij} G`. A
        pandas DataFrame labelled by levels, a pair of matrix and levels, or what `phylogeny`,
        `pedigree`, `precision` and `known_covariance` return. The tree keeps it.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters of these names, e.g. ``phi="~ x + (1 | g)"``: predictors
        of their logarithms, of the logit of those between 0 and 1. One number without.
        likweights : str or array-like, optional
        How often the likelihood of each row counts: log p(y_i) enters w_i times, as of w_i equal
        rows; brms's ``weights()``. A column or one positive number per row.
    cens : str or array-like, optional
        How rows are censored: ``"none"``, ``"left"`` (the value is at most the response),
        ``"right"`` (above it) or ``"interval"`` (above it, at most `y2`); or 0, -1, 1 and 2.
        Gaussian, lognormal, Student-t, gamma, Weibull, exponential and Poisson responses.
    y2 : str or array-like, optional
        Upper ends of intervals, in the response's own unit.
    border : {"auto", "dense", "sparse", "krylov"}
        How crossed effects are solved for where they are integrated out: by a dense matrix of all
        but the largest factor's; or, for ``sampler="importance"``, by a sparse Cholesky factor of
        all effects, or by iterations that form none, with log determinants by random probes.
        ``"auto"`` takes one of these beyond 4,000 columns, the factor where it is small.
        Levels that a phylogeny, a pedigree or a precision relates are solved for by the factor
        where that is counted to be quicker.
    probes : int
        Probes to begin with. They are doubled until their chance in posterior means and standard
        deviations is below 0.02 posterior standard deviations; where it is below 0.001, values
        are by eight of them.

    Returns
    -------
    xarray.DataTree
        An InferenceData tree. ``posterior`` holds ``beta`` (chain, draw, coef), the family's
        parameters such as ``sigma`` (chain, draw), and for every grouping factor
        ``sd_<factor>`` (..., <factor>_term),
        ``corr_<factor>`` (..., <factor>_term, <factor>_term_bis) where columns are correlated,
        and ``b_<factor>`` (..., <factor>, <factor>_term), all in the response's unit per unit of
        the column. A factor that is called ``chain``, ``draw``, ``obs``, ``coef``, ``beta`` or
        ``sigma`` has its levels along ``<factor>_level``. Random effects in log(sigma) are those of
        a factor ``sigma_<factor>``, without a unit. ``log_prior`` has one
        variable per prior that can be set. Interrupting with Ctrl-C returns what was drawn so
        far, with a warning.

    Raises
    ------
    FormulaError, DataError, PriorError, SamplingError, ArgumentError
        If the model cannot be fitted as asked; where effects fit the response exactly and the
        prior of sigma does not vanish at zero, there is no posterior.

    Warns
    -----
    RankDeficiencyWarning, DataWarning
        If columns or rows were dropped, or a Gaussian response looks like yes and no or counts.
    IdentificationWarning
        Where only the priors tell standard deviations apart, as with a level for every row.
    NumericalWarning
        Where a random slope's column lies more than a million of its sds from zero.
    SamplingWarning
        When R-hat, effective sample sizes or divergences say that the draws should not be
        trusted, with what to try.

    References
    ----------
    .. [1] Hoffman & Gelman (2014). The No-U-Turn sampler. JMLR 15:1593-1623.
    .. [2] Lewandowski, Kurowicka & Joe (2009). Generating random correlation matrices.
       doi:10.1016/j.jmva.2009.04.008

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"),
    ...     random_seed=1, progressbar=False,
    ... )  # doctest: +SKIP
    >>> bl.fixed_effects(idata)["mean"].round(1).to_dict()  # doctest: +SKIP
    {'Intercept': 251.4, 'Days': 10.5}
    """
    settings = SamplerSettings(
        draws, tune, chains, cores, random_seed, target_accept, sampler, progressbar,
        parametrization, effects, border, probes,
    )  # fmt: skip
    mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
    source = open_data(data)
    refuse_without_rows(parametrization, source)
    design = design_of(
        mixed,
        source,
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
    require_effects(design, KeptEffects.of(design, effects), settings.chains * settings.draws)
    require_steps(settings)
    model = Model.of(design, priors, border=settings.border).at_means
    if model.family.name == GAUSSIAN.name and design.has_rows:
        for part in _responses(model):
            warn_of_whole_numbers(part.response, part.y)
    if model.design.residual is not None:
        pass
    elif model.family.gaussian_scale is not None:
        # Matrices of some hundred columns, over which threads only wait for each other.
        with single_blas_thread():
            _require_residuals(model)
            warn_of_priors_alone(model.gram)
    else:
        for part in _responses(model):
            warn_of_single_trials(part)
        require_dispersion(model.design.coded_rows, model.priors.parameters)
    warn_of_far_columns(design, [factor.shift for factor in model.priors.factors])
    settings, reasons = choose_method(model, settings)
    tree = METHODS[settings.sampler]().fit(model, settings)
    for name, reason in reasons.items():
        # A method that handed over to another one has said why.
        tree.attrs.setdefault(name, reason)
    return tree


def _responses(model: Model) -> tuple[Design, ...]:
    """Return the rows of each response by itself."""
    rows = model.stated.design.coded_rows
    return (rows,) if rows.stack is None else rows.stack.parts


def _require_residuals(model: Model) -> None:
    gram, sigma = model.gram, model.priors.sigma
    require_residuals(gram, sigma)
    if saturated(gram):
        # Which combination of columns may fit exactly is found only by a search.
        found = search_by_factor(gram, restricted=True)
        require_sigma(gram, found.sigma, sigma)
