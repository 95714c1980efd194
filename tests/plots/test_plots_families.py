"""Pictures of fits whose responses are not Gaussian."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees
import xarray as xr
from matplotlib.collections import PathCollection
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.analysis.checks.standardized_effects import standardized_effects
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.families.parameters import free_parameters
from bayeslmm.families.registry import FAMILIES
from bayeslmm.plots.discrete_check import draw_calibration, draw_rootogram

OTHERS = [name for name in FAMILIES if name != "gaussian"]
NEW = {"x": [0, 1, 2]}


def points_of(axes):
    """Where scattered points stand, shape (n, 2)."""
    scattered = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    return np.concatenate([np.empty((0, 2)), *scattered])


def labels(axes):
    return axes.get_xlabel(), axes.get_ylabel()


@pytest.mark.parametrize("name", OTHERS)
def test_effects_are_drawn_on_the_responses_scale_or_on_the_links(name):
    idata = trees.family_tree(name)
    (axes,) = bl.plot_effect(idata, "x", at=NEW).axes
    table = bl.marginal_means(idata, "x", at=NEW)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), table["mean"])
    y = trees.RESPONSES[name]
    shares = y / trees.TRIALS if name in trees.OF_TRIALS else y
    np.testing.assert_allclose(axes.collections[0].get_offsets()[:, 1], shares)
    (link,) = bl.plot_effect(idata, "x", at=NEW, scale="link").axes
    table = bl.marginal_means(idata, "x", at=NEW, scale="link")
    np.testing.assert_allclose(link.lines[0].get_ydata(), table["mean"])
    assert bool(len(points_of(link))) == (name in {"student", "skew_normal"})
    words = dict.fromkeys(("bernoulli", *trees.OF_TRIALS), "probability of y")
    words |= dict.fromkeys(trees.ORDERED, "expected category of y")
    assert axes.get_ylabel() == words.get(name, "expected y")
    on_link = dict.fromkeys(("student", "skew_normal"), "expected y")
    on_link |= dict.fromkeys(("lognormal", "hurdle_lognormal"), "expected log y")
    on_link |= dict.fromkeys(trees.ORDERED, f"latent y ({FAMILIES[name](None).link.name})")
    default = f"{FAMILIES[name](None).link.name} of expected y"
    default = "logit of the probability of y" if name in words else default
    default += " less ndt" if name == "shifted_lognormal" else ""
    assert link.get_ylabel() == on_link.get(name, default)


@pytest.mark.parametrize("layout", ["panels", "overlay"])
@pytest.mark.parametrize("name", OTHERS)
def test_levels_lines_are_expected_responses(name, layout):
    idata = trees.family_tree(name)
    figure = bl.plot_levels(idata, "x", layout=layout)
    axes = figure.axes[0]
    x = np.linspace(0, 1, 21)  # of level a
    expected = bl.predict(idata, {"x": x, "g": ["a"] * 21}).mean(("chain", "draw"))
    if layout == "panels":
        line = axes.lines[1].get_ydata()
        word = figure.get_supylabel()
    else:
        (lines,) = [one for one in axes.collections if hasattr(one, "get_segments")]
        line, word = lines.get_segments()[0][:, 1], axes.get_ylabel()
    np.testing.assert_allclose(line, expected, rtol=1e-9)
    assert word == ("share of y" if name in trees.OF_TRIALS else "y")


def test_levels_without_a_covariate_stand_at_their_expected_responses():
    idata = trees.family_tree("binomial", formula="y ~ 1 + (1 | g)")
    (axes,) = bl.plot_levels(idata).axes
    means = np.array([bl.fitted(idata)[trees.TINY["g"] == g].mean() for g in "abc"])
    drawn = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(means))
    assert axes.get_ylabel() == "share of y"


def test_odds_ratios_are_drawn_around_one():
    idata = trees.family_tree("bernoulli")
    (axes,) = bl.plot_fixed_effects(idata, exponentiate=True).axes
    table = bl.fixed_effects(idata, exponentiate=True)
    np.testing.assert_allclose(axes.collections[-1].get_offsets()[:, 0], table["mean"]["x"])
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_xdata()[0] == 1
    assert axes.get_xlabel() == "odds ratio per unit of the column"
    beta = idata["posterior"]["beta"].sel(coef="x")
    assert axes.collections[0].get_offsets()[:, 0].min() > np.exp(float(beta.min())) * 0.9
    (plain,) = bl.plot_fixed_effects(idata).axes
    assert plain.get_xlabel() == "logit of the probability of y per unit of the column"
    with pytest.raises(ArgumentError, match="leave it out"):
        bl.plot_fixed_effects(trees.family_tree("student"), exponentiate=True)
    figure = bl.plot_caterpillar(trees.family_tree("poisson"))
    assert "on the scale of the log" in figure.get_supxlabel()


@pytest.mark.parametrize("name", OTHERS)
def test_the_panel_of_checks_shows_quantile_residuals(name):
    idata = trees.family_tree(name)
    axes = bl.plot_check(idata, random_seed=3).axes
    z = bl.residuals(idata, kind="quantile", random_seed=3)
    drawn = points_of(axes[1])
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(z))
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(bl.fitted(idata)))
    assert labels(axes[1]) == ("fitted", "quantile residual")
    quantiles = points_of(axes[2])
    np.testing.assert_allclose(np.sort(quantiles[:, 1]), np.sort(z))
    line = axes[2].lines[0]  # standard normal, not fitted to the residuals
    np.testing.assert_allclose(line.get_ydata(), line.get_xdata())
    first = axes[0].get_xlabel(), axes[0].get_ylabel()
    kinds = {
        "bernoulli": ("predicted probability of y", "observed share"),
    }
    counted = "root of the number of rows" if FAMILIES[name](None).discrete else ""
    words = kinds.get(name, ("y", counted))
    assert first[0].startswith(words[0])
    assert first[1] == words[1]


def test_bars_hang_from_what_is_expected_and_end_near_zero():
    rng = np.random.default_rng(1)
    y = rng.poisson(3.0, 400).astype(float)
    replicated = rng.poisson(3.0, (300, 400)).astype(float)
    _, axes = plt.subplots()
    draw_rootogram(axes, y, replicated, "seizures")
    top = {round(bar.get_x() + bar.get_width() / 2): bar.get_y() + bar.get_height()
           for bar in axes.patches}  # fmt: skip
    foot = {round(bar.get_x() + bar.get_width() / 2): bar.get_y() for bar in axes.patches}
    for count in range(7):
        expected = np.sqrt((replicated == count).sum() / 300)
        assert top[count] == pytest.approx(expected)
        assert foot[count] == pytest.approx(expected - np.sqrt((y == count).sum()))
    names = axes.get_legend_handles_labels()[1]
    assert "beyond chance" not in names
    _, axes = plt.subplots()
    # A third of the rows are zero for another reason.
    draw_rootogram(axes, np.where(rng.random(400) < 0.33, 0.0, y), replicated, "seizures")
    assert "beyond chance" in axes.get_legend_handles_labels()[1]


def test_large_counts_are_gathered_in_bars():
    rng = np.random.default_rng(1)
    y = rng.poisson(1e5, 200).astype(float)
    _, axes = plt.subplots()
    draw_rootogram(axes, y, rng.poisson(1e5, (100, 200)).astype(float), "y")
    assert len(axes.patches) <= 40
    assert "bars of" in axes.get_xlabel()
    heights = np.array([bar.get_height() for bar in axes.patches])
    assert np.sum(heights**2) == pytest.approx(200)


def test_shares_of_ones_are_compared_in_groups_of_like_rows():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.1, 0.9, 1000)
    replicated = (rng.random((300, 1000)) < p).astype(float)
    y = (rng.random(1000) < p).astype(float)
    _, axes = plt.subplots()
    draw_calibration(axes, y, p, replicated, "use")
    points = points_of(axes)
    parts = np.array_split(np.argsort(p, kind="stable"), 10)
    expected = [[p[part].mean(), y[part].mean()] for part in parts]
    np.testing.assert_allclose(points[np.argsort(points[:, 0])], expected)
    _, axes = plt.subplots()
    draw_calibration(axes, 1 - y, p, replicated, "use")
    assert "data, outside" in axes.get_legend_handles_labels()[1]


def test_effects_are_standardised_by_what_the_draws_tell():
    # 400 levels whose effects are known to a sd of 0.6, of a prior sd of 1: the law of total
    # variance leaves their means a variance of 0.64.
    rng = np.random.default_rng(3)
    m = 400
    data = {"y": rng.integers(0, 2, 2 * m).astype(float), "x": rng.normal(size=2 * m)}
    data["g"] = np.repeat([f"g{k:03d}" for k in range(m)], 2)
    mean = 0.8 * rng.normal(size=(m, 1))
    draws = trees.constant_draws((2, 200), beta=[0.0, 0.0], sd_g=[1.0])
    draws["b_g"] = mean + 0.6 * rng.normal(size=(2, 200, m, 1))
    idata = trees.make_tree("y ~ x + (1 | g)", data, draws, family="bernoulli")
    found = standardized_effects(idata)["g", "Intercept"]
    # The sd of 400 draws' sd is 3.5 %. One draw is as spread as effects are, however well known.
    assert found.std() == pytest.approx(1.0, abs=0.14)
    np.testing.assert_array_equal(found, draws["b_g"][0, -1, :, 0])
    moments = xr.Dataset(
        {
            "b_g_mean": (("g", "g_term"), draws["b_g"].mean(axis=(0, 1))),
            "b_g_sd": (("g", "g_term"), draws["b_g"].std(axis=(0, 1))),
        },
        coords={"g": sorted(set(data["g"])), "g_term": ["Intercept"]},
    )
    kept = idata.copy()
    kept["posterior"] = xr.DataTree(idata["posterior"].to_dataset().drop_vars("b_g"))
    kept["effects_moments"] = xr.DataTree(moments)
    # Of moments: what is left of effects by the law of total variance.
    of_moments = standardized_effects(kept)["g", "Intercept"]
    np.testing.assert_allclose(norm.cdf(of_moments), norm.cdf(mean[:, 0] / 0.8), atol=0.1)


def test_pictures_of_least_squares_in_levels_are_refused_by_name():
    for name in OTHERS:
        if name != "lognormal":  # Gaussian after its logarithm
            with pytest.raises(TreeError, match=rf"no pooling.*this fit is '{name}'"):
                bl.plot_shrinkage(trees.family_tree(name))


@pytest.mark.parametrize("name", OTHERS)
def test_priors_are_drawn_as_expected_responses_and_frequencies(name):
    trials = "size" if name in trees.OF_TRIALS else None
    data = trees.family_data(name)
    prior = bl.sample_prior(
        trees.TINY_FORMULA, data, family=name, trials=trials, draws=40, random_seed=1
    )
    lines, frequencies = bl.plot_prior_predictive(prior, draws=5).axes
    (segments,) = [one for one in lines.collections if hasattr(one, "get_segments")]
    heights = np.concatenate([one[:, 1] for one in segments.get_segments()])
    y = trees.RESPONSES[name]
    bounds = dict.fromkeys(("bernoulli", "binomial", "beta"), (0, 1))
    bounds |= dict.fromkeys(("student", "skew_normal"), (-np.inf, np.inf))
    low, high = bounds.get(name, (0, np.inf))
    assert low <= heights.min() <= heights.max() <= high
    shares = y / trees.TRIALS if name in trees.OF_TRIALS else y
    np.testing.assert_allclose(points_of(lines)[-9:, 1], shares)
    if FAMILIES[name](None).discrete:
        counted = frequencies.patches[-1].get_data()
        assert counted.values.sum() == 9
        assert len(frequencies.patches) == 6


@pytest.mark.parametrize("name", OTHERS)
def test_a_familys_parameters_stand_beside_their_priors(name):
    design = bl.build_design(
        trees.TINY_FORMULA, trees.family_data(name), family=name,
        trials="size" if name in trees.OF_TRIALS else None,
    )  # fmt: skip
    idata = trees.family_tree(name).copy()
    idata.attrs["priors"] = bl.resolve_priors(design).to_json()
    titles = [axes.get_title() for axes in bl.plot_prior_posterior(idata).axes]
    for parameter in free_parameters(design.family):
        assert set(parameter.entries) <= set(titles)
    scaled = {"lognormal", "shifted_lognormal", "hurdle_lognormal", "student", "skew_normal"}
    assert ("sigma" in titles) == (name in scaled)


def test_shares_have_no_unit_of_the_counts():
    data = bl.load_dataset("cbpp")
    draws = trees.random_draws(
        "incidence ~ period + (1 | herd)", data, chains=1, draws=20, family="binomial",
        trials="size",
    )  # fmt: skip
    options = {"family": "binomial", "trials": "size"}
    idata = trees.make_tree("incidence ~ period + (1 | herd)", data, draws, **options)
    idata["observed_data"]["incidence"].attrs["unit"] = "animals"
    axes = bl.plot_check(idata).axes
    assert axes[0].get_xlabel() == "incidence (animals)"
    assert axes[1].get_xlabel() == "fitted"
    assert bl.plot_levels(idata).axes[0].get_ylabel() == "share of incidence"
    assert bl.plot_effect(idata, "period").axes[0].get_ylabel() == "probability of incidence"
