"""Compiled rows of every family against SciPy's distributions, and slopes against differences."""

import numpy as np
import pytest
from family_members import named
from scipy import integrate, special, stats

from bayeslmm.families.registry import family_of
from bayeslmm.kernels.families import codes
from bayeslmm.kernels.families.rows import rows

INVERSE = {
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
}
FAMILY_OF = {code: name for (name, _), code in codes.CODES.items()}
ORDERED = ("cumulative", "sratio", "acat")
LINK_OF = {code: link for (_, link), code in codes.CODES.items()}
# Held to the NumPy forms, which are held to SciPy's distributions elsewhere.
MIXTURES = {
    code: family_of(name, link)
    for (name, link), code in codes.CODES.items()
    if codes.ZERO_INFLATED_POISSON <= code < codes.CUMULATIVE_LOGIT
}
PHI = {"shape": 1.7, "sigma": 0.8, "phi": 6.5, "zi": 0.3, "hu": 0.4}
NONE = np.zeros(0)
CENSORED_TIMES = (codes.CENSORED_WEIBULL, codes.CENSORED_EXPONENTIAL)
TIMES = (*codes.TIMES, *CENSORED_TIMES)


def between(distribution, y, end):
    """Densities where y was seen, else logarithms of probabilities, by the tail where they are."""
    low, high = np.where(end == -np.inf, -np.inf, y), np.where(end == -np.inf, y, end)
    upper = distribution.sf(low) - distribution.sf(high)
    lower = distribution.cdf(high) - distribution.cdf(low)
    inside = np.log(np.where(end == y, 1.0, np.where(distribution.cdf(high) < 0.5, lower, upper)))
    inside = np.where(end == np.inf, distribution.logsf(y), inside)
    inside = np.where(end == -np.inf, distribution.logcdf(y), inside)
    return np.where(end == y, distribution.logpdf(y), inside)


def ends_of(y, widths):
    """Every fourth seen, above, below, and between."""
    kinds = np.arange(len(y)) % 4
    return np.select([kinds == 0, kinds == 1, kinds == 2], [y, np.inf, -np.inf], y + widths)


def reference(code, eta, y, known, phi):  # noqa: C901, PLR0911 - one family each
    """The log-density by SciPy."""
    if code in MIXTURES:
        own = named(MIXTURES[code], phi)
        return MIXTURES[code].log_density(y, eta, own, known)
    if code in (codes.BINOMIAL_LOGIT, codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG):
        return stats.binom.logpmf(y, known, INVERSE[LINK_OF[code]](eta))
    if code == codes.POISSON:
        return stats.poisson.logpmf(y, np.exp(eta))
    if code == codes.NEGBINOMIAL:
        return stats.nbinom.logpmf(y, phi[0], phi[0] / (phi[0] + np.exp(eta)))
    if code == codes.GAMMA:
        return stats.gamma.logpdf(y, phi[0], scale=np.exp(eta) / phi[0])
    if code == codes.STUDENT:
        return stats.t.logpdf(y, phi[1], eta, phi[0] / np.sqrt(known))
    if code == codes.GAUSSIAN:
        return stats.norm.logpdf(y, eta, phi[0] / np.sqrt(known))
    if FAMILY_OF[code] in ORDERED:
        family = family_of(FAMILY_OF[code], LINK_OF[code])
        return family.log_density(y, eta, {"threshold": phi[:, None]}, None)
    if code in TIMES:
        shape = phi[0] if len(phi) else 1.0
        times = stats.weibull_min(shape, scale=np.exp(eta) / special.gamma(1 + 1 / shape))
        return times.logpdf(y) if code in codes.TIMES else between(times, y, known)
    if code == codes.CENSORED_GAUSSIAN:
        return between(stats.norm(eta, phi[0]), y, known)
    mu = INVERSE[LINK_OF[code]](eta)
    return stats.beta.logpdf(y, mu * phi[0], (1 - mu) * phi[0])


def case(code):  # noqa: C901 - one family each
    """Predictors, responses, what is known, parameters."""
    rng = np.random.default_rng(code)
    eta = np.linspace(-3.0, 3.0, 61) * (0.4 if LINK_OF[code] == "cloglog" else 1.0)
    known, phi = np.ones(61), NONE
    if code in MIXTURES:
        family = MIXTURES[code]
        phi = np.array([PHI[parameter.name] for parameter in family.parameters])
        if family.response.known == "trials":
            known = rng.integers(1, 12, 61).astype(float)
        return eta, family.draw(eta, named(family, phi), known, rng), known, phi
    if code in (codes.BINOMIAL_LOGIT, codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG):
        known = rng.integers(1, 12, 61).astype(float)
        y = np.floor(known * rng.uniform(0, 1.09, 61)).clip(0, known)
    elif code == codes.POISSON:
        y = rng.poisson(np.exp(eta)).astype(float)
    elif code == codes.NEGBINOMIAL:
        y, phi = rng.poisson(3 * np.exp(eta)).astype(float), np.array([1.7])
    elif code == codes.GAMMA:
        y, phi = rng.gamma(2.0, np.exp(eta)), np.array([2.3])
    elif code in (codes.STUDENT, codes.GAUSSIAN):
        y, known = eta + 3 * rng.standard_t(2, 61), rng.uniform(0.3, 4.0, 61)
        phi = np.array([1.3, 3.7] if code == codes.STUDENT else [1.3])
    elif FAMILY_OF[code] in ORDERED:
        y, phi = rng.integers(1, 5, 61).astype(float), np.array([-1.2, 0.3, 1.1])
    elif code in TIMES:
        y, width = rng.weibull(1.4, 61) * np.exp(eta), rng.uniform(0.3, 3.0, 61)
        known = ends_of(y, width * y) if code in CENSORED_TIMES else known
        exponential = code in (codes.EXPONENTIAL, codes.CENSORED_EXPONENTIAL)
        phi = NONE if exponential else np.array([1.7])
    elif code == codes.CENSORED_GAUSSIAN:
        y, phi = eta + rng.normal(0, 2.0, 61), np.array([1.3])
        known = ends_of(y, rng.uniform(0.3, 4.0, 61))
    else:
        y, phi = rng.beta(2.0, 3.0, 61), np.array([6.5])
    return eta, y, known, phi


CODES = sorted(set(codes.CODES.values()))


@pytest.mark.parametrize("code", CODES)
def test_values_are_scipys(code):
    eta, y, known, phi = case(code)
    value = rows(code, eta, y, known, phi)[0]
    # SciPy's own rounding: its binomials and negative binomials pass through probabilities.
    assert value == pytest.approx(reference(code, eta, y, known, phi), rel=1e-12, abs=2e-13)


@pytest.mark.parametrize("code", CODES)
def test_slopes_are_those_of_values(code):
    eta, y, known, phi = case(code)
    step = 1e-4

    def value(shift):
        return rows(code, eta + shift, y, known, phi)[0]

    # Five points: the error of rounding is 1e-16 / 1e-4 times the value, that of the formula 1e-16.
    near, far = value(step) - value(-step), value(2 * step) - value(-2 * step)
    slope = rows(code, eta, y, known, phi)[1]
    assert slope == pytest.approx((8 * near - far) / (12 * step), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("code", [c for c in CODES if c not in codes.NOT_CONCAVE])
def test_curvature_of_a_log_concave_family_is_minus_the_second_derivative(code):
    eta, y, known, phi = case(code)
    step = 1e-4
    up, down = (rows(code, eta + s, y, known, phi)[1] for s in (step, -step))
    curvature = rows(code, eta, y, known, phi)[2]
    assert (curvature >= 0.0).all()
    assert curvature == pytest.approx((down - up) / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("code", [c for c in codes.NOT_CONCAVE if c not in MIXTURES])
@pytest.mark.parametrize("eta", [-1.2, 0.0, 0.7])
def test_curvature_elsewhere_is_the_expected_information(code, eta):
    _, _, _, phi = case(code)

    def integrand(y):
        value, slope, _, _ = rows(code, np.array([eta]), np.array([y]), np.ones(1), phi)
        return float(slope[0] ** 2 * np.exp(value[0]))

    ends = (-np.inf, np.inf) if code == codes.STUDENT else (0.0, 1.0)
    expected, _ = integrate.quad(integrand, *ends, epsrel=1e-10, limit=400)
    curvature = rows(code, np.array([eta]), np.array([0.5]), np.ones(1), phi)[2][0]
    assert curvature == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("eta", [-1.2, 0.0, 2.0])
def test_curvature_of_truncated_counts_is_the_expected_information(eta):
    y = np.arange(1.0, 2000.0)
    for code in (codes.TRUNCATED_POISSON, codes.TRUNCATED_NEGBINOMIAL):
        phi = np.array([1.7])[: code - codes.TRUNCATED_POISSON]
        value, slope, curvature, _ = rows(code, np.full(1999, eta), y, np.ones(1999), phi)
        # Of 2000 counts at a mean of 7 nothing is left out.
        assert curvature[0] == pytest.approx(np.sum(slope**2 * np.exp(value)), rel=1e-9)


@pytest.mark.parametrize("code", codes.INFLATED)
def test_curvature_where_zeros_are_of_two_kinds_is_no_less_than_the_observed(code):
    eta, y, known, phi = case(code)
    step = 1e-4
    up, down = (rows(code, eta + s, y, known, phi)[1] for s in (step, -step))
    curvature = rows(code, eta, y, known, phi)[2]
    # The error of the difference is some 1e-7 of slopes of up to 60.
    assert (curvature >= (down - up) / (2 * step) - 1e-6).all()
    positive = y > 0
    observed = ((down - up) / (2 * step))[positive]
    assert curvature[positive] == pytest.approx(observed, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("code", [c for c in CODES if len(case(c)[3])])
def test_slopes_in_the_parameters_are_those_of_values(code):
    eta, y, known, phi = case(code)
    slopes = rows(code, eta, y, known, phi)[3]
    for k in range(len(phi)):
        step = np.zeros(len(phi))
        step[k] = 1e-5 * phi[k]
        up, down = (rows(code, eta, y, known, phi + s)[0] for s in (step, -step))
        assert slopes[:, k] == pytest.approx((up - down) / (2 * step[k]), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("code", CODES)
def test_nothing_overflows_far_out(code):
    _, y, known, phi = case(code)
    eta = np.tile([-700.0, -300.0, -40.0, 40.0, 300.0, 700.0], 10)
    for result in rows(code, eta, y[:60], known[:60], phi):
        assert np.isfinite(result).all()


@pytest.mark.parametrize("code", [codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG])
def test_tails_keep_their_digits(code):
    one = np.ones(5)
    if code == codes.BINOMIAL_PROBIT:
        eta = np.array([-4.99, -5.01, -8.0, -20.0, -100.0])
        expected = special.log_ndtr(eta)
        slope = np.exp(stats.norm.logpdf(eta) - expected)
    else:
        eta = np.array([-2.9, -3.1, -20.0, -200.0, -699.0])
        expected = np.where(eta < -40, eta, np.log(-np.expm1(-np.exp(eta))))
        slope = np.exp(eta) / np.expm1(np.exp(eta))
    value, found, curvature, _ = rows(code, eta, one, one, NONE)
    assert value == pytest.approx(expected, rel=1e-13)
    assert found == pytest.approx(slope, rel=1e-9)
    assert (curvature > 0.0).all()


def test_large_counts_keep_their_digits():
    """Counts of a million: by sums of logarithms, exact to their own rounding of 1e-9."""
    y, m = np.array([3e5, 1e6, 5.0]), np.full(3, 1e6)
    eta = special.logit((y + 0.5) / (m + 1.0))
    value = rows(codes.BINOMIAL_LOGIT, eta, y, m, NONE)[0]
    assert value == pytest.approx(stats.binom.logpmf(y, m, special.expit(eta)), abs=1e-8)
    for shape in (0.3, 40.0, 1e8):
        value = rows(codes.NEGBINOMIAL, np.log(y), y, m, np.array([shape]))[0]
        # SciPy loses digits for large shapes; there it is the Poisson up to y / shape.
        if shape < 1e3:
            expected = stats.nbinom.logpmf(y, shape, shape / (shape + y))
            assert value == pytest.approx(expected, abs=1e-7)
        else:
            expected = stats.poisson.logpmf(y, y) - 0.5 * np.log1p(y / shape)
            assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [1e3, 0.99e4, 1e4, 1e6, 1e9, 1e14])
@pytest.mark.parametrize("y", [0.0, 1.0, 20.0, 1e3])
def test_the_slope_in_a_large_shape_keeps_its_digits(y, shape):
    phi, known, response = np.array([shape]), np.ones(1), np.array([y])
    found = rows(codes.NEGBINOMIAL, np.array([np.log(2.0)]), response, known, phi)[3][0, 0]
    # psi(y + s) - psi(s) is a sum of y terms; the rest is log(s / (s + mu)) + (mu - y) / (mu + s).
    rising = np.sum(1.0 / (shape + np.arange(y)))
    expected = rising - np.log1p(2.0 / shape) + (2.0 - y) / (2.0 + shape)
    # Sums of terms y / s, each known to rounding of a logarithm of s.
    assert found == pytest.approx(expected, abs=1e-14 * (y + 2.0) / shape + 4e-15 * (shape < 1e4))
