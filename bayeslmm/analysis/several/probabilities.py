"""How probable each category is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.prediction.new_levels import refuse_average
from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.analysis.several.observations import observations
from bayeslmm.analysis.several.response_of import layout_of
from bayeslmm.errors import TreeError, names_keywords
from bayeslmm.families.several.softmax import log_probabilities
from bayeslmm.results import read
from bayeslmm.results.record import has_several
from bayeslmm.results.write import sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.analysis.prediction.linear_predictor import Policy

# The dimension of categories.
CATEGORY = "category"


@names_keywords
def category_probabilities(
    idata: xr.DataTree,
    data: Any = None,
    *,
    random_effects: str | Sequence[str] = "all",
    new_levels: Policy | Mapping[str, Policy] = "error",
    draws: int | None = None,
    random_seed: int | None = None,
) -> xr.DataArray:
    r"""Compute how probable each category is in each row.

    .. math:: p_{ik} = \frac{e^{\eta_{ik}}}{1 + \sum_j e^{\eta_{ij}}}, \quad \eta_{i0} = 0

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes` with ``family="categorical"`` or ``"multinomial"``, or of ordered
        categories.
    data : table or mapping of str to array, optional
        The rows; those of the fit without it.
    random_effects : "all", "none" or list of str
        Whose effects to include, as in `predict`.
    new_levels : {"error", "population", "sample"} or mapping
        What to do with levels that the fit did not have, as in `predict`. Drawn effects of all
        categories go together as in the fit; means over draws are averages over such levels.
    draws : int, optional
        How many draws of each chain to keep; all without it.
    random_seed : int, optional
        Seed of the effects of new levels.

    Returns
    -------
    DataArray, dims (chain, draw, obs, category)
        Probabilities, which add up to one over categories; the reference is the first.

    Raises
    ------
    TreeError
        If the responses are no categories.
    ArgumentError, DataError
        As `predict`; ``new_levels="average"`` is for ordered categories alone.

    References
    ----------
    Agresti (2013), Categorical Data Analysis, 3rd ed., chapter 8. Wiley.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_bayes("choice ~ income + (1 | city)", trips, family="categorical",
    ...                    random_seed=1)  # doctest: +SKIP
    >>> bl.category_probabilities(fit).mean(("chain", "draw"))  # doctest: +SKIP
    """
    read.require_tree(idata)
    if not has_several(idata):
        found = predict(
            idata, data, kind="probability", random_effects=random_effects, new_levels=new_levels,
            draws=draws, random_seed=random_seed,
        )  # fmt: skip
        return found.rename(str(idata.attrs["response"]))
    refuse_average(
        new_levels, "a category's probability, of several predictors,",
        "take new_levels='sample', whose mean over draws is that average.",
    )  # fmt: skip
    layout = layout_of(idata)
    if not layout.categories:
        raise TreeError(
            f"The responses {', '.join(layout.names)} are no categories: ask predict of one of "
            f"them, response_of(fit, {layout.names[0]!r})."
        )
    held = observations(
        idata, data, random_effects=random_effects, new_levels=new_levels, draws=draws,
        random_seed=random_seed,
    )  # fmt: skip
    p = np.exp(log_probabilities(held.stacked))
    coords = {
        **sample_coordinates(held.shape),
        names.OBS: held.labels,
        CATEGORY: list(layout.categories),
    }
    values = np.moveaxis(p, 1, 0).reshape(*held.shape, *p.shape[::2])
    return xr.DataArray(
        values, dims=("chain", "draw", names.OBS, CATEGORY), coords=coords,
        name=str(idata.attrs["response"]),
    )  # fmt: skip
