r"""Laplace marginals of many points, and sweeps of an exact chain in (theta, eps).

The chain's target is

.. math:: \pi(\theta, \epsilon) \propto w(\theta, \epsilon) \, N(\epsilon; 0, I), \quad
          w = p(y, u, \beta \mid \theta) \, p(\theta) \, |H(\theta)|^{-1/2} e^{|\epsilon|^2 / 2}

under which :math:`(\theta, (u, \beta) = m(\theta) + R(\theta)^{-1} \epsilon)` is the posterior.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner
from bayeslmm.kernels.factorization import linked_entry
from bayeslmm.kernels.laplace_chain.mode import (
    Prior,
    Scratch,
    State,
    scratch_of,
    settle,
    stand,
)
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
    phis: Floats,
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
    lams, phis : ndarray, shapes (s, n_lambda) and (s, n_phi)
        Packed factors L of G, and the family's parameters.
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
        state = settle(rows, prior, lams[i], phis[i], starts[i], eps[i], tolerance, own)
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
    rows: Rows, prior: Prior, lam: Floats, phi: Floats, start: Floats, eps: Floats, tolerance: float
) -> State:
    """Return the state of a chain at (theta, eps); see `laplace_many`."""
    return settle(rows, prior, lam, phi, start, eps, tolerance, scratch_of(rows, len(eps)))


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


@linked_entry
def sweep(
    rows: Rows,
    prior: Prior,
    state: State,
    correction: float,
    lams: Floats,
    phis: Floats,
    starts: Floats,
    corrections: Floats,
    momenta: Floats,
    chances: Floats,
    sizes: Floats,
    steps: int,
    tolerance: float,
) -> tuple[State, Ints, Floats, Floats, Floats]:
    """Run sweeps of one chain: a proposal of theta with eps kept, then a trajectory in eps.

    Parameters
    ----------
    rows, prior
        The model.
    state : State
        Where the chain stands.
    correction : float
        Log prior of its theta less log density of the proposal there.
    lams, phis, starts, corrections : ndarray, shapes (s, ...) and (s,)
        The proposals of theta.
    momenta : ndarray, shape (s, N)
        Standard normals.
    chances : ndarray, shape (s, 2)
        Logs of uniform numbers.
    sizes : ndarray, shape (s,)
        Angles of one step of the trajectories.
    steps : int
        Their number; 0 for no trajectory.
    tolerance : float
        See `settle`.

    Returns
    -------
    state : State
        At the end.
    places : ndarray of int64, shape (s,)
        Which proposal each sweep ended at; -1 for where the chain stood before.
    effects : ndarray, shape (s, N)
        u in the plan's order, then beta.
    levels : ndarray, shape (s, 2)
        Log w less its value at the mode, and log p(y, u, beta | theta).
    accepted : ndarray, shape (s, 2)
        Whether theta's proposal was taken, and the acceptance probability of the trajectory.
    """
    s, N = momenta.shape
    places, effects = np.empty(s, np.int64), np.empty((s, N))
    accepted, levels = np.zeros((s, 2)), np.empty((s, 2))
    own, place = scratch_of(rows, N), -1
    for i in range(s):
        new = settle(rows, prior, lams[i], phis[i], starts[i], state.eps, tolerance, own)
        gain = corrections[i] - correction
        gain += new.height - state.height + new.constant - state.constant
        gain -= 0.5 * (new.curvature.logdet - state.curvature.logdet)
        gain += new.log_ratio - state.log_ratio
        if chances[i, 0] < gain:
            state, correction, place = new, corrections[i], i
            accepted[i, 0] = 1.0
        if steps > 0:
            end, gain = trajectory(rows, prior, state, momenta[i], sizes[i], steps, own)
            accepted[i, 1] = math.exp(min(gain, 0.0)) if gain == gain else 0.0  # noqa: PLR0124
            if chances[i, 1] < gain:
                state = end
        places[i] = place
        levels[i, 0] = state.log_ratio
        levels[i, 1] = state.log_ratio + state.height + state.constant
        for k in range(N):
            effects[i, k] = state.effects[k]
            levels[i, 1] -= 0.5 * state.eps[k] * state.eps[k]
    return state, places, effects, levels, accepted
