"""Pictures of expected responses, fixed effects and the model's fit."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import trees
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.analysis.checks.standardized_effects import standardized_effects
from bayeslmm.errors import ArgumentError, TreeError

TABLE = {
    **trees.TINY,
    "f": np.array(list("ppqqrrpqr")),
    "z": np.array([0.5, 1.5, 0.0, 2.0, 1.0, 3.0, 2.5, 0.7, 1.2]),
}
SLEEP = bl.load_dataset("sleepstudy")
SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x * f + z + (1 | g)", TABLE, draws=60)


@pytest.fixture(scope="module")
def reml():
    return bl.fit_reml(SLOPES, SLEEP)


@pytest.fixture(scope="module")
def sleep():
    return bl.fit_bayes(
        SLOPES, SLEEP, parametrization="marginal", sampler="importance", random_seed=1,
        progressbar=False,
    )  # fmt: skip


def words(legend):
    return [text.get_text() for text in legend.get_texts()]


def test_lines_are_the_marginal_means_and_bands_their_intervals(idata):
    (axes,) = bl.plot_effect(idata, "x", by="f", at={"x": [0, 1, 3]}).axes
    table = bl.marginal_means(idata, "x", by="f", at={"x": [0, 1, 3]}, ci_prob=0.8)
    for place, category in enumerate("pqr"):
        rows = table[table["f"] == category]
        np.testing.assert_allclose(axes.lines[place].get_ydata(), rows["mean"])
        band = axes.collections[3 + 3 * place + 1].get_paths()[0].vertices[:, 1]
        assert band.min() == pytest.approx(rows["eti80_lb"].min())
        assert band.max() == pytest.approx(rows["eti80_ub"].max())
    legend = axes.get_legend()
    assert words(legend) == ["f: p", "f: q", "f: r"]
    title = legend.get_title().get_text()
    assert title == f"the population, z = {TABLE['z'].mean():.3g}; bands: 50, 80, 95 %"


def test_the_data_stand_behind_each_in_its_category_s_colour(idata):
    (axes,) = bl.plot_effect(idata, "x", by="f").axes
    drawn = [points for points in axes.collections if hasattr(points, "get_offsets")][:3]
    for points, category in zip(drawn, "pqr", strict=True):
        here = TABLE["f"] == category
        expected = np.column_stack([TABLE["x"], TABLE["y"]])[here]
        np.testing.assert_allclose(points.get_offsets(), expected)
    (bare,) = bl.plot_effect(idata, "x", by="f", points=False).axes
    assert len(bare.collections) == len(axes.collections) - 3


@pytest.mark.parametrize("average", ["balanced", "rows"])
def test_labels_stand_side_by_side_with_intervals(idata, average):
    (axes,) = bl.plot_effect(idata, "f", average=average, probs=[0.9]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["p", "q", "r"]
    table = bl.marginal_means(idata, "f", average=average, ci_prob=0.9)
    np.testing.assert_allclose(axes.collections[-1].get_offsets()[:, 1], table["mean"])
    (segments,) = [lines for lines in axes.collections if hasattr(lines, "get_segments")]
    found = np.array([line[:, 1] for line in segments.get_segments()])
    np.testing.assert_allclose(found, table[["eti90_lb", "eti90_ub"]])
    assert "intervals: 90 %" in axes.get_title()


def test_a_reml_fit_has_wald_s_bands(reml):
    (axes,) = bl.plot_effect(reml, "Days", probs=[0.5]).axes
    assert axes.get_xlabel() == "Days"
    assert axes.get_ylabel() == "expected Reaction (ms)"
    table = bl.marginal_means(reml, "Days", at={"Days": [0, 9]}, ci_prob=0.5)
    band = axes.collections[1].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(table["lower"][0])
    assert band.max() == pytest.approx(table["upper"][1])


def test_units_travel_from_the_table_to_the_axes(sleep):
    for figure in (bl.plot_levels(sleep, layout="overlay"), bl.plot_effect(sleep, "Days")):
        assert figure.axes[0].get_ylabel().endswith("Reaction (ms)")
    assert bl.plot_ppc_groups(sleep).axes[0].get_ylabel() == "sd of Reaction (ms)"
    assert bl.plot_fixed_effects(sleep).axes[0].get_xlabel() == "ms per unit of the column"
    renamed = bl.build_design("log(Reaction) ~ Days + (1 | Subject)", SLEEP)
    assert renamed.units["Reaction"] == "ms"


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ("X", {}, "Did you mean 'x'"),
        ("x", {"by": "x"}, "leave it out"),
        ("g", {}, "through random effects only"),
        ("x", {"by": "f", "probs": []}, "no probability"),
        ("x", {"by": "f", "probs": [95]}, "between 0 and 1"),
        ("x", {"by": "z", "at": {"z": range(9)}}, r"more than colours.*at=\{'z': \[0, 1\]\}"),
    ],
)
def test_wrong_effects_are_named(idata, x, options, message):
    with pytest.raises(ArgumentError, match=message):
        bl.plot_effect(idata, x, **options)


def test_fixed_effects_are_drawn_with_their_intervals(idata, reml):
    figure, axes = plt.subplots()
    assert bl.plot_fixed_effects(idata, ci_prob=0.8, ax=axes) is figure
    labels = [label.get_text() for label in axes.get_yticklabels()]
    table = bl.fixed_effects(idata, ci_prob=0.8).drop("Intercept")
    assert labels == table.index.tolist()
    lines = [lines for lines in axes.collections if hasattr(lines, "get_segments")]
    found = np.array([line[:, 0] for line in lines[0].get_segments()])
    np.testing.assert_allclose(found, table[["eti80_lb", "eti80_ub"]])
    (plain,) = bl.plot_fixed_effects(reml, ["Days"], ci_prob=0.9).axes
    (line,) = plain.collections[0].get_segments()
    expected = bl.confidence_intervals(reml, "wald", ci_prob=0.9, parameters=["Days"])
    np.testing.assert_allclose(line[:, 0], expected[["lower", "upper"]].to_numpy()[0])
    with pytest.raises(ArgumentError, match="Did you mean 'Days'"):
        bl.plot_fixed_effects(reml, ["days"])


def test_dots_are_quantiles_in_stacks():
    from bayeslmm.plots.fixed_effects import _stacked

    x, height = _stacked(np.array([0.0, 0.1, 0.2, 1.0, 1.05, 2.0]), 0.2)
    np.testing.assert_allclose(x, [0.1, 0.1, 0.1, 1.025, 1.025, 2.0])
    np.testing.assert_allclose(height, [0, 1, 2, 0, 1, 0])


def test_the_panel_asks_four_questions(sleep, reml):
    for fit in (sleep, reml):
        figure = bl.plot_check(fit)
        assert [axes.get_title() for axes in figure.axes] == [
            "Does the model reproduce the data?",
            "Residuals: no pattern, equal width?",
            "Residuals normal?",
            "Random effects normal?",
        ]
        # Three rows of sleepstudy are known for their size.
        named = [text.get_text() for text in figure.axes[1].texts]
        assert sorted(named) == ["row 56", "row 59", "row 7"]
        drawn = np.vstack(
            [p.get_offsets() for p in figure.axes[1].collections if len(p.get_offsets())]
        )
        residuals = bl.residuals(fit, kind="pearson")
        np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(residuals))
        assert words(figure.axes[3].get_legend()) == ["Intercept", "Days"]


def test_a_panel_goes_into_given_axes_and_needs_rows(reml):
    _, axes = plt.subplots(1, 4)
    assert bl.plot_check(reml, axes=axes) is axes[0].figure
    with pytest.raises(ArgumentError, match="4 questions"):
        bl.plot_check(reml, axes=axes[:2])
    gram = bl.gram_from_batches(SLOPES, lambda: [SLEEP])
    with pytest.raises(TreeError, match=r"residuals\(fit, data\)"):
        bl.plot_check(bl.fit_reml(SLOPES, gram))


def test_simulated_data_vary_as_the_weights_say():
    from bayeslmm.plots.model_check import _replicated

    table = SLEEP.assign(w=np.where(SLEEP["Days"] < 5, 1.0, 100.0))
    fit = bl.fit_reml("Reaction ~ Days + (1 | Subject)", table, weights="w")
    drawn = _replicated(fit, bl.fitted(fit).to_numpy(), 1)
    spread = drawn.std(axis=0, ddof=1)
    # 30 draws of each of 90 rows: the mean variance to within some 3 %.
    found = [np.sqrt(np.mean(spread[table["w"] == w] ** 2)) for w in (1.0, 100.0)]
    np.testing.assert_allclose(found, [fit.sigma, fit.sigma / 10], rtol=0.1)


def test_standardised_effects_are_standard_normal_where_the_model_holds():
    # Of unequal groups, with the parameters as they are: the modes' own variance is G less
    # Var(b | y), dense, whatever the group's size.
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 9, 60)
    table = pd.DataFrame({"g": np.repeat([f"g{i:02d}" for i in range(60)], sizes)})
    table["y"] = rng.normal(size=60)[table.groupby("g").ngroup()] + rng.normal(size=len(table))
    fit = bl.fit_reml("y ~ 1 + (1 | g)", table)
    z = standardized_effects(fit)["g", "Intercept"]
    Z = (table["g"].to_numpy()[:, None] == np.unique(table["g"])).astype(float)
    G = fit.variance_components.loc[("g", "Intercept"), "variance"]
    V = G * Z @ Z.T + fit.sigma**2 * np.eye(len(table))
    solved = np.linalg.inv(V)
    ones = np.ones((len(table), 1))
    P = solved - solved @ ones @ np.linalg.inv(ones.T @ solved @ ones) @ ones.T @ solved
    modes = G * Z.T @ P @ table["y"]
    # Cov(b_hat) = G Z' P V P Z G, and P V P = P.
    np.testing.assert_allclose(z, modes / np.sqrt(np.diag(G * Z.T @ P @ Z * G)), rtol=1e-6)
    # 60 draws: a standard deviation to within a tenth, three times over.
    assert z.std() == pytest.approx(1, abs=0.3)
    at = norm.ppf((np.arange(60) + 0.5) / 60)
    assert np.corrcoef(np.sort(z), at)[0, 1] > 0.97


def test_a_posterior_s_effects_are_standardised_as_reml_s(sleep, reml):
    ours, theirs = standardized_effects(sleep), standardized_effects(reml)
    assert ours.keys() == theirs.keys()
    for key, z in ours.items():
        # The posterior's G is larger than REML's mode; ranks and size stay.
        np.testing.assert_allclose(z, theirs[key], atol=0.5)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
        ("rail", "travel ~ 1 + (1 | Rail)"),
        ("pastes", "strength ~ 1 + (1 | batch)"),
    ],
)
def test_few_groups_keep_the_axes_wide(name, formula):
    # A legend of four columns took 85 % of six groups' figure.
    idata = trees.random_tree(formula, bl.load_dataset(name), draws=20)
    figure = bl.plot_levels(idata)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_position().width > 0.7
    legend = axes.get_legend().get_window_extent()
    whole = figure.bbox
    assert whole.x0 <= legend.x0
    assert legend.x1 <= whole.x1
    assert legend.y1 <= whole.y1


def test_the_population_s_line_is_averaged_over_the_rows(idata):
    (axes,) = bl.plot_levels(idata, "x", layout="overlay").axes
    (line,) = [line for line in axes.lines if line.get_color() == "#D55E00"]
    x, y = line.get_data()
    rows = pd.DataFrame(TABLE).assign(x=x[3])
    expected = bl.predict(idata, rows, random_effects="none").mean()
    assert y[3] == pytest.approx(float(expected))
    assert "population, averaged over f and z" in words(axes.get_legend())
    panels = bl.plot_levels(idata, "x", layout="panels")
    assert "population, at each g's first f and z" in words(panels.legends[0])


def test_a_level_with_several_categories_is_drawn_at_its_first_and_says_so():
    rng = np.random.default_rng(1)
    rows = np.arange(48)
    arm, g = np.array(list("abc"))[rows % 3], np.array(list("uv"))[rows % 2]
    table = {"x": rows % 4 + 0.0, "arm": arm, "p": (rows // 4 % 6).astype(str), "g": g}
    table["y"] = rng.normal(size=48)
    idata = trees.random_tree("y ~ x + arm + (1 | g) + (1 | p)", table, draws=20)
    panels = bl.plot_levels(idata, "x", factor="g", layout="panels")
    shown = words(panels.legends[0])
    assert "each g, at its first arm" in shown
    assert "population, at each g's first arm" in shown


def test_a_covariate_of_the_random_effects_alone_leaves_the_population_flat():
    idata = trees.random_tree("y ~ 1 + (x | g)", trees.TINY, draws=20)
    (axes,) = bl.plot_levels(idata, layout="overlay").axes
    (line,) = [line for line in axes.lines if line.get_color() == "#D55E00"]
    mean = float(idata["posterior"]["beta"].mean())
    np.testing.assert_allclose(line.get_ydata(), mean)


def test_groups_outside_are_named_and_means_said_to_test_little(sleep):
    (axes,) = bl.plot_ppc_groups(sleep).axes
    assert axes.get_title() == "outside: 309, 335, 332"
    assert axes.get_xlabel() == "Subject, sorted by their sd"
    (means,) = bl.plot_ppc_groups(sleep, statistic="mean").axes
    assert means.get_title() == (
        "no group outside\neach group's own effect was fitted to its mean: few can lie outside"
    )
    (new,) = bl.plot_ppc_groups(sleep, statistic="mean", random_effects="none").axes
    assert "fitted" not in new.get_title()


def test_traces_of_importance_sampling_are_said_to_be_no_chains(sleep, idata):
    for draw in (bl.plot_trace, bl.plot_rank):
        title = draw(sleep).viz["figure"].item().get_suptitle()
        assert title.startswith("independent draws by importance sampling, no chains: k-hat")
        assert draw(idata).viz["figure"].item().get_suptitle() == ""


def test_a_model_without_groups_has_three_questions():
    assert len(bl.plot_check(bl.fit_reml("Reaction ~ Days", SLEEP)).axes) == 3
