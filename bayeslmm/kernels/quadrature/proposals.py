"""Proposals of a level's effects: from its density between nodes, or from t's at its modes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.quadrature.generator import uniform
from bayeslmm.kernels.quadrature.several import (
    FOUND_BELOW,
    FOUND_HEIGHT,
    FOUND_ROOT,
    FOUND_ROOT_2,
    FOUND_U,
    FOUND_V,
)

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Words

# Degrees of freedom of t proposals; even, so that chi-square needs logarithms only.
_FREEDOM = 6.0
# Share and spread of proposals from everywhere, where there may be several modes.
_ELSEWHERE, _WIDTH = 0.1, 1.5
_LEAST_SHARE = 0.1
# What proposals' densities are divided by is at least this.
_LEAST = 1e-300
_TWO_PI = 2.0 * math.pi


@inner_ieee
def _draw_t(state: Words, q: int) -> tuple[float, float]:
    """Draw from a t distribution of q dimensions."""
    radius = math.sqrt(-2.0 * math.log(uniform(state)))
    chi = -2.0 * math.log(uniform(state) * uniform(state) * uniform(state))
    scale, angle = radius * math.sqrt(_FREEDOM / chi), _TWO_PI * uniform(state)
    return scale * math.cos(angle), scale * math.sin(angle) if q == 2 else 0.0


@inner_ieee
def _log_t(q: int, square: float, volume: float) -> float:
    """Evaluate the log-density of a t, of a squared distance and a root's determinant."""
    constant = (
        math.lgamma(0.5 * (_FREEDOM + q))
        - math.lgamma(0.5 * _FREEDOM)
        - 0.5 * q * math.log(_FREEDOM * math.pi)
    )
    return constant - 0.5 * (_FREEDOM + q) * math.log1p(square / _FREEDOM) + math.log(volume)


@inner_ieee
def fill_masses(effect: Floats, density: Floats, masses: Floats) -> None:
    """Fill cumulative masses: left tail, segments between nodes, right tail."""
    N = len(effect)
    # Nodes are equally far apart.
    half = 0.5 * (effect[N - 1] - effect[0]) / (N - 1)
    total: float = density[0]
    masses[0] = total
    for i in range(N - 1):
        total += half * (density[i] + density[i + 1])
        masses[i + 1] = total
    masses[N] = total + density[N - 1]


@inner_ieee
def draw_interpolated(
    state: Words, effect: Floats, density: Floats, masses: Floats
) -> tuple[float, float]:
    """Draw from the density between nodes, with tails exp(-distance) beyond; return it as well."""
    N = len(effect)
    aim = (1.0 - uniform(state)) * masses[N]
    low, high = 0, N
    while low < high:
        middle = (low + high) // 2
        if masses[middle] > aim:
            high = middle
        else:
            low = middle + 1
    at: float = effect[max(low - 1, 0)]
    if low in (0, N):
        share = uniform(state)
        at += math.log(share) if low == 0 else -math.log(share)
        return at, share * density[max(low - 1, 0)]
    left, right, width = density[low - 1], density[low], effect[low] - at
    # The share t of the segment with left t + (right - left) t^2 / 2 = what is left of the mass.
    rest = (aim - masses[low - 1]) / width
    bent = math.sqrt(max(left * left + 2.0 * (right - left) * rest, 0.0))
    share = min(2.0 * rest / (left + bent), 1.0) if left + bent > 0.0 else 0.5
    return at + width * share, left + share * (right - left)


@inner_ieee
def choose(state: Words, effect: Floats, density: Floats, proposed: Floats) -> tuple[float, int]:
    """Return where Metropolis steps end that go from the first proposal on, and how many were made.

    Proposals do not depend on where the chain is.
    """
    place, accepted, here = 0, 0, density[0] / max(proposed[0], _LEAST)
    for k in range(1, len(effect)):
        there = density[k] / max(proposed[k], _LEAST)
        if there >= uniform(state) * here:
            place, here = k, there
            accepted += 1
    end: float = effect[place]
    return end, accepted


@inner_ieee
def _log_at(q: int, mode: Floats, u: float, v: float) -> float:
    """Evaluate the log-density of a t at one mode."""
    # The distance is that of root' (effects - mode).
    away = v - mode[FOUND_V]
    one = mode[FOUND_ROOT] * (u - mode[FOUND_U]) + mode[FOUND_BELOW] * away
    two, volume = mode[FOUND_ROOT_2] * away, mode[FOUND_ROOT]
    if q == 2:
        volume *= mode[FOUND_ROOT_2]
    return _log_t(q, one * one + two * two, volume)


@inner_ieee
def fill_shares(q: int, modes: Floats, shares: Floats) -> None:
    """Fill each mode's share of the proposals: its mass by curvature, and a tenth at least."""
    top, total = -math.inf, 0.0
    for k in range(len(modes)):
        top = max(top, modes[k, FOUND_HEIGHT])
    for k in range(len(modes)):
        shares[k] = 0.0
        if modes[k, FOUND_HEIGHT] > -math.inf:
            volume = modes[k, FOUND_ROOT] * (modes[k, FOUND_ROOT_2] if q == 2 else 1.0)
            shares[k] = math.exp(modes[k, FOUND_HEIGHT] - top) / volume
            total += shares[k]
    again = 0.0
    for k in range(len(modes)):
        if shares[k] > 0.0:
            shares[k] = max(shares[k] / total, _LEAST_SHARE)
            again += shares[k]
    for k in range(len(modes)):
        shares[k] *= (1.0 - _ELSEWHERE) / again


@inner_ieee
def _propose_at_modes(
    state: Words, q: int, modes: Floats, shares: Floats
) -> tuple[float, float, float]:
    """Draw from a t at one of the modes, or from everywhere; return the mixture's log-density."""
    aim, place = uniform(state), -1
    for k in range(len(modes)):
        if aim > 0.0 and shares[k] > 0.0:
            aim -= shares[k]
            if aim <= 0.0:
                place = k
    one, two = _draw_t(state, q)
    if place < 0:
        u, v = _WIDTH * one, _WIDTH * two
    else:
        v = two / modes[place, FOUND_ROOT_2]
        u = (one - modes[place, FOUND_BELOW] * v) / modes[place, FOUND_ROOT]
        u, v = u + modes[place, FOUND_U], v + modes[place, FOUND_V]
    density = _ELSEWHERE * math.exp(_log_t(q, (u * u + v * v) / _WIDTH**2, _WIDTH ** (-q)))
    for k in range(len(modes)):
        if shares[k] > 0.0:
            density += shares[k] * math.exp(_log_at(q, modes[k], u, v))
    return u, v, math.log(density)


@inner_ieee
def propose(
    state: Words, q: int, modes: Floats, shares: Floats, several: bool
) -> tuple[float, float, float]:
    """Draw effects, and return them with the log-density that they were drawn from."""
    if several:
        return _propose_at_modes(state, q, modes, shares)
    mode = modes[0]
    one, two = _draw_t(state, 2)
    v = two / mode[FOUND_ROOT_2]
    u = mode[FOUND_U] + (one - mode[FOUND_BELOW] * v) / mode[FOUND_ROOT]
    v += mode[FOUND_V]
    return u, v, _log_at(2, mode, u, v)
