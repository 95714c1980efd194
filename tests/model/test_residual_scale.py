"""Standard deviations of residuals by strata, formulas, known errors; their interpolation."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.model.residual.chebyshev import chebyshev_nodes, lagrange_weights
from bayeslmm.model.residual.interpolation import (
    WINDOW,
    InterpolatedProducts,
    interpolation_error,
    lines_of,
    products_of,
)
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.model.residual.products import ResidualProducts

N = 60
SPELLINGS = {
    "strata": {"sigma": "~ 0 + f"},
    "contrasts": {"sigma": "sigma ~ f"},
    "number": {"sigma": "~ x"},
    "several": {"sigma": "~ f * x + z"},
    "known": {"se": "e"},
    "known and one": {"se": "e", "sigma": "~ 1"},
    "known and strata": {"se": "e", "sigma": "~ 0 + f"},
}


def table(n=N, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "y": rng.normal(size=n) + 5.0,
        "x": rng.normal(size=n).round(1),
        "z": rng.uniform(size=n),
        "f": [("a", "b", "c")[k] for k in rng.integers(0, 3, n)],
        "g": [f"g{k}" for k in np.arange(n) % 6],
        "e": rng.uniform(1.0, 2.0, n),
    }


def structure(spelling, n=N):
    design = bl.build_design("y ~ x + (1 | g)", table(n), **SPELLINGS[spelling])
    return design, structured_residuals(design.residual)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_bases_and_determinant_are_those_of_the_dense_covariance(spelling):
    _, R = structure(spelling)
    phi = np.random.default_rng(4).uniform(0.5, 1.5, (2, R.size))
    c, logdet = R.coefficients(phi)
    records = R.records()
    weight = 1.0 if records.factor is None else records.factor
    for k, dense in enumerate(R.covariance(phi, np.arange(N))):
        P = np.zeros((N, N))
        np.add.at(P, (records.first, records.second), c[k, records.base] * weight)
        np.testing.assert_allclose(P @ dense, np.eye(N), atol=1e-12)
        assert logdet[k] == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-10)
        assert R.mean_variance(phi)[k] == pytest.approx(np.diag(dense).mean(), rel=1e-12)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_pull_back_is_the_derivative(spelling):
    _, R = structure(spelling)
    rng = np.random.default_rng(5)
    phi, by_c, h = rng.uniform(0.5, 1.5, R.size), rng.normal(size=R.n_bases), 1e-6

    def value(at):
        c, logdet = R.coefficients(at[None])
        return by_c @ c[0] + 0.3 * logdet[0]

    expected = [(value(phi + h * e) - value(phi - h * e)) / (2 * h) for e in np.eye(R.size)]
    # Central differences over 1e-6 round at some 1e-8.
    np.testing.assert_allclose(R.pull_back(phi, by_c, 0.3), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spelling", [s for s in SPELLINGS if s != "known"])
def test_variables_and_parameters_are_each_others_inverse(spelling):
    _, R = structure(spelling)
    phi = np.random.default_rng(6).uniform(0.5, 1.5, (2, 3, R.size))
    variables = R.variables(phi)
    assert {name: value.ndim - 2 for name, value in variables.items()} == {
        name: len(dims) for name, dims in R.dims.items()
    }
    np.testing.assert_array_equal(R.phi(variables), phi)


def test_names_are_what_users_see():
    assert [e.name for e in structure("strata")[1].entries] == [f"sigma_by[{f}]" for f in "abc"]
    assert [e.name for e in structure("contrasts")[1].entries] == [
        "sigma", "beta_sigma[f[T.b]]", "beta_sigma[f[T.c]]"
    ]  # fmt: skip
    assert structure("known")[1].entries == ()
    assert structure("known and strata")[1].name == "sigma ~ 0 + f, known standard errors"


def test_slopes_of_sigma_are_relative_to_the_columns_means():
    design, R = structure("number")
    phi = np.array([[2.0, 0.5]])
    x = np.asarray(table()["x"])
    expected = 2.0 * np.exp(0.5 * (x - x.mean()))
    np.testing.assert_allclose(R.sd(phi)[0, R.cell], expected, rtol=1e-13)
    assert design.residual.names == ("Intercept", "x")


def test_a_formula_without_level_is_refused():
    with pytest.raises(bl.ArgumentError, match="has no intercept"):
        structured_residuals(bl.build_design("y ~ 1", table(), sigma="~ 0 + x").residual)


@pytest.mark.parametrize("count", [5, 32])
def test_lagrange_weights_reproduce_polynomials(count):
    nodes, t = chebyshev_nodes(count), np.linspace(-1.0, 1.0, 77)
    weights = lagrange_weights(np.concatenate([t, nodes]), nodes)
    at = np.concatenate([t, nodes])
    for power in (0, 1, count - 1):
        np.testing.assert_allclose(weights @ nodes**power, at**power, atol=1e-12)


def test_interpolation_error_is_negligible_in_the_window_only():
    assert interpolation_error(WINDOW) < 1e-10
    assert interpolation_error(2 * WINDOW) > 1e-3


def test_columns_on_no_line_are_not_interpolated():
    rng = np.random.default_rng(7)
    x, z = rng.normal(size=(2, 50))
    f = np.repeat([0.0, 1.0], 25)
    assert lines_of(np.column_stack([f, x, f * x])) is not None
    assert lines_of(np.column_stack([x, x**2])) is None
    assert lines_of(np.column_stack([x, z])) is None


@pytest.mark.parametrize("sigma", ["~ x", "~ f + f:x", "~ f * x"])
def test_interpolated_products_are_the_exact_ones(sigma):
    t = table(4000)
    t["x"] = np.random.default_rng(8).normal(size=4000)
    design = bl.build_design("y ~ x + (x | g)", t, sigma=sigma)
    R = structured_residuals(design.residual)
    found = products_of(design, R)
    assert isinstance(found, InterpolatedProducts)
    exact = ResidualProducts(R, found.gram)
    rng = np.random.default_rng(9)
    for spread in (0.2, 3.0):  # within the window, and outside
        phi = np.concatenate([[1.1], spread * rng.uniform(0.5, 1.0, R.size - 1)])
        assert found.within(phi[None])[0] == (spread < 1.0)
        floats, expected = found.floats(phi), exact.floats(phi)
        # Weights are off by at most 1e-12 in the smaller window that these points lie in.
        np.testing.assert_allclose(floats, expected, atol=1e-11 * np.abs(expected).max())
        d_floats = rng.normal(size=len(floats))
        d_floats[: len(found.gram.head)] = 0.0
        slopes = exact.pull_back(phi, d_floats)
        np.testing.assert_allclose(
            found.pull_back(phi, d_floats), slopes, atol=1e-9 * np.abs(slopes).max()
        )
