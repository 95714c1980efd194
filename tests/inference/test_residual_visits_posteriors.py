"""Posteriors of repeated measures with structures of visits, beside their REML fits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

HOW = {"parametrization": "marginal", "sampler": "importance", "random_seed": 1, "draws": 500,
       "chains": 4, "progressbar": False}  # fmt: skip
VISITS = ("week 4", "week 8", "week 12", "week 16")
ORTHODONT = Path(__file__).parents[1] / "reference" / "data" / "Orthodont.csv"


@pytest.fixture(scope="module")
def trial():
    """Two arms of 30 patients, four visits, of which 12 % are missing."""
    rng, n = np.random.default_rng(4), 60
    patient, v = np.repeat(np.arange(n), 4), np.tile(np.arange(4), n)
    sd = np.array([1.0, 1.3, 1.6, 2.0])
    C = 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4))) ** 0.7
    e = rng.normal(size=(n, 4)) @ np.linalg.cholesky(sd[:, None] * C * sd).T
    table = pd.DataFrame(
        {
            "y": 10.0 + 0.5 * v + 0.6 * v * (patient % 2) + e.ravel(),
            "patient": [f"p{k}" for k in patient],
            "visit": pd.Categorical.from_codes(v, VISITS, ordered=True),
            "week": v,
            "arm": np.where(patient % 2, "drug", "placebo"),
        }
    )
    return table[rng.uniform(size=len(table)) > 0.12]


@pytest.fixture(scope="module")
def orthodont():
    return pd.read_csv(ORTHODONT)


def k_hat(fit):
    return fit["sample_stats"].attrs["pareto_k"]


def check_beside_reml(fit, formula, table, residual):
    """Fixed effects and standard deviations near the REML estimates, whose priors are flat."""
    reml = bl.fit_reml(formula, table, residual=residual)
    beta = fit["posterior"]["beta"]
    mean, sd = beta.mean(("chain", "draw")), beta.std(("chain", "draw"))
    shift = (mean - reml.fixed_effects["estimate"].to_numpy()) / sd
    # Weak priors, and the mean over R instead of its mode: a third of a standard deviation.
    assert np.abs(shift).max() < 0.35


@pytest.mark.parametrize(
    "residual",
    ["us(visit | patient)", "us(visit | arm/patient)", "toeph(visit | patient)",
     "adh(visit | patient)", "csh(visit | arm/patient)", "arma(week | patient, p=1, q=1)"],
)  # fmt: skip
def test_a_trial_with_missing_visits(trial, residual):
    fit = bl.fit_bayes("y ~ visit * arm", trial, residual=residual, **HOW)
    assert k_hat(fit) < 0.7
    check_beside_reml(fit, "y ~ visit * arm", trial, residual)
    if "us(visit | patient" in residual:
        posterior = fit["posterior"]
        assert posterior["corr_residual"].dims[2:] == ("residual_time", "residual_time_bis")
        assert posterior["sd_residual"].coords["residual_time"].to_numpy().tolist() == list(VISITS)
        sd = posterior["sd_residual"].mean(("chain", "draw"))
        # What the table was drawn with; 53 patients a visit tell it to a tenth.
        np.testing.assert_allclose(sd, [1.0, 1.3, 1.6, 2.0], rtol=0.3)


def test_arms_have_dimensions_of_their_own(trial):
    fit = bl.fit_bayes("y ~ visit * arm", trial, residual="csh(visit | arm/patient)", **HOW)
    posterior = fit["posterior"]
    assert posterior["sd_residual"].dims[2:] == ("residual_by", "residual_time")
    assert posterior["rho_residual"].dims[2:] == ("residual_by",)
    assert posterior["rho_residual"].coords["residual_by"].to_numpy().tolist() == [
        "drug",
        "placebo",
    ]
    # The lower bound is -1/3, where the largest group has four visits.
    assert (posterior["rho_residual"] > -1 / 3).all()


@pytest.mark.parametrize(
    "residual", ["us(age | Subject)", "cs(1 | Subject)", "toep(age | Subject)"]
)
def test_orthodont_without_random_effects(orthodont, residual):
    fit = bl.fit_bayes("distance ~ age * Sex", orthodont, residual=residual, **HOW)
    assert k_hat(fit) < 0.7
    check_beside_reml(fit, "distance ~ age * Sex", orthodont, residual)


@pytest.mark.parametrize("residual", ["csh(age | Subject)", "ar1h(age | Subject)"])
def test_orthodont_with_a_random_intercept(orthodont, residual):
    fit = bl.fit_bayes("distance ~ age * Sex + (1 | Subject)", orthodont, residual=residual, **HOW)
    assert k_hat(fit) < 0.7
    assert fit["posterior"]["b_Subject"].sizes["Subject"] == 27


def test_compound_symmetry_may_be_negative():
    # Pairs that share an amount: what one has more the other has less.
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"pair": np.repeat(np.arange(80), 2), "share": rng.normal(size=160)})
    table["share"] -= 0.9 * table.groupby("pair").share.transform("mean")
    fit = bl.fit_bayes("share ~ 1", table, residual="cs(1 | pair)", **HOW)
    assert k_hat(fit) < 0.7
    # Of e - 0.9 mean(e): variance 1 - 0.9 + 0.405 = 0.505, covariance -0.9 + 0.405 = -0.495.
    rho = fit["posterior"]["rho_residual"]
    assert float(rho.mean()) == pytest.approx(-0.495 / 0.505, abs=0.03)
    assert (rho > -1).all()
