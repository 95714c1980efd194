r"""Laplace marginals of many points, and sweeps of an exact chain in (theta, eps).

The chain's target is

.. math:: \pi(\theta, \epsilon) \propto w(\theta, \epsilon) \, N(\epsilon; 0, I), \quad
          w = p(y, u, \beta \mid \theta) \, p(\theta) \, |H(\theta)|^{-1/2} e^{|\epsilon|^2 / 2}

under which :math:`(\theta, (u, \beta) = m(\theta) + R(\theta)^{-1} \epsilon)` is the posterior.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.elimination.factorization import linked_entry
from bayeslmm.kernels.laplace_chain.mode import (
    Prior,
    Scratch,
    State,
    scratch_of,
    settle,
    stand,
)
from bayeslmm.kernels.laplace_chain.walk import Walk, log_proposal, start_at, theta_at
from bayeslmm.kernels.layout import open_layout

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.laplace_chain.rows import Rows

LOG_2PI = math.log(2.0 * math.pi)


@linked_entry
def laplace_many(
    rows: Rows,
    prior: Prior,
    lams: Floats,
    numbers: Floats,
    starts: Floats,
    eps: Floats,
    tolerance: float,
) -> tuple[Floats, Floats, Floats, Floats, Ints]:
    r"""Compute Laplace's approximation of log p(y | theta) at many points.

    .. math:: \log p(y \mid \theta) \approx \log p(y, m \mid \theta) + \tfrac{N}{2} \log 2 \pi
              - \tfrac12 \log |H|

    Parameters
    ----------
    rows : Rows
        The rows; `floats` are overwritten.
    prior : Prior
        Of the fixed effects.
    lams, numbers : ndarray, shapes (s, n_lambda) and (s, n_phi)
        Packed factors L of G, and what the family's parameters follow from (`PhiRows`).
    starts : ndarray, shape (s, N)
        Where Newton's method begins: functions of theta alone.
    eps : ndarray, shape (s, N)
        Where to evaluate the log ratio: zeros give the mode.
    tolerance : float
        See `settle`.

    Returns
    -------
    log_marginal, log_ratio : ndarray, shape (s,)
        Laplace's approximation; and log p(y, u, beta | theta) less its Gaussian approximation, at
        `effects`.
    effects : ndarray, shape (s, N)
        u in the plan's order, then beta.
    fixed : ndarray, shape (s, p)
        The mode of beta.
    iterations : ndarray of int64, shape (s,)
        Newton's.
    """
    s, N = starts.shape
    m = N - rows.fixed.shape[0]
    log_marginal, log_ratio = np.empty(s), np.empty(s)
    effects, fixed = np.empty((s, N)), np.empty((s, N - m))
    iterations = np.empty(s, np.int64)
    own = scratch_of(rows, N)
    for i in range(s):
        state = settle(rows, prior, lams[i], numbers[i], starts[i], eps[i], tolerance, own)
        # u's density has (2 pi)^(-m / 2), which the integral's (2 pi)^(N / 2) takes away.
        value = (
            state.height + state.constant - 0.5 * state.curvature.logdet + 0.5 * (N - m) * LOG_2PI
        )
        log_marginal[i] = value if value < math.inf else -math.inf
        log_ratio[i] = state.log_ratio
        for k in range(N):
            effects[i, k] = state.effects[k]
        for k in range(N - m):
            fixed[i, k] = state.curvature.beta[k]
        iterations[i] = state.iterations
    return log_marginal, log_ratio, effects, fixed, iterations


@linked_entry
def begin(
    rows: Rows,
    prior: Prior,
    lam: Floats,
    numbers: Floats,
    start: Floats,
    eps: Floats,
    tolerance: float,
) -> State:
    """Return the state of a chain at (theta, eps); see `laplace_many`."""
    return settle(rows, prior, lam, numbers, start, eps, tolerance, scratch_of(rows, len(eps)))


@inner
def trajectory(
    rows: Rows, prior: Prior, state: State, momentum: Floats, h: float, steps: int, own: Scratch
) -> tuple[State, float]:
    """Follow the Hamiltonian in eps: kicks by the log ratio, exact rotations between.

    Returns
    -------
    State
        At the end.
    float
        Log of the acceptance ratio.
    """
    lay = open_layout(rows.ints, rows.floats)
    N, at, energy = len(momentum), state, 0.0
    cos, sin, p = math.cos(h), math.sin(h), momentum.copy()
    for i in range(N):
        energy += 0.5 * (p[i] * p[i] + at.eps[i] * at.eps[i])
    for _ in range(steps):
        eps = np.empty(N)
        for i in range(N):
            push = p[i] + 0.5 * h * at.kick[i]
            eps[i] = cos * at.eps[i] + sin * push
            p[i] = cos * push - sin * at.eps[i]
        at = stand(rows, lay, prior, at, eps, own)
        for i in range(N):
            p[i] += 0.5 * h * at.kick[i]
    for i in range(N):
        energy -= 0.5 * (p[i] * p[i] + at.eps[i] * at.eps[i])
    return at, at.log_ratio - state.log_ratio + energy


class Proposed(NamedTuple):
    """Independent proposals of theta, one for each sweep."""

    points: Floats  # (s, k): coordinates
    lams: Floats  # (s, n_lambda)
    numbers: Floats  # (s, n_phi): what the family's parameters follow from
    starts: Floats  # (s, N)
    corrections: Floats  # (s,): log prior less log density of the proposal; -inf for none


class Kept(NamedTuple):
    """What is told of each sweep."""

    points: Floats  # (s, k)
    effects: Floats  # (s, N): u in the plan's order, then beta
    log_ratio: Floats  # (s,): log w less its value at the mode
    log_joint: Floats  # (s,): log p(y, u, beta | theta)
    theta: Floats  # (s,): whether the proposal of theta was taken
    eps: Floats  # (s,): acceptance probability of the trajectory
    walk: Floats  # (s,): whether the step of the walk was taken; NaN without a walk


@inner
def log_gain(new: State, state: State) -> float:
    """Compute by how much log w rises, priors of theta apart."""
    gain = new.height - state.height + new.constant - state.constant
    gain -= 0.5 * (new.curvature.logdet - state.curvature.logdet)
    return gain + new.log_ratio - state.log_ratio


@linked_entry
def sweep(
    rows: Rows,
    prior: Prior,
    state: State,
    point: Floats,
    correction: float,
    proposed: Proposed,
    walk: Walk,
    momenta: Floats,
    chances: Floats,
    sizes: Floats,
    steps: int,
    tolerance: float,
) -> tuple[State, Floats, float, Kept]:
    """Run sweeps of one chain: theta with eps kept, a trajectory in eps, a step of a walk in theta.

    Parameters
    ----------
    rows, prior
        The model.
    state, point, correction
        Where the chain stands, theta's coordinates, and the log prior there less the log density
        of the proposals.
    proposed : Proposed
        The proposals.
    walk : Walk
        Steps of the walk, if any.
    momenta : ndarray, shape (s, N)
        Standard normals.
    chances : ndarray, shape (s, 3)
        Logs of uniform numbers.
    sizes : ndarray, shape (s,)
        Angles of one step of the trajectories.
    steps : int
        Their number.
    tolerance : float
        See `settle`.

    Returns
    -------
    state, point, correction
        At the end.
    kept : Kept
        Each sweep.
    """
    s, N = momenta.shape
    kept = Kept(
        np.empty(proposed.points.shape), np.empty((s, N)), np.empty(s), np.empty(s),
        np.zeros(s), np.zeros(s), np.full(s, math.nan),
    )  # fmt: skip
    own = scratch_of(rows, N)
    for i in range(s):
        new = settle(
            rows, prior, proposed.lams[i], proposed.numbers[i], proposed.starts[i], state.eps,
            tolerance, own,
        )  # fmt: skip
        gain = log_gain(new, state) + proposed.corrections[i] - correction
        if chances[i, 0] < gain:
            state, point, correction = new, proposed.points[i], proposed.corrections[i]
            kept.theta[i] = 1.0
        end, gain = trajectory(rows, prior, state, momenta[i], sizes[i], steps, own)
        # A comparison with itself tells what is not a number.
        kept.eps[i] = math.exp(min(gain, 0.0)) if gain == gain else 0.0  # noqa: PLR0124
        if chances[i, 1] < gain:
            state = end
        if len(walk.increments) > 0:
            kept.walk[i] = 0.0
            aim, lam = point.copy(), np.empty(len(state.lam))
            numbers = np.empty(proposed.numbers.shape[1])
            before = theta_at(walk, point, lam, numbers)
            for k in range(len(aim)):
                aim[k] += walk.increments[i, k]
            after = theta_at(walk, aim, lam, numbers)
            if after > -math.inf:
                start = start_at(walk, aim)
                new = settle(rows, prior, lam, numbers, start, state.eps, tolerance, own)
                if chances[i, 2] < log_gain(new, state) + after - before:
                    state, point, kept.walk[i] = new, aim, 1.0
                    correction = after - log_proposal(walk, aim)
        keep(kept, i, state, point)
    return state, point, correction, kept


@inner
def keep(kept: Kept, i: int, state: State, point: Floats) -> None:
    """Write down where a chain stands."""
    square = 0.0
    for k in range(len(state.eps)):
        kept.effects[i, k] = state.effects[k]
        square += state.eps[k] * state.eps[k]
    for k in range(len(point)):
        kept.points[i, k] = point[k]
    kept.log_ratio[i] = state.log_ratio
    kept.log_joint[i] = state.log_ratio + state.height + state.constant - 0.5 * square
