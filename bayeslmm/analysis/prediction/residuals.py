"""Fitted values and residuals of rows, of a posterior or a REML fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.estimated.reml_rows import reml_design, reml_rows
from bayeslmm.analysis.prediction.fit_rows import Fit, included
from bayeslmm.analysis.prediction.linear_predictor import (
    check_seed,
    design_state,
    linear_predictor,
    training_design,
)
from bayeslmm.analysis.prediction.residual_kinds import (
    require_kind,
    residual_draws,
    residual_means,
)
from bayeslmm.analysis.prediction.row_numbers import row_trials, row_weights
from bayeslmm.design.build import rebuild_design
from bayeslmm.errors import (
    ArgumentError,
    check_choice,
    names_keywords,
)
from bayeslmm.model.residual.independent import INDEPENDENT
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.family import family, is_additive

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design

ResidualKind = Literal["response", "pearson", "normalized", "quantile", "marginal"]
RESIDUAL_KINDS = ("response", "pearson", "normalized", "quantile", "marginal")


@names_keywords
def fitted(
    fit: Fit,
    data: Any = None,
    *,
    random_effects: str | Sequence[str] = "all",
    as_draws: bool = False,
) -> pd.Series[float] | xr.DataArray:
    r"""Return the expected values of the rows, E(y | eta) with eta = X beta + Z b + offset.

    It is eta itself for Gaussian and Student-t responses, a probability for Bernoulli and binomial
    ones, of which `predict` with ``kind="link"`` gives eta.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    data : table or mapping of columns, optional
        Rows of groups that the fit saw; its own without it. `predict` takes new groups, too.
    random_effects : "all", "none" or list of str
        Whose effects to include; ``"none"`` gives the population's values (nlme's level 0), a list
        those of partly nested levels.
    as_draws : bool
        Whether to return the draws of a posterior, as `predict` does.

    Returns
    -------
    Series
        Posterior means, or with REML those at the estimates and conditional modes, in the
        response's unit, by the rows' labels ``obs``.
    DataArray, dims (chain, draw, obs)
        With ``as_draws=True``.

    Raises
    ------
    ArgumentError
        When a factor is unknown, or draws are asked of a REML fit; or when the fit dropped columns
        and does not determine what is expected of a row.
    TreeError
        When `fit` is neither, or was fitted to cross-products and no rows are given.

    References
    ----------
    Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, Springer, section 2.5,
    doi 10.1007/b98882, for the levels.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.fitted(idata).head(3)
    obs
    0    2.0
    1    4.5
    2    1.0
    Name: y, dtype: float64
    """
    if isinstance(fit, REMLFit):
        _refuse_draws(as_draws)
        design = reml_design(fit, data, included(fit, random_effects))
        return _series(reml_rows(fit, design).eta(), design, fit)
    read.require_tree(fit)
    of_mean = not is_additive(family(fit))
    predictor = linear_predictor(fit, data, random_effects=random_effects, residual=of_mean)
    if not as_draws:
        return _series(predictor.posterior_mean(), predictor.design, fit)
    values = np.empty((predictor.size, predictor.n))
    for rows, means in predictor.mean_chunks():
        values[:, rows] = means.T
    return _array(fit, values, predictor.design)


@names_keywords
def residuals(
    fit: Fit,
    data: Any = None,
    *,
    kind: ResidualKind = "response",
    weights: Any = None,
    trials: Any = None,
    se: Any = None,
    as_draws: bool = False,
    random_seed: int | None = None,
) -> pd.Series[float] | xr.DataArray:
    r"""Return what the model leaves of the response.

    .. math::
        \text{response: } & y - \mu, \quad \mu = E(y \mid X\beta + Zb + o) \\
        \text{pearson: } & (y - \mu) / \sqrt{\mathrm{Var}(y \mid \eta)} \\
        \text{normalized: } & L^{-1} (y - \mu), \quad R = L L' \\
        \text{quantile: } & \Phi^{-1}(u), \quad u \sim U(F(y^-), F(y)) \\
        \text{marginal: } & y - X\beta - o

    with F the distribution function of the row's response, F(y-) the probability of a smaller one.
    For Gaussian responses mu is eta and the variance sigma^2 / w, or the diagonal of R.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    data : table or mapping of columns, optional
        Rows with the response, of groups that the fit saw; its own rows without it.
    kind : {"response", "pearson", "normalized", "quantile", "marginal"}
        ``"response"``: within the groups, in the response's unit (lme4's default); of a binomial
        response the share of successes less its probability. ``"pearson"``: these in standard
        deviations of the row, with variance about one (nlme's ``"pearson"``; lme4's with
        ``scaled = TRUE``). ``"normalized"``: without the correlation of a residual structure, too
        (nlme's): with a group's rows in the order of their times, each is the error when it is
        foretold from those before it, in standard deviations, so that what is left to see is what
        the structure misses (visits that are text come in the order of their sorted labels, "week
        10" before "week 2": make the column an ordered categorical, or number the visits);
        Pearson's where residuals are independent, and on the scale of the
        logarithm for lognormal responses. ``"quantile"``: randomised quantile residuals, what
        counts and binary responses are looked at by: standard normal whatever the family where
        groups have many rows, less spread where few rows have moved their own group's effect. F is
        the mean over the draws, so they are of the posterior predictive distribution.
        ``"marginal"``: from the population's line (nlme's level 0), which correlate within groups;
        only where the mean is eta.
    weights, trials, se : column name, array or, of trials, int, optional
        Of the rows of `data`; as in `predict`.
    as_draws : bool
        Whether to return the draws of a posterior. Of quantile residuals a row has the same
        place between F(y-) and F(y) in all of them.
    random_seed : int, optional
        Seed of those places, of discrete responses; the same seed gives the same residuals.

    Returns
    -------
    Series
        Posterior means (of quantile residuals, see `kind`), or with REML those at the estimates
        and conditional modes, by the rows' labels ``obs``. Quantile residuals beyond 8.2 are
        given as that: probabilities closer to 1 are no numbers.
    DataArray, dims (chain, draw, obs)
        With ``as_draws=True``.

    Raises
    ------
    ArgumentError
        When the kind is unknown, or is none for the family: marginal ones where the mean is not
        eta, normalized ones where no scale is Gaussian, Pearson's where some draws have no
        variance; when the rows lack standard errors that the fit's had; when draws are asked of a
        REML fit; or when the fit dropped columns and does not determine what is expected of a row.
    DataError
        When rows lack the response, or a group is new.
    TreeError
        When `fit` is neither, or was fitted to cross-products and no rows are given.

    References
    ----------
    Nobre & Singer (2007), Biometrical Journal 49(6):863-875, doi 10.1002/bimj.200610341. Quantile
    residuals: Dunn & Smyth (1996), Journal of Computational and Graphical Statistics 5(3):236-244,
    doi 10.1080/10618600.1996.10474708.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.residuals(idata, kind="pearson").head(3).round(2)
    obs
    0   -0.33
    1   -0.50
    2    0.33
    Name: y, dtype: float64
    """
    check_choice("kind", kind, RESIDUAL_KINDS)
    for name, given in (("weights", weights), ("trials", trials), ("se", se)):
        if given is not None and data is None:
            raise ArgumentError(
                f"{name} are those of data=; the fit's own rows have the fit's own."
            )
    seed = check_seed(random_seed)
    if isinstance(fit, REMLFit):
        _refuse_draws(as_draws)
        return _of_reml(fit, data, kind, weights)
    require_kind(fit, kind)
    scaled = kind in {"pearson", "normalized", "quantile"}
    if scaled:
        weights = row_weights(fit, data, weights)
    trials = row_trials(fit, data, trials, "residuals are of shares of the trials", "")
    design = _tree_rows(fit, data, weights, trials)
    effects = "none" if kind == "marginal" else "all"
    predictor = linear_predictor(
        fit,
        data,
        random_effects=effects,
        weights=design.weights,
        trials=design.trials,
        residual=scaled or not is_additive(family(fit)),
        se=se,
    )
    if as_draws:
        values = np.empty((predictor.size, predictor.n))
        for rows, drawn in residual_draws(predictor, design.y, kind, seed):
            values[:, rows] = drawn.T
        return _array(fit, values, design)
    return _series(residual_means(predictor, design.y, kind, seed), design, fit)


def _of_reml(fit: REMLFit, data: Any, kind: str, weights: Any) -> pd.Series[float]:
    """Return residuals at the estimates; those of Gaussian quantiles are Pearson's."""
    white = kind in {"pearson", "normalized", "quantile"}
    factors = included(fit, "none" if kind == "marginal" else "all")
    design = reml_design(fit, data, factors, response=True, weights=weights, weighted=white)
    rest = design.y - reml_rows(fit, design).eta()
    if white and fit.residual is None:
        rest = INDEPENDENT.whiten(rest[None], np.array([fit.sigma]), design.weights)[0]
    elif white and fit.residual is not None:
        if data is not None:
            raise ArgumentError(
                f"Of a REML fit with a residual structure ({fit.residual.name}), {kind} residuals "
                "are those of its own rows: leave data out, or give kind='response'."
            )
        rest = fit.residual.whitened(rest, correlated=kind == "normalized")
    return _series(rest, design, fit)


def _tree_rows(idata: xr.DataTree, data: Any, weights: Any, trials: Any) -> Design:
    if data is not None:
        return rebuild_design(
            design_state(idata),
            data,
            response="required",
            factors=(),
            weights=weights,
            trials=trials,
        )
    return replace(training_design(idata), y=read.response(idata))


def _refuse_draws(as_draws: bool) -> None:
    if as_draws:
        raise ArgumentError("A REML fit has no draws: leave as_draws out, or fit by fit_bayes.")


def _series(values: Floats, design: Design, fit: Fit) -> pd.Series[float]:
    name = fit.data.response if isinstance(fit, REMLFit) else str(fit.attrs["response"])
    return pd.Series(values, index=pd.Index(design.obs, name=names.OBS), name=name)


def _array(idata: xr.DataTree, values: Floats, design: Design) -> xr.DataArray:
    import xarray as xr  # noqa: PLC0415 - slow to import

    posterior = read.group(idata, "posterior")
    return xr.DataArray(
        values.reshape(*read.sample_shape(idata), -1),
        dims=("chain", "draw", names.OBS),
        coords={"chain": posterior["chain"], "draw": posterior["draw"], names.OBS: design.obs},
        name=str(idata.attrs["response"]),
        attrs={"formula": str(idata.attrs["formula"])},
    )
