"""Results of several responses, and of categories, against their draws written out."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats
from stacked import growth, journeys

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataWarning, TreeError

FORMULA = "mvbind(tarsus, back) ~ x + sex + (1 + x |p| family)"


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(FORMULA, growth(), draws=100, chains=2, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def prior():
    """Draws of categories' parameters, without sampling."""
    tree = bl.sample_prior(
        "choice ~ x + (1 |p| person)", journeys(), family="categorical", draws=40, random_seed=1
    )
    tree["posterior"] = tree["prior"].to_dataset()
    return tree


def test_a_response_is_a_result_of_its_own(fit):
    table = growth()
    for k, response in enumerate(["tarsus", "back"]):
        one = bl.response_of(fit, response)
        rows = table.dropna(subset=[response])
        assert one["observed_data"][response].to_numpy().tolist() == rows[response].tolist()
        posterior, whole = one["posterior"], fit["posterior"]
        assert posterior["coef"].values.tolist() == ["Intercept", "x", "sex[T.m]"]
        assert np.array_equal(posterior["beta"], whole["beta"][..., 3 * k : 3 * k + 3])
        assert np.array_equal(posterior["sigma"], whole["sd_residual"][..., k])
        places = [2 * k, 2 * k + 1]
        assert np.array_equal(posterior["corr_family"], whole["corr_family"][..., places, places[0]:places[0] + 2])  # fmt: skip # noqa: E501
        x = rows["x"].to_numpy()
        level = np.searchsorted(posterior["family"].values, rows["family"])
        b = posterior["b_family"].to_numpy()[:, :, level]
        male = rows["sex"].to_numpy() == "m"
        beta = posterior["beta"].to_numpy()[..., None, :]
        eta = beta[..., 0] + beta[..., 1] * x + beta[..., 2] * male + b[..., 0] + b[..., 1] * x
        assert np.allclose(bl.predict(one), eta, rtol=1e-12)
        alone = bl.resolve_priors(bl.build_design("back ~ x + sex + (x | family)", growth().dropna(subset=["back"])))  # fmt: skip # noqa: E501
        priors = type(alone).from_json(one.attrs["priors"])
        assert str(priors.factors[0].corr) == "LKJ(eta=3)"
        if response == "back":
            assert priors.beta == alone.beta
    assert set(one.children) >= {"posterior", "observed_data", "constant_data", "log_prior"}


def test_a_row_without_any_response_is_told_and_lacking_ones_are_counted():
    table = growth()
    lacking = table["back"].isna() | (np.arange(len(table)) < 5)
    table.loc[lacking, "back"] = np.nan
    table.iloc[:2, table.columns.get_loc("tarsus")] = np.nan
    with pytest.warns(DataWarning, match=r"Dropped 3 of 60 rows that have none of tarsus, back"):
        fit = bl.fit_bayes(FORMULA, table, draws=20, chains=2, random_seed=1, progressbar=False)
    counts = f"57 rows (tarsus {table['tarsus'].count()}, back {table['back'].count()})"
    assert counts in bl.summary(fit).heading[1]


def test_densities_are_of_all_responses_of_a_row_together(fit):
    found = bl.add_log_likelihood(fit)["log_likelihood"]["mvbind(tarsus, back)"]
    eta = {}
    for response in ("tarsus", "back"):
        eta[response] = bl.predict(bl.response_of(fit, response))
    held = fit["posterior"].isel(chain=1, draw=7)
    sd, corr = held["sd_residual"].values, held["corr_residual"].values
    R, y = sd[:, None] * corr * sd, growth()
    both = [e.sel(chain=1, draw=7, obs="a20").item() for e in eta.values()]
    expected = stats.multivariate_normal(both, R).logpdf(y.loc["a20", ["tarsus", "back"]])
    assert found.sel(chain=1, draw=7, obs="a20").item() == pytest.approx(expected, rel=1e-10)
    one = eta["back"].sel(chain=1, draw=7, obs="a3").item()
    expected = stats.norm(one, sd[1]).logpdf(y.loc["a3", "back"])
    assert found.sel(chain=1, draw=7, obs="a3").item() == pytest.approx(expected, rel=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a few rows that tell much of their own effects
        assert bl.loo(fit).n_data_points == 60


def test_replicates_have_the_residuals_covariance(fit):
    drawn = bl.add_posterior_predictive(fit, random_seed=3)["posterior_predictive"]
    assert set(drawn.data_vars) == {"tarsus", "back"}
    there = {"obs": ["a20", "a21", "a30", "a31", "a40", "a50"]}
    rest = [
        (drawn[name].sel(there) - bl.predict(bl.response_of(fit, name)).sel(there)).values.ravel()
        for name in ("tarsus", "back")
    ]
    expected = fit["posterior"]["corr_residual"].mean(("chain", "draw")).values[0, 1]
    # Of 1,200 pairs the correlation has a standard error of 0.03.
    assert np.corrcoef(rest)[0, 1] == pytest.approx(expected, abs=0.1)


def test_probabilities_are_those_of_the_predictors(prior):
    p = bl.category_probabilities(prior)
    assert p.dims == ("chain", "draw", "obs", "category")
    assert p["category"].values.tolist() == ["bus", "car", "walk"]
    assert np.allclose(p.sum("category"), 1.0, rtol=1e-12)
    table, draws = journeys(), prior["posterior"]
    level = np.searchsorted(draws["person"].values, table["person"])
    x = table["x"].to_numpy()
    for k, category in enumerate(["car", "walk"]):
        beta = draws["beta"].values[..., 2 * k : 2 * k + 2]
        eta = beta[..., :1] + beta[..., 1:] * x + draws["b_person"].values[..., k][..., level]
        odds = np.log(p.sel(category=category) / p.sel(category="bus"))
        # Far out logarithms of tiny probabilities lose digits.
        assert np.allclose(np.where(np.abs(eta) < 20, odds - eta, 0.0), 0.0, atol=1e-5)
    new = bl.category_probabilities(prior, {"x": [2.0], "person": ["new"]}, new_levels="population")
    assert new.sizes["obs"] == 1
    density = bl.add_log_likelihood(prior)["log_likelihood"]["choice"]
    chosen = table["choice"].cat.codes.to_numpy()
    expected = np.log(p.values[..., np.arange(60), chosen])
    there = expected > -30
    assert np.allclose(density.values[there], expected[there], rtol=1e-7)
    (axes,) = bl.plot_categories(prior, "x").axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["walk", "car", "bus"]
    assert axes.get_ylabel() == "probability of choice"
    rows = {"x": np.full(60, table["x"].min()), "person": table["person"]}
    kept = bl.category_probabilities(prior, rows, random_effects="none").mean(
        ("chain", "draw", "obs")
    )
    area = axes.collections[0].get_paths()[0].vertices
    left = area[area[:, 0] == area[:, 0].min(), 1]
    np.testing.assert_allclose(left.max(), kept.values[0], rtol=1e-9)
    plt.close("all")
    assert "Response: car, walk against bus" in bl.summary(prior).heading
    told = bl.fixed_effects(prior, exponentiate=True)["quantity"]
    assert told.tolist() == ["odds", "odds ratio"] * 2
    odds = bl.response_of(prior, "car")
    assert odds.attrs["formula"] == "car ~ 1 + x + (1 | person)"
    assert odds["observed_data"].sizes["obs"] == (chosen < 2).sum()


@pytest.mark.parametrize("label", ["|p|", "|"])
def test_effects_of_a_new_person_go_together_as_in_the_fit(label):
    tree = bl.sample_prior(
        f"choice ~ 1 + (1 {label} person)", journeys(), family="categorical", draws=2000,
        priors={"beta": "Normal(0, 0.1)", "Intercept": "Normal(0, 0.1)",
                "sd": "TruncatedNormal(1, 0.05, 0.5, 2)"}, random_seed=2,
    )  # fmt: skip
    tree["posterior"] = tree["prior"].to_dataset()
    asked = {"new_levels": "sample", "random_seed": 4}
    p = bl.category_probabilities(tree, {"person": ["new"]}, **asked)
    draws = tree["posterior"]
    beta = draws["beta"].values.reshape(-1, 2)
    odds = np.log(p.values[..., 0, 1:] / p.values[..., 0, :1]).reshape(-1, 2) - beta
    sd = draws["sd_person"].values.reshape(-1, 2)
    found = np.mean(np.prod(odds / sd, axis=1))
    corr = draws["corr_person"].values[..., 0, 1].ravel() if label == "|p|" else 0.0
    # Products of standard normals have a standard deviation of at most sqrt(2).
    assert found == pytest.approx(np.mean(corr), abs=4 * np.sqrt(2 / len(odds)))
    np.testing.assert_allclose(odds.std(axis=0) / sd.mean(axis=0), 1.0, atol=0.1)
    if label == "|p|":
        assert np.corrcoef(np.prod(odds / sd, axis=1), corr)[0, 1] > 0.2
    again = bl.category_probabilities(tree, {"person": ["new", "other"]}, **asked)
    np.testing.assert_array_equal(again[:, :, 0], p[:, :, 0])
    with pytest.raises(ArgumentError, match="new_levels='sample', whose mean over draws"):
        bl.category_probabilities(tree, {"person": ["new"]}, new_levels="average")


def test_what_is_about_one_response_says_how_to_take_it(fit, prior):
    with pytest.raises(TreeError, match=r"response_of\(fit, 'tarsus'\)"):
        bl.predict(fit)
    with pytest.raises(TreeError, match=r"category_probabilities\(fit\)"):
        bl.residuals(prior)
    with pytest.raises(TreeError, match=r"no response 'bck'\. Did you mean 'back'"):
        bl.response_of(fit, "bck")
    with pytest.raises(TreeError, match="is its own result"):
        bl.response_of(bl.response_of(fit, "back"), "back")
    with pytest.raises(TreeError, match="are no categories"):
        bl.category_probabilities(fit)


@pytest.mark.parametrize(
    "verb",
    [bl.prior_sensitivity, bl.compare_reml, bl.compare_random_effects, bl.refit_reml, bl.update],
)
def test_what_fits_or_weighs_rows_anew_refuses_those_of_several(verb, fit, prior):
    with pytest.raises(TreeError, match=r"responses tarsus, back, .* fit_reml takes the formula"):
        verb(fit)
    with pytest.raises(TreeError, match=r"categories bus, car, walk, .*: fit_bayes fits anew"):
        verb(prior)
    one = bl.response_of(fit, "tarsus")
    if verb is bl.update:
        alone = bl.update(one, sampler="importance", draws=50)
        assert alone.attrs["formula"] == "tarsus ~ 1 + x + sex + (1 + x | family)"
        assert "marginal_of" not in alone.attrs
    else:
        with pytest.raises(TreeError, match=r"taken out of a fit of several.*update\(fit\)"):
            verb(one)


def test_responses_of_several_families_are_drawn_and_told():
    table = growth().assign(young=np.random.default_rng(1).poisson(3, 60))
    tree = bl.sample_prior(
        "tarsus ~ x + (1 |p| family); young ~ sex + (1 |p| family)", table, draws=30,
        random_seed=1, family={"tarsus": "gaussian", "young": "poisson"},
    )  # fmt: skip
    assert set(tree["prior_predictive"].data_vars) == {"tarsus", "young"}
    tree["posterior"] = tree["prior"].to_dataset()
    young, tarsus = bl.response_of(tree, "young"), bl.response_of(tree, "tarsus")
    found = bl.add_log_likelihood(tree)["log_likelihood"].to_dataset().to_array()[0]
    alone = bl.add_log_likelihood(young)["log_likelihood"]["young"].sel(obs="a9")
    other = bl.add_log_likelihood(tarsus)["log_likelihood"]["tarsus"].sel(obs="a9")
    assert np.allclose(found.sel(obs="a9"), alone + other, rtol=1e-12)
    assert set(bl.add_posterior_predictive(tree)["posterior_predictive"]) == {"tarsus", "young"}
