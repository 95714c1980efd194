"""Censored families against SciPy's tails, and against integrals of their own densities."""

import pickle

import numpy as np
import pytest
from family_members import phi_of, scipys
from scipy.integrate import quad

from bayeslmm.errors import ArgumentError
from bayeslmm.families.censored import TAILS, censored, uncensored
from bayeslmm.families.registry import FAMILIES, family_of

ETA = np.array([-2.5, -0.4, 0.0, 0.7, 1.3])


@pytest.fixture(params=TAILS)
def family(request):
    return family_of(request.param)


def limits(family):
    """Responses and upper ends, each of shape (3, 1)."""
    counts = np.array([[0.0], [2.0], [5.0]])
    return (counts, counts + 3) if family.discrete else (counts / 3 + 0.1, counts / 3 + 0.9)


def test_each_row_has_the_probability_of_where_it_lies(family):
    y, end = limits(family)
    phi = phi_of(family)
    own = scipys(family, ETA, phi, None)
    both, inf = censored(family), np.full_like(y, np.inf)
    with np.errstate(divide="ignore"):  # of the tail in which the interval does not lie
        lower = np.log(own.cdf(end) - own.cdf(y))
    upper = own.logsf(y) + np.log1p(-np.exp(own.logsf(end) - own.logsf(y)))
    cases = (
        (y, (own.logpmf if family.discrete else own.logpdf)(y)),
        (inf, own.logsf(y)),
        (-inf, own.logcdf(y)),
        (end, np.where(own.cdf(y) < 0.5, lower, upper)),
    )
    for ends, expected in cases:
        found = both.log_density(y, ETA, phi, ends)
        assert found.shape == (3, 5)
        # Differences of SciPy's distribution function round to 1e-16 of one.
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)


def test_rows_of_every_kind_stand_side_by_side(family):
    y, end = limits(family)
    phi, both = phi_of(family), censored(family)
    ends = np.array([[y[0, 0]], [np.inf], [end[2, 0]]])
    found = both.log_density(y, ETA, phi, ends)
    for row in range(3):
        alone = both.log_density(y[row], ETA, phi, ends[row])
        np.testing.assert_array_equal(found[row], alone)
    np.testing.assert_array_equal(
        both.log_density(y, ETA, phi, None), family.log_density(y, ETA, phi, None)
    )


@pytest.mark.parametrize("name", [n for n in TAILS if not FAMILIES[n](None).discrete])
def test_an_interval_is_the_integral_of_the_density(name):
    family = family_of(name)
    phi, at = phi_of(family), np.array(0.3)
    density = lambda y: float(np.exp(family.log_density(np.array(y), at, phi, None)))  # noqa: E731
    expected = np.log(quad(density, 0.4, 1.7, epsabs=0, epsrel=1e-11)[0])
    found = censored(family).log_density(np.array(0.4), at, phi, np.array(1.7))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("far", [20.0, 300.0])
def test_tails_are_finite_far_out(family, far):
    y, end = limits(family)
    phi, both = phi_of(family), censored(family)
    for eta in (np.array([-far]), np.array([far])):
        for ends in (np.full_like(y, np.inf), np.full_like(y, -np.inf), end):
            found = both.log_density(y, eta, phi, ends)
            assert not np.isnan(found).any()
            assert (found <= 1e-12).all()


@pytest.mark.parametrize("name", ["gaussian", "lognormal", "weibull"])
def test_narrow_intervals_far_out_keep_their_digits(name):
    family, phi = family_of(name), phi_of(family_of(name))
    for eta in (-8.0, 8.0):
        at = np.array(eta)
        y, width = np.array(1.5), 1e-4
        found = censored(family).log_density(y, at, phi, y + width)
        middle = family.log_density(y + width / 2, at, phi, None) + np.log(width)
        # What the density's curvature adds is (slope width)^2 / 24, slopes up to 3e5 of Weibull's.
        if np.isfinite(found) and name != "weibull":
            assert found == pytest.approx(float(middle), rel=1e-6)


def test_what_is_not_about_rows_is_the_familys(family):
    both, phi = censored(family), phi_of(family)
    assert both.name == f"censored_{family.name}"
    assert family_of(both.name) == both
    assert uncensored(both) is both.base
    assert pickle.loads(pickle.dumps(both)) == both  # noqa: S301
    ends = np.full(5, np.inf)
    rng = [np.random.default_rng(1) for _ in range(2)]
    pairs = (
        (both.mean(ETA, phi), family.mean(ETA, phi)),
        (both.mean_slope(ETA, phi), family.mean_slope(ETA, phi)),
        (both.variance(ETA, phi, ends), family.variance(ETA, phi, None)),
        (both.cdf(np.ones(5), ETA, phi, ends), family.cdf(np.ones(5), ETA, phi, None)),
        (both.draw(ETA, phi, ends, rng[0]), family.draw(ETA, phi, None, rng[1])),
    )
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


def test_families_without_tails_are_refused():
    with pytest.raises(ArgumentError, match=r"families gaussian, .* and poisson, and the family"):
        censored(family_of("bernoulli"))
