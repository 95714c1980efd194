"""The collapsed density, its gradient, conditional moments and draws, against dense matrices."""

from dataclasses import replace

import dense
import numpy as np
import pytest
from designs import KINDS, pack, random_design, random_factors

from bayeslmm.errors import NumericalError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import (
    conditional,
    criterion,
    draw_effects,
    log_density,
    pack_factors,
    profiled_criterion,
    unpack_factors,
)
from bayeslmm.kernels.densities import ML, ML_AT_COEFFICIENT, ML_AT_SIGMA, REML, evaluate

SIGMA = 1.3
MEAN = np.array([0.0, 0.5, 1.0])
COV = np.array([[4.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 2.0]])
# Densities of 60 rows are sums of some thousand products of numbers near one.
EXACT = 1e-9
CASES = [(kind, weighted) for kind in KINDS for weighted in (False, True)]


def make(kind, weighted=False, **kwargs):
    design = random_design(kind, 1, weighted=weighted, offset=weighted, **kwargs)
    return design, Gram.from_design(design), random_factors(design, 2)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_the_density_is_the_multivariate_normal_of_the_dense_covariance(kind, weighted):
    design, gram, lams = make(kind, weighted)
    value = log_density(gram, lams, SIGMA, MEAN, np.linalg.inv(COV))[0]
    assert value == pytest.approx(dense.log_density(design, lams, SIGMA, MEAN, COV), abs=EXACT)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_the_criteria_are_those_of_the_dense_covariance(kind, weighted):
    design, gram, lams = make(kind, weighted)
    for restricted in (True, False):
        value, _, sigma = profiled_criterion(gram, pack(lams), restricted=restricted)
        exact = dense.criterion(design, lams, sigma, restricted)
        assert value == pytest.approx(exact, abs=EXACT)
        for other in (0.97 * sigma, 1.03 * sigma):
            assert dense.criterion(design, lams, other, restricted) > exact


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_the_criteria_are_densities_at_the_best_sigma_and_beta(kind, weighted):
    """Profiled, held and integrated forms meet where what is held is at its best."""
    _, gram, lams = make(kind, weighted)
    packed = pack(lams)
    reml, _, sigma = criterion(gram, packed, REML)
    # The same numbers, added in another order.
    assert -2.0 * log_density(gram, lams, sigma)[0] == pytest.approx(reml, rel=1e-12)
    ml, _, sigma = criterion(gram, packed, ML)
    assert criterion(gram, packed, ML_AT_SIGMA, sigma)[0] == pytest.approx(ml, rel=1e-12)
    beta, direction = conditional(gram, lams, sigma).beta, np.array([0.5, 1.0, -2.0])
    held, _, sigma_held = evaluate(
        gram.plan.ints, gram.plan.floats, packed, direction @ beta, direction, np.zeros((3, 3)),
        ML_AT_COEFFICIENT, False,
    )  # fmt: skip
    assert held == pytest.approx(ml, rel=1e-12)
    assert sigma_held == pytest.approx(sigma, rel=1e-12)


def test_a_flat_prior_gives_the_restricted_likelihood():
    design, gram, lams = make("nested")
    value = log_density(gram, lams, SIGMA)[0]
    assert -2 * value == pytest.approx(dense.criterion(design, lams, SIGMA, True), abs=EXACT)


def test_a_prior_that_is_flat_for_one_coefficient_only_is_the_limit_of_wide_ones():
    _, gram, lams = make("slope")
    precision = np.diag([0.0, 1.0, 0.5])
    value = log_density(gram, lams, SIGMA, MEAN, precision)[0]
    wide = precision + np.diag([1e-9, 0.0, 0.0])
    limit = log_density(gram, lams, SIGMA, MEAN, wide)[0] + 0.5 * np.log(2 * np.pi / 1e-9)
    assert value == pytest.approx(limit, abs=1e-6)  # the width adds terms of order 1e-9 * n


def central(function, x, step=1e-4):
    """Richardson's combination of two central differences: error of order step^4."""

    def slope(h):
        return np.array(
            [(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))]
        )

    return (4.0 * slope(step / 2) - slope(step)) / 3.0


# Rounding of a value near 100 in a difference over 1e-4.
SLOPE = {"rtol": 1e-7, "atol": 2e-8}


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_gradients_agree_with_finite_differences(kind, weighted):
    _, gram, lams = make(kind, weighted)
    precision = np.linalg.inv(COV)
    _, d_lams, d_sigma = log_density(gram, lams, SIGMA, MEAN, precision)

    def density(x):
        return log_density(gram, unpack_factors(gram, x[:-1]), x[-1], MEAN, precision)[0]

    numeric = central(density, np.append(pack(lams), SIGMA))
    expected = [np.tril(part) for part in unpack_factors(gram, numeric[:-1])]
    for got, want in zip(d_lams, expected, strict=True):
        assert np.allclose(got, want, **SLOPE)
    assert d_sigma == pytest.approx(numeric[-1], rel=1e-7)
    for restricted in (True, False):
        gradient = profiled_criterion(gram, pack(lams), restricted=restricted)[1]
        numeric = central(
            lambda x, r=restricted: profiled_criterion(gram, x, restricted=r)[0], pack(lams)
        )
        assert np.allclose(gradient, numeric, **SLOPE)


@pytest.mark.parametrize("kind", ["three", "three_levels", "three_crossed", "nested_and_crossed"])
@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-4])
def test_gradients_are_right_at_and_near_standard_deviations_of_zero(kind, scale):
    _, gram, lams = make(kind)
    if len(lams) == 1:
        lams = [np.diag([1.0, scale, 1.0]) @ lams[0]]
    else:
        lams = [lams[0] * scale, *lams[1:-1], lams[-1] * scale]
    value, d_lams, d_sigma = log_density(gram, lams, SIGMA)
    assert np.isfinite(value)
    assert np.isfinite(d_sigma)
    numeric = central(lambda x: log_density(gram, unpack_factors(gram, x), SIGMA)[0], pack(lams))
    for got, want in zip(d_lams, unpack_factors(gram, numeric), strict=True):
        assert np.allclose(got, np.tril(want), **SLOPE)


def test_a_design_without_random_effects_or_fixed_effects_has_its_density():
    design, gram, _ = make("intercept", p=0)
    lam = [np.array([[0.8]])]
    value = log_density(gram, lam, SIGMA, np.zeros(0), np.zeros((0, 0)))[0]
    exact = dense.log_density(design, lam, SIGMA, np.zeros(0), np.zeros((0, 0)))
    assert value == pytest.approx(exact, abs=EXACT)
    alone = replace(random_design("intercept", 1), factors=())
    value = log_density(Gram.from_design(alone), [], SIGMA, MEAN, np.linalg.inv(COV))[0]
    assert value == pytest.approx(dense.log_density(alone, [], SIGMA, MEAN, COV), abs=EXACT)


def test_an_overflowing_factor_gives_no_density_and_no_crash():
    _, gram, lams = make("crossed")
    value, d_lams, _ = log_density(gram, [1e200 * lam for lam in lams], SIGMA)
    assert value == -np.inf
    assert all(np.all(g == 0.0) for g in d_lams)
    with pytest.raises(NumericalError, match="too large"):
        conditional(gram, [1e200 * lam for lam in lams], SIGMA)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
@pytest.mark.parametrize("flat", [False, True])
def test_conditional_moments_are_the_dense_ones(kind, weighted, flat):
    design, gram, lams = make(kind, weighted)
    precision = np.zeros((3, 3)) if flat else np.linalg.inv(COV)
    mean, cov = dense.conditional(design, lams, SIGMA, MEAN, precision)
    got = conditional(gram, lams, SIGMA, precision, MEAN)
    assert np.allclose(got.beta, mean[:3], atol=EXACT)
    assert np.allclose(got.beta_cov, cov[:3, :3], atol=EXACT)
    at = 3
    # Given beta, the precision of b is the block of the joint precision.
    given = np.linalg.inv(np.linalg.inv(cov)[3:, 3:])
    for modes, own, marginal in zip(got.modes, got.cov, got.marginal_cov, strict=True):
        m, q = modes.shape
        for i in range(m):
            here = slice(at, at + q)
            assert np.allclose(modes[i], mean[here], atol=EXACT)
            assert np.allclose(marginal[i], cov[here, here], atol=EXACT)
            assert np.allclose(own[i], given[at - 3 : at - 3 + q, at - 3 : at - 3 + q], atol=EXACT)
            at += q


class Given:
    """Stands in for a generator: hands out the normals that it was given."""

    def __init__(self, *normals):
        self.normals = [part.copy() for part in normals]

    def standard_normal(self, shape):
        part = self.normals.pop(0)
        assert part.shape == tuple(shape)
        return part


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_the_dense_conditional_gaussian(kind):
    """Draws are an affine map of standard normals: its value at 0 and at each axis says it all."""
    design, gram, lams = make(kind, weighted=True)
    precision = np.linalg.inv(COV)
    mean, cov = dense.conditional(design, lams, SIGMA, MEAN, precision)
    size = 3 + gram.plan.n_columns
    normals = np.vstack([np.zeros(size), np.eye(size)])
    given = Given(normals[:, :3], normals[:, 3:])
    packed = np.tile(pack(lams), (size + 1, 1))
    sigma = np.full(size + 1, SIGMA)
    beta, effects = draw_effects(gram, packed, sigma, given, precision, MEAN)
    draws = np.hstack([beta, *(part.reshape(size + 1, -1) for part in effects)])
    linear = draws[1:] - draws[0]
    assert np.allclose(draws[0], mean, atol=EXACT)
    assert np.allclose(linear.T @ linear, cov, atol=EXACT)


@pytest.mark.parametrize(("kind", "weighted"), CASES)
def test_draws_from_no_noise_are_the_conditional_means(kind, weighted):
    """The moments in NumPy and the draws in compiled code solve the same equations for beta."""
    _, gram, lams = make(kind, weighted)
    moments = conditional(gram, lams, SIGMA, np.linalg.inv(COV), MEAN)
    nothing = Given(np.zeros((1, 3)), np.zeros((1, gram.plan.n_columns)))
    sigma = np.full(1, SIGMA)
    beta, effects = draw_effects(gram, pack(lams)[None], sigma, nothing, np.linalg.inv(COV), MEAN)
    # An inverse against a Cholesky factor of a well-conditioned 3 x 3 matrix.
    np.testing.assert_allclose(beta[0], moments.beta, rtol=1e-12, atol=1e-12)
    for drawn, modes in zip(effects, moments.modes, strict=True):
        np.testing.assert_allclose(drawn[0], modes, rtol=1e-12, atol=1e-12)


def test_every_draw_uses_its_own_parameters():
    _, gram, lams = make("crossed")
    packed = np.stack([pack(lams), pack(lams), 2.0 * pack(lams), pack(lams)])
    sigma = np.array([1.0, 2.0, 1.0, 1.0])
    rng = np.random.default_rng(3)
    fixed, random = rng.standard_normal((4, 3)), rng.standard_normal((4, gram.plan.n_columns))
    beta, effects = draw_effects(gram, packed, sigma, Given(fixed, random))
    for d in range(4):
        here = slice(d, d + 1)
        alone, parts = draw_effects(
            gram, packed[here], sigma[here], Given(fixed[here], random[here])
        )
        assert np.array_equal(alone[0], beta[d])
        for part, together in zip(parts, effects, strict=True):
            assert np.array_equal(part[0], together[d])


def test_nested_factors_leave_no_border_and_crossed_ones_the_smallest():
    assert Gram.from_design(random_design("three_levels")).plan.n_border == 0
    assert Gram.from_design(random_design("nested")).plan.order == (1, 0)
    plan = Gram.from_design(random_design("crossed")).plan
    assert (plan.n_chain, plan.n_border) == (1, 10)
    plan = Gram.from_design(random_design("nested_and_crossed")).plan
    assert (plan.n_chain, plan.n_border) == (3, 13)


def test_factors_of_another_shape_are_refused():
    _, gram, lams = make("crossed")
    with pytest.raises(ValueError, match=r"expected h: \(2, 2\), g: \(3, 3\)"):
        pack_factors(gram, lams[::-1])
