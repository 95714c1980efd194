"""Each member against SciPy, its own mass, the moments and distribution of its draws."""

import math
import pickle
from decimal import Decimal, localcontext

import numpy as np
import pytest
from family_members import ALL, DISCRETE, known_of, phi_of, scipys, some_responses
from scipy import stats
from scipy.integrate import quad

from bayeslmm.families.registry import family_of

ETA = np.array([-2.5, -0.4, 0.0, 0.7, 1.3])
SMALL_SHAPE = {"shape": 0.4}


@pytest.fixture(params=ALL, ids=repr)
def family(request):
    return request.param


def test_the_log_density_is_scipys(family):
    phi, known, y = phi_of(family), known_of(family), some_responses(family)
    distribution = scipys(family, ETA, phi, known)
    expected = (distribution.logpmf if family.name in DISCRETE else distribution.logpdf)(y)
    found = family.log_density(y, ETA, phi, known)
    assert found.shape == (6, 5)
    # SciPy forms 1 - mu by subtraction: 1e-16 over the least 1 - mu, exp(-exp(1.3)) = 0.025.
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_mean_and_variance_are_scipys(family):
    phi, known = phi_of(family), known_of(family)
    distribution = scipys(family, ETA, phi, known)
    per_trial = known if family.response.known == "trials" else 1.0
    np.testing.assert_allclose(family.mean(ETA, phi) * per_trial, distribution.mean(), rtol=1e-12)
    variance = family.variance(ETA, phi, known)
    assert variance.shape == ETA.shape
    np.testing.assert_allclose(variance, distribution.var(), rtol=1e-12)


def test_the_means_slope_is_its_derivative(family):
    phi, step = phi_of(family), 1e-6
    up, down = (family.mean(ETA + s, phi) for s in (step, -step))
    # The difference's own error: rounding of means over the step, 1e-16 / 1e-6.
    np.testing.assert_allclose(family.mean_slope(ETA, phi), (up - down) / (2 * step), rtol=1e-8)


def test_the_cdf_is_scipys_also_between_and_beyond_what_is_possible(family):
    phi, known = phi_of(family), known_of(family)
    y = np.concatenate(
        [some_responses(family), [[-3.0], [-0.5], [0.0], [0.5], [1.0], [4.5], [99.0]]]
    )
    expected = scipys(family, ETA, phi, known).cdf(y)
    found = family.cdf(y, ETA, phi, known)
    # The incomplete gamma and beta functions are accurate to some 1e-13.
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_the_probability_below_lacks_that_of_the_response_itself(family):
    phi, known, y = phi_of(family), known_of(family), some_responses(family)
    at_most, below = (f(y, ETA, phi, known) for f in (family.cdf, family.cdf_below))
    own = np.exp(family.log_density(y, ETA, phi, known))
    mass = np.where(np.isin(y, family.atoms) | (family.name in DISCRETE), own, 0.0)
    np.testing.assert_allclose(at_most - below, mass, atol=1e-12)


def test_the_slope_of_the_mean_is_its_derivative(family):
    phi, step = phi_of(family), 1e-5
    expected = (family.mean(ETA + step, phi) - family.mean(ETA - step, phi)) / (2 * step)
    # The difference's own error: step^2 times a third derivative, and rounding over the step.
    np.testing.assert_allclose(family.mean_slope(ETA, phi), expected, rtol=1e-7, atol=1e-9)


def test_the_form_of_the_mean_is_what_it_says(family):
    phi = phi_of(family)
    mean, whole = family.mean(ETA, phi), family.mean_scale.inverse(ETA)
    if family.mean_form == "link":
        np.testing.assert_allclose(mean, whole, rtol=1e-14)
    share = np.diff(mean) / np.diff(whole)
    assert np.allclose(share, share[0], rtol=1e-12) == (family.mean_form != "curved")


def test_the_density_has_mass_one(family):
    phi, known = phi_of(family), known_of(family)
    for eta in ETA:
        if family.name in DISCRETE:
            last = {"trials": 12, None: 400}[family.response.known]
            counts = np.arange((1 if family.response.binary else last) + 1.0)
            counts = counts[family.response.allowed(counts, known)]
            mass = np.exp(family.log_density(counts, np.array(eta), phi, known)).sum()
            # 400 negative binomial counts at shape 2.3 and mean 3.7 leave 1e-80.
            assert mass == pytest.approx(1.0, abs=1e-12)
        else:
            low = 0.0 if family.response.known is None and family.name != "skew_normal" else -np.inf
            high = 1.0 if not family.response.allowed(np.array(2.0), known) else np.inf
            density = lambda y, at=eta: np.exp(  # noqa: E731
                family.log_density(np.array(y), np.array(at), phi, known)
            )
            # Atoms are no part of an integral that never meets them.
            atoms = sum(float(density(atom)) for atom in family.atoms)
            mass = atoms + quad(density, low, high, limit=400)[0]
            assert mass == pytest.approx(1.0, abs=1e-7)


def test_draws_have_the_familys_mean_and_variance(family):
    phi, known, n = phi_of(family), known_of(family), 40_000
    drawn = family.draw(np.broadcast_to(ETA, (n, 5)), phi, known, np.random.default_rng(3))
    assert drawn.shape == (n, 5)
    assert drawn.dtype == np.float64
    distribution = scipys(family, ETA, phi, known)
    variance, kurtosis = distribution.var(), distribution.stats(moments="k")
    # Five standard errors of a mean, and of a variance with the distribution's own kurtosis.
    assert np.all(np.abs(drawn.mean(axis=0) - distribution.mean()) < 5 * np.sqrt(variance / n))
    # The square of the mean's error counts where the kurtosis is -2, of fair coins.
    error = 5 * np.sqrt((kurtosis + 2) / n) + 25 / n
    assert np.all(np.abs(drawn.var(axis=0) / variance - 1) < error)


def test_the_cdf_of_draws_is_uniform(family):
    phi, known, n = phi_of(family), known_of(family), 20_000
    rng = np.random.default_rng(5)
    # Beyond 1 a beta under the cloglog link has mass closer to one than numbers are.
    eta = np.minimum(rng.normal(0, 1.0, n), 1.0)
    drawn = family.draw(eta, phi, known, rng)
    upper = family.cdf(drawn, eta, phi, known)
    lower = family.cdf_below(drawn, eta, phi, known)
    upper = lower + (upper - lower) * rng.random(n)
    # One of a thousand such tests fails by chance; the seed is fixed.
    assert stats.kstest(upper, "uniform").pvalue > 1e-3


def test_draws_in_chunks_are_those_at_once(family):
    phi, known = phi_of(family), known_of(family)
    eta = np.random.default_rng(5).normal(size=(7, 3))
    kept = eta.copy()
    whole = family.draw(eta, phi, known, np.random.default_rng(6))
    rng = np.random.default_rng(6)
    parts = [family.draw(eta[k], phi, known, rng) for k in (slice(0, 2), slice(2, None))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(eta, kept)


def test_parameters_may_be_draws_along_the_last_axis(family):
    known = known_of(family)
    eta = np.random.default_rng(7).normal(size=(4, 3))
    y = some_responses(family)[:4]
    times = [1.0, 1.3, 0.9]
    phi = {name: np.multiply.outer(value, times) for name, value in phi_of(family).items()}
    found = family.log_density(y, eta, phi, known)
    assert family.draw(eta, phi, known, np.random.default_rng(1)).shape == (4, 3)
    assert family.variance(eta, phi, known).shape == (4, 3)
    assert family.cdf(y, eta, phi, known).shape == (4, 3)
    assert family.latent_variance(family.mean(eta, phi), phi).shape == (4, 3)
    for s in range(3):
        one = {name: values[..., s] for name, values in phi.items()}
        expected = family.log_density(y[:, 0], eta[:, s], one, known)
        np.testing.assert_array_equal(found[:, s], expected)


def test_log_concave_says_whether_second_differences_are_negative(family):
    # Of truncated counts it is the shapes below one that are not concave.
    phi, known, step = {**phi_of(family), **SMALL_SHAPE}, known_of(family), 1e-2
    eta = np.linspace(-9, 9, 400)
    at = [
        family.log_density(some_responses(family), eta + k * step, phi, known) for k in (-1, 0, 1)
    ]
    # Rounding of numbers of up to 1e5 (a hazard of e^9 and twelve trials) in second differences.
    concave = at[0] - 2 * at[1] + at[2] < 1e-13 * (1 + np.abs(at[1]))
    assert concave.all() == family.log_concave


@pytest.mark.parametrize("far", [40.0, 300.0, 700.0])
def test_log_densities_are_finite_far_from_zero(family, far):
    phi, known, y = phi_of(family), known_of(family), some_responses(family)
    eta = np.array([-far, far])
    found = family.log_density(y, eta, phi, known)
    # 40 e^700 twelve-fold can still be represented.
    assert np.isfinite(found).all()
    assert np.isfinite(family.cdf(y, eta, phi, known)).all()
    drawn = family.draw(eta, phi, known, np.random.default_rng(8))
    assert family.response.allowed(drawn, known).all()


def test_counts_of_a_million_are_finite_far_from_zero():
    y = np.array([[0.0], [1.0], [1e6]])
    eta = np.array([-700.0, -40.0, 0.0, 40.0, 690.0])
    for shape in (1e-8, 1.0, 1e8):
        assert np.isfinite(
            family_of("negbinomial").log_density(y, eta, {"shape": shape}, None)
        ).all()
    assert np.isfinite(family_of("poisson").log_density(y, eta, {}, None)).all()
    for link in family_of("binomial").links:
        # A million failures against a hazard of e^690 are just within what numbers can say.
        found = family_of("binomial", link).log_density(y, eta, {}, np.array(1e6))
        assert np.isfinite(found).all()
        assert np.all(found <= 0)


def test_a_probability_of_1e_12_keeps_its_digits():
    y = np.array([0.0, 1.0])
    for link in family_of("bernoulli").links:
        family = family_of("bernoulli", link)
        eta = family.link.link(np.array(1e-12))
        found = family.log_density(y, eta, {}, None)
        np.testing.assert_allclose(found, [-1e-12, np.log(1e-12)], rtol=1e-10)


def test_large_counts_keep_their_digits():
    with localcontext() as context:
        context.prec = 50
        n, k, mu = 100_000, 30_000, Decimal(29_990)
        ways = Decimal(math.comb(n, k)).ln()
        binomial = ways + k * Decimal("0.3").ln() + (n - k) * Decimal("0.7").ln()
        poisson = k * mu.ln() - mu - Decimal(math.factorial(k)).ln()
        shape = 40_000
        drawn = Decimal(math.comb(k + shape - 1, k)).ln()
        negbinomial = drawn + shape * (shape / (shape + mu)).ln() + k * (mu / (shape + mu)).ln()
    y, log_mu = np.array(float(k)), np.log(29_990.0)
    eta = np.log(0.3 / 0.7)
    found = (
        family_of("binomial").log_density(y, eta, {}, np.array(float(n))),
        family_of("poisson").log_density(y, log_mu, {}, None),
        family_of("negbinomial").log_density(y, log_mu, {"shape": float(shape)}, None),
    )
    # log(mu) is rounded, which alone moves 30,000 log(mu) by 5e-11 as seen away from the peak.
    np.testing.assert_allclose(
        found, [float(binomial), float(poisson), float(negbinomial)], rtol=1e-12
    )


def test_a_negative_binomial_of_large_shape_is_poisson():
    y, eta = np.array([[0.0], [3.0], [50.0]]), np.array([-1.0, 1.0, 4.0])
    poisson = family_of("poisson").log_density(y, eta, {}, None)
    # The next term in 1 / shape is ((y - mu)^2 - y) / (2 shape), at most 3,000 / 2e8.
    for shape, error in ((1e8, 2e-5), (1e12, 2e-9)):
        found = family_of("negbinomial").log_density(y, eta, {"shape": shape}, None)
        np.testing.assert_allclose(found, poisson, atol=error)


def test_a_student_of_many_degrees_is_gaussian():
    y, eta = np.array([[-1.0], [3.0]]), np.array([-1.0, 1.0])
    gaussian = family_of("gaussian").log_density(y, eta, {"sigma": 1.0}, None)
    found = family_of("student").log_density(y, eta, {"sigma": 1.0, "nu": 1e12}, None)
    # The next term is (r^4 - 2 r^2 - 1) / (4 nu), here 224 / 4e12.
    np.testing.assert_allclose(found, gaussian, atol=1e-10)


def test_students_variance_is_infinite_where_there_is_none():
    phi = {"sigma": 2.0, "nu": np.array([1.0, 2.0, 4.0])}
    found = family_of("student").variance(np.zeros((1, 3)), phi, np.array(2.0))
    np.testing.assert_allclose(found, [[np.inf, np.inf, 4.0]], rtol=1e-14)


def test_a_family_survives_its_way_to_another_process(family):
    assert pickle.loads(pickle.dumps(family)) == family  # noqa: S301


def test_equal_families_are_the_same_class_with_the_same_link():
    assert family_of("bernoulli", "probit") == family_of("bernoulli", "probit")
    assert family_of("bernoulli", "probit") != family_of("bernoulli")
    assert family_of("bernoulli") != family_of("binomial")
    assert len({family_of("bernoulli"), family_of("bernoulli", "logit")}) == 1


def test_a_weibull_of_shape_one_is_exponential():
    y, one = some_responses(family_of("weibull")), {"shape": 1.0}
    for verb in ("log_density", "cdf"):
        found = getattr(family_of("weibull"), verb)(y, ETA, one, None)
        exponential = getattr(family_of("exponential"), verb)(y, ETA, {}, None)
        np.testing.assert_array_equal(found, exponential)


def test_a_skew_normal_without_skew_is_gaussian():
    y, phi = some_responses(family_of("gaussian")), {"sigma": 0.7, "alpha": 0.0}
    found = family_of("skew_normal").log_density(y, ETA, phi, np.array(2.0))
    np.testing.assert_allclose(
        found, family_of("gaussian").log_density(y, ETA, phi, np.array(2.0)), rtol=1e-14
    )


def test_a_response_at_most_the_shift_is_impossible():
    phi = {"sigma": 0.7, "ndt": 1.0}
    found = family_of("shifted_lognormal").log_density(np.array([0.5, 1.0]), ETA[:2], phi, None)
    assert (found == -np.inf).all()
