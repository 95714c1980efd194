"""The picture of a comparison: what stands where, in any unit and on the boundary."""

import numpy as np
import pytest
import trees

from bayeslmm.analysis.reml_comparison.refit import refit_reml
from bayeslmm.errors import TreeError
from bayeslmm.plots.comparison import plot_comparison
from bayeslmm.tables.datasets import load_dataset

pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")


@pytest.fixture(scope="module")
def idata():
    data = load_dataset("sleepstudy")
    return trees.random_tree("Reaction ~ Days + (Days | Subject)", data, draws=60)


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def test_parameters_of_a_kind_share_a_panel_and_each_term_has_a_scatter(idata):
    assert titles(plot_comparison(idata)) == [
        *("fixed effects", "standard deviations", "correlations"),
        *("Subject: Intercept", "Subject: Days"),
    ]


def test_names_carry_the_numbers_in_their_own_unit(idata):
    labels = [
        label.get_text()
        for label in panel(plot_comparison(idata), "fixed effects").get_yticklabels()
    ]
    mean = idata["posterior"]["beta"].sel(coef="Days").mean().item()
    assert labels == [labels[0], f"Days\n{mean:.4g}  |  10.47"]


def test_scatters_hold_posterior_means_against_conditional_modes(idata):
    axes = panel(plot_comparison(idata), "Subject: Days")
    points = np.concatenate([part.get_offsets() for part in axes.collections])
    modes = refit_reml(idata).random_effects["Subject"]["Days"]
    means = idata["posterior"]["b_Subject"].mean(("chain", "draw"))[:, 1]
    np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(modes))
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(means))
    assert axes.get_xlim() == axes.get_ylim()
    assert "of 18 differ" in axes.texts[0].get_text()


def test_an_estimate_beyond_the_edge_is_pointed_at(idata):
    axes = panel(plot_comparison(idata), "standard deviations")
    # Draws of all sds are about 1; REML says 24.7, 5.9 and 25.6.
    arrows = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(arrows[:, 0], axes.get_xlim()[1])
    assert len(arrows) == 3


def test_a_singular_fit_is_drawn_at_zero():
    data = load_dataset("dyestuff2")
    figure = plot_comparison(trees.random_tree("Yield ~ 1 + (1 | Batch)", data, draws=40))
    points = [
        part.get_offsets()
        for part in panel(figure, "standard deviations").collections
        if len(part.get_offsets()) == 2
    ]
    assert any(np.isclose(offsets[0, 0], 0.0) for offsets in points)


def test_models_without_random_effects_have_intervals_only():
    data = trees.TINY
    rng = np.random.default_rng(0)
    draws = {
        "beta": rng.normal(size=(4, 50, 2)),
        "sigma": np.exp(0.1 * rng.normal(size=(4, 50))),
    }
    figure = plot_comparison(trees.make_tree("y ~ x", data, draws))
    assert titles(figure) == ["fixed effects", "standard deviations"]


@pytest.mark.parametrize("formula", ["y ~ 0 + (1 | g)", "y ~ x + (x || g)"])
def test_any_model_can_be_saved(formula, tmp_path):
    rng = np.random.default_rng(2)
    data = {
        "x": rng.normal(size=40),
        "g": np.repeat(list("abcdefgh"), 5),
        "y": rng.normal(size=40) + np.repeat(rng.normal(size=8), 5),
    }
    figure = plot_comparison(trees.random_tree(formula, data, draws=30))
    figure.savefig(tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_something_else_is_refused():
    with pytest.raises(TreeError):
        plot_comparison({"posterior": 1})
