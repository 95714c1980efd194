"""Replicated responses against their exact conditional moments."""

import arviz as az
import numpy as np
import pytest
import trees

from bayeslmm.analysis.checks.replicates import add_posterior_predictive
from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.errors import ArgumentError, TreeError

WEIGHTS = np.linspace(0.5, 2, 9)
DRAWS = 4 * 1000


@pytest.fixture(scope="module")
def known():
    """A posterior of one point: all that replicates vary by is the residual."""
    draws = trees.constant_draws(
        (4, 1000),
        beta=[1.0, 2.0],
        sigma=3.0,
        sd_g=[2.0, 1.0],
        corr_g=[[1.0, 0.5], [0.5, 1.0]],
        b_g=[[1.0, 0.5], [0.0, 0.0], [-1.0, -0.5]],
    )
    return trees.make_tree("y ~ x + (x | g)", trees.TINY, draws, weights=WEIGHTS)


def test_replicates_have_the_conditional_mean_and_sd(known):
    found = add_posterior_predictive(known, random_seed=3)["posterior_predictive"]["y"]
    assert found.dims == ("chain", "draw", "obs")
    index = np.searchsorted(["a", "b", "c"], trees.TINY["g"])
    x = trees.TINY["x"]
    mean = 1 + np.array([1.0, 0, -1])[index] + (2 + np.array([0.5, 0, -0.5])[index]) * x
    sd = 3 / np.sqrt(WEIGHTS)
    # Five Monte Carlo standard errors of a mean and of a standard deviation.
    error = np.abs(found.mean(("chain", "draw")) - mean) / (sd / np.sqrt(DRAWS))
    assert error.max() < 5
    spread = np.abs(found.std(("chain", "draw")) / sd - 1) * np.sqrt(2 * DRAWS)
    assert spread.max() < 5


def test_they_are_the_predicted_responses_of_the_same_seed(known):
    arguments = {"draws": 20, "random_seed": 5, "random_effects": "none"}
    found = add_posterior_predictive(known, **arguments)["posterior_predictive"]["y"]
    np.testing.assert_array_equal(found, predict(known, kind="response", **arguments))


def test_the_tree_that_was_given_stays_as_it_is(known):
    once = add_posterior_predictive(known, draws=5, random_seed=1)
    twice = add_posterior_predictive(once, draws=7, random_seed=1)
    assert "posterior_predictive" not in known.children
    assert once["posterior_predictive"].sizes["draw"] == 5
    assert twice["posterior_predictive"].sizes["draw"] == 7


def test_arviz_draws_them_beside_the_data(known):
    plot = az.plot_ppc_dist(add_posterior_predictive(known, draws=25, random_seed=1))
    assert {"observed_dist", "predictive_dist"} <= set(plot.viz.children)


def test_they_go_through_a_file(known, tmp_path):
    added = add_posterior_predictive(known, draws=3, random_seed=1)
    added.to_netcdf(tmp_path / "checked.nc")


def test_more_than_memory_holds_is_refused_before_it_is_drawn(known, monkeypatch):
    monkeypatch.setattr("bayeslmm.analysis.checks.replicates.memory", lambda: 8 * DRAWS * 9 - 1)
    with pytest.raises(ArgumentError, match=r"4,000 replicates of 9 rows .* draws=50"):
        add_posterior_predictive(known)
    add_posterior_predictive(known, draws=50)


def test_draws_that_there_are_not_are_refused(known):
    with pytest.raises(ArgumentError, match="more than the 1000 draws"):
        add_posterior_predictive(known, draws=1001)


def test_a_tree_without_rows_is_refused(known):
    without = known.copy()
    del without["observed_data"]
    with pytest.raises(TreeError, match="observed_data"):
        add_posterior_predictive(without)
