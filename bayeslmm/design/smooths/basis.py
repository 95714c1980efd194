r"""Spline bases of one variable, and the penalties on how much their curves bend.

A curve is :math:`f(x) = \sum_j B_j(x) \gamma_j` with the penalty :math:`\gamma' S \gamma`:

- ``"cr"``: natural cubic splines by their values at the knots, :math:`\int f''(x)^2 dx`
- ``"cc"``: the same for curves whose ends meet with value and first two derivatives
- ``"ps"``: cubic B-splines on evenly spaced knots, the sum of squared second differences

References
----------
Wood, S. N. (2017). Generalized Additive Models: An Introduction with R, 2nd ed., section 5.3.
doi:10.1201/9781315370279
Eilers, P. H. C. & Marx, B. D. (1996). Flexible smoothing with B-splines and penalties. Statistical
Science 11(2). doi:10.1214/ss/1038425655
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

_DEGREE = 3
# mgcv's margin of a P-spline beside the data, of their range.
_MARGIN = 1e-3


def place_knots(kind: str, x: Floats, k: int, ends: tuple[float, ...] = ()) -> Floats:
    """Compute the knots that data suggest, as mgcv does.

    Parameters
    ----------
    kind : {"cr", "cc", "ps"}
        The basis.
    x : ndarray, shape (n,)
        The variable.
    k : int
        Size of the basis.
    ends : tuple of float
        The first and the last knot where they are given, or all knots of ``"cr"`` and ``"cc"``.

    Returns
    -------
    ndarray
        Quantiles of the distinct values, shape (k,); evenly spaced for ``"ps"``, shape (k + 4,).

    Examples
    --------
    >>> place_knots("cr", np.array([0.0, 0.0, 1.0, 2.0, 9.0]), 3)
    array([0. , 1.5, 9. ])
    >>> place_knots("ps", np.array([0.0, 3.0]), 5, (0.0, 4.0))
    array([-6., -4., -2.,  0.,  2.,  4.,  6.,  8., 10.])
    """
    if len(ends) > 2:
        return np.array(ends)
    if kind != "ps":
        places = np.unique(np.concatenate([x, ends]))
        return np.asarray(np.quantile(places, np.linspace(0.0, 1.0, k)), dtype=np.float64)
    low, high = ends or (float(x.min()), float(x.max()))
    margin = 0.0 if ends else _MARGIN * (high - low)
    low, high = low - margin, high + margin
    step = (high - low) / (k - _DEGREE)
    return np.asarray(low + step * np.arange(-_DEGREE, k + 1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SplineBasis:
    """The functions B_j of a smooth, j = 1, ..., k; of ``"cc"`` one less than knots.

    Attributes
    ----------
    kind : {"cr", "cc", "ps"}
        Which functions.
    knots : ndarray
        See `place_knots`.

    Examples
    --------
    >>> basis = SplineBasis("cr", np.array([0.0, 1.0, 2.0]))
    >>> basis.columns(np.array([1.0, 2.0, 3.0]))  # beyond the last knot a straight line goes on
    array([[ 0.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  1.  ],
           [ 0.25, -1.5 ,  2.25]])
    """

    kind: str
    knots: Floats

    @property
    def cyclic(self) -> bool:
        """Whether the curves' ends meet."""
        return self.kind == "cc"

    @property
    def low(self) -> float:
        """Where the curves begin, before which they are straight lines."""
        return float(self.knots[_DEGREE if self.kind == "ps" else 0])

    @property
    def high(self) -> float:
        """Where they end."""
        return float(self.knots[-_DEGREE - 1 if self.kind == "ps" else -1])

    @cached_property
    def _spline(self) -> scipy.interpolate.BSpline | scipy.interpolate.CubicSpline:
        if self.kind == "ps":
            return scipy.interpolate.BSpline(
                self.knots, np.eye(len(self.knots) - _DEGREE - 1), _DEGREE
            )
        if self.cyclic:
            values = np.eye(len(self.knots) - 1)
            return scipy.interpolate.CubicSpline(
                self.knots, np.vstack([values, values[:1]]), bc_type="periodic"
            )
        return scipy.interpolate.CubicSpline(self.knots, np.eye(len(self.knots)), bc_type="natural")

    def columns(self, x: Floats, derivative: int = 0) -> Floats:
        """Compute B_j(x), or a derivative of it.

        Parameters
        ----------
        x : ndarray, shape (n,)
            Where; beyond the ends curves go on as straight lines, those of ``"cc"`` repeat.
        derivative : {0, 1, 2}
            Of which order.

        Returns
        -------
        ndarray, shape (n, k)
        """
        if self.cyclic:
            period = self.high - self.low
            return np.asarray(self._spline(self.low + np.mod(x - self.low, period), derivative))
        inside = np.clip(x, self.low, self.high)
        values = np.asarray(self._spline(inside, derivative))
        beyond = (x - inside)[:, None]
        if derivative == 0:
            values += beyond * self._spline(inside, 1)
        elif derivative > 1:
            values[beyond[:, 0] != 0.0] = 0.0
        return values

    @cached_property
    def root(self) -> Floats:
        """A matrix R with R'R proportional to the penalty S, shape (any, k).

        Factors do not matter, since the curve's sd stands for them: lengths are in units of the
        knots' range.
        """
        if self.kind == "ps":
            return np.diff(np.eye(len(self.knots) - _DEGREE - 1), n=2, axis=0)
        # f'' is linear between knots, so that the integral of its square is exact with the masses
        # of linear finite elements.
        gaps = np.diff(self.knots) / (self.high - self.low)
        mass = np.diag(np.concatenate([gaps, [0.0]]) + np.concatenate([[0.0], gaps])) / 3.0
        mass += (np.diag(gaps, 1) + np.diag(gaps, -1)) / 6.0
        bends = self._spline(self.knots, 2) * (self.high - self.low) ** 2
        return np.asarray(np.linalg.cholesky(mass).T @ bends)

    @property
    def unpenalized(self) -> Floats:
        """Coefficients of the constant, and of the line x unless cyclic, shape (k, 1) or (k, 2)."""
        if self.cyclic:
            return np.ones((len(self.knots) - 1, 1))
        places = self.knots
        if self.kind == "ps":  # where B-splines have their centres of mass (Greville)
            places = np.lib.stride_tricks.sliding_window_view(self.knots[1:-1], _DEGREE).mean(
                axis=1
            )
        return np.column_stack([np.ones(len(places)), places])
