"""A fit again, with something changed and the rest as it was."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, FormulaError, SamplingError, TreeError

FORMULA = "Reaction ~ Days + (Days | Subject)"
FAST = {"parametrization": "marginal", "sampler": "importance", "draws": 150, "random_seed": 3}
QUIET = {"progressbar": False}
PRIORS = {"sigma": "HalfNormal(40)", "sd_Subject[Days]": "HalfNormal(8)"}


@pytest.fixture(scope="module")
def table():
    sleep = bl.load_dataset("sleepstudy")
    late = pd.Categorical(np.where(sleep["Days"] > 4, "late", "early"), ["late", "early"])
    weights = np.linspace(0.5, 2, len(sleep))
    return sleep.assign(phase=late, w=weights).set_index(1000 + np.arange(len(sleep)))


@pytest.fixture(scope="module")
def fit(table):
    return bl.fit_bayes(FORMULA, table, priors=PRIORS, **FAST, **QUIET)


def priors_of(idata):
    return bl.Priors.from_json(idata.attrs["priors"])


def origins(idata):
    return dict(priors_of(idata).origins)


def test_nothing_changed_gives_the_same_draws_also_from_a_file(fit, tmp_path):
    fit.to_netcdf(tmp_path / "fit.nc")
    again = bl.update(xr.load_datatree(tmp_path / "fit.nc"), **QUIET)
    xr.testing.assert_identical(again["posterior"].to_dataset(), fit["posterior"].to_dataset())
    for key in ("settings", "priors", "formula", "data_fingerprint", "design"):
        assert again.attrs[key] == fit.attrs[key]
    assert list(again["observed_data"]["obs"].to_numpy()[:2]) == [1000, 1001]


def test_a_smaller_formula_is_fitted_to_the_rows_of_the_tree(fit, table):
    smaller = bl.update(fit, ". ~ . - (Days | Subject) + (1 | Subject)", **QUIET)
    expected = bl.fit_bayes(
        "Reaction ~ Days + (1 | Subject)",
        table,
        priors={"sigma": "HalfNormal(40)"},
        **FAST,
        **QUIET,
    )
    xr.testing.assert_identical(
        smaller["posterior"].to_dataset(), expected["posterior"].to_dataset()
    )
    # What the user set for a parameter that is gone, is gone.
    assert origins(smaller)["sigma"] == "user"
    assert "sd_Subject[Days]" not in origins(smaller)
    np.testing.assert_array_equal(smaller["observed_data"]["obs"], fit["observed_data"]["obs"])


def test_a_column_that_the_tree_lacks_is_asked_for(fit, table):
    with pytest.raises(DataError, match=r"\(Reaction, Days, Subject\), and 'phase' is none.*data="):
        bl.update(fit, ". ~ . + phase")
    larger = bl.update(fit, ". ~ . + phase", table, **QUIET)
    assert list(larger["posterior"]["coef"].to_numpy()) == ["Intercept", "Days", "phase[T.early]"]
    # The order of categories is kept in the tree, too.
    again = bl.update(larger, draws=20, **QUIET)
    assert list(again["posterior"]["coef"].to_numpy()) == list(
        larger["posterior"]["coef"].to_numpy()
    )
    assert again["posterior"].sizes["draw"] == 20


def test_priors_change_what_they_name(fit):
    found = priors_of(bl.update(fit, priors={"sd": "HalfNormal(99)"}, draws=20, **QUIET))
    assert str(found.sigma) == "HalfNormal(sigma=40)"
    assert {str(prior) for prior in found.factors[0].sd} == {"HalfNormal(sigma=99)"}
    scheme = bl.update(fit, priors="brms", draws=20, **QUIET)
    assert set(origins(scheme).values()) == {"brms"}
    follows = bl.update(scheme, ". ~ . - (Days | Subject) + (1 | Subject)", **QUIET)
    assert set(origins(follows).values()) == {"brms"}


def test_defaults_follow_new_data(fit, table):
    doubled = table.assign(Reaction=2 * table["Reaction"])
    found = bl.update(fit, data=doubled, draws=20, **QUIET)
    expected = bl.resolve_priors(bl.build_design(FORMULA, doubled), PRIORS)
    assert priors_of(found).to_json() == expected.to_json()


def test_weights_are_the_fits_own(table):
    by_column = bl.fit_bayes(FORMULA, table, weights="w", **FAST, **QUIET)
    xr.testing.assert_identical(
        bl.update(by_column, **QUIET)["posterior"].to_dataset(), by_column["posterior"].to_dataset()
    )
    few = table[:90].assign(Subject=table["Subject"][:90].astype(str))
    half = bl.update(by_column, data=few, **QUIET)
    np.testing.assert_array_equal(half["constant_data"]["weights"], table["w"][:90])
    by_array = bl.fit_bayes(FORMULA, table, weights=table["w"].to_numpy(), **FAST, **QUIET)
    with pytest.raises(DataError, match="give weights= along with the new data"):
        bl.update(by_array, data=few)
    without = bl.update(by_array, data=few, weights=None, **QUIET)
    assert "weights" not in without["constant_data"]


@pytest.mark.parametrize("weights", ["heavy", None])
def test_defaults_follow_new_weights(table, weights):
    data = table.assign(
        light=np.linspace(1, 2, len(table)), heavy=np.linspace(1e6, 2e6, len(table))
    )
    fit = bl.fit_bayes(FORMULA, data, weights="light", **FAST, **QUIET)
    given = None if weights is None else data[weights].to_numpy()
    again = bl.update(fit, weights=given)
    expected = bl.fit_bayes(FORMULA, data, weights=given, **FAST, **QUIET)
    assert again.attrs["priors"] == expected.attrs["priors"]
    assert np.array_equal(again["posterior"]["sigma"], expected["posterior"]["sigma"])


def test_a_fit_that_dropped_columns_is_updated(table):
    data = table.assign(twice=2 * table["Days"])
    formula = "Reaction ~ Days + twice + (1 | Subject)"
    with pytest.warns(bl.RankDeficiencyWarning):
        fit = bl.fit_bayes(formula, data, rank_deficient="drop", **FAST, **QUIET)
    with pytest.warns(bl.RankDeficiencyWarning):
        again = bl.update(fit)
    assert np.array_equal(again["posterior"]["beta"], fit["posterior"]["beta"])
    with pytest.raises(bl.DataError, match="cannot be told apart"):
        bl.update(fit, rank_deficient="raise")


@pytest.mark.filterwarnings("ignore:These draws:bayeslmm.errors.SamplingWarning")
def test_what_was_chosen_for_the_fit_is_chosen_anew(table):
    fit = bl.fit_bayes(FORMULA, table, draws=50, tune=100, random_seed=1, progressbar=False)
    assert fit.attrs["parametrization_reason"] != "asked for"
    again = bl.update(fit, draws=60)
    assert again.attrs["parametrization_reason"] != "asked for"
    assert again.attrs["sampler_reason"] != "asked for"
    asked = bl.update(fit, parametrization="marginal", draws=60)
    assert asked.attrs["parametrization_reason"] == "asked for"
    assert bl.update(asked, draws=70).attrs["parametrization_reason"] == "asked for"


@pytest.mark.parametrize("effects", ["moments", {"Subject": ["309", "308"]}])
def test_which_effects_are_kept_stays(fit, effects):
    part = bl.update(fit, effects=effects, **QUIET)
    again = bl.update(part, draws=20, **QUIET)
    for group in ("posterior", "effects_moments"):
        assert set(again.children.get(group, {})) == set(part.children.get(group, {}))
    assert again["posterior"].sizes.get("Subject") == part["posterior"].sizes.get("Subject")


def test_cross_products_are_fitted_again_for_their_own_formula(table):
    gram = bl.Gram.from_design(bl.build_design(FORMULA, table))
    first = bl.fit_bayes(FORMULA, gram, **FAST, **QUIET)
    again = bl.update(first, **QUIET)
    xr.testing.assert_identical(again["posterior"].to_dataset(), first["posterior"].to_dataset())
    with pytest.raises(DataError, match="serve no other formula: give data="):
        bl.update(first, ". ~ . - Days")


def test_settings_are_those_of_fit_bayes(fit):
    with pytest.raises(ArgumentError, match=r"no argument 'iter'. Write draws=20"):
        bl.update(fit, iter=20)
    with pytest.raises(SamplingError, match="draws must be at least 1"):
        bl.update(fit, draws=0)
    with pytest.raises(FormulaError, match="to take away"):
        bl.update(fit, ". ~ . - (1 | Subject)")


def test_a_reml_fit_is_updated(table):
    fit = bl.fit_reml(FORMULA, table, weights="w")
    ml = bl.update(fit, method="ML")
    expected = bl.fit_reml(FORMULA, table, weights="w", method="ML")
    # The same cross-products, searched from the same start.
    assert ml.criterion == expected.criterion
    simpler = bl.update(fit, ". ~ . - (Days | Subject) + (1 | Subject)")
    again = bl.fit_reml("Reaction ~ Days + (1 | Subject)", table, weights="w")
    assert simpler.criterion == again.criterion
    assert simpler.method == "REML"
    given = bl.update(fit, ". ~ . + phase", table)
    assert given.criterion == bl.fit_reml(f"{FORMULA} + phase", table, weights="w").criterion
    with pytest.raises(DataError, match="'phase' is none of them: give data="):
        bl.update(fit, ". ~ . + phase")


def test_a_reml_fit_may_hold_no_rows_and_has_no_priors(table):
    gram = bl.Gram.from_design(bl.build_design(FORMULA, table))
    sums = bl.fit_reml(FORMULA, gram)
    assert bl.update(sums).criterion == sums.criterion
    with pytest.raises(DataError, match="not the rows: give data="):
        bl.update(sums, ". ~ . - Days")
    fit = bl.fit_reml(FORMULA, table, weights=table["w"].to_numpy())
    with pytest.raises(DataError, match="give weights="):
        bl.update(fit, data=table)
    with pytest.raises(ArgumentError, match="no priors"):
        bl.update(fit, priors="brms")


def test_what_is_no_fit_is_refused(table):
    with pytest.raises(TreeError, match="DataFrame"):
        bl.update(table, ". ~ .")
    with pytest.raises(TreeError, match="no group 'posterior'"):
        bl.update(bl.sample_prior(FORMULA, table, draws=5, random_seed=1))
