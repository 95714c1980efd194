"""REML and ML fits: formula and table -> `Design` -> `Gram` -> `REMLFit`, without any sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.residual_checks import common_variances
from bayeslmm.errors import (
    DataError,
    NumericalError,
    NumericalWarning,
    SingularFitWarning,
    check_choice,
    names_keywords,
    warn,
)
from bayeslmm.gram.border.choice import (
    AUTO,
    DENSE,
    PROBES,
    SPARSE,
    check_probes,
    choose_border,
    require_plain,
)
from bayeslmm.gram.border.limits import require_border
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.gram_design import design_of
from bayeslmm.model.compiled_rows import refuse_counted
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.exact_fit import require_residuals, require_sigma
from bayeslmm.model.identification import require_residual_variance
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.model.residual.sigma_effects import require_closed_form
from bayeslmm.reml.components import sd_labels
from bayeslmm.reml.krylov.search import search_by_probes
from bayeslmm.reml.krylov.sparse import search_sparsely
from bayeslmm.reml.relative import free_columns
from bayeslmm.reml.result import Method, REMLFit
from bayeslmm.reml.search import LARGEST, Search, lambda_factors, search_criterion
from bayeslmm.reml.structured.fitted import FittedResiduals
from bayeslmm.reml.structured.search import search_structured
from bayeslmm.reml.structured.unbounded import (
    require_bounded,
    require_maximum,
    warn_of_flat_directions,
)
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.relationships.known import KnownLike

_FEWER = "Take a machine with more memory, or fewer crossed levels."


@names_keywords
def fit_reml(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    method: Method = "REML",
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "drop",
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    border: str = AUTO,
    probes: int = PROBES,
    random_seed: int = 1,
) -> REMLFit:
    r"""Fit a linear mixed model by restricted (or full) maximum likelihood.

    .. math:: y = X \beta + \sum_k Z_k b_k + e, \quad b_{ki} \sim N(0, G_k), \quad
        e \sim N(0, R)

    with R = sigma^2 W^-1, or as `residual`, `sigma` and `se` say. The criterion is a function of
    the relative factors of :math:`G_k / s^2` and of R's parameters but for its scale s, with
    :math:`\beta` and s at their best for them, and of the data's cross-products: the time per step
    does not depend on the number of rows. With a residual structure the search begins in several
    places, from correlations small and large beside random effects small and large, and the lowest
    criterion counts.

    Parameters
    ----------
    formula : str, MixedFormula or Design
        The model, in lme4's grammar; or a design that has been built from it, without `data`.
    data : table, mapping of str to array, path, or Gram
        The rows, in memory or elsewhere, or their cross-products; see `fit_bayes`.
    method : {"REML", "ML"}
        Restricted likelihood (the default), or full likelihood.
    weights : str or array-like of shape (rows of the table,), optional
        Positive weights w, or the column that holds them.
    missing : {"drop", "raise"}
        What to do with rows that lack a value in a column that is used.
    rank_deficient : {"drop", "raise"}
        What to do with fixed-effects columns that earlier ones span.
    residual : str, optional
        Structure of the residuals' covariance, e.g. ``"ar1(week | subject)"``; independent
        without.
    sigma : str, optional
        Formula of log(sigma), e.g. ``"~ 0 + arm"``; one number without.
    se : str or array-like of shape (rows of the table,), optional
        Known standard errors, or the column that holds them. There is no sigma beside them unless
        ``sigma=`` asks for one.
    known : mapping, optional
        Covariances of levels by the names that ``gr(g, cov=A)`` gives them; see `build_design`.
    border : {"auto", "dense", "sparse", "krylov"}
        How crossed effects are solved for: by a dense matrix of all but the largest factor's; by a
        sparse Cholesky factor of all effects; or by conjugate gradients, which form no matrix, with
        the trace in the criterion's gradient by random probes. Beyond 4,000 columns ``"auto"``
        takes the second where the factor is small, as in chains, and else the third. Of levels that
        a phylogeny, a pedigree or a precision relates it takes the second where that is quicker.
    probes : int
        Probes to begin with. They are doubled until their chance in every variance parameter is
        below 0.02 of its standard error (``fit.probe_error``).
    random_seed : int
        Of the probes: the same seed gives the same fit.

    Returns
    -------
    REMLFit
        Estimates, standard errors, conditional modes and their covariances.

    Raises
    ------
    FormulaError
        If the formula is wrong or names a column that is not there.
    DataError
        If the data cannot identify the model, or the likelihood has no maximum; the message says
        why.
    ArgumentError
        If what is said of the residuals contradicts itself, or `border` does not suit the model.

    Warns
    -----
    SingularFitWarning
        If a variance component is estimated on the boundary.
    IdentificationWarning
        If the data say nothing about a standard deviation or a correlation.
    NumericalWarning
        If the search for the minimum did not converge.
    RankDeficiencyWarning, DataWarning
        If columns or rows were dropped.

    References
    ----------
    Patterson, H. D. & Thompson, R. (1971). Recovery of inter-block information when block sizes
    are unequal. Biometrika 58, 545-554. https://doi.org/10.1093/biomet/58.3.545

    Bates, D., Maechler, M., Bolker, B. & Walker, S. (2015). Fitting linear mixed-effects models
    using lme4. Journal of Statistical Software 67(1). https://doi.org/10.18637/jss.v067.i01

    Pinheiro, J. C. & Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS, chapter 5, on
    residual structures. https://doi.org/10.1007/b98882

    Examples
    --------
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> fit = fit_reml("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff"))
    >>> round(fit.criterion, 4), fit.variance_components["sd"].round(3).tolist()
    (319.6543, [42.001, 49.51])
    >>> fit = fit_reml("Reaction ~ Days + (1 | Subject)", load_dataset("sleepstudy"),
    ...                sigma="~ 1 + Days")
    >>> fit.residual_parameters["estimate"].round(4).to_dict()
    {'sigma': 30.3286, 'beta_sigma[Days]': 0.0824}
    """
    check_choice("method", method, ("REML", "ML"))
    design = design_of(
        formula, data, weights=weights, missing=missing, rank_deficient=rank_deficient,
        residual=residual, sigma=sigma, se=se, known=known,
    )  # fmt: skip
    refuse_counted(design, "fit_reml")
    require_closed_form(design.residual, "fit_reml", "fit_bayes draws them beside all others.")
    if design.residual is not None:
        require_plain(border, "a residual structure")
        return _fit_structured(design, design.residual, method)
    check_probes(probes, random_seed)
    with single_blas_thread():
        gram = suited_gram(design, border)
        chosen, record = choose_border(gram, border, sparse=True), None
        if chosen.method == DENSE:
            require_border(gram, "REML", _FEWER)
        _require_residuals(design, gram)
        if chosen.method == DENSE:
            search = search_criterion(gram, restricted=method == "REML")
        elif chosen.method == SPARSE:
            search = search_sparsely(gram, restricted=method == "REML")
        else:
            search, record = search_by_probes(
                gram, restricted=method == "REML", count=probes, seed=random_seed
            )
    _require_number(method, search)
    require_sigma(gram, search.sigma)
    fit = replace(_fit(design, gram, method, search), border=chosen, by_probes=record)
    _warn(fit, search)
    return fit


def _fit_structured(design: ModelData, rows: ResidualRows, method: Method) -> REMLFit:
    """Fit a model with a residual structure."""
    structure = structured_residuals(rows)
    with single_blas_thread():
        bases = products_of(design, structure)
        require_border(bases.reference, "REML", _FEWER)
        _require_rows(design, bases.reference, structure)
        require_bounded(design, structure, restricted=method == "REML")
        search = search_structured(bases, structure, restricted=method == "REML")
        _require_number(method, search.found)
        x = search.coordinates.of(search.relative)
        require_maximum(search.coordinates, x, search.slope, search.found.promise, method)
        gram = bases.at(search.relative)
    if search.coordinates.profiled:
        require_sigma(gram, search.found.sigma)
    residual = FittedResiduals(structure, search.phi, search.coordinates, bases, search.at_bound)
    fit = _fit(design, gram, method, search.found, residual)
    _warn(fit, search.found)
    # Of common variances the design warns.
    if not (design.has_rows and any(common_variances(rows, design.coded_rows.factors))):
        warn_of_flat_directions(search.flat)
    return fit


def _require_rows(design: ModelData, gram: Gram, structure: StructuredResiduals) -> None:
    """Raise unless there are more rows than fixed effects, and something for sigma to describe."""
    if not structure.n_scales:
        p = len(gram.coef)
        if gram.n < p:
            raise DataError(
                f"{gram.n} rows cannot estimate {p} fixed effects: use more rows or fewer columns."
            )
        return
    _require_varied(design, gram)
    if structure.rows.correlation is None and structure.se is None:
        require_residuals(gram)
    if structure.rows.correlation is None:
        require_residual_variance(gram)


def _fit(
    design: ModelData,
    gram: Gram,
    method: Method,
    search: Search,
    residual: FittedResiduals | None = None,
) -> REMLFit:
    return REMLFit(
        formula=str(design.formula),
        method=method,
        gram=gram,
        factors=tuple(lambda_factors(gram, search.packed)),
        scale=search.sigma,
        criterion=search.criterion,
        is_singular=search.singular,
        converged=search.converged,
        n_evaluations=search.n_evaluations,
        data=design,
        residual=residual,
        at_bound=search.at_bound,
        modes=search.modes,
    )


def _require_number(method: Method, search: Search) -> None:
    if not (np.isfinite(search.sigma) and abs(search.criterion) < LARGEST):
        raise NumericalError(
            f"The {method} criterion could not be computed: numbers grew too large or too small. "
            "Rescale the response, the columns or the weights."
        )


def _require_residuals(design: ModelData, gram: Gram) -> None:
    _require_varied(design, gram)
    require_residuals(gram)
    require_residual_variance(gram)


def _require_varied(design: ModelData, gram: Gram) -> None:
    p = len(gram.coef)
    if gram.n <= p:
        msg = (
            f"{gram.n} rows cannot estimate {p} fixed effects and a residual variance: "
            "use more rows or fewer columns."
        )
        raise DataError(msg)
    observed = design.scales.observed
    if observed.constant:
        msg = (
            f"The response {gram.response!r} is {observed.low:g} in every row: there is no "
            "variation to divide among random effects and residuals."
        )
        raise DataError(msg)


def _warn(fit: REMLFit, search: Search) -> None:
    if not search.converged:
        msg = (
            f"The search for the {fit.method} estimates stopped where a Newton step would still "
            f"lower the criterion by {search.promise:.2g}. The data may say little about some "
            "variance component: try a simpler random-effects term, or rescale its columns."
        )
        warn(msg, NumericalWarning)
    if search.singular:
        parts = ", ".join(_boundary(fit))
        msg = (
            f"The {fit.method} fit is singular: {parts}. Standard errors ignore this; a simpler "
            "random-effects term, or a fit with priors (fit_bayes), may serve better."
        )
        warn(msg, SingularFitWarning)


def _boundary(fit: REMLFit) -> list[str]:
    """Return which standard deviations are zero, or which correlations are degenerate."""
    found = list(fit.at_bound)
    for factor, lam in zip(fit.gram.factors, fit.factors, strict=True):
        relative = np.sqrt(np.sum((lam @ lam.T) * np.eye(len(lam)), axis=1))
        length = np.sqrt(np.sum(factor.scale**2, axis=0))
        zero = relative * length < 1e-4
        covariance = covariance_of(factor)
        labels = sd_labels(covariance)
        places = dict.fromkeys(covariance.sd_columns[j] for j in np.flatnonzero(zero))
        found += [
            f"the standard deviation of {labels[k]!r} by {factor.name!r} is zero" for k in places
        ]
        for columns in free_columns(covariance):
            names = [factor.terms[j] for j in columns if not zero[j]]
            rank = np.linalg.matrix_rank((factor.scale @ lam)[:, list(columns)], tol=1e-4)
            if rank < len(names):
                shown = ", ".join(map(repr, names))
                found.append(
                    f"the random effects {shown} by {factor.name!r} are perfectly correlated"
                )
    if fit.residual is not None:
        found += fit.residual.boundary()
    return found or ["a variance component is on its boundary"]
