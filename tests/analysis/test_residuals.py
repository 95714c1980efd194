"""Fitted values and residuals: of posteriors against `predict`, of REML against dense algebra."""

import dense
import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.errors import ArgumentError, DataError, DataWarning, TreeError

# A few hundred units of rounding.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
SLEEP = bl.load_dataset("sleepstudy")
SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def idata():
    weights = np.linspace(0.5, 2, 9)
    return trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=30, weights=weights)


@pytest.fixture(scope="module")
def reml():
    return bl.fit_reml(SLOPES, SLEEP)


def test_fitted_values_are_the_means_of_predictions(idata):
    for effects in ("all", "none", ["g"]):
        draws = bl.predict(idata, random_effects=effects)
        found = bl.fitted(idata, random_effects=effects)
        np.testing.assert_allclose(found, draws.mean(("chain", "draw")), **EXACT)
        own = bl.fitted(idata, random_effects=effects, as_draws=True)
        assert own.dims == ("chain", "draw", "obs")
        np.testing.assert_allclose(own, draws, **EXACT)


def test_the_kinds_of_residuals_are_their_equations(idata):
    y, sigma = trees.TINY["y"], idata["posterior"]["sigma"]
    root = np.sqrt(np.linspace(0.5, 2, 9))
    within = y - bl.predict(idata)
    for kind, expected in {
        "response": within,
        "pearson": within * root / sigma,
        "marginal": y - bl.predict(idata, random_effects="none"),
    }.items():
        drawn = bl.residuals(idata, kind=kind, as_draws=True)
        np.testing.assert_allclose(drawn, expected.transpose(*drawn.dims), **EXACT)
        means = bl.residuals(idata, kind=kind)
        np.testing.assert_allclose(means, expected.mean(("chain", "draw")), **EXACT)


def test_reml_residuals_are_those_of_dense_algebra():
    table = SLEEP.assign(w=np.random.default_rng(1).uniform(0.5, 2, 180))
    fit = bl.fit_reml(SLOPES, table, weights="w")
    design = build_design(SLOPES, table, weights="w")
    mean, _ = dense.conditional(design, fit.factors, fit.sigma, np.zeros(2), np.zeros((2, 2)))
    (Z,) = dense.random_columns(design)
    population = design.X @ mean[:2]
    own = population + Z @ mean[2:]
    # Dense inverses of 38 columns of size 10 keep some ten digits.
    close = {"rtol": 1e-8, "atol": 1e-7}
    np.testing.assert_allclose(bl.fitted(fit), own, **close)
    np.testing.assert_allclose(bl.fitted(fit, random_effects="none"), population, **close)
    rest = design.y - own
    np.testing.assert_allclose(bl.residuals(fit), rest, **close)
    np.testing.assert_allclose(bl.residuals(fit, kind="marginal"), design.y - population, **close)
    white = np.sqrt(table["w"]) * rest / fit.sigma
    np.testing.assert_allclose(bl.residuals(fit, kind="pearson"), white, **close)
    np.testing.assert_allclose(bl.residuals(fit, table, kind="pearson"), white, **close)


def test_scaled_residuals_are_lme4_s(reml):
    # summary(lmer(Reaction ~ Days + (Days | Subject), sleepstudy)), lme4 1.1, "Scaled residuals":
    # printed to four decimals.
    found = np.quantile(bl.residuals(reml, kind="pearson"), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found, [-3.9536, -0.4634, 0.0231, 0.4634, 5.1793], atol=6e-5)


def test_residuals_and_fitted_values_add_up_to_the_response_by_label(reml):
    table = SLEEP.set_index("r" + (SLEEP.index + 7).astype(str))
    table.loc["r9", "Reaction"] = np.nan
    with pytest.warns(DataWarning, match="Dropped 1"):
        fit = bl.fit_reml(SLOPES, table)
    total = bl.fitted(fit) + bl.residuals(fit)
    assert "r9" not in total.index
    np.testing.assert_allclose(total, table["Reaction"].drop("r9"))
    table["fit"] = bl.fitted(fit)
    assert table["fit"].isna().sum() == 1


def test_the_scores_of_the_fixed_effects_are_zero(reml):
    # X' V^-1 (y - X beta) = 0, and V^-1 (y - X beta) is the conditional residual over sigma^2.
    X = build_design(SLOPES, SLEEP).X
    np.testing.assert_allclose(X.T @ bl.residuals(reml), 0, atol=1e-6 * np.abs(X).sum())


def test_part_of_the_effects_of_crossed_factors():
    fit = bl.fit_reml("diameter ~ 1 + (1 | plate) + (1 | sample)", bl.load_dataset("penicillin"))
    table = bl.load_dataset("penicillin")
    plates = fit.random_effects["plate"]["Intercept"].loc[table["plate"]].to_numpy()
    found = bl.fitted(fit, random_effects=["plate"])
    np.testing.assert_allclose(found, fit.fixed_effects["estimate"].iloc[0] + plates)


def test_rows_are_handed_over_where_the_fit_has_none(reml):
    gram = bl.gram_from_batches(SLOPES, lambda: [SLEEP])
    summed = bl.fit_reml(SLOPES, gram)
    with pytest.raises(TreeError, match="data="):
        bl.residuals(summed)
    # Two ways to sum, two searches: some seven digits.
    expected = bl.residuals(reml).iloc[:20]
    np.testing.assert_allclose(bl.residuals(summed, SLEEP.iloc[:20]), expected, atol=1e-4)


def test_new_rows_have_residuals_of_their_own(idata):
    rows = {"y": [1.0, 2.0], "x": [0.0, 1.0], "g": ["a", "c"]}
    with pytest.warns(DataWarning, match="weight 1"):
        found = bl.residuals(idata, rows, kind="pearson", as_draws=True)
    expected = (np.array([1.0, 2.0]) - bl.predict(idata, rows)) / idata["posterior"]["sigma"]
    np.testing.assert_allclose(found, expected.transpose(*found.dims), **EXACT)


def test_predict_table_shows_the_rows_own_columns(idata):
    fitted = bl.predict_table(idata, columns=True)
    assert set(fitted.columns[:3]) == {"y", "x", "g"}
    np.testing.assert_array_equal(fitted["g"], trees.TINY["g"])
    np.testing.assert_array_equal(fitted["y"], trees.TINY["y"])
    rows = pd.DataFrame({"note": ["u", "v"], "x": [0.0, 1.0], "g": ["a", "b"]}, index=["p", "q"])
    new = bl.predict_table(idata, rows, columns=True)
    assert new.columns[:4].tolist() == ["note", "x", "g", "mean"]
    assert new.index.tolist() == ["p", "q"]
    pd.testing.assert_frame_equal(new.iloc[:, 3:], bl.predict_table(idata, rows))
    with pytest.raises(ArgumentError, match="a column 'sd'"):
        bl.predict_table(idata, rows.assign(sd=1), columns=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kind": "persaon"}, ArgumentError, "Did you mean 'pearson'"),
        ({"weights": [1.0]}, ArgumentError, "data="),
        ({"data": {"x": [1.0], "g": ["a"]}}, DataError, "'y'"),
        ({"data": {"y": [1.0], "x": [1.0], "g": ["z"]}}, DataError, "did not see"),
    ],
)
def test_wrong_requests_are_named(idata, options, error, message):
    with pytest.raises(error, match=message):
        bl.residuals(idata, **options)


def test_reml_names_what_it_lacks(reml):
    with pytest.raises(ArgumentError, match="no draws"):
        bl.fitted(reml, as_draws=True)
    with pytest.raises(DataError, match="'999'"):
        bl.fitted(reml, {"Days": [1], "Subject": ["999"]})
    with pytest.raises(ArgumentError, match="Did you mean 'Subject'"):
        bl.fitted(reml, random_effects=["subject"])
