"""Distribution-specific variances, beside the published formulas.

Nakagawa, Johnson & Schielzeth (2017), doi:10.1098/rsif.2017.0213: table 1 for binary responses,
equations for the lognormal approximation of log links, and the delta method.
"""

import numpy as np
import pytest
from family_members import phi_of

from bayeslmm.families.registry import family_of

MU = np.array([0.2, 0.5, 0.8])


@pytest.mark.parametrize("name", ["bernoulli", "binomial"])
@pytest.mark.parametrize(
    ("link", "variance"), [("logit", np.pi**2 / 3), ("probit", 1.0), ("cloglog", np.pi**2 / 6)]
)
def test_binary_responses_have_the_variance_of_the_latent_one(name, link, variance):
    np.testing.assert_allclose(family_of(name, link).latent_variance(MU, {}), variance, rtol=1e-15)


def test_log_links_have_the_lognormal_approximation():
    shape = {"shape": 2.0}
    np.testing.assert_allclose(
        family_of("poisson").latent_variance(MU, {}), np.log(1 + 1 / MU), rtol=1e-14
    )
    np.testing.assert_allclose(
        family_of("negbinomial").latent_variance(MU, shape), np.log(1 + 1 / MU + 1 / 2), rtol=1e-14
    )
    np.testing.assert_allclose(
        family_of("gamma").latent_variance(MU, shape), np.log(1 + 1 / 2), rtol=1e-14
    )


@pytest.mark.parametrize("name", ["poisson", "negbinomial", "gamma", "inverse_gaussian"])
def test_the_lognormal_approximation_is_log_of_one_and_the_squared_coefficient_of_variation(name):
    family = family_of(name)
    phi = phi_of(family)
    ratio = family.variance(np.log(MU), phi, None) / MU**2
    np.testing.assert_allclose(family.latent_variance(MU, phi), np.log1p(ratio), rtol=1e-12)


def test_normal_and_lognormal_responses_have_sigma_squared():
    for name in ("gaussian", "lognormal"):
        np.testing.assert_allclose(family_of(name).latent_variance(MU, {"sigma": 0.7}), 0.49)


def test_students_is_that_of_its_rows():
    phi = {"sigma": 2.0, "nu": 4.0}
    np.testing.assert_allclose(family_of("student").latent_variance(MU, phi), 8.0)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_beta_responses_have_the_delta_methods(link):
    family = family_of("beta", link)
    phi = {"phi": 400.0}
    eta = family.link.link(MU)
    drawn = family.draw(np.broadcast_to(eta, (200_000, 3)), phi, None, np.random.default_rng(1))
    # The method's own error is of order 1 / (mu phi), here 1 / 80 in relative terms.
    np.testing.assert_allclose(
        family.latent_variance(MU, phi), family.link.link(drawn).var(axis=0), rtol=0.03
    )


def test_the_weibulls_is_that_of_the_logarithm():
    for name in ("weibull", "exponential"):
        family = family_of(name)
        phi = phi_of(family)
        drawn = family.draw(np.zeros(200_000), phi, None, np.random.default_rng(1))
        # Five standard errors, with a kurtosis of 5.4 of a Gumbel's.
        np.testing.assert_allclose(
            family.latent_variance(MU, phi), np.log(drawn).var(), rtol=5 * np.sqrt(4.4 / 2e5)
        )


def test_the_skew_normals_is_sigma_squared():
    phi = {"sigma": 0.7, "alpha": 3.0}
    np.testing.assert_allclose(family_of("skew_normal").latent_variance(MU, phi), 0.49)
