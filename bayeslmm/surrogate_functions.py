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

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.interpolate import RBFInterpolator

from bayeslmm.gram.likelihood import unpack_factors
from bayeslmm.reduced import Reduced

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


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
        The sum of q (q + 1) / 2 over correlated blocks of q columns.

    Examples
    --------
    >>> from bayeslmm.design.design import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> coordinates = FactorCoordinates(Gram.from_design(design))
    >>> coordinates(np.array([[0.0], [1.0]])).round(6)  # 0, and log(1 + 2) / 2
    array([[0.      ],
           [0.549306]])
    """

    def __init__(self, gram: Gram) -> None:
        self._gram = gram
        self._blocks = []
        for k, factor in enumerate(gram.factors):
            average = factor.scale.T @ factor.within.mean(axis=0) @ factor.scale
            for block in factor.blocks:
                size, axes = np.linalg.eigh(average[np.ix_(block, block)])
                root = axes * np.sqrt(np.maximum(size, 0.0))
                self._blocks.append((k, list(block), root))
        self.n_coordinates = sum(len(b) * (len(b) + 1) // 2 for _, b, _ in self._blocks)

    def __call__(self, packed: Floats) -> Floats:
        """Give the coordinates of packed relative factors.

        Parameters
        ----------
        packed : ndarray, shape (s, n_lambda)
            As `elimination.pack_factors` lays them out.

        Returns
        -------
        ndarray, shape (s, n_coordinates)
        """
        factors, columns = unpack_factors(self._gram, packed), []
        for k, block, root in self._blocks:
            lam = factors[k][:, block][:, :, block]
            turned = np.swapaxes(lam, 1, 2) @ root
            size, axes = np.linalg.eigh(np.swapaxes(turned, 1, 2) @ turned)
            logs = 0.5 * np.log1p(np.maximum(size, 0.0))
            matrix = (axes * logs[:, None, :]) @ np.swapaxes(axes, 1, 2)
            rows, cols = np.tril_indices(len(block))
            # The root of two makes distances those between matrices.
            columns.append(matrix[:, rows, cols] * np.where(rows == cols, 1.0, np.sqrt(2.0)))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(packed), 0))


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
    """

    def __init__(self, points: Floats, weights: Floats) -> None:
        share = weights / weights.sum()
        self._mean = share @ points
        away = points - self._mean
        size, axes = np.linalg.eigh((away * share[:, None]).T @ away)
        kept = size > _FLAT * size[-1]
        self._map = axes[:, kept] / np.sqrt(size[kept])

    def __call__(self, points: Floats) -> Floats:
        """Give the whitened coordinates, shape (s, directions that are not flat)."""
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
        self._interpolate = RBFInterpolator(
            points, values - self._level, kernel=kernel, degree=TREND
        )

    def __call__(self, points: Floats) -> Reduced:
        """Interpolate at whitened coordinates, shape (s, d)."""
        values = np.empty((len(points), len(self._level)))
        for first in range(0, len(points), _ROWS):
            some = slice(first, first + _ROWS)
            values[some] = self._interpolate(points[some])
        return from_smooth(values + self._level)
