"""Posteriors on real data against lme4's REML fits: the main path, sampled once per model."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import arviz as az
import numpy as np
import pytest

import bayeslmm as bl

REFERENCE = Path(__file__).parents[1] / "reference" / "reml"


@dataclass(frozen=True)
class Study:
    formula: str
    dataset: str
    reference: str
    settings: dict = field(default_factory=dict)


STUDIES = {
    "correlated": Study("Reaction ~ Days + (Days | Subject)", "sleepstudy", "sleepstudy_rs"),
    "uncorrelated": Study(
        "Reaction ~ Days + (Days || Subject)", "sleepstudy", "sleepstudy_rs_uncorr"
    ),
    "intercept": Study("Reaction ~ Days + (1 | Subject)", "sleepstudy", "sleepstudy_ri"),
    # Six samples with 24 rows each pin their effects down, and offsets then move against the
    # intercept: a quarter of the usual effective draws, so four times the draws.
    "penicillin": Study(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", "penicillin",
        {"draws": 4000, "tune": 2000},
    ),
    # The sd between batches may be zero here; its chains need longer to agree on that.
    "pastes": Study(
        "strength ~ 1 + (1 | batch / cask)", "pastes", "pastes_nested",
        {"draws": 2000, "tune": 2000},
    ),
    "machines": Study("score ~ Machine + (Machine | Worker)", "machines", "machines_cat"),
    "mathachieve": Study(
        "MathAch ~ MEANSES + Sector + cses + (cses | School)", "mathachieve", "mathach_rs"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    kept = {}

    def fit_once(key, **changes):
        label = (key, *changes.items())
        if label not in kept:
            study = STUDIES[key]
            kept[label] = bl.fit_bayes(
                study.formula,
                bl.load_dataset(study.dataset),
                random_seed=20,
                progressbar=False,
                **{"sampler": "nutpie", **study.settings, **changes},
            )
        return kept[label]

    return fit_once


def reml(key):
    return json.loads((REFERENCE / f"{STUDIES[key].reference}.json").read_text())["reml"]


def quantities(tree):
    data = tree["posterior"].to_dataset()
    return data[[name for name in data.data_vars if not name.startswith("corr_")]]


@pytest.mark.parametrize("key", STUDIES)
def test_the_chains_mix_without_divergences(fit, key):
    tree = fit(key)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    worst = max(float(v.max()) for v in az.rhat(quantities(tree)).data_vars.values())
    assert worst <= 1.01


@pytest.mark.parametrize("key", STUDIES)
def test_fixed_effects_agree_with_reml(fit, key):
    beta = fit(key)["posterior"]["beta"]
    expected = np.array(reml(key)["fixef"]["estimate"])
    mean, sd = beta.mean(("chain", "draw")).values, beta.std(("chain", "draw")).values
    mcse = az.mcse(beta).values
    # 0.1 sd for the weak priors' pull, 4 Monte Carlo standard errors for the draws.
    assert (np.abs(mean - expected) <= 0.1 * sd + 4 * mcse).all()


@pytest.mark.parametrize("key", STUDIES)
def test_sigma_agrees_with_reml(fit, key):
    sigma = fit(key)["posterior"]["sigma"]
    # With few residual degrees of freedom d, sigma's posterior is skewed and its mean lies some
    # 7 / (4 d) above REML's estimate (4 % for Pastes' 30); the mean precision does not.
    precision = (sigma**-2).mean()
    mcse = float(az.mcse(sigma**-2)) / float(precision) / 2
    ours = float(precision) ** -0.5
    assert ours == pytest.approx(reml(key)["sigma"], rel=0.02 + 4 * mcse)


def test_correlation_is_really_in_the_model(fit):
    sector = fit("mathachieve")["posterior"]["beta"].sel(coef="Sector[T.Catholic]")
    # REML gives 1.37 with the correlation and 1.22 without; this bound tells them apart.
    assert abs(float(sector.mean()) - 1.37) < abs(float(sector.mean()) - 1.22)
    assert float(sector.mean()) == pytest.approx(1.37, abs=0.05)


def test_centered_and_noncentered_agree(fit):
    one = quantities(fit("correlated"))
    other = quantities(fit("correlated", parametrization="centered"))
    for name in one.data_vars:
        difference = np.abs(one[name].mean(("chain", "draw")) - other[name].mean(("chain", "draw")))
        error = np.hypot(az.mcse(one[name]), az.mcse(other[name]))
        # 4 Monte Carlo standard errors: 40 quantities, so a chance of 0.3 % at a new seed.
        assert float((difference / error).max()) <= 4, name


def test_pymc_and_nutpie_agree(fit):
    one = fit("intercept")
    other = fit("intercept", sampler="pymc")
    assert set(one["posterior"].data_vars) == set(other["posterior"].data_vars)
    assert one["posterior"].sizes == other["posterior"].sizes
    for name in ("beta", "sd_Subject", "sigma"):
        a, b = one["posterior"][name], other["posterior"][name]
        difference = np.abs(a.mean(("chain", "draw")) - b.mean(("chain", "draw")))
        assert float((difference / np.hypot(az.mcse(a), az.mcse(b))).max()) <= 4, name
