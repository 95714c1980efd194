"""log|V| and T at given relative factors: against dense algebra."""

import dense
import designs
import numpy as np
import pytest

from bayeslmm.gram import likelihood
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood_of_draws import marginal_log_likelihood
from bayeslmm.inference.importance.reduction import (
    Reduced,
    finish_density,
    finish_density_given_fixed,
    reduce_exactly,
)

CROSSED = ("crossed", "three_crossed", "nested_and_crossed", "nested", "slope")


def dense_reduction(design, lams):
    """log|V| and [X y]'V^-1[X y] with V written out; rows are scaled by sqrt(w)."""
    V = dense.marginal_covariance(design, lams, 1.0)
    root = np.ones(len(design.y)) if design.weights is None else np.sqrt(design.weights)
    W = np.column_stack([design.X, dense.response(design)])
    V = root[:, None] * V * root
    W = root[:, None] * W
    return np.linalg.slogdet(V)[1], W.T @ np.linalg.solve(V, W)


def in_original_coordinates(gram, T):
    """Undo X = Xs R, y = X origin + r."""
    turn = np.eye(len(gram.coef) + 1)
    turn[:-1, :-1] = gram.scale
    turn[:-1, -1] = gram.scale @ gram.origin
    return turn.T @ T @ turn


@pytest.mark.parametrize("kind", CROSSED)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_reduction_is_dense_algebra(kind, weighted):
    design = designs.random_design(kind, seed=3, weighted=weighted, offset=weighted)
    gram = Gram.from_design(design)
    points = [designs.random_factors(design, seed=k) for k in range(3)]
    reduced = reduce_exactly(gram, np.array([designs.pack(lams) for lams in points]))
    for lams, logdet, T in zip(points, reduced.logdet, reduced.cross, strict=True):
        expected_logdet, expected = dense_reduction(design, lams)
        # Two Cholesky factorizations of some 60 x 60 entries of order one: 1e-12 and less.
        assert logdet == pytest.approx(expected_logdet, rel=1e-9)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        error = np.abs(in_original_coordinates(gram, T) - expected) / scale
        assert error.max() < 1e-9


def test_threads_change_nothing():
    design = designs.random_design("three_crossed", seed=1)
    gram = Gram.from_design(design)
    packed = np.array([designs.pack(designs.random_factors(design, seed=k)) for k in range(7)])
    one, two = (reduce_exactly(gram, packed, threads=k) for k in (1, 2))
    np.testing.assert_array_equal(one.logdet, two.logdet)
    np.testing.assert_array_equal(one.cross, two.cross)


def test_densities_finished_from_the_reduction_are_the_collapsed_ones():
    design = designs.random_design("crossed", seed=2)
    gram = Gram.from_design(design)
    points = [designs.random_factors(design, seed=k) for k in range(3)]
    sigma = np.array([0.5, 1.0, 2.0])
    mean, precision = np.array([1.0, 0.0, -1.0]), np.diag([0.1, 1.0, 0.0])
    reduced = reduce_exactly(gram, np.array([designs.pack(lams) for lams in points]))
    values = finish_density(gram, reduced, sigma, mean, precision)
    expected = [
        likelihood.log_density(gram, lams, s, mean, precision)[0]
        for lams, s in zip(points, sigma, strict=True)
    ]
    # The same operations in the same order.
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_densities_given_beta_are_the_marginal_likelihood():
    design = designs.random_design("crossed", seed=2, weighted=True)
    gram = Gram.from_design(design)
    points = [designs.random_factors(design, seed=k) for k in range(3)]
    sigma = np.array([0.5, 1.0, 2.0])
    beta = np.random.default_rng(0).normal(size=(3, 3))
    packed = np.array([designs.pack(lams) for lams in points])
    values = finish_density_given_fixed(gram, reduce_exactly(gram, packed), sigma, beta)
    roots = [
        np.stack([s * lams[k] for lams, s in zip(points, sigma, strict=True)])
        for k in range(len(design.factors))
    ]
    np.testing.assert_allclose(
        values, marginal_log_likelihood(gram, beta, roots, sigma), rtol=1e-12
    )


def test_an_overflow_gives_no_density_instead_of_a_wrong_one():
    design = designs.random_design("crossed", seed=2)
    gram = Gram.from_design(design)
    packed = designs.pack(designs.random_factors(design))[None] * np.array([[1.0], [1e160]])
    reduced = reduce_exactly(gram, packed)
    assert np.isfinite(reduced.logdet[0])
    assert reduced.logdet[1] == -np.inf
    values = finish_density(gram, reduced, np.ones(2), np.zeros(3), np.eye(3))
    assert np.isfinite(values[0])
    assert values[1] == -np.inf
    given = finish_density_given_fixed(gram, reduced, np.ones(2), np.zeros((2, 3)))
    assert np.isfinite(given[0])
    assert given[1] == -np.inf


def test_selecting_keeps_values_together():
    reduced = Reduced(np.arange(3.0), np.arange(12.0).reshape(3, 2, 2))
    taken = reduced.take(np.array([2, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.logdet, [2.0, 0.0])
    np.testing.assert_array_equal(taken.cross[1], reduced.cross[0])
