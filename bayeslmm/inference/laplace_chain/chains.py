"""Chains in (theta, eps): proposals of theta with eps kept, trajectories in eps, side by side."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.laplace_chain.adaptation import Trajectory, adapted_proposal
from bayeslmm.kernels.laplace_chain.moves import begin, sweep
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.proposal import Mixture
    from bayeslmm.inference.laplace_chain.proposal import LaplaceStage
    from bayeslmm.kernels.laplace_chain.mode import State

# Newton's decrement in a chain, which is exact whatever it is.
_TOLERANCE = 1e-4
# Rounds of the warm-up, in blocks of sweeps: after each block the trajectory is adapted, after each
# round the proposal.
_WARM_UP, _BLOCK = (3, 4), 20
# Random numbers are drawn for so many sweeps at a time.
_MOST_NUMBERS = 2_000_000
# Steps are that much longer or shorter by chance, so that no trajectory comes back to its start.
_JITTER = 0.2
# A random walk joins where proposals are poor by k-hat or by acceptance, or there are many
# coordinates.
MAX_PARETO_K, LEAST_ACCEPTED, MANY_COORDINATES = 0.7, 0.3, 8
_WALK_ACCEPTED = 0.3


@dataclass(frozen=True, eq=False)
class ChainDraws:
    """Draws of all chains.

    Attributes
    ----------
    steps : tuple of int
        Of each chain's trajectories.
    points : ndarray, shape (chains, draws, k)
        Theta's coordinates.
    effects : ndarray, shape (chains, draws, size)
        u in the plan's order, then R beta.
    log_ratio, log_joint : ndarray, shape (chains, draws)
        Log p(y, u, beta | theta) less its Gaussian approximation; itself, with log p(theta).
    accepted_theta : ndarray, shape (chains, draws)
        Whether the proposal of theta was taken.
    acceptance_eps : ndarray, shape (chains, draws)
        Acceptance probability of the trajectory.
    accepted_walk : ndarray, shape (chains, draws)
        Whether the random walk's proposal was taken; NaN where there was none.
    """

    steps: tuple[int, ...]
    points: Floats
    effects: Floats
    log_ratio: Floats
    log_joint: Floats
    accepted_theta: Floats
    acceptance_eps: Floats
    accepted_walk: Floats


def run_chains(
    stage: LaplaceStage, chains: int, draws: int, *, threads: int, seed: int
) -> ChainDraws:
    """Run chains from draws of Laplace's posterior, after a short warm-up of each.

    Parameters
    ----------
    stage : LaplaceStage
        Target and proposal.
    chains, draws : int
        Their number, and kept draws of each.
    threads : int
        Chains that run at a time; the draws do not depend on it.
    seed : int
        Of the chains' random numbers.

    Returns
    -------
    ChainDraws
    """

    def begin_one(number: int) -> _Chain:
        return _Chain(stage, np.random.default_rng([seed, 5, number]))

    with single_blas_thread(), ThreadPoolExecutor(max(1, min(threads, chains))) as pool:
        running = list(pool.map(begin_one, range(chains)))
        for blocks in _WARM_UP:
            seen = np.concatenate(list(pool.map(lambda chain: chain.warm_up(blocks), running)))
            adapted = adapted_proposal(stage.found, seen)
            for chain in running:
                chain.proposal = adapted
        list(pool.map(lambda chain: chain.run(draws), running))
    kept = (np.stack([getattr(chain.kept, name) for chain in running]) for name in _Kept.names())
    return ChainDraws(tuple(chain.trajectory.steps for chain in running), *kept)


@dataclass(eq=False)
class _Kept:
    """What one chain keeps of each draw."""

    points: Floats
    effects: Floats
    log_ratio: Floats
    log_joint: Floats
    accepted_theta: Floats
    acceptance_eps: Floats
    accepted_walk: Floats

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(cls.__dataclass_fields__)

    @classmethod
    def empty(cls, draws: int, k: int, size: int) -> _Kept:
        one = [np.empty(draws) for _ in range(5)]
        return cls(np.empty((draws, k)), np.empty((draws, size)), *one)


@dataclass(eq=False)
class _Chain:
    """One chain: where it stands, and how it moves."""

    stage: LaplaceStage
    rng: np.random.Generator
    proposal: Mixture = field(init=False)
    trajectory: Trajectory = field(default_factory=Trajectory)
    walks: bool = False
    scale: float = 0.0

    def __post_init__(self) -> None:
        self.target = self.stage.target
        self.latent = self.target.latent.private()
        found, k = self.stage.found, self.target.size
        self.walks = found.pareto_k > MAX_PARETO_K or k > MANY_COORDINATES
        self.proposal = found.proposal
        self.scale = 2.38 / math.sqrt(k)
        away = found.points - found.weights @ found.points
        self.root = np.linalg.cholesky((found.weights[:, None] * away).T @ away + 1e-8 * np.eye(k))
        self.point = self.stage.points[self.rng.integers(len(self.stage.points))]
        self.state: State = begin(
            self.latent.rows,
            self.latent.prior,
            self.target.packed(self.point[None])[0],
            self.target.phi(self.point[None])[0],
            self.target.reference.starts(self.point[None])[0],
            self.rng.standard_normal(self.latent.size),
            _TOLERANCE,
        )

    def warm_up(self, blocks: int) -> Floats:
        """Adapt the trajectory and the walk; return the points of the later half."""
        accepted, seen = [], []
        for _ in range(blocks):
            kept = self._keeping(_BLOCK)
            self._sweeps(kept, 0, _BLOCK)
            self.trajectory = self.trajectory.adapted(float(kept.acceptance_eps.mean()))
            accepted.append(float(kept.accepted_theta.mean()))
            seen.append(kept.points)
            if self.walks:
                self.scale *= math.exp(float(kept.accepted_walk.mean()) - _WALK_ACCEPTED)
        self.walks = self.walks or float(np.mean(accepted)) < LEAST_ACCEPTED
        return np.concatenate(seen[blocks // 3 :])

    def run(self, draws: int) -> None:
        """Keep so many draws."""
        self.kept = self._keeping(draws)
        self._sweeps(self.kept, 0, draws)

    def _keeping(self, draws: int) -> _Kept:
        return _Kept.empty(draws, self.target.size, self.latent.size)

    def _sweeps(self, kept: _Kept, first: int, end: int) -> None:
        block = max(1, _MOST_NUMBERS // self.latent.size)
        while first < end:
            last = min(end, first + (1 if self.walks else block))
            own = slice(first, last)
            points = self.proposal.draw(last - first, self.rng)
            together = np.concatenate([self.point[None], points])
            with np.errstate(all="ignore"):
                log_prior = self.target.log_prior(together)
            corrections = log_prior - self.proposal.log_density(together)
            self._move(kept, own, points, corrections, self.trajectory.steps)
            kept.accepted_walk[own] = math.nan
            if self.walks:
                self._walk(kept, own)
            with np.errstate(all="ignore"):
                kept.log_joint[own] += self.target.log_prior(kept.points[own])
            first = last

    def _walk(self, kept: _Kept, own: slice) -> None:
        acceptance = kept.accepted_theta[own].copy(), kept.acceptance_eps[own].copy()
        step = self.scale * self.root @ self.rng.standard_normal(self.target.size)
        points = (self.point + step)[None]
        with np.errstate(all="ignore"):
            log_prior = self.target.log_prior(np.concatenate([self.point[None], points]))
        self._move(kept, own, points, log_prior, 0)
        kept.accepted_walk[own] = kept.accepted_theta[own]
        kept.accepted_theta[own], kept.acceptance_eps[own] = acceptance

    def _move(
        self, kept: _Kept, own: slice, points: Floats, corrections: Floats, steps: int
    ) -> None:
        """Propose points of theta, of which the first correction is that of the current one."""
        s, target = len(points), self.target
        with np.errstate(all="ignore"):
            lams, phis = target.packed(points), target.phi(points)
        possible = np.isfinite(corrections[1:]) & np.isfinite(lams).all(axis=1)
        possible &= np.isfinite(phis).all(axis=1)
        chances = np.log1p(-self.rng.random((s, 2)))
        sizes = self.trajectory.size * self.rng.uniform(1 - _JITTER, 1 + _JITTER, s)
        self.state, places, kept.effects[own], levels, accepted = sweep(
            self.latent.rows,
            self.latent.prior,
            self.state,
            float(corrections[0]),
            lams,
            phis,
            target.reference.starts(points),
            np.where(possible, corrections[1:], -np.inf),
            self.rng.standard_normal((s, self.latent.size)),
            chances,
            sizes,
            steps,
            _TOLERANCE,
        )
        known = np.concatenate([points, self.point[None]])
        kept.points[own] = known[places]
        self.point = kept.points[own][-1]
        kept.log_ratio[own], kept.log_joint[own] = levels.T
        kept.accepted_theta[own], kept.acceptance_eps[own] = accepted.T
