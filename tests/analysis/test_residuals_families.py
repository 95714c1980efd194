"""Fitted values and residuals of every family: their equations, and what a true model leaves."""

import numpy as np
import pytest
import trees
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.families.registry import FAMILIES
from bayeslmm.results.family import family, family_draws

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def flat(array):
    return array.to_numpy().reshape(-1, array.sizes["obs"]).T


def known_of(name):
    return trees.TRIALS[:, None] if name in trees.OF_TRIALS else None


def shares(name):
    y = trees.RESPONSES[name]
    return y / trees.TRIALS if name in trees.OF_TRIALS else y


@pytest.mark.parametrize("name", FAMILIES)
def test_fitted_values_and_residuals_are_their_equations(name):
    idata = trees.family_tree(name)
    member, phi = family(idata), family_draws(idata)
    eta = flat(bl.predict(idata, kind="link"))
    mean = member.mean(eta, phi)
    np.testing.assert_allclose(bl.fitted(idata), mean.mean(axis=1), **EXACT)
    np.testing.assert_allclose(flat(bl.fitted(idata, as_draws=True)), mean, **EXACT)
    rest = shares(name)[:, None] - mean
    np.testing.assert_allclose(bl.residuals(idata), rest.mean(axis=1), **EXACT)
    np.testing.assert_allclose(flat(bl.residuals(idata, as_draws=True)), rest, **EXACT)
    known = known_of(name)
    sd = np.sqrt(member.variance(eta, phi, known)) / (1.0 if known is None else known)
    pearson = bl.residuals(idata, kind="pearson", as_draws=True)
    np.testing.assert_allclose(flat(pearson), rest / sd, **EXACT)
    np.testing.assert_allclose(
        bl.residuals(idata, kind="pearson"), (rest / sd).mean(axis=1), **EXACT
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_quantile_residuals_lie_between_the_rows_own_probabilities(name):
    idata = trees.family_tree(name)
    member, phi, y = family(idata), family_draws(idata), trees.RESPONSES[name][:, None]
    eta, known = flat(bl.predict(idata, kind="link")), known_of(name)
    above = member.cdf(y, eta, phi, known)
    below = member.cdf_below(y, eta, phi, known)
    found = stats.norm.cdf(flat(bl.residuals(idata, kind="quantile", as_draws=True)))
    assert np.all(found <= above + 1e-12)
    assert np.all(found >= below - 1e-12)
    one = stats.norm.cdf(bl.residuals(idata, kind="quantile", random_seed=1))
    assert np.all(one <= above.mean(axis=1) + 1e-12)
    assert np.all(one >= below.mean(axis=1) - 1e-12)
    again = stats.norm.cdf(bl.residuals(idata, kind="quantile", random_seed=1))
    np.testing.assert_array_equal(one, again)
    other = stats.norm.cdf(bl.residuals(idata, kind="quantile", random_seed=2))
    assert np.any(one != other) == (member.discrete or bool(member.atoms))


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(trees.ORDERED)))
def test_a_true_model_leaves_standard_normal_quantile_residuals(name):
    n = 4000
    rng = np.random.default_rng(5)
    member = FAMILIES[name](None)
    data = {
        "x": rng.normal(size=n),
        "g": rng.choice(list("abcd"), n),
        "size": rng.integers(1, 9, n).astype(float),
    }
    truth = {"beta": [0.4, 0.7], "sd_g": [0.5], "b_g": [[0.5], [-0.5], [0.2], [0.0]]}
    truth |= {parameter.name: trees.inside(parameter, 2.5) for parameter in member.parameters}
    effect = np.array([0.5, -0.5, 0.2, 0.0])[np.searchsorted(list("abcd"), data["g"])]
    eta = 0.4 + 0.7 * data["x"] + effect
    known = data["size"] if name in trees.OF_TRIALS else None
    data["y"] = member.draw(eta, truth, known, rng)
    trials = "size" if name in trees.OF_TRIALS else None
    draws = trees.constant_draws((1, 4), **truth)
    idata = trees.make_tree("y ~ x + (1 | g)", data, draws, family=name, trials=trials)
    found = bl.residuals(idata, kind="quantile", random_seed=1)
    # A seeded sample: its distance from the normal has a p-value like any other.
    assert stats.kstest(found, "norm").pvalue > 0.01
    # Of another model's rows it is not, though many of them are zeros that tell nothing of x.
    data["x"] = -data["x"]
    wrong = bl.residuals(idata, data, kind="quantile", random_seed=1)
    assert stats.kstest(wrong, "norm").pvalue < 5e-3


def test_gaussian_quantile_residuals_of_one_draw_are_pearsons():
    draws = trees.constant_draws(
        (1, 4), beta=[1.0, 2.0], sigma=1.5, sd_g=[1.0], b_g=np.zeros((3, 1))
    )
    weights = np.linspace(0.5, 2, 9)
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, draws, weights=weights)
    pearson = bl.residuals(idata, kind="pearson")
    np.testing.assert_allclose(bl.residuals(idata, kind="quantile"), pearson, **EXACT)
    reml = bl.fit_reml("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    np.testing.assert_array_equal(
        bl.residuals(reml, kind="quantile"), bl.residuals(reml, kind="pearson")
    )


def test_new_rows_of_a_binomial_fit_have_trials_of_their_own():
    idata = trees.family_tree("binomial")
    rows = {"y": [1.0, 2.0], "x": [0.0, 1.0], "g": ["a", "c"], "size": [4.0, 8.0]}
    expected = np.array([0.25, 0.25]) - bl.fitted(idata, rows)
    np.testing.assert_allclose(bl.residuals(idata, rows), expected, **EXACT)
    del rows["size"]
    np.testing.assert_allclose(bl.residuals(idata, rows, trials=[4, 8]), expected, **EXACT)
    with pytest.raises(ArgumentError, match=r"'size', which these rows lack.*give trials="):
        bl.residuals(idata, rows)
    with pytest.raises(ArgumentError, match="trials are those of data="):
        bl.residuals(idata, trials=3)


def test_kinds_that_a_family_does_not_have_are_refused_by_name():
    for name, member in ((name, FAMILIES[name](None)) for name in FAMILIES):
        idata = trees.family_tree(name)
        if member.mean_scale.name == "identity":
            population = bl.fitted(idata, random_effects="none")
            found = bl.residuals(idata, kind="marginal")
            np.testing.assert_allclose(found, trees.RESPONSES[name] - population, **EXACT)
            continue
        with pytest.raises(ArgumentError, match=rf"family of this fit is '{name}'"):
            bl.residuals(idata, kind="marginal")
    values = trees.random_draws(trees.TINY_FORMULA, trees.TINY, family="student", draws=20)
    heavy = trees.make_tree(trees.TINY_FORMULA, trees.TINY, values, family="student")
    with pytest.raises(ArgumentError, match=r"infinite one.*take kind='quantile'"):
        bl.residuals(heavy, kind="pearson")
    assert np.isfinite(bl.residuals(heavy, kind="quantile")).all()


def test_residuals_are_numbers_where_the_response_is_as_good_as_impossible():
    draws = trees.constant_draws((1, 4), beta=[900.0, 0.0], sd_g=[1.0], b_g=np.zeros((3, 1)))
    data = trees.family_data("bernoulli")
    idata = trees.make_tree("y ~ x + (1 | g)", data, draws, family="bernoulli")
    for kind in ("response", "pearson", "quantile"):
        found = bl.residuals(idata, kind=kind, random_seed=0)
        assert np.isfinite(found).all()
        assert np.all(found[data["y"] == 1].abs() < 9)
