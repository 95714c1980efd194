"""The scalar quantities that conclusions are about, each as draws: parameters, ICCs, a user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.summaries.hypotheses import parameters, read_expression
from bayeslmm.analysis.summaries.tables import correlated_pairs
from bayeslmm.analysis.variance.parts import intraclass_correlations
from bayeslmm.errors import ArgumentError
from bayeslmm.results import read as tree
from bayeslmm.results.diagnostics import said_covariance, standard_deviations
from bayeslmm.results.family import family_blocks, labelled
from bayeslmm.results.parameters import parameter_blocks
from bayeslmm.results.residual import has_structure, residual_blocks

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

# Text as in `hypothesis`, such as "sd_Subject[Days] / Days", or a function of the posterior.
Quantity = str | Callable[[Any], Any]


def quantity_draws(
    idata: xr.DataTree, quantities: Mapping[str, Quantity] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Gather a fit's scalar quantities.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to str or callable, optional
        Further ones: name -> an expression of these and of parameters as in `hypothesis`
        (``"sd_Subject[Days] / Days"``; a comparison is 1 where it holds), or a function of the
        posterior Dataset that gives one number per draw.

    Returns
    -------
    dict of str to ndarray, shape (chain, draw)
        Fixed effects by name, ``sd_<factor>[<term>]``, ``corr_<factor>[<term>,<term>]``,
        ``sigma`` or the residual structure's parameters, such as ``sigma_by[<level>]``,
        ``icc[<factor>]``, then `quantities`.

    Raises
    ------
    ArgumentError
        If a name is taken, an expression cannot be read, a function fails, or either does not give
        one finite number per draw.
    """
    shape = tree.sample_shape(idata)
    posterior = tree.group(idata, "posterior")
    result: dict[str, NDArray[np.float64]] = {}
    if names.BETA in posterior:
        beta = tree.draws(idata, names.BETA)
        coef = map(names.scalar, tree.coefficients(idata))
        result |= {name: beta[..., k] for k, name in enumerate(coef)}
    for info in tree.factors(idata):
        covariance = said_covariance(idata, info.name)
        _, labels, sd = standard_deviations(idata, info, covariance)
        result |= {label: sd[..., k] for k, label in enumerate(labels)}
        corr = tree.correlation_draws(idata, info)
        for i, j in correlated_pairs(idata, info):
            label = f"{names.corr(info.name)}[{info.terms[j]},{info.terms[i]}]"
            result[label] = corr[..., i, j]
        own = () if covariance is None else covariance.parameter_names
        result |= {name: tree.draws(idata, name) for name, _ in own}
    residuals = residual_blocks(idata) if has_structure(idata) else []
    for block in (*residuals, *parameter_blocks(idata)):
        result |= {name: block.drawn[..., k] for k, name in enumerate(block.names)}
    for name, of_name, drawn in family_blocks(idata):
        result |= {labelled(name, label): drawn[..., k] for k, label in enumerate(of_name)}
    result |= {
        name: values.reshape(shape) for name, values in intraclass_correlations(idata).items()
    }
    for name, quantity in checked_quantities(quantities).items():
        if name in result or name in {"chain", "draw"}:
            raise ArgumentError(
                f"{name!r} has a meaning in every fit of this model; give your quantity another "
                "name."
            )
        if isinstance(quantity, str):
            result[name] = _expressed(name, quantity, {**parameters(idata), **result}, shape)
        else:
            result[name] = _own(name, quantity, posterior, shape)
    return {names.stored(name): values for name, values in result.items()}


def checked_quantities(quantities: Any) -> Mapping[str, Quantity]:
    """Return a user's quantities, none as an empty mapping.

    Raises
    ------
    ArgumentError
        Unless they are a mapping of names to text or functions.
    """
    if quantities is None:
        return {}
    if not isinstance(quantities, Mapping):
        raise ArgumentError(
            "quantities must be a mapping such as {'ratio': 'sd_g[x] / sigma'}, not "
            f"{type(quantities).__name__}."
        )
    for name, quantity in quantities.items():
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"The name of a quantity is text, not {name!r}.")
        if not isinstance(quantity, str) and not callable(quantity):
            raise ArgumentError(
                f"The quantity {name!r} must be text such as 'sd_g[x] / sigma' or a function of "
                f"the posterior, not {quantity!r}."
            )
    return quantities


def check_expressions(
    quantities: Mapping[str, Quantity], known: Mapping[str, NDArray[np.float64]]
) -> None:
    """Raise unless every text among the quantities can be read, before anything is fitted.

    Parameters
    ----------
    quantities : mapping
        From `checked_quantities`.
    known : mapping of str to ndarray
        Any draws of what the model has, by name.

    Raises
    ------
    ArgumentError
        If a text names what is no parameter, or holds more than arithmetic and comparisons.
    """
    for name, quantity in quantities.items():
        if isinstance(quantity, str):
            _values(name, quantity, dict(known))


def _values(name: str, text: str, known: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    try:
        statement, node = read_expression(text, known)
        values = np.asarray(statement.value(node), dtype=np.float64)
    except ArgumentError as error:
        raise ArgumentError(f"The quantity {name!r}: {error}") from None
    if not statement.draws:
        raise ArgumentError(
            f"The quantity {name!r}: {text!r} names no parameter; it is the same in every draw."
        )
    return values


def _expressed(
    name: str, text: str, known: dict[str, NDArray[np.float64]], shape: tuple[int, int]
) -> NDArray[np.float64]:
    values = _values(name, text, known)
    if not np.isfinite(values).all():
        raise ArgumentError(f"The quantity {name!r}: {text!r} is not finite in every draw.")
    return np.array(np.broadcast_to(values, shape))


def _own(
    name: str, function: Callable[[Any], Any], posterior: xr.Dataset, shape: tuple[int, int]
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
