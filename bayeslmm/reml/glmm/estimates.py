"""Estimates and standard errors of all parameters, from where a search ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.glmm.coordinates import Coordinates
    from bayeslmm.reml.glmm.search import Maximum

# A parameter of the family that has come so close to its ceiling has run off.
_NEAR = 0.1
# Curvature, of variables of unit curvature, below which a direction is flat.
_FLAT = 1e-6
# Of differences of the map from coordinates to parameters.
_STEP = 1e-5
# Correlations as close to one as this are on the boundary.
_PERFECT = 1e-6


@dataclass(frozen=True, eq=False)
class Estimates:
    """All parameters by name.

    Attributes
    ----------
    names : tuple of str
        Coefficients, sds and correlations factor by factor, the family's parameters.
    numbers, errors : ndarray
        Estimates; standard errors, NaN on the boundary.
    vcov : ndarray, shape (p, p)
        Covariance of the coefficients' estimates.
    infinite : tuple of str
        Parameters of the family that ran to infinity.
    """

    names: tuple[str, ...]
    numbers: Floats
    errors: Floats
    vcov: Floats
    infinite: tuple[str, ...]


def estimates_at(coordinates: Coordinates, found: Maximum) -> Estimates:
    """Return a maximum's estimates with standard errors from the information there.

    Parameters
    ----------
    coordinates : Coordinates
        The model.
    found : Maximum
        Where its likelihood is largest.

    Returns
    -------
    Estimates
    """
    values, p = coordinates.natural(found.x), coordinates.n_beta
    names = coordinates.names
    others = len(values) - coordinates.n_phi
    gone = values[others:] > _NEAR * coordinates.ceiling
    off = np.concatenate([np.zeros(others, dtype=bool), gone])
    free = np.concatenate([np.ones(coordinates.theta.stop, dtype=bool), ~gone])
    covariance, unknown = _inverse(found.information, free)
    slopes = _jacobian(coordinates, found.x)
    joint = slopes @ covariance @ slopes.T
    errors = np.sqrt(np.maximum(np.diag(joint), 0.0))
    errors[np.abs(slopes) @ unknown > 1e-3] = np.nan
    is_corr = np.array([name.startswith(("corr_", "rho_")) for name in names])
    is_sd = np.array([name.startswith("sd_") for name in names])
    is_corr[:p] = is_sd[:p] = False
    edge = (is_sd & (values < 1e-12)) | (is_corr & ~(np.abs(values) < 1.0 - _PERFECT))
    errors[edge | off] = np.nan
    values = np.where(off, np.inf, values)
    infinite = tuple(name for name, flag in zip(names, off, strict=True) if flag)
    return Estimates(names, values, errors, joint[:p, :p], infinite)


def _inverse(information: Floats, free: Floats) -> tuple[Floats, Floats]:
    """Invert in directions that are not flat; and how much each variable lies in those that are."""
    k = len(information)
    covariance, unknown = np.zeros((k, k)), np.zeros(k)
    at = np.flatnonzero(free)
    own = information[np.ix_(at, at)]
    size = np.sqrt(np.maximum(np.abs(np.diag(own)), 1e-12))
    values, axes = np.linalg.eigh(own / np.outer(size, size))
    curved = values > _FLAT
    axes = axes / size[:, None]
    kept = axes[:, curved]
    covariance[np.ix_(at, at)] = (kept / values[curved]) @ kept.T
    unknown[at] = np.abs(axes[:, ~curved] * size[:, None]).max(axis=1, initial=0.0)
    return covariance, unknown


def _jacobian(coordinates: Coordinates, x: Floats) -> Floats:
    columns = []
    for k in range(len(x)):
        move = np.zeros(len(x))
        move[k] = _STEP * max(abs(x[k]), 1.0)
        ahead, behind = coordinates.natural(x + move), coordinates.natural(x - move)
        columns.append((ahead - behind) / (2.0 * move[k]))
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1)))
