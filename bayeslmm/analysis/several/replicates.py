"""Responses drawn from the posterior predictive distribution, those of a row together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import check_seed
from bayeslmm.analysis.several.observations import observations, observed_responses
from bayeslmm.families.softmax import Categorical, Multinomial
from bayeslmm.results.write import sample_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.analysis.several.observations import Observations


def replicated_responses(
    idata: xr.DataTree, random_seed: int | None = None, **asked: Any
) -> xr.Dataset:
    """Draw all responses of the rows of a fit, a variable for each, (chain, draw, obs).

    Rows have every response, those too that lacked one.

    Parameters
    ----------
    idata : DataTree
        Of several responses, or categories.
    random_seed : int, optional
        Seed.
    **asked
        As `observations` takes it.
    """
    seed = check_seed(random_seed)
    held = observations(idata, random_seed=seed, **asked)
    generator = np.random.default_rng([seed, 3])
    if held.layout.categories:
        drawn = _categories(idata, held, generator)
    elif held.covariance is not None:
        root = np.linalg.cholesky(held.covariance)
        noise = generator.standard_normal((len(held.labels), *root.shape[:2]))
        errors = np.einsum("sij,nsj->ins", root, noise)
        drawn = {name: held.eta[k] + errors[k] for k, name in enumerate(held.layout.names)}
    else:
        drawn = {
            name: family.draw(held.eta[k], held.phi[k], held.known[k], generator)
            for k, (name, family) in enumerate(zip(held.layout.names, held.families, strict=True))
        }
    coords = {**sample_coordinates(held.shape), names.OBS: held.labels}
    dims = ("chain", "draw", names.OBS)
    return xr.Dataset(
        {
            names.stored(name): (dims, values.T.reshape(*held.shape, -1))
            for name, values in drawn.items()
        },
        coords=coords,
    )


def _categories(
    idata: xr.DataTree, held: Observations, generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Draw counts of categories, or the number of one, by the names of the observed variables."""
    totals = observed_responses(idata, held.layout).sum(axis=1)[:, None]
    counts = Multinomial().draw(held.stacked, {}, totals, generator)
    if str(idata.attrs["family"]) == Categorical.name:
        code = (counts @ np.arange(1, counts.shape[-1] + 1)).astype(np.int64)
        return {str(idata.attrs["response"]): code}
    reference = totals - counts.sum(axis=-1)
    whole = [reference, *np.moveaxis(counts, -1, 0)]
    return dict(zip(held.layout.categories, whole, strict=True))
