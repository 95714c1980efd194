"""Gaussian rows with and without weights; what all members have stands in `test_members`."""

import numpy as np
import pytest
from scipy import stats

from bayeslmm.families.gaussian import GAUSSIAN

ROWS, DRAWS = 5, 3


@pytest.fixture
def rows():
    """Linear predictors (n, s), dispersions (s,) and weights (n, 1)."""
    rng = np.random.default_rng(1)
    eta = rng.normal(size=(ROWS, DRAWS))
    return eta, rng.uniform(0.5, 2.0, size=DRAWS), rng.uniform(0.3, 3.0, size=(ROWS, 1))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gaussian_density_is_the_normal_one(rows, weighted):
    eta, sigma, w = rows
    weights = w if weighted else None
    y = np.random.default_rng(2).normal(size=(ROWS, 1))
    scale = sigma / np.sqrt(w) if weighted else sigma
    found = GAUSSIAN.log_density(y, eta, {"sigma": sigma}, weights)
    np.testing.assert_allclose(found, stats.norm(eta, scale).logpdf(y), rtol=1e-13)
    assert found.shape == eta.shape


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
