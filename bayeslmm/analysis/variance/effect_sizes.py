"""Effect sizes: intraclass correlation, R2 and design effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.analysis.variance.level_moments import (
    level_sums_of,
    related_moments,
    total_products,
)
from bayeslmm.analysis.variance.moments import level_sums, second_moments, tree_gram
from bayeslmm.analysis.variance.parts import (
    LATENT,
    OBSERVATION,
    TOTAL,
    latent_residual,
    residual_variance,
    variance_parts,
)
from bayeslmm.analysis.variance.population import population_draws, with_smooths_fixed
from bayeslmm.errors import ArgumentError, TreeError, check_choice, names_keywords
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe
from bayeslmm.results.family import require_additive
from bayeslmm.results.residual import drawn_residuals, refuse_in_sigma
from bayeslmm.results.smooths import grouping_factors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.variance.parts import VarianceParts
    from bayeslmm.design.grouping import GroupingFactor

SCALES = (LATENT, OBSERVATION)
RESIDUAL = "Residual"


@names_keywords
def icc(
    idata: xr.DataTree,
    *,
    kind: Literal["adjusted", "unadjusted"] = "adjusted",
    at: Mapping[str, Any] | None = None,
    scale: Literal["latent", "observation"] = "latent",
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    r"""Describe the intraclass correlation of each grouping factor, and of all together.

    Adjusted: v_k / (sum_l v_l + v_e). Unadjusted: v_k / (v_f + sum_l v_l + v_e). Here v_k is the
    mean over rows of z' G_k z, v_e of sigma^2 / w, and v_f the variance over rows of X beta. Where
    residuals have a structure, v_e is the mean over rows of Var(e_i), the diagonal of R, with known
    standard errors among it: over all rows, or with `at` that of rows with these values, whose
    groups and times stay as they are. It is the likeness of rows through shared levels; what a
    group's residuals correlate is not in it, and `marginal_covariance` has both.

    For other families than the Gaussian, v_e on the latent scale is the variance of the latent
    response (pi^2 / 3 for logit, 1 for probit, pi^2 / 6 for cloglog, sigma^2 nu / (nu - 2) for
    Student's t) or, for counts, positive and bounded responses, that of Nakagawa, Johnson &
    Schielzeth (2017) at the rows' mean response. On the observation scale the ICC is the
    correlation of two responses that share a level: with u_k = z'b_k

    .. math:: v_k = E_i \mathrm{Var}_{u_k} E(y_i \mid u_k), \quad
              v_e = E_i E_u \mathrm{Var}(y_i \mid \eta_i)

    integrated over N(0, G) numerically in every draw, to some ten digits; of the binomial, of a
    single trial. There all factors together explain more than their sum, and as much as
    Var_u E(y | eta).

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    kind : {"adjusted", "unadjusted"}
        Given the predictors, or of the whole variance.
    at : mapping from covariate to value, optional
        With random slopes the variance between levels depends on the covariates: evaluate it
        there. Without it v_k is averaged over the training rows.
    scale : {"latent", "observation"}
        Of linear predictors or of responses; the same where the link is the identity.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per factor and ``"total"``: ``kind``, ``at`` (where slopes were evaluated), then
        ``mean``, ``sd``, ``median`` and the interval. All between 0 and 1. Where the scale makes a
        difference, ``scale`` stands behind ``kind``.

    Raises
    ------
    ArgumentError
        When `kind` or `scale` is unknown or `at` names a column that the formula does not use.
    NumericalError
        When variances on the observation scale leave the range of numbers.
    TreeError
        When `idata` is no tree of this package, or the model has no random effects.

    References
    ----------
    Nakagawa, Johnson & Schielzeth (2017), Journal of the Royal Society Interface 14:20170213,
    doi 10.1098/rsif.2017.0213. For random slopes: Johnson (2014), Methods in Ecology and
    Evolution 5:944-946, doi 10.1111/2041-210X.12225.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.icc(idata, at={"x": 0})[["kind", "at", "mean"]]
                kind   at      mean
    factor
    g       adjusted  x=0  0.307692
    total   adjusted  x=0  0.307692
    """
    check_choice("kind", kind, ("adjusted", "unadjusted"))
    check_choice("scale", scale, SCALES)
    require_factors(idata)
    refuse_in_sigma(idata, "icc", "r_squared takes the mean over the rows of the fit.")
    parts = variance_parts(idata, at, scale)
    whole = parts.random + parts.residual
    if kind == "unadjusted":
        whole = whole + parts.fixed
    ratios = {name: value / whole for name, value in parts.factors.items()}
    ratios[TOTAL] = parts.random / whole
    table = table_of(idata, ratios, ci_prob, ci_kind, "factor")
    table.insert(0, "kind", kind)
    table.insert(1, "at", parts.at)
    return _with_scale(table, parts, 1)


def _with_scale(table: pd.DataFrame, parts: VarianceParts, place: int) -> pd.DataFrame:
    """Say on which scale, where there are two."""
    if parts.scale:
        table.insert(place, "scale", parts.scale)
    return table


@names_keywords
def r_squared(
    idata: xr.DataTree,
    *,
    by_level: str | None = None,
    scale: Literal["latent", "observation"] = "latent",
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe the share of the response's variance that the model explains.

    Marginal: v_f / (v_f + v_b + v_e), by the fixed effects; conditional: (v_f + v_b) /
    (v_f + v_b + v_e), by fixed and random effects; the parts are those of `icc`: effects of a
    factor with a level for every row, overdispersion, are residual where responses have another
    family than the Gaussian. On the observation
    scale v_f is the variance over rows of the expected response, random effects averaged over, and
    the three add up to the response's variance.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    by_level : str, optional
        A grouping factor: adds how much of the variance between its levels (of the levels' means)
        and within them the fixed effects explain; on the latent scale.
    scale : {"latent", "observation"}
        Of linear predictors or of responses, as in `icc`.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        Rows ``marginal`` and ``conditional``; with `by_level` also ``between <factor>``: v_fB /
        (v_fB + v_bB), and ``within <factor>``: v_fW / (v_fW + v_bW + v_e), where v_fB and v_fW are
        the variances of X beta between and within levels and v_bB, v_bW those that the random
        effects imply. Where the scale makes a difference, ``scale`` comes first.

    Raises
    ------
    ArgumentError
        When `scale` is unknown, or is that of observations together with `by_level`.
    NumericalError
        When variances on the observation scale leave the range of numbers.
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    References
    ----------
    Nakagawa, Johnson & Schielzeth (2017), doi 10.1098/rsif.2017.0213; by level: Rights & Sterba
    (2019), Psychological Methods 24:309-338, doi 10.1037/met0000184.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.r_squared(idata)["mean"].round(3)
    r_squared
    marginal       0.132
    conditional    0.515
    Name: mean, dtype: float64
    """
    check_choice("scale", scale, SCALES)
    parts = variance_parts(idata, scale=scale)
    if by_level is not None and parts.scale == OBSERVATION:
        raise ArgumentError(
            "by_level divides the variance of linear predictors: leave scale='observation' out."
        )
    whole = parts.fixed + parts.random + parts.residual
    shares = {
        "marginal": parts.fixed / whole,
        "conditional": (parts.fixed + parts.random) / whole,
    }
    if by_level is not None:
        shares.update(_by_level(idata, read.factor(idata, by_level).name))
    return _with_scale(table_of(idata, shares, ci_prob, ci_kind, "r_squared"), parts, 0)


def _by_level(idata: xr.DataTree, factor: str) -> dict[str, NDArray[np.float64]]:
    design = with_smooths_fixed(training_design(idata))
    target = next(item for item in design.factors if item.name == factor)
    target.require_one_level("by_level=")
    index = target.index
    fixed = split_moments(design.X, index)
    beta = population_draws(idata)
    between, within = (np.einsum("si,ij,sj->s", beta, part, beta) for part in fixed)
    random_between = np.zeros_like(between)
    random_within = np.zeros_like(within)
    for item in design.factors:
        cov = read.covariance_draws(idata, read.factor(idata, item.name))
        upper, lower = _random_moments(item, index)
        random_between += np.einsum("sij,ij->s", cov, upper)
        random_within += np.einsum("sij,ij->s", cov, lower)
    residual = latent_residual(idata, design)
    return {
        f"between {factor}": between / (between + random_between),
        f"within {factor}": within / (within + random_within + residual),
    }


def split_moments(
    columns: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the between-level and within-level parts of the covariance matrix of columns.

    Both have the divisor n - 1, so that they add up to the covariance matrix of all rows.
    """
    n = len(columns)
    counts = np.bincount(index)
    means = level_sums_of(columns, index) / counts[:, None]
    inside = columns - means[index]
    centered = means - columns.mean(axis=0)
    divisor = max(n - 1, 1)
    between = (centered * counts[:, None]).T @ centered / divisor
    return between, inside.T @ inside / divisor


def _random_moments(
    item: GroupingFactor, index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute second moments M with E(variance of Z b) = tr(G M), of level means and within levels.

    The random part of a row's level mean is the mean of its rows' z, gathered by the effect that
    they share: for another factor, several effects meet in one level.
    """
    columns, own = item.columns, item.index
    if item.latent is not None:
        return related_moments(item, index)
    counts = np.bincount(index)
    pairs, of_row = np.unique(np.stack([index, own]), axis=1, return_inverse=True)
    sums = level_sums_of(columns, of_row.ravel()) / counts[pairs[0]][:, None]
    upper = (sums * counts[pairs[0]][:, None]).T @ sums / len(columns)
    whole = columns.T @ columns / len(columns)
    return upper, whole - upper


@names_keywords
def design_effect(
    idata: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND
) -> pd.DataFrame:
    """Describe by how much clustering inflates the variance of the overall mean.

    deff = 1'V1 / tr(V) with V = sum_k Z_k G_k Z_k' + R. With one random intercept and m rows in
    each level it is Kish's 1 + (m - 1) ICC; with unequal levels m becomes sum m_i^2 / sum m_i.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per factor (1 plus its own contribution), one of ``"Residual"`` where residuals
        correlate within groups, and ``"total"``; the last column ``effective_n`` is the number of
        rows divided by the posterior mean.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package, the model has no random effects, was fitted to
        cross-products that do not tell how many rows a level has in each column, or its response
        has a variance that depends on its mean.

    References
    ----------
    Kish (1965), Survey Sampling, Wiley, section 5.4.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.design_effect(idata)[["mean", "effective_n"]].round(3)
            mean  effective_n
    factor
    g       1.91        4.711
    total   1.91        4.711
    """
    require_factors(idata)
    require_additive(idata, "design_effect")
    refuse_in_sigma(idata, "design_effect", "r_squared takes the mean over the rows of the fit.")
    gram = tree_gram(idata)
    extra: dict[str, NDArray[np.float64]] = {}
    if gram is None:
        design = with_smooths_fixed(training_design(idata))
        n = len(design.X)
        trace = n * residual_variance(idata, design)
        drawn = drawn_residuals(idata, design)
        if drawn is not None and drawn.correlated:
            extra[RESIDUAL] = drawn.sum_of_covariances() - trace
        totals = {f.name: total_products(f) for f in design.factors}
        squares = {f.name: f.scaled_columns.T @ f.scaled_columns for f in design.factors}
    else:
        n = gram.n
        trace = n * residual_variance(idata)
        totals = {f.name: level_sums(gram, k) for k, f in enumerate(gram.factors)}
        totals = {name: sums.T @ sums for name, sums in totals.items()}
        squares = {f.name: n * second_moments(gram, k) for k, f in enumerate(gram.factors)}
    for name, own in squares.items():
        cov = read.covariance_draws(idata, read.factor(idata, name))
        trace = trace + np.einsum("sij,ij->s", cov, own)
        extra[name] = np.einsum("sij,ij->s", cov, totals[name] - own)
    effects = {name: 1 + value / trace for name, value in extra.items()}
    effects[TOTAL] = 1 + sum(extra.values()) / trace
    table = table_of(idata, effects, ci_prob, ci_kind, "factor")
    table["effective_n"] = n / table["mean"]
    return table


def table_of(
    idata: xr.DataTree,
    values: Mapping[str, NDArray[np.float64]],
    ci_prob: float,
    ci_kind: str,
    index_name: str,
) -> pd.DataFrame:
    """Describe named quantities, each given as draws of shape (chain * draw,)."""
    shape = read.sample_shape(idata)
    draws = np.stack(list(values.values()), axis=-1).reshape(*shape, -1)
    numbers = describe(draws, ci_prob, ci_kind, diagnostics=False)
    return pd.DataFrame(numbers, index=pd.Index(list(values), name=index_name))


def require_factors(idata: xr.DataTree) -> None:
    """Raise unless the model has random effects.

    Raises
    ------
    TreeError
        When it has none.
    """
    if not grouping_factors(idata):
        msg = (
            f"{idata.attrs['formula']!r} has no random effects, and this question is about them; "
            "add a term such as (1 | group)."
        )
        raise TreeError(msg)
