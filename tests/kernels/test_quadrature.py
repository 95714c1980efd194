"""Adaptive quadrature against adaptive integration, its quick path, and its derivatives."""

import dataclasses

import numpy as np
import pytest
from levels import BINOMIAL, CODES, likelihood, made_rows, point
from scipy import integrate

from bayeslmm.kernels.families import codes
from bayeslmm.kernels.families.elementary import quick_exp, quick_log
from bayeslmm.kernels.families.rows import rows as family_rows
from bayeslmm.kernels.quadrature.level import QUICKLY, ROW_BY_ROW
from bayeslmm.kernels.quadrature.marginal import log_marginals
from bayeslmm.kernels.quadrature.rows import LevelRows
from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.rules import gauss_hermite

# Nodes at which smooth levels of five rows are exact to rounding.
MANY = {1: 61, 2: 41}


def level_integral(rows, j, at):
    """One level's log marginal likelihood by SciPy."""
    part = slice(rows.starts[j], rows.starts[j + 1])
    q = rows.Z.shape[1]
    fixed = rows.X[part] @ at.beta[0] + rows.offset[part]
    columns = rows.Z[part] @ at.L[0]

    def log_density(u):
        eta = fixed + columns @ u
        value = family_rows(rows.code, eta, rows.y[part], rows.known[part], at.phi[0])[0].sum()
        return value - 0.5 * np.sum(u**2) - 0.5 * q * np.log(2 * np.pi)

    grid = np.linspace(-5, 5, 41)
    points = np.stack(np.meshgrid(*[grid] * q), -1).reshape(-1, q)
    top = max(log_density(u) for u in points)
    if q == 1:
        value, _ = integrate.quad(
            lambda u: np.exp(log_density(np.array([u])) - top), -10, 10, epsrel=1e-11, limit=400
        )
    else:
        # A trapezoid on a fine grid: exact to rounding for analytic functions that vanish.
        fine = np.linspace(-9, 9, 241)
        values = [np.exp(log_density(np.array([a, b])) - top) for a in fine for b in fine]
        value = np.sum(values) * (fine[1] - fine[0]) ** 2
    return top + np.log(value)


@pytest.mark.parametrize("code", CODES)
def test_one_column_is_integrated_as_by_scipy(code):
    rows, phi = made_rows(code, 1)
    at = point(1, phi)
    expected = [level_integral(rows, j, at) for j in range(2)]
    # t levels are not analytic within reach: their error falls slowly with the nodes.
    nodes, error = (151, 1e-7) if code == codes.STUDENT else (MANY[1], 1e-9)
    found = likelihood(rows, nodes).by_level(at)
    assert found[0] == pytest.approx(expected, abs=error)


@pytest.mark.parametrize("code", [codes.BINOMIAL_LOGIT, codes.NEGBINOMIAL, codes.GAMMA])
def test_two_columns_are_integrated_as_on_a_fine_grid(code):
    rows, phi = made_rows(code, 2)
    at = point(2, phi)
    expected = level_integral(rows, 0, at)
    assert likelihood(rows, MANY[2]).by_level(at)[0, 0] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
def test_doubling_the_nodes_changes_next_to_nothing(code, q):
    rows, phi = made_rows(code, q, levels=4)
    at = point(q, phi)
    few, many = (likelihood(rows, K).values(at)[0] for K in (15, 31))
    assert few == pytest.approx(many, abs=2e-2 if code == codes.STUDENT else 1e-5)


def both_ways(rows, at, n_nodes):
    J, q = len(rows.starts) - 1, rows.Z.shape[1]
    out = []
    for task in (QUICKLY, ROW_BY_ROW):
        values = np.empty((1, J))
        log_marginals(
            rows, gauss_hermite(n_nodes), at.L, at.beta, at.phi, np.zeros((J, q)), 1e-12, task,
            values, np.empty(1),
        )  # fmt: skip
        out.append(values[0])
    return out


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_quick_path_is_the_slow_one(code, q, seed):
    rows, phi = made_rows(code, q, levels=6, rows=30, seed=seed, trials=100)
    quick, slow = both_ways(rows, point(q, phi), 9)
    # Sums of thirty logarithms, each with its rounding.
    assert quick == pytest.approx(slow, rel=1e-11, abs=1e-10)


@pytest.mark.parametrize("code", [codes.BINOMIAL_LOGIT, codes.NEGBINOMIAL, codes.POISSON])
@pytest.mark.parametrize("scale", [10.0, 60.0])
def test_the_quick_path_is_the_slow_one_far_out(code, scale):
    """Where exponentials would overflow, and where products of them nearly do."""
    rows, phi = made_rows(code, 1, levels=6, rows=30)
    quick, slow = both_ways(rows, point(1, phi, scale=scale), 21)
    assert np.isfinite(quick).all()
    assert quick == pytest.approx(slow, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
def test_slopes_are_those_of_the_value(code, q):
    rows, phi = made_rows(code, q, levels=3)
    at = point(q, phi)
    level = likelihood(rows, 61 if q == 1 else 31)
    value, slopes = level.value_and_slopes(at)
    assert value == pytest.approx(level.values(at)[0], abs=1e-6)
    # Fisher's identity holds for the integral; t levels are integrated to some 1e-4.
    error = 2e-3 if code == codes.STUDENT else 1e-6
    for name in ("L", "beta", "phi"):
        array = getattr(at, name)
        for place in np.ndindex(array.shape[1:]):
            if name == "L" and place[1:] > place[:1]:
                continue
            h = 1e-5 * max(1.0, abs(array[0][place]))
            ends = []
            for side in (h, -h):
                moved = array.copy()
                moved[0][place] += side
                ends.append(level.values(dataclasses.replace(at, **{name: moved}))[0])
            expected = (ends[0] - ends[1]) / (2 * h)
            found = getattr(slopes, name)[place]
            # The values' nodes stand near the modes, not at them: 1e-9 over 1e-5.
            assert found == pytest.approx(expected, rel=error, abs=100 * error), (name, place)


def test_a_gaussian_level_is_exact_with_one_node():
    rows, phi = made_rows(codes.GAUSSIAN, 2, levels=1, rows=6)
    at = point(2, phi)
    G = at.L[0] @ at.L[0].T
    V = rows.Z @ G @ rows.Z.T + np.diag(phi[0] ** 2 / rows.known)
    r = rows.y - rows.offset - rows.X @ at.beta[0]
    log_det = np.linalg.slogdet(2 * np.pi * V)[1]
    expected = -0.5 * (log_det + r @ np.linalg.solve(V, r))
    assert likelihood(rows, 1).values(at)[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("code", BINOMIAL)
def test_levels_without_effects_are_their_rows(code):
    rows, phi = made_rows(code, 1)
    at = point(1, phi, scale=0.0)
    eta = rows.X @ at.beta[0] + rows.offset
    expected = family_rows(code, eta, rows.y, rows.known, phi)[0].sum()
    for nodes in (1, 7):
        assert likelihood(rows, nodes).values(at)[0] == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("code", [codes.BINOMIAL_LOGIT, codes.POISSON, codes.BINOMIAL_CLOGLOG])
@pytest.mark.parametrize("start", [-300.0, -8.0, 8.0, 20.0])
def test_searches_find_the_mode_from_anywhere(code, start):
    rows, phi = made_rows(code, 1, levels=3, rows=40)
    at = point(1, phi, scale=3.0)
    expected = likelihood(rows, 15).values(at)
    level = likelihood(rows, 15)
    level.modes[:] = start
    assert level.values(at) == pytest.approx(expected, abs=1e-4)


TOGETHER = [codes.BINOMIAL_LOGIT, codes.NEGBINOMIAL, codes.POISSON]


@pytest.mark.parametrize("code", TOGETHER)
@pytest.mark.parametrize("trials", [2, 300])
def test_a_level_of_many_rows_is_integrated_as_row_by_row(code, trials):
    """Products of more factors than fit a number, and powers of more digits than are squared."""
    rows, phi = made_rows(code, 1, levels=2, rows=1500, trials=trials)
    if code == codes.NEGBINOMIAL:
        rows.y[::7] += trials
    quick, slow = both_ways(rows, point(1, phi), 7)
    # Sums of 1,500 logarithms of size 10 and more, each with its rounding.
    assert quick == pytest.approx(slow, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("code", TOGETHER)
def test_a_level_without_rows_integrates_to_one_and_is_drawn_from_its_prior(code):
    rows, phi = made_rows(code, 1, levels=3)
    starts = np.array([0, 5, 5, 15])
    rows = rows._replace(starts=starts)
    rows.fresh[:] = 0.0
    rows.fresh[[0, 5]] = 1.0
    at = point(1, phi)
    level = likelihood(rows, 15)
    assert level.by_level(at)[0, 1] == pytest.approx(0.0, abs=1e-12)
    quick, slow = both_ways(rows, at, 15)
    assert quick == pytest.approx(slow, rel=1e-11, abs=1e-10)
    many = Points(*(np.repeat(a, 20_000, axis=0) for a in (at.L, at.beta, at.phi)))
    u = level.draw(many, np.random.default_rng(1)).effects[:, 1, 0] / at.L[0, 0, 0]
    # Five standard errors of mean and sd of normal draws.
    assert abs(u.mean()) < 5 / np.sqrt(20_000)
    assert abs(u.std() - 1.0) < 5 / np.sqrt(40_000)


@pytest.mark.parametrize("code", TOGETHER)
def test_levels_that_are_late_are_found_one_by_one(code):
    """From where Newton's method overshoots, some levels of a point need more than a few steps."""
    rows, phi = made_rows(code, 1, levels=6, rows=30)
    at = point(1, phi, scale=3.0)
    level = likelihood(rows, 31)
    expected = level.by_level(at)
    level.modes[::2] = -8.0
    assert level.by_level(at) == pytest.approx(expected, abs=1e-8)


def test_counts_of_a_million_are_integrated():
    rows, phi = made_rows(codes.POISSON, 1, levels=2)
    large = LevelRows(rows.code, rows.X, rows.Z, rows.y + 1e6, *rows[4:])
    at = Points(np.array([[[0.5]]]), np.array([[13.8, 0.0]]), phi[None])
    few, many = (likelihood(large, K).values(at)[0] for K in (7, 21))
    assert np.isfinite(few)
    # Log-densities of 1e7 with sixteen digits.
    assert few == pytest.approx(many, abs=1e-6)


@pytest.mark.parametrize("shape", [1e4, 1e6, 1e9, 1e12, 1e16, 1e30, 1e90])
@pytest.mark.parametrize("q", [1, 2])
def test_negative_binomials_of_large_shape_are_nearly_poisson(q, shape):
    rows, _ = made_rows(codes.NEGBINOMIAL, q)
    poisson = likelihood(rows._replace(code=codes.POISSON), 15)
    limit = poisson.values(point(q, np.zeros(0)))[0]
    at = point(q, np.array([shape]))
    found = likelihood(rows, 15)
    # To first order in 1 / shape they differ by half of sum((y - mu)^2 - y) / shape.
    apart = 0.5 * (np.sum(rows.y**2) + 1e3) / shape
    assert found.values(at)[0] == pytest.approx(limit, abs=apart + 1e-9)
    _, slopes = found.value_and_slopes(at)
    assert abs(slopes.phi[0] * shape) < apart + 1e-11


def test_the_quick_exponential_is_exact_to_two_units_in_the_last_place():
    import numba

    @numba.njit
    def all_of(x, out):
        for i in range(len(x)):
            out[i] = quick_exp(x[i])

    x = np.concatenate([np.linspace(-700, 700, 4001), np.linspace(-1, 1, 1001)])
    out = np.empty_like(x)
    all_of(x, out)
    assert np.abs(out / np.exp(x) - 1).max() < 5e-16
    all_of(np.array([-1e308, 1e308]), out[:2])
    assert out[:2] == pytest.approx([np.exp(-700), np.exp(700)])


def test_the_quick_logarithm_is_exact_to_two_units_in_the_last_place():
    import numba

    @numba.njit
    def all_of(x, out):
        for i in range(len(x)):
            out[i] = quick_log(x[i])

    x = np.concatenate([np.exp(np.linspace(-700, 700, 4001)), np.linspace(0.5, 2.0, 1001)])
    out = np.empty_like(x)
    all_of(x, out)
    exact = np.log(x)
    assert np.abs(out - exact).max() < 2.5e-13  # two units of 700
    other = exact != 0.0
    assert np.abs(out[other] / exact[other] - 1).max() < 5e-16
    assert out[~other] == pytest.approx(0.0, abs=0.0)
