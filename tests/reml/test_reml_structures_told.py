"""What a fit with a residual structure tells, and what takes it."""

import dense_residuals
import numpy as np
import pytest
from structure_fits import ORTHODONT, REFERENCES, fitted, table

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError


def test_a_fit_shows_its_residuals():
    text = repr(fitted("orthodont_unstr_REML"))
    assert "Residuals: us(age | Subject)" in text
    assert "Residual covariance (correlations above)" in text
    assert "0.5682" in text
    text = repr(fitted("ovary_ri_ar1_ML"))
    assert "Residual parameters" in text
    assert "rho_residual" in text
    html = fitted("orthodont_unstr_REML")._repr_html_()
    assert "Residual covariance (correlations above)" in html


def test_sigma_is_told_where_there_is_one():
    assert fitted("orthodont_cs_REML").sigma == pytest.approx(2.28488, abs=1e-4)
    with pytest.raises(ArgumentError, match="no single sigma"):
        _ = fitted("orthodont_varident_REML").sigma
    with pytest.raises(ArgumentError, match="standard errors are known"):
        _ = fitted("bcg_meta_REML").sigma
    assert len(fitted("bcg_meta_REML").residual_parameters) == 0
    assert fitted("bcg_meta_REML").n_parameters == 3
    assert fitted("orthodont_unstr_REML").n_parameters == 14
    plain = bl.fit_reml("distance ~ age + (1 | Subject)", ORTHODONT)
    assert plain.residual_parameters["estimate"].to_dict() == {"sigma": plain.sigma}


def test_residual_covariances_are_refused_where_there_are_none():
    plain = bl.fit_reml("distance ~ age + (1 | Subject)", ORTHODONT)
    for fit in (plain, fitted("orthodont_varident_REML")):
        with pytest.raises(ArgumentError, match="independent"):
            fit.residual_covariance()
    with pytest.raises(ArgumentError, match="no stratum 'Mal'"):
        fitted("orthodont_unstr_REML").residual_covariance("Mal")


def test_wald_limits_are_those_of_the_observed_information():
    fit = fitted("orthodont_cs_REML")
    limits = bl.confidence_intervals(fit, "wald")
    design, structure = fit.data, fit.residual.structure

    def value(at):
        phi = np.array([np.exp(at[0]), np.tanh(at[1])])
        R = dense_residuals.residual_covariance(design, structure, phi)
        return dense_residuals.criterion(design, [], R, restricted=True, profiled=False)

    sigma, rho = fit.residual_parameters["estimate"]
    point, axes = np.array([np.log(sigma), np.arctanh(rho)]), 1e-3 * np.eye(2)
    H = [
        [value(point + a + b) - value(point + a - b) - value(point - a + b) + value(point - a - b)
         for a in axes]
        for b in axes
    ]  # fmt: skip
    half = 1.959964 * np.sqrt(np.diag(2 * np.linalg.inv(np.array(H) / 4e-6)))
    upper, lower = limits.loc["sigma", "upper"], limits.loc["rho_residual", "lower"]
    assert upper == pytest.approx(sigma * np.exp(half[0]), rel=1e-4)
    assert lower == pytest.approx(np.tanh(point[1] - half[1]), rel=1e-4)


def test_profile_limits_are_refused():
    with pytest.raises(ArgumentError, match="give method='wald'"):
        bl.confidence_intervals(fitted("ovary_gls_ar1_REML"))


# --- tests between structures


def test_structures_are_tested_against_each_other():
    cs, us = fitted("orthodont_cs_REML"), fitted("orthodont_unstr_REML")
    table = bl.likelihood_ratio_test(us, cs)
    assert table["chisq"].iloc[1] == pytest.approx(cs.criterion - us.criterion)
    assert table["df"].iloc[1] == 8
    assert "cs(age | Subject)" in table.index[0]
    assert table.attrs["note"] == ""
    plain = bl.fit_reml("distance ~ age*Sex + (1 | Subject)", ORTHODONT)
    strata = bl.likelihood_ratio_test(plain, fitted("orthodont_varident_REML"))
    assert strata["df"].iloc[1] == 1
    assert strata["p_value"].iloc[1] < 1e-4


def test_zero_in_the_smaller_model_is_noted():
    rows = table("bcg")
    known = bl.fit_reml("yi ~ ablat", rows, se="sei")
    beside = bl.fit_reml("yi ~ ablat", rows, se="sei", sigma="~ 1")
    for larger in (beside, fitted("bcg_meta_REML")):
        assert "bound" in bl.likelihood_ratio_test(known, larger).attrs["note"]
    formula = "distance ~ age*Sex"
    plain = bl.fit_reml(formula, ORTHODONT)
    process = bl.fit_reml(formula, ORTHODONT, residual="ou(age | Subject)")
    assert "ranges" in bl.likelihood_ratio_test(plain, process).attrs["note"]


@pytest.mark.parametrize(
    ("small", "large", "nested"),
    [
        ({"residual": "ar1(age | Subject)"}, {"residual": "toep(age | Subject)"}, True),
        ({"residual": "ar1(age | Subject)"}, {"residual": "ar1h(age | Subject)"}, True),
        ({"residual": "toep(age | Subject)"}, {"residual": "toeph(age | Subject)"}, True),
        ({"residual": "cs(age | Subject)"}, {"residual": "csh(age | Subject)"}, True),
        ({"residual": "ar1(age | Subject)"}, {"residual": "csh(age | Subject)"}, False),
        ({"residual": "ad(age | Subject)"}, {"residual": "toeph(age | Subject)"}, False),
        ({"sigma": "~ 0 + Sex"}, {"residual": "cs(age | Sex/Subject)"}, True),
        ({"sigma": "~ age"}, {"sigma": "~ Sex + C(age)"}, True),
        ({"sigma": "~ age"}, {"sigma": "~ Sex + I(age**2)"}, False),
    ],
)
def test_nested_structures_are_told(small, large, nested):
    fits = [bl.fit_reml("distance ~ age*Sex", ORTHODONT, **k) for k in (small, large)]
    assert fits[0].n_parameters != fits[1].n_parameters or not nested
    if nested:
        assert bl.likelihood_ratio_test(*fits)["chisq"].iloc[1] >= 0.0
        return
    with pytest.raises(ArgumentError, match="nested"):
        bl.likelihood_ratio_test(*fits)


def test_other_known_errors_are_not_nested():
    rows = table("bcg")
    known = bl.fit_reml("yi ~ ablat", rows, se="sei")
    with pytest.raises(ArgumentError, match="same known standard errors"):
        bl.likelihood_ratio_test(known, bl.fit_reml("yi ~ ablat", rows))


# --- what takes a fit


def test_residuals_are_scaled_by_their_own_rows():
    fit = fitted("orthodont_varident_REML")
    raw = bl.residuals(fit)
    sd = (
        ORTHODONT["Sex"]
        .astype(str)
        .map(lambda sex: fit.residual_parameters["estimate"][f"sigma_by[{sex}]"])
    )
    np.testing.assert_allclose(bl.residuals(fit, kind="pearson"), raw / sd.to_numpy())
    with pytest.raises(ArgumentError, match="leave data out"):
        bl.residuals(fit, ORTHODONT, kind="pearson")


def test_normalized_residuals_have_lost_their_correlation():
    fit = fitted("orthodont_unstr_REML")
    white = bl.residuals(fit, kind="normalized").to_numpy()
    raw = bl.residuals(fit).to_numpy()
    R = dense_residuals.residual_covariance(fit.data, fit.residual.structure, fit.residual.phi)
    assert white @ white == pytest.approx(raw @ np.linalg.solve(R, raw), rel=1e-9)


def test_replications_have_the_covariance_of_the_residuals():
    fit = fitted("orthodont_unstr_REML")
    drawn = fit.residual.draw(20_000, np.random.default_rng(0))
    some = np.flatnonzero(fit.data.residual.group == 0)
    expected = fit.residual_covariance().to_numpy()
    # 20,000 draws know a covariance of 5 to 0.05.
    np.testing.assert_allclose(np.cov(drawn[:, some].T), expected, atol=0.25)
    bl.plot_check(fit, random_seed=0)


def test_an_update_keeps_the_residuals_unless_told():
    fit = fitted("orthodont_ar1_REML")
    assert bl.update(fit, method="ML").criterion == pytest.approx(
        fitted("orthodont_ar1_ML").criterion, abs=1e-8
    )
    assert bl.update(fit, residual=None).residual is None
    again = bl.update(fit, ". ~ . + (1 | Subject)", residual=None, sigma="~ 0 + Sex")
    assert again.criterion == pytest.approx(fitted("orthodont_varident_REML").criterion, abs=1e-7)
    assert bl.update(fit, data=ORTHODONT.iloc[10:90]).residual.name == "ar1(age | Subject)"
    with pytest.raises(DataError, match="'week' is none of them"):
        bl.update(fit, residual="us(week | Subject)")
    known = bl.update(fitted("bcg_meta_REML"), ". ~ . - (1 | trial)", sigma="~ 1")
    assert known.criterion == pytest.approx(fitted("bcg_meta_REML").criterion, abs=1e-8)
    weighted = bl.update(fit, residual=None, weights=np.ones(108))
    assert weighted.residual is None


@pytest.fixture(scope="module")
def posteriors():
    how = {"sampler": "importance", "draws": 500, "random_seed": 1}
    return {
        name: bl.fit_bayes(data=table(REFERENCES[name]["data"]), **REFERENCES[name]["model"], **how)
        for name in (
            "orthodont_varident_REML",
            "orthodont_disp_REML",
            "orthodont_unstr_REML",
            "sleepstudy_ri_ar1_REML",
            "bcg_meta_REML",
        )
    }


def test_a_posterior_is_compared_with_reml_of_its_residuals(posteriors):
    for name, idata in posteriors.items():
        table = bl.compare_reml(idata)
        fit = fitted(name)
        for parameter, value in fit.residual_parameters["estimate"].items():
            assert table.loc[parameter, "reml"] == pytest.approx(value, rel=1e-4), parameter
        assert np.isfinite(table[["reml", "reml_se", "mean", "prior_pull"]]).all().all()
        assert set(table["verdict"]) <= {"agrees", "as expected"}, name
        # No draw is likelier than the maximum.
        assert table.attrs["deviance"]["least"] > 0.0
        assert table.attrs["deviance"]["expected"] == fit.n_parameters - len(fit.data.coef)


def test_a_comparison_with_residuals_is_drawn(posteriors):
    figure = bl.plot_comparison(posteriors["orthodont_unstr_REML"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:3] == ["fixed effects", "standard deviations", "correlations"]
    labels = " ".join(t.get_text() for axes in figure.axes for t in axes.get_yticklabels())
    assert "corr_residual" in labels or "residual: 8, 10" in labels
