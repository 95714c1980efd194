"""Laplace's approximation by the observed curvature, where rows need not be log-concave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.elimination.factorization import linked_entry
from bayeslmm.kernels.families.by_row import open_phi, phi_at, set_phi
from bayeslmm.kernels.families.rows import row_at
from bayeslmm.kernels.laplace_chain.curvature import Curvature, curvature_of, spread
from bayeslmm.kernels.laplace_chain.mode import Prior, Scratch, log_joint_at, scratch_of
from bayeslmm.kernels.laplace_chain.rows import Rows, row_constants, weighted_sums
from bayeslmm.kernels.layout import Layout, open_layout

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Slopes are exact, and their central differences good to eight digits.
_STEP = 1e-4
# Newton's steps from where scoring came to rest, some 1e-5 off; and what needs no further one.
_STEPS, _THERE = 4, 1e-10


@inner
def observed_curvature(
    rows: Rows, lay: Layout, prior: Prior, lam: Floats, phi: Floats, own: Scratch
) -> Curvature:
    """Factor the observed curvature at the point of the last `log_joint_at`."""
    for r in range(len(own.eta)):
        eta, of_row = own.eta[r] + rows.offset[r], phi_at(phi, r)
        up = row_at(rows.family, eta + _STEP, rows.y[r], rows.known[r], of_row)[1]
        down = row_at(rows.family, eta - _STEP, rows.y[r], rows.known[r], of_row)[1]
        own.weight[r] = (down - up) / (2.0 * _STEP)
        own.slope[r] += own.weight[r] * own.eta[r]
    weighted_sums(rows, lay, own.weight, own.slope)
    return curvature_of(rows.ints, rows.floats, lam, prior.mean, prior.precision)


@linked_entry
def observed_laplace(
    rows: Rows, prior: Prior, lam: Floats, numbers: Floats, near: Floats
) -> tuple[float, Floats]:
    r"""Compute Laplace's approximation of log p(y | theta) with the observed curvature.

    Parameters
    ----------
    rows : Rows
        The rows; `floats` are overwritten.
    prior : Prior
        Of the fixed effects, none of which there must be.
    lam, numbers : ndarray
        Packed factors L of G, and what the family's parameters follow from.
    near : ndarray, shape (N,)
        Where Newton's method begins: close to the mode of u, in the plan's order.

    Returns
    -------
    value : float
        NaN where the curvature is not positive definite: this is near no mode.
    effects : ndarray, shape (N,)
        The mode.
    """
    lay, own = open_layout(rows.ints, rows.floats), scratch_of(rows, len(near))
    phi = open_phi(rows.phi, len(numbers))
    set_phi(rows.phi, numbers, phi)
    at, zero = near.copy(), np.zeros(len(near))
    for _ in range(_STEPS):
        value = log_joint_at(rows, lay, prior, lam, phi, at, own)
        found = observed_curvature(rows, lay, prior, lam, phi, own)
        if not found.ok:
            return math.nan, near
        center, farthest = spread(lay, found, zero), 0.0
        for i in range(len(at)):
            farthest = max(farthest, abs(center[i] - at[i]))
            at[i] = center[i]
        if farthest < _THERE:
            break
    return value + row_constants(rows, phi) - 0.5 * found.logdet, at
