"""Ordered categories: sticks and thresholds, slopes of means, and what stands between them."""

import numpy as np
import pytest
from family_members import CUTS, ORDERED
from scipy.integrate import quad
from scipy.special import expit

import bayeslmm as bl
from bayeslmm.analysis.prediction.average_mean import averaged_mean, averaged_over
from bayeslmm.families.registry import FAMILIES, bound_family, family_of

ALL = [family_of(name, link) for name in sorted(ORDERED) for link in family_of(name).links]
ETA = np.array([-3.0, -0.4, 0.0, 1.1, 4.0])


@pytest.fixture(params=ALL, ids=repr)
def family(request):
    return request.param


@pytest.fixture
def sticks():
    return np.random.default_rng(1).beta(1.0, 2.0, (4, 3))


def test_thresholds_give_the_probabilities_that_sticks_break(family, sticks):
    found = family.probabilities(np.zeros(3), {"threshold": family.thresholds(sticks)})
    whole = np.concatenate([np.ones((1, 3)), np.cumprod(1 - sticks, axis=0)])
    expected = whole * np.concatenate([sticks, np.ones((1, 3))])
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    np.testing.assert_allclose(family.sticks(family.thresholds(sticks)), sticks, rtol=1e-11)


def test_gradients_in_thresholds_are_carried_to_sticks(family, sticks):
    at, d_thresholds, step = sticks[:, 0], np.array([0.3, -1.0, 2.0, 0.7]), 1e-6
    found = family.pull_back(at, d_thresholds.copy())
    moved = [at + sign * step * np.eye(4) for sign in (1, -1)]
    up, down = (np.stack([family.thresholds(row) for row in rows]) for rows in moved)
    # Central differences: step^2 times a third derivative, and rounding of 1e-16 / step.
    np.testing.assert_allclose(found, (up - down) @ d_thresholds / (2 * step), rtol=1e-5)


def test_thresholds_of_probabilities_near_one_keep_their_digits():
    sticks = np.array([1.0 - 1e-14, 0.5])
    for link in ("logit", "probit", "cloglog"):
        first = family_of("cumulative", link).thresholds(sticks)[0]
        above = np.exp(family_of("cumulative", link).link.log_rest(first))
        np.testing.assert_allclose(above, 1.0 - sticks[0], rtol=1e-10)


def test_the_means_slope_is_its_derivative(family):
    phi, step = {"threshold": CUTS}, 1e-5
    differences = (family.mean(ETA + step, phi) - family.mean(ETA - step, phi)) / (2 * step)
    np.testing.assert_allclose(family.mean_slope(ETA, phi), differences, rtol=1e-6, atol=1e-9)


def test_two_categories_are_bernoulli():
    eta, y = ETA[:, None], np.array([1.0, 2.0])
    for link in ("logit", "probit", "cloglog"):
        yes = family_of("bernoulli", link)
        for name in ("cumulative", "sratio"):
            found = family_of(name, link).log_density(y, eta, {"threshold": np.array([0.7])}, None)
            # The lower category is what has the probability F(c - eta).
            np.testing.assert_allclose(found, yes.log_density(2.0 - y, 0.7 - eta, {}, None))
    found = family_of("acat").log_density(y, eta, {"threshold": np.array([0.7])}, None)
    np.testing.assert_allclose(
        found, family_of("bernoulli").log_density(y - 1, eta - 0.7, {}, None)
    )


def test_odds_are_what_each_family_says():
    phi = {"threshold": CUTS}
    p = family_of("cumulative").probabilities(ETA, phi)
    np.testing.assert_allclose(np.cumsum(p, axis=0)[:-1], expit(CUTS[:, None] - ETA), rtol=1e-12)
    p = family_of("acat").probabilities(ETA, phi)
    np.testing.assert_allclose(np.log(p[1:] / p[:-1]), ETA - CUTS[:, None], atol=1e-12)


def test_narrow_categories_keep_their_digits():
    phi = {"threshold": np.array([2.0, 2.0 + 1e-9])}
    for link in ("logit", "probit", "cloglog"):
        family = family_of("cumulative", link)
        for eta in (-20.0, 0.0, 20.0):
            density = family.link.derivative(np.array(2.0 - eta))
            found = family.log_density(np.array(2.0), np.array(eta), phi, None)
            if density > 1e-300:
                # A width of 1e-9 has lost seven digits of its own.
                np.testing.assert_allclose(found, np.log(density) + np.log(1e-9), rtol=1e-6)
            assert np.isfinite(found)


def test_averages_over_normal_effects_are_integrals(family):
    phi, eta, sd = {"threshold": CUTS[:, None]}, np.array([[0.4]]), 1.7
    variance = np.array([[sd**2]])

    def integral(function):
        def inner(u):
            value = function(np.array([[0.4 + sd * u]]), phi).ravel()
            return value[-1] * np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)

        return quad(inner, -9, 9, epsabs=1e-12, limit=200)[0]

    found = averaged_mean(family, eta, variance, phi)
    np.testing.assert_allclose(found[0, 0], integral(family.mean), atol=1e-9)
    top = averaged_over(family, family.probabilities, eta, variance, phi)
    np.testing.assert_allclose(top.sum(axis=0), 1.0, atol=1e-9)
    np.testing.assert_allclose(top[-1, 0, 0], integral(family.probabilities), atol=1e-9)


def test_families_are_bound_to_the_categories_of_their_response():
    table = {"y": [1, 2, 3, 2, 1, 3], "x": [0.0, 1.0, 2.0, 1.5, 0.5, 3.0]}
    for name in ORDERED:
        design = bl.build_design("y ~ x", table, family=name)
        assert design.family == bound_family(FAMILIES[name](None), ("1", "2", "3"))
        assert design.family.parameters[0].labels == ("1|2", "2|3")
        assert [one.entries for one in design.family.free] == [("stick[1|2]",), ("stick[2|3]",)]
    assert bound_family(family_of("poisson"), ("1", "2")) == family_of("poisson")
