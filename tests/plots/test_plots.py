import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.checks.predictive import check_groups
from bayeslmm.analysis.variance.pooling import pooling_estimates
from bayeslmm.errors import ArgumentError, TreeError


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=60)


def grown(levels, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    n = levels * rows
    data = {
        "y": rng.normal(size=n),
        "x": rng.normal(size=n),
        "g": np.repeat([f"s{i}" for i in range(levels)], rows),
    }
    return trees.random_tree("y ~ x + (x | g)", data, draws=20)


def lines(axes, color):
    return [line for line in axes.lines if line.get_color() == color]


def test_small_multiples_draw_each_level_s_own_line_and_data(idata):
    figure = bl.plot_levels(idata)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["a", "b", "c"]
    for axes, level in zip(panels, "abc", strict=True):
        rows = trees.TINY["g"] == level
        points = axes.collections[-1].get_offsets()
        np.testing.assert_allclose(points[:, 0], trees.TINY["x"][rows])
        np.testing.assert_allclose(points[:, 1], trees.TINY["y"][rows])
    posterior = idata["posterior"].mean(("chain", "draw"))
    own = posterior["beta"].to_numpy() + posterior["b_g"].sel(g="b").to_numpy()
    x, y = lines(panels[1], "#0072B2")[0].get_data()
    assert (x.min(), x.max()) == (0, 2)
    np.testing.assert_allclose(y, own[0] + own[1] * x)


def test_an_overlay_goes_into_a_given_axes_and_holds_the_population(idata):
    figure, axes = plt.subplots()
    assert bl.plot_levels(idata, ax=axes) is figure
    beta = idata["posterior"]["beta"].mean(("chain", "draw")).to_numpy()
    x, y = lines(axes, "#D55E00")[0].get_data()
    # The line's mean comes from all of the draws or, past 100 a chain, an even subset of them.
    np.testing.assert_allclose(y, beta[0] + beta[1] * x)
    assert axes.get_xlabel() == "x"
    assert axes.get_ylabel() == "y"


def words(owner):
    return [text.get_text() for text in owner.get_texts()]


def test_every_band_is_named_in_the_legend(idata):
    assert "95 % interval" in words(bl.plot_levels(idata).legends[0])
    overlay = bl.plot_levels(idata, layout="overlay", ci_prob=0.8, ci_kind="hdi")
    assert "80 % HDI" in words(overlay.axes[0].get_legend())
    flat = trees.random_tree("y ~ 1 + (1 | g)", trees.TINY, draws=20)
    found = words(bl.plot_levels(flat).axes[0].get_legend())
    assert found == ["data", "each g, 95 % interval", "population", "its 95 % interval"]


def test_a_factor_in_the_place_of_the_covariate_is_recognised(idata):
    with pytest.raises(ArgumentError, match="write factor='g'"):
        bl.plot_levels(idata, "g")


def test_many_levels_are_overlaid():
    figure = bl.plot_levels(grown(65))
    assert len(figure.axes) == 1


def test_a_model_without_covariates_sets_levels_side_by_side():
    idata = trees.random_tree("y ~ 1 + (1 | g)", trees.TINY, draws=60)
    (axes,) = bl.plot_levels(idata).axes
    means = idata["posterior"]["b_g"].mean(("chain", "draw")).to_numpy().ravel()
    expected = [str(level) for level in np.array(list("abc"))[np.argsort(means)]]
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def test_other_covariates_and_labels_stay_where_the_level_has_them():
    data = {**trees.TINY, "f": np.array(list("ppqqqqppp"))}
    idata = trees.random_tree("y ~ x + f + (1 | g)", data, draws=30)
    figure = bl.plot_levels(idata)
    panel = figure.axes[1]
    posterior = idata["posterior"].mean(("chain", "draw"))
    beta, own = posterior["beta"].to_numpy(), posterior["b_g"].sel(g="b").item()
    x, y = lines(panel, "#0072B2")[0].get_data()
    np.testing.assert_allclose(y, beta[0] + beta[2] + own + beta[1] * x)


def test_a_curve_is_drawn_as_a_curve():
    idata = trees.random_tree("y ~ poly(x, 2) + (1 | g)", trees.TINY, draws=30)
    x, y = lines(bl.plot_levels(idata).axes[1], "#0072B2")[0].get_data()
    assert len(x) > 10
    assert np.ptp(np.diff(y)) > 1e-6


@pytest.mark.parametrize("levels", [18, 65, 300])
def test_caterpillars_are_sorted_and_labelled_while_labels_can_be_read(levels):
    figure = bl.plot_caterpillar(grown(levels))
    assert [axes.get_title() for axes in figure.axes] == ["Intercept", "x"]
    axes = figure.axes[0]
    if levels <= 80:
        heights = axes.collections[-1].get_offsets()
        assert np.all(np.diff(heights[:, 0]) >= 0)
        assert len(axes.get_yticklabels()) == levels
    else:
        line = next(line for line in axes.lines if len(line.get_xdata()) == levels)
        assert np.all(np.diff(line.get_ydata()) >= 0)


def test_a_caterpillar_of_one_term_goes_into_a_given_axes(idata):
    figure, axes = plt.subplots()
    assert bl.plot_caterpillar(idata, terms=["x"], axes=axes) is figure
    assert axes.get_title() == "x"
    with pytest.raises(ArgumentError, match="2 terms need"):
        bl.plot_caterpillar(idata, axes=axes)


def test_no_pooling_is_least_squares_within_the_level(idata):
    found = pooling_estimates(idata)
    rows = trees.TINY["g"] == "b"
    slope, intercept = np.polyfit(trees.TINY["x"][rows], trees.TINY["y"][rows], 1)
    np.testing.assert_allclose(found.none[1], [intercept, slope])
    posterior = idata["posterior"].mean(("chain", "draw"))
    np.testing.assert_allclose(found.complete, posterior["beta"])
    np.testing.assert_allclose(found.partial, posterior["beta"].to_numpy() + posterior["b_g"])


def test_a_level_that_cannot_tell_its_columns_apart_has_no_line_of_its_own():
    data = {**trees.TINY, "x": np.where(trees.TINY["g"] == "a", 1.0, trees.TINY["x"])}
    found = pooling_estimates(trees.random_tree("y ~ x + (x | g)", data, draws=10))
    assert np.isnan(found.none[0]).all()
    assert np.isfinite(found.none[1:]).all()


def test_no_pooling_takes_off_what_other_terms_carry():
    data = {**trees.TINY, "h": np.array(list("pqpqpqpqp"))}
    idata = trees.random_tree("y ~ x + (1 | g) + (1 | h)", data, draws=10)
    posterior = idata["posterior"].mean(("chain", "draw"))
    h = posterior["b_h"].sel(h=data["h"]).to_numpy()[:, 0]
    rest = data["y"] - posterior["beta"].sel(coef="x").item() * data["x"] - h
    expected = [rest[data["g"] == level].mean() for level in "abc"]
    np.testing.assert_allclose(pooling_estimates(idata, "g").none[:, 0], expected)


@pytest.mark.parametrize("terms", [None, ["Intercept"], ["x", "Intercept"]])
def test_shrinkage_draws_a_plane_or_two_lines(idata, terms):
    (axes,) = bl.plot_shrinkage(idata, terms=terms).axes
    first = "Intercept" if terms is None else terms[0]
    assert axes.get_xlabel() == f"{first} of each g"


def test_the_ellipse_holds_the_share_it_promises():
    from bayeslmm.plots.shrinkage import _ellipse

    cov = np.array([[4.0, 1.0], [1.0, 1.0]])
    x, y = _ellipse(np.array([1.0, 2.0]), cov, 0.95)
    centered = np.stack([x - 1, y - 2])
    distance = np.einsum("is,ij,js->s", centered, np.linalg.inv(cov), centered)
    # The 95 % quantile of chi-square with 2 degrees of freedom.
    np.testing.assert_allclose(distance, 5.991464547)


def test_variance_shares_add_up_to_one(idata):
    (axes,) = bl.plot_variance_partition(idata).axes
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("fixed effects", "g", "residual")
    ]


def test_covariance_draws_sds_and_only_correlations_that_were_drawn(idata):
    def shown(figure):
        return [axes.get_title() for axes in figure.axes if axes.get_visible()]

    assert shown(bl.plot_covariance(idata)) == ["sd Intercept", "corr Intercept, x", "sd x"]
    apart = trees.random_tree("y ~ x + (x || g)", trees.TINY, draws=20)
    assert shown(bl.plot_covariance(apart)) == ["sd Intercept", "sd x"]


def test_groups_are_checked_against_replicated_data():
    draws = trees.constant_draws(
        (4, 2000), beta=[5.0], sigma=1.0, sd_g=[1.0], b_g=[[0.0], [0.0], [0.0]]
    )
    idata = trees.make_tree("y ~ 1 + (1 | g)", trees.TINY, draws)
    table = check_groups(idata, statistic="mean", draws=2000, random_seed=1).set_index("level")
    assert table["observed"]["c"] == pytest.approx(13 / 3)
    # Means of n rows have sd 1 / sqrt(n); 8,000 replications give it to about one percent.
    np.testing.assert_allclose(table["sd"], 1 / np.sqrt([2, 4, 3]), rtol=0.04)
    # Phi((5 - 2) * sqrt(2)) for the first group, within 4 standard errors of a share.
    assert table["p_above"]["a"] == pytest.approx(1, abs=0.001)
    (axes,) = bl.plot_ppc_groups(idata, statistic="mean").axes
    assert "outside (1 of 3)" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_statistic_may_be_the_user_s(idata):
    table = check_groups(idata, statistic=np.median, random_seed=1)
    assert table["observed"].tolist() == [2.0, 4.5, 3.5]
    assert bl.plot_ppc_groups(idata, statistic=np.median).axes[0].get_ylabel() == "median of y"
    by_hand = check_groups(idata, statistic=lambda v, axis: v.max(axis=axis), random_seed=1)
    assert by_hand.equals(check_groups(idata, statistic="max", random_seed=1))
    for wrong in (len, lambda v, axis: 1.0, "skew", 3):
        with pytest.raises(ArgumentError, match="statistic"):
            check_groups(idata, statistic=wrong)


def test_traces_and_ranks_are_arviz_s_pictures_of_the_free_parameters(idata):
    for draw in (bl.plot_trace, bl.plot_rank):
        collection = draw(idata)
        assert set(collection.data.data_vars) == {
            *("beta[Intercept]", "beta[x]", "sd_g[Intercept]", "sd_g[x]"),
            *("corr_g[Intercept,x]", "sigma"),
        }


def test_pictures_change_no_global_setting(idata):
    before = dict(mpl.rcParams)
    bl.plot_levels(idata)
    bl.plot_caterpillar(idata)
    assert dict(mpl.rcParams) == before


def test_every_picture_saves_as_png_and_svg(idata, tmp_path):
    for name in ("levels", "caterpillar", "shrinkage", "variance_partition", "covariance"):
        figure = getattr(bl, f"plot_{name}")(idata)
        for kind in ("png", "svg"):
            path = tmp_path / f"{name}.{kind}"
            figure.savefig(path)
            assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("call", "options", "error", "message"),
    [
        ("plot_levels", {"x": "X"}, ArgumentError, "Did you mean 'x'"),
        ("plot_levels", {"layout": "panel"}, ArgumentError, "Did you mean 'panels'"),
        ("plot_levels", {"factor": "h"}, TreeError, "no grouping factor"),
        ("plot_caterpillar", {"terms": ["X"]}, ArgumentError, "Did you mean 'x'"),
        ("plot_shrinkage", {"terms": ["X"]}, ArgumentError, "Did you mean 'x'"),
        ("plot_ppc_groups", {"statistic": "meen"}, ArgumentError, "Did you mean 'mean'"),
    ],
)
def test_wrong_requests_are_named(idata, call, options, error, message):
    with pytest.raises(error, match=message):
        getattr(bl, call)(idata, **options)


def test_panels_need_a_figure_of_their_own(idata):
    _, axes = plt.subplots()
    with pytest.raises(ArgumentError, match="leave ax out"):
        bl.plot_levels(idata, layout="panels", ax=axes)


def test_the_packages_style_leaves_a_backend_that_it_loads_as_it_is():
    import matplotlib as mpl

    from bayeslmm.plots.style import style

    before = mpl.is_interactive()
    try:
        with style() as plt:
            plt.ion()  # what a notebook's backend does on loading
        assert mpl.is_interactive()
        assert mpl.rcParams["axes.spines.top"]
    finally:
        mpl.interactive(before)
