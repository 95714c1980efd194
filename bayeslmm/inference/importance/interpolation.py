"""Smooth stand-ins for log|V| and T as functions of the relative factors.

Both are smooth functions of the relative covariances Sigma_k = Lambda_k Lambda_k', down to zero
variances and correlations of one, where logarithms of standard deviations run away. So each
correlated block enters by the entries of

    1/2 log(I + C'Sigma C),    C C' = average of Z_i'Z_i over the levels,

a matrix logarithm: of one column 1/2 log(1 + n lambda^2), like Sigma itself near zero and like
log lambda far from it. T enters by its Cholesky factor with logarithms of the diagonal, so that
whatever is interpolated stays positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy
from scipy.special import logsumexp

from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.gram.reduction import Reduced
from bayeslmm.model.covariance.block_covariance import covariance_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

    Places = NDArray[np.intp]


# Curvature of the cloud of points below this share of the largest is no direction of its own.
_FLAT = 1e-10
Kernel = Literal["quintic", "cubic"]
# r^5: on InstEval's functions a tenth of the error of r^3.
KERNEL: Kernel = "quintic"
# Degree of the polynomial trend; it has (d + 1)(d + 2) / 2 coefficients.
TREND = 2
# Rows evaluated at a time, so that distances to all nodes fit in some tens of megabytes.
_ROWS = 8192


class FactorCoordinates:
    r"""Smooth coordinates of relative factors.

    .. math:: \tfrac12 \log(I + C' \Lambda \Lambda' C), \quad
              C C' = \frac1m \sum_i Z_i' Z_i

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Attributes
    ----------
    n_coordinates : int
        The sum of q (q + 1) / 2 over sets of q correlated columns.
    n_parameters : int
        Standard deviations, and numbers from which correlations follow.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> coordinates = FactorCoordinates(Gram.from_design(design))
    >>> coordinates(np.array([[0.0], [1.0]])).round(6)  # 0, and log(1 + 2) / 2
    array([[0.      ],
           [0.549306]])
    """

    def __init__(self, gram: Gram) -> None:
        self._gram = gram
        self._sets = []
        for k, factor in enumerate(gram.factors):
            average = factor.scale.T @ factor.within.mean(axis=0) @ factor.scale
            for columns in covariance_of(factor).independent:
                size, axes = np.linalg.eigh(average[np.ix_(columns, columns)])
                root = axes * np.sqrt(np.maximum(size, 0.0))
                self._sets.append((k, list(columns), root))
        covariances = [covariance_of(factor) for factor in gram.factors]
        self.n_parameters = sum(own.n_sds + own.n_partials for own in covariances)
        self.n_coordinates = sum(own.n_theta for own in covariances)

    def __call__(self, packed: Floats) -> Floats:
        """Return the coordinates of packed relative factors.

        Parameters
        ----------
        packed : ndarray, shape (s, n_lambda)
            As `likelihood.pack_factors` lays them out.

        Returns
        -------
        ndarray, shape (s, n_coordinates)
        """
        factors, coordinates = unpack_factors(self._gram, packed), []
        for k, columns, root in self._sets:
            lam = factors[k][:, columns][:, :, columns]
            turned = np.swapaxes(lam, 1, 2) @ root
            size, axes = np.linalg.eigh(np.swapaxes(turned, 1, 2) @ turned)
            logs = 0.5 * np.log1p(np.maximum(size, 0.0))
            matrix = (axes * logs[:, None, :]) @ np.swapaxes(axes, 1, 2)
            rows, cols = np.tril_indices(len(columns))
            # The root of two makes distances those between matrices.
            coordinates.append(matrix[:, rows, cols] * np.where(rows == cols, 1.0, np.sqrt(2.0)))
        return np.concatenate(coordinates, axis=1) if coordinates else np.zeros((len(packed), 0))


def to_smooth(reduced: Reduced) -> Floats:
    """Write log|V| and T as unconstrained numbers: log|V|, then T's factor, logs on its diagonal.

    Parameters
    ----------
    reduced : Reduced
        Exact values.

    Returns
    -------
    ndarray, shape (s, 1 + w (w + 1) / 2)
        NaN where T is not positive definite.
    """
    w = reduced.cross.shape[1]
    rows, cols = np.tril_indices(w)
    factor = np.full(reduced.cross.shape, np.nan)
    for at, T in enumerate(reduced.cross):
        try:
            factor[at] = np.linalg.cholesky(T)
        except np.linalg.LinAlgError:
            continue
    diagonal = np.arange(w)
    factor[:, diagonal, diagonal] = np.log(factor[:, diagonal, diagonal])
    return np.column_stack([reduced.logdet, factor[:, rows, cols]])


def from_smooth(values: Floats) -> Reduced:
    """Undo `to_smooth`.

    Parameters
    ----------
    values : ndarray, shape (s, 1 + w (w + 1) / 2)
        Any real numbers.

    Returns
    -------
    Reduced
        With T positive definite.

    Examples
    --------
    >>> once = Reduced(np.array([1.5]), np.array([[[4.0, 2.0], [2.0, 3.0]]]))
    >>> again = from_smooth(to_smooth(once))
    >>> again.cross.round(12)
    array([[[4., 2.],
            [2., 3.]]])
    """
    w = int(np.sqrt(2 * values.shape[1]) - 0.5)
    rows, cols = np.tril_indices(w)
    factor = np.zeros((len(values), w, w))
    factor[:, rows, cols] = values[:, 1:]
    diagonal = np.arange(w)
    factor[:, diagonal, diagonal] = np.exp(factor[:, diagonal, diagonal])
    return Reduced(np.ascontiguousarray(values[:, 0]), factor @ np.swapaxes(factor, 1, 2))


class Whitening:
    """A linear map under which a weighted cloud of points has mean zero and unit covariance.

    Parameters
    ----------
    points : ndarray, shape (s, d)
        The cloud.
    weights : ndarray, shape (s,)
        Its weights; they need not sum to one.
    most : int, optional
        Directions at most, those in which it is widest.
    """

    def __init__(self, points: Floats, weights: Floats, most: int | None = None) -> None:
        share = weights / weights.sum()
        self._mean = share @ points
        away = points - self._mean
        size, axes = np.linalg.eigh((away * share[:, None]).T @ away)
        kept = size > _FLAT * size[-1]
        kept[: max(0, len(size) - (most or len(size)))] = False
        self._map = axes[:, kept] / np.sqrt(size[kept])

    def __call__(self, points: Floats) -> Floats:
        """Return the whitened coordinates, shape (s, directions that are not flat)."""
        return np.asarray((points - self._mean) @ self._map)


class SmoothReduction:
    """Radial basis functions with a quadratic trend through exact values of log|V| and T.

    Parameters
    ----------
    points : ndarray, shape (n, d)
        Whitened coordinates of the nodes, no two of them equal.
    exact : Reduced
        The values there.
    kernel : {"quintic", "cubic"}
        The radial function, by SciPy's name.

    References
    ----------
    Wendland (2004). Scattered Data Approximation, chapter 8. doi:10.1017/CBO9780511617539
    """

    def __init__(self, points: Floats, exact: Reduced, kernel: Kernel = KERNEL) -> None:
        values = to_smooth(exact)
        # The largest numbers (log|V| is thousands) would cost digits of what varies.
        self._level = values.mean(axis=0)
        self._interpolate = scipy.interpolate.RBFInterpolator(
            points, values - self._level, kernel=kernel, degree=TREND
        )

    def __call__(self, points: Floats) -> Reduced:
        """Interpolate at whitened coordinates, shape (s, d)."""
        values = np.empty((len(points), len(self._level)))
        for first in range(0, len(points), _ROWS):
            some = slice(first, first + _ROWS)
            values[some] = self._interpolate(points[some])
        return from_smooth(values + self._level)


# First nodes cover a ball of this radius, in standard deviations of the proposal.
_RADIUS = 3.0
# Extrapolation is trusted up to this times the distance of the outermost node.
BEYOND = 1.15


@dataclass(frozen=True)
class Effort:
    """How many exact values an interpolation takes.

    Attributes
    ----------
    spare, share : int and float
        First nodes: so many, and so many times the coefficients of a quadratic trend.
    checks : int
        Fresh values a round that are compared with the interpolation.
    bound : float
        Their standard deviation times this is its upper 95 % bound: the root of dof over the
        chi-square distribution's 5 % point.
    scouts : int
        Beside them, where the interpolation sees little mass, in case there is more.
    by_parameters : bool
        Whether to interpolate in no more directions than the relative covariances have parameters:
        where correlations follow from few numbers, their entries lie near such a plane.
    """

    spare: int
    share: float
    checks: int
    bound: float
    scouts: int
    by_parameters: bool = False

    @property
    def a_round(self) -> int:
        """Exact values a round of checks takes."""
        return self.checks + self.scouts


USUAL = Effort(spare=8, share=2.0, checks=16, bound=1.44, scouts=4)
# Where one value takes a second, and its two parts are as smooth as those of many levels are.
SPARING = Effort(spare=3, share=1.5, checks=8, bound=1.80, scouts=2, by_parameters=True)


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

    def __init__(
        self,
        gram: Gram,
        candidates: Floats,
        reduce: Callable[[Floats], Reduced],
        effort: Effort = USUAL,
    ) -> None:
        self._candidates, self._reduce, self._effort = candidates, reduce, effort
        self.coordinates = FactorCoordinates(gram)
        self._points = self.coordinates(candidates)
        most = self.coordinates.n_parameters if effort.by_parameters else self._points.shape[1]
        self._most = min(most, self._points.shape[1])
        self.all = np.arange(len(candidates))
        self.used = np.zeros(len(candidates), bool)
        self.n_exact = 0
        self.whitening = Whitening(self._points, np.ones(len(candidates)), self._most)
        self._nodes: list[np.intp] = []
        self._exact: list[Reduced] = []
        self._inside = np.ones(len(candidates), bool)

    @property
    def _n_trend(self) -> int:
        d = self._most
        return int((d + 1) * (d + 2) // 2)

    @property
    def n_first(self) -> int:
        """How many first nodes there are."""
        return int(self._effort.spare + self._effort.share * self._n_trend)

    @property
    def can_interpolate(self) -> bool:
        """Whether there are nodes enough for the quadratic trend."""
        return len(self._nodes) > max(self.n_first // 2, self._n_trend)

    def start(self) -> None:
        """Evaluate first nodes: spread evenly over a ball around the proposal's centre."""
        points = self.whitening(self._points)
        radius = np.linalg.norm(points, axis=1)
        places = spread(points, radius <= _RADIUS, self.n_first)
        self.evaluate(places)
        self._inside = radius <= BEYOND * radius[places].max()

    def within_reach(self, rounds: int) -> NDArray[np.bool_]:
        """Return which candidates may be chosen: at first none that would be extrapolated to."""
        return self._inside if rounds < 2 else np.ones(len(self.all), bool)

    def evaluate(self, places: Places) -> Reduced:
        """Evaluate candidates exactly, and make them nodes where that succeeds."""
        exact = self._reduce(self._candidates[places])
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
        """Return the whitened distance up to which there are nodes, and a little more."""
        points = self.whitening(self._points[np.array(self._nodes)])
        return BEYOND * float(np.linalg.norm(points, axis=1).max())

    def whiten(self, log_weights: Floats) -> None:
        """Measure distances from now on by the posterior's covariance."""
        weights = np.exp(log_weights - logsumexp(log_weights))
        # A handful of candidates with all the weight says too little about a covariance.
        if 1.0 / np.sum(weights**2) > 10.0 * self._points.shape[1]:
            self.whitening = Whitening(self._points, weights, self._most)


def spread(points: Floats, allowed: NDArray[np.bool_], count: int) -> Places:
    """Choose points one by one, each farthest from those before, from the most central on."""
    chosen = [int(np.argmin(np.linalg.norm(points, axis=1)))]
    distance = np.where(allowed, np.inf, -1.0)
    for _ in range(min(count, int(allowed.sum())) - 1):
        new = np.linalg.norm(points - points[chosen[-1]], axis=1)
        distance = np.minimum(distance, new)
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen, dtype=np.intp)
