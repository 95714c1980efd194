"""Fits against lme4 1.1-31 (R 4.2.2) at tight tolerances of its two optimisers.

The tolerances are those to which lme4's own two optimisers agree where the likelihood is flat: a
criterion to 1e-5 fixes a standard deviation to some 1e-4 with a handful of levels.
"""

import warnings
from functools import cache

import numpy as np
import pytest
from reml_reference import NAMES, level_places, match_terms, read_reference, read_table

from bayeslmm.errors import DataWarning, SingularFitWarning
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.reml.fit import fit_reml

FITS = [(name, method) for name in NAMES for method in ("REML", "ML")]


@cache
def pair(name, method):
    reference = read_reference(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        if reference["nobs"] < reference["n_rows_in_file"]:
            warnings.simplefilter("ignore", DataWarning)  # rows with missing values
        fit = fit_reml(reference["formula"], read_table(reference), method=method)
    return reference[method.lower()], fit


fits = pytest.mark.parametrize(("name", "method"), FITS)


@fits
def test_the_criterion_is_lme4s(name, method):
    reference, fit = pair(name, method)
    assert fit.criterion == pytest.approx(reference["criterion"], abs=1e-5)
    assert fit.log_likelihood == pytest.approx(reference["logLik"], abs=1e-5)
    assert fit.n_parameters == reference["df"]
    assert fit.converged


@fits
def test_fixed_effects_are_lme4s(name, method):
    reference, fit = pair(name, method)
    se = np.array(reference["fixef"]["se"])
    table = fit.fixed_effects
    assert np.all(np.abs(table["estimate"] - reference["fixef"]["estimate"]) < 1e-5 * se)
    assert np.all(np.abs(table["std_error"] - se) < 1e-5 * se)
    assert np.all(np.abs(fit.vcov.to_numpy() - reference["vcov_fixef"]) < 3e-5 * np.outer(se, se))


@fits
def test_variance_components_are_lme4s(name, method):
    reference, fit = pair(name, method)
    sigma = reference["sigma"]
    assert fit.sigma == pytest.approx(sigma, rel=1e-4)
    for part, factor, k, columns in match_terms(fit, reference["varcorr"]):
        sd, corr = sd_corr_from_factor(fit.sigma * fit.factors[k])
        for column, expected in zip(columns, part["sd"], strict=True):
            assert sd[column] == pytest.approx(
                expected, rel=1e-4 if expected > sigma / 100 else 2e-3, abs=1e-6 * sigma
            )
            shown = fit.variance_components.loc[(factor.name, factor.terms[column])]
            assert shown["sd"] == sd[column]
            assert shown["variance"] == pytest.approx(sd[column] ** 2)
        if len(columns) > 1:
            expected = np.array(part["corr"])
            assert np.all(np.abs(corr[np.ix_(columns, columns)] - expected) < 1e-3)
        G = fit.covariance[factor.name].to_numpy()[np.ix_(columns, columns)]
        scale = np.outer(part["sd"], part["sd"])
        assert np.all(np.abs(G - part["cov"]) <= 1e-3 * scale)


@fits
def test_theta_and_singularity_are_lme4s(name, method):
    reference, fit = pair(name, method)
    theta = np.array(reference["theta"])
    assert np.all(np.abs(fit.theta - theta) < 1e-3 * max(1.0, np.abs(theta).max()))
    assert len(fit.theta_names) == len(theta)
    assert fit.is_singular == reference["isSingular"]


@fits
def test_conditional_modes_and_covariances_are_lme4s(name, method):
    reference, fit = pair(name, method)
    for part, factor, _, columns in match_terms(fit, reference["ranef"]):
        rows = level_places(part, factor)
        modes = fit.random_effects[factor.name].to_numpy()[:, columns]
        sums = np.sum(modes**2, axis=0)
        scale = np.sqrt(sums / len(modes))
        tiny = 1e-9 * fit.sigma
        assert np.all(np.abs(modes[rows] - np.array(part["mode"])) <= 1e-3 * scale + tiny)
        assert sums == pytest.approx(np.array(part["sum_of_squares_all_levels"]), rel=1e-3)
        for key, got in (
            ("cond_cov", fit.conditional_covariance),
            ("pred_err_cov", fit.prediction_error_covariance),
        ):
            expected = np.array(part[key])
            found = got[factor.name][rows][:, columns][:, :, columns]
            sd = np.sqrt(np.einsum("mii->mi", expected))
            outer = sd[:, :, None] * sd[:, None, :]
            assert np.all(np.abs(found - expected) <= 1e-3 * outer + tiny**2)
