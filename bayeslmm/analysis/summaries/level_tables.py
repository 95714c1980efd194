"""Tables of a fit by levels: random effects, and each level's own line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.errors import names_keywords
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe
from bayeslmm.results.factor_info import coefficients_of_terms
from bayeslmm.results.residual import all_factors, sigma_factors
from bayeslmm.results.smooths import grouping_factors
from bayeslmm.results.weights import draw_weights

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.results.factor_info import FactorInfo

# Draws of no level, which have the columns of any.
_NO_LEVELS = np.zeros((2, 4, 0))


@names_keywords
def random_effects(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    diagnostics: bool = False,
) -> pd.DataFrame:
    """Describe the posterior of the random effects b ~ N(0, G), level by level.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        One grouping factor; all of them without it. Effects in log(sigma) are those of
        ``sigma_<factor>``.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.
    diagnostics : bool
        Whether to add ``mcse_mean``, ``ess_bulk``, ``ess_tail`` and ``r_hat``. It costs some 5 ms
        an effect, which is seconds where there are thousands.

    Returns
    -------
    DataFrame
        One row per factor, level and term: ``factor``, ``level``, ``term``, then ``mean``, ``sd``,
        ``median`` and the interval. Unit: the response's per unit of the column; in log(sigma)
        none. Of ``gr(g, by=arm)`` each level has the terms of its own arm.

    Raises
    ------
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.random_effects(idata)[["factor", "level", "term", "mean"]].head(3)
      factor level       term  mean
    0      g     a  Intercept   1.0
    1      g     a          x   0.5
    2      g     b  Intercept   0.0
    """
    everything = (*grouping_factors(idata), *sigma_factors(idata))
    chosen = everything if factor is None else all_factors(idata, factor)
    chains = draw_weights(idata) is None

    def numbers(values: Floats) -> dict[str, Floats]:
        return describe(values, ci_prob, ci_kind, diagnostics=diagnostics, mixing=chains)

    tables = []
    for info in chosen:
        there = info.holds.ravel()
        own = numbers(_columns(read.effect_draws(idata, info))[..., there])
        tables.append(_level_table(info, ("term", info.terms), own, there))
    return _concat(tables, ["factor", "level", "term", *numbers(_NO_LEVELS)])


@names_keywords
def coefficients(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    diagnostics: bool = False,
) -> pd.DataFrame:
    """Describe each level's own line: its fixed plus its random effects, beta + b_i.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        One grouping factor; all of them without it. The other factors' effects are at zero.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.
    diagnostics : bool
        Whether to add Monte Carlo errors, effective sample sizes and R-hat (slow for many levels).

    Returns
    -------
    DataFrame
        One row per factor, level and coefficient. A coefficient without a random effect is the
        same for all levels; a random effect without a fixed one varies around zero. Of
        ``gr(g, by=arm)`` each level's coefficients have the effects of its own arm.

    Raises
    ------
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.coefficients(idata)[["factor", "level", "coef", "mean"]].head(3)
      factor level       coef  mean
    0      g     a  Intercept   2.0
    1      g     a          x   2.5
    2      g     b  Intercept   1.0
    """
    chosen = grouping_factors(idata) if factor is None else (read.factor(idata, factor),)
    tables, chains = [], draw_weights(idata) is None

    def numbers(values: Floats) -> dict[str, Floats]:
        return describe(values, ci_prob, ci_kind, diagnostics=diagnostics, mixing=chains)

    for info in chosen:
        labels, values = coefficient_draws(idata, info)
        whole = np.ones(len(info.levels) * len(labels), dtype=bool)
        tables.append(_level_table(info, (names.COEF, labels), numbers(_columns(values)), whole))
    return _concat(tables, ["factor", "level", names.COEF, *numbers(_NO_LEVELS)])


def coefficient_draws(
    idata: xr.DataTree, info: FactorInfo
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the names and draws, shape (chain, draw, level, coef), of each level's own line."""
    coef = read.coefficients(idata)
    own = coefficients_of_terms(info, coef)
    labels = coef + tuple(label for label in own.values() if label not in coef)
    beta = read.draws(idata, names.BETA)
    effects = read.effect_draws(idata, info)
    lines = np.zeros((*effects.shape[:3], len(labels)))
    lines[..., : len(coef)] = beta[:, :, None, :]
    for position, term in enumerate(info.terms):
        lines[..., labels.index(own[term])] += effects[..., position]
    return labels, lines


def _columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flatten the dimensions after chain and draw."""
    return values.reshape(*values.shape[:2], -1)


def _level_table(
    info: FactorInfo,
    columns: tuple[str, tuple[str, ...]],
    numbers: dict[str, NDArray[np.float64]],
    there: NDArray[np.bool_],
) -> pd.DataFrame:
    """Put numbers beside the levels and columns that are there, shape (levels * columns,)."""
    name, labels = columns
    frame = pd.DataFrame(
        {
            "factor": info.name,
            "level": np.repeat(np.array(info.levels, dtype=object), len(labels)),
            name: np.tile(np.array(labels, dtype=object), len(info.levels)),
        }
    )
    return pd.concat([frame[there].reset_index(drop=True), pd.DataFrame(numbers)], axis=1)


def _concat(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)
