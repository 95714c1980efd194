"""The scalar quantities that conclusions are about, each as draws: parameters, ICCs, a user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names, tree
from bayeslmm.errors import ArgumentError
from bayeslmm.prior_implications import intraclass_correlations
from bayeslmm.summaries import correlated_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

Quantity = Callable[[Any], Any]


def quantity_draws(
    idata: xr.DataTree, quantities: Mapping[str, Quantity] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Gather a fit's scalar quantities.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to callable, optional
        Further ones: name -> function of the posterior Dataset, one number per draw.

    Returns
    -------
    dict of str to ndarray, shape (chain, draw)
        Fixed effects by name, ``sd_<factor>[<term>]``, ``corr_<factor>[<term>,<term>]``,
        ``sigma``, ``icc[<factor>]``, then `quantities`.

    Raises
    ------
    ArgumentError
        If a function fails or does not give one finite number per draw.
    """
    shape = tree.sample_shape(idata)
    posterior = tree.group(idata, "posterior")
    result: dict[str, NDArray[np.float64]] = {}
    if names.BETA in posterior:
        beta = tree.draws(idata, names.BETA)
        result |= {name: beta[..., k] for k, name in enumerate(tree.coefficients(idata))}
    for info in tree.factors(idata):
        sd = tree.draws(idata, names.sd(info.name))
        result |= {
            f"{names.sd(info.name)}[{term}]": sd[..., k] for k, term in enumerate(info.terms)
        }
        corr = tree.correlation_draws(idata, info)
        for i, j in correlated_pairs(idata, info):
            label = f"{names.corr(info.name)}[{info.terms[j]},{info.terms[i]}]"
            result[label] = corr[..., i, j]
    result[names.SIGMA] = tree.draws(idata, names.SIGMA)
    result |= {
        name: values.reshape(shape) for name, values in intraclass_correlations(idata).items()
    }
    for name, function in (quantities or {}).items():
        result[name] = _own(name, function, posterior, shape)
    return {names.stored(name): values for name, values in result.items()}


def _own(
    name: str, function: Quantity, posterior: xr.Dataset, shape: tuple[int, int]
) -> NDArray[np.float64]:
    try:
        value = function(posterior)
        values = np.asarray(
            value.transpose("chain", "draw") if hasattr(value, "dims") else value, dtype=np.float64
        )
    except Exception as error:  # the user's own code may raise anything
        raise ArgumentError(
            f"The quantity {name!r} could not be computed from the posterior: "
            f"{type(error).__name__}: {error}"
        ) from error
    if values.shape != shape or not np.isfinite(values).all():
        raise ArgumentError(
            f"The quantity {name!r} must be one finite number per draw, shape {shape}; its "
            f"function gave shape {values.shape}"
            + ("." if values.shape != shape else " with values that are not finite.")
        )
    return values
