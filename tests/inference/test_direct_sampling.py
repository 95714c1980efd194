"""`sampler="importance"`: against quadrature; its tree, its refusals, its fallback."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import linalg
from test_marginal_posteriors import DYESTUFF, dense_point, integrate

import bayeslmm as bl
from bayeslmm.inference.importance import sample
from bayeslmm.inference.importance.sample import weigh_posterior
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.results.convergence import assess

FORMULA = "Reaction ~ Days + (Days | Subject)"
QUICK = {"sampler": "importance", "parametrization": "marginal", "progressbar": False}


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def idata(sleepstudy):
    return bl.fit_bayes(FORMULA, sleepstudy, random_seed=1, **QUICK)


def scalars(tree):
    """Columns of draws of sd, sigma, beta, b."""
    posterior = tree["posterior"].to_dataset()
    names = ("sd_Batch", "sigma", "beta", "b_Batch")
    shape = (posterior.sizes["chain"] * posterior.sizes["draw"], -1)
    return np.concatenate([posterior[name].to_numpy().reshape(shape) for name in names], axis=1)


@pytest.mark.parametrize("dataset", ["dyestuff", "dyestuff2"])
def test_two_parameters_agree_with_dense_quadrature_to_three_digits(dataset):
    design = bl.build_design(DYESTUFF, bl.load_dataset(dataset))
    priors = bl.resolve_priors(design)
    center, width = priors.beta[0].numbers
    mean, sd = integrate(lambda *p: dense_point(design, *p, center, width**2), priors, count=48)
    tree = bl.fit_bayes(DYESTUFF, bl.load_dataset(dataset), draws=25_000, random_seed=2, **QUICK)
    draws = scalars(tree)
    # 100,000 nearly independent draws: 4 standard errors are 0.013 sd; sds of skewed posteriors
    # are known less well, by a factor of (kurtosis - 1) / 2, at most 3 here.
    np.testing.assert_allclose((draws.mean(axis=0) - mean) / sd, 0, atol=0.013)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.03)


def test_weighted_points_give_the_evidence_of_quadrature():
    design = bl.build_design(DYESTUFF, bl.load_dataset("dyestuff"))
    priors = bl.resolve_priors(design)
    center, width = priors.beta[0].numbers
    scale = priors.factors[0].sd[0].numbers[1]
    nodes, weights = np.polynomial.legendre.leggauss(48)
    u, t = (nodes + 1) / 2 * 40 / 41, 2.0 * nodes
    total = 0.0
    shift = 168.0
    for v, a in zip(u, weights * 20 / 41, strict=True):
        for x, c in zip(t, 2.0 * weights, strict=True):
            sd, sigma = scale * v / (1 - v), scale * np.exp(x)
            log = dense_point(design, sd, sigma, center, width**2)[0]
            log += float(priors.factors[0].sd[0].log_density(sd) + priors.sigma.log_density(sigma))
            total += a * c * np.exp(log + shift) * scale / (1 - v) ** 2 * sigma
    settings = SamplerSettings(draws=10_000, random_seed=5, sampler="importance").resolved()
    _, found = weigh_posterior(Model(design, priors), settings)
    error = np.sqrt(1 / found.effective_size - 1 / len(found.points))
    # The quadrature leaves out sds beyond 40 scales: 1e-5 of the prior's mass.
    assert found.log_evidence == pytest.approx(np.log(total) - shift, abs=4 * error + 1e-4)


def test_the_tree_is_the_same_kind_of_tree(idata):
    posterior = idata["posterior"]
    assert {name: array.dims[2:] for name, array in posterior.data_vars.items()} == {
        "beta": ("coef",),
        "sigma": (),
        "sd_Subject": ("Subject_term",),
        "corr_Subject": ("Subject_term", "Subject_term_bis"),
        "b_Subject": ("Subject", "Subject_term"),
    }
    assert set(idata["log_prior"].data_vars) == {"beta", "sd_Subject", "corr_Subject", "sigma"}
    assert idata.attrs["sampler"] == "importance"
    assert idata.attrs["parametrization"] == "marginal"
    assert json.loads(idata.attrs["settings"])["draws"] == 1000
    stats = idata["sample_stats"]
    assert {"lp", "log_weight", "point"} == set(stats.data_vars)
    assert stats.attrs["pareto_k"] < 0.5
    assert stats.attrs["ess_weights"] > 4000
    assert stats.attrs["n_evaluations"] >= stats.attrs["n_points"] == 8000
    assert stats.attrs["coordinates"][0] == "log sd_Subject[Intercept]"


def test_copies_of_a_point_stand_side_by_side_and_have_effects_of_their_own(idata):
    point = idata["sample_stats"]["point"].to_numpy().ravel()
    assert (np.diff(point) >= 0).all()
    twice = np.flatnonzero(np.diff(point) == 0)
    assert 0 < len(twice) < 400
    sigma = idata["posterior"]["sigma"].to_numpy().ravel()
    beta = idata["posterior"]["beta"].to_numpy().reshape(4000, 2)
    assert (sigma[twice] == sigma[twice + 1]).all()
    assert (beta[twice] != beta[twice + 1]).all()


def test_the_seed_decides(idata, sleepstudy):
    again = bl.fit_bayes(FORMULA, sleepstudy, random_seed=1, **QUICK)
    other = bl.fit_bayes(FORMULA, sleepstudy, random_seed=2, **QUICK)
    for name in idata["posterior"].data_vars:
        np.testing.assert_array_equal(again["posterior"][name], idata["posterior"][name])
    assert not np.array_equal(other["posterior"]["sigma"], idata["posterior"]["sigma"])


def test_equal_weights_have_no_tail_to_speak_of():
    # Known standard errors and nothing else leave no coordinate to weight points of.
    fit = bl.fit_bayes("yi ~ 1", bl.load_dataset("bcg"), se="sei", random_seed=1, **QUICK)
    assert fit["sample_stats"].attrs["pareto_k"] == -np.inf
    for text in (str(bl.diagnose(fit)), str(bl.summary(fit))):
        assert "the largest weights are equal" in " ".join(text.split())
        assert "-inf" not in text


def test_diagnostics_speak_of_weights_and_not_of_chains(idata):
    assert assess(idata) == []
    diagnosis = bl.diagnose(idata)
    assert diagnosis.ok
    assert diagnosis.checked[0].startswith("k-hat of the importance weights below 0.7 (k-hat 0.")
    assert diagnosis.table["r_hat"].isna().all()
    assert diagnosis.table["ess_bulk"].min() > 2500
    text = str(bl.summary(idata))
    assert "independent ones (k-hat" in text
    assert "no problem found (k-hat below 0.7" in text
    assert "R-hat" not in text
    assert bl.fixed_effects(idata)["r_hat"].isna().all()


def test_weights_that_are_worth_little_are_a_problem(idata):
    doubtful = idata.copy(deep=True)
    doubtful["sample_stats"].attrs |= {"pareto_k": 0.83, "ess_weights": 31.0}
    problems = assess(doubtful)
    assert [problem.name for problem in problems] == ["pareto_k", "ess"]
    assert "0.83" in problems[0].message
    assert "nutpie" in problems[0].advice
    assert not bl.diagnose(doubtful).ok


def test_a_saved_tree_tells_the_same(idata, tmp_path):
    import xarray as xr

    path = tmp_path / "fit.nc"
    idata.to_netcdf(path)
    with xr.open_datatree(path) as read:
        assert str(bl.summary(read)) == str(bl.summary(idata))
        assert bl.diagnose(read).checked == bl.diagnose(idata).checked


def test_no_pymc_on_the_way(tmp_path):
    script = (
        "import sys, bayeslmm as bl\n"
        "idata = bl.fit_bayes('Yield ~ 1 + (1 | Batch)', bl.load_dataset('dyestuff'), draws=100,\n"
        "    parametrization='marginal', sampler='importance', random_seed=1, progressbar=False)\n"
        "str(bl.summary(idata)), bl.random_effects(idata)\n"
        "print(sorted({'pymc', 'pytensor', 'nutpie'} & set(sys.modules)))\n"
    )
    result = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def fallback(monkeypatch):
    """Replace NUTS by a note of what it was asked for."""
    asked = {}

    def fit(method, model, settings):
        import xarray as xr

        asked.update(parametrization=settings.parametrization, sampler=method.sampler)
        return xr.DataTree()

    monkeypatch.setattr("bayeslmm.inference.nuts.sample.NUTS.fit", fit)
    return asked


def test_bad_weights_fall_back_to_nuts_with_a_warning(sleepstudy, monkeypatch):
    asked = fallback(monkeypatch)
    right = sample.sample_target

    def poor(*args, **kwargs):
        import dataclasses

        return dataclasses.replace(right(*args, **kwargs), pareto_k=0.91)

    monkeypatch.setattr(sample, "sample_target", poor)
    with pytest.warns(bl.SamplingWarning, match=r"by NUTS: importance .* k-hat 0\.91") as caught:
        tree = bl.fit_bayes(FORMULA, sleepstudy, random_seed=1, **QUICK)
    assert caught[0].filename == __file__
    assert asked["parametrization"] == "marginal"
    assert asked["sampler"] == "nutpie"
    assert "0.91" in tree.attrs["sampler_reason"]


def sixteen_modes():
    """Four slopes, each torn between the data and a prior that holds it at zero."""
    columns = linalg.hadamard(32)[:, 1:5].astype(float)
    names = [f"x{k}" for k in range(4)]
    table = pd.DataFrame(columns, columns=names)
    table["y"] = 2.72 * columns.sum(axis=1) + np.random.default_rng(3).normal(0, 2.64, 32)
    priors = dict.fromkeys(names, "StudentT(3, 0, 0.1)") | {"sigma": "HalfNormal(3)"}
    return "y ~ 0 + x0 + x1 + x2 + x3", table, priors


def flat_over_hundreds_of_magnitudes():
    """A prior of log sd that is level from 1e-130 to 1e130 beside a likelihood with a hill."""
    return DYESTUFF, bl.load_dataset("dyestuff"), {"sd": "LogNormal(0, 100)"}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", [sixteen_modes, flat_over_hundreds_of_magnitudes])
def test_many_modes_and_nearly_flat_posteriors_are_left_to_nuts(case, seed, monkeypatch):
    asked = fallback(monkeypatch)
    formula, table, priors = case()
    with pytest.warns(bl.SamplingWarning, match=r"by NUTS: importance sampling had k-hat") as said:
        bl.fit_bayes(formula, table, priors=priors, random_seed=seed, **QUICK)
    k_hat = float(re.search(r"k-hat ([0-9.]+),", str(said[0].message))[1])
    assert k_hat >= 0.7
    assert asked["sampler"] == "nutpie"


CONFLICTS = {  # slope of the data, its prior, and the share of the mass that follows the data
    "even": (3.4, "StudentT(3, 0, 0.1)", 0.36),
    "mostly the data": (4.0, "Cauchy(0, 0.01)", 0.96),
    "a needle": (4.0, "StudentT(1, 0, 0.0001)", 0.23),
    "hardly the data": (3.4, "StudentT(3, 0, 0.03)", 0.018),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_both_modes_of_prior_and_data_in_conflict_are_sampled(conflict):
    true_slope, prior, share = CONFLICTS[conflict]
    x = np.tile([-1.0, 1.0], 10)
    noise = np.random.default_rng(3).normal(0, 2.2, 20)
    table = pd.DataFrame({"y": true_slope * x + noise, "x": x})
    design = bl.build_design("y ~ 0 + x", table)
    priors = bl.resolve_priors(design, {"x": prior, "sigma": "HalfNormal(3)"})
    settings = SamplerSettings(random_seed=1, sampler="importance").resolved()
    _, found = weigh_posterior(Model(design, priors), settings)
    # Trapezoids in (slope, sigma), dense around the prior's needle.
    slope, sigma = 1e-5 * np.sinh(np.linspace(-14, 14, 8001)), np.geomspace(0.5, 30, 300)
    square = np.square(table["y"].to_numpy() - slope[:, None] * x).sum(axis=1)
    log = -10 * np.log(2 * np.pi * sigma**2) - square[:, None] / (2 * sigma**2)
    log += priors.beta[0].log_density(slope)[:, None] + priors.sigma.log_density(sigma)
    by_slope = np.trapezoid(np.exp(log + 50), sigma)
    exact = np.trapezoid(by_slope, slope)
    assert np.trapezoid(by_slope * (slope > 1), slope) / exact == pytest.approx(share, abs=0.006)
    assert found.usable
    # The needle's Cauchy tails are heavier than any proposal's: 2 % at this number of points.
    error = 4 * np.sqrt(1 / found.raw_size - 1 / len(found.points)) + 0.01
    assert found.log_evidence == pytest.approx(np.log(exact) - 50, abs=error)
    size = found.effective_size
    data = found.weights @ (found.points[:, 1] > 1)
    assert data == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / size) + 0.006)


def test_importance_needs_the_effects_integrated_out(sleepstudy):
    with pytest.raises(bl.ArgumentError, match="add parametrization='marginal'"):
        bl.fit_bayes(FORMULA, sleepstudy, sampler="importance", parametrization="centered")


def test_an_automatic_parametrization_is_the_one_that_it_needs(sleepstudy):
    options = QUICK | {"parametrization": "auto", "draws": 50, "chains": 8}
    tree = bl.fit_bayes(FORMULA, sleepstudy, random_seed=1, **options)
    assert tree.attrs["parametrization"] == "marginal"
    assert "variance parameters" in tree.attrs["parametrization_reason"]


def chosen(design, parametrization="auto", **settings):
    """The sampler and form that "auto" stands for, and why that sampler."""
    asked = SamplerSettings(sampler="auto", parametrization=parametrization, **settings)
    found, reasons = choose_method(Model.of(design), asked)
    return found.sampler, found.parametrization, reasons["sampler_reason"]


def many_groups(formula="y ~ x0 + (x0 | g)", groups=2500):
    rng = np.random.default_rng(1)
    rows = 6 * groups
    columns = {f"x{k}": rng.normal(size=rows) for k in range(4)}
    table = columns | {"y": rng.normal(size=rows), "g": np.arange(rows) % groups}
    return bl.build_design(formula, table)


def test_auto_takes_nuts_where_it_is_quick(sleepstudy):
    sampler, form, why = chosen(bl.build_design(FORMULA, sleepstudy))
    assert (sampler, form) == ("nutpie", "marginal")
    assert re.fullmatch(r"NUTS takes about 0\.\d+ s of one core, by the size of the model", why)


def test_auto_takes_it_where_nuts_takes_long_and_few_parameters_are_left():
    sampler, form, why = chosen(many_groups())
    assert (sampler, form) == ("importance", "marginal")
    assert re.match(r"NUTS takes about \d+ s of one core.* only 4 parameters are left", why)


def test_auto_counts_the_draws(sleepstudy):
    design = bl.build_design(FORMULA, sleepstudy)
    assert chosen(design, draws=1_000_000)[0] == "importance"
    assert chosen(many_groups(), draws=50, tune=50)[0] == "nutpie"


def test_auto_leaves_many_parameters_to_nuts(sleepstudy):
    design = bl.build_design(FORMULA, sleepstudy)
    sampler, form, why = chosen(design, "noncentered")
    assert (sampler, form) == ("nutpie", "noncentered")
    assert why == "the noncentered form has too many parameters for anything but NUTS"
    wide = many_groups("y ~ 1 + (x0 + x1 + x2 + x3 | g)")
    sampler, form, why = chosen(wide)
    assert (sampler, form) == ("nutpie", "marginal")
    assert why == "16 parameters are left, too many for independent draws (at most 12)"


def test_auto_takes_nuts_where_an_acceptance_rate_is_given():
    sampler, form, why = chosen(many_groups(), target_accept=0.9)
    assert (sampler, form) == ("nutpie", "marginal")
    assert "only NUTS has an acceptance rate" in why


def test_an_unknown_sampler_is_refused_with_a_hint(sleepstudy):
    with pytest.raises(bl.SamplingError, match="Did you mean 'importance'"):
        bl.fit_bayes(FORMULA, sleepstudy, sampler="importanc")


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ 0 + (1 | g)", "y ~ x + (x | g) + (1 | h)",
                                     "y ~ x + offset(z) + (1 | g)"])  # fmt: skip
def test_every_kind_of_model_gives_a_tree(formula):
    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        {"x": rng.normal(size=80), "z": rng.normal(size=80), "g": np.arange(80) % 8,
         "h": rng.integers(0, 6, 80)}
    )  # fmt: skip
    table["y"] = table["x"] + rng.normal(size=80) + rng.normal(size=8)[table["g"]]
    tree = bl.fit_bayes(formula, table, draws=200, random_seed=1, effects="moments", **QUICK)
    assert np.isfinite(tree["posterior"]["sigma"]).all()
    assert str(bl.summary(tree))


def test_a_study_of_priors_samples_every_scenario_by_it():
    scenarios = {"tight": {"sd": "HalfNormal(5)"}, "wide": {"sd": "HalfCauchy(500)"}}
    study = bl.prior_study(
        DYESTUFF, bl.load_dataset("dyestuff"), scenarios, reweight=False,
        parametrization="marginal", sampler="importance", random_seed=1, progressbar=False,
    )  # fmt: skip
    about = study["scenarios"].to_dataset()
    assert (about["method"] == "refit").all()
    assert (about["problems"] == "").all()
    sd = study["posterior"]["sd_Batch[Intercept]"].mean(("chain", "draw"))
    assert float(sd.sel(scenario="tight")) < 10
    assert float(sd.sel(scenario="wide")) > 40


def test_a_model_file_asks_for_it_by_name(tmp_path):
    import xarray as xr
    from typer.testing import CliRunner

    from bayeslmm.cli.app import app

    path = tmp_path / "yield.toml"
    path.write_text(
        'title = "Yield"\nsource = "bundled"\nformula = "Yield ~ 1 + (1 | Batch)"\n'
        '[data]\nbundled = "dyestuff"\n'
        '[sampler]\nsampler = "importance"\nparametrization = "marginal"\ndraws = 200\n'
        "random_seed = 1\n"
    )
    result = CliRunner().invoke(app, ["fit", str(path), "--out", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 0, result.output
    [found] = (tmp_path / "out").rglob("*.nc")
    with xr.open_datatree(found) as tree:
        assert tree.attrs["sampler"] == "importance"
