"""The posterior beside a REML fit of the same rows: same names, same scale, and what to expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.analysis.reml_comparison.numbers import (
    draw_deviances,
    fixed_shift,
    own_priors,
    parameter_draws,
    prior_conflicts,
    tree_priors,
    variance_shift,
)
from bayeslmm.analysis.reml_comparison.refit import given_or_refit
from bayeslmm.analysis.reml_comparison.verdicts import Evidence, judge
from bayeslmm.errors import names_keywords
from bayeslmm.reml.intervals import wald_errors
from bayeslmm.reml.parameters import Target, list_targets
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.reml.result import REMLFit


# Largest deviance by which a draw may beat the REML fit: what a converged search leaves open.
_SLACK = 1e-5


@names_keywords
def compare_reml(
    idata: xr.DataTree,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    fit: REMLFit | None = None,
    check_data: bool = True,
) -> pd.DataFrame:
    r"""Compare a posterior with the REML fit of the same rows, parameter by parameter.

    The model is refitted by REML from the tree alone. Fixed effects should agree,

    .. math:: |\bar\theta - \hat\theta| \le 0.1 \, sd + 4 \, MCSE,

    where weak priors leave them to the data. The posterior mean of a standard deviation or a
    correlation need not equal its REML estimate, which is a mode: with d degrees of freedom a flat
    prior's posterior mean lies up to 2.5 / sqrt(d) posterior sds above it, and a REML estimate of
    zero has no posterior mean near it. The table says what it finds and why; it does not fail.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, also read back from a file.
    ci_prob : float
        Probability of the credible interval. Verdicts always use the central 95 %.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.
    fit : REMLFit, optional
        The REML fit of these rows, where it is at hand; see `refit_reml`.
    check_data : bool
        As in `refit_reml`.

    Returns
    -------
    DataFrame
        Indexed by coefficient, ``sd_<factor>[term]``, ``corr_<factor>[term, term]`` and ``sigma``,
        or the numbers of the residual structure, as in ``REMLFit.residual_parameters``.

        - ``reml``, ``reml_se``: estimate and standard error, for sds and correlations by the delta
          method from the observed information (NaN where the fit is singular)
        - ``mean``, ``sd``, ``median``, the interval, ``mcse_mean``: of the posterior
        - ``diff_sd``, ``diff_mcse``: posterior mean less REML estimate, in posterior standard
          deviations and in Monte Carlo standard errors
        - ``prior_pull``: first-order shift of the posterior mean due to the prior, in posterior
          sds, exact for fixed effects under normal priors (NaN without priors in the tree)
        - ``verdict``, ``reason``: see `bayeslmm.analysis.reml_comparison.verdicts.judge`

        ``attrs["deviance"]`` describes 2 {l(REML) - l(draw)}, l the restricted log-likelihood, over
        draws: ``mean``, ``expected`` (the number of variance parameters: its mean under flat
        priors and many levels), ``least`` (below zero only if REML missed its maximum).
        ``attrs["singular"]`` says whether the REML fit is.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package, lacks a group, or its rows were changed.
    DataError
        When REML cannot estimate the model.

    References
    ----------
    Chung, Rabe-Hesketh, Dorie, Gelman & Liu (2013), Psychometrika 78(4):685-709, on REML and
    posterior estimates of standard deviations with few levels. doi:10.1007/s11336-013-9328-2

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> compare_reml(idata)[["reml", "mean"]].loc[["Intercept", "x", "sigma"]].round(2)
               reml  mean
    parameter
    Intercept  2.73   1.0
    x          1.18   2.0
    sigma      1.82   3.0
    """
    fit = given_or_refit(idata, fit, check_data=check_data)
    targets = list_targets(fit.gram, fit.residual)
    draws = parameter_draws(idata, targets, fit)
    estimate, error, freedom = wald_errors(fit, targets)
    numbers = describe(draws, ci_prob, ci_kind)
    priors = tree_priors(idata)
    pull = variance_shift(idata, priors, draws)
    pull[: len(fit.gram.coef)] = fixed_shift(priors, fit)
    table = pd.DataFrame({"reml": estimate, "reml_se": error}, pd.Index(targets, name="parameter"))
    for name in numbers:
        if name not in ("ess_bulk", "ess_tail", "r_hat"):
            table[name] = numbers[name]
    difference = table["mean"] - table["reml"]
    table["diff_sd"] = _ratio(difference, table["sd"])
    table["diff_mcse"] = _ratio(difference, table["mcse_mean"])
    table["prior_pull"] = _ratio(pd.Series(pull, table.index), table["sd"])
    low, high = np.quantile(draws.reshape(-1, len(targets)), [0.025, 0.975], axis=0)
    conflicts = prior_conflicts(priors, fit, targets, estimate)
    against = [name for name, conflict in zip(targets, conflicts, strict=True) if conflict]
    verdicts = [
        judge(
            Evidence(
                kind=target.kind,
                **_row(table.iloc[j]),
                low=float(low[j]),
                high=float(high[j]),
                freedom=_freedom(fit, target, float(freedom[j])),
                prior=prior,
                group=_group(fit, target),
                conflict=conflicts[j],
                others=", ".join(against),
            )
        )
        for j, (target, prior) in enumerate(
            zip(targets.values(), own_priors(priors, targets), strict=True)
        )
    ]
    table["verdict"] = [verdict for verdict, _ in verdicts]
    table["reason"] = [reason for _, reason in verdicts]
    table.attrs = {"deviance": _deviance(idata, fit), "singular": fit.is_singular}
    return table


def _ratio(numerator: Any, denominator: Any) -> Any:
    """Divide where there is something to divide by; NaN elsewhere."""
    return numerator / denominator.where(denominator > 0.0)


def _row(row: Any) -> dict[str, float]:
    wanted = {"reml": "reml", "mean": "mean", "median": "median", "sd": "sd"}
    wanted |= {"mcse": "mcse_mean", "pull": "prior_pull", "error": "reml_se"}
    return {name: float(row[column]) for name, column in wanted.items()}


def _freedom(fit: REMLFit, target: Target, by_information: float) -> float:
    """Degrees of freedom by the observed information; on the boundary by counting.

    A q by q correlation matrix of visits has more room near zero than a single correlation: with n
    groups the mean lies nearer to zero than the mode by a multiple of q / n, and so by q / 2 times
    as many posterior sds as that of two visits.
    """
    if np.isfinite(by_information) and _size(fit, target) > 2:
        return by_information * (2.0 / _size(fit, target)) ** 2
    if np.isfinite(by_information):
        return by_information
    if target.factor >= 0:
        levels = len(fit.gram.factors[target.factor].levels)
        return float(max(levels - (1 if target.kind == "sd" else 3), 1))
    effects = sum(len(factor.levels) * len(factor.terms) for factor in fit.gram.factors)
    return float(max(fit.n_obs - len(fit.gram.coef) - effects, 1))


def _group(fit: REMLFit, target: Target) -> str:
    if target.factor >= 0:
        factor = fit.gram.factors[target.factor]
        return f"{len(factor.levels)} levels of {factor.name}"
    if target.kind == "corr" and fit.residual is not None:
        rows = fit.residual.structure.rows
        known = "" if rows.correlation is None else f" of {rows.correlation.group}"
        return f"{len(np.unique(rows.group))} groups{known}"
    return f"{fit.n_obs} rows"


def _size(fit: REMLFit, target: Target) -> int:
    """Return how many visits the matrix has that a correlation of the residuals is in."""
    if fit.residual is None or target.number < 0:
        return 0
    number = fit.residual.numbers[target.number]
    if not number.is_pair:
        return 0
    structure = fit.residual.structure
    return len(structure.coords[structure.dims[number.variable][-1]])


def _deviance(idata: xr.DataTree, fit: REMLFit) -> dict[str, Any]:
    deviance = draw_deviances(idata, fit)
    mean, least = float(deviance.mean()), float(deviance.min())
    expected = fit.n_parameters - len(fit.gram.coef)
    if least < -_SLACK * max(1.0, abs(fit.criterion) * 1e-3):
        words = (
            f"A draw reaches a restricted likelihood {-0.5 * least:.2g} above the REML fit's: the "
            "REML search stopped early, and its estimates should not be trusted."
        )
    else:
        words = (
            f"The draws' restricted likelihood lies {mean:.1f} below REML's maximum on average, in "
            f"units of deviance; {expected} is what {expected} variance parameters give under flat "
            "priors and many levels."
        )
        if mean > 2.0 * expected:
            words += (
                " So much more means that priors keep the draws from the data's best fit, or that "
                "the chains have not reached it."
            )
    return {
        "mean": mean,
        "least": least,
        "expected": expected,
        "draws": len(deviance),
        "words": words,
    }
