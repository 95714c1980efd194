"""The picture of priors beside posteriors."""

import numpy as np
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.plots.style import DATA, LEVEL

FORMULA = "y ~ x + (x | g)"


@pytest.fixture(scope="module")
def idata():
    """Draws from the priors in the place of a posterior: both densities must be alike."""
    prior = bl.sample_prior(FORMULA, trees.TINY, draws=20_000, random_seed=1)
    groups = {name: group.to_dataset() for name, group in prior.children.items() if name != "prior"}
    tree = xr.DataTree.from_dict({"posterior": prior["prior"].to_dataset(), **groups})
    tree.attrs = dict(prior.attrs)
    return tree


def curves(panel):
    return {line.get_color(): line.get_data() for line in panel.lines}


def test_draws_from_the_priors_have_the_priors_densities(idata):
    figure = bl.plot_prior_posterior(idata)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == [
        "Intercept, at means", "x", "sd_g[Intercept]", "sd_g[x]", "corr_g[Intercept,x]", "sigma",
    ]  # fmt: skip
    for panel in figure.axes:
        (x, exact), (grid, estimated) = curves(panel)[DATA], curves(panel)[LEVEL]
        low, high = np.quantile(x, [0.15, 0.85])
        inner = (x > low) & (x < high)
        heights = np.interp(x[inner], grid, estimated)
        # A kernel estimate from 20,000 draws misses by some 2 % of the peak where heavy tails do
        # not widen its kernel; those of the Student-t make it some 10 %.
        np.testing.assert_allclose(heights, exact[inner], atol=0.15 * exact.max())


def test_a_panel_holds_the_posterior_and_stays_within_the_bounds(idata):
    figure = bl.plot_prior_posterior(idata, ["sd_g[x]", "corr_g"])
    sd, corr = figure.axes
    assert sd.get_xlim()[0] == 0
    assert corr.get_xlim() == (-1, 1)
    assert sd.get_xlim()[1] > np.quantile(idata["posterior"]["sd_g"][..., 1], 0.95)


def test_only_what_is_asked_for_is_drawn_in_that_order(idata):
    figure = bl.plot_prior_posterior(idata, ["sigma", "x"])
    assert [panel.get_title() for panel in figure.axes] == ["sigma", "x"]


def test_a_prior_that_flattens_everything_does_not(idata):
    tree = idata.copy()
    tree["posterior"] = (
        idata["posterior"].to_dataset().assign(sigma=1 + 0.01 * idata["posterior"]["sigma"])
    )
    [panel] = bl.plot_prior_posterior(tree, ["sigma"]).axes
    assert panel.get_ylim()[1] < 2 * curves(panel)[LEVEL][1].max()


def test_what_has_no_prior_is_refused(idata):
    with pytest.raises(ArgumentError, match=r"no parameter 'sigm' with a prior\. Did you mean"):
        bl.plot_prior_posterior(idata, ["sigm"])
    with pytest.raises(TreeError):
        bl.plot_prior_posterior(3)
    tree = idata.copy()
    del tree.attrs["priors"]
    with pytest.raises(TreeError, match="does not say its priors"):
        bl.plot_prior_posterior(tree)
