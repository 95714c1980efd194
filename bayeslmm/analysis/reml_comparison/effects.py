"""Posterior means of the random effects beside REML's conditional modes, level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.analysis.reml_comparison.refit import given_or_refit
from bayeslmm.analysis.reml_comparison.verdicts import NOISE, NOISY
from bayeslmm.arrays import positions
from bayeslmm.errors import TreeError, names_keywords
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.result import REMLFit
    from bayeslmm.results.factor_info import FactorInfo


AGREE_EFFECT = 0.25
"""Posterior sds: REML plugs one variance in where the posterior averages over many."""
WELL_INFORMED = 0.5
"""Reliability, 1 - Var(b_i | y) / Var(b_i), from which a level speaks mostly for itself."""
_EXACT_UP_TO = 300  # effects whose Monte Carlo error is computed one by one, some 5 ms each


@names_keywords
def compare_random_effects(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    fit: REMLFit | None = None,
    check_data: bool = True,
) -> pd.DataFrame:
    r"""Compare the random effects' posterior means with REML's conditional modes.

    Well-informed effects, with reliability 1 - Var(b_i | y) / Var(b_i) of a half or more by REML,
    should agree within

    .. math:: |E[b_i \mid y] - \hat b_i| \le 0.25 \, sd + 4 \, MCSE:

    REML puts one estimate of the variances where the posterior averages over all of them, so the
    two shrink a little differently. Poorly informed effects are mostly shrinkage and may differ by
    more where the variances do.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, also read back from a file.
    factor : str, optional
        One grouping factor; all of them without it.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.
    fit : REMLFit, optional
        The REML fit of these rows, where it is at hand.
    check_data : bool
        As in `refit_reml`.

    Returns
    -------
    DataFrame
        One row per factor, level and term: ``factor``, ``level``, ``term``; ``reml`` (conditional
        mode) and ``reml_se`` (with the uncertainty of beta, at REML's variances: a posterior sd is
        rather larger); ``reliability``; ``mean``, ``sd``, ``median``, the interval, ``mcse_mean``;
        ``diff_sd``, ``diff_mcse``; ``verdict``: ``"agrees"``, ``"as expected"`` (poorly informed,
        or REML's variance is zero), ``"differs"`` or ``"unclear"`` (too noisy to tell).
        Beyond 300 effects of a factor, ``mcse_mean`` is the sd times the largest ratio among 300 of
        them.

    Raises
    ------
    TreeError
        When there are no random effects, the factor is unknown, or as in `refit_reml`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> compare_random_effects(idata)[["level", "term", "mean"]].head(2)
      level       term  mean
    0     a  Intercept   1.0
    1     a          x   0.5
    """
    read.require_tree(idata)
    if not read.factor_names(idata):
        msg = (
            f"{idata.attrs['formula']!r} has no random effects to compare. Add a term such as "
            "'(1 | group)' and fit again; compare_reml compares what there is."
        )
        raise TreeError(msg)
    chosen = read.factors(idata) if factor is None else (read.factor(idata, factor),)
    fit = given_or_refit(idata, fit, check_data=check_data)
    tables = [_factor_table(idata, info, fit, (ci_prob, ci_kind)) for info in chosen]
    return pd.concat(tables, ignore_index=True)


def _factor_table(
    idata: xr.DataTree, info: FactorInfo, fit: REMLFit, ci: tuple[float, str]
) -> pd.DataFrame:
    effects = read.effect_draws(idata, info)
    there = info.holds.ravel()
    draws = effects.reshape(*effects.shape[:2], -1)[..., there]
    # REML has every level, the tree perhaps a choice of them.
    at = positions(fit.random_effects[info.name].index.tolist(), info.levels)
    errors = fit.prediction_error_covariance[info.name][at]
    spread = np.sqrt(np.maximum(np.einsum("iqq->iq", errors), 0.0))
    total = np.diag(fit.covariance[info.name].to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        # An effect with no variance is known without looking: nothing to be informed about.
        reliability = np.where(total > 0.0, 1.0 - spread**2 / total, 0.0)
    table = pd.DataFrame(
        {
            "factor": info.name,
            "level": np.repeat(np.array(info.levels, dtype=object), len(info.terms)),
            "term": np.tile(np.array(info.terms, dtype=object), len(info.levels)),
            "reml": fit.random_effects[info.name].to_numpy()[at].ravel(),
            "reml_se": spread.ravel(),
            "reliability": reliability.ravel(),
        }
    )[there].reset_index(drop=True)
    numbers = describe(draws, *ci, diagnostics=False)
    for name in numbers:
        table[name] = numbers[name]
    table["mcse_mean"] = _monte_carlo_errors(draws, numbers["sd"])
    difference = table["mean"] - table["reml"]
    table["diff_sd"] = difference / table["sd"].where(table["sd"] > 0.0)
    table["diff_mcse"] = difference / table["mcse_mean"].where(table["mcse_mean"] > 0.0)
    table["verdict"] = _verdicts(table)
    return table


def _monte_carlo_errors(draws: Floats, sd: Floats) -> Floats:
    count = draws.shape[-1]
    if count <= _EXACT_UP_TO:
        return describe(draws)["mcse_mean"]
    kept = np.linspace(0, count - 1, _EXACT_UP_TO).round().astype(int)
    some = describe(draws[..., kept])
    ratio = some["mcse_mean"] / np.where(some["sd"] > 0.0, some["sd"], np.nan)
    return np.asarray(sd * (np.nanmax(ratio) if np.isfinite(ratio).any() else np.nan))


def _verdicts(table: pd.DataFrame) -> NDArray[np.str_]:
    sd, difference = table["sd"].to_numpy(), (table["mean"] - table["reml"]).to_numpy()
    noise = np.nan_to_num(table["mcse_mean"].to_numpy())
    close = np.abs(difference) <= AGREE_EFFECT * sd + NOISE * noise
    vague = (table["reliability"] < WELL_INFORMED).to_numpy()
    # Even a poorly informed effect should not leave the other method's range.
    near = np.abs(difference) <= sd + NOISE * noise
    return np.select(
        [close & (noise > NOISY * sd), close, vague & near],
        ["unclear", "agrees", "as expected"],
        "differs",
    )
