"""Each response family against SciPy, its own mass and moments, and its link."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.links import IDENTITY

ROWS, DRAWS = 5, 3


@pytest.fixture
def rows():
    """Linear predictors (n, s), dispersions (s,) and weights (n, 1)."""
    rng = np.random.default_rng(1)
    eta = rng.normal(size=(ROWS, DRAWS))
    return eta, rng.uniform(0.5, 2.0, size=DRAWS), rng.uniform(0.3, 3.0, size=(ROWS, 1))


def test_a_link_is_undone_by_its_inverse_whose_slope_is_the_derivative():
    mu, step = np.array([-2.0, 0.5, 3.0]), 1e-6
    eta = IDENTITY.link(mu)
    np.testing.assert_array_equal(IDENTITY.inverse(eta), mu)
    slope = (IDENTITY.inverse(eta + step) - IDENTITY.inverse(eta - step)) / (2 * step)
    # Rounding of a difference of numbers near one, over 2e-6.
    np.testing.assert_allclose(IDENTITY.derivative(eta), slope, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gaussian_density_is_the_normal_one(rows, weighted):
    eta, sigma, w = rows
    weights = w if weighted else None
    y = np.random.default_rng(2).normal(size=(ROWS, 1))
    scale = sigma / np.sqrt(w) if weighted else sigma
    found = GAUSSIAN.log_density(y, eta, {"sigma": sigma}, weights)
    np.testing.assert_allclose(found, stats.norm(eta, scale).logpdf(y), rtol=1e-13)
    assert found.shape == eta.shape


def test_the_gaussian_density_has_mass_one():
    def density(y):
        return np.exp(
            GAUSSIAN.log_density(np.array(y), np.array(0.7), {"sigma": 1.3}, np.array(2.0))
        )

    assert quad(density, -20.0, 20.0)[0] == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_gaussian_draws_have_the_familys_mean_and_variance(rows, weighted):
    eta, sigma, w = rows
    weights = w if weighted else None
    n = 40_000
    wide = np.broadcast_to(eta, (n, *eta.shape))
    drawn = GAUSSIAN.draw(wide, {"sigma": sigma}, weights, np.random.default_rng(3))
    mean, variance = GAUSSIAN.mean(eta, {}), GAUSSIAN.variance(eta, {"sigma": sigma}, weights)
    assert variance.shape == eta.shape
    # Five standard errors of a mean and of a variance.
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / n))
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=5 * np.sqrt(2 / n))


def test_gaussian_draws_take_one_normal_number_for_each_entry_in_order(rows):
    eta, sigma, w = rows
    kept = eta.copy()
    drawn = GAUSSIAN.draw(eta, {"sigma": sigma}, w, np.random.default_rng(4))
    normal = np.random.default_rng(4).standard_normal(eta.shape)
    np.testing.assert_array_equal(drawn, eta + normal * sigma / np.sqrt(w))
    np.testing.assert_array_equal(eta, kept)
    rng = np.random.default_rng(4)
    parts = [
        GAUSSIAN.draw(eta[k], {"sigma": sigma}, w[k], rng) for k in (slice(0, 2), slice(2, None))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), drawn)


def test_gaussian_rows_without_noise_are_their_mean(rows):
    eta, _, w = rows
    drawn = GAUSSIAN.draw(eta, {"sigma": 0.0}, w, np.random.default_rng(5))
    np.testing.assert_array_equal(drawn, GAUSSIAN.mean(eta, {}))
