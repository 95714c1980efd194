"""The likelihood with random effects integrated out, against dense multivariate normals."""

import numpy as np
import pytest
import trees
from scipy.stats import multivariate_normal

from bayeslmm.design.build import build_design
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood_of_draws import marginal_log_likelihood

WEIGHTS = np.array([1.0, 2, 1, 3, 1, 1, 0.5, 2, 1])
TABLE = {**trees.TINY, "h": np.array(list("pqpqrrpqr"))}


def dense_covariance(design, roots, sigma):
    n = len(design.y)
    weights = np.ones(n) if design.weights is None else design.weights
    covariance = np.diag(sigma**2 / weights)
    for factor, root in zip(design.factors, roots, strict=True):
        q = len(factor.terms)
        Z = np.zeros((n, len(factor.levels) * q))
        for row, level in enumerate(factor.index):
            Z[row, level * q : (level + 1) * q] = factor.columns[row]
        covariance += Z @ np.kron(np.eye(len(factor.levels)), root @ root.T) @ Z.T
    return covariance


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + (1 | g) + (1 | h)",
        "y ~ 1 + (x | g) + (1 | h)",
        "y ~ 0 + (1 | g)",
        "y ~ x",
        "y ~ 1 + offset(x) + (1 | g)",
    ],
)
def test_it_is_the_multivariate_normal_density(formula, weights):
    rng = np.random.default_rng(0)
    design = build_design(formula, TABLE, weights=weights)
    sigma = np.array([0.7, 2.0, 1.1])
    beta = rng.normal(size=(3, len(design.coef)))
    roots = [rng.normal(size=(3, len(f.terms), len(f.terms))) for f in design.factors]
    values = marginal_log_likelihood(Gram.from_design(design), beta, roots, sigma)
    offset = 0.0 if design.offset is None else design.offset
    for s in range(3):
        covariance = dense_covariance(design, [root[s] for root in roots], sigma[s])
        expected = multivariate_normal(design.X @ beta[s] + offset, covariance).logpdf(design.y)
        # Nine rows: rounding alone.
        assert values[s] == pytest.approx(expected, rel=1e-11)


def test_zero_standard_deviations_leave_the_residuals():
    design = build_design("y ~ x + (1 | g)", TABLE)
    zero = [np.zeros((1, 1, 1))]
    beta = np.array([[1.0, 2.0]])
    value = marginal_log_likelihood(Gram.from_design(design), beta, zero, np.array([1.5]))
    expected = multivariate_normal(design.X @ beta[0], 2.25 * np.eye(9)).logpdf(design.y)
    assert value[0] == pytest.approx(expected, rel=1e-12)
