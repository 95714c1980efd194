"""Posterior predictive checks of a statistic of each group's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.analysis.prediction.linear_predictor import (
    check_seed,
    linear_predictor,
    training_design,
)
from bayeslmm.errors import ArgumentError, TreeError, names_keywords, nearest
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

type Compute = Callable[..., NDArray[np.float64]]
type Statistic = Literal["mean", "sd", "min", "max"] | Compute
STATISTICS: dict[str, Compute] = {
    "mean": np.mean,
    "sd": np.std,
    "min": np.min,
    "max": np.max,
}
DRAWS = 250  # of each chain: tail probabilities to within a percent or two


@names_keywords
def check_groups(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    statistic: Statistic = "sd",
    random_effects: str | Sequence[str] = "all",
    draws: int | None = None,
    random_seed: int | None = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Compare a statistic of each group's rows with its posterior predictive distribution.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        Whose levels are the groups; may be left out where there is one.
    statistic : {"mean", "sd", "min", "max"} or callable
        Computed over each group's rows; sd has the divisor n. A function is called as
        ``statistic(values, axis=0)``, as NumPy's are, such as `numpy.median`. The mean tests
        little with the group's own effect included: that was fitted to it.
    random_effects : "all", "none" or list of str
        As in `predict`.
    draws : int, optional
        Draws of each chain, 250 or all there are without it.
    random_seed : int, optional
        Seed of the replicated responses.
    ci_prob : float
        Probability of the predictive interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per level: ``level``, ``rows``, ``observed``, the predictive ``mean``, ``sd``,
        ``median`` and interval, and ``p_above``: the predictive probability of a value at or above
        the observed one.

    Raises
    ------
    ArgumentError
        When the statistic is unknown, or is no function of values and an axis.
    TreeError
        When the factor is unknown, responses are censored, or `idata` is no tree of this package.

    References
    ----------
    Gelman, Meng & Stern (1996), Statistica Sinica 6:733-807.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> check_groups(idata, statistic="mean", random_seed=1)[["level", "rows", "observed"]]
      level  rows  observed
    0     a     2  2.000000
    1     b     4  4.250000
    2     c     3  4.333333
    """
    compute = _function(statistic)
    info = read.factor(idata, factor)
    if read.constant(idata, "ends") is not None:
        raise TreeError(
            "A statistic of responses of which some are censored is none of the whole ones that a "
            "fit predicts: plot_check draws both, and residuals(fit, kind='quantile') are of each "
            "row."
        )
    chosen = next(one for one in training_design(idata).factors if one.name == info.name)
    _, total = read.sample_shape(idata)
    predictor = linear_predictor(
        idata,
        random_effects=random_effects,
        draws=min(total, DRAWS) if draws is None else draws,
        residual=True,
    )
    generator = np.random.default_rng([check_seed(random_seed), 2])
    y = read.response(idata)
    parts = chosen.rows_by_level()
    replicated = np.empty((predictor.size, len(parts)))
    for level, rows in enumerate(parts):
        drawn = predictor.draw(rows, predictor.rows(rows), generator)
        replicated[:, level] = compute(drawn, axis=0)
    observed = np.array([compute(y[rows], axis=0) for rows in parts])
    labels = {
        "level": np.array(read.require_levels(info), dtype=object),
        "rows": np.array([len(rows) for rows in parts]),
        "observed": observed,
    }
    numbers = describe(replicated[None], ci_prob, ci_kind, diagnostics=False)
    above = {"p_above": (replicated >= observed).mean(axis=0)}
    return pd.DataFrame({**labels, **numbers, **above})


def statistic_name(statistic: Statistic) -> str:
    """Return a statistic's name for a picture.

    Examples
    --------
    >>> statistic_name("sd"), statistic_name(np.median), statistic_name(lambda v, axis: v[0])
    ('sd', 'median', 'statistic')
    """
    name = statistic if isinstance(statistic, str) else getattr(statistic, "__name__", "")
    return name if name.isidentifier() else "statistic"


def _function(statistic: Any) -> Compute:
    if not callable(statistic):
        if isinstance(statistic, str) and statistic in STATISTICS:
            return STATISTICS[statistic]
        msg = (
            f"statistic is one of {', '.join(STATISTICS)}, or a function such as numpy.median; it "
            f"was {statistic!r}.{nearest(str(statistic), STATISTICS)}"
        )
        raise ArgumentError(msg)
    try:
        shape = np.shape(statistic(np.ones((2, 3)), axis=0))
    except TypeError as error:
        shape = str(error)
    if shape != (3,):
        msg = (
            f"statistic is called as statistic(values, axis=0) with values of shape (rows, draws), "
            f"and gives one number for each draw; with shape (2, 3), {statistic_name(statistic)} "
            f"gave {shape}. Write for example lambda v, axis: numpy.quantile(v, 0.9, axis=axis)."
        )
        raise ArgumentError(msg)
    compute: Compute = statistic
    return compute
