r"""`SmoothTransformation`: a penalised basis as a straight line and independent departures from it.

A smooth with penalty :math:`\lambda \gamma' S \gamma` is a mixed model: with
:math:`\gamma = C \alpha + T u`, C the curves that are not penalised and :math:`T' S T = I / c^2`,

.. math:: f(x) = \alpha_0 + \alpha_1 (x - \bar{x}) + \sum_j Z_j(x) u_j, \quad Z = B T,
          \quad u_j \sim N(0, s^2), \quad \lambda \propto \sigma^2 / s^2 .

T and c are chosen by the training rows, which changes no fitted curve: the columns Z are orthogonal
to each other, to the constant and to x over the rows, the smoothest first, and the mean over the
rows of :math:`\sum_j Z_j(x_i)^2` is 1. So s is the standard deviation of the curve's departures
from its line over the rows, in the response's unit.

References
----------
Wood, S. N. (2017). Generalized Additive Models: An Introduction with R, 2nd ed., section 5.8.
doi:10.1201/9781315370279
Demmler, A. & Reinsch, C. (1975). Oscillation matrices with spline smoothing. Numerische Mathematik
24. doi:10.1007/BF01437406
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayeslmm.design.smooths.basis import SplineBasis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats


@dataclass(frozen=True, eq=False)
class SmoothTransformation:
    """A smooth's basis and how the training rows turned it.

    Attributes
    ----------
    basis : SplineBasis
        The functions.
    turn : ndarray, shape (k, q)
        T.
    center : float
        The mean of x over the training rows.
    reach : tuple of float
        Smallest and largest x of the training rows.

    Examples
    --------
    >>> x = np.linspace(0.0, 1.0, 50)
    >>> smooth = SmoothTransformation.of(SplineBasis("cr", np.linspace(0.0, 1.0, 6)), x)
    >>> Z = smooth.penalized(x)
    >>> Z.shape, float((Z**2).sum(axis=1).mean().round(12)), bool(abs(Z.T @ x).max() < 1e-12)
    ((50, 4), 1.0, True)
    """

    basis: SplineBasis
    turn: Floats
    center: float
    reach: tuple[float, float]

    @classmethod
    def of(cls, basis: SplineBasis, x: Floats) -> Self:
        """Compute the transformation from the training rows' x, shape (n,)."""
        _, roughness, turned = np.linalg.svd(basis.root)
        free = basis.unpenalized
        n_penalized = len(free) - free.shape[1]
        turn = turned[:n_penalized].T / roughness[:n_penalized]
        B, center = basis.columns(x), float(x.mean())
        if free.shape[1] > 1:  # of numbers such as years the line is taken about its middle
            free = np.column_stack([free[:, 0], free[:, 1] - center])
        for _ in range(2):  # once more, for what rounding left
            turn = turn - free @ np.linalg.lstsq(B @ free, B @ turn, rcond=None)[0]
        _, size, axes = np.linalg.svd(B @ turn, full_matrices=False)
        turn = turn @ axes.T / np.sqrt(np.sum(size**2) / len(x))
        largest = np.take_along_axis(turn, np.abs(turn).argmax(axis=0)[None], axis=0)
        return cls(basis, turn * np.sign(largest), center, (float(x.min()), float(x.max())))

    @property
    def straight(self) -> bool:
        """Whether straight lines are among the curves, without penalty."""
        return not self.basis.cyclic

    def penalized(self, x: Floats, derivative: int = 0) -> Floats:
        """Compute the columns Z(x) or their derivatives, shape (n, q)."""
        return self.basis.columns(x, derivative) @ self.turn

    def line(self, x: Floats, derivative: int = 0) -> Floats:
        """Compute x less its mean over the training rows, or a derivative of it, shape (n,)."""
        return x - self.center if derivative == 0 else np.full(len(x), float(derivative == 1))

    def plain(self) -> dict[str, Any]:
        """Return what `of_plain` takes: numbers and arrays."""
        return {
            "basis": self.basis.kind,
            "knots": self.basis.knots,
            "turn": self.turn,
            "center": self.center,
            "reach": list(self.reach),
        }

    @classmethod
    def of_plain(cls, held: Mapping[str, Any]) -> Self:
        """Return the transformation that `plain` wrote."""
        low, high = held["reach"]
        basis = SplineBasis(str(held["basis"]), np.asarray(held["knots"], dtype=np.float64))
        return cls(basis, np.asarray(held["turn"]), float(held["center"]), (low, high))
