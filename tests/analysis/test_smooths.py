"""What is asked of fits with smooths: their curves, and everything else with curves in it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.smooths.curves import drawn_smooth
from bayeslmm.errors import ArgumentError, DataWarning, TreeError

RNG = np.random.default_rng(9)
N = 40
DATA = {
    "y": RNG.normal(size=N),
    "x": RNG.uniform(1.0, 9.0, N),
    "z": RNG.normal(size=N),
    "f": RNG.choice(["u", "v", "w"], N),
    "g": np.repeat(list("abcde"), 8),
}
FORMULAS = {
    "one": "y ~ z + s(x, k=6) + (1 | g)",
    "by": "y ~ f + s(x, k=5, by=f) + (z | g)",
    "number": "y ~ s(log(x), k=5, by=z) + s(z, bs='cc', k=5) + (1 | g)",
    "alone": "y ~ s(x, bs='ps', k=6)",
}
EXACT = {"rtol": 1e-9, "atol": 1e-10}


def tree_of(formula, **response):
    """A tree of random draws in which the columns of each curve have one sd."""
    design = bl.build_design(formula, DATA, **response)
    draws = trees.random_draws(formula, DATA, chains=2, draws=20, **response)
    for factor in design.factors:
        if factor.name.startswith("s("):
            draws.pop(f"corr_{factor.name}")
            for block in factor.blocks:
                sd = draws[f"sd_{factor.name}"]
                sd[..., list(block)] = sd[..., [block[0]]]
    tree = trees.make_tree(formula, DATA, draws, **response)
    tree.attrs["priors"] = bl.resolve_priors(design).to_json()
    return tree, design


@pytest.fixture(scope="module", params=FORMULAS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fit(name):
    return tree_of(FORMULAS[name])


def population(tree, design):
    """X beta with the curves, shape (40 rows, 40 draws)."""
    beta = tree["posterior"]["beta"].to_numpy().reshape(40, -1)
    eta = design.X @ beta.T
    for factor in design.factors:
        if factor.name.startswith("s("):
            u = tree["posterior"][f"b_{factor.name}"].to_numpy().reshape(40, -1)
            eta = eta + factor.columns @ u.T
    return eta


def groups(tree, design):
    (factor,) = [f for f in design.factors if f.name == "g"]
    b = tree["posterior"]["b_g"].to_numpy().reshape(40, 5, -1)
    return np.einsum("nq,snq->ns", factor.columns, b[:, factor.index])


def flat(array):
    return array.to_numpy().reshape(40, -1).T


def test_predictions_have_the_curves_with_and_without_groups(fit, name):
    tree, design = fit
    own = population(tree, design)
    np.testing.assert_allclose(flat(bl.predict(tree, random_effects="none")), own, **EXACT)
    whole = own if name == "alone" else own + groups(tree, design)
    np.testing.assert_allclose(flat(bl.predict(tree)), whole, **EXACT)
    np.testing.assert_allclose(bl.fitted(tree), whole.mean(axis=1), **EXACT)


def test_new_rows_need_no_level_of_a_smooth(fit, name):
    tree, _ = fit
    new = {"x": [2.0, 3.0], "z": [0.1, -0.3], "f": ["v", "u"]}
    alone = flat(bl.predict(tree, new, random_effects="none"))
    if name != "alone":
        some = flat(bl.predict(tree, {**new, "g": ["new", "new"]}, new_levels="population"))
        np.testing.assert_allclose(some, alone, **EXACT)
        with pytest.raises(bl.DataError, match="no column 'g'"):
            bl.predict(tree, new)
    assert np.isfinite(alone).all()


def test_random_effects_are_those_of_groups(fit, name):
    tree, _ = fit
    expected = set() if name == "alone" else {"g"}
    assert set(bl.random_effects(tree)["factor"]) == expected
    assert set(bl.coefficients(tree)["factor"]) == expected
    assert set(bl.shrinkage(tree)["factor"]) == expected


def test_variance_components_have_one_sd_for_each_curve(fit, name):
    table = bl.variance_components(fit[0])
    own = table[table["factor"].str.startswith("s(") & (table["quantity"] == "sd")]
    expected = {
        "one": [("s(x)", "curve")],
        "by": [("s(x, by=f)", level) for level in "uvw"],
        "number": [("s(log(x), by=z)", "curve"), ("s(z)", "curve")],
        "alone": [("s(x)", "curve")],
    }[name]
    assert list(zip(own["factor"], own["term"], strict=True)) == expected
    labels = [f"sd_{factor}[{term}]" for factor, term in expected]
    assert set(labels) <= set(bl.diagnose(fit[0]).table.index)
    assert set(labels) <= set(bl.tidy_draws(fit[0]).columns)
    assert "sd curve" in str(bl.summary(fit[0])) or name == "by"


def test_r_squared_counts_curves_with_the_fixed_effects(fit, name):
    tree, design = fit
    fixed = population(tree, design).var(axis=0, ddof=1)
    residual = tree["posterior"]["sigma"].to_numpy().ravel() ** 2
    random = 0.0
    if name != "alone":
        (factor,) = [f for f in design.factors if f.name == "g"]
        sd = tree["posterior"]["sd_g"].to_numpy().reshape(40, -1)
        q = sd.shape[1]
        corr = (
            tree["posterior"]["corr_g"].to_numpy().reshape(40, q, q)
            if "corr_g" in tree["posterior"]
            else np.broadcast_to(np.eye(q), (40, q, q))
        )
        G = sd[:, :, None] * corr * sd[:, None]
        random = np.einsum("nq,sqr,nr->s", factor.columns, G, factor.columns) / N
        found = bl.icc(tree)
        assert list(found.index) == ["g", "total"]
        np.testing.assert_allclose(found["mean"], np.mean(random / (random + residual)), **EXACT)
        by_level = bl.r_squared(tree, by_level="g")["mean"]
        assert np.isfinite(by_level).all()
    whole = fixed + random + residual
    found = bl.r_squared(tree)["mean"]
    np.testing.assert_allclose(found["marginal"], np.mean(fixed / whole), **EXACT)
    np.testing.assert_allclose(found["conditional"], np.mean((fixed + random) / whole), **EXACT)


def test_questions_about_groups_are_refused_where_there_are_smooths_only():
    tree, _ = tree_of(FORMULAS["alone"])
    with pytest.raises(TreeError, match="no random effects"):
        bl.icc(tree)
    with pytest.raises(TreeError, match="about a grouping factor, and the model has none"):
        bl.plot_caterpillar(tree)


def test_a_smooth_is_no_random_effect_to_choose():
    tree, design = tree_of(FORMULAS["one"])
    with pytest.raises(ArgumentError, match="'h' is none of g"):
        bl.predict(tree, random_effects=["h"])
    own = population(tree, design)
    np.testing.assert_allclose(flat(bl.predict(tree, random_effects=["s(x)"])), own, **EXACT)


def test_marginal_means_follow_the_curve():
    tree, _ = tree_of(FORMULAS["one"])
    table = bl.marginal_means(tree, "x", at={"x": [2.0, 5.0]})
    new = {"x": [2.0, 5.0], "z": [DATA["z"].mean()] * 2}
    expected = flat(bl.predict(tree, new, random_effects="none")).mean(axis=1)
    np.testing.assert_allclose(table["mean"], expected, **EXACT)
    contrast = bl.marginal_means(tree, "x", at={"x": [2.0, 5.0]}, contrasts="pairwise")
    np.testing.assert_allclose(contrast["mean"], expected[1] - expected[0], **EXACT)
    everywhere = bl.marginal_means(tree, "x", at={"x": [2.0]}, average="rows", random_effects="all")
    assert np.isfinite(everywhere["mean"]).all()


def test_slopes_are_the_curves_derivatives():
    tree, _ = tree_of(FORMULAS["one"])
    found = bl.compare_predictions(tree, {"x": "slope"}, average=False)
    expected = bl.smooth_curves(tree, at=DATA["x"], derivative=1)
    # Difference quotients across knots, where the third derivative jumps.
    size = np.abs(expected["mean"]).max()
    np.testing.assert_allclose(found["mean"], expected["mean"], atol=1e-3 * size)


def test_curves_are_what_moves_with_x():
    tree, design = tree_of(FORMULAS["one"])
    x = np.quantile(DATA["x"], [0.1, 0.5, 0.9])
    table = bl.smooth_curves(tree, "s(x)", at=x)
    assert table.columns[:3].tolist() == ["smooth", "level", "x"]
    rows = bl.rebuild_design(design.state, {"x": x, "z": np.zeros(3)}, factors=())
    u = tree["posterior"]["b_s(x)"].to_numpy().reshape(40, -1)
    line = tree["posterior"]["beta"].to_numpy().reshape(40, -1)[:, 2]
    expected = rows.X[:, 2:] * line + rows.factors[0].columns @ u.T
    np.testing.assert_allclose(table["mean"], expected.mean(axis=1), **EXACT)
    np.testing.assert_allclose(table["sd"], expected.std(axis=1, ddof=1), **EXACT)
    low, high = np.quantile(expected, [0.025, 0.975], axis=1)
    np.testing.assert_allclose(table["eti95_lb"], low, **EXACT)
    np.testing.assert_allclose(table["eti95_ub"], high, **EXACT)
    # Over the training rows a curve is zero on average.
    there = bl.smooth_curves(tree, at=DATA["x"])["mean"]
    assert abs(there.mean()) < 1e-10


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("formula", ["one", "by", "alone"])
def test_derivatives_are_limits_of_differences_of_curves(formula, order):
    tree, _ = tree_of(FORMULAS[formula])
    x, h = np.array([1.7, 4.4, 7.9]), 1e-5
    up, down = (
        bl.smooth_curves(tree, at=x + step, derivative=order - 1)["mean"] for step in (h, -h)
    )
    exact = bl.smooth_curves(tree, at=x, derivative=order)["mean"]
    # Central differences of cubics: h^2 f''', and 1e-16 / h of the curve.
    np.testing.assert_allclose((up - down) / (2 * h), exact, atol=1e-8 + 1e-7 * abs(exact).max())


def test_levels_curves_and_their_differences():
    tree, design = tree_of(FORMULAS["by"])
    x = [2.0, 6.0]
    table = bl.smooth_curves(tree, at=x)
    assert table["level"].tolist() == list("uuvvww")
    rows = bl.rebuild_design(design.state, {"x": x, "f": ["v", "v"]}, factors=())
    u = tree["posterior"]["b_s(x, by=f)"].to_numpy().reshape(40, -1)
    beta = tree["posterior"]["beta"].to_numpy().reshape(40, -1)
    expected = rows.X[:, 3:] @ beta[:, 3:].T + rows.factors[0].columns @ u.T
    np.testing.assert_allclose(table["mean"][2:4], expected.mean(axis=1), **EXACT)
    differences = bl.smooth_curves(tree, at=x, contrasts="reference", reference="v")
    assert differences["level"].tolist() == ["u - v", "u - v", "w - v", "w - v"]
    means = table["mean"].to_numpy().reshape(3, 2)
    np.testing.assert_allclose(differences["mean"][:2], means[0] - means[1], **EXACT)


def test_a_varying_coefficient_is_the_response_per_unit_of_its_column():
    tree, _ = tree_of(FORMULAS["number"])
    x = [2.0, 6.0]
    found = bl.smooth_curves(tree, "s(log(x), by=z)", at=np.log(x))["mean"]
    with_z, without = (
        flat(bl.predict(tree, {"x": x, "z": [z, z]}, random_effects="none")).mean(axis=1)
        for z in (1.0, 0.0)
    )
    other = bl.smooth_curves(tree, "s(z)", at=[1.0, 0.0])["mean"]
    np.testing.assert_allclose(with_z - without - (other[0] - other[1]), found, **EXACT)


def test_a_smooth_goes_by_its_name_or_its_text():
    tree, _ = tree_of(FORMULAS["number"])
    by_name, by_text = (
        bl.smooth_curves(tree, one, at=[0.0]) for one in ("s(z)", "s(z, k=5, bs='cc')")
    )
    pd.testing.assert_frame_equal(by_name, by_text)
    with pytest.raises(ArgumentError, match=r"name one, as in smooth='s\(log\(x\), by=z\)'"):
        bl.smooth_curves(tree)
    with pytest.raises(ArgumentError, match=r"'s\(w\)' is no smooth of .*It has: s\(log\(x\)"):
        bl.smooth_curves(tree, "s(w)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"derivative": 3}, "the order, 0, 1 or 2"),
        ({"derivative": "first"}, "the order, 0, 1 or 2"),
        ({"contrasts": "pairwise"}, r"one curve: fit s\(x, by=f\)"),
        ({"reference": "u"}, "leave it out"),
        ({"at": ["a"]}, "list of finite numbers"),
        ({"at": [np.nan]}, "list of finite numbers"),
        ({"at": []}, "list of finite numbers"),
        ({"ci_prob": 2}, "ci_prob"),
    ],
)
def test_what_makes_no_sense_of_a_curve_is_refused(arguments, message):
    tree, _ = tree_of(FORMULAS["one"])
    with pytest.raises(ArgumentError, match=message):
        bl.smooth_curves(tree, **arguments)
    if "ci_prob" not in arguments:
        with pytest.raises(ArgumentError, match=message):
            bl.plot_smooth(tree, **arguments)


def test_without_smooths_there_is_nothing_to_ask():
    tree = trees.random_tree("y ~ x + (1 | g)", DATA)
    for ask in (bl.smooth_curves, bl.smooths, bl.plot_smooth):
        with pytest.raises(TreeError, match=r"has no smooth.*s\(x\)"):
            ask(tree)


def test_the_table_of_smooths_counts_columns_and_degrees_of_freedom(fit, name):
    tree, design = fit
    table = bl.smooths(tree)
    first = {"one": 5, "by": 4, "number": 5, "alone": 5}[name]
    assert table["columns"].iloc[0] == first
    sd = tree["posterior"][f"sd_{table['smooth'].iloc[0]}"].to_numpy()[..., 0]
    np.testing.assert_allclose(table["mean"].iloc[0], sd.mean(), **EXACT)
    unpenalized = {"one": 1, "by": 1, "number": 2, "alone": 1}[name]
    assert unpenalized < table["edf"].iloc[0] < first
    # All columns together: the trace of the matrix that makes fitted values of responses.
    if name != "alone":
        return
    factor = design.factors[0]
    G = np.square(tree["posterior"][f"sd_{factor.name}"].to_numpy()).mean(axis=(0, 1))
    s2 = np.square(tree["posterior"]["sigma"].to_numpy()).mean()
    W = np.column_stack([design.X, factor.columns])
    penalty = np.diag(np.r_[0.0, 0.0, s2 / G])
    hat = W @ np.linalg.solve(W.T @ W + penalty, W.T)
    np.testing.assert_allclose(1 + table["edf"].sum(), np.trace(hat), rtol=1e-8)


def test_degrees_of_freedom_of_other_responses_are_missing():
    design = {"y": (DATA["y"] > 0).astype(float)}
    formula = "y ~ s(x, k=5)"
    draws = trees.random_draws(formula, {**DATA, **design}, family="bernoulli")
    draws.pop("corr_s(x)")
    tree = trees.make_tree(formula, {**DATA, **design}, draws, family="bernoulli")
    assert bl.smooths(tree)["edf"].isna().all()
    assert np.isfinite(bl.r_squared(tree)["mean"]).all()
    # Means of probabilities, by their curve alone.
    assert bl.marginal_means(tree, "x", at={"x": [2.0, 5.0]})["mean"].between(0, 1).all()


def test_rows_beyond_the_curve_are_told_of():
    tree, _ = tree_of(FORMULAS["one"])
    with pytest.warns(DataWarning, match="1 of 1 rows have x beyond"):
        bl.predict(tree, {"x": [12.0], "z": [0.0]}, random_effects="none")


def test_a_saved_tree_answers_as_the_one_in_memory(tmp_path):
    import xarray as xr

    tree, _ = tree_of(FORMULAS["by"])
    tree.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as opened:
        again = opened.load()
    pd.testing.assert_frame_equal(bl.smooth_curves(again), bl.smooth_curves(tree))
    np.testing.assert_array_equal(bl.predict(again), bl.predict(tree))


@pytest.mark.parametrize("options", [{}, {"derivative": 1}, {"contrasts": "pairwise"}])
def test_the_picture_shows_the_curves_and_their_intervals(options):
    tree, _ = tree_of(FORMULAS["by"])
    figure = bl.plot_smooth(tree, probs=[0.8], at=[2.0, 4.0, 8.0], **options)
    (axes,) = figure.axes
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    table = bl.smooth_curves(tree, at=[2.0, 4.0, 8.0], ci_prob=0.8, **options)
    shown = np.concatenate([line.get_ydata() for line in lines])
    np.testing.assert_allclose(shown, table["mean"], **EXACT)
    bands = [c.get_paths()[0].vertices[:, 1] for c in axes.collections if hasattr(c, "get_paths")
             and len(c.get_paths()) == 1]  # fmt: skip
    assert any(np.isclose(band, table["eti80_lb"][0]).any() for band in bands)
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    labels = table["level"].unique().tolist()
    assert named == (labels if options.get("contrasts") else [f"f: {one}" for one in labels])
    plt.close(figure)


def test_the_rug_marks_each_row_on_its_levels_line():
    tree, design = tree_of(FORMULAS["number"])
    drawn = drawn_smooth(tree, "s(log(x), by=z)")
    assert drawn.curves == ("",)
    figure = bl.plot_smooth(tree, "s(log(x), by=z)")
    (axes,) = figure.axes
    rug = [c for c in axes.collections if len(c.get_paths()) == N]
    marks = [path.vertices[0, 0] for path in rug[0].get_paths()]
    np.testing.assert_allclose(marks, np.log(DATA["x"]))
    assert axes.get_xlabel() == "log(x)"
    assert axes.get_ylabel() == "s(log(x), by=z)"
    plt.close(figure)
    bare = bl.plot_smooth(tree, "s(z)", rug=False)
    assert not [c for c in bare.axes[0].collections if len(c.get_paths()) == N]
    plt.close(bare)
    assert design.n == N


def test_priors_of_curves_are_drawn_beside_their_posteriors():
    tree, _ = tree_of(FORMULAS["by"])
    figure = bl.plot_prior_posterior(tree)
    titles = " ".join(axes.get_title() + axes.get_xlabel() for axes in figure.axes)
    for level in "uvw":
        assert f"sd_s(x, by=f)[{level}]" in titles
    plt.close(figure)


def test_the_default_prior_of_a_curves_sd_is_that_of_an_intercepts():
    listed = bl.describe_priors("y ~ f + s(x, k=6, by=f) + (1 | g)", DATA)["distribution"]
    for level in "uvw":
        assert listed[f"sd_s(x, by=f)[{level}]"] == listed["sd_g[Intercept]"]
    # Of a coefficient that varies with x it is per unit of its column, as of slopes.
    listed = bl.describe_priors("y ~ s(x, k=6, by=z) + (z | g)", DATA)["distribution"]
    widths = [float(listed[key].rpartition("=")[2][:-1]) for key in
              ("sd_s(x, by=z)[curve]", "sd_g[z]")]  # fmt: skip
    assert widths[0] == pytest.approx(widths[1], rel=0.35)


def test_priors_of_curves_go_by_the_smooths_name():
    for key in ("sd_s(x, by=f)", "sd_s(x, by=f)[u]"):
        design = bl.build_design("y ~ f + s(x, k=6, by=f)", DATA)
        (factor,) = bl.resolve_priors(design, {key: "HalfNormal(2)"}).factors
        assert str(factor.sd[0]) == "HalfNormal(sigma=2)"
        assert (str(factor.sd[1]) == str(factor.sd[0])) == ("[" not in key)
