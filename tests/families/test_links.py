"""Links: round trips, slopes, and logarithms in the tails."""

import numpy as np
import pytest
from scipy import stats

from bayeslmm.families.links import CLOGLOG, LINKS, LOGIT, PROBIT

UNIT = [LOGIT, PROBIT, CLOGLOG]


def means_of(link):
    """Means that the link can have."""
    if link in UNIT:
        return np.array([1e-12, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-9])
    return np.array([1e-8, 0.3, 2.0, 1e6])


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_the_inverse_undoes_the_link(link):
    mu = means_of(link)
    eta = link.link(mu)
    # 1 - 1e-9 has seven digits of its distance to one.
    np.testing.assert_allclose(link.inverse(eta), mu, rtol=1e-13)
    np.testing.assert_allclose(link.link(link.inverse(eta)), eta, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_the_derivative_is_the_slope_of_the_inverse(link):
    eta, step = np.linspace(-4, 3, 29), 1e-5
    slope = (link.inverse(eta + step) - link.inverse(eta - step)) / (2 * step)
    # step^2 times a third derivative of a few times the first, and rounding of 1 over 2e-5.
    np.testing.assert_allclose(link.derivative(eta), slope, rtol=1e-7, atol=1e-10)
    assert np.all(link.derivative(eta) > 0)


@pytest.mark.parametrize("link", UNIT, ids=lambda link: link.name)
def test_logarithms_are_those_of_the_mean_and_of_the_rest(link):
    eta = np.linspace(-3, 2, 31)
    mu = link.inverse(eta)
    np.testing.assert_allclose(link.log_mean(eta), np.log(mu), rtol=1e-12)
    # 1 - mu of the cloglog at 2 is exp(-e^2) = 6e-4, which costs 1 - mu three digits.
    np.testing.assert_allclose(link.log_rest(eta), np.log1p(-mu), rtol=1e-11)


@pytest.mark.parametrize("link", UNIT, ids=lambda link: link.name)
def test_logarithms_are_finite_in_the_tails(link):
    eta = np.array([-700.0, -400.0, -38.0, -30.0, 30.0, 38.0, 400.0, 700.0])
    for values in (link.log_mean(eta), link.log_rest(eta)):
        assert np.isfinite(values).all()
        assert np.all(values <= 0)
    assert np.all(np.diff(link.log_mean(eta)) >= 0)


def test_tails_are_the_known_ones():
    far = np.array([-30.1, -100.0, -700.0])
    np.testing.assert_allclose(LOGIT.log_mean(far), far, rtol=1e-14)
    np.testing.assert_allclose(CLOGLOG.log_mean(far), far, rtol=1e-14)
    np.testing.assert_allclose(CLOGLOG.log_rest(-far[:1]), -np.exp(30.1), rtol=1e-14)
    np.testing.assert_allclose(PROBIT.log_mean(far), stats.norm.logcdf(far), rtol=1e-14)
    # Without a seam where the series begins.
    seam = np.array([-30.0 - 1e-9, -30.0 + 1e-9])
    np.testing.assert_allclose(CLOGLOG.log_mean(seam), seam, rtol=1e-13)
