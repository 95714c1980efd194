"""Structures of G: factors, gradients, names and priors, against definitions written out."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.covariance.diagonal import Diagonal
from bayeslmm.model.covariance.unstructured import Unstructured
from bayeslmm.model.priors.lkj import log_density_of_partials

# Identities between a few products of numbers near one.
ROUNDING = 1e-12
STRUCTURES = [*(Unstructured(q) for q in (1, 2, 3, 4)), *(Diagonal(q) for q in (1, 3))]
TERMS = ("a", "b", "c", "d", "e")
# One set of correlated columns, none, and several between columns that stand alone.
PARTITIONS = {
    "together": ((0, 1, 2, 3, 4),),
    "alone": ((0,), (1,), (2,), (3,), (4,)),
    "mixed": ((0,), (1, 2), (3, 4)),
    "scattered": ((0, 2), (1,), (3, 4)),
}


def a_factor(name):
    return BlockCovariance.of_blocks("g", TERMS, PARTITIONS[name])


def point(structure, rng, lead=()):
    sd = np.exp(rng.normal(size=(*lead, structure.n_columns)))
    return sd, rng.uniform(-0.95, 0.95, size=(*lead, structure.n_partials))


def numerical_gradient(structure, sd, partials, weights):
    """Central differences of sum(weights * L)."""
    flat, step = np.concatenate([sd, partials]), 1e-6
    slopes = []
    for axis in step * np.eye(len(flat)):
        ends = [structure.factor(x[: len(sd)], x[len(sd) :]) for x in (flat + axis, flat - axis)]
        slopes.append(np.sum(weights * (ends[0] - ends[1])) / (2 * step))
    return np.array(slopes)


@pytest.fixture(params=[*STRUCTURES, *PARTITIONS], ids=str)
def structure(request):
    return a_factor(request.param) if isinstance(request.param, str) else request.param


def test_the_factor_is_the_root_of_the_covariance(structure):
    sd, partials = point(structure, np.random.default_rng(1), lead=(6,))
    L, C = structure.factor(sd, partials), structure.correlation_factor(partials)
    G = L @ np.swapaxes(L, -1, -2)
    assert np.array_equal(L, np.tril(L))
    assert np.allclose(np.sqrt(np.diagonal(G, axis1=1, axis2=2)), sd, rtol=ROUNDING)
    assert np.allclose(np.sum(C**2, axis=-1), 1.0, rtol=ROUNDING)
    correlation = G / (sd[:, :, None] * sd[:, None, :])
    assert np.allclose(correlation, C @ np.swapaxes(C, -1, -2), rtol=ROUNDING, atol=ROUNDING)
    free = np.eye(structure.n_columns, dtype=bool)
    for i, j in structure.pairs:
        free[i, j] = free[j, i] = True
    assert not correlation[:, ~free].any()
    assert np.all(correlation[:, free])


def test_partials_are_correlations_given_the_columns_before():
    # The definition of a partial correlation, by the inverse of the leading correlations.
    structure = Unstructured(4)
    _, partials = point(structure, np.random.default_rng(2))
    C = structure.correlation_factor(partials)
    R = C @ C.T
    for z, (j, i) in zip(partials, structure.pairs, strict=True):
        at = [*range(j), j, i]
        precision = np.linalg.inv(R[np.ix_(at, at)])
        rest = np.linalg.inv(precision[-2:, -2:])
        assert z == pytest.approx(rest[0, 1] / np.sqrt(rest[0, 0] * rest[1, 1]), rel=1e-10)


def test_the_gradient_is_that_of_the_factor(structure):
    rng = np.random.default_rng(3)
    q = structure.n_columns
    sd, partials = point(structure, rng)
    weights = rng.normal(size=(q, q))
    gradient = np.concatenate(structure.pull_back(sd, partials, weights))
    expected = numerical_gradient(structure, sd, partials, weights)
    # Error of a central difference.
    assert np.allclose(gradient, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


def test_gradients_at_several_points_are_those_at_each(structure):
    rng = np.random.default_rng(4)
    q = structure.n_columns
    sd, partials = point(structure, rng, lead=(3, 2))
    weights = rng.normal(size=(3, 2, q, q))
    together = structure.pull_back(sd, partials, weights)
    for at in np.ndindex(3, 2):
        one = structure.pull_back(sd[at], partials[at], weights[at])
        assert np.array_equal(together[0][at], one[0])
        assert np.array_equal(together[1][at], one[1])


def test_the_gradient_is_finite_where_a_standard_deviation_is_zero():
    structure = Unstructured(3)
    partials = np.array([0.3, -0.5, 0.8])
    d_sd, d_partials = structure.pull_back(np.zeros(3), partials, np.ones((3, 3)))
    assert np.allclose(d_sd, structure.correlation_factor(partials).sum(axis=1), rtol=ROUNDING)
    assert d_partials.tolist() == [0.0, 0.0, 0.0]


def test_partials_near_a_matrix_give_it_back_but_for_the_shrinkage(structure):
    _, partials = point(structure, np.random.default_rng(5))
    C = structure.correlation_factor(0.5 * partials)
    R = C @ C.T
    near = structure.correlation_factor(structure.partials_near(R))
    expected = 0.95 * R + 0.05 * np.eye(len(R))
    assert np.allclose(near @ near.T, expected, rtol=ROUNDING, atol=ROUNDING)


def test_a_singular_matrix_has_partials_inside_the_interval():
    nowhere = np.array([[1.0, np.nan], [np.nan, 1.0]])
    assert Unstructured(2).partials_near(nowhere).tolist() == [0.0]
    assert abs(Unstructured(2).partials_near(np.ones((2, 2)))[0]) < 1.0


def test_a_factor_says_which_columns_are_correlated():
    G = a_factor("mixed")
    assert G.members == ((Diagonal(1), (0,)), (Unstructured(2), (1, 2)), (Unstructured(2), (3, 4)))
    assert (G.n_columns, G.n_partials, G.has_correlations) == (5, 2, True)
    assert G.uncorrelated == (0,)
    assert G.correlated == G.members[1:]
    assert G.pairs == ((1, 2), (3, 4))
    assert G.independent == PARTITIONS["mixed"]
    assert not a_factor("alone").has_correlations
    assert a_factor("alone").members == ((Diagonal(5), (0, 1, 2, 3, 4)),)
    assert a_factor("together").pairs[:4] == ((0, 1), (0, 2), (1, 2), (0, 3))


def test_a_partition_comes_back_in_the_order_of_first_columns():
    for name, partition in PARTITIONS.items():
        assert a_factor(name).independent == partition


def test_a_factors_parameters_have_the_names_of_the_tree():
    G = a_factor("scattered")
    assert (G.sd_name, G.corr_name) == ("sd_g", "corr_g")
    assert G.sd_names == ("sd_g[a]", "sd_g[b]", "sd_g[c]", "sd_g[d]", "sd_g[e]")
    assert G.correlation_names == ("corr_g[a, c]", "corr_g[d, e]")


def test_factors_of_equal_structure_are_equal_values():
    assert a_factor("mixed") == a_factor("mixed")
    assert hash(a_factor("mixed")) == hash(a_factor("mixed"))
    assert a_factor("mixed") != a_factor("together")


@pytest.mark.parametrize("a", [0.4, 1.0, 2.7])
def test_the_partials_density_integrates_to_one(a):
    def density(z):
        return np.exp(log_density_of_partials(np.log1p([-(z**2)]), np.array([a])))

    # The first has poles at both ends, which the rule nears up to 1e-8.
    total, _ = integrate.quad(density, -1.0, 1.0)
    assert total == pytest.approx(1.0, rel=1e-7)


@pytest.mark.parametrize("q", [2, 3, 4])
def test_the_partials_density_is_that_of_the_matrix_under_the_change_of_variables(q):
    structure, eta = Unstructured(q), 1.7
    _, partials = point(structure, np.random.default_rng(6))
    rows, cols = np.tril_indices(q, -1)

    def correlations(z):
        C = structure.correlation_factor(z)
        return (C @ C.T)[rows, cols]

    step = 1e-6
    slopes = [
        (correlations(partials + axis) - correlations(partials - axis)) / (2 * step)
        for axis in step * np.eye(len(partials))
    ]
    _, log_volume = np.linalg.slogdet(np.array(slopes))
    C = structure.correlation_factor(partials)
    expected = structure.log_prior(C @ C.T, eta) + log_volume
    shapes = structure.partial_shapes(eta)[:, 0]
    found = log_density_of_partials(np.log1p(-(partials**2)), shapes)
    assert found == pytest.approx(float(expected), abs=1e-8)  # differences of correlations


def test_a_factors_prior_is_the_product_of_its_structures():
    G, eta = a_factor("mixed"), 1.3
    _, partials = point(G, np.random.default_rng(7), lead=(4,))
    corr = G.correlation(partials)
    pairs = [(corr[:, i, j] + 1) / 2 for i, j in G.pairs]
    expected = sum(stats.beta(eta, eta).logpdf(half) - np.log(2) for half in pairs)
    assert np.allclose(G.log_prior(corr, eta), expected, rtol=ROUNDING)
    levels = np.array([0.05, 0.5])
    for name, a in (("mixed", eta), ("together", eta + 1.5)):
        found = a_factor(name).correlation_quantiles(eta, levels)
        assert np.allclose(found, stats.beta(a, a, -1, 2).ppf(levels), rtol=ROUNDING)


def test_drawn_correlations_have_the_pattern_and_the_marginals():
    G, eta = a_factor("mixed"), 1.3
    corr = G.draw_correlations(eta, 4000, np.random.default_rng(8))
    assert np.array_equal(np.diagonal(corr, axis1=1, axis2=2), np.ones((4000, 5)))
    assert not corr[:, 0, 1:].any()
    assert not corr[:, 1:3, 3:].any()
    for i, j in G.pairs:
        # The test's level: once in a thousand seeds.
        assert stats.kstest(corr[:, i, j], stats.beta(eta, eta, -1, 2).cdf).pvalue > 1e-3


def test_uncorrelated_columns_take_no_random_numbers():
    rng, untouched = np.random.default_rng(9), np.random.default_rng(9)
    assert np.array_equal(a_factor("alone").draw_correlations(1.0, 2, rng)[1], np.eye(5))
    assert rng.random() == untouched.random()


def test_sets_of_columns_follow_each_other_in_theta():
    G = a_factor("mixed")
    assert G.theta_names == ["g.a", "g.b", "g.c.b", "g.c", "g.d", "g.e.d", "g.e"]
    assert G.n_theta == 7
    assert a_factor("scattered").theta_names[:4] == ["g.a", "g.c.a", "g.c", "g.b"]
