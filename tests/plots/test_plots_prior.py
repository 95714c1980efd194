"""The picture of the prior predictive distribution."""

import numpy as np
import pytest
import trees
from matplotlib.collections import LineCollection

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.plots.style import POPULATION


@pytest.fixture(scope="module")
def prior():
    return bl.sample_prior("y ~ x + (x | g)", trees.TINY, draws=60, random_seed=1)


def test_each_draw_shows_its_own_levels_lines(prior):
    figure = bl.plot_prior_predictive(prior, draws=60)
    [collection] = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    segments = collection.get_segments()
    assert len(segments) == 60 * 3
    beta = prior["prior"]["beta"].to_numpy()[0]
    effects = prior["prior"]["b_g"].to_numpy()[0]
    slopes = np.sort((beta[:, None, 1] + effects[:, :, 1]).ravel())
    drawn = [(s[-1, 1] - s[0, 1]) / (s[-1, 0] - s[0, 0]) for s in segments]
    np.testing.assert_allclose(np.sort(drawn), slopes, rtol=1e-8, atol=1e-8)


def test_the_data_and_the_middle_of_the_predictions_are_in_sight(prior):
    axes = bl.plot_prior_predictive(prior).axes[1]
    low, high = axes.get_xlim()
    inner = np.quantile(prior["prior_predictive"]["y"], [0.05, 0.95])
    assert low < min(inner[0], trees.TINY["y"].min())
    assert high > max(inner[1], trees.TINY["y"].max())
    [data] = [line for line in axes.lines if line.get_color() == POPULATION]
    x, y = data.get_data()
    # A density: nearly all of it lies within these limits.
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.02)


def test_a_model_without_a_covariate_shows_densities_only():
    prior = bl.sample_prior("y ~ 1 + (1 | g)", trees.TINY, draws=20, random_seed=1)
    assert [axes.get_title() for axes in bl.plot_prior_predictive(prior).axes] == ["response"]
    fixed = bl.sample_prior("y ~ x", trees.TINY, draws=20, random_seed=1)
    assert len(bl.plot_prior_predictive(fixed).axes) == 1


def test_the_same_seed_shows_the_same_draws(prior):
    one, two = (bl.plot_prior_predictive(prior, draws=3, random_seed=5) for _ in range(2))
    for left, right in zip(one.axes[1].lines, two.axes[1].lines, strict=True):
        np.testing.assert_array_equal(left.get_ydata(), right.get_ydata())


def test_what_cannot_be_drawn_is_refused(prior):
    with pytest.raises(ArgumentError, match="draws must be positive"):
        bl.plot_prior_predictive(prior, draws=0)
    with pytest.raises(ArgumentError, match="no numeric column"):
        bl.plot_prior_predictive(prior, "g")
    with pytest.raises(TreeError, match="no grouping factor"):
        bl.plot_prior_predictive(prior, factor="h")
    with pytest.raises(TreeError, match="sample_prior"):
        bl.plot_prior_predictive(trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=5))
