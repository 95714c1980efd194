"""Effects drawn back against the density itself on a fine grid."""

import numpy as np
import pytest
from levels import CODES, likelihood, made_rows, point
from scipy import stats

from bayeslmm.kernels.families import codes
from bayeslmm.kernels.families.rows import rows as family_rows
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.quadrature.likelihood import Points

DRAWS = 20_000


def repeated(at, count):
    return Points(*(np.repeat(a, count, axis=0) for a in (at.L, at.beta, at.phi)))


def on_grid(rows, j, at, axes):
    """Normalised density of one level's u on a grid."""
    part = slice(rows.starts[j], rows.starts[j + 1])
    fixed = rows.X[part] @ at.beta[0] + rows.offset[part]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    eta = fixed[:, None] + rows.Z[part] @ at.L[0] @ points.T
    n, s = eta.shape
    flat = [np.repeat(a[part], s) for a in (rows.y, rows.known)]
    value = family_rows(rows.code, eta.ravel(), *flat, at.phi[0])[0].reshape(n, s).sum(axis=0)
    density = value - 0.5 * np.sum(points**2, axis=1)
    density = np.exp(density - density.max())
    return points, density / density.sum()


@pytest.mark.parametrize("code", CODES)
def test_draws_of_one_column_have_the_density_on_a_grid(code):
    rows, phi = made_rows(code, 1)
    at = point(1, phi)
    drawn = likelihood(rows, 9).draw(repeated(at, DRAWS), np.random.default_rng(1))
    axis = np.linspace(-7, 7, 4001)
    for j in range(2):
        points, density = on_grid(rows, j, at, [axis])
        cdf = np.cumsum(density) - 0.5 * density
        u = drawn.effects[:, j, 0] / at.L[0, 0, 0]
        shares = np.interp(u, points[:, 0], cdf)
        # A fixed seed: a wrong density of 20,000 draws gives 1e-10 and less.
        assert stats.kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("code", [codes.BINOMIAL_LOGIT, codes.POISSON, codes.STUDENT])
def test_draws_of_two_columns_have_the_moments_on_a_grid(code):
    rows, phi = made_rows(code, 2)
    at = point(2, phi)
    drawn = likelihood(rows, 9).draw(repeated(at, DRAWS), np.random.default_rng(2))
    axis = np.linspace(-6, 6, 301)
    points, density = on_grid(rows, 0, at, [axis, axis])
    effects = points @ at.L[0].T
    mean = density @ effects
    covariance = (effects - mean).T * density @ (effects - mean)
    found = drawn.effects[:, 0]
    # Five standard errors of independent draws.
    error = 5 * np.sqrt(np.diag(covariance) / DRAWS)
    assert np.abs(found.mean(axis=0) - mean).max() < error.max()
    assert np.cov(found.T) == pytest.approx(covariance, rel=0.06, abs=0.02)


def test_steps_follow_the_acceptance_of_each_level():
    rows, phi = made_rows(codes.STUDENT, 2)
    drawn = likelihood(rows, 9).draw(repeated(point(2, phi), 400), np.random.default_rng(3))
    assert ((1 - drawn.acceptance) ** drawn.steps < 3e-3).all()
    easy, phi = made_rows(codes.GAUSSIAN, 1)
    drawn = likelihood(easy, 9).draw(repeated(point(1, phi), 400), np.random.default_rng(3))
    assert (drawn.steps <= 3).all()
    assert (drawn.acceptance > 0.95).all()


def test_draws_do_not_depend_on_the_number_of_threads():
    rows, phi = made_rows(codes.POISSON, 1)
    at = repeated(point(1, phi), 700)
    one, two = (
        likelihood(rows, 9).draw(at, np.random.default_rng(4), threads=k).effects for k in (1, 2)
    )
    assert np.array_equal(one, two)


def test_both_modes_of_a_level_are_drawn():
    """Two groups of t rows far apart: a density with two hills, between which no step is small."""
    y = np.array([-3.0, -3.1, -2.9, 3.0, 3.1, 2.9])
    n, one = len(y), np.ones(len(y))
    rows = LevelRows(
        codes.STUDENT, one[:, None], one[:, None], y, one, np.zeros(n), np.array([0, n]),
        np.r_[1.0, np.zeros(n - 1)],
    )  # fmt: skip
    at = Points(np.array([[[3.0]]]), np.zeros((1, 1)), np.array([[0.3, 1.5]]))
    points, density = on_grid(rows, 0, at, [np.linspace(-4, 4, 8001)])
    right = density[points[:, 0] > 0].sum()
    drawn = likelihood(rows, 9).draw(repeated(at, DRAWS), np.random.default_rng(5))
    share = np.mean(drawn.effects[:, 0, 0] > 0)
    assert right == pytest.approx(0.5)
    assert share == pytest.approx(right, abs=0.03)
