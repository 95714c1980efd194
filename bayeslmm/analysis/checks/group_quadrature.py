"""Marginal log-densities of groups whose responses are not Gaussian, by adaptive quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalWarning, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, Parameters

MOST_COLUMNS = 2
NODES = {1: (7, 15, 31, 63, 127), 2: (7, 15, 31)}  # in each column; each list doubles
TOLERANCE = 1e-3  # of a group's log-density, far below its Monte Carlo error
TRIED = 16  # draws by which the number of nodes is chosen
ENTRIES = 2_000_000  # of an array of rows by draws
STEP = 1e-3  # in eta, of the differences by which modes are found: they need no more digits
STEPS, SETTLED, FARTHEST = 60, 1e-4, 4.0  # of the search for modes, in the effects' own sds


@dataclass(frozen=True, eq=False, slots=True)
class GroupIntegrals:
    """Marginal log-densities, and how they were integrated.

    Attributes
    ----------
    values : ndarray, shape (s, m)
        One column per group.
    nodes : int
        Nodes in each random-effect column.
    error : float
        By how much twice as many change the values, at most, of the draws that were tried.
    """

    values: Floats
    nodes: int
    error: float


@dataclass(frozen=True, eq=False, slots=True)
class _Groups:
    """Some whole groups' rows, group by group, under some draws.

    `loadings`, shape (q, rows, s), are z'L: what one standard deviation of each effect adds to
    eta. Effects u ~ N(0, I) have shape (q, groups, s).
    """

    member: Family
    phi: Parameters
    known: Floats | None
    counted: Floats | None
    y: Floats
    eta: Floats
    loadings: Floats
    starts: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        return np.diff(self.starts, append=len(self.y))

    def only(self, draws: NDArray[np.intp]) -> _Groups:
        """Return the same groups under some of the draws."""
        phi = {name: np.asarray(values)[..., draws] for name, values in self.phi.items()}
        return _Groups(
            self.member, phi, self.known, self.counted, self.y, self.eta[:, draws],
            self.loadings[..., draws], self.starts,
        )  # fmt: skip

    def predictors(self, effects: Floats) -> Floats:
        """Compute eta of the rows given the groups' effects, shape (rows, s)."""
        spread = np.repeat(effects, self.counts, axis=1)
        return np.asarray(self.eta + (self.loadings * spread).sum(axis=0))

    def rows(self, eta: Floats) -> Floats:
        found = self.member.log_density(self.y[:, None], eta, self.phi, self.known)
        return found if self.counted is None else self.counted * found

    def sums(self, of_rows: Floats) -> Floats:
        return np.asarray(np.add.reduceat(of_rows, self.starts, axis=-2))

    def joint(self, effects: Floats) -> Floats:
        """Compute log p(y, u) up to the normal's constant, shape (groups, s)."""
        square = np.square(effects).sum(axis=0)
        return self.sums(self.rows(self.predictors(effects))) - 0.5 * square

    def local(self, effects: Floats) -> tuple[Floats, Floats, Floats]:
        """Return log p(y, u), its gradient (q, ...) and a positive curvature (q, q, ...)."""
        eta = self.predictors(effects)
        here, above, below = (self.rows(eta + shift) for shift in (0.0, STEP, -STEP))
        first = (above - below) / (2 * STEP)
        # Where the density is not log-concave, the effects' own curvature is left.
        second = np.maximum(2 * here - above - below, 0.0) / STEP**2
        value = self.sums(here) - 0.5 * np.square(effects).sum(axis=0)
        gradient = self.sums(self.loadings * first) - effects
        q = len(self.loadings)
        curvature = self.sums(self.loadings[:, None] * self.loadings * second)
        curvature[range(q), range(q)] += 1.0
        return value, gradient, curvature


def group_integrals(
    predictor: LinearPredictor,
    y: Floats,
    index: NDArray[np.intp],
    columns: Floats,
    roots: Floats,
) -> GroupIntegrals:
    r"""Integrate each group's effects out of its rows' joint density.

    .. math:: \log \int \prod_{r \in i} p(y_r \mid \eta_r + z_r' b, \phi) \, N(b; 0, G) \, db

    by Gauss and Hermite's rule, centred at the mode of each group and draw, and scaled by the
    curvature there. There are as many nodes as it takes until twice as many change no group by
    more than 0.001.

    Parameters
    ----------
    predictor : LinearPredictor
        Of the rows, these effects at zero.
    y : ndarray, shape (n,)
        Responses.
    index : ndarray of int, shape (n,)
        The rows' groups, 0 to m - 1; each has rows.
    columns : ndarray, shape (n, q)
        z, of at most two columns.
    roots : ndarray, shape (s, q, q)
        Lower triangular L with G = L L'.

    Returns
    -------
    GroupIntegrals

    Warns
    -----
    NumericalWarning
        If the largest number of nodes is not enough.

    References
    ----------
    Liu & Pierce (1994), Biometrika 81(3):624-629, doi 10.1093/biomet/81.3.624. Pinheiro & Chao
    (2006), Journal of Computational and Graphical Statistics 15(1):58-81,
    doi 10.1198/106186006X96962.
    """
    m = int(index.max()) + 1
    tried = np.unique(np.linspace(0, predictor.size - 1, TRIED).round().astype(np.intp))
    samples = [groups.only(tried) for _, groups in _batches(predictor, y, index, columns, roots)]
    nodes, error = _enough(samples, columns.shape[1])
    if error > TOLERANCE:
        warn(
            "The integrals over the effects of groups are not settled: the last doubling, to "
            f"{nodes} nodes, changed a group's log-density by {error:.2g}. Effects with a very "
            "large standard deviation, or more than one mode, take more.",
            NumericalWarning,
        )
    values = np.empty((predictor.size, m))
    for levels, groups in _batches(predictor, y, index, columns, roots):
        values[:, levels] = _integrate(groups, *_modes(groups), nodes).T
    return GroupIntegrals(values, nodes, error)


def _batches(
    predictor: LinearPredictor,
    y: Floats,
    index: NDArray[np.intp],
    columns: Floats,
    roots: Floats,
) -> Iterator[tuple[slice, _Groups]]:
    """Yield runs of groups whose rows by draws fit into memory."""
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index))
    most = max(1, ENTRIES // predictor.size)
    first, counted = 0, predictor.design.likweights
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + most, side="right")))
        rows = order[start : ends[last - 1]]
        starts = np.concatenate([[start], ends[first : last - 1]]) - start
        loadings = np.einsum("rq,sqp->prs", columns[rows], roots)
        yield (
            slice(first, last),
            _Groups(
                predictor.family, predictor.phi, predictor.known(rows),
                None if counted is None else counted[rows, None], y[rows], predictor.rows(rows),
                loadings, starts,
            ),
        )  # fmt: skip
        first = last


def _enough(samples: list[_Groups], q: int) -> tuple[int, float]:
    """Return how many nodes are enough for some draws, and by how much twice as many differ."""
    modes = [_modes(groups) for groups in samples]

    def values(nodes: int) -> Floats:
        found = [_integrate(one, *at, nodes) for one, at in zip(samples, modes, strict=True)]
        return np.concatenate(found)

    return enough_nodes(NODES[q], values)


def enough_nodes(ladder: Sequence[int], values: Callable[[int], Floats]) -> tuple[int, float]:
    """Return the first number of nodes whose values the next one changes little, and by how much.

    Parameters
    ----------
    ladder : sequence of int
        Numbers of nodes, each about twice the one before.
    values : callable
        Number of nodes -> log-densities.

    Returns
    -------
    nodes : int
        The last of the ladder where none is enough.
    error : float
        Largest change; `TOLERANCE` or more where none is enough.
    """
    fewer, error = values(ladder[0]), np.inf
    for nodes, twice in pairwise(ladder):
        more = values(twice)
        error = float(np.abs(more - fewer).max())
        if error < TOLERANCE:
            return nodes, error
        fewer = more
    return ladder[-1], error


def _modes(groups: _Groups) -> tuple[Floats, Floats]:
    """Return each group's mode (q, groups, s) and curvature there, by Newton's method."""
    q, _, s = groups.loadings.shape
    effects = np.zeros((q, len(groups.starts), s))
    value, gradient, curvature = groups.local(effects)
    share = np.ones_like(value)
    for _ in range(STEPS):
        step = share * _solved(curvature, gradient)
        if np.abs(step).max() < SETTLED:
            break
        trial = effects + np.clip(step, -FARTHEST, FARTHEST)
        found = groups.local(trial)
        better = found[0] >= value - 1e-9 * np.abs(value)
        effects = np.where(better, trial, effects)
        value = np.where(better, found[0], value)
        gradient = np.where(better, found[1], gradient)
        curvature = np.where(better, found[2], curvature)
        share = np.where(better, 1.0, 0.25 * share)
    return effects, curvature


def _solved(curvature: Floats, gradient: Floats) -> Floats:
    """Solve (q, q, ...) x = (q, ...) for every group and draw."""
    solved = np.linalg.solve(np.moveaxis(curvature, (0, 1), (-2, -1)), _last(gradient)[..., None])
    return np.moveaxis(solved[..., 0], -1, 0)


def _last(values: Floats) -> Floats:
    return np.moveaxis(values, 0, -1)


def _integrate(groups: _Groups, modes: Floats, curvature: Floats, nodes: int) -> Floats:
    """Sum over a grid of nodes in each column, shape (groups, s)."""
    q = len(modes)
    # H = R R' gives H^-1 = C C' with C = R'^-1.
    root = np.linalg.cholesky(np.moveaxis(curvature, (0, 1), (-2, -1)))
    scale = np.moveaxis(np.linalg.inv(np.swapaxes(root, -1, -2)), (-2, -1), (0, 1))
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    # The rule is for integrals against exp(-z^2 / 2), which is taken out again.
    logs = np.log(weights) + 0.5 * points**2 - 0.5 * np.log(2 * np.pi)
    total = np.full(modes.shape[1:], -np.inf)
    for place in product(range(nodes), repeat=q):
        at = points[list(place)]
        effects = modes + np.einsum("pq...,q->p...", scale, at)
        total = np.logaddexp(total, groups.joint(effects) + logs[list(place)].sum())
    return np.asarray(total - np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1))
