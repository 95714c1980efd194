"""Pictures of residual structures and of studies, against sums that are written out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import trees
from matplotlib.collections import PathCollection

import bayeslmm as bl
from bayeslmm.analysis.checks.residual_correlation import residual_correlations
from bayeslmm.analysis.variance.studies import study_estimates
from bayeslmm.errors import ArgumentError, NumericalError

T = trees.STRUCTURED
BCG = bl.load_dataset("bcg")


def flat(array):
    return array.to_numpy().reshape(-1, array.shape[-1])


def pairs_of(visits):
    """Rows of pairs of one group at two visits."""
    at = {(g, str(v)): i for i, (g, v) in enumerate(zip(T["g"], T["visit"], strict=True))}
    found = [(at.get((g, visits[0])), at.get((g, visits[1]))) for g in "abc"]
    return np.array([pair for pair in found if None not in pair])


def test_pairs_of_visits_stand_beside_their_correlation():
    idata = trees.structured_tree("us", "y ~ x")
    (found,) = residual_correlations(idata)
    z = flat(bl.residuals(idata, kind="pearson", as_draws=True))
    corr = idata["posterior"]["corr_residual"]
    for k, label in enumerate(found.labels):
        visits = label.split(", ")
        a, b = pairs_of(visits).T
        assert found.pairs[k] == len(a)
        expected = (z[:, a] * z[:, b]).sum(1)
        expected /= np.sqrt((z[:, a] ** 2).sum(1) * (z[:, b] ** 2).sum(1))
        np.testing.assert_allclose(found.observed[:, k], expected, rtol=1e-10)
        one = corr.sel(residual_time=visits[0], residual_time_bis=visits[1])
        np.testing.assert_allclose(found.model[:, k], one.to_numpy().ravel(), rtol=1e-10)
    # Near ones first; a pair of visits that no group has is not shown.
    assert found.labels[0] == "one, two"
    assert all(len(pairs_of(label.split(", "))) for label in found.labels)


def test_lags_of_a_series_fall_off_as_powers():
    idata = trees.structured_tree("ar1")
    (found,) = residual_correlations(idata)
    assert found.x.tolist() == [1.0, 2.0, 3.0]
    rho = idata["posterior"]["rho_residual"].to_numpy().ravel()
    np.testing.assert_allclose(found.model, rho[:, None] ** found.x, rtol=1e-10)
    z = flat(bl.residuals(idata, kind="pearson", as_draws=True))
    same = T["g"][:, None] == T["g"]
    a, b = np.nonzero(same & (T["week"] - T["week"][:, None] == 2.0))
    expected = (z[:, a] * z[:, b]).sum(1)
    expected /= np.sqrt((z[:, a] ** 2).sum(1) * (z[:, b] ** 2).sum(1))
    np.testing.assert_allclose(found.observed[:, 1], expected, rtol=1e-10)
    (short,) = residual_correlations(idata, max_lag=2)
    np.testing.assert_array_equal(short.observed, found.observed[:, :2])


def test_gaps_in_time_have_semivariances():
    idata = trees.structured_tree("ou in strata")
    (found,) = residual_correlations(idata)
    scale = idata["posterior"]["range_residual"].to_numpy().ravel()
    assert found.what == "gap"
    np.testing.assert_allclose(found.model, 1 - np.exp(-found.x / scale[:, None]), rtol=1e-10)
    z = flat(bl.residuals(idata, kind="pearson", as_draws=True))
    a, b = np.nonzero((T["g"][:, None] == T["g"]) & (T["week"] - T["week"][:, None] == 1.0))
    expected = 0.5 * ((z[:, a] - z[:, b]) ** 2).mean(1)
    np.testing.assert_allclose(found.observed[:, 0], expected, rtol=1e-10)


def test_simulated_residuals_correlate_as_the_structure_says():
    rng = np.random.default_rng(1)
    n, m = 400, 4
    table = pd.DataFrame({"g": np.repeat(np.arange(n), m), "t": np.tile(np.arange(m), n)})
    table["y"] = rng.normal(size=n * m)
    fit = bl.fit_reml("y ~ 1", table, residual="ar1(t | g)")
    (found,) = residual_correlations(fit)
    rho = fit.residual_parameters["estimate"]["rho_residual"]
    np.testing.assert_allclose(found.model[0], rho**found.x, rtol=1e-10)
    # 200 means of 400 to 1200 products: standard errors of 0.05 / sqrt(200) at most.
    np.testing.assert_allclose(found.replicated.mean(0), rho**found.x, atol=0.015)
    # Without random effects the residuals of a REML fit vary by the intercept alone.
    np.testing.assert_allclose(found.observed.mean(0), found.observed[0], atol=0.01)


def test_residuals_given_the_data_scatter_as_the_structure_says():
    # Residuals from conditional modes would not: each group's mean follows its own three rows.
    rng = np.random.default_rng(2)
    n, m = 300, 3
    table = pd.DataFrame({"g": np.repeat(np.arange(n), m), "t": np.tile(np.arange(m), n)})
    e = rng.normal(size=(n, m))
    e[:, 1] = 0.5 * e[:, 0] + np.sqrt(0.75) * e[:, 1]
    e[:, 2] = 0.5 * e[:, 1] + np.sqrt(0.75) * e[:, 2]
    table["y"] = (e + 2.0 * rng.normal(size=(n, 1))).ravel()
    fit = bl.fit_reml("y ~ 1 + (1 | g)", table, residual="ar1(t | g)")
    (found,) = residual_correlations(fit)
    centre, low, high = (
        found.observed.mean(0), *np.quantile(found.replicated, [0.005, 0.995], axis=0)
    )  # fmt: skip
    assert ((centre > low) & (centre < high)).all()


def test_structures_are_drawn_with_intervals_and_a_legend():
    idata = trees.structured_tree("us", "y ~ x")
    figure = bl.plot_residual_correlation(idata, ci_prob=0.8)
    (axes,) = figure.axes
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["residuals", "structure, 80 % interval", "simulated, 80 % interval"]
    assert axes.get_xlabel() == "pair of visit"
    assert axes.get_ylabel() == "correlation of standardized residuals"
    (found,) = residual_correlations(idata)
    points = [p for p in axes.collections if isinstance(p, PathCollection)]
    drawn = np.vstack([p.get_offsets() for p in points])
    heights = np.sort(drawn[:, 1])
    np.testing.assert_allclose(heights, np.sort(found.observed.mean(0)))
    series = bl.plot_residual_correlation(trees.structured_tree("ar1")).axes[0]
    assert series.get_xlabel() == "lag in week"
    gaps = bl.plot_residual_correlation(trees.structured_tree("ou in strata")).axes[0]
    assert gaps.get_ylabel().startswith("semivariance")
    together = bl.plot_residual_correlation(trees.structured_tree("cs", "y ~ x")).axes[0]
    assert together.get_xlabel() == "rows of one g"


# Of ten rows.
@pytest.mark.filterwarnings("ignore:What us:bayeslmm.errors.IdentificationWarning")
def test_each_arm_with_parameters_of_its_own_has_a_panel():
    idata = trees.structured_tree("us by arm", "y ~ x")
    figure = bl.plot_residual_correlation(idata)
    assert [axes.get_title() for axes in figure.axes] == ["arm: w", "arm: v"]
    assert len(figure.legends) == 1
    _, axes = plt.subplots()
    with pytest.raises(ArgumentError, match="2 strata need one each"):
        bl.plot_residual_correlation(idata, axes=axes)


@pytest.mark.parametrize("name", ["strata", "known"])
def test_independent_residuals_have_no_correlation_to_draw(name):
    with pytest.raises(ArgumentError, match=r"independent.*residual="):
        bl.plot_residual_correlation(trees.structured_tree(name))


def test_what_cannot_be_drawn_is_said():
    plain = trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=10)
    with pytest.raises(ArgumentError, match="independent"):
        bl.plot_residual_correlation(plain)
    reml = bl.fit_reml("yi ~ 1 + (1 | trial)", BCG, se="sei")
    with pytest.raises(ArgumentError, match="known standard errors"):
        bl.plot_residual_correlation(reml)
    ar1 = trees.structured_tree("ar1")
    for wrong, message in ((0, "above 0"), (0.5, "within max_lag=0.5")):
        with pytest.raises(ArgumentError, match=message):
            bl.plot_residual_correlation(ar1, max_lag=wrong)
    with pytest.raises(ArgumentError, match="plot_caterpillar"):
        bl.plot_forest(plain)
    with pytest.raises(ArgumentError, match="plot_caterpillar"):
        bl.plot_forest(bl.fit_reml("yi ~ 1 + (1 | alloc)", BCG.assign(alloc=list("aabbccddeeffg"))))
    with pytest.raises(ArgumentError, match=r"this fit has \(Intercept \+ x \| g\)"):
        bl.plot_forest(trees.structured_tree("known"))
    with pytest.raises(ArgumentError, match=r"no such level.*'13'"):
        bl.plot_forest(reml, labels={"113": "x"})
    with pytest.raises(ArgumentError, match="order"):
        bl.plot_forest(reml, order="size")
    far = bl.fit_reml("far ~ 1 + (1 | trial)", BCG.assign(far=BCG["yi"] + 1000), se="sei")
    with pytest.raises(NumericalError, match="exponentiate"):
        bl.plot_forest(far, exponentiate=True)


def test_a_reml_forest_is_the_classical_one():
    fit = bl.fit_reml("yi ~ 1 + (1 | trial)", BCG, se="sei")
    found = study_estimates(fit, 0.95, "eti", 0)
    y, v = BCG["yi"].to_numpy(), BCG["sei"].to_numpy() ** 2
    tau2 = float(fit.covariance["trial"].to_numpy()[0, 0])
    w = 1 / (v + tau2)
    mean = (w * y).sum() / w.sum()
    np.testing.assert_allclose(found.mean.centre, mean, rtol=1e-9)
    half = 1.959963984540054 / np.sqrt(w.sum())
    np.testing.assert_allclose(found.mean.high - found.mean.centre, half, rtol=1e-9)
    half = 1.959963984540054 * np.sqrt(1 / w.sum() + tau2)
    np.testing.assert_allclose(found.new.high - found.new.centre, half, rtol=1e-9)
    pull = v * w
    np.testing.assert_allclose(found.shrunken.centre, (1 - pull) * y + pull * mean, rtol=1e-9)
    # Var(theta_i | y): v (1 - pull) given the mean, and what the mean's own variance adds.
    error = np.sqrt(v * (1 - pull) + pull**2 / w.sum())
    expected = 1.959963984540054 * error
    np.testing.assert_allclose(found.shrunken.high - found.shrunken.centre, expected, rtol=1e-9)
    np.testing.assert_allclose(found.raw.high - y, 1.959963984540054 * np.sqrt(v), rtol=1e-9)


def test_a_posterior_s_forest_takes_its_draws():
    formula = "y ~ x + (1 | g)"
    idata = trees.structured_tree("known", formula)
    found = study_estimates(idata, 0.9, "eti", 0)
    assert found.levels == ("a", "b", "c")
    assert found.moderated
    theta = flat(bl.fitted(idata, as_draws=True))
    weight = T["sei"] ** -2.0
    for k, level in enumerate("abc"):
        here = T["g"] == level
        share = weight * here / weight[here].sum()
        np.testing.assert_allclose(found.raw.centre[k], share @ T["y"])
        np.testing.assert_allclose(found.shrunken.centre[k], (theta @ share).mean())
        low, high = np.quantile(theta @ share, [0.05, 0.95])
        np.testing.assert_allclose([found.shrunken.low[k], found.shrunken.high[k]], [low, high])
    (axes,) = bl.plot_forest(idata, labels={"a": "first"}, ci_prob=0.9).axes
    words = [label.get_text() for label in axes.get_yticklabels()]
    assert words == ["first", "b", "c", "mean of such studies", "a new study"]
    assert axes.get_legend().get_title().get_text() == "90 % intervals"


def test_a_forest_is_ordered_and_shows_ratios():
    fit = bl.fit_reml("yi ~ 1 + (1 | trial)", BCG, se="sei")
    _, axes = plt.subplots()
    bl.plot_forest(fit, order="estimate", exponentiate=True, ax=axes)
    words = [label.get_text() for label in axes.get_yticklabels()]
    assert words[:-2] == BCG.sort_values("yi")["trial"].astype(str).tolist()
    assert axes.get_xlabel() == "risk ratio"
    squares = next(p for p in axes.collections if len(p.get_offsets()) == len(BCG))
    np.testing.assert_allclose(squares.get_offsets()[:, 0], np.sort(np.exp(BCG["yi"])))
