"""Fits to cross-products with strata: what the rows give, and what goes on from them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.analysis.checks.likelihood import group_log_likelihood
from bayeslmm.analysis.checks.standardized_effects import standardized_effects

FORMULA = "y ~ x + (1 | g)"
SAID = {"strata": {"sigma": "~ 0 + f"}, "ratios": {"sigma": "~ f"}, "known": {"se": "e"}}
# As of independent residuals: rounding of sums, times the condition of what is solved.
DIGITS = 1e-9


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = 300
    table = pd.DataFrame({"x": rng.normal(5, 2, n), "g": rng.integers(0, 12, n)})
    table["h"], table["e"] = rng.integers(0, 5, n), rng.uniform(0.5, 2.0, n)
    table["f"] = rng.choice(list("abc"), n)
    table["y"] = rng.normal(size=12)[table.g] + (1 + rng.normal(size=12)[table.g]) * table.x
    table["y"] += 2.0 * rng.normal(size=5)[table.h]
    table["y"] += rng.normal(size=n) * np.where(table.f == "b", 2.0, 1.0)
    return table


def summed(formula, data, **said):
    batches = [data[:70], data[70:200], data[200:]]
    return bl.gram_from_batches(formula, batches, progressbar=False, **said)


def importance(formula, data, **options):
    settings = {"parametrization": "marginal", "sampler": "importance", "random_seed": 1}
    return bl.fit_bayes(
        formula, data, progressbar=False, chains=2, draws=150, **settings, **options
    )


@pytest.fixture(scope="module", params=SAID)
def pair(request, data, tmp_path_factory):
    """What is said, and a fit of the rows and one of their cross-products, from files."""
    said = SAID[request.param]
    folder = tmp_path_factory.mktemp("strata")
    summed(FORMULA, data, **said).save(folder / "gram.npz")
    gram = bl.Gram.load(folder / "gram.npz")
    importance(FORMULA, gram).to_netcdf(folder / "fit.nc")
    return said, importance(FORMULA, data, **said), xr.open_datatree(folder / "fit.nc").load()


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + (x | g) + (1 | h)"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_reml_is_that_of_the_rows(data, said, formula, method):
    rows = bl.fit_reml(formula, data, method=method, **said)
    sums = bl.fit_reml(formula, summed(formula, data, **said), method=method)
    assert sums.criterion == pytest.approx(rows.criterion, rel=1e-12)
    for mine, theirs in (
        (sums.residual_parameters, rows.residual_parameters),
        (sums.fixed_effects, rows.fixed_effects),
        (sums.variance_components, rows.variance_components),
    ):
        pd.testing.assert_frame_equal(mine, theirs, rtol=1e-6, atol=1e-9)
    assert bl.update(sums).criterion == sums.criterion


def test_a_posterior_is_that_of_the_rows(pair):
    _, rows, sums = pair
    for name, values in rows["posterior"].data_vars.items():
        np.testing.assert_allclose(
            sums["posterior"][name], values, rtol=DIGITS, atol=DIGITS * float(abs(values).max())
        )


@pytest.mark.parametrize(
    "verb",
    ["fixed_effects", "random_effects", "variance_components", "icc", "r_squared", "shrinkage",
     "design_effect", "prior_sensitivity", "compare_reml"],
)  # fmt: skip
def test_what_is_asked_of_both_is_the_same(pair, verb):
    said, rows, sums = pair
    mine, theirs = (getattr(bl, verb)(fit) for fit in (sums, rows))
    pd.testing.assert_frame_equal(mine, theirs, rtol=1e-4, atol=1e-6)
    assert all(str(text) in str(bl.summary(sums)) for text in said if text == "sigma")


def test_groups_are_left_out_from_strata(pair):
    _, rows, sums = pair
    mine, theirs = group_log_likelihood(sums), group_log_likelihood(rows)
    np.testing.assert_allclose(mine.values, theirs.values, rtol=DIGITS)


def test_effects_are_standardised_by_strata(pair):
    _, rows, sums = pair
    mine, theirs = standardized_effects(sums), standardized_effects(rows)
    for key, values in theirs.items():
        np.testing.assert_allclose(mine[key], values, rtol=DIGITS)


def test_new_rows_are_predicted_alike(pair, data):
    said, rows, sums = pair
    how = {"random_seed": 3, "kind": "response", **({"se": "e"} if "se" in said else {})}
    mine, theirs = (bl.predict(fit, data[:5], **how) for fit in (sums, rows))
    np.testing.assert_allclose(mine, theirs, rtol=DIGITS, atol=DIGITS * float(abs(theirs).max()))


def test_a_fit_is_repeated_from_its_cross_products_and_from_rows(pair, data):
    said, rows, sums = pair
    again = bl.update(sums)
    np.testing.assert_allclose(again["posterior"]["beta"], sums["posterior"]["beta"], rtol=DIGITS)
    fresh = bl.update(sums, data=data)
    assert "constant_data" in fresh.children
    np.testing.assert_allclose(fresh["posterior"]["beta"], rows["posterior"]["beta"], rtol=DIGITS)
    assert bl.refit_reml(sums).criterion == pytest.approx(bl.refit_reml(rows).criterion, rel=1e-12)
    same = importance(FORMULA, summed(FORMULA, data, **said), **said)  # said twice, and the same
    xr.testing.assert_allclose(same["posterior"].to_dataset(), sums["posterior"].to_dataset())
    with pytest.raises(bl.ArgumentError, match="sigma is about rows, and a Gram holds none"):
        importance(FORMULA, summed(FORMULA, data, **said), sigma="~ 0 + h")


def test_nested_factors_are_integrated_out_by_stratum(data):
    table = data.assign(k=np.arange(300) % 3)
    formula, said = "y ~ x + (1 | g/k)", {"sigma": "~ 0 + f"}
    rows = importance(formula, table, **said)
    sums = importance(formula, summed(formula, table, **said))
    mine, theirs = group_log_likelihood(sums, "g"), group_log_likelihood(rows, "g")
    np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-7)


def test_dropped_columns_and_far_slopes_leave_strata_as_they_are(data):
    table = data.assign(twice=2.0 * data.x, t=data.x + 40.0)
    formula, said = "y ~ x + twice + (t | g)", {"sigma": "~ 0 + f", "rank_deficient": "drop"}
    with pytest.warns(bl.RankDeficiencyWarning):
        gram = summed(formula, table, **said)
    with pytest.warns(bl.RankDeficiencyWarning):
        rows = importance(formula, table, **said)
    sums = importance(formula, gram)
    for name, values in rows["posterior"].data_vars.items():
        tolerance = 1e-7 * float(abs(values).max())  # a mean of forty standard deviations
        np.testing.assert_allclose(sums["posterior"][name], values, rtol=1e-7, atol=tolerance)


def test_paths_and_frames_that_are_not_in_memory_are_fitted(data, tmp_path):
    import polars as pl

    data.to_csv(tmp_path / "rows.csv", index=False)
    for said in SAID.values():
        rows = bl.fit_reml(FORMULA, data, **said)
        for held in (tmp_path / "rows.csv", pl.from_pandas(data).lazy()):
            fit = bl.fit_reml(FORMULA, held, **said)
            assert fit.criterion == pytest.approx(rows.criterion, rel=1e-12)
            assert not fit.data.has_rows
    for verb in (bl.fit_reml, importance):
        with pytest.raises(bl.ArgumentError, match=r"'cs\(1 \| h\)' correlates rows, and cross"):
            verb(FORMULA, tmp_path / "rows.csv", residual="cs(1 | h)")
        with pytest.raises(bl.ArgumentError, match="read the rows into a table and fit that, or"):
            verb(FORMULA, tmp_path / "rows.csv", sigma="~ 1", se="e")


def test_priors_and_studies_of_them_need_no_rows(data):
    for said in SAID.values():
        gram = summed(FORMULA, data, **said)
        mine = bl.describe_priors(FORMULA, gram)
        theirs = bl.describe_priors(FORMULA, data, **said)
        pd.testing.assert_frame_equal(mine, theirs, rtol=1e-10)
        drawn = [
            bl.sample_prior(FORMULA, each, draws=20, random_seed=1, **how)["prior"].to_dataset()
            for each, how in ((gram, {}), (data, said))
        ]
        xr.testing.assert_allclose(*drawn, rtol=1e-10)
    options = {"sampler": "importance", "draws": 50, "progressbar": False}
    scenarios = {"tight": {"sd": "HalfNormal(1)"}}
    said = SAID["strata"]
    mine = bl.prior_study(FORMULA, summed(FORMULA, data, **said), scenarios, **options)
    rows = bl.prior_study(FORMULA, data, scenarios, **said, **options)
    for name, values in rows["posterior"].data_vars.items():
        np.testing.assert_allclose(mine["posterior"][name], values, rtol=1e-6)


def test_a_stratum_that_columns_fit_exactly_is_named(data):
    table = data.assign(f=np.where(np.arange(300) < 2, "z", data.f))
    table.loc[:1, "x"] = [1.0, 2.0]
    formula, said = "y ~ x * f + (1 | g)", {"sigma": "~ 0 + f"}
    for rows in (table, summed(formula, table, **said)):
        how = said if rows is table else {}
        with pytest.raises(bl.DataError, match=r"fit the 2 rows of sigma_by\[z\] exactly: the lik"):
            bl.fit_reml(formula, rows, method="ML", **how)
        with pytest.warns(bl.IdentificationWarning, match=r"about some number of sigma_by\[z\]"):
            bl.fit_reml(formula, rows, method="REML", **how)
    gram = summed("y ~ x", data, sigma="~ 0 + f", levels={"f": list("abcq")})
    with pytest.raises(bl.DataError, match=r"No row has sigma_by\[q\]"):
        bl.fit_reml("y ~ x", gram)


def test_structures_of_cross_products_are_tested_against_each_other(data):
    fits = {
        text: bl.fit_reml(FORMULA, summed(FORMULA, data, **({"sigma": text} if text else {})))
        for text in ("", "~ f", "~ 0 + f", "~ f + h", "~ 0 + f:C(h)")
    }
    rows = [bl.fit_reml(FORMULA, data, **said) for said in ({}, {"sigma": "~ f"})]
    mine = bl.likelihood_ratio_test(fits[""], fits["~ f"])
    pd.testing.assert_frame_equal(mine, bl.likelihood_ratio_test(*rows), rtol=1e-6)
    assert len(bl.likelihood_ratio_test(fits["~ f"], fits["~ f + h"])) == 2
    with pytest.raises(bl.ArgumentError, match=r"row by row, .* '~ f' and '~ f \+ g', or compare"):
        bl.likelihood_ratio_test(fits["~ 0 + f"], fits["~ f + h"])
    formulas = ("y ~ x", FORMULA)
    known = [bl.fit_reml(f, summed(f, data, se="e")) for f in formulas]
    shuffled = bl.fit_reml(FORMULA, data[::-1].reset_index(drop=True), se="e")
    table = bl.likelihood_ratio_test(*known)
    pd.testing.assert_frame_equal(table, bl.likelihood_ratio_test(known[0], shuffled), rtol=1e-6)
    with pytest.raises(bl.ArgumentError, match="do not have the same known standard errors"):
        bl.likelihood_ratio_test(known[0], bl.fit_reml(FORMULA, data.assign(e=1.0), se="e"))


def test_nuts_runs_on_strata(data):
    gram = summed(FORMULA, data, sigma="~ 0 + f")
    options = {"parametrization": "marginal", "sampler": "nutpie", "random_seed": 1}
    fit = bl.fit_bayes(FORMULA, gram, draws=500, tune=500, chains=2, progressbar=False, **options)
    own = importance(FORMULA, gram)
    for name in ("sigma_by", "sd_g"):
        one, other = (tree["posterior"][name].mean(("chain", "draw")) for tree in (fit, own))
        spread = own["posterior"][name].std(("chain", "draw"))
        assert (abs(one - other) < 0.25 * spread).all()  # of some hundred effective draws each
