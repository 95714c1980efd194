"""Fits to cross-products: the same posterior as from rows, and what goes on without them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.analysis.checks.likelihood import group_log_likelihood
from bayeslmm.gram.gram_design import GramDesign

FORMULA = "Reaction ~ Days + (Days | Subject)"
# Sums over batches differ from sums over all rows in their last digits (1e-15 relative), and a
# fit's search and solves multiply that by the condition of what they solve, here some thousands.
DIGITS = 1e-9


def importance(formula, data, **options):
    settings = {"parametrization": "marginal", "sampler": "importance", "random_seed": 1}
    return bl.fit_bayes(formula, data, progressbar=False, **settings, **options)


@pytest.fixture(scope="module")
def sleep():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def gram(sleep):
    batches = [sleep.iloc[k : k + 37] for k in range(0, len(sleep), 37)]
    return bl.gram_from_batches(FORMULA, batches, progressbar=False)


@pytest.fixture(scope="module")
def from_rows(sleep):
    return importance(FORMULA, sleep)


@pytest.fixture(scope="module")
def from_gram(gram, tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "fit.nc"
    importance(FORMULA, gram).to_netcdf(path)
    return xr.open_datatree(path).load()


def test_reml_takes_a_gram_in_place_of_a_table(sleep, gram):
    rows, sums = bl.fit_reml(FORMULA, sleep), bl.fit_reml(FORMULA, gram)
    assert sums.criterion == pytest.approx(rows.criterion, rel=1e-12)
    pd.testing.assert_frame_equal(sums.variance_components, rows.variance_components, rtol=1e-6)


def test_the_same_priors_come_out_of_a_gram(sleep, gram):
    for scheme in (None, "rstanarm", "bambi", "half_cauchy", "flat"):
        sums, rows = (bl.describe_priors(FORMULA, data, scheme) for data in (gram, sleep))
        pd.testing.assert_frame_equal(sums, rows, rtol=1e-12)


@pytest.mark.parametrize(
    "formula", ["y ~ 0 + f + x + (1 | g)", "y ~ 0 + x + z + (1 | g)", "y ~ x + offset(z) + (z | g)"]
)
def test_the_same_priors_come_out_of_models_without_intercept_and_with_offset(formula):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.integers(0, 2, 90), "z": rng.normal(3, 1, 90)})
    data["f"], data["g"] = rng.choice(list("abc"), 90), rng.integers(0, 9, 90)
    data["y"] = data.x + data.z + rng.normal(size=90)
    gram = bl.gram_from_batches(formula, [data[:40], data[40:]], progressbar=False)
    sums, rows = bl.describe_priors(formula, gram), bl.describe_priors(formula, data)
    pd.testing.assert_frame_equal(sums, rows, rtol=1e-10, atol=1e-10)


def test_a_scheme_that_takes_the_median_is_refused_by_name(gram):
    with pytest.raises(bl.PriorError, match="'brms' takes the median"):
        bl.describe_priors(FORMULA, gram, "brms")


def test_a_gram_gives_the_posterior_of_its_rows(from_rows, from_gram):
    for name, values in from_rows["posterior"].data_vars.items():
        mine = from_gram["posterior"][name]
        np.testing.assert_allclose(
            mine, values, rtol=DIGITS, atol=DIGITS * float(abs(values).max())
        )
    assert set(from_gram.children) == {"posterior", "sample_stats", "log_prior", "cross_products"}
    assert int(from_gram.attrs["n_obs"]) == 180


@pytest.mark.parametrize(
    "verb",
    ["fixed_effects", "random_effects", "variance_components", "icc", "r_squared", "shrinkage",
     "design_effect"],
)  # fmt: skip
def test_summaries_need_no_rows(from_rows, from_gram, verb):
    summarise = getattr(bl, verb)
    pd.testing.assert_frame_equal(summarise(from_gram), summarise(from_rows), rtol=1e-6)


def test_comparison_with_reml_and_sensitivity_need_no_rows(from_rows, from_gram):
    for verb in (bl.compare_reml, bl.prior_sensitivity):
        pd.testing.assert_frame_equal(verb(from_gram), verb(from_rows), rtol=1e-4, atol=1e-6)
    assert "180 rows" in str(bl.summary(from_gram))


def test_new_rows_are_predicted_alike(from_rows, from_gram):
    new = {"Days": [1.0, 2.5], "Subject": ["308", "unseen"]}
    options = {"new_levels": "sample", "random_seed": 3, "kind": "response"}
    np.testing.assert_allclose(
        bl.predict(from_gram, new, **options), bl.predict(from_rows, new, **options), rtol=DIGITS
    )


def test_groups_are_left_out_from_cross_products(from_rows, from_gram):
    rows, sums = group_log_likelihood(from_rows), group_log_likelihood(from_gram)
    np.testing.assert_allclose(sums.values, rows.values, rtol=DIGITS)
    assert (sums.levels, sums.integrated) == (rows.levels, rows.integrated)


def test_nested_factors_are_integrated_out_with_their_group():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"a": np.repeat(range(6), 20), "b": np.tile(np.repeat(range(4), 5), 6)})
    data["x"], data["w"] = rng.normal(size=120), rng.uniform(0.5, 2, 120)
    data["y"] = data.x + rng.normal(size=6)[data.a] + rng.normal(size=120)
    formula = "y ~ x + (1 | a/b)"
    gram = bl.gram_from_batches(formula, [data[:50], data[50:]], weights="w", progressbar=False)
    options = {"draws": 25, "chains": 2}
    rows = importance(formula, data, weights="w", **options)
    sums = importance(formula, gram, **options)
    mine, theirs = group_log_likelihood(sums, "a"), group_log_likelihood(rows, "a")
    assert mine.integrated == theirs.integrated == ("a", "a:b")
    np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-7)
    with pytest.raises(bl.TreeError, match="They are a, a:b"):
        group_log_likelihood(sums)
    with pytest.raises(bl.TreeError, match="while 'a' is crossed with it, or above it"):
        group_log_likelihood(sums, "a:b")
    with pytest.raises(bl.TreeError, match="count each row by its weight"):
        bl.icc(sums)


def test_likelihoods_of_rows_are_had_batch_by_batch(sleep, from_rows, from_gram):
    whole = bl.add_log_likelihood(from_rows)["log_likelihood"]["Reaction"]
    parts = [bl.log_likelihood(from_gram, sleep[a : a + 60]) for a in (0, 60, 120)]
    np.testing.assert_allclose(np.concatenate(parts, axis=-1), whole, rtol=DIGITS)


@pytest.mark.parametrize(
    "ask",
    [
        bl.loo,
        bl.check_groups,
        bl.plot_levels,
        bl.plot_ppc_groups,
        lambda tree: bl.icc(tree, at={"Days": 0}),
        lambda tree: bl.r_squared(tree, by_level="Subject"),
    ],
)
def test_what_takes_rows_says_so(from_gram, ask):
    with pytest.raises(bl.TreeError, match=r"takes the rows.*log_likelihood"):
        ask(from_gram)


def test_design_effects_come_from_what_columns_of_ones_there_are():
    rng = np.random.default_rng(9)
    data = pd.DataFrame({"g": rng.integers(0, 6, 80), "x": rng.normal(2, 1, 80)})
    data["y"] = data.x + rng.normal(size=6)[data.g] + rng.normal(size=80)
    for formula in ("y ~ 0 + x + (x | g)", "y ~ x + (0 + x | g)"):
        gram = bl.gram_from_batches(formula, [data[:30], data[30:]], progressbar=False)
        mine, rows = (importance(formula, each, draws=50) for each in (gram, data))
        pd.testing.assert_frame_equal(bl.design_effect(mine), bl.design_effect(rows), rtol=1e-6)
    formula = "y ~ 0 + x + (0 + x | g)"
    gram = bl.gram_from_batches(formula, [data], progressbar=False)
    with pytest.raises(bl.TreeError, match="hold no sums over rows"):
        bl.design_effect(importance(formula, gram, draws=50))


def test_priors_are_drawn_without_rows(sleep, gram):
    mine, rows = (bl.sample_prior(FORMULA, each, draws=20, random_seed=1) for each in (gram, sleep))
    xr.testing.assert_allclose(mine["prior"].to_dataset(), rows["prior"].to_dataset(), rtol=1e-10)
    assert set(mine.children) == {"prior", "cross_products"}
    pd.testing.assert_frame_equal(bl.implied_priors(mine), bl.implied_priors(rows), rtol=1e-6)


def test_prior_studies_need_no_rows(sleep, gram):
    options = {
        "sampler": "importance", "draws": 50, "progressbar": False,
        "quantities": {"ratio": "sd_Subject[Days] / Days"},
    }  # fmt: skip
    scenarios = {"tight": {"sd": "HalfNormal(1)"}}
    mine, rows = (bl.prior_study(FORMULA, each, scenarios, **options) for each in (gram, sleep))
    for name, values in rows["posterior"].data_vars.items():
        np.testing.assert_allclose(mine["posterior"][name], values, rtol=1e-6)
    with pytest.raises(bl.ArgumentError, match="needs the rows"):
        bl.prior_study(FORMULA, gram, scenarios, parametrization="noncentered")


def test_another_formula_is_refused_with_both(gram):
    for fit in (bl.fit_reml, importance):
        with pytest.raises(bl.DataError, match=r"summed for 'Reaction ~ 1 \+ Days.*Reaction ~ 1"):
            fit("Reaction ~ 1 + (1 | Subject)", gram)
    respelt = "Reaction ~ 1 + Days + (1 + Days | Subject)"
    assert bl.fit_reml(respelt, gram).gram is gram


def test_parts_of_a_sum_and_questions_about_rows_are_refused(sleep, gram):
    part = bl.Reading.of(FORMULA, sleep).settle().gram(sleep)
    with pytest.raises(bl.DataError, match=r"part of a sum.*BatchCoding\.finish"):
        bl.fit_reml(FORMULA, part)
    with pytest.raises(bl.ArgumentError, match="weights is about rows"):
        bl.fit_reml(FORMULA, gram, weights="Days")
    with pytest.raises(bl.ArgumentError, match=r"'centered' needs the rows.*'marginal'"):
        bl.fit_bayes(FORMULA, gram, parametrization="centered")
    with pytest.raises(bl.DataError, match=r"Design\.X needs the rows"):
        _ = GramDesign.of(FORMULA, gram).X


def test_nuts_takes_a_gram_too(gram, from_rows):
    tree = bl.fit_bayes(
        FORMULA,
        gram,
        parametrization="marginal",
        sampler="nutpie",
        random_seed=1,
        progressbar=False,
        draws=500,
        tune=500,
    )
    mine, theirs = bl.fixed_effects(tree), bl.fixed_effects(from_rows)
    # Four Monte Carlo standard errors of the difference: one failure in 16,000.
    error = np.hypot(mine["mcse_mean"], theirs["sd"] / np.sqrt(theirs["ess_bulk"]))
    assert (abs(mine["mean"] - theirs["mean"]) < 4 * error).all()
