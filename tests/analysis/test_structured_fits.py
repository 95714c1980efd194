"""Fits with a residual structure on their way: files, new settings, priors, comparisons."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import trees
import xarray as xr
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

QUICK = {
    "parametrization": "marginal", "sampler": "importance", "chains": 2, "draws": 250,
    "random_seed": 1, "progressbar": False,
}  # fmt: skip
STRATA, SERIES = {"sigma": "~ 0 + sex"}, {"residual": "ar1(week | subject)"}


@pytest.fixture(scope="module")
def table():
    return trees.trial(n=30)


@pytest.fixture(scope="module", params=["strata", "series"])
def said(request):
    return STRATA if request.param == "strata" else SERIES


@pytest.fixture(scope="module")
def idata(table, said):
    return bl.fit_bayes("y ~ week + age + (1 | subject)", table, **said, **QUICK)


def test_files_keep_all_of_it(idata, tmp_path):
    idata.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as read:
        assert str(bl.summary(read)) == str(bl.summary(idata))
        for kind in ("pearson", "normalized"):
            found, expected = bl.residuals(read, kind=kind), bl.residuals(idata, kind=kind)
            np.testing.assert_array_equal(found, expected)
        drawn = [bl.predict(one, kind="response", random_seed=1) for one in (read, idata)]
        np.testing.assert_array_equal(*drawn)


def test_updates_keep_the_structure(idata, table, said):
    again = bl.update(idata)
    xr.testing.assert_equal(again["posterior"].to_dataset(), idata["posterior"].to_dataset())
    shorter = bl.update(idata, ". ~ . - age")
    assert set(shorter["posterior"].data_vars) == set(idata["posterior"].data_vars)
    elsewhere = bl.update(idata, data=table.iloc[:60])
    assert elsewhere.attrs["n_obs"] == 60
    none = bl.update(idata, residual=None, sigma=None)
    assert "sigma" in none["posterior"]
    assert "rho_residual" not in none["posterior"]


def test_updates_keep_standard_errors():
    table = {**trees.STRUCTURED}
    fit = bl.fit_bayes("y ~ x", table, se="sei", sigma="~ 1", **QUICK)
    again = bl.update(fit, ". ~ 1")
    assert again["constant_data"]["se"].attrs["role"] == "se"
    assert "sigma" in again["posterior"]


def test_sensitivity_to_priors_has_the_residuals_parameters(idata, said):
    result = bl.prior_sensitivity(idata)
    own = "sigma_by[f]" if said is STRATA else "rho_residual"
    assert own in result.index
    assert "icc[subject]" in result.index
    assert bl.sensitivity_tree(idata)["log_likelihood"].sizes["draw"] == 250
    bl.plot_prior_sensitivity(idata)
    plt.close("all")


def test_implied_priors_of_a_structure(table, said):
    tree = bl.sample_prior("y ~ week + (1 | subject)", table, draws=200, random_seed=1, **said)
    implied = bl.implied_priors(tree)
    assert 0 < implied.loc["icc[subject]", "q5"] < implied.loc["icc[subject]", "q95"] < 1
    bl.plot_prior_predictive(tree)
    plt.close("all")


def test_priors_are_described(table, said):
    found = bl.describe_priors("y ~ week + (1 | subject)", table, **said)
    own = ["sigma_by[f]", "sigma_by[m]"] if said is STRATA else ["sigma", "rho_residual"]
    assert set(own) <= set(found.index)
    sd = own[0]
    assert found.loc[sd, "response_q95"] == found.loc[sd, "q95"]


def test_priors_beside_posteriors(idata):
    bl.plot_prior_posterior(idata)
    plt.close("all")


def test_reml_is_compared(idata, said):
    fit = bl.refit_reml(idata)
    table = bl.compare_reml(idata, fit=fit)
    own = "sigma_by[f]" if said is STRATA else "rho_residual"
    assert abs(table.loc[own, "reml"] - table.loc[own, "mean"]) < 3 * table.loc[own, "sd"]
    bl.compare_random_effects(idata, fit=fit)
    bl.plot_comparison(idata, fit=fit)
    plt.close("all")


def test_maximum_likelihood_of_other_families_is_not_this(idata):
    with pytest.raises(TreeError, match=r"take compare_reml\(idata, fit=fit_reml"):
        bl.compare_ml(idata)
    design = bl.build_design("y ~ x", trees.STRUCTURED, sigma="~ 0 + arm")
    with pytest.raises(ArgumentError, match=r"take fit_reml, with method='ML'"):
        bl.fit_ml(design)


# Log risk ratios of tuberculosis after BCG vaccination in thirteen trials, and their standard
# errors: dat.bcg of metafor 3.8-1, by its escalc(measure="RR").
LOG_RR = np.array(
    [
        -0.8893113, -1.5853887, -1.3480731, -1.4415512, -0.2175473, -0.7861156, -1.6208982,
        0.0119523, -0.4694176, -1.3713448, -0.3393588, 0.4459134, -0.0173139,
    ]
)  # fmt: skip
VARIANCES = np.array(
    [
        0.3255848, 0.1945811, 0.4153680, 0.0200100, 0.0512102, 0.0069056, 0.2230172, 0.0039616,
        0.0564342, 0.0730248, 0.0124122, 0.5325058, 0.0714047,
    ]
)  # fmt: skip


def test_leaving_out_a_study_is_exact():
    """By quadrature over the posterior of (mu, tau) from the other twelve studies."""
    trials = {"y": LOG_RR, "sei": np.sqrt(VARIANCES), "trial": [f"t{i:02d}" for i in range(13)]}
    priors = {"Intercept": "Normal(0, 2)", "sd": "HalfNormal(1)"}
    fit = bl.fit_bayes(
        "y ~ 1 + (1 | trial)", trials, se="sei", priors=priors,
        **{**QUICK, "chains": 4, "draws": 4000},
    )  # fmt: skip
    found = bl.loo(fit, unit="group").elpd_i.to_numpy()
    # Precise to far more than three digits: integrands are smooth and die out inside the box.
    mu, tau = np.linspace(-2.5, 1.0, 701)[:, None], np.linspace(1e-4, 3.0, 601)
    prior = norm(0, 2).logpdf(mu) + norm(0, 1).logpdf(tau)
    each = np.stack(
        [norm(mu, np.sqrt(tau**2 + v)).logpdf(y) for y, v in zip(LOG_RR, VARIANCES, strict=True)]
    )
    for i in range(13):
        rest = prior + each.sum(axis=0) - each[i]
        weight = np.exp(rest - rest.max())
        expected = np.log((weight * np.exp(each[i])).sum() / weight.sum())
        # Monte Carlo error of 16,000 draws, reweighted.
        assert found[i] == pytest.approx(expected, abs=0.02)
