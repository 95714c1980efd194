"""log|V| and T at given relative factors, and densities from them: against dense algebra."""

import dense
import designs
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayeslmm.gram import likelihood
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood_of_draws import marginal_log_likelihood
from bayeslmm.gram.reduction import (
    Reduced,
    density_from_reduced,
    log_densities,
    reduce_exactly,
)
from bayeslmm.kernels.densities import ML_AT_SIGMA
from bayeslmm.kernels.linked_density import linked_density
from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.covariance.compiled import covariance_table

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
    values = density_from_reduced(gram, reduced, sigma, prior=(mean, precision))
    expected = [
        likelihood.log_density(gram, lams, s, mean, precision)[0]
        for lams, s in zip(points, sigma, strict=True)
    ]
    # The same operations in the same order.
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", CROSSED)
@pytest.mark.parametrize("weighted", [False, True])
def test_densities_given_beta_are_those_with_slopes_and_the_criterion_at_sigma(kind, weighted):
    """A value from T, one with its gradient, and -2 log-likelihood at the best beta are one."""
    design = designs.random_design(kind, seed=2, weighted=weighted, offset=weighted)
    gram, sigma = Gram.from_design(design), 0.8
    rng = np.random.default_rng(3)
    G = [BlockCovariance.of_blocks(f.name, f.terms, f.blocks) for f in design.factors]
    sds = [np.exp(rng.normal(size=part.n_columns)) for part in G]
    partials = [rng.uniform(-0.8, 0.8, part.n_partials) for part in G]
    lams = [part.factor(sd, z) / sigma for part, sd, z in zip(G, sds, partials, strict=True)]
    packed = designs.pack(lams)[None]
    # The criterion takes the best beta there is: the conditional mean under a flat prior.
    beta = likelihood.conditional(gram, lams, sigma).beta
    value = log_densities(gram, packed, np.array([sigma]), beta=beta[None])[0]
    criterion = likelihood.criterion(gram, packed[0], ML_AT_SIGMA, sigma, gradient=False)[0]
    # One formula for all; beta from another solver moves the value by its square only.
    assert value == pytest.approx(-0.5 * criterion, rel=1e-12)
    point = np.concatenate(sds), np.concatenate(partials), sigma, beta
    prior = likelihood.flat_prior(gram)
    with_slopes = linked_density(
        gram.plan.ints, gram.plan.floats, covariance_table(G), *point, *prior
    )
    assert value == pytest.approx(with_slopes[0], rel=1e-12)
    roots = [(sigma * lam)[None] for lam in lams]
    of_draws = marginal_log_likelihood(gram, beta[None], roots, np.array([sigma]))
    assert value == pytest.approx(of_draws[0], rel=1e-12)


@pytest.mark.parametrize("kind", CROSSED)
def test_integrating_beta_out_is_dividing_by_its_conditional_density(kind):
    """p(y) = p(y | beta) p(beta) / p(beta | y), at any beta; only the first has a sum of its own.

    Chib (1995). J Am Stat Assoc 90:1313-1321. doi:10.1080/01621459.1995.10476635
    """
    design = designs.random_design(kind, seed=6, weighted=True)
    gram, sigma, rng = Gram.from_design(design), 1.4, np.random.default_rng(0)
    lams = designs.random_factors(design, seed=1)
    mean, cov = np.array([1.0, 0.0, -1.0]), np.array([[2.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 0.5]])
    prior = mean, np.linalg.inv(cov)
    given_y = likelihood.conditional(gram, lams, sigma, prior[1], mean)
    beta = given_y.beta + 0.3 * rng.normal(size=(4, 3))
    packed, sigmas = np.tile(designs.pack(lams), (4, 1)), np.full(4, sigma)
    ratio = multivariate_normal(mean, cov).logpdf(beta)
    ratio -= multivariate_normal(given_y.beta, given_y.beta_cov).logpdf(beta)
    expected = log_densities(gram, packed, sigmas, beta=beta) + ratio
    integrated = log_densities(gram, packed, sigmas, prior=prior)
    # Inverses of well-conditioned 3 x 3 matrices beside values of a hundred.
    np.testing.assert_allclose(integrated, expected, rtol=1e-12)


@pytest.mark.parametrize("given", [False, True])
def test_points_in_several_parts_have_the_densities_of_one(monkeypatch, given):
    design = designs.random_design("nested_and_crossed", seed=2)
    gram, rng = Gram.from_design(design), np.random.default_rng(0)
    packed = np.array([designs.pack(designs.random_factors(design, seed=k)) for k in range(7)])
    sigma = rng.uniform(0.5, 2.0, 7)
    beta = rng.normal(size=(7, 3)) if given else None
    whole = log_densities(gram, packed, sigma, beta=beta)
    monkeypatch.setattr("bayeslmm.gram.reduction._VALUES", 2 * 4**2)
    np.testing.assert_array_equal(log_densities(gram, packed, sigma, beta=beta), whole)
    assert log_densities(gram, packed[:0], sigma[:0]).shape == (0,)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, 1e-200])
@pytest.mark.parametrize("beta", [None, np.zeros((1, 3))], ids=["integrated", "given"])
def test_where_there_is_no_density_it_is_minus_infinity(sigma, beta):
    design = designs.random_design("slope", seed=2)
    packed = designs.pack(designs.random_factors(design))[None]
    values = log_densities(Gram.from_design(design), packed, np.array([sigma]), beta=beta)
    assert values[0] == -np.inf


def test_an_overflow_gives_no_density_instead_of_a_wrong_one():
    design = designs.random_design("crossed", seed=2)
    gram = Gram.from_design(design)
    packed = designs.pack(designs.random_factors(design))[None] * np.array([[1.0], [1e160]])
    reduced = reduce_exactly(gram, packed)
    assert np.isfinite(reduced.logdet[0])
    assert reduced.logdet[1] == -np.inf
    values = density_from_reduced(gram, reduced, np.ones(2), prior=(np.zeros(3), np.eye(3)))
    assert np.isfinite(values[0])
    assert values[1] == -np.inf
    given = density_from_reduced(gram, reduced, np.ones(2), beta=np.zeros((2, 3)))
    assert np.isfinite(given[0])
    assert given[1] == -np.inf


def test_selecting_keeps_values_together():
    reduced = Reduced(np.arange(3.0), np.arange(12.0).reshape(3, 2, 2))
    taken = reduced.take(np.array([2, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.logdet, [2.0, 0.0])
    np.testing.assert_array_equal(taken.cross[1], reduced.cross[0])
