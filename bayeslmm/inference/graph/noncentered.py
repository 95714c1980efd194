"""Random effects as standard normal offsets times the square root of G: b = z L', or T z L'.

What NUTS sees has the same scale whether G is large or nearly zero, which is why this is the
default: with few rows per level the offsets are nearly independent of G.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph import components
from bayeslmm.inference.graph.covariance import recover_scale
from bayeslmm.inference.graph.latent import effects_of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.design.model_data import FactorData
    from bayeslmm.inference.graph.covariance import Scale
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.covariance.block_covariance import BlockCovariance
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.results.kept_effects import EffectsStore


def build(model: Model) -> pm.Model:
    """Build the model: y = X beta + sum_k Z_k b_k + e with b_k = z_k L_k', z_k ~ N(0, I)."""
    return components.with_explicit_effects(model, _effects)


def recover(model: Model, values: Values, store: EffectsStore) -> dict[str, NDArray[np.float64]]:
    """Return the contract's variables from draws of the free ones."""
    result = components.recover_parameters(model, values)
    effects = []
    for factor, priors in zip(model.design.factors, model.priors.factors, strict=True):
        b = _read_effects(factor, priors, values)
        b = b if factor.latent is None else factor.latent.told(b)
        effects.append(b.reshape(-1, *b.shape[2:]))
    store.add(effects)
    return result | components.recover_in_parameters(model, values, _read_effects)


def _read_effects(factor: FactorData, priors: FactorPriors, values: Values) -> NDArray[np.float64]:
    _, chol = recover_scale(priors, values)
    if factor.arms is None:
        z = values[_offsets(factor.name)]
    else:
        z = _read_offsets(factor, priors.covariance, values)
    return np.asarray(z @ np.swapaxes(chol, -1, -2))


def _offsets(factor: str) -> str:
    return f"z_{factor}"


def _part_offsets(factor: str, columns: tuple[int, ...]) -> str:
    """Name the variable of some columns' offsets, where not all levels have them."""
    return f"{_offsets(factor)}_{columns[0]}"


def _read_offsets(
    factor: FactorData, covariance: BlockCovariance, values: Values
) -> NDArray[np.float64]:
    """Return draws of the offsets by arm, shape (chain, draw, m, q), zero where there are none."""
    sets = covariance.independent
    return components.read_together(
        factor, [(columns, values[_part_offsets(factor.name, columns)]) for columns in sets]
    )


def _effects(factor: FactorData, scale: Scale) -> Any:
    dims = (names.level_dim(factor.name), names.term_dim(factor.name))
    latent = factor.latent
    if factor.arms is not None:
        parts = [(columns, _part(factor, scale, columns, chol)) for columns, chol in scale.roots]
        raw = components.put_together(factor, parts, scale.origin)
        return pm.Deterministic(names.effects(factor.name), raw, dims=dims)
    if latent is None or latent.tells_latent:
        z = pm.Normal(_offsets(factor.name), 0.0, 1.0, dims=dims)
    else:
        shape = (latent.n_latent, len(factor.terms))
        z = pm.Normal(_offsets(factor.name), 0.0, 1.0, shape=shape)
    if scale.is_diagonal:
        b = z * scale.sd[None, :]
    elif len(scale.roots) == 1:
        b = _times(z, scale.roots[0][1])
    else:
        parts = [
            z[:, columns[0], None] * scale.sd[columns[0]]
            if chol is None
            else _times(z[:, list(columns)], chol)
            for columns, chol in scale.roots
        ]
        b = pt.concatenate(parts, axis=1)
    raw = scale.origin.raw_effects(b) if scale.origin else b
    if latent is not None and not latent.tells_latent:
        raw = effects_of_rows(factor.name, latent, raw)
    return pm.Deterministic(names.effects(factor.name), raw, dims=dims)


def _part(factor: FactorData, scale: Scale, columns: tuple[int, ...], chol: Any) -> Any:
    """Add offsets of the levels that have some columns; return these levels' effects."""
    shape = (len(components.levels_with(factor, columns)), len(columns))
    z = pm.Normal(_part_offsets(factor.name, columns), 0.0, 1.0, shape=shape)
    return z * scale.sd[columns[0]] if chol is None else _times(z, chol)


def _times(z: Any, chol: Any) -> Any:
    return (z[:, None, :] * chol[None, :, :]).sum(axis=2)
