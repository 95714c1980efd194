"""Laplace's approximation as lme4's `glmer` computes it, down to the iterate at which it stops.

As lme4 1.1-31 has it (src/external.cpp, R/modular.R): penalised iteratively reweighted least
squares end when the penalised deviance changes by less than 1e-7 of itself, and log|H| is that of
the weights before the last step, so that it belongs to other modes than the rest. Every evaluation
begins at the linear predictor where the first stage (nAGQ = 0, beta among the modes) ended.
"""

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import splu

TOL_PWRSS = 1e-7


class Glmer:
    """A model with intercepts by group only, and a canonical link; theta are the factors' sds.

    The first stage's search begins at the theta given.
    """

    def __init__(self, design, theta):
        self.design = design
        self.known = np.ones(design.n) if design.trials is None else design.trials
        self.binary = design.family.name in ("bernoulli", "binomial")
        self.sizes = [len(f.levels) for f in design.factors]
        rows = np.arange(design.n)
        self.Z = sparse.hstack(
            [sparse.csr_matrix((f.columns[:, 0], (rows, f.index))) for f in design.factors]
        ).tocsr()
        eta = design.family.link.link((design.y + 0.5) / (self.known + self.binary))
        search = minimize(
            lambda theta: -self._pirls(theta, eta)[0], theta, method="Nelder-Mead", tol=1e-5
        )
        self._start = self._pirls(search.x, eta)[1]

    def log_likelihood(self, theta, beta, tolerance=TOL_PWRSS):
        """What glmer reports at theta and beta."""
        return self._pirls(theta, self._start, self.design.X @ beta, tolerance)[0]

    def _pirls(self, theta, eta, fixed=None, tolerance=TOL_PWRSS):
        """The approximation, and the linear predictor; without fixed parts, beta is among u."""
        X = np.empty((self.design.n, 0)) if fixed is not None else self.design.X
        fixed = 0.0 if fixed is None else fixed
        scaled = self.Z @ sparse.diags(np.repeat(theta, self.sizes))
        before, best = np.inf, self._best()
        for _ in range(100):
            mean, weight = self._mean_and_weight(eta)
            W = sparse.diags(weight)
            H = splu((scaled.T @ W @ scaled + sparse.eye(scaled.shape[1])).tocsc())
            working = weight * (eta - fixed) + self.design.y - mean
            cross = scaled.T @ (W @ X)
            inner = X.T @ (W @ X) - cross.T @ H.solve(cross)
            right = X.T @ working - cross.T @ H.solve(scaled.T @ working)
            part = X @ np.linalg.solve(inner, right)
            u = H.solve(scaled.T @ (working - weight * part))
            eta = fixed + part + scaled @ u
            joint = self._log_density(eta) - 0.5 * u @ u
            deviance = 2.0 * (best - joint)
            if abs(before - deviance) < tolerance * deviance:
                return joint - 0.5 * np.log(np.abs(H.U.diagonal())).sum(), eta
            assert deviance < before, "glmer would halve the step"
            before = deviance
        raise AssertionError("no convergence")

    def _mean_and_weight(self, eta):
        mean = self.known * self.design.family.link.inverse(eta)
        return mean, mean * (1.0 - mean / self.known) if self.binary else mean

    def _log_density(self, eta):
        return self.design.family.log_density(self.design.y, eta, {}, self.design.known).sum()

    def _best(self):
        """The log-density of the saturated model, from which deviances are measured."""
        share = self.design.y / self.known
        share = np.clip(share, 1e-15, 1.0 - 1e-15 if self.binary else None)
        return self._log_density(self.design.family.link.link(share))
