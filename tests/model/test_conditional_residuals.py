"""Residuals of new rows given known ones, against the normal distribution's own definition."""

import numpy as np
from scipy.stats import multivariate_normal

from bayeslmm.model.residual.conditional import conditional_residuals

# Solves with matrices of order six.
ROUNDING = 1e-11


def matrices(rng, s=3, k=6):
    roots = rng.normal(size=(s, k, k + 2))
    return roots @ np.swapaxes(roots, 1, 2)


def test_the_joint_density_is_that_of_known_rows_times_the_conditional():
    rng = np.random.default_rng(1)
    R, e = matrices(rng), rng.normal(size=6)
    for known in (1, 4, 5):
        weights, covariance = conditional_residuals(R, known)
        for k in range(len(R)):
            joint = multivariate_normal(np.zeros(6), R[k]).logpdf(e)
            marginal = multivariate_normal(np.zeros(known), R[k, :known, :known]).logpdf(e[:known])
            given = multivariate_normal(weights[k] @ e[:known], covariance[k])
            np.testing.assert_allclose(marginal + given.logpdf(e[known:]), joint, rtol=ROUNDING)


def test_without_known_rows_it_is_the_marginal_distribution():
    R = matrices(np.random.default_rng(2))
    weights, covariance = conditional_residuals(R, 0)
    assert weights.shape == (3, 6, 0)
    np.testing.assert_array_equal(covariance, R)


def test_a_row_at_the_place_of_a_known_one_repeats_it():
    R = matrices(np.random.default_rng(3))
    twice = R[:, [0, 1, 2, 1]][:, :, [0, 1, 2, 1]]
    weights, covariance = conditional_residuals(twice, 3)
    np.testing.assert_allclose(weights[:, 0], np.tile([0.0, 1.0, 0.0], (3, 1)), atol=1e-10)
    assert (covariance[:, 0, 0] >= 0.0).all()
    np.testing.assert_allclose(covariance[:, 0, 0], 0.0, atol=1e-10)
