"""Random effects as variables of their own: b ~ N(0, G).

Better than offsets where every level has many rows, so that the data pin the effects down
whatever G is; worse, with divergences, where G may be near zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph import components

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayeslmm.design.model_data import FactorData
    from bayeslmm.inference.graph.covariance import Scale
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.results.kept_effects import EffectsStore


def build(model: Model) -> pm.Model:
    """Build the model: y = X beta + sum_k Z_k b_k + e with b_k ~ N(0, G_k) for each level."""
    return components.with_explicit_effects(model, _effects)


def recover(model: Model, values: Values, store: EffectsStore) -> dict[str, NDArray[np.float64]]:
    """Return the contract's variables from draws of the free ones."""
    result = components.recover_parameters(model, values)
    both = zip(model.design.factors, model.priors.factors, strict=True)
    effects = [_read_effects(factor, priors, values) for factor, priors in both]
    store.add([b.reshape(-1, *b.shape[2:]) for b in effects])
    return result | components.recover_in_parameters(model, values, _read_effects)


def _whole_name(factor: str, *, at_means: bool) -> str:
    """Name the variable of all columns' effects: at zero, or at the means where G is of those."""
    return f"{names.effects(factor)}_at_means" if at_means else names.effects(factor)


def _part_name(factor: str, columns: tuple[int, ...]) -> str:
    """Name the variable of some columns' effects, where not one holds them all."""
    return f"{names.effects(factor)}_{columns[0]}"


def _effects(factor: FactorData, scale: Scale) -> Any:
    name = names.effects(factor.name)
    dims = (names.level_dim(factor.name), names.term_dim(factor.name))
    if scale.is_diagonal and factor.arms is None:
        return pm.Normal(name, 0.0, scale.sd[None, :], dims=dims)
    if len(scale.roots) == 1 and factor.arms is None:
        own = _whole_name(factor.name, at_means=scale.origin is not None)
        b = pm.MvNormal(own, pt.zeros(len(factor.terms)), chol=scale.roots[0][1], dims=dims)
        return pm.Deterministic(name, scale.origin.raw_effects(b), dims=dims) if scale.origin else b
    parts = []
    for columns, chol in scale.roots:
        label = _part_name(factor.name, columns)
        shape = (len(components.levels_with(factor, columns)), len(columns))
        part = (
            pm.Normal(label, 0.0, scale.sd[columns[0]], shape=shape)
            if chol is None
            else pm.MvNormal(label, pt.zeros(len(columns)), chol=chol, shape=shape)
        )
        parts.append((columns, part))
    raw = components.put_together(factor, parts, scale.origin)
    return pm.Deterministic(name, raw, dims=dims)


def _read_effects(factor: FactorData, priors: FactorPriors, values: Values) -> NDArray[np.float64]:
    covariance = priors.covariance
    if len(covariance.members) == 1 and factor.arms is None:
        return values[_whole_name(factor.name, at_means=bool(priors.shift.columns))]
    sets = covariance.independent
    return components.read_together(
        factor, [(columns, values[_part_name(factor.name, columns)]) for columns in sets]
    )
