"""Replicated responses of the training rows, as the group that ArviZ's checks read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.analysis.several.replicates import replicated_responses
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.resources import memory
from bayeslmm.results import read
from bayeslmm.results.record import has_several
from bayeslmm.results.rows import n_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


@names_keywords
def add_posterior_predictive(
    idata: xr.DataTree,
    *,
    random_effects: str | Sequence[str] = "all",
    draws: int | None = None,
    random_seed: int | None = None,
) -> xr.DataTree:
    r"""Add the group ``posterior_predictive``, which ArviZ's functions read; nothing is compiled.

    .. math:: \tilde y_i \sim N(x_i'\beta + z_i'b + o_i, \; \sigma^2 / w_i)

    for the training rows, under every draw of the posterior. They are the numbers of
    ``predict(idata, kind="response")`` with the same arguments.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    random_effects : "all", "none" or list of str
        Whose effects to include, as in `predict`.
    draws : int, optional
        How many draws of each chain to keep, evenly spaced; all of them without it. The group
        takes 8 bytes for each draw of each row.
    random_seed : int, optional
        The same seed gives the same replicates.

    Returns
    -------
    DataTree
        A new tree with the group added, in the place of one that it had; its variable is the
        response's, in its unit, with dimensions (chain, draw, obs); of several responses there is
        one for each, drawn together.

    Raises
    ------
    ArgumentError
        When `draws`, `random_effects` or `random_seed` is none that there can be, or memory does
        not hold so many.
    TreeError
        When the tree is not of this package, or lacks rows or random effects.

    References
    ----------
    Gelman, Meng & Stern (1996), Statistica Sinica 6:733-807.

    Examples
    --------
    >>> checked = add_posterior_predictive(idata, draws=50, random_seed=1)
    >>> checked["posterior_predictive"]["y"].shape
    (4, 50, 9)
    >>> import arviz as az
    >>> plot = az.plot_ppc_dist(checked)  # doctest: +SKIP
    """
    _require_room(idata, draws)
    if has_several(idata):
        drawn = replicated_responses(idata, random_seed, random_effects=random_effects, draws=draws)
        result = idata.copy()
        result["posterior_predictive"] = xr.DataTree(drawn)
        return result
    values = predict(
        idata,
        kind="response",
        random_effects=random_effects,
        draws=draws,
        random_seed=random_seed,
    )
    result = idata.copy()
    result["posterior_predictive"] = xr.DataTree(values.drop_attrs().to_dataset())
    return result


def _require_room(idata: xr.DataTree, draws: int | None) -> None:
    """Raise if memory does not hold the replicates, before any is drawn."""
    read.group(idata, "observed_data")
    chains, total = read.sample_shape(idata)
    # What is no number of draws at all is refused by `predict`.
    kept = draws if isinstance(draws, int) else total
    rows, available = n_rows(idata), memory()
    needed = 8 * chains * kept * rows
    if available is not None and needed > available:
        raise ArgumentError(
            f"{chains * kept:,} replicates of {rows:,} rows take {needed:,} bytes, and this "
            f"machine has {available:,}. Keep fewer draws of each chain, as in draws=50, or take "
            "predict_table(idata, kind='response'), which holds a few rows at a time."
        )
