"""The result tree: its contract, its reproducibility, files, interruption, and refused settings."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import SamplingError, SamplingWarning
from bayeslmm.inference.nuts import pymc_model
from bayeslmm.inference.nuts import run as samplers

FORMULA = "Reaction ~ Days + (Days | Subject)"
QUICK = {"draws": 200, "tune": 300, "chains": 2, "progressbar": False}

# 200 draws are enough to look at a tree, not to trust it.
pytestmark = pytest.mark.filterwarnings("ignore:These draws:bayeslmm.errors.SamplingWarning")


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def tree(sleepstudy):
    return bl.fit_bayes(FORMULA, sleepstudy, random_seed=5, **QUICK)


def test_the_posterior_has_the_contracts_variables_and_dimensions(tree):
    posterior = tree["posterior"]
    assert {name: array.dims[2:] for name, array in posterior.data_vars.items()} == {
        "beta": ("coef",),
        "sigma": (),
        "sd_Subject": ("Subject_term",),
        "corr_Subject": ("Subject_term", "Subject_term_bis"),
        "b_Subject": ("Subject", "Subject_term"),
    }
    assert all(array.dims[:2] == ("chain", "draw") for array in posterior.data_vars.values())
    assert posterior["beta"].shape == (2, 200, 2)
    assert list(posterior["coef"].values) == ["Intercept", "Days"]
    assert list(posterior["Subject"].to_numpy()[:2]) == ["308", "309"]
    assert list(posterior["Subject_term_bis"].values) == ["Intercept", "Days"]


def test_the_other_groups_and_attributes(tree, sleepstudy):
    assert set(tree.children) == {
        "posterior", "sample_stats", "log_prior", "observed_data", "constant_data",
    }  # fmt: skip
    assert set(tree["log_prior"].data_vars) == {"beta", "sd_Subject", "corr_Subject", "sigma"}
    np.testing.assert_array_equal(tree["observed_data"]["Reaction"], sleepstudy["Reaction"])
    assert set(tree["constant_data"].data_vars) == {"Days", "Subject"} | (
        {"Reaction"} & set(tree["constant_data"].data_vars)
    )
    stats = tree["sample_stats"]
    assert {"diverging", "energy", "lp", "acceptance_rate", "tree_depth"} <= set(stats.data_vars)
    assert stats.attrs["sampling_time"] > 0
    assert stats.attrs["compile_time"] > 0
    assert tree.attrs["parametrization"] == "marginal"
    assert tree.attrs["sampler"] == "nutpie"
    assert "asked for" not in (
        tree.attrs["parametrization_reason"], tree.attrs["sampler_reason"]
    )  # fmt: skip
    assert tree.attrs["random_seed"] == 5
    assert json.loads(tree.attrs["settings"])["draws"] == 200
    assert "pymc" in json.loads(tree.attrs["versions"])
    again = bl.build_design(tree.attrs["formula"], sleepstudy)
    assert tree.attrs["data_fingerprint"] == fingerprint(again)


def test_the_log_prior_is_the_priors_density_of_the_draws(tree, sleepstudy):
    priors = bl.resolve_priors(bl.build_design(FORMULA, sleepstudy))
    posterior = {name: array.to_numpy() for name, array in tree["posterior"].data_vars.items()}
    for name, value in priors.log_densities(posterior).items():
        np.testing.assert_array_equal(tree["log_prior"][name], value)


def test_the_same_seed_gives_the_same_draws_whatever_ran_before(tree, sleepstudy):
    # The second fit reuses the compiled model, with one chain at a time.
    again = bl.fit_bayes(FORMULA, sleepstudy, random_seed=5, cores=1, **QUICK)
    np.testing.assert_array_equal(again["posterior"]["beta"], tree["posterior"]["beta"])
    other = bl.fit_bayes(FORMULA, sleepstudy, random_seed=6, **QUICK)
    assert not np.array_equal(other["posterior"]["beta"], tree["posterior"]["beta"])


def test_a_fit_without_a_seed_records_the_one_it_drew(sleepstudy):
    first = bl.fit_bayes(FORMULA, sleepstudy, **QUICK)
    again = bl.fit_bayes(FORMULA, sleepstudy, random_seed=first.attrs["random_seed"], **QUICK)
    np.testing.assert_array_equal(again["posterior"]["beta"], first["posterior"]["beta"])


def test_a_fit_changes_nothing_that_it_was_given(sleepstudy):
    before = sleepstudy.copy(deep=True)
    priors = {"sigma": "HalfCauchy(10)"}
    bl.fit_bayes(FORMULA, sleepstudy, priors=priors, random_seed=1, **QUICK)
    pd.testing.assert_frame_equal(sleepstudy, before)
    assert priors == {"sigma": "HalfCauchy(10)"}


def test_a_compiled_model_serves_other_rows_and_priors(tree, sleepstudy, monkeypatch):
    def refuse(_model):
        raise AssertionError("compiled again")

    monkeypatch.setattr("bayeslmm.inference.nuts.compile.compile_model", refuse)
    fewer = bl.fit_bayes(
        FORMULA, sleepstudy[sleepstudy["Days"] < 8], priors={"sigma": "HalfStudentT(3, 9)"},
        random_seed=5, **QUICK,
    )  # fmt: skip
    assert fewer["observed_data"].sizes["obs"] == 144
    # REML on these rows: Days 9.35 (sd 1.9), far from the 10.5 of all rows in neither direction;
    # 1.5 posterior sds leaves room for 400 draws and catches data that were not replaced.
    intercept = float(fewer["posterior"]["beta"].sel(coef="Intercept").mean())
    reml = bl.fit_reml(FORMULA, sleepstudy[sleepstudy["Days"] < 8]).fixed_effects
    assert (
        abs(intercept - reml.loc["Intercept", "estimate"])
        < 0.5 * reml.loc["Intercept", "std_error"]
    )


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_a_tree_with_a_nested_factor_survives_a_file(kind, tmp_path):
    table = bl.load_dataset("pastes")
    tree = bl.fit_bayes("strength ~ 1 + (1 | batch/cask)", table, random_seed=1, **QUICK)
    path = tmp_path / f"tree.{'nc' if kind == 'netcdf' else 'zarr'}"
    if kind == "netcdf":
        tree.to_netcdf(path)
        again = xr.open_datatree(path)
    else:
        tree.to_zarr(path, consolidated=False)
        again = xr.open_datatree(path, engine="zarr", consolidated=False)
    again = again.load()
    assert "b_batch:cask" in again["posterior"]
    assert again.attrs == tree.attrs
    for name, array in tree["posterior"].data_vars.items():
        xr.testing.assert_equal(again["posterior"][name], array)
    pd.testing.assert_frame_equal(bl.random_effects(again), bl.random_effects(tree))


def test_a_stored_tree_works_in_a_new_process(tree, tmp_path):
    path = tmp_path / "tree.nc"
    tree.to_netcdf(path)
    code = (
        "import sys, xarray as xr, bayeslmm as bl\n"
        "tree = xr.open_datatree(sys.argv[1])\n"
        "print(bl.fixed_effects(tree).loc['Days', 'mean'])\n"
        "assert 'pymc' not in sys.modules\n"
    )
    out = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    assert float(out.stdout) == pytest.approx(bl.fixed_effects(tree).loc["Days", "mean"])


def test_a_response_with_a_slash_in_its_name_can_be_stored(sleepstudy, tmp_path):
    tree = bl.fit_bayes("I(Reaction / 1000) ~ Days + (1 | Subject)", sleepstudy, **QUICK)
    tree.to_netcdf(tmp_path / "tree.nc")
    again = xr.open_datatree(tmp_path / "tree.nc")
    assert again.attrs["response"] in again["observed_data"]


def test_doubtful_draws_are_said_to_be_doubtful(sleepstudy):
    with pytest.warns(SamplingWarning, match="effective sample size"):
        bl.fit_bayes(
            FORMULA, sleepstudy, draws=20, tune=20, chains=2, random_seed=1, progressbar=False
        )


def partial(made, draws=6):
    points = np.full((len(made), draws, 3), np.nan)
    for chain, count in enumerate(made):
        points[chain, :count] = chain
    return points


@pytest.mark.parametrize(
    ("made", "chains", "draws"),
    [([6, 6, 3, 0], [0, 1], 6), ([6, 5, 5, 4], [0, 1, 2, 3], 4), ([0, 2], [1], 2)],
)
def test_an_interrupted_run_keeps_the_largest_complete_part(made, chains, draws):
    settings = samplers.SamplerSettings(draws=6, chains=len(made))
    with pytest.warns(SamplingWarning, match=f"interrupted: the result holds {draws} of 6 draws"):
        kept = samplers._complete_part(partial(made), settings)
    assert kept == (chains, draws)


def test_a_run_interrupted_before_its_first_draw_is_an_interrupt():
    settings = samplers.SamplerSettings(draws=6, chains=2)
    with pytest.raises(KeyboardInterrupt):
        samplers._complete_part(partial([0, 0]), settings)


@pytest.mark.parametrize("parametrization", ["marginal", "noncentered"])
def test_ctrl_c_returns_what_was_drawn(parametrization):
    code = (
        "import _thread, signal, threading, warnings, bayeslmm as bl\n"
        # Processes in the background may be started with the signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "data = bl.load_dataset('sleepstudy')\n"
        "fit = dict(random_seed=5, tune=300, chains=2, progressbar=False, sampler='nutpie',\n"
        f"           parametrization={parametrization!r})\n"
        f"bl.fit_bayes({FORMULA!r}, data, draws=200, **fit)\n"
        "threading.Timer(2.0, _thread.interrupt_main).start()\n"
        "warnings.simplefilter('always')\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        f"    tree = bl.fit_bayes({FORMULA!r}, data, draws=500_000, **fit)\n"
        "assert 0 < tree['posterior'].sizes['draw'] < 500_000\n"
        "assert any('interrupted' in str(w.message) for w in said)\n"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "draws must be at least 1, not 0"),
        ({"chains": 0}, "chains must be at least 1, not 0"),
        ({"tune": -1}, "tune must be at least 0, not -1"),
        ({"cores": 0}, "cores must be at least 1"),
        ({"draws": 10.5}, "draws must be a whole number, not 10.5"),
        ({"chains": True}, "chains must be a whole number"),
        ({"random_seed": "one"}, "random_seed must be a whole number"),
        ({"target_accept": 1.0}, "between 0 and 1, not 1.0"),
        ({"sampler": "numpyro"}, "no sampler 'numpyro'; choose one of 'nutpie', 'pymc'"),
    ],
)
def test_settings_that_cannot_be_sampled_with_are_refused_first(settings, message, sleepstudy):
    with pytest.raises(SamplingError, match=message):
        bl.fit_bayes("no such formula", sleepstudy, **settings)


def test_a_predictor_named_weights_is_not_taken_for_weights(sleepstudy):
    table = sleepstudy.rename(columns={"Days": "weights"})
    plain = bl.fit_bayes("Reaction ~ weights + (1 | Subject)", table, random_seed=1, **QUICK)
    fit = bl.refit_reml(plain)
    expected = bl.fit_reml("Reaction ~ weights + (1 | Subject)", table)
    assert fit.criterion == pytest.approx(expected.criterion, abs=1e-8)
    weighted = bl.fit_bayes(
        "Reaction ~ weights + (1 | Subject)", table, weights=1 + table["weights"], **QUICK
    )
    assert "weights of the fit" in weighted["constant_data"]
    expected = bl.fit_reml(
        "Reaction ~ weights + (1 | Subject)", table, weights=1 + table["weights"]
    )
    assert bl.refit_reml(weighted).criterion == pytest.approx(expected.criterion, abs=1e-8)


def test_no_tuning_is_refused_before_anything_is_sampled():
    with pytest.raises(bl.SamplingError, match="tune must be at least 1"):
        samplers.SamplerSettings(tune=0, sampler="nutpie")
    with pytest.raises(bl.SamplingError, match="sampler='importance' does without"):
        bl.fit_bayes("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), tune=0)
    assert samplers.SamplerSettings(tune=0, sampler="importance").tune == 0


@pytest.mark.parametrize(
    ("asked", "rates"), [(None, [0.9, 0.98]), (0.9, [0.9]), (0.95, [0.95])]
)  # fmt: skip
def test_draws_that_diverge_are_drawn_once_more_unless_a_rate_was_given(
    sleepstudy, monkeypatch, asked, rates
):
    tried = []

    def diverging_at_first(graph, settings, structure):
        free = samplers.run_nutpie(graph, settings, structure)
        tried.append(settings.target_accept)
        free.stats["diverging"][...] = False
        free.stats["diverging"][0, :3] = len(tried) == 1
        return free

    monkeypatch.setattr(pymc_model, "SAMPLERS", {"nutpie": diverging_at_first})
    tree = bl.fit_bayes(
        FORMULA,
        sleepstudy,
        parametrization="noncentered",
        target_accept=asked,
        random_seed=1,
        **QUICK,
    )
    assert tried == rates
    assert json.loads(tree.attrs["settings"])["target_accept"] == rates[-1]
    reason = tree["sample_stats"].attrs.get("target_accept_reason", "")
    repeated = "3 draws diverged at 0.9, so that all were drawn once more at 0.98"
    assert reason == (repeated if asked is None else "")
