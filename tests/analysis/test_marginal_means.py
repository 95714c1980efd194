"""Marginal means against linear combinations L beta written out, and tables worked by hand."""

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.design.build import build_design, rebuild_design
from bayeslmm.errors import ArgumentError, DataError, RankDeficiencyWarning, TreeError

# Products of some ten numbers of size ten: a few hundred units of rounding.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


TRIAL = trees.trial()
FORMULA = "y ~ arm * C(week) + sex + poly(age, 2) + (1 | subject) + (1 + week | site)"


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree(FORMULA, TRIAL, draws=50)


@pytest.fixture(scope="module")
def reml():
    return bl.fit_reml("y ~ arm * C(week) + sex + age + (1 | subject)", TRIAL)


def dense(formula, grid, beta):
    """X beta of a table of rows, by `build_design` and one product, shape (chain, draw, rows)."""
    rows = rebuild_design(build_design(formula, TRIAL).state, grid, response="ignored", factors=())
    return np.einsum("cdp,np->cdn", beta, rows.X)


def test_draws_of_balanced_means_are_the_dense_combinations(idata):
    found = bl.marginal_means(idata, "arm", by="week", as_draws=True)
    assert found.dims == ("chain", "draw", "week", "arm")
    assert found["arm"].to_numpy().tolist() == ["placebo", "low", "high"]
    beta = idata["posterior"]["beta"].to_numpy()
    for week in (0, 4, 12):
        for arm in ("placebo", "low", "high"):
            grid = pd.DataFrame(
                {"arm": arm, "week": week, "sex": ["f", "m"], "age": TRIAL["age"].mean()}
            )
            np.testing.assert_allclose(
                found.sel(arm=arm, week=week), dense(FORMULA, grid, beta).mean(-1), **EXACT
            )


def test_means_over_the_rows_are_averages_of_predictions(idata):
    found = bl.marginal_means(idata, "arm", by="sex", average="rows", as_draws=True)
    for arm in ("placebo", "high"):
        rows = TRIAL.assign(arm=arm, sex="m")
        one = bl.predict(idata, rows, random_effects="none").mean("obs")
        np.testing.assert_allclose(found.sel(arm=arm, sex="m"), one, **EXACT)


@pytest.mark.parametrize("effects", ["all", ["site"]])
def test_groups_effects_are_averaged_over_the_groups_rows(idata, effects):
    found = bl.marginal_means(idata, "week", average="rows", random_effects=effects, as_draws=True)
    for week in (0, 12):
        one = bl.predict(idata, TRIAL.assign(week=week), random_effects=effects).mean("obs")
        np.testing.assert_allclose(found.sel(week=week), one, **EXACT)


def test_a_grouping_factor_may_be_focal(idata):
    found = bl.marginal_means(idata, "site", average="rows", random_effects=["site"], as_draws=True)
    one = bl.predict(idata, TRIAL.assign(site="v"), random_effects=["site"]).mean("obs")
    np.testing.assert_allclose(found.sel(site="v"), one, **EXACT)


def test_an_unbalanced_table_with_interaction_by_hand():
    # Cells of a 2 x 2 table: fitted exactly, so balanced means are means of cell means.
    data = {
        "y": np.array([1.0, 3, 5, 7, 7, 7, 10, 10, 12, 20, 1, 2]),
        "a": np.array(list("ppppppqqqqqp")),
        "b": np.array(list("uuvvvvuuuuvu")),
        "g": np.array(list("xyxyxyxyxyxy")),
    }
    # beta of treatment coding with cell means pu 2, pv 6, qu 11, qv 3.
    draws = trees.constant_draws(
        beta=[2.0, 9.0, 4.0, -12.0], sigma=1.0, sd_g=[1.0], b_g=[[0.5], [-0.5]]
    )
    tree = trees.make_tree("y ~ a * b + (1 | g)", data, draws)
    table = bl.marginal_means(tree, "a")
    assert table["a"].tolist() == ["p", "q"]
    np.testing.assert_allclose(table["mean"], [(2 + 6) / 2, (11 + 3) / 2])
    # By rows: 7 of the 12 are u.
    over = bl.marginal_means(tree, "a", average="rows")
    np.testing.assert_allclose(over["mean"], [(7 * 2 + 5 * 6) / 12, (7 * 11 + 5 * 3) / 12])
    # (qv - pv) - (qu - pu) = (3 - 6) - (11 - 2)
    twice = bl.marginal_means(tree, "a", by="b", contrasts="pairwise", by_contrasts="pairwise")
    assert twice[["by_contrast", "contrast"]].to_numpy().tolist() == [["b: v - u", "a: q - p"]]
    np.testing.assert_allclose(twice["mean"], [-12.0])
    both = bl.marginal_means(tree, ["a", "b"], at={"a": "q"})
    np.testing.assert_allclose(both["mean"], [11, 3])


def test_reml_means_and_errors_are_those_of_dense_generalised_least_squares(reml):
    design = build_design(reml.formula, TRIAL)
    groups = design.factors[0].index[:, None] == design.factors[0].index
    V = reml.variance_components.loc[("subject", "Intercept"), "variance"] * groups
    V = V + reml.sigma**2 * np.eye(design.n)
    cov = np.linalg.inv(design.X.T @ np.linalg.solve(V, design.X))
    beta = cov @ design.X.T @ np.linalg.solve(V, design.y)
    grid = pd.DataFrame(
        [(arm, sex) for arm in ("placebo", "low", "high") for sex in "fm"], columns=["arm", "sex"]
    ).assign(week=4, age=TRIAL["age"].mean())
    rows = rebuild_design(design.state, grid, response="ignored", factors=()).X
    L = rows.reshape(3, 2, -1).mean(axis=1)
    found = bl.marginal_means(reml, "arm", at={"week": 4})
    # The Gram's coordinates and the dense ones agree to some ten digits.
    np.testing.assert_allclose(found["estimate"], L @ beta, rtol=1e-9)
    np.testing.assert_allclose(found["std_error"], np.sqrt(np.diag(L @ cov @ L.T)), rtol=1e-9)
    np.testing.assert_allclose(
        found["upper"], found["estimate"] + 1.959963984540054 * found["std_error"]
    )
    K = np.array([[-1, 1, 0], [-1, 0, 1]])
    against = bl.marginal_means(reml, "arm", at={"week": 4}, contrasts="reference")
    np.testing.assert_allclose(against["estimate"], K @ L @ beta, rtol=1e-9)
    np.testing.assert_allclose(
        against["std_error"], np.sqrt(np.diag(K @ L @ cov @ L.T @ K.T)), rtol=1e-9
    )


@pytest.mark.parametrize(
    "same",
    [
        lambda t: t.assign(arm=t["arm"].cat.reorder_categories(["high", "placebo", "low"])),
        lambda t: t.assign(sex=pd.Categorical(t["sex"], ["m", "f"])),
        lambda t: t.assign(age=t["age"] - 40),
        lambda t: t.sample(frac=1, random_state=1),
    ],
    ids=["arm", "sex", "age", "rows"],
)
@pytest.mark.parametrize("average", ["balanced", "rows"])
def test_numbers_do_not_depend_on_how_columns_are_coded(reml, same, average):
    other = bl.fit_reml("y ~ arm * C(week) + sex + age + (1 | subject)", same(TRIAL))
    index = ["week", "arm"]
    one, two = (
        bl.marginal_means(fit, "arm", by="week", average=average).set_index(index)
        for fit in (reml, other)
    )
    # Two searches for one optimum stop at variances that agree to some seven digits.
    pd.testing.assert_frame_equal(one, two.loc[one.index], rtol=1e-6)


@pytest.mark.parametrize("contrast", ["Sum", "Helmert", "Treatment('high')"])
def test_the_contrasts_of_the_formula_do_not_matter(reml, contrast):
    other = bl.fit_reml(f"y ~ C(arm, {contrast}) * C(week) + sex + age + (1 | subject)", TRIAL)
    one, two = (bl.marginal_means(fit, "arm", by="week") for fit in (reml, other))
    two = two.set_index(["week", "arm"]).loc[pd.MultiIndex.from_frame(one[["week", "arm"]])]
    np.testing.assert_allclose(one["estimate"], two["estimate"], rtol=1e-6)
    np.testing.assert_allclose(one["std_error"], two["std_error"], rtol=1e-6)


@pytest.mark.parametrize(
    "fixed",
    [
        "arm + bs(age, df=4)",
        "log(age) * arm",
        "0 + arm + scale(age):arm",
        "C(week, Sum) * sex + arm",
        "I(week > 3) + arm:poly(age, 2)",
        "arm * smoker + offset(age)",
        "arm / sex + `blood pressure`",
        "sex * arm + maximum(week, 4) * arm",
    ],
)
def test_any_formula_s_means_are_averages_of_predictions(fixed):
    table = TRIAL.assign(smoker=TRIAL["age"] > 51, **{"blood pressure": 2 * TRIAL["age"] + 1})
    tree = trees.random_tree(f"y ~ {fixed} + (1 + week | subject)", table, draws=10, chains=1)
    used = bl.parse_formula(f"y ~ {fixed}")
    names = [n for n in ("sex", "smoker", "week", "age", "blood pressure") if n in str(used)]
    levels = {
        "sex": ["f", "m"],
        "smoker": [False, True],
        "week": [0, 4, 12] if "C(week" in fixed else [table["week"].mean()],
    }
    grid = pd.DataFrame(index=[0])
    for name in names:
        column = levels[name] if name in levels else [table[name].mean()]
        grid = grid.merge(pd.DataFrame({name: column}), how="cross")
    balanced = bl.marginal_means(tree, "arm", as_draws=True)
    over_rows = bl.marginal_means(tree, "arm", average="rows", as_draws=True)
    for arm in ("placebo", "low", "high"):
        one = bl.predict(tree, grid.assign(arm=arm), random_effects="none").mean("obs")
        np.testing.assert_allclose(balanced.sel(arm=arm), one, rtol=1e-10, atol=1e-10)
        one = bl.predict(tree, table.assign(arm=arm), random_effects="none").mean("obs")
        np.testing.assert_allclose(over_rows.sel(arm=arm), one, rtol=1e-10, atol=1e-10)


def test_contrasts_are_combinations_of_the_draws_of_means(idata):
    means = bl.marginal_means(idata, "arm", by="week", as_draws=True)
    own = {"active": {"placebo": -1, "low": 0.5, "high": 0.5}}
    found = bl.marginal_means(
        idata, "arm", by="week", contrasts=own, by_contrasts="sequential", as_draws=True
    )
    assert found.dims == ("chain", "draw", "by_contrast", "contrast")
    active = (means.sel(arm="low") + means.sel(arm="high")) / 2 - means.sel(arm="placebo")
    expected = active.sel(week=12) - active.sel(week=4)
    np.testing.assert_allclose(
        found.sel(by_contrast="week: 12 - 4", contrast="active"), expected, **EXACT
    )
    table = bl.marginal_means(
        idata, "arm", by="week", contrasts=own, by_contrasts="sequential", ci_prob=0.8
    )
    np.testing.assert_allclose(table["p_positive"].iloc[1], float((expected > 0).mean()))
    np.testing.assert_allclose(table["eti80_lb"].iloc[1], np.quantile(expected, 0.1))


@pytest.mark.parametrize(
    ("contrasts", "labels"),
    [
        ("pairwise", ["arm: low - placebo", "arm: high - placebo", "arm: high - low"]),
        ("reference", ["arm: low - placebo", "arm: high - placebo"]),
        ("sequential", ["arm: low - placebo", "arm: high - low"]),
        ("meandev", ["arm: placebo - mean", "arm: low - mean", "arm: high - mean"]),
        ([[-1, 0.5, 0.5]], ["- placebo + 0.5 low + 0.5 high"]),
        (pd.DataFrame({"high": [1], "placebo": [-1]}, index=["ends"]), ["ends"]),
    ],
)
def test_contrasts_are_named(reml, contrasts, labels):
    found = bl.marginal_means(reml, "arm", contrasts=contrasts)
    assert found["contrast"].tolist() == labels


def test_a_reference_is_chosen_by_name(reml):
    found = bl.marginal_means(reml, "week", contrasts="reference", reference=12)
    assert found["contrast"].tolist() == ["week: 0 - 12", "week: 4 - 12"]


def test_average_differences_are_those_of_compare_predictions(idata):
    ours = bl.marginal_means(idata, "sex", average="rows", contrasts="pairwise")
    theirs = bl.compare_predictions(idata, {"sex": ["f", "m"]})
    shared = ["contrast", "mean", "sd", "eti95_lb", "eti95_ub", "p_positive"]
    pd.testing.assert_frame_equal(ours[shared], theirs[shared])


def test_numbers_are_set_and_averaged_by_at():
    tree = trees.random_tree("y ~ x * g + (1 | g)", trees.TINY, draws=20)
    found = bl.marginal_means(tree, "g", at={"x": [0, 3]}, as_draws=True)
    rows = pd.DataFrame({"x": [0, 3], "g": "b"})
    one = bl.predict(tree, rows, random_effects="none").mean("obs")
    np.testing.assert_allclose(found.sel(g="b"), one, **EXACT)


def test_truth_values_and_offsets_count():
    data = {**trees.TINY, "flag": trees.TINY["x"] > 0, "o": trees.TINY["x"] * 2}
    tree = trees.random_tree("y ~ flag + offset(o) + (1 | g)", data, draws=20)
    found = bl.marginal_means(tree, "flag", as_draws=True)
    beta = tree["posterior"]["beta"].to_numpy()
    np.testing.assert_allclose(found[..., 0], beta[..., 0] + data["o"].mean(), **EXACT)
    np.testing.assert_allclose(found[..., 1], beta.sum(-1) + data["o"].mean(), **EXACT)


def test_a_mean_that_the_data_do_not_determine_is_refused():
    table = TRIAL[~((TRIAL["arm"] == "high") & (TRIAL["sex"] == "m"))]
    with pytest.warns(RankDeficiencyWarning):
        fit = bl.fit_reml("y ~ arm * sex + (1 | subject)", table)
    with pytest.raises(ArgumentError, match=r"do not determine the mean at arm = high.*at="):
        bl.marginal_means(fit, "arm")
    found = bl.marginal_means(fit, "arm", at={"sex": "f"})
    whole = bl.fit_reml("y ~ arm * sex + (1 | subject)", TRIAL)
    assert found["arm"].tolist() == ["placebo", "low", "high"]
    assert np.isfinite(found["estimate"]).all()
    assert len(bl.marginal_means(whole, "arm")) == 3


def test_cross_products_need_to_be_told_means():
    formula = "y ~ arm + age + (1 | subject)"
    fit = bl.fit_reml(formula, TRIAL)
    summed = bl.fit_reml(formula, bl.gram_from_batches(formula, lambda: [TRIAL]))
    with pytest.raises(ArgumentError, match="cross-products"):
        bl.marginal_means(summed, "arm")
    # Two ways to sum agree to some nine digits.
    for options in ({"at": {"age": 50}}, {"data": TRIAL}):
        one, two = (bl.marginal_means(f, "arm", **options) for f in (fit, summed))
        pd.testing.assert_frame_equal(one, two, rtol=1e-6)


def test_reml_and_a_flat_posterior_agree():
    formula = "y ~ arm + age + (1 | subject)"
    fit = bl.fit_reml(formula, TRIAL)
    idata = bl.fit_bayes(
        formula, TRIAL, parametrization="marginal", sampler="importance", random_seed=1,
        progressbar=False,
    )  # fmt: skip
    one, two = bl.marginal_means(fit, "arm"), bl.marginal_means(idata, "arm")
    # Weak priors, 4000 draws: a tenth of a standard error is eight Monte Carlo errors.
    np.testing.assert_allclose(one["estimate"], two["mean"], atol=0.1 * one["std_error"].max())
    np.testing.assert_allclose(one["std_error"], two["sd"], rtol=0.1)


@pytest.mark.parametrize(
    ("of", "options", "error", "message"),
    [
        ("arms", {}, ArgumentError, "Did you mean 'arm'"),
        ("y", {}, ArgumentError, "names the response"),
        ("site", {}, ArgumentError, "through random effects only"),
        ("age", {}, ArgumentError, r"values: name those.*at="),
        ([], {}, ArgumentError, "it is empty"),
        ("arm", {"by": "arm"}, ArgumentError, "stands twice"),
        ("arm", {"at": {"arm": "hgih"}}, DataError, "'hgih' is not among"),
        ("arm", {"at": {"ag": 1}}, ArgumentError, "Did you mean 'age'"),
        ("arm", {"average": "row"}, ArgumentError, "Did you mean 'rows'"),
        ("arm", {"contrasts": "consec"}, ArgumentError, "'sequential' for emmeans's"),
        ("arm", {"contrasts": [[1, -1]]}, ArgumentError, "3 columns"),
        ("arm", {"contrasts": {"x": {"lo": 1}}}, ArgumentError, "Did you mean 'low'"),
        ("arm", {"contrasts": {"x": ["a", 1, 2]}}, ArgumentError, "matrix of numbers"),
        ("arm", {"contrasts": 3.0}, ArgumentError, "3 columns"),
        ("arm", {"by_contrasts": "pairwise"}, ArgumentError, "go with contrasts="),
        ("arm", {"contrasts": "pairwise", "by_contrasts": "pairwise"}, ArgumentError, "by="),
        ("arm", {"contrasts": "pairwise", "reference": "low"}, ArgumentError, "reference goes"),
        ("arm", {"random_effects": "all"}, ArgumentError, "average='rows'"),
        ("arm", {"ci_prob": 95}, ArgumentError, "between 0 and 1"),
    ],
)
def test_wrong_requests_are_named(idata, of, options, error, message):
    with pytest.raises(error, match=message):
        bl.marginal_means(idata, of, **options)


def test_reml_has_no_draws(reml):
    with pytest.raises(ArgumentError, match="no draws"):
        bl.marginal_means(reml, "arm", as_draws=True)
    with pytest.raises(TreeError, match="result tree"):
        bl.marginal_means(TRIAL, "arm")
