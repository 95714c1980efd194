"""Predictions of every family: three kinds, trials of new rows, and means over unseen groups."""

import numpy as np
import pytest
import trees
from scipy.integrate import quad
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.analysis.prediction.average_mean import averaged_mean
from bayeslmm.errors import ArgumentError
from bayeslmm.families.registry import FAMILIES, family_of
from bayeslmm.results.family import family, family_draws

NEW = {"x": [0.0, 1.5], "g": ["a", "new"]}


def fixed_effects(idata):
    """Draws of the intercept, zero where thresholds stand in its place, and of x, shape (s, 2)."""
    beta = idata["posterior"]["beta"].to_numpy()
    beta = beta.reshape(-1, beta.shape[-1])
    return np.column_stack([np.zeros((len(beta), 2 - beta.shape[1])), beta])


def eta_of(idata, x=trees.TINY["x"], g=trees.TINY["g"]):
    """The linear predictor of rows, shape (n, s)."""
    posterior = idata["posterior"]
    beta = fixed_effects(idata)
    effects = posterior["b_g"].to_numpy().reshape(len(beta), 3, 2)
    own = effects[:, np.searchsorted(["a", "b", "c"], g)]
    return (beta[:, :1] + own[..., 0] + (beta[:, 1:] + own[..., 1]) * x).T


def flat(array):
    return array.to_numpy().reshape(-1, array.sizes["obs"]).T


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kinds_are_eta_the_familys_mean_and_its_draws(name):
    idata = trees.family_tree(name)
    eta, member, phi = eta_of(idata), family(idata), family_draws(idata)
    np.testing.assert_allclose(flat(bl.predict(idata, kind="link")), eta, rtol=1e-12)
    np.testing.assert_allclose(flat(bl.predict(idata)), member.mean(eta, phi), rtol=1e-12)
    known = trees.TRIALS[:, None] if name in trees.OF_TRIALS else None
    expected = member.draw(eta, phi, known, np.random.default_rng([3, 1]))
    drawn = flat(bl.predict(idata, kind="response", random_seed=3))
    np.testing.assert_allclose(drawn, expected, rtol=1e-9)
    table = bl.predict_table(idata)
    np.testing.assert_allclose(table["mean"], member.mean(eta, phi).mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_a_link_is_the_trees_own(link):
    idata = trees.family_tree("bernoulli", link)
    expected = family_of("bernoulli", link).mean(eta_of(idata), {})
    np.testing.assert_allclose(flat(bl.predict(idata)), expected, rtol=1e-12)


def test_trials_of_new_rows_are_those_of_the_fits_column_or_as_given():
    idata = trees.family_tree("binomial")
    rows = {"x": [0.0, 0.0], "g": ["a", "a"], "size": [1, 50]}
    options = {"kind": "response", "random_seed": 1}
    own = flat(bl.predict(idata, rows, **options))
    assert own[0].max() <= 1 < own[1].max() <= 50
    given = flat(bl.predict(idata, rows, trials=[50, 1], **options))
    assert given[1].max() <= 1 < given[0].max()
    without = {"x": [0.0], "g": ["a"]}
    assert flat(bl.predict(idata, without, trials=7, **options)).max() <= 7
    with pytest.raises(ArgumentError, match=r"'size', which these rows lack.*give trials="):
        bl.predict(idata, without, **options)
    assert flat(bl.predict(idata, without)).max() <= 1
    with pytest.raises(ArgumentError, match="trials= is for family='binomial'"):
        bl.predict(trees.family_tree("poisson"), without, trials=3, **options)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("link", [None, "probit", "cloglog"])
def test_averaged_means_are_their_integrals(name, link):
    if link not in {None, *FAMILIES[name](None).links}:
        return
    member = family_of(name, link)
    phi = {
        parameter.name: np.array(trees.inside(parameter, 1.3)) for parameter in member.parameters
    }
    if name in trees.ORDERED:
        member = type(member)(link, categories=("a", "b", "c", "d"))
        phi = {"threshold": np.array([[-1.0], [0.4], [1.5]])}
    for eta in (-4.0, 0.3, 2.0):
        for sd in (0.0, 0.4, 1.0, 2.5, 7.0):

            def integrand(z, eta=eta, sd=sd):
                return member.mean(np.array([eta + sd * z]), phi).item() * norm.pdf(z)

            breaks = [-eta / sd, sd] if sd else None
            reach = 10.0 + sd
            expected, _ = quad(
                integrand, -reach, reach, points=breaks, epsabs=1e-13, epsrel=1e-12, limit=400
            )
            found = averaged_mean(member, np.array([[eta]]), np.array([[sd**2]]), phi)[0, 0]
            assert found == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_unseen_levels_are_averaged_over_their_distribution(name):
    idata = trees.family_tree(name)
    member, phi = family(idata), family_draws(idata)
    found = flat(bl.predict(idata, NEW, new_levels="average"))
    population = flat(bl.predict(idata, NEW, new_levels="population"))
    # A known level keeps its own effects.
    np.testing.assert_array_equal(found[0], population[0])
    if member.mean_scale.name == "identity":
        np.testing.assert_array_equal(found, population)
    posterior = idata["posterior"]
    beta = fixed_effects(idata)
    sd = posterior["sd_g"].to_numpy().reshape(-1, 2)
    corr = posterior["corr_g"].to_numpy().reshape(-1, 2, 2)
    G = sd[:, :, None] * corr * sd[:, None, :]
    z = np.array([1.0, 1.5])
    spread = np.sqrt(np.einsum("i,sij,j->s", z, G, z))
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    eta = beta @ z + spread * nodes[:, None]
    # 80 nodes of Gauss and Hermite, for sds of some 2; truncated means have poles closer by, and
    # those of adjacent categories closer still.
    expected = (weights / weights.sum()) @ member.mean(eta, phi)
    rtol = 1e-5 if member.mean_form == "curved" else 1e-6
    rtol = 1e-4 if name == "acat" else rtol
    np.testing.assert_allclose(found[1], expected, rtol=rtol)
    table = bl.predict_table(idata, NEW, new_levels={"g": "average"})
    np.testing.assert_allclose(table["mean"], found.mean(axis=1), rtol=1e-12)


def test_drawn_levels_average_to_the_averaged_mean():
    draws = trees.constant_draws(
        (4, 5000), beta=[1.0, 0.0], sd_g=[2.0, 0.5], corr_g=np.eye(2), b_g=np.zeros((3, 2))
    )
    data = trees.family_data("bernoulli")
    idata = trees.make_tree(trees.TINY_FORMULA, data, draws, family="bernoulli")
    rows = {"x": [0.0], "g": ["new"]}
    sampled = flat(bl.predict(idata, rows, new_levels="sample", random_seed=1))
    averaged = flat(bl.predict(idata, rows, new_levels="average"))
    # Five standard errors of 20,000 independent probabilities with an sd below 0.35.
    assert abs(sampled.mean() - averaged.mean()) < 5 * 0.35 / np.sqrt(20_000)
    typical = flat(bl.predict(idata, rows, new_levels="population"))
    assert averaged.mean() < typical.mean() - 0.05


def test_effects_of_several_factors_are_averaged_at_once():
    data = {**trees.family_data("bernoulli"), "h": np.array(list("pqpqpqpqp"))}
    draws = trees.constant_draws(
        beta=[0.5, 1.0], sd_g=[1.5], sd_h=[2.0], b_g=np.zeros((3, 1)), b_h=np.ones((2, 1))
    )
    formula = "y ~ x + (1 | g) + (1 | h)"
    idata = trees.make_tree(formula, data, draws, family="bernoulli")
    rows = {"x": [1.0, 1.0], "g": ["new", "new"], "h": ["new", "q"]}
    found = flat(bl.predict(idata, rows, new_levels="average"))[:, 0]
    eta, variance = np.array([[1.5], [2.5]]), np.array([[1.5**2 + 2.0**2], [1.5**2]])
    expected = averaged_mean(family(idata), eta, variance, {})[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["link", "response"])
@pytest.mark.parametrize("verb", [bl.predict, bl.predict_table])
def test_only_means_are_averaged(kind, verb):
    with pytest.raises(ArgumentError, match=rf"kind='{kind}' is none: take kind='mean'"):
        verb(trees.family_tree("poisson"), NEW, kind=kind, new_levels={"g": "average"})
