"""Posteriors with interpolated or shared evaluations: the exact ones, within what is promised."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.gram.gram import gram_of
from bayeslmm.gram.reduction import reduce_exactly
from bayeslmm.inference.importance.interpolated_target import (
    InterpolatedTarget,
    ReducedTarget,
    exact_seconds,
    interpolate_posterior,
    interpolation_error,
    is_expensive,
    near_peak,
)
from bayeslmm.inference.importance.surrogate import TOLERANCE
from bayeslmm.inference.laplace import find_mode, starting_points
from bayeslmm.inference.marginal.target import MarginalTarget

PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def crossed_target(formula=PENICILLIN, priors=None, **columns):
    table = bl.load_dataset("penicillin").assign(**columns)
    design = bl.build_design(formula, table)
    return MarginalTarget(gram_of(design), bl.resolve_priors(design, priors))


def near_mode(target, made, count=200):
    """Points within some two standard deviations of the mode."""
    (mode,), spread = made.start()
    return mode + np.random.default_rng(4).normal(size=(count, target.size)) * spread


@pytest.fixture(
    scope="module",
    params=[None, {"Intercept": "StudentT(4, 22, 3)"}],
    ids=["beta integrated", "beta sampled"],
)
def pair(request):
    target = crossed_target(priors=request.param)
    return target, interpolate_posterior(target, np.random.default_rng(1))


def test_an_interpolated_density_is_the_exact_one_up_to_a_constant(pair):
    target, made = pair
    assert isinstance(made, InterpolatedTarget)
    assert made.record.converged
    points = near_mode(target, made)
    error = made.log_density(points) - target.log_density(points)
    # Twice the promise: these points are spread evenly, not by the posterior.
    assert np.std(error) < 2 * TOLERANCE
    exact = reduce_exactly(target.gram, target.packed(points))
    np.testing.assert_allclose(
        interpolation_error(made, points, exact), -(error - error.mean()), atol=1e-6
    )


def test_the_peak_is_near_the_mode_after_a_few_gradients(pair):
    target, _ = pair
    starts, units = starting_points(target, several=False)
    near, climbed = near_peak(target, starts[0], units), find_mode(target, starts[0], units)
    sd = np.sqrt(np.diag(climbed.covariance))
    # A proposal half a standard deviation off loses a tenth of its draws.
    assert np.abs((near.point - climbed.point) / sd).max() < 0.5
    np.testing.assert_allclose(np.sqrt(np.diag(near.covariance)), sd, rtol=0.3)
    assert near.n_evaluations < climbed.n_evaluations


def test_a_peak_far_from_the_start_is_climbed_to(pair):
    target, _ = pair
    starts, units = starting_points(target, several=False)
    climbed = find_mode(target, starts[0], units)
    near = near_peak(target, starts[0] + 2.0, units)
    sd = np.sqrt(np.diag(climbed.covariance))
    assert np.abs((near.point - climbed.point) / sd).max() < 0.5


def test_slopes_by_differences_are_those_of_the_exact_density(pair):
    target, made = pair
    spread = made.start()[1]
    for point in near_mode(target, made, 5):
        _, exact = target.log_density_and_gradient(point)
        _, slopes = made.log_density_and_gradient(point)
        # Per standard deviation: an error of 0.02 over a deviation, and some of interpolation's.
        np.testing.assert_allclose(slopes * spread, exact * spread, atol=0.1)


def test_an_interpolation_serves_folded_coordinates_too(pair):
    target, made = pair
    folded = made.with_folded([0])
    assert isinstance(folded, InterpolatedTarget)
    assert folded.folded == (0,)
    points = near_mode(target, made, 50)
    other = folded.point(target.parameters(points))
    exact = target.with_folded([0])
    error = folded.log_density(other) - exact.log_density(other)
    assert np.std(error) < 2 * TOLERANCE
    mode, spread = folded.start()
    assert folded.parameters(mode[0])[0] == pytest.approx(made.parameters(made.start()[0][0])[0])
    assert (spread > 0).all()


def test_points_without_prior_density_have_none(pair):
    target, made = pair
    point = made.start()[0][0][None].copy()
    point[0, target.n_sds] = 800.0  # exp overflows
    assert made.log_density(point)[0] == -np.inf
    assert made.log_density_and_gradient(point[0])[0] == -np.inf


def test_without_an_interpolation_values_are_exact_and_the_record_says_why():
    wide = crossed_target(
        "diameter ~ 1 + (1 + x + I(x**2) | plate) + (1 | sample)", x=np.linspace(-1, 1, 144)
    )
    refused = interpolate_posterior(wide, np.random.default_rng(1), threads=2)
    assert "7 free entries" in refused.record.reason
    starved = interpolate_posterior(
        crossed_target(), np.random.default_rng(1), budget=30, threads=2
    )
    assert "too few" in starved.record.reason
    for target, made in ((wide, refused), (crossed_target(), starved)):
        assert type(made) is ReducedTarget
        points = np.random.default_rng(2).normal(size=(20, target.size)) * 0.3
        np.testing.assert_allclose(made.log_density(points), target.log_density(points), rtol=1e-10)
        folded = made.with_folded([0])
        assert folded.folded == (0,)
        assert folded.record == made.record


def test_a_factor_without_variance_is_interpolated_down_to_zero():
    noise = np.random.default_rng(3).integers(12, size=144).astype(str)
    target = crossed_target("diameter ~ 1 + (1 | plate) + (1 | noise)", noise=noise)
    made = interpolate_posterior(target, np.random.default_rng(1))
    assert isinstance(made, InterpolatedTarget)
    mode = made.start()[0][0]
    points = np.tile(mode, (9, 1))
    points[:, 1] = mode[1] - np.arange(9.0)  # sd of the noise from its mode to a 3,000th of it
    error = made.log_density(points) - target.log_density(points)
    inside = np.isfinite(made.log_density(points))
    assert inside.all()
    assert np.ptp(error) < 5 * TOLERANCE
    # On the folded scale zero is an ordinary point, with a slope on the side that exists.
    folded = made.with_folded([1])
    at_zero = folded.start()[0][0].copy()
    at_zero[1] = 0.0
    value, slopes = folded.log_density_and_gradient(at_zero)
    assert np.isfinite(value)
    assert np.isfinite(slopes).all()
    exact = target.with_folded([1]).log_density_and_gradient(at_zero)[1]
    np.testing.assert_allclose(slopes * folded.start()[1], exact * folded.start()[1], atol=0.1)


def test_only_large_designs_are_dear():
    assert not is_expensive(crossed_target().gram)
    rng = np.random.default_rng(0)
    table = {
        "y": rng.normal(size=4000),
        "a": rng.integers(500, size=4000).astype(str),
        "b": rng.integers(400, size=4000).astype(str),
    }
    crossed = gram_of(bl.build_design("y ~ 1 + (1 | a) + (1 | b)", table))
    assert is_expensive(crossed)
    # Measured on one busy core: 1.5 ms.
    assert 1e-3 < exact_seconds(crossed) < 3e-3
