"""Correlations that depend on the distance of columns alone: AR(1), OU and Toeplitz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.model.covariance.autocorrelation import autocorrelations
from bayeslmm.model.covariance.of_matrix import OfMatrix, OfSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats


# Pivots of a matrix that rounds to a singular one.
_SMALLEST = 1e-24


def _markov(rho: Any, positions: NDArray[Any]) -> Any:
    r"""Compute C of a process without memory beyond its last value, shape (..., q, q).

    .. math:: C_{i0} = \rho^{t_i - t_0}, \qquad
              C_{ij} = \rho^{t_i - t_j} \sqrt{1 - \rho^{2 (t_j - t_{j-1})}}, \; j > 0

    Parameters
    ----------
    rho : ndarray or tensor, shape (..., 1, 1)
        The correlation over one unit.
    positions : ndarray, shape (q,)
        t, ascending; whole numbers where rho may be negative.
    """
    lower = np.tril(np.ones((len(positions),) * 2))
    lags = np.tril(positions[:, None] - positions)
    steps = np.diff(positions, prepend=positions[0])
    first = np.zeros(len(positions))
    first[0] = 1.0
    fresh = (1.0 + first - rho ** (2 * steps)) ** 0.5
    return lower * rho**lags * fresh


@dataclass(frozen=True)
class _AlongAnAxis(OfMatrix):
    """Columns at positions, ascending."""

    positions: tuple[float, ...]

    @property
    def n_columns(self) -> int:
        """q, the number of positions."""
        return len(self.positions)


@dataclass(frozen=True)
class Autoregressive(_AlongAnAxis):
    r"""Correlations that fall by one factor a step: the term ``ar1(0 + week | g)``.

    .. math:: R_{ij} = \rho^{|t_i - t_j|}, \qquad -1 < \rho < 1

    with whole positions t, whose gaps are kept. The partial is :math:`(1 + \rho) / 2`; under a
    concentration :math:`\eta` the density of :math:`\rho` is proportional to
    :math:`(1 - \rho^2)^{(q - 1)(\eta - 1)}`, which is :math:`|R|^{\eta - 1}` where positions
    follow each other: flat for :math:`\eta = 1`, LKJ for two columns.

    Attributes
    ----------
    positions : tuple of float, length q
        Whole numbers, ascending.

    Examples
    --------
    >>> C = Autoregressive((0.0, 1.0, 3.0)).unit_factor(np.array([0.75]))
    >>> (C @ C.T).round(12)
    array([[1.   , 0.5  , 0.125],
           [0.5  , 1.   , 0.25 ],
           [0.125, 0.25 , 1.   ]])
    """

    def unit_factor(self, partials: Any) -> Any:
        """Compute C, (..., 1) -> (..., q, q)."""
        return _markov(self.values(partials)[..., None], np.array(self.positions, np.int64))

    def values(self, partials: Any) -> Any:
        """Compute rho."""
        return 2.0 * partials - 1.0

    def near(self, corr: Floats) -> Floats:
        """Compute (1 + rho) / 2 from the correlation of the nearest two columns."""
        distances = np.subtract.outer(self.positions, self.positions)
        i, j = np.tril_indices(self.n_columns, -1)
        nearest = int(np.argmin(distances[i, j]))
        steps = int(distances[i, j].min())
        found = corr[..., i[nearest], j[nearest], None]
        return np.asarray((1.0 + np.sign(found) * np.abs(found) ** (1.0 / steps)) / 2.0)

    def partial_shapes(self, eta: float) -> Floats:
        """Return (q - 1) (eta - 1) + 1, twice."""
        shape = (self.n_columns - 1) * (eta - 1.0) + 1.0
        return np.array([[shape, shape]])


@dataclass(frozen=True)
class OrnsteinUhlenbeck(_AlongAnAxis):
    r"""Correlations that decay with time: the term ``ou(0 + time | g)``.

    .. math:: R_{ij} = \rho^{|t_i - t_j| / d}, \qquad 0 < \rho < 1

    with d the median gap of neighbouring positions, so that :math:`\rho` is the correlation over
    it. The partial is :math:`\rho` itself; under a concentration :math:`\eta` its density is
    proportional to :math:`(1 - \rho)^{(q - 1)(\eta - 1)}`: flat for :math:`\eta = 1`.

    Attributes
    ----------
    positions : tuple of float, length q
        Times, ascending.

    Examples
    --------
    >>> C = OrnsteinUhlenbeck((0.0, 2.0, 6.0)).unit_factor(np.array([0.5]))
    >>> (C @ C.T).round(3)
    array([[1.   , 0.63 , 0.25 ],
           [0.63 , 1.   , 0.397],
           [0.25 , 0.397, 1.   ]])
    """

    @property
    def gap(self) -> float:
        """The median gap d of neighbouring positions, in their unit."""
        return float(np.median(np.diff(self.positions)))

    def unit_factor(self, partials: Any) -> Any:
        """Compute C, (..., 1) -> (..., q, q)."""
        return _markov(partials[..., None], np.array(self.positions) / self.gap)

    def values(self, partials: Any) -> Any:
        """Return rho."""
        return partials

    def near(self, corr: Floats) -> Floats:
        """Compute rho from the correlation of the first two columns."""
        power = self.gap / (self.positions[1] - self.positions[0])
        return np.asarray(np.maximum(corr[..., 1, 0, None], 0.0) ** power)

    def partial_shapes(self, eta: float) -> Floats:
        """Return 1 and (q - 1) (eta - 1) + 1."""
        return np.array([[1.0, (self.n_columns - 1) * (eta - 1.0) + 1.0]])


@dataclass(frozen=True)
class Toeplitz(OfSize):
    r"""Any correlations by lag: the term ``toep(0 + f | g)``.

    .. math:: R_{ij} = r_{|i - j|}

    with r the autocorrelations of a process with partial autocorrelations
    :math:`\phi_1, \ldots, \phi_{q - 1}`, which reach every positive-definite Toeplitz matrix. The
    partials are :math:`(1 + \phi_k) / 2`; under a concentration :math:`\eta` the density of
    :math:`(r_1, \ldots)` is proportional to :math:`|R|^{\eta - 1}`, so that
    :math:`(1 + \phi_k) / 2 \sim Beta((q - k) \eta, (q - k) \eta)`, which is LKJ for two columns.

    Attributes
    ----------
    size : int
        q, two or more columns.

    Examples
    --------
    >>> C = Toeplitz(3).unit_factor(np.array([0.75, 0.5]))
    >>> (C @ C.T).round(12)
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    """

    @property
    def n_partials(self) -> int:
        """Q - 1."""
        return self.n_columns - 1

    @property
    def parameters(self) -> tuple[str, ...]:
        """None: the correlations by lag stand in the matrix."""
        return ()

    def unit_factor(self, partials: Any) -> Any:
        """Compute C, (..., q - 1) -> (..., q, q), of numbers."""
        R = self.matrix(partials)
        C = np.zeros_like(R)
        for j in range(self.size):
            rest = R[..., j:, j] - (C[..., j:, :j] * C[..., j, None, :j]).sum(axis=-1)
            square = rest[..., :1]
            pivot = np.where(square.real < _SMALLEST, _SMALLEST, square) ** 0.5
            C[..., j:, j] = rest / pivot
            C[..., j, j] = pivot[..., 0]
        return C

    def matrix(self, partials: Any) -> Any:
        """Compute R, (..., q - 1) -> (..., q, q)."""
        at = np.arange(self.n_columns)
        r = autocorrelations(self.values(partials), self.n_partials)
        return r[..., np.abs(at[:, None] - at)]

    def values(self, partials: Any) -> Any:
        """Compute the partial autocorrelations."""
        return 2.0 * partials - 1.0

    def near(self, corr: Floats) -> Floats:
        """Compute the partials of the mean correlations by lag, by Durbin and Levinson."""
        q = self.n_columns
        r = np.stack([corr.diagonal(-k, -2, -1).mean(axis=-1) for k in range(q)], axis=-1)
        phi, a = np.zeros((*corr.shape[:-2], q - 1)), np.zeros((*corr.shape[:-2], 0))
        for k in range(1, q):
            rest = r[..., k] - (a * r[..., k - 1 : 0 : -1]).sum(axis=-1)
            left = np.maximum(1.0 - (a * r[..., 1:k]).sum(axis=-1), np.finfo(np.float64).tiny)
            phi[..., k - 1] = np.clip(rest / left, -1.0, 1.0)
            last = phi[..., k - 1, None]
            a = np.concatenate([a - last * a[..., ::-1], last], axis=-1)
        return (1.0 + phi) / 2.0

    def partial_shapes(self, eta: float) -> Floats:
        """Return (q - k) eta for the k-th, twice."""
        shapes = eta * np.arange(self.n_columns - 1.0, 0.0, -1.0)
        return np.column_stack([shapes, shapes])
