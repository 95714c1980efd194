"""What results make of rows that count several times, and of censored ones."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees
from scipy import stats

import bayeslmm as bl
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.errors import ArgumentError, DataError, DataWarning, TreeError
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


def test_a_summary_says_of_how_many_rows_the_response_was_seen(censored):
    said = str(bl.summary(censored))
    assert said.startswith("Bayesian weibull (log) mixed model")
    assert "Response: seen in 5 rows, 1 censored (left), 2 censored (right)," in said
    assert "1 censored\n  (interval)" in said or "1 censored (interval)" in said
    assert "censored_weibull" not in said
    assert "weibull" in set(bl.variance_components(censored)["factor"])


def test_the_share_above_each_time_is_kaplan_meiers_where_rows_are_censored_on_the_right():
    kinds = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1])
    fit = tree("weibull", cens=kinds)
    axes = bl.plot_check(fit, random_seed=1).axes[0]
    (line,) = [line for line in axes.lines if line.get_label() == "data"]
    y = trees.RESPONSES["weibull"]
    for time, share in zip(line.get_xdata(), line.get_ydata(), strict=True):
        events = [t for t, kind in zip(y, kinds, strict=True) if kind == 0 and t <= time]
        product = np.prod([1 - 1 / np.sum(y >= t) for t in events]) if events else 1.0
        # Ties of an event and a censored row count the row as watched; both products round.
        assert share == pytest.approx(product, abs=1e-12)
    assert axes.get_ylabel() == "share above it"
    plt.close("all")


@pytest.mark.parametrize(
    "said", [{"cens": -(KINDS == 1).astype(int)}, {"cens": KINDS, "y2": UPPER}]
)
def test_rows_that_are_censored_otherwise_are_pictured_with_all_others(said):
    axes = bl.plot_check(tree("weibull", **said), random_seed=1).axes[0]
    (line,) = [line for line in axes.lines if line.get_label() == "data"]
    assert axes.get_ylabel() == "share above it"
    assert (np.diff(line.get_ydata()) < 1e-12).all()
    assert axes.get_legend_handles_labels()[1] == ["simulated from the fit", "data"]
    plt.close("all")


def test_censored_responses_are_hollow_points_and_have_no_statistics(censored):
    (axes,) = bl.plot_effect(censored, "x").axes
    points = [one for one in axes.collections if len(one.get_offsets()) in {4, 5}]
    assert [len(one.get_facecolor()) > 0 for one in points] == [True, False]
    plt.close("all")
    with pytest.raises(TreeError, match="plot_check draws both"):
        bl.check_groups(censored)


def test_a_column_of_events_is_not_taken_for_one_of_censoring_in_silence():
    rows = {**trees.family_data("weibull"), "status": (KINDS == 0).astype(int)}
    with pytest.warns(DataWarning, match=r"status is 1 or True, 5 of 9.*table\['status'\] == 0"):
        bl.build_design(FORMULA, rows, family="weibull", cens="status")
    words = np.where(KINDS == 0, "none", "right")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bl.build_design(FORMULA, {**rows, "status": words}, family="weibull", cens="status")
        bl.build_design(
            FORMULA, {**rows, "censored": 1 - rows["status"]}, family="weibull", cens="censored"
        )
    zero = {**rows, "y": np.where(np.arange(9) == 2, 0.0, rows["y"]), "late": KINDS == 1}
    with pytest.raises(DataError, match=r"family='weibull' is for.*half of the smallest unit"):
        bl.build_design(FORMULA, zero, family="weibull", cens="late")
    with pytest.raises(DataError, match="Compute it into a column"):
        bl.build_design(FORMULA, rows, family="weibull", cens="1 - status")
