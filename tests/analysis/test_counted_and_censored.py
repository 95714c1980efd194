"""What results make of rows that count several times, and of censored ones."""

import numpy as np
import pytest
import trees
from scipy import stats

import bayeslmm as bl
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.errors import ArgumentError, DataError, TreeError
from bayeslmm.results.family import family, family_draws

FORMULA = "y ~ x + (1 | g)"
COUNTED = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0, 2.0, 1.0])
KINDS = np.array([0, 1, -1, 2, 0, 0, 1, 0, 0])
UPPER = trees.TINY["y"] + 1.5


def tree(name, **said):
    data = trees.family_data(name)
    draws = trees.random_draws(FORMULA, data, chains=2, draws=20, family=name)
    return trees.make_tree(FORMULA, data, draws, family=name, **said)


@pytest.fixture(scope="module")
def censored():
    return tree("weibull", cens=KINDS, y2=UPPER)


@pytest.mark.parametrize("name", ["gaussian", "gamma", "bernoulli"])
def test_log_likelihoods_are_multiplied(name):
    once, often = tree(name), tree(name, likweights=COUNTED)
    found = bl.add_log_likelihood(often)["log_likelihood"]["y"]
    plain = bl.add_log_likelihood(once)["log_likelihood"]["y"]
    np.testing.assert_allclose(found, plain * COUNTED, rtol=1e-12)
    np.testing.assert_array_equal(training_design(often).likweights, COUNTED)
    np.testing.assert_array_equal(bl.predict(often), bl.predict(once))


def told(name, **said):
    """A fit whose statements about rows stand in columns, and its rows."""
    data = trees.family_data(name) | {"w": COUNTED, "kind": KINDS, "upper": UPPER}
    draws = trees.random_draws(FORMULA, data, chains=2, draws=20, family=name)
    return trees.make_tree(FORMULA, data, draws, family=name, **said), data


def of_rows(fit):
    return bl.add_log_likelihood(fit)["log_likelihood"]["y"].to_numpy()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gaussian", {"likweights": "w"}),
        ("gamma", {"likweights": "w"}),
        ("weibull", {"cens": "kind", "y2": "upper"}),
    ],
)
def test_other_rows_count_and_are_censored_as_their_columns_say(name, said):
    fit, data = told(name, **said)
    np.testing.assert_allclose(bl.log_likelihood(fit, data), of_rows(fit), rtol=1e-12)
    some = {key: np.asarray(values)[[0, 1, 4]] for key, values in data.items()}  # no interval
    np.testing.assert_allclose(
        bl.log_likelihood(fit, some), of_rows(fit)[..., [0, 1, 4]], rtol=1e-12
    )


def test_what_is_said_of_other_rows_stands_for_the_columns(censored):
    fit, data = told("gaussian", likweights="w")
    twice = bl.log_likelihood(fit, data, likweights=np.full(9, 2.0))
    np.testing.assert_allclose(twice * COUNTED, 2.0 * of_rows(fit), rtol=1e-12)
    with pytest.raises(ArgumentError, match="cens= and y2= are of a fit to censored"):
        bl.log_likelihood(fit, data, cens="kind")
    with pytest.raises(DataError, match="no column 'w' for the likweights"):
        bl.log_likelihood(fit, {key: data[key] for key in ("y", "x", "g")})
    with pytest.raises(DataError, match="given by themselves, not as a column: give cens="):
        bl.log_likelihood(censored, data)
    found = bl.log_likelihood(censored, trees.family_data("weibull"), cens=KINDS, y2=UPPER)
    np.testing.assert_allclose(found, of_rows(censored), rtol=1e-12)
    with pytest.raises(DataError, match="cens is missing in row 2"):
        bl.log_likelihood(censored, data, cens=np.where(np.arange(9) == 2, np.nan, KINDS), y2=UPPER)


def test_groups_that_count_several_times_are_left_out_where_that_means_something():
    with pytest.raises(TreeError, match=r"likelihood weights.*unit='observation'"):
        bl.loo(tree("gaussian", likweights=COUNTED), unit="group")


def test_a_summary_says_in_words_what_was_censored(censored):
    text = str(bl.summary(censored))
    assert "Bayesian censored weibull (log) mixed model" in text
    assert "censored weibull shape" in " ".join(text.split())
    assert "censored_weibull" not in text


def test_censored_rows_have_the_probability_of_where_they_lie(censored):
    member, y = family(censored), trees.RESPONSES["weibull"][:, None]
    assert member.name == "censored_weibull"
    ends = np.choose(KINDS + 1, [np.full(9, -np.inf), y[:, 0], np.full(9, np.inf), UPPER])
    eta = bl.predict(censored, kind="link").to_numpy().reshape(-1, 9).T
    phi = family_draws(censored)
    expected = member.log_density(y, eta, phi, ends[:, None])
    found = bl.add_log_likelihood(censored)["log_likelihood"]["y"].to_numpy().reshape(-1, 9).T
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    below, above = member.bounds(y, eta, phi, ends[:, None])
    # Differences of distribution functions round to 1e-16.
    np.testing.assert_allclose(
        np.exp(expected[KINDS != 0]), (above - below)[KINDS != 0], rtol=1e-9, atol=1e-15
    )
    np.testing.assert_array_equal(above[KINDS == 0], below[KINDS == 0])
    one = stats.norm.cdf(bl.residuals(censored, kind="quantile", random_seed=1))
    assert np.all(one >= below.mean(axis=1) - 1e-12)
    assert np.all(one <= above.mean(axis=1) + 1e-12)


@pytest.mark.parametrize("kind", ["response", "pearson"])
def test_of_censored_rows_no_response_is_known(censored, kind):
    with pytest.raises(ArgumentError, match="take kind='quantile'"):
        bl.residuals(censored, kind=kind)
