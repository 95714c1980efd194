"""Priors of residual structures at visits: keys, bounds, quantiles, JSON and joint densities."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.model.residual.of_design import structured_residuals

VISITS = ("week 4", "week 8", "week 12", "week 16")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(2)
    rows = pd.DataFrame([(s, v) for s in range(12) for v in range(4)], columns=["id", "v"])
    return rows.assign(
        y=rng.normal(size=48),
        visit=pd.Categorical.from_codes(rows.v, VISITS, ordered=True),
        arm=np.where(rows.id < 6, "a", "b"),
    )


def priors(table, residual, given=None):
    return bl.resolve_priors(bl.build_design("y ~ 1", table, residual=residual), given)


def test_defaults_are_flat_on_correlations(table):
    us = priors(table, "us(visit | id)").parameters
    assert list(us) == [*(f"sd_residual[{v}]" for v in VISITS), "corr_residual"]
    assert str(us["corr_residual"]) == "LKJ(eta=1)"
    cs = priors(table, "cs(visit | id)").parameters
    assert cs["rho_residual"].numbers == (-1 / 3, 1.0)
    toep = priors(table, "toep(visit | id)").parameters
    assert list(toep) == ["sigma", *(f"pacf_residual[{k}]" for k in (1, 2, 3))]
    assert toep["pacf_residual[3]"].numbers == (-1.0, 1.0)
    ad = priors(table, "ad(visit | id)").parameters
    assert list(ad)[1] == "rho_residual[week 4 to week 8]"
    arma = priors(table, "arma(v | id, p=1, q=2)").parameters
    names = ["pacf_residual[1]", "pacf_ma_residual[1]", "pacf_ma_residual[2]"]
    assert list(arma) == ["sigma", *names]
    by_arm = priors(table, "csh(visit | arm/id)").parameters
    assert "sd_residual[b,week 8]" in by_arm
    assert list(by_arm)[-2:] == ["rho_residual[a]", "rho_residual[b]"]


def test_one_sd_prior_is_of_all_visits_or_of_one(table):
    found = priors(
        table, "us(visit | arm/id)",
        {"sigma": "HalfNormal(2)", "sd_residual[a,week 8]": "HalfNormal(3)",
         "corr_residual": "LKJ(4)"},
    )  # fmt: skip
    assert str(found.parameters["sd_residual[b,week 4]"]) == "HalfNormal(sigma=2)"
    assert str(found.parameters["sd_residual[a,week 8]"]) == "HalfNormal(sigma=3)"
    assert str(found.parameters["corr_residual[b]"]) == "LKJ(eta=4)"
    assert found.matrices == {"corr_residual[a]": 4, "corr_residual[b]": 4}


def test_a_prior_stays_within_the_bounds(table):
    with pytest.raises(bl.PriorError, match=r"between -0.333333 and 1.*Uniform\(-0.3333, 1\)"):
        priors(table, "cs(visit | id)", {"rho_residual": "Uniform(-1, 1)"})
    advised = ("Uniform(-0.3333, 1)", "TruncatedNormal(0, 0.5, -0.3333, 1)")
    for prior in advised:
        priors(table, "cs(visit | id)", {"rho_residual": prior})
    with pytest.raises(bl.PriorError, match="must be LKJ"):
        priors(table, "us(visit | id)", {"corr_residual": "Uniform(-1, 1)"})
    with pytest.raises(bl.PriorError, match="not LKJ"):
        priors(table, "cs(visit | id)", {"rho_residual": "LKJ(1)"})
    with pytest.raises(bl.PriorError, match="includes negative"):
        priors(table, "us(visit | id)", {"sd_residual": "Normal(0, 1)"})


def test_the_table_has_quantiles_of_each_correlation(table):
    found = priors(table, "us(visit | id)").describe()
    # Each correlation of LKJ(1) with four columns is 2 Beta(2, 2) - 1.
    expected = 2 * stats.beta(2, 2).ppf([0.05, 0.5, 0.95]) - 1
    np.testing.assert_allclose(
        found.loc["corr_residual", ["q5", "q50", "q95"]], expected, atol=1e-12
    )
    rho = priors(table, "cs(visit | id)").describe().loc["rho_residual"]
    np.testing.assert_allclose(rho[["q5", "q95"]].astype(float), [-1 / 3 + 4 / 60, 1 - 4 / 60])


@pytest.mark.parametrize("residual", ["us(visit | arm/id)", "cs(visit | id)", "toeph(visit | id)"])
def test_json_gives_the_priors_back(table, residual):
    found = priors(table, residual)
    assert bl.Priors.from_json(found.to_json()) == found
    text = found.to_json().replace('"corr_residual[a]": 4', '"corr_residual[c]": 4')
    if text != found.to_json():
        with pytest.raises(bl.PriorError, match="no number of columns"):
            bl.Priors.from_json(text)


@pytest.mark.parametrize("residual", ["us(visit | id)", "us(visit | arm/id)", "toeph(visit | id)"])
def test_joint_densities_are_sums_over_entries(table, residual):
    rng = np.random.default_rng(1)
    found = priors(table, residual, {"sigma": "HalfNormal(2)"})
    structure = structured_residuals(bl.build_design("y ~ 1", table, residual=residual).residual)
    phi = rng.uniform(0.1, 0.5, (2, 3, structure.size))
    named = structure.variables(phi)
    density = found.log_densities({"beta": np.zeros((2, 3, 1)), **named})
    sds = named["sd_residual"].reshape(2, 3, -1)
    np.testing.assert_allclose(
        density["sd_residual"], stats.halfnorm(scale=2).logpdf(sds).sum(axis=-1), rtol=1e-12
    )
    if "us" in residual:
        # LKJ(1) is flat over 4 x 4 correlation matrices, whose volume is 32 pi^2 / 27.
        flat = -np.log(32 * np.pi**2 / 27)
        arms = 2 if "arm" in residual else 1
        np.testing.assert_allclose(density["corr_residual"], np.full((2, 3), arms * flat))
    else:
        np.testing.assert_allclose(density["pacf_residual"], np.full((2, 3), 3 * np.log(0.5)))
