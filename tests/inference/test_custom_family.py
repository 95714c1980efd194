"""Families of the user's own: a psychometric function with lapses, and a Poisson written anew."""

import pickle

import numpy as np
import pytensor.tensor as pt
import pytest
import trees
from scipy.special import expit
from test_graph_families import SLOW_BUT_INSTANT, densities, observed_model

import bayeslmm as bl
from bayeslmm.analysis.prediction.average_mean import averaged_mean
from bayeslmm.errors import ArgumentError
from bayeslmm.families.registry import family_of

LAPSE = bl.FamilyParameter("lapse", "share of lapses", "Beta(1, 19)", upper=1.0)
ETA = np.array([-2.5, -0.4, 0.0, 0.7, 1.3])


def psychometric_logp(y, eta, lapse):
    p = 0.5 * lapse + (1 - lapse) * pt.sigmoid(eta)
    return pt.log(pt.switch(pt.eq(y, 1), p, 1 - p))


def psychometric_mean(eta, lapse):
    return 0.5 * lapse + (1 - lapse) * expit(eta)


def counts_logp(y, eta):
    return y * eta - pt.exp(eta) - pt.gammaln(y + 1.0)


@pytest.fixture(scope="module")
def psychometric():
    return bl.custom_family(
        "psychometric", psychometric_logp, parameters=[LAPSE], response="binary", link="logit",
        mean=psychometric_mean,
    )  # fmt: skip


def counts(**how):
    return bl.custom_family("counts_anew", counts_logp, response="counts", link="log", **how)


def test_its_density_is_the_functions_for_rows_and_draws(psychometric):
    y, phi = np.array([[0.0], [1.0]]), {"lapse": np.array([0.05, 0.1, 0.2, 0.3, 0.0])}
    p = psychometric_mean(ETA, phi["lapse"])
    found = psychometric.log_density(y, ETA, phi, None)
    np.testing.assert_allclose(found, np.log(np.stack([1 - p, p])), rtol=1e-13)


def test_one_written_anew_is_the_built_in_one():
    poisson, own = family_of("poisson"), counts()
    y = np.array([[0.0], [3.0], [17.0]])
    expected = poisson.log_density(y, ETA, {}, None)
    np.testing.assert_allclose(own.log_density(y, ETA, {}, None), expected, rtol=1e-13)
    np.testing.assert_allclose(own.mean(ETA, {}), poisson.mean(ETA, {}))
    np.testing.assert_allclose(own.mean_slope(ETA, {}), poisson.mean_slope(ETA, {}))


def test_the_graph_is_the_functions():
    y = np.array([0.0, 3.0, 1.0, 7.0, 2.0])
    found, slope = densities(observed_model(counts(), y, None), SLOW_BUT_INSTANT)(ETA)
    np.testing.assert_allclose(found, family_of("poisson").log_density(y, ETA, {}, None))
    np.testing.assert_allclose(slope, y - np.exp(ETA), rtol=1e-13)


def test_successes_have_their_trials():
    def logp(y, eta, trials):
        ways = pt.gammaln(trials + 1.0) - pt.gammaln(y + 1.0) - pt.gammaln(trials - y + 1.0)
        return ways - y * pt.softplus(-eta) - (trials - y) * pt.softplus(eta)

    own = bl.custom_family("shares_anew", logp, response="successes", link="logit")
    y, trials = np.array([0.0, 3.0, 1.0, 7.0, 2.0]), np.array([2.0, 3.0, 4.0, 9.0, 2.0])
    binomial = family_of("binomial")
    expected = binomial.log_density(y, ETA, {}, trials)
    np.testing.assert_allclose(own.log_density(y, ETA, {}, trials), expected, rtol=1e-12)
    found, _ = densities(observed_model(own, y, trials), SLOW_BUT_INSTANT)(ETA)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(
        own.variance(ETA, {}, trials), binomial.variance(ETA, {}, trials), rtol=1e-12
    )


def test_averages_over_groups_are_of_its_own_mean(psychometric):
    eta, phi = ETA[:, None], {"lapse": np.array([0.1])}
    found = averaged_mean(psychometric, eta, np.full((5, 1), 4.0), phi)
    plain = averaged_mean(family_of("bernoulli"), eta, np.full((5, 1), 4.0), {})
    np.testing.assert_allclose(found, 0.05 + 0.9 * plain, rtol=1e-9)
    step = 1e-6
    differences = psychometric.mean(eta + step, phi) - psychometric.mean(eta - step, phi)
    np.testing.assert_allclose(
        psychometric.mean_slope(eta, phi), differences / (2 * step), rtol=1e-7
    )


def test_results_answer_what_its_functions_say(psychometric):
    data = trees.family_data("bernoulli")
    response = {"family": psychometric}
    draws = trees.random_draws("y ~ x + (1 | g)", data, chains=2, draws=30, **response)
    draws["lapse"] = draws["lapse"] / 10
    idata = trees.make_tree("y ~ x + (1 | g)", data, draws, **response)
    assert idata.attrs["family"] == "psychometric"
    mean = bl.predict(idata)
    assert float(mean.min()) > 0.0
    np.testing.assert_allclose(bl.fitted(idata), mean.mean(("chain", "draw")))
    eta, lapse = bl.predict(idata, kind="link"), idata["posterior"]["lapse"]
    np.testing.assert_allclose(mean, psychometric_mean(eta, lapse))
    rows = bl.add_log_likelihood(idata)["log_likelihood"]["y"]
    chosen = mean.where(idata["observed_data"]["y"] == 1, 1 - mean)
    np.testing.assert_allclose(rows, np.log(chosen).transpose(*rows.dims))
    assert np.isfinite(bl.residuals(idata, kind="quantile", random_seed=1)).all()
    assert set(np.unique(bl.predict(idata, kind="response", random_seed=1))) <= {0.0, 1.0}
    with pytest.raises(ArgumentError, match="take scale='observation'"):
        bl.icc(idata)
    assert np.isfinite(bl.icc(idata, scale="observation")["mean"]).all()


def test_a_family_is_known_by_its_name_also_in_another_process(psychometric, monkeypatch):
    assert family_of("psychometric") is psychometric
    sent = pickle.dumps(psychometric)
    monkeypatch.setattr("bayeslmm.families.derived.custom._REMEMBERED", {})
    with pytest.raises(ArgumentError, match=r"once custom_family\(\.\.\.\) has made it"):
        family_of("psychometric")
    again = pickle.loads(sent)  # noqa: S301
    assert family_of("psychometric") is again
    y, phi = np.array(1.0), {"lapse": 0.1}
    np.testing.assert_array_equal(
        again.log_density(y, ETA, phi, None), psychometric.log_density(y, ETA, phi, None)
    )


def test_what_nobody_said_is_asked_for():
    own = counts()
    eta = np.zeros(3)
    with pytest.raises(ArgumentError, match=r"custom_family\(\.\.\., draw=\.\.\.\)"):
        own.draw(eta, {}, None, np.random.default_rng(1))
    with pytest.raises(ArgumentError, match=r"custom_family\(\.\.\., cdf=\.\.\.\)"):
        own.cdf(eta, eta, {}, None)
    with pytest.raises(ArgumentError, match=r"custom_family\(\.\.\., variance=\.\.\.\)"):
        own.variance(eta, {}, None)
    told = counts(
        draw=lambda eta, rng: rng.poisson(np.exp(eta)), variance=np.exp, cdf=lambda y, eta: y + eta
    )
    assert told.draw(eta, {}, None, np.random.default_rng(1)).shape == (3,)
    assert told.variance(eta, {}, None).shape == (3,)
    assert told.cdf(eta, eta, {}, None).shape == (3,)
    with pytest.raises(ArgumentError, match="work number by number"):
        counts(variance=lambda _: np.ones(7)).variance(eta, {}, None)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"name": "poisson"}, "is a family already"),
        ({"name": ""}, "is no name"),
        ({"response": "times"}, "response"),
        ({"link": "inverse"}, "link"),
        ({"logp": None}, "logp= is a function"),
        ({"mean": 3}, "mean= is a function"),
        ({"parameters": ["lapse"]}, "it holds 'lapse'"),
        ({"parameters": [bl.FamilyParameter("beta", "slope", "Normal(0, 1)")]}, "called 'beta'"),
        ({"parameters": [LAPSE, LAPSE]}, "a name twice"),
    ],
)
def test_what_cannot_be_a_family_is_refused(how, words):
    with pytest.raises(ArgumentError, match=words):
        bl.custom_family(**{"name": "own", "logp": counts_logp, **how})


@pytest.mark.parametrize(
    ("logp", "words"),
    [
        (lambda y, eta: (y - eta).sum(), "log-density of each row, not their sum"),
        (lambda y, eta, nu: y - eta - nu, "failed with tensors y, eta: .*missing"),
        (lambda y, eta: undefined(y), "failed with tensors y, eta: name 'undefined'"),  # noqa: F821
    ],
)
def test_a_function_that_answers_something_else_is_told(logp, words):
    own = bl.custom_family("wrong", logp)
    with pytest.raises(ArgumentError, match=words):
        own.log_density(ETA, ETA, {}, None)


@pytest.mark.slow
def test_nuts_finds_the_share_of_lapses(psychometric):
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 120)
    x = rng.uniform(-3, 3, len(g))
    eta = 0.2 + 2 * x + rng.normal(0, 0.6, 12)[g]
    y = psychometric.draw(eta, {"lapse": 0.12}, None, rng)
    data = {"y": y, "x": x, "person": [f"p{k:02d}" for k in g]}
    fit = bl.fit_bayes(
        "y ~ x + (1 | person)", data, family=psychometric, draws=1000, tune=2000, chains=2,
        random_seed=1, progressbar=False,
    )  # fmt: skip
    table = bl.fixed_effects(fit)
    assert table.loc["x", "eti95_lb"] < 2 < table.loc["x", "eti95_ub"]
    low, high = np.quantile(fit["posterior"]["lapse"], [0.025, 0.975])
    assert low < 0.12 < high
