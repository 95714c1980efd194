"""`fit_ml`: formula, table and family to an `MLFit`, without any sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.errors import (
    ArgumentError,
    DataError,
    NumericalError,
    NumericalWarning,
    SingularFitWarning,
    check_choice,
    names_keywords,
    warn,
)
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.gram.gram_design import design_of
from bayeslmm.model.compiled_rows import refuse_counted, why_not_compiled
from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.model.quadrature.level_rows import why_not
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.glmm.coordinates import Coordinates
from bayeslmm.reml.glmm.estimates import estimates_at
from bayeslmm.reml.glmm.result import MLFit
from bayeslmm.reml.glmm.search import maximise
from bayeslmm.reml.glmm.separation import find_separation
from bayeslmm.reml.intervals import wald_errors
from bayeslmm.reml.parameters import list_targets
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.reml.glmm.estimates import Estimates
    from bayeslmm.reml.glmm.search import Maximum
    from bayeslmm.reml.glmm.separation import Separation

# On the link's scale. Where the likelihood hardly falls when all variances are so many times
# as large, they run to infinity.
_LARGE_SD = 8.0
_TIMES = 3.0
_HARDLY = 0.05
# A quadrature whose doubling still changes the log-likelihood by more is told.
_TOLD = 1e-3


@names_keywords
def fit_ml(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    approximation: str = "auto",
) -> MLFit:
    r"""Fit a generalised linear mixed model by maximum likelihood.

    .. math:: p(y \mid \beta, G, \phi) = \int p(y \mid \eta, \phi) \, N(b; 0, G) \, db, \quad
              \eta = X \beta + \sum_k Z_k b_k + o

    maximised in beta, G and the family's parameters together, all outside the integral, as by
    lme4's `glmer`. With one grouping factor of one or two columns the integral is computed by
    adaptive Gauss-Hermite quadrature, with nodes doubled until that changes the log-likelihood by
    less than 1e-5; else by Laplace's approximation. Gaussian and log-normal responses have it in
    closed form, and `fit_reml` maximises it.

    Parameters
    ----------
    formula : str, MixedFormula or Design
        The model, in lme4's grammar; or a design that has been built from it, without `data`.
    data : table or mapping of str to array
        The rows.
    family : str or Family
        How the response is distributed, see `fit_bayes`.
    link : str, optional
        The link, where it is not the family's default one.
    trials : str, array-like or int, optional
        Numbers of trials of a binomial response, or the column that holds them.
    weights : str or array-like of shape (rows of the table,), optional
        Positive weights of Gaussian, log-normal and Student-t responses.
    missing : {"drop", "raise"}
        What to do with rows that lack a value in a column that is used.
    rank_deficient : {"raise", "drop"}
        What to do with fixed-effects columns that earlier ones span.
    approximation : {"auto", "quadrature", "laplace"}
        Laplace's approximation is off where levels have few rows of a binary response and the
        effects' standard deviation is large.

    Returns
    -------
    MLFit
        Estimates, standard errors, conditional modes and the log-likelihood.

    Raises
    ------
    FormulaError, DataError, ArgumentError
        If the formula, the table or an argument is wrong, or no parameter has a finite estimate.
    NumericalError
        If the likelihood cannot be computed.

    Warns
    -----
    SingularFitWarning
        If a variance component is estimated on the boundary.
    NumericalWarning
        If a fixed effect's estimate is infinite because of separation; the negative binomial's
        shape or Student's nu is, so that a simpler family fits as well; or the search did not
        converge.

    See Also
    --------
    fit_bayes : the posterior, where estimates at infinity or zero are kept away by priors.
    compare_ml : both side by side.

    References
    ----------
    Pinheiro & Chao (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms for
    multilevel generalized linear mixed models. doi:10.1198/106186006X96962

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = fit_ml(
    ...     "incidence ~ period + (1 | herd)", bl.load_dataset("cbpp"),
    ...     family="binomial", trials="size",
    ... )
    >>> fit.fixed_effects.round(3)
                 estimate  std_error
    coef
    Intercept      -1.399      0.234
    period[T.2]    -0.991      0.307
    period[T.3]    -1.128      0.327
    period[T.4]    -1.579      0.428
    >>> fit.approximation, fit.nodes, round(fit.log_likelihood, 4)
    ('quadrature', 15, -91.9834)
    """
    check_choice("approximation", approximation, ("auto", "quadrature", "laplace"))
    design = design_of(
        formula,
        data,
        weights=weights,
        missing=missing,
        rank_deficient=rank_deficient,
        family=family,
        link=link,
        trials=trials,
    )
    if design.residual is not None:
        raise ArgumentError(
            "fit_ml has one sigma, and this design has a residual structure: take fit_reml, with "
            "method='ML'."
        )
    refuse_counted(design, "fit_ml")
    if design.predictors:
        name = design.predictors[0].parameter
        raise ArgumentError(
            f"fit_ml has one {name} for all rows, and this design has a formula of it: take "
            "fit_bayes."
        )
    if design.family.gaussian_scale is not None:
        return _gaussian(design)
    rows = design.coded_rows
    _require(rows, approximation)
    with single_blas_thread():
        separation = find_separation(rows)
        coordinates = Coordinates(rows if separation is None else separation.rest)
        found = maximise(coordinates, approximation)
        if not np.isfinite(found.log_likelihood) or found.log_likelihood < -1e99:
            raise NumericalError(
                "The likelihood could not be computed: numbers grew too large or too small. "
                "Rescale the columns."
            )
        _require_finite(coordinates, found)
        estimates = estimates_at(coordinates, found)
    fit = _assembled(rows, coordinates, found, estimates, separation)
    _warn(fit, found, estimates, separation)
    return fit


def _require(design: Design, approximation: str) -> None:
    if why := why_not_compiled(design):
        raise ArgumentError(
            f"fit_ml does not serve here: {why}. fit_bayes, which samples by NUTS, takes it."
        )
    for factor in design.factors:
        if factor.latent is not None:
            raise ArgumentError(
                f"fit_ml has one level of {factor.name!r} in a row, and this design's levels share "
                "latent ones: fit by fit_bayes, which samples them."
            )
    if approximation == "quadrature" and design.factors and (why := why_not(design)):
        raise ArgumentError(
            f"approximation='quadrature' does not serve here: {why}. Leave it out: Laplace's "
            "approximation takes any number of factors and columns."
        )
    if design.n <= len(design.coef):
        raise DataError(
            f"{design.n} rows cannot estimate {len(design.coef)} fixed effects and variances: use "
            "more rows or fewer columns."
        )
    for factor in design.factors:
        if design.family.response.binary and np.bincount(factor.index).max() == 1:
            raise DataError(
                f"Each level of {factor.name!r} has one row of a yes-or-no response: the "
                f"likelihood tells next to nothing of sd_{factor.name}. Leave "
                f"(... | {factor.name}) out, or count trials: family='binomial'."
            )
    if isinstance(design.family, Ordered):
        _require_categories(design, design.family)
    same = design.trials is None and np.ptp(design.y) == 0.0
    if same and design.factors and design.family.parameters:
        raise DataError(
            f"The response {design.response!r} is {design.y[0]:g} in every row: there is no "
            "variation to divide among random effects and rows."
        )


def _require_categories(design: Design, family: Ordered) -> None:
    """Raise where a category is in no row: thresholds around it have no estimates."""
    counts = np.bincount(design.y.astype(np.int64), minlength=len(family.categories) + 1)[1:]
    if (counts == 0).any():
        lacking = family.categories[int(np.argmin(counts))]
        raise DataError(
            f"The category {lacking!r} of {design.response!r} is in no row, and the thresholds "
            "around it have no estimates by maximum likelihood: number the categories without it, "
            "or take fit_bayes, whose prior gives it a probability."
        )


def _require_finite(coordinates: Coordinates, found: Maximum) -> None:
    """Raise where variances run to infinity together."""
    design = coordinates.design
    if design.family.name == "student" or not design.factors:
        return
    diagonal = coordinates.diagonal
    if np.abs(found.x[diagonal]).max() < _LARGE_SD:
        return
    far = found.x.copy()
    far[coordinates.is_scale] *= _TIMES
    if found.likelihood.value(coordinates.point(far)) < found.log_likelihood - _HARDLY:
        return
    sds = dict(zip(coordinates.names, coordinates.natural(found.x), strict=True))
    name = max((n for n in sds if n.startswith("sd_")), key=lambda n: sds[n])
    raise DataError(
        f"{name} has no finite estimate by maximum likelihood: the likelihood keeps rising with "
        "it, as where hardly any level has responses of both kinds. fit_bayes, whose prior keeps "
        "it finite, fits such rows."
    )


def _assembled(
    design: Design,
    coordinates: Coordinates,
    found: Maximum,
    estimates: Estimates,
    separation: Separation | None,
) -> MLFit:
    own = pd.DataFrame(
        {"estimate": estimates.numbers, "std_error": estimates.errors},
        index=pd.Index(estimates.names, name="parameter"),
    )
    fitted = pd.Index(coordinates.design.coef)
    vcov = pd.DataFrame(estimates.vcov, index=fitted, columns=fitted)
    if separation is not None:
        infinite = pd.DataFrame({"estimate": separation.limits, "std_error": np.nan})
        own = own.drop(index=[name for name in separation.limits if name in own.index])
        own = pd.concat([own, infinite])
        vcov = vcov.drop(index=infinite.index, columns=infinite.index, errors="ignore")
        vcov = vcov.reindex(index=design.coef, columns=design.coef)
    others = estimates.names[coordinates.n_beta :]
    sigma = dict(zip(estimates.names, estimates.numbers, strict=True)).get("sigma", 1.0)
    theta = found.x[coordinates.diagonal]
    names = pd.Index(design.coef, name="coef")
    return MLFit(
        formula=str(design.formula),
        family=design.family,
        data=design,
        estimates=own.reindex(pd.Index([*design.coef, *others], name="parameter")),
        vcov=vcov.set_axis(names, axis=0).set_axis(names, axis=1),
        factors=coordinates.covariance_factors(found.x),
        modes=coordinates.effects(found.x, found.modes),
        log_likelihood=found.log_likelihood,
        approximation=found.approximation,
        nodes=found.nodes,
        node_error=found.node_error,
        is_singular=bool(np.any(np.abs(theta) < SINGULAR_TOLERANCE * sigma))
        or bool(coordinates.on_bound(found.x)),
        converged=found.converged,
        convergence=_words(found.converged, 0.5 * found.promise),
        n_evaluations=found.n_evaluations,
    )


def _words(converged: bool, gain: float | None) -> str:
    more = "" if gain is None else f": a Newton step would raise the log-likelihood by {gain:.1g}"
    return f"{'Converged' if converged else 'Not converged'}{more}."


def _gaussian(design: ModelData) -> MLFit:
    """Fit on the scale on which the response is Gaussian, where the integral is exact."""
    fit = fit_reml(design, method="ML")
    targets = list_targets(fit.gram)
    values, errors, _ = wald_errors(fit, targets)
    scale = design.family.gaussian_scale
    change = 0.0
    if scale is not None and design.family.name != GAUSSIAN.name:
        # log |dh/dy| of h = log: the density is stated for y.
        change = -float(np.sum(scale.link(design.response_rows)))
    return MLFit(
        formula=fit.formula,
        family=design.family,
        data=design,
        estimates=pd.DataFrame(
            {"estimate": values, "std_error": errors}, index=pd.Index(targets, name="parameter")
        ),
        vcov=fit.vcov,
        factors=tuple(fit.sigma * lam for lam in fit.factors),
        modes=tuple(fit.conditional.modes),
        log_likelihood=fit.log_likelihood + change,
        approximation="exact",
        nodes=None,
        node_error=None,
        is_singular=fit.is_singular,
        converged=fit.converged,
        convergence=_words(fit.converged, None),
        n_evaluations=fit.n_evaluations,
    )


def _warn(fit: MLFit, found: Maximum, estimates: Estimates, separation: Separation | None) -> None:
    if separation is not None:
        names = ", ".join(separation.limits)
        warn(
            f"The maximum likelihood estimate of {names} is infinite: a combination of these "
            f"coefficients tells {separation.n_rows} of {fit.n_obs} rows without error "
            "(separation). The other estimates are those in the limit. fit_bayes, whose priors "
            "keep coefficients finite, fits such rows.",
            NumericalWarning,
        )
    for name in estimates.infinite:
        simpler = {"shape": "family='poisson'", "nu": "family='gaussian'"}[name]
        warn(
            f"The maximum likelihood estimate of {name} is infinite: {simpler} fits the rows as "
            "well, with a parameter less.",
            NumericalWarning,
        )
    if not found.converged:
        warn(
            f"The search for the estimates stopped where a Newton step would still raise the "
            f"log-likelihood by {0.5 * found.promise:.2g}. The data may say little about some "
            "parameter: try a simpler random-effects term, or rescale its columns.",
            NumericalWarning,
        )
    if found.node_error is not None and found.node_error > _TOLD:
        warn(
            f"With {found.nodes} quadrature nodes per column the log-likelihood is known to "
            f"{found.node_error:.1g} only: doubling them changes it by as much.",
            NumericalWarning,
        )
    if fit.is_singular:
        table = fit.variance_components.reset_index()
        zero = [
            f"the standard deviation of {term!r} by {name!r} is zero"
            for name, term, sd in zip(table["factor"], table["term"], table["sd"], strict=True)
            if sd < SINGULAR_TOLERANCE
        ]
        found_at = ", ".join(zero) or "random effects are perfectly correlated"
        warn(
            f"The fit is singular: {found_at}. Standard errors ignore this; a simpler "
            "random-effects term, or a fit with priors (fit_bayes), may serve better.",
            SingularFitWarning,
        )
