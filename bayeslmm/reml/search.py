"""The search for the relative factors that minimise the profiled criterion.

The criterion is even in the sign of each column of Lambda, so the search runs without bounds: a
variance of zero is then an ordinary interior minimum, where a bound would be a corner in which
searches stop early. A set b of correlated columns has Lambda_b = R_b^-1 Theta_b with Theta_b lower
triangular and Z_b = Zs_b R_b in orthogonal columns of mean square one, so that the unit and the
origin of a slope's column do not matter to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.gram.likelihood import flat_prior, pack_factors, unpack_factors
from bayeslmm.kernels.densities import ML, REML, evaluate
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import (
    SINGULAR_TOLERANCE,
    lower_entries,
    lower_factor,
    theta_from_factor,
)
from bayeslmm.model.least_squares import all_parts, least_squares_left, residual_squares
from bayeslmm.reml.descent import ACCEPTABLE, descend, slope_differences, snap_to_zero
from bayeslmm.reml.quasi_newton import GOAL
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

    Scales = list[tuple[int, tuple[int, ...], Floats]]

# Work (multiplications) up to which curvature by differences is worth having.
CHEAP = 2e8
# What stands for an infinite criterion.
LARGEST = 1e100
# Guards a division where a column of the random effects is zero in every row.
TINY = 1e-300
# Variances between levels that are so many times the one within are where the search begins: from
# elsewhere its scaled variables are orders of magnitude off.
FAR = 400.0


@dataclass(frozen=True, eq=False)
class Search:
    """Where a search ended.

    Attributes
    ----------
    packed : ndarray, shape (n_lambda,)
        Relative factors, original coordinates; not lower triangular in general.
    criterion : float
        -2 log (restricted) likelihood there.
    sigma : float
        Residual standard deviation.
    singular : bool
        Whether some relative sd, given the columns before it and on the scale of orthogonal
        columns, is below 1e-4.
    converged : bool
        Whether a Newton step promises less than 1e-6.
    promise : float
        What it promises.
    n_evaluations : int
        Evaluations of the criterion, with or without its gradient.
    """

    packed: Floats
    criterion: float
    sigma: float
    singular: bool
    converged: bool
    promise: float
    n_evaluations: int


class Objective:
    """A criterion as a function of scaled search variables; counts its evaluations.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    kind : int
        One of the criteria of `densities.evaluate`.
    at, direction : float and ndarray of shape (p,), optional
        What is held, where the kind holds something.

    Attributes
    ----------
    basis : ndarray, shape (n_lambda, n_theta)
        packed Lambda = basis @ (step * x).
    diagonal : ndarray of bool, shape (n_theta,)
        Which variables are diagonal entries of some Theta.
    step : ndarray, shape (n_theta,)
        One over the root of the expected curvature at the start.
    start : ndarray, shape (n_theta,)
        Theta by the method of moments.
    expensive : bool
        Whether curvature by differences would take too long.
    """

    def __init__(
        self, gram: Gram, kind: int, at: float = 1.0, direction: Floats | None = None
    ) -> None:
        self.gram, self.kind, self.at = gram, kind, at
        self.direction, self.nothing = flat_prior(gram)
        if direction is not None:
            self.direction = direction
        scales = _scales(gram)
        self.basis, self.diagonal = _basis(gram, scales)
        self.start, curvature = _moments(gram, scales)
        self.step = 1.0 / np.sqrt(curvature)
        plan = gram.plan
        once = plan.n_border**3 + 20.0 * len(plan.floats)
        self.expensive = 2.0 * len(self.start) * once > CHEAP
        self.n_evaluations = 0
        self.sigma, self.last = np.nan, np.zeros(0)

    def __call__(self, x: Floats, gradient: bool = True) -> tuple[float, Floats]:
        """Evaluate at scaled variables; infinite values become a large number for SciPy."""
        self.n_evaluations += 1
        self.last = x
        packed, plan = self.basis @ (self.step * x), self.gram.plan
        value, d_packed, self.sigma = evaluate(
            plan.ints,
            plan.floats,
            packed,
            self.at,
            self.direction,
            self.nothing,
            self.kind,
            gradient,
        )
        return min(value, LARGEST), self.step * (self.basis.T @ d_packed)

    def curvature(self, x: Floats) -> Floats:
        """Compute second derivatives in the scaled variables."""
        return slope_differences(self, x)

    def locate(self, factors: Sequence[Floats]) -> Floats:
        """Find the scaled variables of given relative factors."""
        theta = [
            theta_from_factor(lower_factor(R @ factors[k][np.ix_(columns, columns)]))
            for k, columns, R in _scales(self.gram)
        ]
        return np.concatenate(theta) / self.step if theta else np.zeros(0)


def search_criterion(gram: Gram, *, restricted: bool) -> Search:
    """Minimise the profiled criterion over all relative factors.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    Search
        The minimum found, and how far it can be trusted.
    """
    with single_blas_thread():
        objective = Objective(gram, REML if restricted else ML)
        if not len(objective.start):
            value, _ = objective(objective.start)
            return Search(np.zeros(0), value, objective.sigma, False, True, 0.0, 1)
        x, value, promise = descend(objective, objective.start / objective.step)
        if promise > ACCEPTABLE or np.any(np.abs(x * objective.step)[objective.diagonal] < 0.01):
            # A doubtful end gets a second opinion from lme4's starting point.
            other = descend(objective, objective.diagonal / objective.step)
            if other[1] < value - GOAL:
                x, value, promise = other
        x, value = snap_to_zero(objective, x, value)
        if not np.array_equal(x, objective.last):  # sigma belongs to the last evaluation
            value, _ = objective(x, gradient=False)
    theta = objective.step * x
    return Search(
        packed=objective.basis @ theta,
        criterion=value,
        sigma=objective.sigma,
        singular=bool(np.any(np.abs(theta[objective.diagonal]) < SINGULAR_TOLERANCE)),
        converged=promise <= ACCEPTABLE,
        promise=promise,
        n_evaluations=objective.n_evaluations,
    )


def _scales(gram: Gram) -> Scales:
    """R_b for each set of columns: Z_b = Zs M_b, and Zs is orthonormal over all rows."""
    out = []
    for k, factor in enumerate(gram.factors):
        for columns in covariance_of(factor).independent:
            R = np.linalg.qr(factor.scale[:, list(columns)], mode="r")
            out.append((k, columns, R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]))
    return out


def _basis(gram: Gram, scales: Scales) -> tuple[Floats, NDArray[np.bool_]]:
    directions, diagonal = [], []
    for k, columns, R in scales:
        inverse = solve_triangular(R, np.eye(len(columns)))
        for row, col in zip(*lower_entries(len(columns)), strict=True):
            factors = [np.zeros((len(f.terms), len(f.terms))) for f in gram.factors]
            factors[k][list(columns), columns[col]] = inverse[:, row]
            directions.append(pack_factors(gram, factors))
            diagonal.append(row == col)
    basis = np.stack(directions, axis=1) if directions else np.zeros((0, 0))
    return basis, np.array(diagonal, dtype=bool)


def _moments(gram: Gram, scales: Scales) -> tuple[Floats, Floats]:
    """Start Theta's diagonals by moments; expected curvature of the criterion there.

    For least-squares residuals r and one column z, E sum_i (z_i'r)^2 is about
    sigma^2 sum_i a_i + v sum_i a_i^2 with a_i = z_i'z_i. The expected curvature in an entry
    (row, col) of Theta is 4 or 2 (off the diagonal) sum_i theta_c^2 a_ir a_ic / (D_ir D_ic) with
    D = 1 + theta^2 a, as for balanced data.
    """
    p, total = len(gram.coef), gram.cross[-1, -1] / gram.n
    weights, squares = [], []
    for k, columns, R in scales:
        factor = gram.factors[k]
        C = factor.scale[:, list(columns)] @ solve_triangular(R, np.eye(len(columns)))
        weights.append(np.einsum("ac,mab,bc->mc", C, factor.within, C))
        squares.append(np.sum((factor.with_fixed[:, :, p] @ C) ** 2, axis=0))
    variance = [np.zeros(a.shape[1]) for a in weights]
    residual = total
    for _ in range(5):
        variance = [
            np.maximum(
                (s - residual * a.sum(axis=0)) / np.maximum(np.sum(a * a, axis=0), TINY), 0.0
            )
            for a, s in zip(weights, squares, strict=True)
        ]
        residual = max(total - sum(float(v.sum()) for v in variance), 0.05 * total)
    if not weights:
        return np.zeros(0), np.zeros(0)
    highest = max(float(v.max()) for v in variance)
    within = _within(gram, highest / FAR)
    start, curvature = [], []
    for a, v in zip(weights, variance, strict=True):
        ratio = v / within
        theta = np.sqrt(np.where(ratio > FAR, ratio, np.clip(v / residual, 0.02, 20.0)))
        shrunk = a / (1.0 + theta**2 * a)
        rows, cols = lower_entries(len(v))
        start.append(np.where(rows == cols, theta[cols], 0.0))
        expected = theta[cols] ** 2 * np.sum(shrunk[:, rows] * shrunk[:, cols], axis=0)
        curvature.append(np.where(rows == cols, 4.0, 2.0) * expected)
    return np.concatenate(start), np.maximum(np.concatenate(curvature), 1e-8)


def _within(gram: Gram, enough: float) -> float:
    """Compute sigma^2 from what all effects leave of y; infinite where nothing, or enough."""
    parts = all_parts(gram)
    if least_squares_left(gram, parts) > enough * gram.n:
        return np.inf
    judged = residual_squares(gram, parts)
    if judged is None or judged[1] >= gram.n:
        return np.inf
    return max(judged[0] / (gram.n - judged[1]), TINY)


def lambda_factors(gram: Gram, packed: Floats) -> list[Floats]:
    """Split packed factors and bring each to lower-triangular form with a non-negative diagonal.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Any factors of the relative covariances.

    Returns
    -------
    list of ndarray, shapes (q, q)
        Lambda_k, zero where columns are uncorrelated.
    """
    out = []
    for factor, matrix in zip(gram.factors, unpack_factors(gram, packed), strict=True):
        lam = np.zeros_like(matrix)
        for columns in covariance_of(factor).independent:
            at = np.ix_(columns, columns)
            lam[at] = lower_factor(matrix[at])
        out.append(lam)
    return out
