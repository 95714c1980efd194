"""The collapsed posterior in real coordinates against dense algebra and numerical derivatives."""

import math

import numpy as np
import pandas as pd
import pytest
from designs import at_zero
from scipy import integrate, stats

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import pack_factors
from bayeslmm.inference.marginal.coordinates import Coordinate
from bayeslmm.inference.marginal.target import MarginalTarget

FORMULAS = {
    "intercept": "y ~ x + (1 | g)",
    "three correlated columns": "y ~ x + (x + z | g)",
    "uncorrelated": "y ~ x + (x || g)",
    "nested": "y ~ x + (x | a/b)",
    "crossed": "y ~ x + (x | g) + (1 | h)",
    "several terms on a factor": "y ~ x + (1 | g) + (0 + x + z | g)",
    "arms": "y ~ x + (x | gr(a:b, by=a))",
    "arms, uncorrelated": "y ~ x + (x || gr(a:b, by=a)) + (1 | h)",
    "arms, nested and crossed": "y ~ x + (x | a) + (x | gr(a:b, by=a)) + (z | h)",
    "arms of some columns": "y ~ x + (1 | a:b) + (0 + x + z | gr(a:b, by=a))",
    "no fixed effects": "y ~ 0 + (1 | g)",
    "no random effects": "y ~ x",
    "offset": "y ~ x + offset(z) + (1 | g)",
    "no intercept": "y ~ 0 + a + (1 | g)",
    "no intercept, numbers": "y ~ 0 + x + z + (x | g)",
}
# Beside the defaults: fixed effects that cannot be integrated out, and supports of every shape.
PRIORS = {
    "defaults": {},
    "kept beta": {"beta": "StudentT(4, 0, 2)", "Intercept": "Cauchy(10, 3)"},
    "bounded": {
        "sd": "Uniform(0.1, 9)",
        "sigma": "Pareto(1, 0.2)",
        "x": "TruncatedNormal(0, 1, -3, 3)",
    },
    "by differences": {"sd": "Weibull(1.5, 2)", "sigma": "Rice(1, 2)"},
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(11)
    n = 60
    return pd.DataFrame(
        {
            "y": rng.normal(10, 3, n),
            "x": rng.normal(2, 1, n),
            "z": rng.normal(0, 2, n),
            "g": rng.choice(list("pqrst"), n),
            "h": rng.choice(list("uvw"), n),
            "a": np.repeat(list("ABC"), n // 3),
            "b": np.tile(list("klmn"), n // 4),
        }
    )


def case(formula, table, priors):
    design = bl.build_design(FORMULAS[formula], table)
    chosen = {} if not design.factors and priors != "kept beta" else PRIORS[priors]
    keys = {"sd"} if not design.factors else set()
    keys |= {"x", "beta", "Intercept"} - {"beta", *design.coef}
    chosen = {key: value for key, value in chosen.items() if key not in keys}
    if not design.coef:
        chosen.pop("beta", None)
    resolved = at_zero(bl.resolve_priors(design, chosen))
    return design, resolved, MarginalTarget(Gram.from_design(design), resolved)


def random_point(target, rng):
    low, high = target.prior_quantiles(0.2), target.prior_quantiles(0.7)
    return target.point(low + (high - low) * rng.uniform(size=target.size))


def named_parameters(target, point):
    """The contract's variables at one point, fixed effects on the original scale."""
    draws = target.unpack(point)
    values = {names.SIGMA: draws.sigma}
    for factor, sd, partials in zip(target.priors.factors, draws.sds, draws.partials, strict=True):
        values[names.sd(factor.name)] = sd
        if factor.corr is not None:
            values[names.corr(factor.name)] = factor.covariance.correlation(partials)
    if draws.beta is not None:
        values[names.BETA] = draws.beta
    return values


def dense_log_likelihood(design, priors, values):
    n = len(design.y)
    V = values["sigma"] ** 2 * np.eye(n)
    for factor in design.factors:
        sd = values[f"sd_{factor.name}"]
        corr = values.get(f"corr_{factor.name}", np.eye(len(sd)))
        G = sd[:, None] * corr * sd
        same = factor.index[:, None] == factor.index[None]
        V += same * (factor.columns @ G @ factor.columns.T)
    offset = 0.0 if design.offset is None else design.offset
    if "beta" in values:
        return stats.multivariate_normal(design.X @ values["beta"] + offset, V).logpdf(design.y)
    numbers = np.array([prior.numbers for prior in priors.beta]).reshape(-1, 2)
    turn = priors.raw_beta(np.eye(len(priors.beta))).T
    X = design.X @ turn
    V += X @ np.diag(numbers[:, 1] ** 2) @ X.T
    return stats.multivariate_normal(X @ numbers[:, 0] + offset, V).logpdf(design.y)


def free_values(target, point):
    """What the priors' densities are densities of: sds, correlations, sigma, centered beta."""
    values = named_parameters(target, point)
    parts = [values[f"sd_{factor.name}"] for factor in target.priors.factors]
    for factor in target.priors.factors:
        pairs = factor.covariance.pairs
        parts.append([values[f"corr_{factor.name}"][i, j] for i, j in pairs])
    parts.append([values["sigma"]])
    if "beta" in values:
        parts.append(target.priors.centered_beta(values["beta"]))
    return np.concatenate(parts)


def numerical_log_volume(target, point):
    steps = 1e-5 * np.eye(target.size)
    rows = [(free_values(target, point + h) - free_values(target, point - h)) / 2e-5 for h in steps]
    return np.linalg.slogdet(np.array(rows))[1]


@pytest.mark.parametrize("priors", PRIORS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_density_is_dense_likelihood_plus_priors_plus_volume(formula, priors, table):
    design, resolved, target = case(formula, table, priors)
    rng = np.random.default_rng(5)
    for _ in range(3):
        point = random_point(target, rng)
        values = named_parameters(target, point)
        with_beta = values if "beta" in values else values | {"beta": np.zeros(len(design.coef))}
        densities = resolved.log_densities(with_beta)
        if "beta" not in values:
            densities.pop("beta", None)
        expected = (
            dense_log_likelihood(design, resolved, values)
            + sum(map(float, densities.values()))
            + numerical_log_volume(target, point)
        )
        # Differences over 1e-5 leave errors of 1e-9 in each slope of the volume.
        np.testing.assert_allclose(target.log_density(point[None])[0], expected, rtol=1e-8)


@pytest.mark.parametrize("priors", PRIORS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_gradient_is_that_of_the_value(formula, priors, table):
    _, _, plain = case(formula, table, priors)
    rng = np.random.default_rng(6)
    for target in (plain, plain.with_folded(plain.foldable)):
        point = random_point(target, rng)
        value, gradient = target.log_density_and_gradient(point)
        np.testing.assert_allclose(value, target.log_density(point[None])[0], rtol=1e-12)
        step = 1e-5 * np.maximum(np.abs(point), 0.1)
        ends = np.stack([target.log_density(point + s * np.diag(step)) for s in (1, -1)])
        # Central differences of a value near 100: rounding of 1e-14 * 100 / 1e-6, and curvature.
        np.testing.assert_allclose(gradient, (ends[0] - ends[1]) / (2 * step), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("formula", ["y ~ 0 + a", "y ~ 0 + x + z", "y ~ 0 + a:x"])
def test_the_prior_mean_of_several_coefficients_is_read_as_it_is_written(formula, table):
    """A column of (mean, sd) pairs has strides, and compiled code reads through a pointer."""
    design = bl.build_design(f"{formula} + (1 | g)", table)
    priors = bl.resolve_priors(design, {"beta": "Normal(3, 0.5)"})
    target = MarginalTarget(Gram.from_design(design), priors)
    value, _ = target.log_density_and_gradient(np.zeros(target.size))
    np.testing.assert_allclose(value, target.log_density(np.zeros((1, target.size)))[0], rtol=1e-12)
    assert all(array.flags.c_contiguous for array in target.data)


def test_folding_shares_one_value_between_two_signs(table):
    _, _, plain = case("crossed", table, "defaults")
    folded = plain.with_folded((0, 2))
    assert folded.folded == (0, 2)
    assert folded.names[0].startswith("folded sd_g")
    point = random_point(folded, np.random.default_rng(1))
    mirrored = point * np.where(np.isin(np.arange(folded.size), folded.folded), -1, 1)
    both = folded.log_density(np.stack([point, mirrored]))
    assert both[0] == both[1]
    # The same parameters by logarithms: the densities differ by the volumes 1/2 and sd.
    same = plain.point(folded.parameters(point))
    volume = -2 * math.log(2) - same[0] - same[2]
    np.testing.assert_allclose(both[0], plain.log_density(same[None])[0] + volume, rtol=1e-12)


def test_only_sds_that_may_be_zero_can_be_folded(table):
    design = bl.build_design("y ~ x + (x || g)", table)
    gram = Gram.from_design(design)
    priors = bl.resolve_priors(
        design, {"sd_g[Intercept]": "InverseGamma(2, 1)", "sd_g[x]": "HalfNormal(2)"}
    )
    target = MarginalTarget(gram, priors)
    assert target.foldable == (1,)
    with pytest.raises(ValueError, match="at 0 cannot"):
        target.with_folded((0,))


def test_packed_factors_are_those_of_the_elimination(table):
    design, _, target = case("three correlated columns", table, "defaults")
    point = random_point(target, np.random.default_rng(2))
    values = named_parameters(target, point)
    L = np.linalg.cholesky(values["corr_g"]) * values["sd_g"][:, None] / values["sigma"]
    packed = pack_factors(Gram.from_design(design), [L])
    np.testing.assert_allclose(target.packed(point[None])[0], packed, rtol=1e-12, atol=1e-15)


def test_points_without_density_get_minus_infinity_and_no_gradient(table):
    _, _, target = case("intercept", table, "defaults")
    far = np.array([[800.0, 0.0], [0.0, -800.0], [0.0, 800.0]])
    assert (target.log_density(far) < -1e3).all()
    value, gradient = target.log_density_and_gradient(np.array([np.nan, 0.0]))
    assert value == -math.inf
    assert (gradient == 0).all()


def test_points_that_the_prior_forbids_leave_the_others_alone(table):
    _, _, target = case("intercept", table, "bounded")
    forbidden = np.full((3, target.size), np.nan)
    assert (target.log_density(forbidden) == -np.inf).all()
    good = random_point(target, np.random.default_rng(0))[None]
    mixed = target.log_density(np.concatenate([forbidden, good]))
    np.testing.assert_array_equal(mixed, [*[-np.inf] * 3, *target.log_density(good)])


COORDINATES = [
    Coordinate("a", "identity"),
    Coordinate("a", "log"),
    Coordinate("a", "log", lower=2.0),
    Coordinate("a", "upper", -math.inf, 3.0),
    Coordinate("a", "logit", -1.0, 4.0),
    Coordinate("a", "atanh", -1.0, 1.0),
    Coordinate("a", "folded"),
    Coordinate("a", "log-arcsinh", scale=2.0, bend=1.5),
]


@pytest.mark.parametrize("coordinate", COORDINATES, ids=lambda c: f"{c.kind}-{c.lower:g}")
def test_a_scale_knows_its_inverse_and_its_volume(coordinate):
    x = np.array([0.03, 0.7, 2.1]) if coordinate.kind == "folded" else np.array([-2.0, -0.3, 1.4])
    value = coordinate.value(x)
    np.testing.assert_allclose(coordinate.coordinate(value), x, rtol=1e-12)
    h = 1e-6
    slope = (coordinate.value(x + h) - coordinate.value(x - h)) / (2 * h)
    np.testing.assert_allclose(coordinate.slope(x), slope, rtol=1e-8)
    halves = math.log(2) if coordinate.kind == "folded" else 0.0
    np.testing.assert_allclose(coordinate.log_volume(x), np.log(np.abs(slope)) - halves, atol=1e-8)
    volume = (coordinate.log_volume(x + h) - coordinate.log_volume(x - h)) / (2 * h)
    np.testing.assert_allclose(coordinate.log_volume_slope(x), volume, atol=1e-7)


@pytest.mark.parametrize("coordinate", COORDINATES, ids=lambda c: f"{c.kind}-{c.lower:g}")
def test_a_density_keeps_its_mass_on_every_scale(coordinate):
    lower = -math.inf if coordinate.kind in ("identity", "upper") else coordinate.lower
    upper = coordinate.upper if coordinate.kind in ("upper", "logit", "atanh") else math.inf
    bounded = stats.truncnorm((lower - 1) / 2, (upper - 1) / 2, loc=1, scale=2)

    def density(x):
        at = np.array([x])
        return float(np.exp(bounded.logpdf(coordinate.value(at)) + coordinate.log_volume(at))[0])

    # Both ends, so that a folded coordinate counts each value twice, at half its density.
    # A log-arcsinh scale comes to exp(-30) and exp(30) within 3.
    end = 3 if coordinate.kind == "log-arcsinh" else 40
    mass = integrate.quad(density, -end, 0)[0] + integrate.quad(density, 0, end)[0]
    assert mass == pytest.approx(1.0, abs=1e-7)
