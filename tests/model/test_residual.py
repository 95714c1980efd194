"""Each residual structure against its covariance matrix R, written out in full."""

import dense
import designs
import numpy as np
import pytest

from bayeslmm import names
from bayeslmm.model.residual.independent import INDEPENDENT

SIGMA = np.array([0.4, 1.0, 2.5])


@pytest.fixture(params=[False, True], ids=["equal", "weighted"])
def design(request):
    return designs.random_design("slope", seed=2, n=20, weighted=request.param)


def matrices(design):
    return np.stack([dense.residual_covariance(design, sigma) for sigma in SIGMA])


def log_weights(design):
    return 0.0 if design.weights is None else np.log(design.weights).sum()


def test_the_covariance_is_the_dense_one(design):
    found = INDEPENDENT.covariance(SIGMA, len(design.y), design.weights)
    np.testing.assert_allclose(found, matrices(design), rtol=1e-14)


def test_combined_products_are_those_with_the_precision(design):
    w = np.ones(len(design.y)) if design.weights is None else design.weights
    W = np.column_stack([design.X, design.y])
    piece = W.T @ (w[:, None] * W)
    expected = W.T @ np.linalg.inv(matrices(design)) @ W
    np.testing.assert_allclose(INDEPENDENT.combine((piece[None],), SIGMA), expected, rtol=1e-12)


def test_the_log_determinant_is_the_dense_one(design):
    found = INDEPENDENT.log_determinant(SIGMA, len(design.y), log_weights(design))
    np.testing.assert_allclose(found, np.linalg.slogdet(matrices(design))[1], rtol=1e-12)


def test_products_of_whitened_columns_are_those_with_the_precision(design):
    columns = np.broadcast_to(design.X, (len(SIGMA), *design.X.shape))
    white = INDEPENDENT.whiten(columns, SIGMA, design.weights)
    y = INDEPENDENT.whiten(np.broadcast_to(design.y, white.shape[:2]), SIGMA, design.weights)
    expected = design.X.T @ np.linalg.inv(matrices(design)) @ design.y
    np.testing.assert_allclose(np.einsum("srk,sr->sk", white, y), expected, rtol=1e-12)


def test_the_mean_variance_is_that_of_the_diagonal(design):
    expected = np.diagonal(matrices(design), axis1=1, axis2=2).mean(axis=1)
    found = INDEPENDENT.mean_variance(SIGMA, design.weights)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_the_parameter_has_the_result_trees_name():
    assert INDEPENDENT.parameters == (names.SIGMA,)
