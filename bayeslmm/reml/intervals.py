"""Intervals for a fit's parameters: by the profile likelihood, or Wald's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bayeslmm import names
from bayeslmm.arguments import as_names, check_probability
from bayeslmm.errors import ArgumentError, check_choice, names_keywords, nearest
from bayeslmm.gram.border.choice import DENSE, SPARSE
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.reml.krylov.comparison import require_exact
from bayeslmm.reml.krylov.sparse import variances_sparsely
from bayeslmm.reml.parameters import Target, list_targets, values_of
from bayeslmm.reml.profile import profile_interval
from bayeslmm.reml.result import REMLFit, require_fit
from bayeslmm.reml.search import lambda_factors, search_criterion
from bayeslmm.reml.structured.curvature import line_variances
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats


@names_keywords
def confidence_intervals(
    fit: REMLFit,
    method: Literal["profile", "wald"] = "profile",
    *,
    ci_prob: float = 0.95,
    parameters: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute confidence intervals for fixed effects, standard deviations, correlations and sigma.

    ``"profile"``: the values c at which the deviance, minimised over everything else with the
    parameter held at c, exceeds its minimum by the chi-square quantile on one degree of freedom.
    As in lme4 this uses the full likelihood, also for a REML fit. A lower limit of zero, or a
    correlation of one, means that the deviance does not rise that far before the boundary.

    ``"wald"``: estimate +- z * standard error, for standard deviations and sigma on the log scale
    and for correlations on Fisher's z scale, with the observed information of the fit's own
    criterion. A singular fit has no such limits for standard deviations, correlations and sigma:
    the criterion is not a parabola in them on the boundary. They are NaN there, and ``"profile"``
    gives limits, one-sided ones for what is zero.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    method : {"profile", "wald"}
        See above.
    ci_prob : float
        Coverage.
    parameters : sequence of str, optional
        A choice of the names below; all by default.

    Returns
    -------
    DataFrame
        Columns ``estimate``, ``lower``, ``upper``; indexed by coefficient, ``sd_<factor>[term]``,
        ``corr_<factor>[term, term]``, ``rho_<factor>`` and ``sigma``, or the names in
        ``fit.residual_parameters``. Estimates are the fit's own.

    Raises
    ------
    ArgumentError
        If an argument is not one of its choices, or `fit` is no result of `fit_reml`; or if
        profile limits are asked of a fit with a structure of residuals or random effects.

    References
    ----------
    Bates, D. M. & Watts, D. G. (1988). Nonlinear Regression Analysis and Its Applications, ch. 6.
    https://doi.org/10.1002/9780470316757

    Examples
    --------
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> from bayeslmm.reml.fit import fit_reml
    >>> fit = fit_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> confidence_intervals(fit, parameters=["Days", "sigma"]).round(2)
               estimate  lower  upper
    parameter
    Days          10.47   7.36  13.58
    sigma         25.59  22.90  28.86
    """
    require_fit(
        fit,
        "The posterior's intervals are in bl.fixed_effects(fit), bl.variance_components(fit) and "
        "bl.summary(fit).",
    )
    check_choice("method", method, ("profile", "wald"))
    check_probability("ci_prob", ci_prob)
    if method == "profile":
        _require_profile(fit)
    targets = list_targets(fit.gram, fit.residual)
    wanted = list(targets) if parameters is None else as_names("parameters", parameters)
    for name in wanted:
        if name not in targets:
            msg = f"There is no parameter {name!r}.{nearest(name, targets)} Use {list(targets)}."
            raise ArgumentError(msg)
    quantile = float(ndtri(0.5 + 0.5 * ci_prob))
    with single_blas_thread():
        wald = _wald(fit, targets, quantile)
        limits = wald
        if method == "profile":
            limits = _profile(fit, {name: targets[name] for name in wanted}, wald, quantile)
    estimate = _estimates(fit, targets)
    return pd.DataFrame(
        {
            "estimate": [estimate[name] for name in wanted],
            "lower": [limits[name][0] for name in wanted],
            "upper": [limits[name][1] for name in wanted],
        },
        index=pd.Index(wanted, name="parameter"),
    )


def has_profile(fit: REMLFit) -> bool:
    """Return whether `confidence_intervals` gives profile limits of a fit."""
    plain = all(covariance_of(factor).compiles for factor in fit.gram.factors)
    return plain and fit.residual is None and (fit.border.method == DENSE or fit.gram.by_nodes)


def _require_profile(fit: REMLFit) -> None:
    """Raise where a fit has no profile limits, naming what keeps it from having them."""
    require_exact(fit, "A profile", "give method='wald'.")
    if fit.residual is not None:
        raise ArgumentError(
            "Profile limits are those of models with independent residuals and one sigma: with a "
            f"residual structure ({fit.residual.name}) give method='wald'."
        )
    for factor in fit.gram.factors:
        for said, _ in covariance_of(factor).said:
            raise ArgumentError(
                "Profile limits are those of models whose random effects are correlated freely or "
                f"not at all: with {said.kind}(... | {factor.name}) give method='wald'."
            )


def wald_errors(fit: REMLFit, targets: dict[str, Target]) -> tuple[Floats, Floats, Floats]:
    """Compute each parameter's estimate, standard error (delta method) and degrees of freedom.

    A log sd with standard error e is known as from 1 / (2 e^2) degrees of freedom; a correlation,
    on Fisher's z scale, as from 1 / e^2. NaN on the boundary, and for slopes of log(sigma).

    Parameters
    ----------
    fit : REMLFit
        The fit.
    targets : dict of str to Target
        All its parameters, from `list_targets`.

    Returns
    -------
    estimate, error, freedom : ndarray, shape (len(targets),)
    """
    with single_blas_thread():
        table = confidence_intervals(fit, "wald", ci_prob=0.6826894921370859)  # +- 1 standard error
    error, freedom = np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    for j, (target, row) in enumerate(zip(targets.values(), table.itertuples(), strict=True)):
        estimate, upper = float(row.estimate), float(row.upper)  # type: ignore[arg-type]
        if target.kind in (names.BETA, "slope"):
            error[j] = upper - estimate
            continue
        line = target.to_line(upper) - target.to_line(estimate)
        error[j] = target.slope(estimate) * line
        if line > 0.0:
            freedom[j] = 1.0 / line**2 * (1.0 if target.kind == "corr" else 0.5)
    return table["estimate"].to_numpy(), error, freedom


def _estimates(fit: REMLFit, targets: dict[str, Target]) -> dict[str, float]:
    roots = [fit.scale * lam for lam in fit.factors]
    numbers = fit.residual_parameters["estimate"].to_numpy()
    return values_of(fit.gram, targets, fit.conditional.beta, roots, numbers)


def _profile(
    fit: REMLFit, targets: dict[str, Target], wald: dict[str, tuple[float, float]], quantile: float
) -> dict[str, tuple[float, float]]:
    """Profile around the ML fit, whatever the method of `fit`."""
    ml = fit
    if fit.method == "REML":
        search = search_criterion(fit.gram, restricted=False)
        ml = REMLFit(
            formula=fit.formula,
            method="ML",
            gram=fit.gram,
            factors=tuple(lambda_factors(fit.gram, search.packed)),
            scale=search.sigma,
            criterion=search.criterion,
            is_singular=search.singular,
            converged=search.converged,
            n_evaluations=search.n_evaluations,
            data=fit.data,
        )
    estimate = _estimates(ml, targets)
    return {
        name: profile_interval(ml, target, estimate[name], wald[name], quantile)
        for name, target in targets.items()
    }


def _wald(
    fit: REMLFit, targets: dict[str, Target], quantile: float
) -> dict[str, tuple[float, float]]:
    estimate = _estimates(fit, targets)
    errors = np.sqrt(np.diag(fit.conditional.beta_cov))
    free = {n: t for n, t in targets.items() if t.kind != names.BETA}
    point = np.array([t.to_line(estimate[n]) for n, t in targets.items() if t.kind != names.BETA])
    spread = _line_errors(fit, free, point)
    out, k = {}, 0
    for name, target in targets.items():
        if target.kind == names.BETA:
            half = quantile * errors[target.row]
            out[name] = (estimate[name] - half, estimate[name] + half)
        else:
            out[name] = (
                target.from_line(point[k] - quantile * spread[k]),
                target.from_line(point[k] + quantile * spread[k]),
            )
            k += 1
    return out


def _line_errors(fit: REMLFit, targets: dict[str, Target], point: Floats) -> Floats:
    """Compute standard errors of log sd, Fisher's z and log sigma from curvature by differences."""
    nothing = np.full(len(point), np.nan)
    if not np.all(np.isfinite(point)) or fit.is_singular:
        return nothing
    if fit.by_probes is not None:
        variance = np.array([fit.by_probes.variances[name] for name in targets])
    elif fit.border.method == SPARSE and not fit.gram.by_nodes:
        own = variances_sparsely(fit.gram, fit.factors, restricted=fit.method == "REML")
        variance = np.array([own[name] for name in targets])
    else:
        variance = line_variances(fit, targets)
    return np.sqrt(variance, out=nothing, where=variance > 0.0)
