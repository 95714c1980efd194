"""Nodes of an interpolated reduction: which candidates they are, and their exact values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from bayeslmm.reduced import Reduced, reduce_exactly
from bayeslmm.surrogate_functions import (
    KERNEL,
    FactorCoordinates,
    Kernel,
    SmoothReduction,
    Whitening,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

    Places = NDArray[np.intp]

# First nodes cover a ball of this radius, in standard deviations of the proposal.
_RADIUS = 3.0
# Extrapolation is trusted up to this times the distance of the outermost node.
BEYOND = 1.15


class Nodes:
    """Nodes among candidates: which, their exact values, and coordinates in which they lie evenly.

    Attributes
    ----------
    coordinates : FactorCoordinates
    whitening : Whitening
        By the latest weights.
    all : ndarray of int
        Every candidate's place.
    used : ndarray of bool
        Which candidates were evaluated exactly.
    n_exact : int
        How many.
    """

    def __init__(self, gram: Gram, candidates: Floats, threads: int) -> None:
        self._gram, self._candidates, self._threads = gram, candidates, threads
        self.coordinates = FactorCoordinates(gram)
        self._points = self.coordinates(candidates)
        self.all = np.arange(len(candidates))
        self.used = np.zeros(len(candidates), bool)
        self.n_exact = 0
        self.whitening = Whitening(self._points, np.ones(len(candidates)))
        self._nodes: list[np.intp] = []
        self._exact: list[Reduced] = []
        self._inside = np.ones(len(candidates), bool)

    @property
    def n_first(self) -> int:
        """How many first nodes there are: twice a quadratic's coefficients, and some."""
        d = self._points.shape[1]
        return int(8 + (d + 1) * (d + 2))

    @property
    def can_interpolate(self) -> bool:
        """Whether there are nodes enough for the quadratic trend."""
        return len(self._nodes) > self.n_first // 2

    def start(self) -> None:
        """Evaluate first nodes: spread evenly over a ball around the proposal's centre."""
        points = self.whitening(self._points)
        radius = np.linalg.norm(points, axis=1)
        places = spread(points, radius <= _RADIUS, self.n_first)
        self.evaluate(places)
        self._inside = radius <= BEYOND * radius[places].max()

    def within_reach(self, rounds: int) -> NDArray[np.bool_]:
        """Tell which candidates may be chosen: at first none that would be extrapolated to."""
        return self._inside if rounds < 2 else np.ones(len(self.all), bool)

    def evaluate(self, places: Places) -> Reduced:
        """Evaluate candidates exactly, and make them nodes where that succeeds."""
        exact = reduce_exactly(self._gram, self._candidates[places], threads=self._threads)
        self.n_exact += len(places)
        self.used[places] = True
        good = np.flatnonzero(np.isfinite(exact.logdet))
        self._nodes += list(places[good])
        self._exact.append(exact.take(good))
        return exact

    def smooth(self, kernel: Kernel = KERNEL) -> SmoothReduction:
        """Interpolate among the nodes."""
        values = Reduced(
            np.concatenate([part.logdet for part in self._exact]),
            np.concatenate([part.cross for part in self._exact]),
        )
        points = self.whitening(self._points[np.array(self._nodes)])
        return SmoothReduction(points, values, kernel)

    def interpolate(self, kernel: Kernel = KERNEL) -> Reduced:
        """Interpolate log|V| and T at every candidate."""
        return self.smooth(kernel)(self.whitening(self._points))

    def reach(self) -> float:
        """Give the whitened distance up to which there are nodes, and a little more."""
        points = self.whitening(self._points[np.array(self._nodes)])
        return BEYOND * float(np.linalg.norm(points, axis=1).max())

    def whiten(self, log_weights: Floats) -> None:
        """Measure distances from now on by the posterior's covariance."""
        weights = np.exp(log_weights - logsumexp(log_weights))
        # A handful of candidates with all the weight says too little about a covariance.
        if 1.0 / np.sum(weights**2) > 10.0 * self._points.shape[1]:
            self.whitening = Whitening(self._points, weights)


def spread(points: Floats, allowed: NDArray[np.bool_], count: int) -> Places:
    """Choose points one by one, each farthest from those before, from the most central on."""
    chosen = [int(np.argmin(np.linalg.norm(points, axis=1)))]
    distance = np.where(allowed, np.inf, -1.0)
    for _ in range(min(count, int(allowed.sum())) - 1):
        new = np.linalg.norm(points - points[chosen[-1]], axis=1)
        distance = np.minimum(distance, new)
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen, dtype=np.intp)
