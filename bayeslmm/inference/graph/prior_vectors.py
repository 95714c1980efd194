"""Random variables with their priors: one variable per family, hyperparameters as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm.model.priors.distributions import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.inference.graph.ops import LogArcsinhTransform
    from bayeslmm.model.priors.prior import Prior

# Draws of a model's free variables, by name.
Values = Mapping[str, "NDArray[np.float64]"]


def prior_vector(
    name: str,
    priors: Sequence[Prior],
    dim: str | None,
    *,
    scalar: bool = False,
    transform: Callable[[str, list[int]], LogArcsinhTransform | None] | None = None,
) -> Any:
    """Add one random variable per family among `priors`; return them as a vector in order.

    The common case, one family, gives one variable called `name`; otherwise each family's
    variable carries the family's name behind `name`, and `name` itself is derived. `transform`
    gives the transform of a variable, by its name and the places that it fills.
    """
    groups = by_family(priors)
    if len(groups) == 1:
        parameters = hyperparameters(name, priors, scalar=scalar)
        if transform is not None:
            parameters |= _transformed(parameters, transform(name, list(range(len(priors)))))
        family = getattr(pm, priors[0].family)
        if scalar or dim is not None:
            return family(name, **parameters, dims=dim)
        return family(name, **parameters, shape=len(priors))
    pieces = []
    for family_name, positions in groups.items():
        part = f"{name}_{family_name}"
        parameters = hyperparameters(part, [priors[k] for k in positions], scalar=False)
        if transform is not None:
            parameters |= _transformed(parameters, transform(part, positions))
        family = getattr(pm, family_name)
        pieces.append(family(part, **parameters, shape=len(positions)))
    order = np.argsort(np.concatenate(list(groups.values())))
    vector = pt.concatenate(pieces)[order]
    return vector if dim is None else pm.Deterministic(name, vector, dims=dim)


def _transformed(
    parameters: Mapping[str, Any], transform: LogArcsinhTransform | None
) -> dict[str, Any]:
    """Return the keyword arguments that put a variable on another scale."""
    if transform is None:
        return {}
    name, value = next(iter(parameters.items()))
    # PyMC lets a transform use only what the variable's own distribution depends on.
    anchored = value + 0.0 * transform.scale + 0.0 * transform.bend
    return {name: anchored, "default_transform": transform}


def read_vector(name: str, priors: Sequence[Prior], values: Values) -> NDArray[np.float64]:
    """Read back what `prior_vector` added: draws of the vector, shape (..., k)."""
    groups = by_family(priors)
    if len(groups) == 1:
        return values[name]
    pieces = [values[f"{name}_{family}"] for family in groups]
    order = np.argsort(np.concatenate(list(groups.values())))
    return np.concatenate(pieces, axis=-1)[..., order]


def by_family(priors: Sequence[Prior]) -> dict[str, list[int]]:
    """Return the places of each family among priors, families in the order of their first."""
    groups: dict[str, list[int]] = {}
    for k, prior in enumerate(priors):
        groups.setdefault(prior.family, []).append(k)
    return groups


def hyperparameters(name: str, priors: Sequence[Prior], *, scalar: bool) -> dict[str, Any]:
    """Add the hyperparameters of priors of one family as data ``<name>_<parameter>``."""
    parameters = {}
    for k, parameter in enumerate(FAMILIES[priors[0].family].parameters):
        numbers = np.array([prior.numbers[k] for prior in priors])
        parameters[parameter] = pm.Data(f"{name}_{parameter}", numbers[0] if scalar else numbers)
    return parameters
