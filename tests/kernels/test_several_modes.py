"""Levels of t responses whose density has several modes, against sums over fine grids."""

import dataclasses

import numpy as np
import pytest
from levels import likelihood

from bayeslmm.kernels.families import codes
from bayeslmm.kernels.families.rows import rows as family_rows
from bayeslmm.kernels.quadrature.level import QUICKLY, ROW_BY_ROW
from bayeslmm.kernels.quadrature.marginal import log_marginals
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.quadrature.enough_nodes import TOLERANCE
from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.rules import gauss_hermite


def clusters(*centers, rows=10, spread=1.0, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(center, spread, rows) for center in centers])


RESPONSES = {
    "two far": clusters(-30.0, 30.0),
    "three far": clusters(-30.0, 0.0, 30.0, rows=7),
    "two near": clusters(-6.0, 6.0),
    "one row far": np.append(clusters(0.0), 25.0),
    "scattered": 5.0 * np.random.default_rng(2).standard_cauchy(12),
    "three hundred": clusters(-30.0, 30.0, rows=150),
}
# From where rows hardly move the effects to where the prior hardly does; between these one mode
# becomes several.
SDS = np.array([0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0])
PHI = [(1.0, 1.0), (0.7, 3.0), (5.0, 1.5)]


def one_level(y, q=1):
    n = len(y)
    Z = np.column_stack([np.ones(n), np.arange(n) % 2])[:, :q].astype(float)
    order = np.argsort(Z[:, -1], kind="stable")
    Z, fresh = Z[order], np.ones(n)
    fresh[1:] = (Z[1:] != Z[:-1]).any(axis=1)
    ones = np.ones(n)
    starts = np.array([0, n])
    return LevelRows(codes.STUDENT, np.ones((n, 1)), Z, y[order], ones, np.zeros(n), starts, fresh)


def points(sds, phi):
    return Points(np.reshape(sds, (-1, 1, 1)), np.zeros((len(sds), 1)), np.tile(phi, (len(sds), 1)))


def log_density(rows, L, phi, u):
    """Of effects u, shape (s, q), at beta = 0."""
    eta = rows.Z @ L @ u.T
    n, s = eta.shape
    flat = [np.repeat(a, s) for a in (rows.y, rows.known)]
    value = family_rows(rows.code, eta.ravel(), *flat, np.array(phi))[0].reshape(n, s).sum(axis=0)
    return value - 0.5 * np.sum(u**2, axis=1) - 0.5 * u.shape[1] * np.log(2 * np.pi)


def on_a_line(rows, sd, phi):
    reach = 1.3 * np.abs(rows.y).max() / sd + 10.0
    # Thirty points within the scale of the narrowest row.
    u = np.arange(-reach, reach, min(phi[0] / sd, 1.0) / 30.0)
    values = log_density(rows, np.array([[sd]]), phi, u[:, None])
    return values.max() + np.log(np.sum(np.exp(values - values.max())) * (u[1] - u[0]))


@pytest.mark.parametrize("phi", PHI)
@pytest.mark.parametrize("case", RESPONSES)
def test_all_modes_are_integrated(case, phi):
    rows = one_level(RESPONSES[case])
    expected = [on_a_line(rows, sd, phi) for sd in SDS]
    found = likelihood(rows, 31).values(points(SDS, phi))
    # Where modes begin to part the density is flat between them, and nodes converge slowest: what
    # is left there is what a posterior's number of nodes is chosen by.
    assert found == pytest.approx(expected, abs=TOLERANCE)
    assert np.median(np.abs(found - expected)) < 1e-5


@pytest.mark.parametrize(
    ("center", "L"),
    [(2.5, [[1.6, 0.0], [0.3, 0.8]]), (12.0, [[6.0, 0.0], [-1.0, 3.0]])],
    ids=["near", "far"],
)
def test_two_columns_have_several_modes(center, L):
    rows, L = one_level(clusters(-center, center, spread=0.5), q=2), np.array(L)
    phi, fine = (0.6, 2.0), np.linspace(-6, 6, 601)
    grid = np.stack(np.meshgrid(fine, fine), -1).reshape(-1, 2)
    values = log_density(rows, L, phi, grid)
    expected = values.max() + np.log(np.exp(values - values.max()).sum() * (fine[1] - fine[0]) ** 2)
    at = Points(L[None], np.zeros((1, 1)), np.array([phi]))
    assert likelihood(rows, 31).values(at)[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("case", RESPONSES)
@pytest.mark.parametrize("sd", [3.0, 10.0])
def test_slopes_are_those_of_the_integral(case, sd):
    level = likelihood(one_level(RESPONSES[case]), 61)
    at = points([sd], (1.0, 2.0))
    value, slopes = level.value_and_slopes(at)
    assert value == pytest.approx(level.values(at)[0], abs=1e-4)
    for name in ("L", "beta", "phi"):
        array = getattr(at, name)
        for place in np.ndindex(array.shape[1:]):
            h = 1e-3 * max(1.0, abs(array[0][place]))
            ends = []
            for side in (h, -h):
                moved = array.copy()
                moved[0][place] += side
                ends.append(level.values(dataclasses.replace(at, **{name: moved}))[0])
            expected = (ends[0] - ends[1]) / (2 * h)
            # Fisher's identity holds for the integral, the nodes' error is some 1e-5.
            assert getattr(slopes, name)[place] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_value_does_not_depend_on_where_searches_began():
    level = likelihood(one_level(RESPONSES["two far"]), 15)
    at = points(SDS, (1.0, 1.0))
    expected = level.values(at)
    for start in (-30.0, 4.0, 1000.0):
        level.modes[:] = start
        assert (level.values(at) == expected).all()


@pytest.mark.parametrize("case", RESPONSES)
def test_the_quick_path_is_the_slow_one(case):
    rows, out = one_level(RESPONSES[case]), []
    at = points(SDS, (1.0, 1.0))
    for task in (QUICKLY, ROW_BY_ROW):
        values = np.empty(len(SDS))
        log_marginals(
            rows, gauss_hermite(9), at.L, at.beta, at.phi, np.zeros((1, 1)), 1e-2, task,
            np.empty((0, 1)), values,
        )  # fmt: skip
        out.append(values)
    # Sums of three hundred logarithms at most, each with its rounding.
    assert out[0] == pytest.approx(out[1], rel=1e-11, abs=1e-10)


def test_one_node_is_laplace_s_approximation_at_the_highest_mode():
    y, (sigma, nu), sd = RESPONSES["two far"], (1.0, 1.0), 10.0
    rows = one_level(y)
    u = np.arange(-5.0, 5.0, 1e-5)
    values = log_density(rows, np.array([[sd]]), (sigma, nu), u[:, None])
    top = int(np.argmax(values))
    r = rows.y - sd * u[top]
    square = nu * sigma**2
    curvature = 1.0 + sd**2 * np.sum((nu + 1) * (square - r**2) / (square + r**2) ** 2)
    expected = values[top] + 0.5 * np.log(2 * np.pi / curvature)
    found = likelihood(rows, 1).values(points([sd], (sigma, nu)))[0]
    assert found == pytest.approx(expected, abs=1e-5)
