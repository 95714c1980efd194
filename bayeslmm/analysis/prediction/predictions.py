"""Expected values and new observations of any rows: draws in, labelled arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import (
    LinearPredictor,
    Policy,
    check_seed,
    linear_predictor,
)
from bayeslmm.analysis.prediction.new_levels import refuse_average
from bayeslmm.analysis.prediction.row_numbers import row_trials, row_weights
from bayeslmm.errors import ArgumentError, check_choice, names_keywords
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, describe
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

Kind = Literal["link", "mean", "response"]
KINDS = ("link", "mean", "response")


@names_keywords
def predict(
    idata: xr.DataTree,
    data: Any = None,
    *,
    kind: Kind = "mean",
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    weights: Any = None,
    trials: Any = None,
    random_seed: int | None = None,
) -> xr.DataArray:
    r"""Draw expected values or new observations of rows given eta = X beta + Z b + offset.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    data : table or mapping of columns, optional
        The rows; the training rows without it. Columns keep the coding, knots and means of the
        fit.
    kind : {"mean", "link", "response"}
        The expected value E(y | eta), of a binomial response per trial; eta itself, on the scale
        of the link; or a new observation. A Gaussian response has E(y | eta) = eta, and new
        observations eta + e with e ~ N(0, sigma^2 / w).
    random_effects : "all", "none" or list of str
        Which grouping factors' effects to include. Those left out are at zero (a typical level),
        and their columns need not be in `data`.
    new_levels : {"error", "population", "sample", "average"} or mapping from factor to these
        What to do with levels that the fit did not see: refuse, put their effects at zero, draw
        them from N(0, G), or average E(y | eta) over N(0, G). A drawn level has the same effects
        in all its rows and in every order of the rows. With ``"population"`` a missing label is a
        level that the fit did not see.
    draws : int, optional
        How many draws of each chain to keep, evenly spaced; all of them without it.
    weights : column name or array, optional
        Positive weights of the rows for ``kind="response"``. Without it the training rows have the
        fit's own, and new rows those of the column that the fit took its weights from; where they
        lack it they have weight 1, with a warning.
    trials : column name, array or int, optional
        Numbers of trials of a binomial response for ``kind="response"``; as weights, except that
        new rows must have them.
    random_seed : int, optional
        Seed of new levels and new observations.

    Returns
    -------
    DataArray, dims (chain, draw, obs)
        Named after the response, in its unit; ``obs`` holds the labels of the rows' index, or
        their numbers where they have none. For a million rows prefer `predict_table`, which
        holds a few of them at a time.

    Raises
    ------
    ArgumentError
        When an argument is not one of its choices; or when the fit dropped columns
        and does not determine what is expected of a row.
    DataError
        When a column is missing or of another type, or a level is new and may not be.
    TreeError
        When `idata` is no tree of this package.

    Notes
    -----
    Where the mean is no linear function of eta, ``"population"`` and ``"average"`` answer two
    questions. The first is the mean of a typical group, g^-1(x'beta): half of the groups have a
    higher one. The second is the mean over all groups, :math:`\int g^{-1}(x'\beta + z'b) \,
    N(b; 0, G) \, db`: what a sample of many groups averages to. With sd 2 on the logit scale, a
    typical group's 0.73 is 0.65 over all groups. Of a Gaussian response both are X beta. Draws by
    ``"sample"`` average to the second one, with the scatter of a single group.

    References
    ----------
    Gelman & Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models,
    Cambridge University Press, section 12.8, for predictions in old and new groups;
    Zeger, Liang & Albert (1988), Biometrics 44(4):1049-1060, doi 10.2307/2531734, for typical and
    averaged means.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.predict(idata, {"x": [0.0, 2.0]}, random_effects="none").mean(("chain", "draw")).values
    array([1., 5.])
    """
    import xarray as xr  # noqa: PLC0415 - slow to import

    _check_kind(kind, new_levels)
    predictor = linear_predictor(
        idata,
        data,
        random_effects=random_effects,
        new_levels=new_levels,
        draws=draws,
        weights=row_weights(idata, data, weights) if kind == "response" else weights,
        trials=row_trials(idata, data, trials) if kind == "response" else trials,
        random_seed=random_seed,
    )
    values = np.empty((predictor.n, predictor.size))
    for rows, chunk in _chunks(predictor, kind, random_seed):
        values[rows] = chunk
    posterior = read.group(idata, "posterior")
    return xr.DataArray(
        values.T.reshape(*predictor.shape, predictor.n),
        dims=("chain", "draw", names.OBS),
        coords={
            "chain": posterior["chain"],
            "draw": posterior["draw"][predictor.kept],
            names.OBS: predictor.design.obs,
        },
        name=str(idata.attrs["response"]),
        attrs={"kind": kind, "formula": str(idata.attrs["formula"])},
    )


@names_keywords
def predict_table(
    idata: xr.DataTree,
    data: Any = None,
    *,
    kind: Kind = "mean",
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    weights: Any = None,
    trials: Any = None,
    random_seed: int | None = None,
    columns: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe the predictions of rows, in memory that does not grow with rows times draws.

    Parameters
    ----------
    idata, data, kind, random_effects, new_levels, draws, weights, trials, random_seed
        As in `predict`.
    columns : bool
        Whether to put the rows' own columns first: all of `data`'s, or those that the model used
        of its training rows.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per row of `data`, with its index: ``mean``, ``sd``, ``median`` and the interval,
        exact over the draws that are kept. For ``kind="response"`` it is a prediction interval.

    Raises
    ------
    ArgumentError, DataError, TreeError
        As in `predict`; also when one of the rows' own columns is called ``mean``, say.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> rows = {"x": [0.0, 2.0], "g": ["a", "new"]}
    >>> found = predict_table(idata, rows, new_levels="population", columns=True)
    >>> found[["x", "g", "mean"]]
           x    g  mean
    obs
    0    0.0    a   2.0
    1    2.0  new   5.0
    """
    _check_kind(kind, new_levels)
    check_interval(ci_prob, ci_kind)
    predictor = linear_predictor(
        idata,
        data,
        random_effects=random_effects,
        new_levels=new_levels,
        draws=draws,
        weights=row_weights(idata, data, weights) if kind == "response" else weights,
        trials=row_trials(idata, data, trials) if kind == "response" else trials,
        random_seed=random_seed,
    )
    tables = [
        pd.DataFrame(describe(chunk.T[None], ci_prob, ci_kind, diagnostics=False))
        for _, chunk in _chunks(predictor, kind, random_seed)
    ]
    table = pd.concat(tables).set_axis(pd.Index(predictor.design.obs, name=names.OBS))
    return pd.concat([_own_columns(idata, data, table), table], axis=1) if columns else table


def _check_kind(kind: str, new_levels: object) -> None:
    check_choice("kind", kind, KINDS)
    if kind != "mean":
        way = "take kind='mean', or new_levels='sample', which draws a group."
        refuse_average(new_levels, f"kind={kind!r}", way)


def _own_columns(idata: xr.DataTree, data: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows' own columns, under the index of a table of their predictions."""
    if data is None:
        own = read.columns(idata)
    else:
        given = read_table(data)
        own = {name: given.values(name) for name in given.names}
    for name in own:
        if name in table:
            msg = (
                f"The rows have a column {name!r}, as the predictions do; rename it, or leave "
                "columns=True out."
            )
            raise ArgumentError(msg)
    return pd.DataFrame(own, index=table.index)


def _chunks(
    predictor: LinearPredictor,
    kind: Kind,
    random_seed: int | None,
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    # One stream over rows in order, so that the noise does not depend on the size of a chunk.
    generator = np.random.default_rng([check_seed(random_seed), 1])
    for rows, eta in predictor.chunks():
        if kind == "response":
            known = predictor.known(rows)
            yield rows, predictor.family.draw(eta, predictor.phi, known, generator)
        elif kind == "mean":
            yield rows, predictor.expected(rows, eta)
        else:
            yield rows, eta
