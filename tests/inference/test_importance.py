"""Proposals and importance sampling of densities whose integrals are known."""

import numpy as np
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.inference.importance.algorithm import extend, sample_target
from bayeslmm.inference.importance.proposal import Mixture, SplitT
from bayeslmm.inference.laplace import find_mode, find_modes
from bayeslmm.inference.reweighting import effective_draws, resample

COUNT = 8000


class Density:
    """A log-density by a function of points; gradients by differences."""

    def __init__(self, function, size, folded=()):
        self.function, self.size, self.folded = function, size, folded

    def log_density(self, points):
        return np.atleast_1d(self.function(points))

    def log_density_and_gradient(self, point):
        steps = 1e-5 * np.eye(self.size)
        ends = [self.function(point + sign * steps) for sign in (1, -1)]
        return float(self.log_density(point[None])[0]), (ends[0] - ends[1]) / 2e-5


def normal(mean, sd):
    return lambda x: stats.norm(mean, sd).logpdf(x).sum(axis=1)


def mixture_of(*parts):
    """log of the sum of weight times density, over (weight, function)."""
    return lambda x: np.logaddexp.reduce([np.log(w) + f(x) for w, f in parts])


def run(density, start=None, seed=1, count=COUNT):
    start = np.zeros(density.size) if start is None else start
    return sample_target(
        density, [start], np.ones(density.size), count, np.random.default_rng(seed)
    )


@pytest.fixture
def split():
    axes = np.array([[1.0, 0.3], [-0.2, 2.0]])
    return SplitT(np.array([1.0, -2.0]), axes, np.array([0.5, 2.0]), np.array([1.5, 0.7]), 4.0)


def test_a_split_t_integrates_to_one(split):
    # x = c + A r t(a), t = tan(pi u / 2): polar coordinates reach the heavy tails.
    u, w = np.polynomial.legendre.leggauss(200)
    angles = np.pi * (u + 1)
    radii = np.tan(np.pi / 4 * (u + 1))
    total = 0.0
    for radius, weight in zip(radii, w, strict=True):
        ring = np.column_stack([np.cos(angles), np.sin(angles)]) * radius
        density = np.exp(split.log_density(split.center + ring @ split.axes.T))
        stretch = np.pi / 4 * (1 + radius**2) * radius
        total += weight * stretch * np.pi * (w @ density)
    total *= abs(np.linalg.det(split.axes))
    # The density has kinks along the axes, where the quadrature by angles converges slowly.
    assert total == pytest.approx(1.0, abs=2e-3)


def test_without_a_split_it_is_the_multivariate_t():
    axes = np.array([[1.0, 0.0], [0.5, 2.0]])
    one = np.ones(2)
    ours = SplitT(np.array([1.0, 2.0]), axes, one, one, 5.0)
    points = np.random.default_rng(1).normal(0, 5, (50, 2))
    expected = stats.multivariate_t([1.0, 2.0], axes @ axes.T, df=5).logpdf(points)
    np.testing.assert_allclose(ours.log_density(points), expected, rtol=1e-12)


def test_draws_of_a_mixture_follow_its_density(split):
    both = Mixture((split, split.widened(3.0, 3.0)), np.array([0.7, 0.3]))
    points = both.draw(200_000, np.random.default_rng(2))
    # E[f / q] = 1 for any density f that q covers, region by region: f normal, cut into quadrants.
    target = stats.multivariate_normal([0.0, -1.0], [[2.0, 0.5], [0.5, 3.0]])
    ratio = np.exp(target.logpdf(points) - both.log_density(points))
    for side_x in (1, -1):
        for side_y in (1, -1):
            inside = (side_x * (points[:, 0] - 1) > 0) & (side_y * (points[:, 1] + 2) > 0)
            values = ratio * inside
            direct = target.rvs(200_000, random_state=np.random.default_rng(3))
            share = ((side_x * (direct[:, 0] - 1) > 0) & (side_y * (direct[:, 1] + 2) > 0)).mean()
            error = np.hypot(values.std() / np.sqrt(2e5), np.sqrt(share / 2e5))
            assert values.mean() == pytest.approx(share, abs=4 * error)


def test_the_climb_finds_mode_and_curvature():
    covariance = np.array([[2.0, 0.9], [0.9, 1.0]])
    target = Density(stats.multivariate_normal([3.0, -1.0], covariance).logpdf, 2)
    peak = find_mode(target, np.zeros(2), np.ones(2))
    # Differences of differences: some 1e-5.
    np.testing.assert_allclose(peak.point, [3.0, -1.0], atol=1e-3)
    np.testing.assert_allclose(peak.covariance, covariance, rtol=1e-3)
    assert peak.log_mass + np.log(2 * np.pi) == pytest.approx(0.0, abs=1e-3)


class Steep:
    """A normal density so narrow that its curvature, in the coordinates' units, overflows."""

    size, folded = 2, ()

    def log_density(self, points):
        return -5e307 * np.sum(points**2, axis=1)

    def log_density_and_gradient(self, point):
        return float(self.log_density(point[None])[0]), -1e308 * point


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_density_without_curvature_in_numbers_has_no_mode():
    start, units = np.full(2, 1e-160), np.full(2, 10.0)
    assert find_mode(Steep(), start, units) is None
    rng = np.random.default_rng(1)
    found = sample_target(Steep(), [start], units, COUNT, rng)
    assert not found.usable
    assert "no mode" in found.how


def test_modes_apart_are_all_found_and_shared_out():
    far = mixture_of((0.3, normal(-6.0, 1.0)), (0.7, normal(6.0, 0.5)))
    target = Density(far, 1)
    starts = [np.array([-5.0]), np.array([-4.0]), np.array([4.0])]
    peaks = find_modes(target, starts, np.ones(1))
    assert [round(float(peak.point[0])) for peak in peaks] == [6, -6]
    found = sample_target(target, starts, np.ones(1), COUNT, np.random.default_rng(1))
    assert found.usable
    # Standard error of the evidence: relative sd of the weights over the root of their number.
    assert found.log_evidence == pytest.approx(0.0, abs=0.06)
    assert found.weights @ (found.points[:, 0] > 0) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_evidence_of_a_skewed_density_is_its_integral(seed):
    # log x with x ~ Gamma(1.5), and a t: long tails to one side, and to both.
    def log_gamma(x):
        gamma = stats.loggamma(1.5).logpdf(x[:, 0])
        return gamma + stats.t(4, loc=0.5 * x[:, 0]).logpdf(x[:, 1])

    found = run(Density(log_gamma, 2), seed=seed)
    assert found.pareto_k < 0.5
    error = np.sqrt(1 / found.effective_size - 1 / len(found.points))
    assert found.log_evidence == pytest.approx(0.0, abs=4 * error)
    mean = found.weights @ found.points[:, 0]
    sd = stats.loggamma(1.5).std()
    assert mean == pytest.approx(stats.loggamma(1.5).mean(), abs=4 * sd / found.effective_size**0.5)


def test_a_folded_hill_is_sampled_on_both_sides():
    def folded(x):
        return stats.halfnorm(scale=2).logpdf(np.abs(x[:, 0])) - np.log(2)

    found = run(Density(folded, 1, folded=(0,)), start=np.ones(1))
    assert found.pareto_k < 0.5
    assert found.log_evidence == pytest.approx(0.0, abs=0.03)
    assert found.weights @ (found.points[:, 0] > 0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("sd", [0.3, 1.0])
@pytest.mark.parametrize("distance", [3.0, 5.0, 7.0, 10.0])
def test_a_second_mode_that_no_start_leads_to_is_sampled_or_seen(distance, sd, seed):
    hidden = mixture_of((0.5, normal(0.0, 1.0)), (0.5, normal(distance, sd)))
    found = run(Density(hidden, 1), seed=seed)
    error = np.sqrt(1 / max(found.raw_size, 1) - 1 / len(found.points))
    # Half the mass gone is log 2.
    assert not found.usable or abs(found.log_evidence) < max(5 * error, 0.05) < 0.5


def test_one_point_on_the_slope_of_a_far_mode_is_enough_to_find_it():
    hidden = mixture_of((0.5, normal(0.0, 1.0)), (0.5, normal(14.0, 0.3)))
    for seed in range(4):
        found = run(Density(hidden, 1), seed=seed)
        assert found.usable
        assert found.log_evidence == pytest.approx(0.0, abs=0.05)


def test_a_needle_that_is_hit_is_measured_or_shows_in_k_hat():
    # Nothing to climb on its sides, and too thin for more than a point or two of the first try.
    def needle(x):
        bump = stats.norm(0, 1).logpdf(x[:, 0])
        return np.where(np.abs(x[:, 0] - 9.0) < 0.02, 7.0, bump)

    truth = np.log(1 + 0.04 * np.exp(7.0))
    tries = [run(Density(needle, 1), seed=seed) for seed in range(2, 6)]
    hit = [each for each in tries if (np.abs(each.points - 9.0) < 0.02).any()]
    assert any(each.pareto_k >= 0.7 and not each.usable for each in hit)
    for each in hit:
        assert not each.usable or each.log_evidence == pytest.approx(truth, abs=0.1)


def test_scouts_find_a_mode_that_the_proposal_cannot_reach():
    hidden = mixture_of((0.5, normal(0.0, 1.0)), (0.5, normal(40.0, 2.0)))
    target, rng = Density(hidden, 2), np.random.default_rng(1)
    exploratory = rng.uniform(-60.0, 60.0, (1000, 2))
    found = sample_target(target, [np.zeros(2)], np.ones(2), COUNT, rng, exploratory=exploratory)
    assert found.how == "split t at each of 2 modes"
    assert found.usable
    assert found.log_evidence == pytest.approx(0.0, abs=0.06)


@pytest.mark.parametrize("width", [300.0, 3e3])
def test_a_nearly_flat_density_under_a_bump_shows_in_k_hat(width):
    # A search for a mode takes the bump for the whole; half of the mass is all over the place.
    flat = mixture_of((0.5, normal(0.0, 1.0)), (0.5, normal(0.0, width)))
    found = run(Density(flat, 1), seed=2)
    assert found.pareto_k >= 0.7 or abs(found.log_evidence) < 0.1


def test_where_nothing_can_be_evaluated_nothing_is_usable():
    found = run(Density(lambda x: np.full(len(x), -np.inf), 1))
    assert not found.usable
    assert found.pareto_k == np.inf


def test_the_seed_decides():
    target = Density(normal(0.0, 1.0), 2)
    one, other, third = run(target, seed=3), run(target, seed=3), run(target, seed=4)
    np.testing.assert_array_equal(one.points, other.points)
    assert not np.array_equal(one.points, third.points)


def test_more_points_are_worth_more():
    target = Density(normal(0.0, 1.0), 2)
    first = run(target, count=500)
    longer = extend(target, first, 1500, np.random.default_rng(9))
    assert len(longer.points) == 2000
    assert {*first.points[:, 0]} < {*longer.points[:, 0]}
    assert longer.effective_size > 3 * first.effective_size
    assert longer.n_evaluations == first.n_evaluations + 1500


def test_resampling_takes_each_point_as_often_as_it_weighs_give_or_take_one():
    weights = np.random.default_rng(4).dirichlet(np.full(300, 0.3))
    places = resample(weights, np.random.default_rng(5), 1000)
    counts = np.bincount(places, minlength=300)
    assert len(places) == 1000
    assert (np.abs(counts - 1000 * weights) < 1).all()
    assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("spread", [0.1, 0.6, 1.5])
def test_effective_draws_are_those_of_the_means_of_many_resamplings(spread):
    rng = np.random.default_rng(6)
    draws, repeats = 400, 3000
    means = np.empty(repeats)
    worth = np.empty(repeats)
    for k in range(repeats):
        weights = rng.lognormal(0.0, spread, 800)
        weights /= weights.sum()
        means[k] = rng.normal(size=800)[resample(weights, rng, draws)].mean()
        worth[k] = effective_draws(weights, draws)
    # A variance from 3,000 means is known to sqrt(2 / 3000), 2.6 %.
    assert np.mean(1.0 / worth) == pytest.approx(means.var(), rel=0.1)


def test_points_are_added_where_they_are_worth_few_draws():
    formula, table = "score ~ Machine + (Machine | Worker)", bl.load_dataset("machines")
    how = {"parametrization": "marginal", "sampler": "importance", "progressbar": False}
    stats = bl.fit_bayes(formula, table, random_seed=1, **how)["sample_stats"]
    assert stats.attrs["n_points"] < 16_000
    assert stats.attrs["ess_weights"] > 1.4 * 4000
    # Some nine tenths: what systematic resampling leaves of points worth 1.5 draws each.
    assert 0.85 * 4000 < stats.attrs["ess_draws"] <= 4000
