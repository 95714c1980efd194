"""Compiled factors of G and their gradients against the structures that define them."""

import numpy as np
import pytest
from numba import njit

from bayeslmm.kernels import marginal_density
from bayeslmm.kernels.prior_forms import form_at
from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.priors.closed_forms import partial_form
from bayeslmm.model.priors.lkj import log_density_of_partials

TERMS = ("a", "b", "c", "d")
PARTITIONS = [
    *(((tuple(range(q)),)) for q in (1, 2, 3, 4)),
    ((0,), (1,), (2,)),
    ((0, 1), (2,), (3,)),
    ((0,), (1, 2, 3)),
    ((0, 1), (2, 3)),
]
# The same products in another order, of numbers near one.
ROUNDING = 1e-12


@njit  # what compiled code calls has no door of its own for Python
def fill_factors(table, point, sigma, correlation, lam):
    marginal_density.fill_factors(table, point[0], point[1], sigma, correlation, lam)


@njit
def pull_back_factors(table, point, sigma, correlation, d_lam):
    sds, partials = point
    d_sds, d_partials = np.zeros(len(sds)), np.zeros(len(partials))
    d_sigma = marginal_density.pull_back_factors(
        table, sds, partials, sigma, correlation, d_lam, d_sds, d_partials
    )
    return d_sds, d_partials, d_sigma


def factors(*partitions):
    return [
        BlockCovariance.of_blocks(f"g{k}", TERMS[: sum(map(len, blocks))], blocks)
        for k, blocks in enumerate(partitions)
    ]


def random_point(covariances, rng):
    sds = [np.exp(rng.normal(size=G.n_columns)) for G in covariances]
    partials = [rng.uniform(-0.95, 0.95, size=G.n_partials) for G in covariances]
    return sds, partials, 1.7


@pytest.mark.parametrize("seed", range(3))
def test_compiled_factors_are_those_of_the_structures(seed):
    rng = np.random.default_rng(seed)
    covariances = factors(*PARTITIONS)
    sds, partials, sigma = random_point(covariances, rng)
    size = sum(G.n_columns**2 for G in covariances)
    correlation, lam = np.zeros(size), np.zeros(size)
    flat = np.concatenate(sds), np.concatenate(partials)
    fill_factors(covariance_table(covariances), flat, sigma, correlation, lam)
    points = list(zip(covariances, sds, partials, strict=True))
    expected = [G.correlation_factor(z).ravel() for G, _, z in points]
    np.testing.assert_allclose(correlation, np.concatenate(expected), rtol=ROUNDING)
    expected = [G.factor(sd, z).ravel() / sigma for G, sd, z in points]
    np.testing.assert_allclose(lam, np.concatenate(expected), rtol=ROUNDING)


@pytest.mark.parametrize("seed", range(3))
def test_compiled_gradients_are_those_of_the_structures(seed):
    rng = np.random.default_rng(seed)
    covariances = factors(*PARTITIONS)
    sds, partials, sigma = random_point(covariances, rng)
    sds[3][0] = sds[5][1] = 0.0
    size = sum(G.n_columns**2 for G in covariances)
    correlation, lam, d_lam = np.zeros(size), np.zeros(size), rng.normal(size=size)
    flat = np.concatenate(sds), np.concatenate(partials)
    table = covariance_table(covariances)
    fill_factors(table, flat, sigma, correlation, lam)
    d_sds, d_partials, d_sigma = pull_back_factors(table, flat, sigma, correlation, d_lam)
    # Lambda = L / sigma, so that the gradient in L is that in Lambda over sigma.
    expected, at = [], 0
    for G, sd, z in zip(covariances, sds, partials, strict=True):
        q = G.n_columns
        expected.append(G.pull_back(sd, z, d_lam[at : at + q * q].reshape(q, q) / sigma))
        at += q * q
    np.testing.assert_allclose(d_sds, np.concatenate([d for d, _ in expected]), rtol=ROUNDING)
    np.testing.assert_allclose(d_partials, np.concatenate([d for _, d in expected]), rtol=ROUNDING)
    assert d_sigma == pytest.approx(-np.sum(d_lam * lam) / sigma, rel=ROUNDING)


@pytest.mark.parametrize("a", [0.4, 1.0, 2.7])
def test_the_partials_closed_form_is_their_density(a):
    shape, step = np.array([a]), 1e-6
    for z in (-0.95, -0.2, 0.0, 0.6):
        value, slope = form_at(*partial_form(a), z)
        expected = log_density_of_partials(np.log1p([-(z**2)]), shape)
        assert value == pytest.approx(float(expected), rel=ROUNDING, abs=ROUNDING)
        ends = [float(log_density_of_partials(np.log1p([-(x**2)]), shape)) for x in
                (z - step, z + step)]  # fmt: skip
        # Error of a central difference.
        assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6, abs=1e-8)
