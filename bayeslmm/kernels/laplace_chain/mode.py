"""The mode of all effects given theta, and the state of a chain at (theta, eps)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.families.by_row import open_phi, set_phi
from bayeslmm.kernels.laplace_chain.curvature import Curvature, curvature_of, gather, spread
from bayeslmm.kernels.laplace_chain.rows import (
    Rows,
    predictors,
    row_constants,
    row_terms,
    score,
    times_blocks,
    weighted_sums,
)
from bayeslmm.kernels.layout import Layout, open_layout

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Halvings of one step; Newton's iterations.
_HALVINGS, _ITERATIONS = 30, 100
# Below this a decrement that no longer falls is rounding.
_ROUNDING, _FALL = 1e-10, 0.9
# Above this no mode was found.
_LOST = 1e6


class Prior(NamedTuple):
    """The normal prior of the fixed effects."""

    mean: Floats  # (p,)
    precision: Floats  # (p, p)
    constant: float  # of its log-density


class State(NamedTuple):
    """Where a chain stands."""

    lam: Floats  # packed factors L of G
    phi: Floats  # the family's parameters, (1, k) or (n, k)
    curvature: Curvature
    constant: float  # of log p(y, u, beta | theta)
    height: float  # log p(y, u, beta | theta) at the mode, less the constant
    eps: Floats
    effects: Floats  # u, then beta
    kick: Floats  # gradient in eps of the log ratio
    # log p(y, u, beta | theta) + |eps|^2 / 2 less its value at the mode: zero for a Gaussian.
    log_ratio: float
    iterations: int  # that the mode took


class Scratch(NamedTuple):
    """Arrays that every evaluation overwrites."""

    eta: Floats
    slope: Floats
    weight: Floats
    b: Floats
    gradient: Floats


@inner
def scratch_of(rows: Rows, size: int) -> Scratch:
    """Allocate for `size` effects, fixed ones included."""
    n, p = len(rows.y), rows.fixed.shape[0]
    return Scratch(np.empty(n), np.empty(n), np.empty(n), np.empty(size - p), np.empty(size))


@inner
def log_joint_at(
    rows: Rows, lay: Layout, prior: Prior, lam: Floats, phi: Floats, effects: Floats, own: Scratch
) -> float:
    """Compute log p(y, u, beta | theta), constants apart.

    Its gradient, and the rows' weights, stand in `own` afterwards.
    """
    p = len(prior.mean)
    m = len(effects) - p
    u, beta = effects[:m], effects[m:]
    times_blocks(lay, lam, u, own.b, False)
    predictors(rows, lay, own.b, beta, own.eta)
    total = row_terms(rows, phi, own.eta, own.slope, own.weight)
    score(rows, lay, own.slope, own.b, own.gradient[m:])
    times_blocks(lay, lam, own.b, own.gradient, True)
    square = 0.0
    for i in range(m):
        own.gradient[i] -= u[i]
        square += u[i] * u[i]
    for i in range(p):
        pull = 0.0
        for j in range(p):
            pull += prior.precision[i, j] * (beta[j] - prior.mean[j])
        own.gradient[m + i] -= pull
        square += pull * (beta[i] - prior.mean[i])
    return total - 0.5 * square


@inner
def curvature_at(rows: Rows, lay: Layout, prior: Prior, lam: Floats, own: Scratch) -> Curvature:
    """Factor the curvature at the point of the last `log_joint_at`."""
    for r in range(len(own.slope)):
        # The working response less offset times the weight: w eta + l'.
        own.slope[r] += own.weight[r] * own.eta[r]
    weighted_sums(rows, lay, own.weight, own.slope)
    return curvature_of(rows.ints, rows.floats, lam, prior.mean, prior.precision)


@inner
def settle(
    rows: Rows,
    prior: Prior,
    lam: Floats,
    numbers: Floats,
    start: Floats,
    eps: Floats,
    tolerance: float,
    own: Scratch,
) -> State:
    """Find the mode from a start that is a function of theta alone; stand at eps there.

    Newton's method stops where g'H^-1 g is below the tolerance, and the center is one step further.
    Everything is a function of (lam, numbers, start), so the map from eps to effects is the same
    whenever a chain comes back, whatever the tolerance.
    """
    lay, phi = open_layout(rows.ints, rows.floats), open_phi(rows.phi, len(numbers))
    set_phi(rows.phi, numbers, phi)
    at, zero = start.copy(), np.zeros(len(start))
    value = log_joint_at(rows, lay, prior, lam, phi, at, own)
    count, found = 0, curvature_at(rows, lay, prior, lam, own)
    decrement = math.inf
    while found.ok:
        count += 1
        center = spread(lay, found, zero)
        last, decrement = decrement, 0.0
        for i in range(len(at)):
            decrement += own.gradient[i] * (center[i] - at[i])
        # False also for what is not a number.
        if not decrement > tolerance or count == _ITERATIONS:
            break
        if decrement < _ROUNDING and decrement > _FALL * last:
            break
        value = climb(rows, lay, prior, lam, phi, at, center, value, own)
        found = curvature_at(rows, lay, prior, lam, own)
    if not abs(decrement) < _LOST:
        found = lost(found)
    constant = row_constants(rows, phi) + prior.constant
    place = State(lam, phi, found, constant, value + 0.5 * decrement, eps, eps, eps, 0.0, count)
    return stand(rows, lay, prior, place, eps, own)


@inner
def lost(found: Curvature) -> Curvature:
    """Return a curvature that says that there is no mode in numbers."""
    return Curvature(
        False, found.logdet, found.panel, found.border, found.right, found.root, found.beta
    )


@inner
def climb(
    rows: Rows,
    lay: Layout,
    prior: Prior,
    lam: Floats,
    phi: Floats,
    at: Floats,
    center: Floats,
    value: float,
    own: Scratch,
) -> float:
    """Move `at` to the center, or so far that the density does not fall; return it there."""
    old, share, new = at.copy(), 1.0, value
    slack = 1e-10 * (1.0 + abs(value))
    for _ in range(_HALVINGS):
        for i in range(len(at)):
            at[i] = old[i] + share * (center[i] - old[i])
        new = log_joint_at(rows, lay, prior, lam, phi, at, own)
        # A start far off may have no density in numbers; anything is better than that.
        if new >= value - slack or (math.isnan(value) and not math.isnan(new)):
            break
        share *= 0.5
    return new


@inner
def stand(rows: Rows, lay: Layout, prior: Prior, state: State, eps: Floats, own: Scratch) -> State:
    """Return the state of the same theta at another eps."""
    lam, phi, found, constant, height = (
        state.lam, state.phi, state.curvature, state.constant, state.height
    )  # fmt: skip
    if not found.ok:
        nothing = -math.inf
        return State(lam, phi, found, constant, nothing, eps, eps, eps, nothing, state.iterations)
    effects = spread(lay, found, eps)
    value = log_joint_at(rows, lay, prior, lam, phi, effects, own)
    kick, square = gather(lay, found, own.gradient), 0.0
    for i in range(len(eps)):
        kick[i] += eps[i]
        square += eps[i] * eps[i]
    ratio = value + 0.5 * square - height
    if math.isnan(ratio):
        ratio = -math.inf
    return State(lam, phi, found, constant, height, eps, effects, kick, ratio, state.iterations)
