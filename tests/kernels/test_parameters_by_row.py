"""Quadrature where a family's parameters vary by row, against integrals of the rows one by one."""

import dataclasses

import numpy as np
import pytest
from levels import likelihood, made_rows, point
from scipy import integrate, stats

from bayeslmm.kernels.families import by_row, codes
from bayeslmm.kernels.families.rows import rows as family_rows
from bayeslmm.kernels.quadrature.level import QUICKLY, ROW_BY_ROW
from bayeslmm.kernels.quadrature.marginal import log_marginals
from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.rules import gauss_hermite

CODES = (codes.NEGBINOMIAL, codes.GAMMA, codes.STUDENT, codes.GAUSSIAN, codes.BETA_LOGIT)


def with_predictors(rows, phi, *, seed=3, spread=0.4):
    """Rows whose first parameter has a slope on its log scale, a last one of several too."""
    rng, n, k = np.random.default_rng(seed), len(rows.y), len(phi)
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    offset = 0.1 * rng.normal(size=(k, n))
    predictors = by_row.PhiRows(
        np.ascontiguousarray(np.tile(x, k).T), offset, 2 * np.arange(k + 1),
        np.full(k, by_row.LOG),
    )  # fmt: skip
    numbers = np.column_stack([np.log(phi), np.full(k, spread)]).ravel()
    return rows._replace(phi=predictors), numbers


def table_of(rows, numbers):
    """Each row's parameters, (n, k), by NumPy."""
    given, h = rows.phi, (lambda x: x, np.exp, lambda x: 1 / (1 + np.exp(-x)))
    columns = [
        h[given.links[j]](numbers[a:b] @ given.columns[a:b] + given.offset[j])
        for j, (a, b) in enumerate(zip(given.first[:-1], given.first[1:], strict=True))
    ]
    return np.stack(columns, axis=1)


def log_rows(rows, numbers, eta, part):
    """Sum of log p of some rows at their eta, each with its own parameters."""
    phi = table_of(rows, numbers)[part]
    return sum(
        family_rows(rows.code, *(np.array([v]) for v in row[:3]), row[3])[0][0]
        for row in zip(eta, rows.y[part], rows.known[part], phi, strict=True)
    )


@pytest.mark.parametrize("code", CODES)
def test_levels_are_integrated_as_row_by_row(code):
    rows, phi = made_rows(code, 1)
    rows, numbers = with_predictors(rows, phi)
    at = point(1, numbers)
    expected = []
    for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        part = slice(a, b)
        fixed, z = rows.X[part] @ at.beta[0] + rows.offset[part], rows.Z[part, 0] * at.L[0, 0, 0]

        def density(u, fixed=fixed, z=z, part=part):
            return np.exp(log_rows(rows, numbers, fixed + z * u, part)) * stats.norm.pdf(u)

        value = integrate.quad(
            density, -10, 10, epsabs=0.0, epsrel=1e-11, points=[-1, 0, 1], limit=400
        )[0]
        expected.append(np.log(value))
    # As where parameters are those of all rows, see test_quadrature.
    nodes, error = (151, 1e-7) if code == codes.STUDENT else (61, 1e-9)
    assert likelihood(rows, nodes).by_level(at)[0] == pytest.approx(expected, abs=error)


def both_ways(rows, at, n_nodes):
    J, q = len(rows.starts) - 1, rows.Z.shape[1]
    out = np.empty((2, 1, J))
    for task in (QUICKLY, ROW_BY_ROW):
        log_marginals(
            rows, gauss_hermite(n_nodes), at.L, at.beta, at.phi, np.zeros((J, q)), 1e-12, task,
            out[task], np.empty(1),
        )  # fmt: skip
    return out[:, 0]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
def test_the_quick_path_is_the_slow_one(code, q):
    rows, phi = made_rows(code, q, levels=6, rows=30, seed=1)
    rows, numbers = with_predictors(rows, phi)
    quick, slow = both_ways(rows, point(q, numbers), 9)
    # Sums of thirty logarithms, each with its rounding.
    assert quick == pytest.approx(slow, rel=1e-11, abs=1e-10)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("link", [by_row.IDENTITY, by_row.LOG])
def test_constant_columns_are_a_parameter_of_all_rows(code, q, link):
    rows, phi = made_rows(code, q, levels=4, rows=12)
    k, n = len(phi), len(rows.y)
    columns = by_row.PhiRows(
        np.ones((k, n)), np.zeros((k, n)), np.arange(k + 1), np.full(k, link)
    )  # fmt: skip
    numbers = np.log(phi) if link == by_row.LOG else phi
    one, each = likelihood(rows, 15), likelihood(rows._replace(phi=columns), 15)
    at, there = point(q, phi), point(q, numbers)
    # Sums of a dozen logarithms; negative binomials take other sums than with one shape.
    assert each.by_level(there)[0] == pytest.approx(one.by_level(at)[0], rel=1e-12, abs=1e-11)
    value, slopes = one.value_and_slopes(at)
    other, found = each.value_and_slopes(there)
    assert other == pytest.approx(value, rel=1e-12)
    for name in ("L", "beta"):
        expected = pytest.approx(getattr(slopes, name), rel=1e-9, abs=1e-10)
        assert getattr(found, name) == expected
    expected = slopes.phi * phi if link == by_row.LOG else slopes.phi
    assert found.phi == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("q", [1, 2])
def test_slopes_are_those_of_the_value(code, q):
    rows, phi = made_rows(code, q, levels=3)
    rows, numbers = with_predictors(rows, phi)
    at = point(q, numbers)
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
            ends = []
            for step in (1e-5, -1e-5):
                moved = array.copy()
                moved[0][place] += step
                ends.append(level.value_and_slopes(dataclasses.replace(at, **{name: moved}))[0])
            expected = (ends[0] - ends[1]) / 2e-5
            # Values of size ten over steps of 1e-5.
            assert getattr(slopes, name)[place] == pytest.approx(expected, rel=error, abs=1e-7), (
                name, place,
            )  # fmt: skip


@pytest.mark.parametrize("code", [codes.NEGBINOMIAL, codes.STUDENT, codes.BETA_LOGIT])
def test_draws_have_the_density_on_a_grid(code):
    rows, phi = made_rows(code, 1)
    rows, numbers = with_predictors(rows, phi)
    at = point(1, numbers)
    many = Points(*(np.repeat(a, 20_000, axis=0) for a in (at.L, at.beta, at.phi)))
    drawn = likelihood(rows, 9).draw(many, np.random.default_rng(1)).effects[:, 0, 0]
    part, grid = slice(rows.starts[0], rows.starts[1]), np.linspace(-6, 6, 601)
    fixed, z = rows.X[part] @ at.beta[0] + rows.offset[part], rows.Z[part, 0] * at.L[0, 0, 0]
    logs = np.array([log_rows(rows, numbers, fixed + z * u, part) - 0.5 * u * u for u in grid])
    density = np.exp(logs - logs.max())
    density /= density.sum()
    shares = np.interp(drawn / at.L[0, 0, 0], grid, np.cumsum(density) - 0.5 * density)
    # A fixed seed: a wrong density of 20,000 draws gives 1e-10 and less.
    assert stats.kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("shape", [1e4, 1e8, 1e14])
def test_negative_binomials_of_large_shapes_are_nearly_poisson(shape):
    rows, _ = made_rows(codes.NEGBINOMIAL, 1)
    limit = likelihood(rows._replace(code=codes.POISSON), 15).values(point(1, np.zeros(0)))[0]
    rows, numbers = with_predictors(rows, np.array([shape]))
    found = likelihood(rows, 15).values(point(1, numbers))[0]
    # To first order in 1 / shape they differ by half of sum((y - mu)^2 - y) / shape; shapes are
    # up to three times less here. Of y + shape trials, logarithms have 1e-16 of rounding each.
    apart = 1.5 * (np.sum(rows.y**2) + 1e3) / shape
    assert found == pytest.approx(limit, abs=apart + 1e-9)


def test_a_probability_by_row_follows_from_its_logit():
    x = np.array([-800.0, -2.0, 0.0, 1.5, 800.0])
    predictors = by_row.PhiRows(
        x[None], np.zeros((1, 5)), np.array([0, 1]), np.array([by_row.LOGIT])
    )
    phi, slope = np.zeros((5, 1)), np.empty(1)
    for_all, weight = np.array([1.0]), np.arange(1.0, 6.0)[:, None]
    filled = filler()
    filled(predictors, for_all, phi, weight, slope)
    expected = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
    assert phi[:, 0] == pytest.approx(expected, rel=1e-14)
    assert slope[0] == pytest.approx(np.sum(weight[:, 0] * expected * (1 - expected) * x))


def filler():
    import numba

    @numba.njit
    def both(predictors, numbers, phi, d_phi, d_numbers):
        by_row.set_phi(predictors, numbers, phi)
        by_row.set_number_slopes(predictors, phi, d_phi, d_numbers)

    return both
