"""Ordered categories from the fit to its predictions: the bitterness of wine."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.results.family import family, family_draws

DRAWS = ("chain", "draw")
FORMULA = "rating ~ temp + contact + (1 | judge)"
WINE = bl.load_dataset("wine")


def fitted(name, link=None, **options):
    return bl.fit_bayes(FORMULA, WINE, family=name, link=link, random_seed=1, **options)


@pytest.fixture(scope="module")
def fit():
    return fitted("cumulative")


def flat(array):
    return array.to_numpy().reshape(-1, *array.shape[2:])


def test_a_tree_holds_thresholds_and_what_priors_are_on(fit):
    posterior = fit["posterior"]
    assert posterior["threshold"].dims == ("chain", "draw", "threshold_cut")
    assert posterior["threshold_cut"].to_numpy().tolist() == ["1|2", "2|3", "3|4", "4|5"]
    assert fit.attrs["engine"] == "quadrature"
    # Sticks are those of the thresholds at the predictors' means.
    level = flat(posterior["beta"]) @ bl.build_design(FORMULA, WINE, family="cumulative").X.mean(0)
    cuts = flat(posterior["threshold"]).T - level
    np.testing.assert_allclose(family(fit).sticks(cuts).T, flat(posterior["stick"]), rtol=1e-9)


def test_one_model_under_two_names_has_one_posterior():
    # With cloglog the cumulative model is that of the stopping ratio, by other thresholds; rows are
    # computed as they are in one, and as rows of yes and no in the other.
    both = [fitted(name, "cloglog", chains=1, draws=400) for name in ("cumulative", "sratio")]
    for name in ("beta", "sd_judge", "stick"):
        first, second = (one["posterior"][name].to_numpy() for one in both)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
    above, thresholds = (one["posterior"]["threshold"].to_numpy() for one in both)
    np.testing.assert_allclose(np.exp(above), np.cumsum(np.exp(thresholds), axis=-1), rtol=1e-3)


def test_the_chain_has_the_posterior_of_quadrature(fit):
    chain = fitted("cumulative", sampler="laplace_chain", draws=1000)
    for name in ("beta", "threshold"):
        first, second = (flat(one["posterior"][name]) for one in (fit, chain))
        # Some 1,000 effective draws each: four standard errors of a difference of means.
        assert np.all(np.abs(first.mean(0) - second.mean(0)) < 4 * first.std(0) * np.sqrt(2 / 1000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "link"),
    [("cumulative", "logit"), ("cumulative", "probit"), ("sratio", "logit"), ("acat", "logit")],
)
def test_nuts_has_the_posterior_of_quadrature(name, link):
    short = {"sampler": "nutpie", "parametrization": "noncentered", "draws": 2000}
    nuts, weighted = fitted(name, link, **short), fitted(name, link)
    for variable in ("beta", "threshold", "sd_judge"):
        first, second = (flat(one["posterior"][variable]) for one in (weighted, nuts))
        assert np.all(np.abs(first.mean(0) - second.mean(0)) < 4 * first.std(0) * np.sqrt(2 / 1000))


def test_predictions_are_probabilities_of_each_category(fit):
    rows = WINE.iloc[[0, 40]]
    found = bl.predict(fit, rows, kind="probability")
    assert found.dims == ("chain", "draw", "obs", "category")
    eta = flat(bl.predict(fit, rows, kind="link")).T
    expected = family(fit).probabilities(eta, family_draws(fit))
    np.testing.assert_allclose(flat(found), np.moveaxis(expected, (0, 1), (2, 1)), rtol=1e-12)
    np.testing.assert_array_equal(bl.category_probabilities(fit, rows), found)
    mean = (found * np.arange(1.0, 6.0)).sum("category")
    np.testing.assert_allclose(mean, bl.predict(fit, rows), rtol=1e-12)
    table = bl.predict_table(fit, rows, kind="probability", columns=True)
    assert table.index.names == ["obs", "category"]
    assert table["temp"].tolist() == [*["cold"] * 5, *[WINE["temp"][40]] * 5]
    np.testing.assert_allclose(table["mean"], found.mean(("chain", "draw")).to_numpy().ravel())


def test_unseen_judges_are_drawn_put_at_zero_or_averaged_over(fit):
    rows = pd.DataFrame({"temp": ["cold"], "contact": ["yes"], "judge": ["new"]})
    drawn, averaged = (
        bl.predict(fit, rows, kind="probability", new_levels=how, random_seed=2).mean(
            ("chain", "draw")
        )
        for how in ("sample", "average")
    )
    # The same expectation, one by 4,000 draws of an effect: a probability's sd is at most 0.3.
    np.testing.assert_allclose(drawn, averaged, atol=4 * 0.3 / np.sqrt(2000))
    np.testing.assert_allclose(averaged.sum("category"), 1.0, rtol=1e-9)
    with pytest.raises(ArgumentError, match="kind='mean'"):
        bl.predict(fit, rows, kind="response", new_levels="average")


def test_probabilities_are_of_ordered_categories_alone():
    tree = bl.fit_bayes("incidence ~ 1 + (1 | herd)", bl.load_dataset("cbpp"), family="binomial",
                        trials="size", draws=100, random_seed=1)  # fmt: skip
    with pytest.raises(ArgumentError, match="ordered response, and the family of this fit is 'bin"):
        bl.predict(tree, kind="probability")


def test_replicates_and_residuals_are_those_of_the_categories(fit):
    drawn = bl.add_posterior_predictive(fit, random_seed=1)["posterior_predictive"]["rating"]
    assert set(np.unique(drawn)) == {1.0, 2.0, 3.0, 4.0, 5.0}
    shares = [(drawn == k).mean().item() for k in range(1, 6)]
    expected = bl.predict(fit, kind="probability").mean(("chain", "draw", "obs"))
    # 288,000 draws, correlated within 4,000 draws of the parameters.
    np.testing.assert_allclose(shares, expected, atol=0.01)
    z = bl.residuals(fit, kind="quantile", random_seed=1)
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_categories_are_stacked_to_one(fit):
    (axes,) = bl.plot_categories(fit, "temp").axes
    assert axes.get_ylabel() == "probability of rating"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list("54321")
    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
    np.testing.assert_allclose(tops, 1.0, rtol=1e-12)
    for place, temp in enumerate(["cold", "warm"]):
        rows = WINE.assign(temp=temp)
        kept = bl.predict(fit, rows, kind="probability", random_effects="none", draws=100)
        expected = kept.mean((*DRAWS, "obs"))
        heights = [bars[place].get_height() for bars in axes.containers]
        np.testing.assert_allclose(heights, expected, rtol=1e-9)
    plt.close("all")
    with pytest.raises(ArgumentError, match="'bottle'"):
        bl.plot_categories(fit, "bottle")


def test_categories_have_a_panel_for_each_label_of_another_column(fit):
    first, second = bl.plot_categories(fit, "temp", by="contact").axes
    assert [one.get_title() for one in (first, second)] == ["contact: no", "contact: yes"]
    for axes, contact in ((first, "no"), (second, "yes")):
        rows = WINE.assign(temp="warm", contact=contact)
        kept = bl.predict(fit, rows, kind="probability", random_effects="none", draws=100)
        heights = [bars[1].get_height() for bars in axes.containers]
        np.testing.assert_allclose(heights, kept.mean((*DRAWS, "obs")), rtol=1e-9)
    _, axes = plt.subplots()
    with pytest.raises(ArgumentError, match="ax holds 1 axes; 2 panels"):
        bl.plot_categories(fit, "temp", by="contact", ax=axes)
    with pytest.raises(ArgumentError, match="leave it out"):
        bl.plot_categories(fit, "temp", by="temp")
    plt.close("all")


def test_pictures_name_categories_and_the_scale_of_effects():
    names = ["sweet", "mild", "plain", "sharp", "bitter"]
    rating = pd.Categorical.from_codes(WINE["rating"].astype(int) - 1, names, ordered=True)
    named = bl.fit_bayes("taste ~ temp + (1 | judge)", WINE.assign(taste=rating),
                         family="cumulative", draws=100, random_seed=1)  # fmt: skip
    ticks = bl.plot_check(named, random_seed=1).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == names
    (axes,) = bl.plot_effect(named, "temp").axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    (axes,) = bl.plot_effect(named, "temp", scale="link").axes
    assert axes.get_ylabel() == "latent taste (logit)"
    figure = bl.plot_caterpillar(named)
    assert "on the scale of the logit\n(50 and 95 % intervals)" in figure.get_supxlabel()
    figure.canvas.draw()
    box = figure._supxlabel.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    plt.close("all")


def test_coefficients_are_told_as_odds_ratios_and_means_have_no_ratios(fit):
    assert set(bl.fixed_effects(fit, exponentiate=True)["quantity"]) == {"odds ratio"}
    asked = {"contrasts": "pairwise", "ratio": True}
    with pytest.raises(ArgumentError, match="scale='link' beside it compares the odds of higher"):
        bl.marginal_means(fit, "temp", **asked)
    odds = bl.marginal_means(fit, "temp", scale="link", **asked)
    effect = bl.fixed_effects(fit, exponentiate=True)["mean"]["temp[T.warm]"]
    np.testing.assert_allclose(odds["mean"], effect, rtol=1e-9)
    names = bl.variance_components(fit).query("quantity == 'threshold'")["term"]
    assert names.tolist() == ["1|2", "2|3", "3|4", "4|5"]


def test_draws_of_another_program_are_taken_by_their_thresholds(fit):
    kept = {k: v for k, v in fit["posterior"].data_vars.items() if k != "stick"}
    again = bl.adopt(kept, FORMULA, WINE, family="cumulative")
    np.testing.assert_allclose(again["posterior"]["stick"], fit["posterior"]["stick"], rtol=1e-8)


def test_the_default_prior_is_flat_on_the_probabilities_at_the_predictors_means():
    for name in ("cumulative", "sratio", "acat"):
        tree = bl.sample_prior("rating ~ temp", WINE, family=name, draws=4000, random_seed=1)
        member, prior = family(tree), tree["prior"]
        level = flat(prior["beta"])[:, 0] * (WINE["temp"] == "warm").mean()
        phi = {"threshold": flat(prior["threshold"]).T}
        p = member.probabilities(level, phi)
        for k in range(5):  # of Dirichlet(1, 1, 1, 1, 1) each is Beta(1, 4)
            assert stats.kstest(p[k], stats.beta(1, 4).cdf).pvalue > 1e-3


def test_dirichlet_priors_are_stated_of_thresholds():
    design = bl.build_design(FORMULA, WINE, family="cumulative")
    given = bl.resolve_priors(design, {"threshold": "Dirichlet(1, 2, 3, 2, 1)"}).parameters
    assert {k: p.numbers for k, p in given.items()} == {
        "stick[1|2]": (1.0, 8.0), "stick[2|3]": (2.0, 6.0), "stick[3|4]": (3.0, 3.0),
        "stick[4|5]": (2.0, 1.0),
    }  # fmt: skip
    for wrong, words in [
        ("Normal(0, 1)", "is 'Dirichlet"), ("Dirichlet(1, 2)", "one positive number, or 5"),
        ("Dirichlet(-1)", "one positive number"), ("Dirichlet(a, b)", "one positive number"),
    ]:  # fmt: skip
        with pytest.raises(PriorError, match=words):
            bl.resolve_priors(design, {"threshold": wrong})


def test_maximum_likelihood_asks_for_every_category():
    with pytest.raises(bl.DataError, match="category '3' of 'y' is in no row"):
        bl.fit_ml("y ~ 1 + (1 | g)", {"y": [1, 2, 4, 1, 2, 4], "g": list("aabbcc")},
                  family="cumulative")  # fmt: skip


def test_designs_are_fitted_with_their_family_named_again():
    design = bl.build_design(FORMULA, WINE, family="cumulative")
    assert bl.fit_ml(design, family="cumulative").log_likelihood == pytest.approx(
        -81.53246, abs=1e-4
    )
