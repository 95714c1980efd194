"""The maximum of a likelihood whose effects are integrated out by quadrature or by Laplace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from bayeslmm import names
from bayeslmm.errors import ArgumentError, NumericalError
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.quadrature.enough_nodes import LADDERS, node_error
from bayeslmm.model.quadrature.level_rows import level_rows, why_not
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points
from bayeslmm.model.quadrature.start import fit_without_effects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design

# Differences over so much of a coordinate's unit, about its standard error.
_STEP, _HESSIAN_STEP = 1e-3, 0.05
# Where a family's parameters begin, the scale of residuals apart.
_FIRST = {"shape": 2.0, "phi": 10.0, "nu": 10.0}


@dataclass(frozen=True, eq=False)
class Maximum:
    """The maximum of a likelihood.

    Attributes
    ----------
    log_likelihood : float
        With every constant of the response's density.
    beta, errors : ndarray, shape (p,)
        Fixed effects on the original scale, and their standard errors from the observed information
        of all parameters.
    L : ndarray, shape (q, q)
        Lower triangular with non-negative diagonal, G = L L'.
    phi : mapping of str to float
        The family's parameters.
    n_nodes : int
        Nodes for each column; one is Laplace's approximation.
    node_error : float
        Change of the log-likelihood at the maximum when they become 2 K + 1; NaN for one.
    """

    log_likelihood: float
    beta: Floats
    errors: Floats
    L: Floats
    phi: Mapping[str, float]
    n_nodes: int
    node_error: float


def maximize_likelihood(design: Design, n_nodes: int | None = None) -> Maximum:
    r"""Maximise the likelihood of a generalised linear mixed model with one grouping factor.

    .. math:: \max_{\beta, G, \phi} \; \sum_j \log \int \prod_{r \in j}
              p(y_r \mid x_r' \beta + z_r' b_j + o_r, \phi) \, N(b_j; 0, G) \, db_j

    The fixed effects are arguments of the integral, as in glmer with ``nAGQ`` of one and more.

    Parameters
    ----------
    design : Design
        Rows, family, and one grouping factor of one or two columns.
    n_nodes : int, optional
        An odd number for each column; 1 for Laplace's approximation. If not given, as many as
        their doubling changes the maximum by less than 0.01.

    Returns
    -------
    Maximum

    Raises
    ------
    ArgumentError
        If the design has not one factor of one or two columns, or the number is even.
    NumericalError
        If no maximum is found.

    References
    ----------
    Pinheiro & Chao (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms for
    multilevel generalized linear mixed models. JCGS 15:58-81. doi:10.1198/106186006X96962

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = {"y": [0, 1, 1, 2, 3, 1, 0, 4, 6], "g": list("aaabbbccc")}
    >>> design = bl.build_design("y ~ 1 + (1 | g)", table, family="poisson")
    >>> maximize_likelihood(design).log_likelihood.__round__(3)
    -17.443
    """
    if why := why_not(design):
        raise ArgumentError(f"The likelihood cannot be integrated by quadrature: {why}.")
    if n_nodes is not None and not (n_nodes > 0 and n_nodes % 2):
        raise ArgumentError(f"n_nodes must be a positive odd number, not {n_nodes}.")
    q = len(design.factors[0].terms)
    for count in LADDERS[q] if n_nodes is None else (n_nodes,):
        search = _Search(design, count)
        x = search.climb()
        error = float("nan")
        if count > 1:
            error = node_error(search.likelihood, search.points(x[None])).error
        if error < 0.01:
            break
    return search.maximum(x, error)


class _Search:
    """Coordinates of everything in units of about their standard errors."""

    def __init__(self, design: Design, n_nodes: int) -> None:
        self.design, self.n_nodes = design, n_nodes
        self.family, q = design.family, len(design.factors[0].terms)
        has_intercept = design.coef[:1] == (names.INTERCEPT,)
        self.centers = design.X.mean(axis=0) if has_intercept else np.zeros(design.X.shape[1])
        self.likelihood = LevelLikelihood(level_rows(design, tuple(self.centers)), n_nodes)
        labels = np.empty(q, dtype=np.int64)
        for label, columns in enumerate(covariance_of(design.factors[0]).independent):
            labels[list(columns)] = label
        self.free = np.tril(labels[:, None] == labels[None, :])
        spread = float(design.gaussian_response.std()) or 1.0
        phi = [spread if p.name == names.SIGMA else _FIRST[p.name] for p in self.family.parameters]
        known = {p.name: value for p, value in zip(self.family.parameters, phi, strict=True)}
        rows = self.likelihood.rows
        X: Floats = design.X - self.centers
        if has_intercept:
            X[:, 0] = 1.0
        first = np.zeros(X.shape[1])
        first[:1] = self._intercept() if has_intercept else 0.0
        # Only so that coefficients without a maximum, as under separation, end somewhere.
        tiny = 1e-6 * X.var(axis=0)
        beta, errors = fit_without_effects(design, X, known, first, tiny)
        unit = spread if names.SIGMA in known else 1.0
        size = np.sqrt(np.mean(np.square(rows.Z), axis=0))
        L = np.where(self.free, 0.3 * unit / size[:, None], 0.0)
        self.first = np.concatenate([
            (np.tril(L) * np.eye(q) * 1.5)[self.free], np.log(phi), beta
        ])  # fmt: skip
        self.units = np.concatenate(
            [L[self.free], np.full(len(phi), 0.3), np.maximum(errors, 1e-12)]
        )
        self.first /= self.units

    def _intercept(self) -> float:
        y, family = self.design.gaussian_response, self.family
        if family.gaussian_scale is not None:
            return float(y.mean())
        trials = 1.0 if self.design.trials is None else self.design.trials
        share = float(np.sum(y) / np.sum(np.broadcast_to(trials, y.shape)))
        if family.name in ("bernoulli", "binomial", "beta"):
            share = min(max(share, 0.01), 0.99)
        elif family.link.name == "log":
            share = max(share, 0.01)
        return float(family.link.link(np.array(share)))

    def points(self, x: Floats) -> Points:
        """Return what stands at coordinates, shape (s, k)."""
        values = x * self.units
        a = int(self.free.sum())
        b = a + len(self.family.parameters)
        L = np.zeros((len(x), *self.free.shape))
        L[:, self.free] = values[:, :a]
        return Points(L, values[:, b:], np.exp(values[:, a:b]))

    def slope(self, x: Floats) -> tuple[float, Floats]:
        """Return minus the log-likelihood and its gradient."""
        if self.n_nodes == 1:
            k = len(x)
            steps = _STEP * np.concatenate([np.zeros((1, k)), np.eye(k), -np.eye(k)])
            values = self.likelihood.values(self.points(x + steps))
            return -values[0], -(values[1 : k + 1] - values[k + 1 :]) / (2.0 * _STEP)
        points = self.points(x[None])
        value, slopes = self.likelihood.value_and_slopes(points)
        gradient = np.concatenate([slopes.L[self.free], slopes.phi * points.phi[0], slopes.beta])
        return -value, -gradient * self.units

    def climb(self) -> Floats:
        def descend(x: Floats) -> tuple[float, Floats]:
            with np.errstate(all="ignore"):
                value, gradient = self.slope(x)
            good = np.isfinite(value) and np.isfinite(gradient).all()
            return (value, gradient) if good else (1e100, np.zeros_like(x))

        x = self.first
        for _ in range(2):
            # Anew from where the first one stopped: its curvature is forgotten.
            x = minimize(
                descend, x, jac=True, method="L-BFGS-B",
                options={"ftol": 1e-13, "gtol": 1e-6, "maxiter": 500, "maxcor": 30},
            ).x  # fmt: skip
        if not np.isfinite(self.slope(x)[0]):
            raise NumericalError("No maximum of the likelihood was found: it is nowhere finite.")
        return np.asarray(x)

    def maximum(self, x: Floats, error: float) -> Maximum:
        hessian = np.empty((len(x), len(x)))
        for k in range(len(x)):
            step = np.zeros(len(x))
            step[k] = _HESSIAN_STEP
            rise = self.slope(x + step)[1] - self.slope(x - step)[1]
            hessian[k] = rise / (2.0 * _HESSIAN_STEP)
        covariance = np.linalg.pinv(0.5 * (hessian + hessian.T)) * np.outer(self.units, self.units)
        points = self.points(x[None])
        p = points.beta.shape[1]
        turn = np.eye(p)
        if p and self.design.coef[0] == names.INTERCEPT:
            turn[0, 1:] -= self.centers[1:]
        L = points.L[0]
        # Signs of columns do not matter.
        L = L * np.where(np.diag(L) < 0.0, -1.0, 1.0)
        value = float(self.likelihood.values(points)[0])
        if self.family.name == "lognormal":
            value -= float(np.log(self.design.y).sum())
        variance = np.diag(turn @ covariance[-p:, -p:] @ turn.T) if p else np.zeros(0)
        return Maximum(
            value,
            turn @ points.beta[0],
            np.sqrt(np.maximum(variance, 0.0)),
            L,
            {q.name: float(v) for q, v in zip(self.family.parameters, points.phi[0], strict=True)},
            self.n_nodes,
            error,
        )
