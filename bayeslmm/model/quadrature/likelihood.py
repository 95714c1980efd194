"""`LevelLikelihood`: log p(y | G, beta, phi) with one factor's effects integrated out."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.kernels.families.codes import QUICK, STUDENT
from bayeslmm.kernels.quadrature.draw import draw_effects
from bayeslmm.kernels.quadrature.level import QUICKLY
from bayeslmm.kernels.quadrature.marginal import log_marginal_and_slopes, log_marginals
from bayeslmm.model.quadrature.rules import equally_spaced, gauss_hermite

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.kernels.quadrature.rows import LevelRows

# Squared length of Newton's last step, in a level's standard deviations: nodes need not stand
# exactly at the mode, but the node itself must where there is only one.
_NEAR, _AT = 1e-2, 1e-18
# Rows times points that one thread takes at a time, and the fewest and most points; of draws each
# such part has a random stream of its own.
_CHUNK_ROWS, _FEWEST_CHUNK, _MOST_CHUNK = 100_000, 250, 1000
# Points below which threads cost more than they give.
_FEW = 32
# Metropolis steps go on until what is left of the first draw has this probability.
_LEFT = 1e-3
_PILOT, _PILOT_STEPS, _FEWEST_STEPS, _MOST_STEPS = 100, 5, 2, 400
_MORE_STEPS = 5


@dataclass(frozen=True, eq=False)
class Points:
    """Values of everything but the effects.

    Attributes
    ----------
    L : ndarray, shape (s, q, q)
        Lower triangular, G = L L'.
    beta : ndarray, shape (s, p)
        Coefficients of the rows' X.
    phi : ndarray, shape (s, number of parameters)
        The family's parameters.
    """

    L: Floats
    beta: Floats
    phi: Floats

    def __post_init__(self) -> None:
        s = len(self.L)
        for name, axes in (("L", 3), ("beta", 2), ("phi", 2)):
            shape = (s, *[None] * (axes - 1))
            array = for_kernels(name, getattr(self, name), np.float64, shape)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.L)

    def __getitem__(self, where: slice) -> Points:
        return Points(self.L[where], self.beta[where], self.phi[where])


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of a log-likelihood at one point: in L (lower triangle), beta and phi."""

    L: Floats
    beta: Floats
    phi: Floats


@dataclass(frozen=True, eq=False)
class DrawnEffects:
    """Effects drawn back.

    Attributes
    ----------
    effects : ndarray, shape (s, J, q)
        b = L u, level by level.
    acceptance : ndarray, shape (J,)
        Share of Metropolis steps that were accepted.
    steps : ndarray of int64, shape (J,)
        How many each draw took.
    """

    effects: Floats
    acceptance: Floats
    steps: Ints


@dataclass(frozen=True, eq=False)
class LevelLikelihood:
    r"""The likelihood with effects integrated out level by level.

    .. math:: p(y \mid L, \beta, \phi) = \prod_j \int \prod_{r \in j} p(y_r \mid \eta_r, \phi)
              \, N(u_j; 0, I) \, du_j, \quad \eta_r = x_r' \beta + z_r' L u_j + o_r

    by adaptive Gauss-Hermite quadrature: nodes around each level's mode, spread by its curvature.

    Attributes
    ----------
    rows : LevelRows
        The data.
    n_nodes : int
        K nodes for each of the q columns; one is Laplace's approximation.
    modes : ndarray, shape (J, q)
        Where the searches for the levels' modes begin; moved by `value_and_slopes`.

    References
    ----------
    Pinheiro & Bates (1995). Approximations to the log-likelihood function in the nonlinear
    mixed-effects model. JCGS 4:12-35. doi:10.1080/10618600.1995.10474663
    """

    rows: LevelRows
    n_nodes: int
    modes: Floats = field(default_factory=lambda: np.zeros((0, 1)))

    def __post_init__(self) -> None:
        if not len(self.modes):
            modes = np.zeros((self.n_levels, self.rows.Z.shape[1]))
            object.__setattr__(self, "modes", modes)

    @property
    def _chunk(self) -> int:
        return min(max(_CHUNK_ROWS // len(self.rows.y), _FEWEST_CHUNK), _MOST_CHUNK)

    @property
    def n_levels(self) -> int:
        """J, the number of levels."""
        return len(self.rows.starts) - 1

    def with_nodes(self, n_nodes: int) -> LevelLikelihood:
        """Return the same likelihood by another number of nodes."""
        return LevelLikelihood(self.rows, n_nodes, self.modes)

    def values(self, points: Points, *, threads: int = 1) -> Floats:
        """Compute log p(y | L, beta, phi), shape (s,); -inf where it cannot be computed."""
        return self._values(points, np.empty((0, self.n_levels)), threads)

    def by_level(self, points: Points, *, threads: int = 1) -> Floats:
        """Compute each level's log marginal likelihood, shape (s, J), in the design's order."""
        levels = np.empty((len(points), self.n_levels))
        self._values(points, levels, threads)
        return levels

    def _values(self, points: Points, levels: Floats, threads: int) -> Floats:
        out, rule = np.empty(len(points)), gauss_hermite(self.n_nodes)
        tolerance = _NEAR if self.n_nodes > 1 else _AT

        def run(part: slice) -> None:
            some = points[part]
            log_marginals(
                self.rows, rule, some.L, some.beta, some.phi, self.modes, tolerance, QUICKLY,
                levels[part], out[part],
            )  # fmt: skip

        _in_threads(run, len(points), threads, self._chunk)
        return out

    def value_and_slopes(self, points: Points) -> tuple[float, Slopes]:
        """Compute log p(y | L, beta, phi) and its gradient at a single point.

        The gradient is that of the integral (Fisher's identity), which that of the sum over nodes
        approaches as they grow in number: for one node it is not the gradient of the value.
        """
        d_L, d_beta = np.empty(points.L.shape[1:]), np.empty(points.beta.shape[1])
        d_phi = np.empty(points.phi.shape[1])
        value = log_marginal_and_slopes(
            self.rows, gauss_hermite(self.n_nodes), points.L[0], points.beta[0], points.phi[0],
            self.modes, _AT, d_L, d_beta, d_phi,
        )  # fmt: skip
        if not np.isfinite(self.modes).all():
            self.modes[:] = 0.0
        return (value if math.isfinite(value) else -math.inf), Slopes(d_L, d_beta, d_phi)

    def draw(self, points: Points, rng: np.random.Generator, *, threads: int = 1) -> DrawnEffects:
        """Draw the effects given y, once for each point.

        Every draw is the last of some Metropolis steps whose proposals do not depend on where the
        chain is; their number follows each level's own acceptance, so that the probability that
        none of them was accepted is below a thousandth.

        Parameters
        ----------
        points : Points
            One for each draw.
        rng : numpy.random.Generator
            Gives the seeds.
        threads : int
            That draw side by side; the numbers do not depend on it.

        Returns
        -------
        DrawnEffects
        """
        pilot = points[:: max(len(points) // _PILOT, 1)]
        steps = np.full(self.n_levels, _PILOT_STEPS, dtype=np.int64)
        accepted = self._draw(pilot, steps, rng, threads)[1]
        # One of each more than there were: a level that accepted all has not accepted all ever.
        rejected = 1.0 - accepted / (len(pilot) * _PILOT_STEPS + 1.0)
        with np.errstate(divide="ignore"):
            wanted = np.ceil(math.log(_LEFT) / np.log(np.minimum(rejected, 1.0 - 1e-12)))
        if self.rows.code == STUDENT and len(self.rows.phi.links):
            # Rows of different scales put narrow peaks on wide hills: acceptance tells of the peak.
            wanted *= _MORE_STEPS
        steps = np.clip(wanted, _FEWEST_STEPS, _MOST_STEPS).astype(np.int64)
        effects, accepted = self._draw(points, steps, rng, threads)
        return DrawnEffects(effects, accepted / (len(points) * steps), steps)

    def _draw(
        self, points: Points, steps: Ints, rng: np.random.Generator, threads: int
    ) -> tuple[Floats, Ints]:
        q = self.rows.Z.shape[1]
        # Effects of two columns are proposed from a t, which takes no nodes.
        dear = self.rows.code not in QUICK
        rule = equally_spaced(dear=dear) if q == 1 else gauss_hermite(1)
        out = np.empty((len(points), self.n_levels, q))
        chunks = range(0, len(points), self._chunk)
        seeds = rng.integers(2**31, size=len(chunks))
        counts = np.zeros((len(chunks), self.n_levels), dtype=np.int64)

        def run(k: int) -> None:
            part = slice(chunks[k], chunks[k] + self._chunk)
            some = points[part]
            draw_effects(
                self.rows, rule, some.L, some.beta, some.phi, self.modes, steps, int(seeds[k]),
                out[part], counts[k],
            )  # fmt: skip

        if threads == 1 or len(chunks) == 1:
            for k in range(len(chunks)):
                run(k)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(run, range(len(chunks))))
        return out, counts.sum(axis=0)


def _in_threads(run: Callable[[slice], None], count: int, threads: int, chunk: int) -> None:
    """Call a function for slices of so many points."""
    if threads == 1 or count < _FEW:
        run(slice(0, count))
        return
    size = min(chunk, math.ceil(count / threads))
    parts = [slice(first, first + size) for first in range(0, count, size)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, parts))
