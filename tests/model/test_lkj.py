"""The LKJ distribution: its density's integral, and draws against its moments."""

import math

import numpy as np
import pytest

from bayeslmm.errors import PriorError
from bayeslmm.model.priors.lkj import draw_lkj, lkj_log_density


def test_the_lkj_density_integrates_to_one_over_three_correlations():
    rng = np.random.default_rng(0)
    # Importance sampling over the cube (-1, 1)^3: 4 Monte Carlo standard errors of 2e5 points.
    r = rng.uniform(-1, 1, size=(200_000, 3))
    corr = np.tile(np.eye(3), (len(r), 1, 1))
    for k, (i, j) in enumerate([(1, 0), (2, 0), (2, 1)]):
        corr[:, i, j] = corr[:, j, i] = r[:, k]
    inside = np.linalg.eigvalsh(corr)[:, 0] > 0
    density = np.zeros(len(r))
    density[inside] = np.exp(lkj_log_density(corr[inside], 2.0))
    values = 8 * density
    assert abs(values.mean() - 1) <= 4 * values.std() / math.sqrt(len(r))


def test_lkj_draws_have_the_moments_of_the_lkj():
    rng = np.random.default_rng(4)
    for q, eta in [(2, 1.0), (3, 0.5), (4, 2.0)]:
        corr = draw_lkj(q, eta, 20_000, rng)
        assert np.linalg.eigvalsh(corr).min() > -1e-12
        # Each correlation is 2 Beta(a, a) - 1 with a = eta + (q - 2) / 2: variance 1 / (2a + 1).
        a = eta + 0.5 * (q - 2)
        for i in range(q):
            for j in range(i):
                r = corr[:, i, j]
                scaled = r / math.sqrt(1 / (2 * a + 1))
                assert abs(scaled.mean()) < 4.5 / math.sqrt(len(r))
                # A squared correlation is at most 1, so the error of its mean is below 1/2.
                assert abs((r**2).mean() * (2 * a + 1) - 1) < 4.5 * (r**2).std() * (2 * a + 1) / (
                    math.sqrt(len(r))
                )


def test_lkj_draws_follow_the_lkj_density():
    # E |R|^t under LKJ(eta) is c(eta + t) / c(eta), the ratio of the densities' constants, which
    # the density at the identity gives; it looks at all correlations together.
    eta, t = 1.5, 0.7
    corr = draw_lkj(3, eta, 20_000, np.random.default_rng(5))
    values = np.linalg.det(corr) ** t
    constants = [-lkj_log_density(np.eye(3), at) for at in (eta + t, eta)]
    expected = np.exp(constants[0] - constants[1])
    assert abs(values.mean() - expected) < 4.5 * values.std() / math.sqrt(len(values))


def test_impossible_lkj_draws_are_refused():
    with pytest.raises(PriorError, match="eta > 0"):
        draw_lkj(2, 0.0, 1, np.random.default_rng(0))
