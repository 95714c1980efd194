"""Densities with a residual structure: the package's, and the slow twin written out in full."""

import dense
import numpy as np
from scipy.stats import multivariate_normal

import bayeslmm as bl
from bayeslmm.gram.structured.structured_gram import StructuredGram
from bayeslmm.kernels.densities import DENSITY
from bayeslmm.kernels.structured.density import structured_density, structured_values
from bayeslmm.model.model import Model


class Twin:
    """A model with a residual structure, with random effects and a prior of beta at random."""

    def __init__(self, formula, table, seed=0, **residuals):
        rng = np.random.default_rng(seed)
        self.design = bl.build_design(formula, table, **residuals)
        self.model = Model.of(self.design)
        self.structure = self.model.structured_residual
        self.gram = StructuredGram.from_design(self.design, self.structure.records())
        widths = [f.columns.shape[1] for f in self.design.factors]
        self.factors = [np.tril(rng.normal(size=(q, q))) for q in widths]
        p = len(self.design.coef)
        self.mean, self.cov = rng.normal(size=p), np.diag(rng.uniform(1.0, 4.0, p))

    @property
    def packed(self):
        """L of all factors."""
        return np.concatenate([np.zeros(0), *(L.ravel() for L in self.factors)])

    def evaluate(self, point):
        """log p(y), and its gradient in phi and L, by the package."""
        phi, lam = np.split(np.asarray(point, dtype=float), [self.structure.size])
        c, logdet = self.structure.coefficients(phi[None])
        value, d_lam, d_floats, _, _ = structured_density(
            self.gram.plan.ints, self.gram.floats(c[0], float(logdet[0])), lam, np.zeros(0),
            self.mean, np.linalg.inv(self.cov), DENSITY,
        )  # fmt: skip
        d_phi = self.structure.pull_back(phi, *self.gram.pull_back(d_floats))
        return value, np.concatenate([d_phi, d_lam])

    def values(self, point, count=3):
        """log p(y) at a point by the compiled function of many points."""
        phi, lam = np.split(point, [self.structure.size])
        c, logdet = self.structure.coefficients(np.tile(phi, (count, 1)))
        return structured_values(
            self.gram.plan.ints, self.gram.head, self.gram.plan_bodies, c, logdet,
            np.tile(lam, (count, 1)), np.zeros((count, 0)), self.mean, np.linalg.inv(self.cov),
        )  # fmt: skip

    def differences(self, point):
        """The gradient by central differences of the package's values."""
        slopes = []
        for k, x in enumerate(point):
            step = np.zeros(len(point))
            step[k] = 1e-5 * max(1.0, abs(x))
            ends = [self.evaluate(point + step)[0], self.evaluate(point - step)[0]]
            slopes.append((ends[0] - ends[1]) / (2 * step[k]))
        return np.array(slopes)

    def dense(self, R):
        """log p(y) by the n-by-n normal distribution with residual covariance R."""
        V = R + self.design.X @ self.cov @ self.design.X.T
        for Z, L in zip(dense.random_columns(self.design), self.factors, strict=True):
            V = V + Z @ np.kron(np.eye(Z.shape[1] // len(L)), L @ L.T) @ Z.T
        return multivariate_normal(self.design.X @ self.mean, V).logpdf(dense.response(self.design))


def check(twin, phi, R):
    """Hold value and gradient against the n-by-n normal distribution and differences."""
    point = np.concatenate([phi, twin.packed])
    value, gradient = twin.evaluate(point)
    # Rounding of two n-by-n factorizations and of sums over a hundred rows.
    np.testing.assert_allclose(value, twin.dense(R), rtol=1e-9)
    np.testing.assert_allclose(twin.values(point), value, rtol=1e-12)
    # What central differences at 1e-5 leave.
    expected = twin.differences(point)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def check_matrix(twin, phi, R):
    """Hold the dense covariances of each group against R, and R's other groups against zero."""
    group, phi = twin.design.residual.group, np.asarray(phi, dtype=float)
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        found = twin.structure.covariance(phi[None], rows)[0]
        np.testing.assert_allclose(found, R[np.ix_(rows, rows)], rtol=1e-12, atol=1e-14)
    assert not R[group[:, None] != group].any()
    found = twin.structure.mean_variance(phi[None])[0]
    np.testing.assert_allclose(found, np.mean(np.diag(R)), rtol=1e-12)
