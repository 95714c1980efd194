"""Chains in (theta, eps): proposals of theta with eps kept, trajectories in eps, side by side."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.laplace_chain.adaptation import Trajectory, adapted_proposal
from bayeslmm.inference.laplace_chain.random_walk import no_walk, walk_arrays
from bayeslmm.inference.nuts.marginal import compiles
from bayeslmm.kernels.laplace_chain.moves import Kept, Proposed, begin, sweep
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.proposal import Mixture
    from bayeslmm.inference.laplace_chain.proposal import LaplaceStage
    from bayeslmm.kernels.laplace_chain.mode import State

# Newton's decrement in a chain: effects are a function of (theta, eps) whatever it is, so that the
# chain is exact, and below 1 acceptance does not depend on it.
_TOLERANCE = 0.1
# Rounds of the warm-up, in blocks of sweeps: after each block the trajectory is adapted, after each
# round the proposal.
_WARM_UP, _BLOCK = (3, 4), 20
# Random numbers are drawn for so many sweeps at a time.
_MOST_NUMBERS = 2_000_000
# Steps are that much longer or shorter by chance, so that no trajectory comes back to its start.
_JITTER = 0.2
# A random walk joins where adapted proposals are seldom accepted, or those before had weights with
# a long tail, where independent proposals leave a chain standing for long, or there are many
# coordinates.
MAX_PARETO_K, LEAST_ACCEPTED, MANY_COORDINATES = 0.4, 0.3, 8
_WALK_ACCEPTED = 0.3
# A draw takes as many sweeps as bring it that chance of a new theta, and no more than that many.
_MOVED, _MOST_SWEEPS = 0.6, 6


@dataclass(frozen=True, eq=False)
class ChainDraws:
    """Draws of all chains.

    Attributes
    ----------
    steps : tuple of int
        Of each chain's trajectories.
    sweeps : int
        For each kept draw.
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
    sweeps: int
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
            seen = list(pool.map(_Chain.warm_up, running, [blocks] * chains))
            adapted = adapted_proposal(stage.found, np.concatenate(seen))
            for chain in running:
                chain.propose_from(adapted)
        accepted = float(np.mean([chain.accepted for chain in running]))
        sweeps = math.ceil(_MOVED / max(accepted, _MOVED / _MOST_SWEEPS))
        for chain in running:
            chain.walks = chain.walks or (chain.may_walk and accepted < LEAST_ACCEPTED)
            chain.sweeps = sweeps
        done = list(pool.map(_Chain.run, running, [draws] * chains))
    columns = (np.stack(column) for column in zip(*done, strict=True))
    return ChainDraws(tuple(chain.trajectory.steps for chain in running), sweeps, *columns)


class _Chain:
    """One chain: where it stands, and how it moves."""

    def __init__(self, stage: LaplaceStage, rng: np.random.Generator) -> None:
        self.target, self.found, self.rng = stage.target, stage.found, rng
        self.latent = self.target.latent.private()
        k = self.target.size
        poor = stage.found.pareto_k > MAX_PARETO_K or k > MANY_COORDINATES
        self.may_walk, self.sweeps = compiles(self.target), 1
        self.walks = self.may_walk and poor
        self.scale, self.trajectory = 2.38 / math.sqrt(k), Trajectory()
        away = stage.found.points - stage.found.weights @ stage.found.points
        covariance = (stage.found.weights[:, None] * away).T @ away
        self.root = np.linalg.cholesky(covariance + 1e-8 * np.eye(k))
        self.point = stage.points[rng.integers(len(stage.points))].copy()
        here = self.point[None]
        self.state: State = begin(
            self.latent.rows,
            self.latent.prior,
            self.target.packed(here)[0],
            self.target.phi(here)[0],
            self.target.reference.starts(here)[0],
            rng.standard_normal(self.latent.size),
            _TOLERANCE,
        )
        self.propose_from(stage.found.proposal)

    def propose_from(self, proposal: Mixture) -> None:
        """Take proposals of theta from a mixture from now on."""
        self.proposal = proposal
        self.correction = float(self._corrections(self.point[None])[0])
        self.steps_of_walk = walk_arrays(self.target, proposal) if self.may_walk else no_walk()

    def warm_up(self, blocks: int) -> Floats:
        """Adapt the trajectory and the walk; return the points of the later two thirds."""
        accepted, seen = [], []
        for _ in range(blocks):
            kept = self.run(_BLOCK)
            self.trajectory = self.trajectory.adapted(float(kept.eps.mean()))
            accepted.append(float(kept.theta.mean()))
            seen.append(kept.points)
            if self.walks:
                self.scale *= math.exp(float(kept.walk.mean()) - _WALK_ACCEPTED)
        self.accepted = float(np.mean(accepted))
        return np.concatenate(seen[blocks // 3 :])

    def run(self, draws: int) -> Kept:
        """Run the sweeps of so many draws, and keep the last one of each."""
        most = max(1, _MOST_NUMBERS // (self.latent.size * self.sweeps))
        counts = np.diff([*range(0, draws, most), draws])
        parts = [self._block(int(count) * self.sweeps) for count in counts]
        last = slice(self.sweeps - 1, None, self.sweeps)
        return Kept(*(np.concatenate([p[last] for p in column])
                      for column in zip(*parts, strict=True)))  # fmt: skip

    def _block(self, count: int) -> Kept:
        points, k = self.proposal.draw(count, self.rng), self.target.size
        increments = np.zeros((0, k))
        if self.walks:
            increments = self.scale * self.rng.standard_normal((count, k)) @ self.root.T
        self.state, self.point, self.correction, kept = sweep(
            self.latent.rows,
            self.latent.prior,
            self.state,
            self.point,
            self.correction,
            self._proposed(points),
            self.steps_of_walk._replace(increments=increments),
            self.rng.standard_normal((count, self.latent.size)),
            np.log1p(-self.rng.random((count, 3))),
            self.trajectory.size * self.rng.uniform(1 - _JITTER, 1 + _JITTER, count),
            self.trajectory.steps,
            _TOLERANCE,
        )
        with np.errstate(all="ignore"):
            log_prior = self.target.log_prior(kept.points)
        return kept._replace(log_joint=kept.log_joint + log_prior)

    def _proposed(self, points: Floats) -> Proposed:
        target = self.target
        corrections = self._corrections(points)
        with np.errstate(all="ignore"):
            lams, phis = target.packed(points), target.phi(points)
        possible = np.isfinite(corrections) & np.isfinite(lams).all(axis=1)
        possible &= np.isfinite(phis).all(axis=1)
        corrections = np.where(possible, corrections, -np.inf)
        return Proposed(points, lams, phis, target.reference.starts(points), corrections)

    def _corrections(self, points: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return self.target.log_prior(points) - self.proposal.log_density(points)
